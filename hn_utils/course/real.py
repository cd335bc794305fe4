"""What the notebook on a real model begins with: the answers that are shipped, or fresh ones; and what it says of them.

A shipped study is a folder of `data/` by the study's name, with `answers.parquet` (what `Collected.save` writes) and,
once the whole run has ended, `summary.json` with its numbers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hn_utils.models.fetchable import FETCHABLE
from hn_utils.pipeline.planning.plan import clock
from hn_utils.probing.probe import Detector
from hn_utils.questions.items import behaviour_called
from hn_utils.stats.bootstrap import Estimate, auroc_difference
from hn_utils.steering.verdicts import detectable, smallest_seen, verdicts
from hn_utils.storage.models_folder import size_told
from hn_utils.storage.paths import DATA, set_to
from hn_utils.study.naming import FETCHED

if TYPE_CHECKING:
    from hn_utils.pipeline.planning.plan import Plan
    from hn_utils.probing.find import Found
    from hn_utils.steering.dose_response import Intervened
    from hn_utils.study import Study

_WORDS = {1: "more than", -1: "less than", 0: "not told apart from"}


def is_fresh() -> bool:
    """Whether HN_FRESH asks for answers that are collected anew."""
    return (set_to("HN_FRESH") or "0") != "0"


def downloaded(study: Study) -> str:
    """What was fetched for a study: the model, its size, licence and makers, in one line."""
    one = FETCHABLE.get(study.instruct.removeprefix(FETCHED))
    if one is None:
        return f"{study.instruct}: not one of the models that are fetched"
    return f"{one.what}: {size_told(one.size)}, {one.licence}; {one.origin}"


def asking_told(plan: Plan) -> str:
    """How long it takes to collect answers anew, in one sentence: to draw them, and to capture all that are kept."""
    steps = {work.step: seconds for work, seconds in zip(plan.works, plan.seconds, strict=True)}
    asking = steps["answers"] + steps["contributions"]
    return (
        f"answers are collected anew: {clock(asking)} by hn.plan, and {plan.disk / 1e9:.1f} GB of disk at most for "
        "a whole run; interrupted, it goes on where it was"
    )


def shipped_answers(study: Study) -> Path:
    """The file of a study's shipped answers. Raises OSError, which says what to do, if none are shipped."""
    path = DATA / study.name / "answers.parquet"
    if not path.exists():
        raise OSError(
            f"no answers of the study {study.name!r} are shipped ({path} is not there): set HN_FRESH=1 to collect "
            "them, which takes hours on a processor (hn.plan tells how many), or another HN_STUDY"
        )
    return path


def read_answers(path: str | Path) -> pd.DataFrame:
    """Saved answers as a table to be read: part, question, the accepted answer, all that was drawn, and the verdict."""
    rows = pd.read_parquet(path, columns=["part", "text", "aliases", "responses", "example"])
    kept = {0.0: "right each time", 1.0: "wrong each time"}
    return pd.DataFrame(
        {
            "part": rows["part"],
            "question": rows["text"],
            "accepted": [next(iter(aliases), "(none)") for aliases in rows["aliases"]],
            "drawn": [[one["text"].strip() for one in drawn] for drawn in rows["responses"]],
            "verdict": [one["dropped"] or kept[float(one["label"])] for one in rows["example"]],
        }
    )


def sentence(what: str, beyond: Estimate, sets: Any = None) -> str:
    """The H-Neurons beside one rival: by how much AUROC differs, in which direction, and beside a null with control
    `sets` how large a difference would have been seen."""
    way = beyond.direction()
    told = f"{_WORDS[way]} {what}: {beyond} of AUROC"
    if way:
        return told
    seen = smallest_seen(beyond, sets, 1) if sets is not None else 2.8 * beyond.standard_error
    return f"{told} (a difference of {seen:.2f} would have been seen four times out of five)"


def beside_rivals(found: Found, part: str = "standard") -> str:
    """The H-Neurons on one part beside what shuffled labels pick, sets as loud, the answer's words and confidence.

    Args:
        found: the H-Neurons and their controls.
        part: a part of the questions that were read.

    Returns:
        A line a rival, computed from the result; one line if the part lacks right or wrong answers.
    """
    collected = found.collected
    rows = collected.test_rows(part)
    title = collected.parts[part]
    if len(set(collected.labels[rows])) < 2:
        return f"{title}: right or wrong answers are lacking, so nothing is compared"
    read = collected.labelled(rows, found.probe.region)
    own = found.refitted.score(read.X)
    lines = [f"{title}: AUROC {found.detection(Detector.H_NEURONS, part).auroc} on {len(rows)} answers"]
    for kind, what in (("any", "what shuffled labels pick"), ("loud", "random neurons as loud")):
        compared = found.against(kind).on(read)
        told = sentence(what, compared.beyond, compared.sets)
        lines.append(f"{told}; rank among {len(compared.sets)} sets: p = {compared.rank_p:.2f}")
    for rival, what in ((found.words, "the answer's words"), (-collected.confidence, "the model's confidence")):
        lines.append(sentence(what, auroc_difference(read.labels, own, rival[rows], read.groups)))
    return "\n  ".join(lines)


def verdicts_told(intervened: Intervened) -> str:
    """What may be said of each behaviour, and the smallest rise that would have been seen; a line a behaviour."""
    lines = []
    for name, verdict in verdicts(intervened.curves).items():
        least = detectable(intervened.curves[name], len(intervened.curves))
        seen = f"a rise of {least:.0f} points per alpha would have been seen four times out of five"
        lines.append(f"{behaviour_called(name).title}: {verdict}" + ("" if np.isnan(least) else f"; {seen}"))
    return "\n".join(lines)


def whole_run(study: Study) -> str:
    """What the whole run found, of which this notebook reads a part, from its shipped numbers.

    Args:
        study: the study.

    Returns:
        Its number of H-Neurons and what they detect, beside the hardest control; or that no numbers are shipped.
    """
    path = DATA / study.name / "summary.json"
    if not path.exists():
        return f"the numbers of a whole run of {study.name} are not shipped"
    told = json.loads(path.read_text(encoding="utf-8"))
    first = next(row for row in told["detection"] if row["detector"] == Detector.H_NEURONS)
    auroc, beyond = Estimate(**first["auroc"]), Estimate(**told["beyond"]["any"])
    return (
        f"the whole run: {told['h_neurons']} H-Neurons, AUROC {auroc} on {first['test_set']}, "
        f"{sentence('what shuffled labels pick', beyond)}"
    )
