"""What every claim stands beside: intervals, random sets of neurons, shuffled labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

N_BOOTSTRAP = 1_000


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % bootstrap interval and the number of questions behind it."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def spread(values: np.ndarray, n: int) -> Estimate:
    """Mean over control sets, and the range that holds 95 % of them; `n` questions behind each."""
    low, high = np.percentile(values, [2.5, 97.5])
    return Estimate(float(np.mean(values)), float(low), float(high), n)


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Chance that a random positive scores above a random negative, ties counting half; nan if a class is missing."""
    labels, scores = np.asarray(labels), np.asarray(scores)
    positive, negative = scores[labels == 1], np.sort(scores[labels != 1])
    if not len(positive) or not len(negative):
        return float("nan")
    below, up_to = (np.searchsorted(negative, positive, side).sum() for side in ("left", "right"))
    return float((below + up_to) / 2 / (len(positive) * len(negative)))


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """AUPRC: mean precision at each positive, ties taken together; a random score gets the share of positives."""
    labels, scores = np.asarray(labels), np.asarray(scores)
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    found = np.cumsum(labels[order] == 1)[last_of_tie]
    precision = found / (np.flatnonzero(last_of_tie) + 1)
    return float((np.diff(found, prepend=0) * precision).sum() / found[-1]) if found[-1] else float("nan")


def accuracy(labels: np.ndarray, scores: np.ndarray) -> float:
    """Mean of sensitivity and specificity at score 0: accuracy as if both classes were equally common."""
    positive = np.asarray(labels) == 1
    if positive.all() or not positive.any():
        return float("nan")
    return float(((scores > 0)[positive].mean() + (scores <= 0)[~positive].mean()) / 2)


def bootstrap(
    statistic: Callable[..., float],
    *columns: np.ndarray,
    groups: Sequence[str] | np.ndarray | None = None,
    n: int = N_BOOTSTRAP,
    seed: int = 0,
) -> Estimate:
    """The statistic of row-aligned columns, with a percentile interval over resampled rows.

    With `groups`, whole groups are drawn (the questions about one entity stand or fall together). Raises ValueError if
    the columns differ in length or are empty.
    """
    columns = tuple(np.asarray(c) for c in columns)
    size = len(columns[0])
    if not size or any(len(c) != size for c in columns):
        raise ValueError(f"bootstrap needs columns of one length above 0, got {[len(c) for c in columns]}")
    _, member = np.unique(np.arange(size) if groups is None else np.asarray(groups), return_inverse=True)
    by_group = np.split(np.argsort(member, kind="stable"), np.cumsum(np.bincount(member))[:-1])
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(n):
        rows = np.concatenate([by_group[g] for g in rng.integers(len(by_group), size=len(by_group))])
        draws.append(statistic(*(c[rows] for c in columns)))
    low, high = np.nanpercentile(draws, [2.5, 97.5]) if not np.isnan(draws).all() else (float("nan"),) * 2
    return Estimate(float(statistic(*columns)), float(low), float(high), size)


def random_sets(
    chosen: Int[np.ndarray, "k"],
    n_layers: int,
    d_mlp: int,
    n_sets: int,
    match: str = "none",
    magnitude: Float[np.ndarray, "layer_neuron"] | None = None,
    seed: int = 0,
) -> list[Int[np.ndarray, "k"]]:
    """Sets of other neurons, as many as `chosen` (flat indices), drawn without replacement.

    `match="layer"` keeps the number per layer; `match="magnitude"` moreover draws each stand-in from the 5 % of its
    layer nearest in `magnitude` (say, mean contribution). Raises ValueError for another match or a set too large.
    """
    if match not in ("none", "layer", "magnitude"):
        raise ValueError(f"match={match!r}: choose none, layer or magnitude")
    if match == "magnitude" and magnitude is None:
        raise ValueError("match='magnitude' needs the magnitude of every neuron")
    rng, chosen = np.random.default_rng(seed), np.sort(np.asarray(chosen))
    allowed = np.setdiff1d(np.arange(n_layers * d_mlp), chosen)
    if len(allowed) < len(chosen):
        raise ValueError(f"{len(chosen)} neurons leave only {len(allowed)} others to draw from")
    if match == "none":
        return [np.sort(rng.choice(allowed, len(chosen), replace=False)) for _ in range(n_sets)]
    pools = [allowed[allowed // d_mlp == neuron // d_mlp] for neuron in chosen]
    if match == "magnitude":
        near = max(len(chosen) + 1, d_mlp // 20)
        pools = [p[np.argsort(np.abs(magnitude[p] - magnitude[c]))[:near]] for p, c in zip(pools, chosen, strict=True)]
    pools = [np.sort(pool).tolist() for pool in pools]
    places = [{neuron: place for place, neuron in enumerate(pool)} for pool in pools]
    sets = []
    for _ in range(n_sets):
        drawn: list[int] = []
        for pool, place in zip(pools, places, strict=True):
            taken = sorted(place[d] for d in drawn if d in place)
            pick = int(rng.integers(len(pool) - len(taken)))
            for t in taken:  # count past those that are taken
                pick += pick >= t
            drawn.append(pool[pick])
        sets.append(np.sort(drawn))
    return sets


def shuffled(labels: np.ndarray, seed: int) -> np.ndarray:
    """The same labels in random order: whatever a method finds on these, it finds in noise."""
    return np.random.default_rng(seed).permutation(labels)
