"""Exercise of notebook 6: a condition that has everything but what is thought to matter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hn_utils.course.mistakes import Mistake

_N_SEEDS = 40
Twin = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def check_twin(answer: Twin) -> None:
    """Whether each chat abstains and whom it is about, and a seed, to whether each abstains in the twin."""
    people = np.array([f"person {i}" for i in np.random.default_rng(4).integers(0, 40, 400)])
    abstained = np.array([int(name.split()[1]) >= 25 for name in people])  # the little known
    drawn = [np.asarray(answer(abstained.copy(), people.copy(), seed)) for seed in range(_N_SEEDS)]
    if any(one.shape != people.shape for one in drawn):
        raise Mistake(f"expected an answer a chat, {len(people)}, got shape {drawn[0].shape}")
    drawn = [one.astype(bool) for one in drawn]
    if any(one.sum() != abstained.sum() for one in drawn):
        raise Mistake(
            f"{drawn[0].sum()} abstentions where there were {abstained.sum()}: with another number, that number could "
            "be what matters"
        )
    if np.array_equal(drawn[0], abstained):
        raise Mistake("these are the very chats that abstained before: the twin must not follow who is known")
    if any(sum(0 < one[people == name].mean() < 1 for name in np.unique(people)) > 1 for one in drawn):
        raise Mistake("most people are met with both: draw people, not chats, or the twin differs in that as well")
    if not np.array_equal(drawn[0], np.asarray(answer(abstained.copy(), people.copy(), 0)).astype(bool)):
        raise Mistake("the same seed gives another twin: make it come out the same when it is run again")
    if len({one.tobytes() for one in drawn}) < _N_SEEDS // 2:
        raise Mistake("different seeds give the same twin: one lot may happen to follow who is known")
    shared = np.mean([(one & abstained).sum() / abstained.sum() for one in drawn])
    if abs(shared - abstained.mean()) > 0.15:  # some five standard errors over the seeds
        raise Mistake(f"{shared:.0%} of the old abstentions are in the twin; by lot it would be {abstained.mean():.0%}")


def package_twin(abstained: np.ndarray, people: np.ndarray, seed: int) -> np.ndarray:
    """People in a random order; the chats of the first of them, as many as abstained."""
    order = np.random.default_rng(seed).permutation(np.unique(people))
    place = {person: i for i, person in enumerate(order)}
    first = np.argsort([place[person] for person in people], kind="stable")[: int(np.sum(abstained))]
    return np.isin(np.arange(len(people)), first)
