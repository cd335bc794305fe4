"""Which dose-response curves stand out from their controls? Verdicts on a family of curves, corrected for its size.

A verdict is given against the hardest controls: what the same procedure picks on shuffled labels, and random sets that
are as loud together; both are turned such that they disturb as much. The slope must stand out among either by its rank,
whatever the distribution of theirs, and beyond either over people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float
from scipy.stats import norm
from scipy.stats import t as student

from hn_utils.questions.items import behaviour_called
from hn_utils.stats.rank_test import LEVEL, holm, least_p, sets_differ
from hn_utils.steering.curves import DoseResponse, GradedResponse

if TYPE_CHECKING:
    from hn_utils.stats.bootstrap import Estimate

POWER = 0.8
Word = Literal[
    "rises",
    "falls",
    "lies above its controls",
    "lies below its controls",
    "not told apart",
    "too few control sets to say",
]
Curve = DoseResponse | GradedResponse


@dataclass(frozen=True)
class Verdict:
    """What may be said of one curve; `p` is two-sided and corrected for its family, None with too few control sets."""

    word: Word
    p: float | None

    def __str__(self) -> str:
        return self.word if self.p is None else f"{self.word} (corrected p = {self.p:.3f})"


def compared(curve: Curve) -> list[Curve]:
    """The curve beside each kind of control that was drawn."""
    both = [curve] if curve.loud is None else [curve, curve.loud]
    return [one for one in both if len(one.control_values)]


def p_value(curve: Curve) -> float:
    """Two-sided p of one curve, uncorrected: the largest of several, so that it is small only if all are.

    Beside each kind of control there are two: that of the slope's rank, and the bootstrap's, for the slope beyond the
    control over people and sets. 1 if there is no control, or if the slope lies above one kind and below the other.

    The H-Neurons are left out of what shuffled labels may pick here, so that they are no draw of that procedure: its
    rank asks whether they do more than whatever else would have been picked, and its p leans on the random sets, among
    which they might be one more. Where shuffled labels pick few different sets that rank says little.
    """
    kinds = compared(curve)
    if len({one.slope_value > one.control_slopes().mean() for one in kinds}) != 1:
        return 1.0
    return max(max(one.p_of_rank(), one.p_of_people()) for one in kinds)


def _enough_sets(curve: Curve, n_curves: int) -> bool:
    """Could this curve have been told apart, or is it settled that it is not?

    A rank among few sets cannot be small enough once it is corrected for `n_curves`. But if more would have been drawn
    for an effect, it is known that there is none; and ENOUGH sets as far out on either side settle it as well. Of one
    kind at least the sets must differ: where shuffled labels pick one set again and again, random sets are needed.
    """
    kinds = compared(curve)
    if any(one.is_settled for one in kinds):
        return True
    n_sets = [max(one.n_at_most, len(one.control_values)) for one in kinds]
    differ = any(sets_differ(one.n_different, len(one.control_values)) for one in kinds)
    return differ and all(least_p(n) * n_curves <= LEVEL for n in n_sets)


def verdicts(curves: Mapping[str, Curve]) -> dict[str, Verdict]:
    """Rises or falls only if the curve's p, corrected by Holm over all these curves, is at most LEVEL, and the curve
    itself does so. If it only falls less than its controls, say, it lies above them: that they break the model is no
    effect of the neurons under study.

    The curves are one family: the over-compliance behaviours of one set of neurons, or its capability checks. Those
    with too few control sets get no verdict.
    """
    able = [name for name, curve in curves.items() if _enough_sets(curve, len(curves))]
    corrected = dict(zip(able, holm(np.array([p_value(curves[name]) for name in able])).tolist(), strict=True))

    def verdict(name: str, curve: Curve) -> Verdict:
        if name not in corrected:
            return Verdict("too few control sets to say", None)
        if corrected[name] > LEVEL:
            return Verdict("not told apart", corrected[name])
        return Verdict(_direction(curve), corrected[name])

    return {name: verdict(name, curve) for name, curve in curves.items()}


def _direction(curve: Curve) -> Word:
    """Which way a curve goes that is told apart from its controls."""
    own = curve.slope().direction()
    if compared(curve)[0].slope_beyond_control().value > 0:
        return "rises" if own > 0 else "lies above its controls"
    return "falls" if own < 0 else "lies below its controls"


def detectable(curve: Curve, n_curves: int = 1) -> float:
    """The smallest slope beyond its controls, per unit of alpha, that a verdict would have called a rise in a share
    POWER of all samples of people, given how far control sets and people spread here: a null leaves open what is below.

    `n_curves` share the verdict, the others with nothing in them (so Holm multiplies by their number). A null stops
    after few sets, so how far the outermost of many would lie is read off a normal distribution of theirs: where a few
    sets do much and most do nothing, more would be needed. nan with too few sets.
    """
    if not _enough_sets(curve, n_curves):
        return float("nan")
    return max(smallest_seen(one.slope_beyond_control(), one.control_slopes(), n_curves) for one in compared(curve))


def smallest_seen(beyond: Estimate, sets: Float[np.ndarray, "set"], n_tests: int) -> float:
    """`detectable` for any difference `beyond` control sets, whose own values are `sets`, and `n_tests` that share the
    verdict."""
    level, error = LEVEL / n_tests, (beyond.high - beyond.low) / (2 * norm.isf(LEVEL / 2))
    outermost_set = student.isf(level / 2, len(sets) - 1) * sets.std(ddof=1) * np.sqrt(1 + 1 / len(sets))
    furthest = max(float(outermost_set), float(np.abs(sets - sets.mean()).max()))
    return float(max(furthest, norm.isf(level / 2) * error) + norm.isf(1 - POWER) * error)


def outermost(curve: Curve) -> str | None:
    """Whether the slope is the highest, or the lowest, of all control sets' and its own."""
    own, sets = curve.slope_value, curve.control_slopes()
    if len(sets) and own > sets.max() + 1e-9:
        return f"highest of {1 + len(sets)}"
    if len(sets) and own < sets.min() - 1e-9:
        return f"lowest of {1 + len(sets)}"
    return None


def outermost_told(curves: Mapping[str, Curve]) -> str:
    """A sentence that names every curve whose slope lies beyond those of all its control sets, whatever its verdict,
    and says how many such curves there would be by chance."""
    places = {name: outermost(curve) for name, curve in curves.items()}
    found = [f"{behaviour_called(name).title.lower()} ({place})" for name, place in places.items() if place]
    chance = sum(2 / (1 + len(curve.control_values)) for curve in curves.values())
    told = ", ".join(found) or "none"
    return f"Slopes beyond those of all control sets: {told}. By chance at most {chance:.1f} of {len(curves)} would be."
