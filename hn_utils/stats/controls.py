"""What every claim stands beside: intervals, random sets of neurons, shuffled labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

N_BOOTSTRAP = 1_000


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


# Statistics take `weights`: how often each row was drawn, in each of many draws; then they return a value a draw.
Weights = Float[np.ndarray, "draw row"]


def over_draws(values: np.ndarray, weights: Weights | None) -> Any:
    return float(values[0]) if weights is None else values


def mean(values: np.ndarray, weights: Weights | None = None) -> Any:
    """The mean; of weighted rows, if there are weights."""
    drawn = np.ones((1, len(values))) if weights is None else weights
    return over_draws(drawn @ np.asarray(values, float) / drawn.sum(1), weights)


def summed_by_score(scores: np.ndarray, *weights: Weights) -> list[Float[np.ndarray, "draw score"]]:
    """Weights of rows added up where scores tie, from the lowest score to the highest."""
    order = np.argsort(scores, kind="stable")
    first = np.flatnonzero(np.append(True, np.diff(scores[order]) != 0))  # of each new score
    return [np.add.reduceat(some[:, order], first, axis=1) for some in weights]


def scored(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and their scores. Raises ValueError if they do not fit each other, or a score is NaN: it has no order."""
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.shape != scores.shape:
        raise ValueError(f"{len(labels)} labels do not fit scores of shape {scores.shape}: give one to each")
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).sum())} of {len(scores)} scores are NaN: leave out those examples")
    return labels, scores


def auroc(labels: np.ndarray, scores: np.ndarray, weights: Weights | None = None) -> Any:
    """Chance that a random positive scores above a random negative, ties counting half; nan if a class is missing."""
    labels, scores = scored(labels, scores)
    drawn = np.ones((len(labels), 1)) if weights is None else weights.T
    positive, order = drawn[labels == 1], np.argsort(scores, kind="stable")
    order = order[labels[order] != 1]  # the negatives, from the lowest score to the highest
    up_to = np.zeros((len(order) + 1, drawn.shape[1]))
    torch.cumsum(torch.from_numpy(drawn[order]), 0, out=torch.from_numpy(up_to[1:]))  # numpy's takes five times as long
    below, not_above = (np.searchsorted(scores[order], scores[labels == 1], side) for side in ("left", "right"))
    area = np.einsum("pd,pd->d", positive, up_to[below])
    if (below != not_above).any():
        area = (area + np.einsum("pd,pd->d", positive, up_to[not_above])) / 2
    with np.errstate(invalid="ignore"):
        return over_draws(area / (positive.sum(0) * up_to[-1]), weights)


def average_precision(labels: np.ndarray, scores: np.ndarray, weights: Weights | None = None) -> Any:
    """AUPRC: mean precision at each positive, ties taken together; a random score gets the share of positives."""
    labels, scores = scored(labels, scores)
    drawn = np.ones((1, len(labels))) if weights is None else weights
    positive, every = summed_by_score(-scores, drawn * (labels == 1), drawn)
    precision = positive.cumsum(1) / np.maximum(every.cumsum(1), 1e-12)  # nobody drawn so far: no positive either
    with np.errstate(invalid="ignore"):
        return over_draws((positive * precision).sum(1) / positive.sum(1), weights)


def accuracy(labels: np.ndarray, scores: np.ndarray, weights: Weights | None = None) -> Any:
    """Mean of sensitivity and specificity at score 0: accuracy as if both classes were equally common."""
    labels, scores = scored(labels, scores)
    positive, above = labels == 1, scores > 0
    drawn = np.ones((1, len(positive))) if weights is None else weights
    with np.errstate(invalid="ignore"):
        sensitivity, specificity = (
            drawn @ (some & (above == positive)) / (drawn @ some) for some in (positive, ~positive)
        )
    return over_draws((sensitivity + specificity) / 2, weights)


