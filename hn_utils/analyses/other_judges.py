"""Does the set depend on the dice and on the judge?"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hn_utils.answers.examples import NothingConsistent, Response
from hn_utils.contributions.collect import answered
from hn_utils.contributions.collected import MIN_TO_TRAIN, Collected
from hn_utils.probing.find import Found, fit_on
from hn_utils.probing.probe import NoHNeurons
from hn_utils.questions.question import Question
from hn_utils.questions.reading.same_answer import normalise

Way = Callable[[Question, Sequence[Response]], list[Response]]


def _judged_exactly(question: Question, drawn: Sequence[Response]) -> list[Response]:
    """Right only if the response is an accepted answer and nothing else."""
    accepted = {normalise(alias) for alias in question.aliases}
    return [
        replace(r, verdict="wrong") if r.verdict == "right" and normalise(r.text) not in accepted else r for r in drawn
    ]


def judged_again(found: Found) -> dict[str, np.ndarray]:
    """The H-Neurons that the same people's answers would have given had they been drawn or judged otherwise: from half
    of each question's draws, from the other half, and by exact match, the strictest judge there is.

    Args:
        found: the H-Neurons; the test entities are left out.

    Returns:
        Sets of neurons as flat indices [neuron], by what was changed. Left out are those where too little is
        consistent, or no neuron has a positive weight.

    Source:
        What is varied are the draws and the judge of Gao et al. 2025, section 6.1.

    Halves of the draws make the consistency filter easier to pass: the sets differ for that, too, and not by chance
    alone.
    """
    half = found.study.sampling.n // 2
    ways: dict[str, Way] = {
        f"the first {half} draws": lambda _, drawn: list(drawn[:half]),
        f"the last {half} draws": lambda _, drawn: list(drawn[-half:]),
        "exact match": _judged_exactly,
    }
    sets = {}
    for name, way in ways.items():
        with contextlib.suppress(NothingConsistent, NoHNeurons):
            again = _answers_by(found.collected, way)
            if enough(again):
                train = again.training_rows()
                validation = again.rows("validation")
                probe = fit_on(again, train, validation, found.probe.region, found.probe.other)
                sets[name] = probe.fit.h_neurons
    return sets


def _answers_by(collected: Collected, way: Way) -> Collected:
    """The answers to the standard questions outside the test set, drawn or judged in another way."""
    asked = [i for i, q in enumerate(collected.questions) if q.part == "standard" and q.split != "test"]
    questions = [collected.questions[i] for i in asked]
    drawn = [way(q, collected.responses[i]) for q, i in zip(questions, asked, strict=True)]
    return answered(collected, questions, drawn)


def enough(again: Collected) -> bool:
    """Enough right and wrong answers to train on, and some to choose C on?

    Args:
        again: answers, judged in another way.

    Returns:
        Whether there are MIN_TO_TRAIN of either kind in training and one of either in validation.
    """
    rows = (again.training_rows(), again.rows("validation"))
    n_train, n_validation = (np.bincount(again.labels[some], minlength=2).min() for some in rows)
    return n_train >= MIN_TO_TRAIN and n_validation > 0
