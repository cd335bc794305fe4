"""Intervals by the bootstrap, over entities, of a statistic and of its difference from control sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from hn_utils.stats.metrics import Weights, auroc

_N_BOOTSTRAP = 1_000


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % bootstrap interval and the number of questions behind it."""

    value: float
    low: float
    high: float
    n: int

    @property
    def standard_error(self) -> float:
        """That of a normal distribution with this interval.

        Returns:
            In the unit of `value`. Where the interval is skewed it is that of neither side.
        """
        return (self.high - self.low) / (2 * 1.96)

    def direction(self, null: float = 0.0) -> int:
        """Where the whole interval lies: the one rule for "more than", "less than" and "not told apart".

        Args:
            null: what the number would be if there were nothing in it, in the unit of `value`.

        Returns:
            1 if the interval lies above the null, -1 if below, else 0: also if it ends at the null, or is nan. 0 is no
            evidence of the null.
        """
        return int(self.low > null) - int(self.high < null)

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def spread(values: np.ndarray, n: int) -> Estimate:
    """Mean over control sets, and the range that holds 95 % of them.

    Args:
        values: a number for each control set, [set], in any unit.
        n: how many questions are behind each.

    Returns:
        Their mean, with percentiles 2.5 and 97.5 in place of an interval: it is how far sets differ, not how well their
        mean is known.

    Raises:
        IndexError: there is no control set.
    """
    low, high = np.percentile(values, [2.5, 97.5])
    return Estimate(float(np.mean(values)), float(low), float(high), n)


def resampled(
    statistic: Callable[..., Any],
    *columns: np.ndarray,
    groups: Sequence[str] | np.ndarray | None = None,
    n: int = _N_BOOTSTRAP,
    seed: int = 0,
) -> Float[np.ndarray, "draw"]:
    """A statistic of row-aligned columns over many draws of rows.

    With `groups`, whole groups are drawn: the questions about one entity stand or fall together.

    Args:
        statistic: of the columns, and of `weights`, [draw, row]: how often each row was drawn.
        columns: arrays of one length, [row, ...].
        groups: the group of each row, [row]; None where each row is its own.
        n: number of draws.
        seed: of the draws; two statistics of the same seed and groups see the same draws.

    Returns:
        The statistic of each draw, [draw].

    Raises:
        ValueError: the columns differ in length or are empty, or the groups do not fit them.

    Source:
        Efron & Tibshirani 1993; whole groups: Davison & Hinkley 1997, section 3.8.
    """
    size = len(columns[0])
    if not size or any(len(c) != size for c in columns):
        raise ValueError(f"bootstrap needs columns of one length above 0, got {[len(c) for c in columns]}")
    if groups is not None and len(groups) != size:
        raise ValueError(f"{len(groups)} groups do not fit {size} rows: name the group of each row")
    _, member = np.unique(np.arange(size) if groups is None else np.asarray(groups), return_inverse=True)
    rng = np.random.default_rng(seed)
    n_groups = int(member.max()) + 1
    chosen = rng.integers(n_groups, size=(n, n_groups)) + n_groups * np.arange(n)[:, None]  # each draw in its own row
    drawn = np.bincount(chosen.ravel(), minlength=n * n_groups).astype(float)
    drawn = drawn.reshape(n, n_groups)  # [draw, group]
    by_row = np.ascontiguousarray(drawn.T)[member]  # [row, draw], so that statistics may sort rows at little cost
    return statistic(*columns, weights=by_row.T)


def bootstrap(
    statistic: Callable[..., Any],
    *columns: np.ndarray,
    groups: Sequence[str] | np.ndarray | None = None,
    n: int = _N_BOOTSTRAP,
    seed: int = 0,
) -> Estimate:
    """A statistic of row-aligned columns, with a percentile interval over rows, or groups, drawn as in `resampled`.

    Args:
        statistic: of the columns, and of `weights`, [draw, row].
        columns: arrays of one length, [row, ...].
        groups: the group of each row, [row]; None where each row is its own.
        n: number of draws.
        seed: of the draws.

    Returns:
        The statistic, its 95 % interval and the number of rows. The interval is for other rows, or groups, from where
        these came; for nothing else that was drawn or fitted.

    Raises:
        ValueError: as in `resampled`.

    Source:
        Efron & Tibshirani 1993, the percentile interval.
    """
    columns = tuple(np.asarray(c) for c in columns)
    draws = resampled(statistic, *columns, groups=groups, n=n, seed=seed)
    return interval(float(statistic(*columns)), draws, len(columns[0]))


def interval(value: float, draws: Float[np.ndarray, "draw"], n: int) -> Estimate:
    """A number with the range that holds 95 % of its bootstrap draws; those that are nan are left out.

    Args:
        value: the number, in any unit.
        draws: the same of each draw, [draw].
        n: how many questions are behind it.

    Returns:
        The number with its interval, whose ends are nan if all draws are.

    Source:
        Efron & Tibshirani 1993, the percentile interval.
    """
    low, high = np.nanpercentile(draws, [2.5, 97.5]) if not np.isnan(draws).all() else (float("nan"),) * 2
    return Estimate(float(value), float(low), float(high), n)


