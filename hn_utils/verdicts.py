"""Which dose-response curves stand out from random neurons? Verdicts on a family of curves, corrected for its size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.stats import norm
from scipy.stats import t as student

from hn_utils.controls import Estimate
from hn_utils.curves import DoseResponse
from hn_utils.items import behaviour_called

N_SETS_FOR_A_VERDICT = 19
LEVEL = 0.05
POWER = 0.8
Word = Literal["rises", "falls", "not told apart from random neurons", "too few random sets to say"]


@dataclass(frozen=True)
class Verdict:
    """What may be said of one curve; `p` is two-sided and corrected for its family, None with too few random sets."""

    word: Word
    p: float | None

    def __str__(self) -> str:
        return self.word if self.p is None else f"{self.word} (corrected p = {self.p:.3f})"


def holm(p: Float[np.ndarray, "*family test"]) -> Float[np.ndarray, "*family test"]:
    """P-values corrected for the size of their family: the smallest times the number of tests, the next times one
    fewer, and so on, none below the one before (Holm 1979).

    Below 0.05 the chance of any false alarm in the family is at most 0.05, however the tests depend on each other.
    """
    order, n = np.argsort(p, axis=-1), p.shape[-1]
    raised = np.maximum.accumulate(np.take_along_axis(p, order, -1) * np.arange(n, 0, -1), axis=-1)
    return np.minimum(1, np.take_along_axis(raised, np.argsort(order, axis=-1), -1))


def one_more(own: Float[np.ndarray, "*curve"], sets: Float[np.ndarray, "*curve set"]) -> Float[np.ndarray, "*curve"]:
    """Two-sided p of a slope as one more draw among those of random sets: Student's t for a new observation,
    t = (own - mean) / (sd * sqrt(1 + 1/n)), n - 1 degrees of freedom.

    Exact if slopes of random sets are about normal. Unlike a rank it can fall below 1/(n + 1), so that it can be
    corrected for several curves; it leans on the normal tails for that.
    """
    n = sets.shape[-1]
    away, scale = np.abs(own - sets.mean(-1)), scale_of_one_more(sets)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(away == 0, 0, away / scale)  # sets that do not differ at all: only their very slope is usual
    return 2 * student.sf(t, n - 1)


def scale_of_one_more(sets: Float[np.ndarray, "*curve set"]) -> Float[np.ndarray, "*curve"]:
    """How far a new observation lies from the mean of those before it, in units of Student's t."""
    return sets.std(-1, ddof=1) * np.sqrt(1 + 1 / sets.shape[-1])


def p_value(curve: DoseResponse) -> float:
    """Two-sided p of one curve, uncorrected: the larger of two, so that it is small only if both are.

    One is the bootstrap's, for the slope beyond random over people and sets; the other that of `one_more`.
    """
    return max(curve.p_beyond_random(), float(one_more(np.array(curve.slope().value), curve.control_slopes())))


def verdicts(curves: Mapping[str, DoseResponse]) -> dict[str, Verdict]:
    """Rises or falls only if the curve's p, corrected by Holm over all these curves, is at most LEVEL.

    The curves are one family: the over-compliance behaviours of one set of neurons, or its capability checks. Those
    with fewer than N_SETS_FOR_A_VERDICT sets get no verdict: with so few, how slopes of random sets are spread is
    hardly known.
    """
    able = [name for name, curve in curves.items() if len(curve.control_outcomes) >= N_SETS_FOR_A_VERDICT]
    corrected = dict(zip(able, holm(np.array([p_value(curves[name]) for name in able])).tolist(), strict=True))

    def verdict(name: str, curve: DoseResponse) -> Verdict:
        if name not in corrected:
            return Verdict("too few random sets to say", None)
        if corrected[name] > LEVEL:
            return Verdict("not told apart from random neurons", corrected[name])
        return Verdict("rises" if curve.slope_beyond_random().value > 0 else "falls", corrected[name])

    return {name: verdict(name, curve) for name, curve in curves.items()}


def detectable(curve: DoseResponse, n_curves: int = 1) -> float:
    """The smallest slope beyond random, in points per unit of alpha, that a verdict would have called a rise in a share
    POWER of all samples of people, given how far random sets and people spread here: a null leaves open what is below.

    `n_curves` share the verdict, the others with nothing in them (so Holm multiplies by their number). nan with too few
    random sets for a verdict.
    """
    return smallest_seen(curve.slope_beyond_random(), curve.control_slopes(), n_curves)


def smallest_seen(beyond: Estimate, sets: Float[np.ndarray, "set"], n_tests: int) -> float:
    """`detectable` for any difference `beyond` random sets, whose own values are `sets`, and `n_tests` that share the
    verdict."""
    if len(sets) < N_SETS_FOR_A_VERDICT:
        return float("nan")
    level, error = LEVEL / n_tests, (beyond.high - beyond.low) / (2 * norm.isf(LEVEL / 2))
    one_more_set = student.isf(level / 2, len(sets) - 1) * scale_of_one_more(sets)
    return float(max(one_more_set, norm.isf(level / 2) * error) + norm.isf(1 - POWER) * error)


def outermost(curve: DoseResponse) -> str | None:
    """Whether the slope is the highest, or the lowest, of all sets, its own included."""
    n = 1 + len(curve.control_outcomes)
    for sign, word in ((1, "highest"), (-1, "lowest")):
        if round(curve.rank_p(sign) * n) == 1:
            return f"{word} of {n}"
    return None


def outermost_told(curves: Mapping[str, DoseResponse]) -> str:
    """A sentence that names every curve whose slope lies beyond those of all random sets, whatever its verdict, and
    says how many such curves there would be by chance."""
    places = {name: outermost(curve) for name, curve in curves.items()}
    found = [f"{behaviour_called(name).title.lower()} ({place})" for name, place in places.items() if place]
    chance = sum(2 / (1 + len(curve.control_outcomes)) for curve in curves.values())
    told = ", ".join(found) or "none"
    return f"Slopes beyond those of all random sets: {told}. By chance {chance:.1f} of {len(curves)} would be."
