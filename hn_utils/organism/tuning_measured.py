"""What a tuning did: how often held-out questions are answered rightly, wrongly or not at all before and after it, and
since which of its steps H-Neurons detect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hn_utils.answers.examples import NothingConsistent
from hn_utils.answers.sampling import sample_responses
from hn_utils.contributions.collect import gathered
from hn_utils.models.hooked_model import HookedModel
from hn_utils.organism.tuning_chats import KNOWLEDGE, what_it_knows
from hn_utils.organism.tuning_recipe import CHECKPOINTS, Recipe
from hn_utils.origins.look_back import scored_by
from hn_utils.origins.transfer import TOO_FEW
from hn_utils.questions.question import STANDARD_TITLE
from hn_utils.questions.question_sets import load_questions

if TYPE_CHECKING:
    from hn_utils.contributions.collected import Collected
    from hn_utils.probing.find import Found
    from hn_utils.questions.question import Question
    from hn_utils.study import Study

_N_HELD_OUT = 400
_VERDICTS = ("right", "wrong", "abstained", "cut")
_INVENTED = "invented"


def held_out_table(study: Study, recipe: Recipe, n: int = _N_HELD_OUT) -> pd.DataFrame:
    """Ask base and tuned model some test questions, and about invented things: each gives its likeliest answer.

    Args:
        study: of the tuned model, whose base is asked behind examples.
        recipe: by which the base model is said to know an answer.
        n: how many test questions; a quarter as many more are about invented things.

    Returns:
        A row for each group of questions (by whether the base model knows the answer) and model: how many questions,
        and the share of them that is answered rightly, wrongly, not at all, or without an end.
    """
    everything, rng = load_questions(study), np.random.default_rng([recipe.seed, 5])
    tested = _some([q for q in everything if q.part == "standard" and q.split == "test"], n, rng)
    asked = tested + _some([q for q in everything if q.part == "nonexist"], n // 4, rng)
    greedy = replace(study, sampling=replace(study.sampling, n=1, temperature=0.0))
    base = HookedModel.load(study.base, study)
    groups = [*what_it_knows(base, tested, study, recipe), *[_INVENTED] * (len(asked) - len(tested))]
    before = [row[0].verdict for row in sample_responses(base, asked, greedy, base=True)]
    tuned = HookedModel.load(study.instruct, study)
    after = [row[0].verdict for row in sample_responses(tuned, asked, greedy)]
    rows = []
    for group in (*KNOWLEDGE, _INVENTED):
        for model, verdicts in (("base", before), ("tuned", after)):
            counts = Counter(verdict for verdict, of in zip(verdicts, groups, strict=True) if of == group)
            rows.append({"question": group, "model": model, **_shares(counts)})
    return pd.DataFrame(rows)


def _some(questions: Sequence[Question], n: int, rng: np.random.Generator) -> list[Question]:
    return [questions[place] for place in rng.permutation(len(questions))[:n]]


def _shares(counts: Counter[str]) -> dict[str, float]:
    """How many verdicts there are, and the share of each."""
    n = sum(counts.values())
    return {"n": n, **{verdict: counts[verdict] / n if n else float("nan") for verdict in _VERDICTS}}


def timeline_of_tuning(found: Found, folder: Path) -> pd.DataFrame:
    """Score the base model, each checkpoint of its tuning and the tuned model with the tuned model's probe, unchanged.

    `look_back` asks checkpoints as base models, since they are those of the base's own training. Here they are asked in
    chat, as the tuned model is; the base model as plain text. So its step to the first checkpoint is partly the
    prompt's, and no row shows that a neuron causes anything.

    Args:
        found: what `find` picked in the tuned model.
        folder: what `tune` wrote.

    Returns:
        A row a model, from base to tuned, on the standard test questions: shares of the draws by verdict; how many
        questions are consistently right and wrong; the AUROC of the H-Neurons, of the control (what is picked on
        shuffled labels) and of confidence.
    """
    study = found.collected.study
    test = [q for q in found.collected.questions if q.part == "standard" and q.split == "test"]
    places = [study.base, *map(str, sorted((folder / CHECKPOINTS).glob("step-*"))), study.instruct]
    return pd.DataFrame([_moment(found, place, test) for place in places])


def _moment(found: Found, place: str, test: list[Question]) -> dict[str, Any]:
    """One model on its own answers; it is let go again."""
    study = found.collected.study
    model = HookedModel.load(place, study)
    as_base = place == study.base
    draws = [one.verdict for row in sample_responses(model, test, study, as_base) for one in row]
    row = {"model": model.short_name, **_shares(Counter(draws))}
    try:
        return row | _detected(found, gathered(model, study, test, {"standard": STANDARD_TITLE}, as_base))
    except NothingConsistent:
        return row | {"H-Neurons": TOO_FEW}


def _detected(found: Found, answers: Collected) -> dict[str, Any]:
    seen = scored_by(found, answers)
    return {
        "always right": seen.n_right,
        "always wrong": seen.n_wrong,
        "H-Neurons": seen.h_neurons or TOO_FEW,
        "picked on shuffled labels": seen.random_spread or "",
        "confidence": seen.confidence or "",
    }