def auroc_difference(labels: np.ndarray, one: np.ndarray, other: np.ndarray, groups: np.ndarray) -> Estimate:
    """AUROC of one score minus that of another, on the same resampled groups.

    Args:
        labels: 1 for positives, [row].
        one: a score in any unit, [row].
        other: the score that it is compared with, [row].
        groups: the group of each row, [row].

    Returns:
        The difference, from -1 to 1, with its interval. Scores that order alike may still know different things.

    Raises:
        ValueError: the columns do not fit each other, or a score is NaN.
    """

    def difference(y: np.ndarray, a: np.ndarray, b: np.ndarray, weights: Weights | None = None) -> Any:
        return auroc(y, a, weights) - auroc(y, b, weights)

    return bootstrap(difference, labels, one, other, groups=groups)


def _minus_mean_of_controls(measure: Callable[..., Any], n_sets: int) -> Callable[..., Any]:
    """The statistic of `beyond_random`: a measure of one set minus its mean over random sets, which are drawn again
    with the rows."""

    def difference(own: np.ndarray, random: np.ndarray, *labels: np.ndarray, weights: Weights | None = None) -> Any:
        each = np.array([measure(*labels, column, weights=weights) for column in random.T])
        if weights is None:
            return float(measure(*labels, own) - each.mean())
        return measure(*labels, own, weights=weights) - (bootstrap_set_weights(len(weights), n_sets) * each.T).sum(1)

    return difference


def bootstrap_set_weights(n_draws: int, n_sets: int) -> Float[np.ndarray, "draw set"]:
    """The weight of each random set in each draw of as many, with replacement.

    Args:
        n_draws: number of draws.
        n_sets: number of sets.

    Returns:
        Weights from 0 to 1, [draw, set], that sum to 1 in each draw.

    Raises:
        ZeroDivisionError: there is no set.
    """
    return np.random.default_rng(1).multinomial(n_sets, np.full(n_sets, 1 / n_sets), size=n_draws) / n_sets


def beyond_random(
    measure: Callable[..., Any],
    own: Float[np.ndarray, "row"],
    random: Float[np.ndarray, "row set"],
    groups: Sequence[str] | np.ndarray,
    *labels: np.ndarray,
) -> Estimate:
    """A measure of one set of neurons minus its mean over random sets.

    The interval is for other people *and* other random sets: both are drawn again.

    Args:
        measure: of the labels, a score and `weights`, such as `auroc`.
        own: the score of the neurons under study, [row].
        random: that of each random set, [row, set].
        groups: the group of each row, [row].
        labels: what `measure` takes before the score, [row] each.

    Returns:
        The difference, in the unit of the measure, with its interval; nan without random sets.

    Raises:
        ValueError: the columns do not fit each other, or a score is NaN.

    Source:
        Owen & Eckles 2012: rows and columns of a crossed design drawn independently.
    """
    if not random.shape[1]:
        return Estimate(float("nan"), float("nan"), float("nan"), len(own))
    return bootstrap(_minus_mean_of_controls(measure, random.shape[1]), own, random, *labels, groups=groups)


def beyond_random_p(
    measure: Callable[..., Any],
    own: Float[np.ndarray, "row"],
    random: Float[np.ndarray, "row set"],
    groups: Sequence[str] | np.ndarray,
) -> float:
    """Two-sided p of the difference of `beyond_random`: twice the share of draws on the other side of zero.

    Args:
        measure: of a score and `weights`.
        own: the score of the neurons under study, [row].
        random: that of each random set, [row, set].
        groups: the group of each row, [row].

    Returns:
        A p from 2 / (1 + number of draws) to 1, not corrected for other tests.

    Raises:
        ValueError: the columns do not fit each other.
        ZeroDivisionError: there is no random set.
    """
    return two_sided_p(resampled(_minus_mean_of_controls(measure, random.shape[1]), own, random, groups=groups))


def two_sided_p(draws: Float[np.ndarray, "draw"]) -> float:
    """Twice the share of bootstrap draws on the other side of zero; one that is nan is on both sides.

    Args:
        draws: of a difference, [draw].

    Returns:
        A p from 2 / (1 + number of draws) to 1, not corrected for other tests.

    Source:
        Efron & Tibshirani 1993, the level at which the percentile interval meets zero; 1 is added to both counts as in
        Davison & Hinkley 1997, section 4.2.
    """
    beyond_zero = min((~(draws > 0)).sum(), (~(draws < 0)).sum())
    return float(min(1, 2 * (1 + beyond_zero) / (1 + len(draws))))
