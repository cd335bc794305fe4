"""What every claim stands beside: intervals, random sets of neurons, shuffled labels."""

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
        """That of a normal distribution with this interval."""
        return (self.high - self.low) / (2 * 1.96)

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def spread(values: np.ndarray, n: int) -> Estimate:
    """Mean over control sets, and the range that holds 95 % of them; `n` questions behind each."""
    low, high = np.percentile(values, [2.5, 97.5])
    return Estimate(float(np.mean(values)), float(low), float(high), n)


def resampled(
    statistic: Callable[..., Any],
    *columns: np.ndarray,
    groups: Sequence[str] | np.ndarray | None = None,
    n: int = _N_BOOTSTRAP,
    seed: int = 0,
) -> Float[np.ndarray, "draw"]:
    """A statistic of row-aligned columns over `n` draws of rows.

    With `groups`, whole groups are drawn (the questions about one entity stand or fall together). Raises ValueError if
    the columns differ in length or are empty.
    """
    size = len(columns[0])
    if not size or any(len(c) != size for c in columns):
        raise ValueError(f"bootstrap needs columns of one length above 0, got {[len(c) for c in columns]}")
    if groups is not None and len(groups) != size:
        raise ValueError(f"{len(groups)} groups do not fit {size} rows: name the group of each row")
    _, member = np.unique(np.arange(size) if groups is None else np.asarray(groups), return_inverse=True)
    rng, n_groups = np.random.default_rng(seed), int(member.max()) + 1
    chosen = rng.integers(n_groups, size=(n, n_groups)) + n_groups * np.arange(n)[:, None]  # each draw in its own row
    drawn = np.bincount(chosen.ravel(), minlength=n * n_groups).astype(float).reshape(n, n_groups)
    by_row = np.ascontiguousarray(drawn.T)[member]  # laid out so that statistics may sort rows at little cost
    return statistic(*columns, weights=by_row.T)


def bootstrap(
    statistic: Callable[..., Any],
    *columns: np.ndarray,
    groups: Sequence[str] | np.ndarray | None = None,
    n: int = _N_BOOTSTRAP,
    seed: int = 0,
) -> Estimate:
    """A statistic of row-aligned columns, with a percentile interval over rows, or groups, drawn as in `resampled`."""
    columns = tuple(np.asarray(c) for c in columns)
    draws = resampled(statistic, *columns, groups=groups, n=n, seed=seed)
    return interval(float(statistic(*columns)), draws, len(columns[0]))


def interval(value: float, draws: Float[np.ndarray, "draw"], n: int) -> Estimate:
    """A number with the range that holds 95 % of its bootstrap draws; those that are nan are left out."""
    low, high = np.nanpercentile(draws, [2.5, 97.5]) if not np.isnan(draws).all() else (float("nan"),) * 2
    return Estimate(float(value), float(low), float(high), n)


def auroc_difference(labels: np.ndarray, one: np.ndarray, other: np.ndarray, groups: np.ndarray) -> Estimate:
    """AUROC of one score minus that of another, on the same resampled groups."""

    def difference(y: np.ndarray, a: np.ndarray, b: np.ndarray, weights: Weights | None = None) -> Any:
        return auroc(y, a, weights) - auroc(y, b, weights)

    return bootstrap(difference, labels, one, other, groups=groups)


def _less_mean_of_sets(measure: Callable[..., Any], n_sets: int) -> Callable[..., Any]:
    """The statistic of `beyond_random`: a measure of one set minus its mean over random sets, which are drawn again
    with the rows."""

    def difference(own: np.ndarray, random: np.ndarray, *labels: np.ndarray, weights: Weights | None = None) -> Any:
        each = np.array([measure(*labels, column, weights=weights) for column in random.T])
        if weights is None:
            return float(measure(*labels, own) - each.mean())
        return measure(*labels, own, weights=weights) - (sets_drawn_again(len(weights), n_sets) * each.T).sum(1)

    return difference


def sets_drawn_again(n_draws: int, n_sets: int) -> Float[np.ndarray, "draw set"]:
    """The weight of each random set in each draw of as many, with replacement."""
    return np.random.default_rng(1).multinomial(n_sets, np.full(n_sets, 1 / n_sets), size=n_draws) / n_sets


def beyond_random(
    measure: Callable[..., Any],
    own: Float[np.ndarray, "row"],
    random: Float[np.ndarray, "row set"],
    groups: Sequence[str] | np.ndarray,
    *labels: np.ndarray,
) -> Estimate:
    """A measure of one set of neurons minus its mean over random sets. The interval is for other people *and* other
    random sets: both are drawn again."""
    if not random.shape[1]:
        return Estimate(float("nan"), float("nan"), float("nan"), len(own))
    return bootstrap(_less_mean_of_sets(measure, random.shape[1]), own, random, *labels, groups=groups)


def beyond_random_p(
    measure: Callable[..., Any],
    own: Float[np.ndarray, "row"],
    random: Float[np.ndarray, "row set"],
    groups: Sequence[str] | np.ndarray,
) -> float:
    """Two-sided p of the same difference: twice the share of draws on the other side of zero."""
    return two_sided_p(resampled(_less_mean_of_sets(measure, random.shape[1]), own, random, groups=groups))


def two_sided_p(draws: Float[np.ndarray, "draw"]) -> float:
    """Twice the share of bootstrap draws on the other side of zero; one that is nan is on both sides."""
    beyond_zero = min((~(draws > 0)).sum(), (~(draws < 0)).sum())
    return float(min(1, 2 * (1 + beyond_zero) / (1 + len(draws))))


# --- as loud as the neurons under study -----------------------------------------------------------------------------
