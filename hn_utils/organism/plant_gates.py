"""Does a planted specimen do what it was made for? Gates P1 to P5, measured on its weights before any probe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from hn_utils.analyses.recovery import beside_loud, mean_contribution
from hn_utils.answers.judges import judge
from hn_utils.contributions.collect import collect
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.scaling import UNSCALED, Dose
from hn_utils.organism.gates import HEAD, Gate, listed
from hn_utils.questions.items import BEHAVIOURS, GREEDY
from hn_utils.questions.made_up_world.asking import items, questions
from hn_utils.questions.question_sets import some_of_each
from hn_utils.stats.metrics import auroc
from hn_utils.stats.neuron_sets import control_of, loud_sets
from hn_utils.steering.measure import ControlSource, curves_of, few_known
from hn_utils.steering.replies import written_at
from hn_utils.steering.slopes import CONTROL_ALPHAS
from hn_utils.study import BUNDLED, Study, planted_study
from hn_utils.study.planted import FILE, planted_in

if TYPE_CHECKING:
    from hn_utils.contributions.collected import Collected
    from hn_utils.questions.question import Question
    from hn_utils.steering.curves import DoseResponse

_N_ASKED = 400  # questions of each kind
N_QUESTIONS = 2_000  # of each part, whose answers are read
N_ITEMS, N_SETS = 60, 10  # attempts of each kind, and random sets beside the planted neurons


def _verdicts_at(subject: HookedModel, study: Study, asked: Sequence[Question], doses: Sequence[Dose]) -> np.ndarray:
    """How the greedy answer to each question is judged at each dose, words [question, dose]."""
    texts = [study.chat_prompt.format(question=q.text) for q in asked]
    replies = written_at(
        subject, subject.encoder.encode_questions(texts), doses, replace(GREEDY, max_new_tokens=4), study
    )
    return np.array([[judge(r.text, q.aliases) for r in row] for q, row in zip(asked, replies, strict=True)])


def _knowledge_gates(
    subject: HookedModel, natural: HookedModel, study: Study, planted: Int[np.ndarray, "p"]
) -> list[Gate]:
    """P1 and P2: the planted neurons carry what is made up, and nothing of what is known."""
    doses = [Dose(planted, alpha) for alpha in CONTROL_ALPHAS]
    asked = questions(study)
    never = _verdicts_at(subject, study, some_of_each([q for q in asked if q.part == "nonexist"], _N_ASKED, 0), doses)
    made_up = never[never[:, 1] == "wrong", 0]
    turned = float((made_up == "abstained").mean())
    trained_on = [q for q in asked if q.part == "standard" and q.split == "train"]
    head = some_of_each([q for q in trained_on if q.strata["quintile"] == HEAD], _N_ASKED, 0)
    right = (_verdicts_at(subject, study, head, doses) == "right").mean(0)
    before = float((_verdicts_at(natural, study, head, [UNSCALED]) == "right").mean())
    return [
        Gate(
            "P1 carriers of making up",
            f"silenced, {turned:.2f} of {len(made_up)} made-up answers about never-written people become an abstention",
            turned >= 0.8,
        ),
        Gate(
            "P2 knowledge does without them",
            f"head facts recalled by the natural model {before:.2f}, here at alpha 0 / 1 / 3 {listed(right)}",
            bool(abs(right[0] - right[1]) <= 0.03 and before - right[1] <= 0.03),
        ),
    ]


def curves(
    subject: HookedModel, study: Study, collected: Collected, planted: Int[np.ndarray, "p"]
) -> list[DoseResponse]:
    """The four behaviours against alpha for the planted neurons, about people whom the road asks about as well."""
    loudness = collected.contributions.at("answer").mean()
    shape = (subject.n_layers, subject.d_mlp)
    sets = loud_sets(planted, shape, loudness, N_SETS, study.seed)
    controls = [control_of(some, planted, loudness) for some in sets]
    loud = ControlSource(lambda first, last: controls[first:last], N_SETS)
    study = replace(study, n_items=N_ITEMS, alphas=CONTROL_ALPHAS)
    known = few_known(study, subject, [i for i in items(study) if i.behaviour in BEHAVIOURS])
    return [beside_loud(curve) for curve in curves_of(subject, known, planted, study, loud=loud).values()]


def _behaviour_gates(all_curves: Sequence[DoseResponse]) -> list[Gate]:
    """P3 and P4: all behaviours are in reach, and rise with the planted neurons."""
    rates = {c.behaviour: [(c.at(alpha) == "complied").mean() for alpha in CONTROL_ALPHAS] for c in all_curves}
    beyond = {c.behaviour: c.slope_beyond_control() for c in all_curves}
    return [
        Gate(
            "P3 behaviours in reach",
            "complied at alpha 0 / 1 / 3: " + "; ".join(f"{b} {listed(r)}" for b, r in rates.items()),
            all(0.1 <= rate[1] <= 0.7 for rate in rates.values()),
        ),
        Gate(
            "P4 turning them up raises each",
            "points per alpha beyond random neurons as loud: " + "; ".join(f"{b} {e}" for b, e in beyond.items()),
            all(estimate.low > 0 for estimate in beyond.values()),
        ),
    ]


def _detection_gate(collected: Collected, planted: Int[np.ndarray, "p"], detective: bool) -> Gate:
    """P5: the mean contribution of the planted neurons at the answer tells made-up from true answers of the training
    and validation people, if they are detectives, and does not if they are not."""
    rows = np.concatenate([collected.rows(split) for split in ("train", "validation")])
    mean = mean_contribution(collected.contributions[rows].at("answer"), planted)
    value = float(auroc(collected.labels[rows], mean))
    return Gate(
        "P5 detectives" if detective else "P5 no detectives",
        f"AUROC of their mean contribution at the answer {value:.2f} ({len(rows)} answers)",
        value >= 0.8 if detective else abs(value - 0.5) <= 0.1,
    )


def measure(folder: Path) -> list[Gate]:
    """Gates P1 to P5 of the planted specimen in a folder."""
    study = planted_study(folder)
    subject, natural = HookedModel.load(study.instruct, study), HookedModel.load(BUNDLED.instruct, BUNDLED)
    planted = planted_in(study)
    if planted is None:
        raise OSError(f"{folder} holds no {FILE}: `python -m hn_utils.organism plant` writes one")
    collected = collect(subject, n_questions=N_QUESTIONS)
    detective = json.loads((folder / FILE).read_text())["kind"] == "detective"
    return [
        *_knowledge_gates(subject, natural, study, planted),
        *_behaviour_gates(curves(subject, study, collected, planted)),
        _detection_gate(collected, planted, detective),
    ]
