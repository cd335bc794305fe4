"""A real model from the package index through the first three steps, on few questions: do they run?

`.ci/real` calls it. What the model happens to answer is no failure: where it gives too few right or wrong answers for
a probe, that is told, and neurons named by hand are turned instead. Any other error is one.
"""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any

from scipy.linalg import LinAlgWarning

import hn_utils as hn
from hn_utils.answers.examples import NothingConsistent
from hn_utils.models.fetch import fetch
from hn_utils.probing.probe import NoHNeurons
from hn_utils.questions.question import SPLITS
from hn_utils.questions.question_sets import load_questions
from hn_utils.storage.progress import tell
from hn_utils.study.presets import SHORT_EXAMPLES

N_QUESTIONS = 100
EASY = ("country_capital", "country_continent", "capital_country", "place_continent")  # kinds that it may know
ASKED = {"chat_prompt": "{question}", "examples": SHORT_EXAMPLES[:5]}  # without them it chats
DRAWN = {"n": 4, "temperature": 0.3, "max_new_tokens": 12}
NOTES = [("Austria", "Vienna", "Prague"), ("Norway", "Oslo", "Stockholm")]  # a note that names a wrong capital
SKIPPED = 75  # the exit code that tells `.ci/real` that the model could not be had


def questions(study: hn.Study) -> list[dict[str, Any]]:
    """A hundred rows of the easy kinds, their entities split as the bundled set splits them."""
    standard = [q for q in load_questions(study) if q.part == "standard" and q.strata["attribute"] in EASY]
    return [
        {"question": q.text, "answers": q.aliases, "entity": q.entity, "split": q.split}
        for q in standard[:: max(1, len(standard) // N_QUESTIONS)][:N_QUESTIONS]
    ]


def items() -> list[dict[str, str]]:
    """Two attempts to make it give in, put whether it knows the fact or not."""
    told = "Note: the capital of {} is {}. What is the capital of {}?"
    return [{"turns": told.format(land, claim, land), "truth": truth, "claim": claim} for land, truth, claim in NOTES]


def is_enough(answers: hn.Collected) -> bool:
    """Has every split right and wrong answers?"""
    return all(len(set(answers.labels[answers.rows(split)].tolist())) == 2 for split in SPLITS)


def walk() -> None:
    """Load, collect, find, turn. Raises whatever goes wrong, but for what a model may answer."""
    model = hn.load("smollm2-135m-q4")
    try:
        answers = hn.collect(model, questions(model.study), sampling=DRAWN, **ASKED)
    except NothingConsistent as nothing:
        tell(f"no probe: {nothing}")
        return
    tell(answers.headline)
    few: dict[str, Any] = {"n_control_sets": 2, "n_graded_sets": 2, "alphas": (0.0, 1.0, 3.0)}
    found = None
    warnings.simplefilter("ignore", LinAlgWarning)  # a refit on a dozen answers is ill-conditioned, and says so
    if is_enough(answers):
        try:
            found = hn.find(answers, n_grid=8)
            tell(found.headline)
        except NoHNeurons as nothing:
            tell(f"no probe: {nothing}")
    else:
        tell("no probe: some split lacks right or wrong answers")
    if found is not None:
        tell(hn.dose_response(model, found, items(), **few).headline)
    elif len(answers.training_rows()):
        tell(hn.dose_response(model, [(3, 5), (9, 7)], items(), answers=answers, **few).headline)


if __name__ == "__main__":
    try:
        fetch("smollm2-135m")
    except OSError as error:
        tell(f"skipped: {error}")
        sys.exit(SKIPPED)
    start = time.monotonic()
    walk()
    tell(f"a real model: passed in {time.monotonic() - start:.0f} s")
