"""How far out does one value lie among those of control sets? A sequential rank test, and Holm's correction.

Under the null the set under study is one more draw of the procedure that made the control sets, so that every rank is
equally likely, whatever the values' distribution. Control sets are drawn one after another: a tail is settled as soon
as ENOUGH of them lie as far out (Besag & Clifford 1991, *Sequential Monte Carlo p-values*), and no more are drawn once
none can change a verdict (`possible_p`). So a null takes a dozen sets, and only what may be an effect goes on to as
many as there are. ENOUGH is so chosen that who has as many
beyond it in either tail cannot reach LEVEL any more with 199 sets, corrected or not.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

LEVEL = 0.05
_ENOUGH = 5  # control sets as far out settle a tail
_ROUNDING = 1e-9  # values closer than this are equal


def tail_p(own: float, sets: Float[np.ndarray, "set"]) -> float:
    """One-sided p of a value as large, control sets in the order in which they were drawn.

    It is ENOUGH over the number of sets up to the last of ENOUGH that are as large; if there are fewer, their share,
    the value itself included.

    Args:
        own: the value of the set under study, in any unit.
        sets: that of each control set, in the order in which they were drawn, [set].

    Returns:
        A p from 1 / (1 + number of sets) to 1, not corrected for other tests.

    Source:
        Besag & Clifford 1991.
    """
    as_large = np.cumsum(~(np.asarray(sets) < own - _ROUNDING))  # one that is no number counts as large
    if len(as_large) and as_large[-1] >= _ENOUGH:
        return _ENOUGH / (1 + int(np.argmax(as_large >= _ENOUGH)))
    return (1 + int(as_large[-1] if len(as_large) else 0)) / (1 + len(as_large))


def two_sided_rank_p(own: float, sets: Float[np.ndarray, "set"]) -> float:
    """Twice the smaller of the p of both tails, at most 1.

    Args:
        own: the value of the set under study, in any unit.
        sets: that of each control set, in the order in which they were drawn, [set].

    Returns:
        A p from 2 / (1 + number of sets) to 1, not corrected for other tests. It compares with sets of neurons; other
        people or questions are not drawn.

    Source:
        Besag & Clifford 1991.
    """
    return min(1.0, 2 * min(tail_p(own, sets), tail_p(-own, -np.asarray(sets))))


def settled(own: float, sets: Float[np.ndarray, "set"]) -> bool:
    """Do ENOUGH sets lie as far out on either side, so that no further set can change the p?

    Args:
        own: the value of the set under study, in any unit.
        sets: that of each control set so far, [set].

    Returns:
        Whether no more sets are needed.

    Source:
        Besag & Clifford 1991, the stopping rule.
    """
    sets = np.asarray(sets)
    above = int((sets >= own - _ROUNDING).sum())
    below = int((sets <= own + _ROUNDING).sum())
    return min(above, below) >= _ENOUGH


def possible_p(own: float, sets: Float[np.ndarray, "set"], n_at_most: int) -> float:
    """The smallest two-sided p that could still come out, if no further one of `n_at_most` sets lay as far out.

    Once this is above the level, after correction, no further set needs to be drawn: the p of those that were drawn can
    only be larger.

    Args:
        own: the value of the set under study, in any unit.
        sets: that of each control set so far, [set].
        n_at_most: how many sets there will be at most.

    Returns:
        A p from 2 / (1 + `n_at_most`) to 1, not corrected for other tests.
    """
    sets = np.asarray(sets)
    above = int((~(sets < own - _ROUNDING)).sum())
    below = int((~(sets > own + _ROUNDING)).sum())
    return min(1.0, 2 * (1 + min(above, below)) / (1 + max(n_at_most, len(sets))))


def sets_differ(n_different: int, n_sets: int) -> bool:
    """Whether at least half of the control sets are different sets: among one and the same a rank says nothing.

    Args:
        n_different: how many different sets were drawn.
        n_sets: how many sets were drawn.

    Returns:
        Whether a rank among them may be read.
    """
    return 2 * n_different >= n_sets


def least_p(n_sets: int) -> float:
    """The smallest two-sided p that so many sets can give.

    Args:
        n_sets: how many control sets there are.

    Returns:
        2 / (1 + `n_sets`), at most 1.
    """
    return min(1.0, 2 / (1 + n_sets))


def sets_needed(n_tests: int) -> int:
    """How many sets can make one of so many tests significant, once it is corrected for all of them.

    Its p is then below LEVEL, not just at it, so that no rounding decides.

    Args:
        n_tests: how many tests share the verdict.

    Returns:
        A number of control sets. With as many a test can be significant; that it will be is not said.
    """
    return math.ceil(2 * n_tests / LEVEL)


def holm(p: Float[np.ndarray, "*family test"]) -> Float[np.ndarray, "*family test"]:
    """P-values corrected for the size of their family.

    The smallest is multiplied by the number of tests, the next by one fewer, and so on, none below the one before.
    Below 0.05 the chance of any false alarm in the family is at most 0.05, however the tests depend on each other.

    Args:
        p: of the tests of each family, [..., test].

    Returns:
        Corrected p, at most 1, of the same shape and in the same order, [..., test].

    Source:
        Holm 1979.
    """
    order = np.argsort(p, axis=-1)
    in_order = np.take_along_axis(p, order, -1)  # [..., rank]
    raised = np.maximum.accumulate(in_order * np.arange(p.shape[-1], 0, -1), axis=-1)
    return np.minimum(1, np.take_along_axis(raised, np.argsort(order, axis=-1), -1))  # [..., test]


def shuffled(labels: np.ndarray, seed: int) -> np.ndarray:
    """The same labels in random order: whatever a method finds on these, it finds in noise.

    Args:
        labels: one for each row, [row].
        seed: of the order.

    Returns:
        The same labels, [row].
    """
    return np.random.default_rng(seed).permutation(labels)