def resampled(
    statistic: Callable[..., Any],
    *columns: np.ndarray,
    groups: Sequence[str] | np.ndarray | None = None,
    n: int = N_BOOTSTRAP,
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
    n: int = N_BOOTSTRAP,
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


def less_mean_of_sets(measure: Callable[..., Any], n_sets: int) -> Callable[..., Any]:
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
    return bootstrap(less_mean_of_sets(measure, random.shape[1]), own, random, *labels, groups=groups)


def beyond_random_p(
    measure: Callable[..., Any],
    own: Float[np.ndarray, "row"],
    random: Float[np.ndarray, "row set"],
    groups: Sequence[str] | np.ndarray,
) -> float:
    """Two-sided p of the same difference: twice the share of draws on the other side of zero."""
    return two_sided_p(resampled(less_mean_of_sets(measure, random.shape[1]), own, random, groups=groups))


def two_sided_p(draws: Float[np.ndarray, "draw"]) -> float:
    """Twice the share of bootstrap draws on the other side of zero; one that is nan is on both sides."""
    beyond_zero = min((~(draws > 0)).sum(), (~(draws < 0)).sum())
    return float(min(1, 2 * (1 + beyond_zero) / (1 + len(draws))))


@dataclass(frozen=True)
class Match:
    """How random sets resemble the chosen neurons.

    `by="layer"` keeps the number per layer; `by="magnitude"` moreover draws each stand-in from the 5 % of its layer
    nearest in `magnitude` (say, length of its weights). Of a neuron that is larger than all others the nearest are
    still smaller: `loud_sets` are for that.
    """

    by: str = "none"
    magnitude: Float[np.ndarray, "layer_neuron"] | None = None

    def __post_init__(self) -> None:
        if self.by not in ("none", "layer", "magnitude"):
            raise ValueError(f"match={self.by!r}: choose none, layer or magnitude")
        if self.by == "magnitude" and self.magnitude is None:
            raise ValueError("match='magnitude' needs the magnitude of every neuron")


def random_sets(
    chosen: Int[np.ndarray, "k"], shape: tuple[int, int], n_sets: int, match: Match | None = None, seed: int = 0
) -> list[Int[np.ndarray, "k"]]:
    """Sets of other neurons, as many as `chosen` (flat indices), drawn without replacement from a model of `shape`
    (layers, neurons in each), from anywhere or as `match` says.

    Raises ValueError for a set too large, or a neuron without a stand-in.
    """
    match, (n_layers, d_mlp) = match or Match(), shape
    rng, chosen = np.random.default_rng(seed), np.sort(np.asarray(chosen))
    allowed = np.setdiff1d(np.arange(n_layers * d_mlp), chosen)
    if len(allowed) < len(chosen):
        raise ValueError(f"{len(chosen)} neurons leave only {len(allowed)} others to draw from")
    if match.by == "none":
        return [np.sort(rng.choice(allowed, len(chosen), replace=False)) for _ in range(n_sets)]
    pools = stand_ins(chosen, allowed, d_mlp, match)
    places = [{neuron: place for place, neuron in enumerate(pool)} for pool in pools]
    return [one_of_each(pools, places, rng) for _ in range(n_sets)]


def stand_ins(chosen: Int[np.ndarray, "k"], allowed: Int[np.ndarray, "n"], d_mlp: int, match: Match) -> list[list[int]]:
    """For each chosen neuron those that may stand in for it, in rising order."""
    found = []
    for neuron in chosen:
        pool = allowed[allowed // d_mlp == neuron // d_mlp]
        if match.magnitude is not None and match.by == "magnitude":
            own, others = match.magnitude[neuron], match.magnitude[pool]
            nearest = np.argsort(np.abs(others - own))
            pool = pool[nearest[: max(len(chosen) + 1, d_mlp // 20)]]
        found.append(np.sort(pool).tolist())
    return found


def one_of_each(pools: list[list[int]], places: list[dict[int, int]], rng: np.random.Generator) -> Int[np.ndarray, "k"]:
    """A set with one neuron from each pool, none of them twice; `places` say where in its pool each neuron is."""
    drawn: list[int] = []
    for pool, place in zip(pools, places, strict=True):
        taken = sorted(place[d] for d in drawn if d in place)
        if len(taken) == len(pool):
            raise ValueError("a neuron has too few others of its layer to stand in for it: match by none")
        pick = int(rng.integers(len(pool) - len(taken)))
        for t in taken:  # count past those that are taken
            pick += pick >= t
        drawn.append(pool[pick])
    return np.sort(drawn)


# --- as loud as the neurons under study -----------------------------------------------------------------------------

EQUAL = 0.1  # sets whose summed mean contributions differ by no more than this share of them count as equally loud
ORDERS = 20  # of a layer's neurons, in which a set is looked for
LOUDER = 20.0  # times as far from 1 as the studied neurons' alpha may a quieter set's be


def loud_sets(
    chosen: Int[np.ndarray, "k"],
    shape: tuple[int, int],
    magnitude: Float[np.ndarray, "layer_neuron"],
    n_sets: int,
    seed: int = 0,
) -> list[Int[np.ndarray, "m"]]:
    """Random sets of other neurons that are together as loud as `chosen` (flat indices), layer by layer.

    L1 picks neurons that are louder than nearly all others, so that as many random ones are far quieter. Here each set
    takes neurons of a layer, in random order, until their summed `magnitude` (mean contribution) comes nearest to that
    of the chosen ones of this layer; other orders are tried, if that is not within EQUAL. So a set holds more neurons
    than there are chosen ones. Where all others of a layer are quieter together than its chosen ones it takes them all:
    `Control.disturbance` then tells what is missing.
    """
    rng, d_mlp = np.random.default_rng(seed), shape[1]
    chosen = np.asarray(chosen)
    layers = []
    for layer in np.unique(chosen // d_mlp):
        others = np.setdiff1d(np.arange(layer * d_mlp, (layer + 1) * d_mlp), chosen)
        if len(others):
            layers.append((others, magnitude[chosen[chosen // d_mlp == layer]].sum()))
    if not layers:
        raise ValueError(f"{len(chosen)} neurons are all of their layers: no others are left to draw from")
    return [
        np.sort(np.concatenate([_as_loud(pool, wanted, magnitude, rng) for pool, wanted in layers]))
        for _ in range(n_sets)
    ]


def _as_loud(
    pool: Int[np.ndarray, "n"], wanted: float, magnitude: Float[np.ndarray, "layer_neuron"], rng: np.random.Generator
) -> Int[np.ndarray, "some"]:
    """Neurons of one layer, of one order of several, whose summed magnitude is nearest to what is wanted."""
    best, off = pool, np.inf
    for _ in range(ORDERS):
        order = rng.permutation(pool)
        so_far = np.cumsum(magnitude[order], dtype=float)
        nearest = int(np.argmin(np.abs(so_far - wanted)))
        apart = abs(so_far[nearest] - wanted)
        if apart < off:
            best, off = order[: nearest + 1], apart
        if off <= EQUAL * wanted:
            break
    return best


@dataclass(frozen=True)
class Control:
    """A set of neurons (flat) that is scaled beside those under study, and what it is multiplied by in their place.

    `loudness` is its summed mean contribution over that of the neurons under study. The set is turned so far that its
    summed contribution changes by as much as theirs. That is a sum of lengths: writes in different directions add up to
    less, and more so where there are more of them.
    """

    neurons: Int[np.ndarray, "m"]
    loudness: float

    def alpha(self, of_studied: float) -> float:
        """What this set is multiplied by where the neurons under study are multiplied by `of_studied`.

        Equally loud sets get the same. Others are turned further, or less far; but never below 0, and LOUDER times as
        far at most.
        """
        if abs(self.loudness - 1) <= EQUAL:
            return of_studied
        further = min(1 / max(self.loudness, 1e-9), LOUDER)
        return max(0.0, 1 + (of_studied - 1) * further)

    def reached(self, of_studied: float) -> float:
        """The alpha of the neurons under study at which they would change by as much as this set does. Where the set is
        quieter and cannot be turned below 0, it lies nearer to 1 than theirs."""
        if abs(self.loudness - 1) <= EQUAL:
            return of_studied
        return 1 + (self.alpha(of_studied) - 1) * self.loudness

    def disturbance(self, of_studied: float) -> float:
        """How much this set changes over what the neurons under study change at that alpha: 1 is as much."""
        return abs(self.alpha(of_studied) - 1) * self.loudness / abs(of_studied - 1)


def control_of(
    neurons: Int[np.ndarray, "m"], studied: Int[np.ndarray, "k"], magnitude: Float[np.ndarray, "layer_neuron"]
) -> Control:
    """A set of neurons as a control of those under study, both flat. `magnitude` is their mean contribution."""
    of_studied = float(magnitude[studied].sum())
    if not of_studied > 0:
        raise ValueError("the neurons under study contribute nothing: there is nothing to disturb as much as")
    return Control(np.asarray(neurons), float(magnitude[neurons].sum()) / of_studied)


def shuffled(labels: np.ndarray, seed: int) -> np.ndarray:
    """The same labels in random order: whatever a method finds on these, it finds in noise."""
    return np.random.default_rng(seed).permutation(labels)
