"""Which neurons would be found again? Stability selection (Meinshausen & Bühlmann 2010; Shah & Samworth 2013).

The path is fitted again and again on random halves of the people. A neuron's inclusion probability is the share of
halves in which it gets a positive weight, at any C up to where the expected number of false discoveries reaches
FALSE_DISCOVERIES. L1 takes one of several interchangeable neurons and silences the
rest, so a low probability does not say that a neuron knows nothing: only that it need not be the one that is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from hn_utils.probing.l1_path import VERSION as PATH_VERSION
from hn_utils.probing.l1_path import l1_path
from hn_utils.storage.cache import cached
from hn_utils.storage.stages import register_stage

if TYPE_CHECKING:
    from hn_utils.contributions.tall_matrix import TallMatrix

VERSION = register_stage("stability", 1, PATH_VERSION)
_N_PAIRS = 10  # pairs of complementary halves
_THRESHOLD = 0.75
_INTERCHANGEABLE = 0.7  # Pearson's r
_FALSE_DISCOVERIES = 0.05  # so that anything at all is found in pure noise one time in twenty, at most


@dataclass(frozen=True)
class Stability:
    """Inclusion over halves, of which 2i and 2i + 1 share nobody.

    `entry` is the place on the grid of C, which has `n_grid` values, at which a neuron first got a positive weight
    (`n_grid` if it never did).
    """

    entry: Int[np.ndarray, "half neuron"]
    n_grid: int

    @property
    def reach(self) -> int:
        """How many values of C count: as many as keep the bound on false discoveries.

        The bound is q^2 / ((2 * THRESHOLD - 1) * p), q being the mean number of neurons found on a half and p that of
        all neurons.

        Returns:
            A number of C, from the smallest on.

        Source:
            Meinshausen & Bühlmann 2010, theorem 1. It assumes that noise is as likely to be picked in one neuron as in
            another, which neurons of different size do not keep.
        """
        q = np.array([(self.entry < c).sum(1).mean() for c in range(self.n_grid + 1)])
        return int(np.flatnonzero(q**2 / ((2 * _THRESHOLD - 1) * self.n) <= _FALSE_DISCOVERIES)[-1])

    @property
    def chosen(self) -> Bool[np.ndarray, "half neuron"]:
        """Which neurons got a positive weight on which half, at any C that counts.

        Returns:
            Yes or no, [half, neuron].
        """
        return self.entry < self.reach

    @property
    def probability(self) -> Float[np.ndarray, "neuron"]:
        """Inclusion probability: the share of halves on which a neuron is found.

        Returns:
            Shares from 0 to 1, [neuron]. A low one may mean that others are taken in its place.

        Source:
            Meinshausen & Bühlmann 2010; complementary halves: Shah & Samworth 2013.
        """
        return self.chosen.mean(0)

    @property
    def stable(self) -> Int[np.ndarray, "k"]:
        """Neurons found in at least THRESHOLD of the halves.

        Returns:
            Flat indices, [k], in rising order.

        Source:
            Meinshausen & Bühlmann 2010, the stable set.
        """
        return np.flatnonzero(self.probability >= _THRESHOLD)

    @property
    def agreement(self) -> float:
        """Mean Jaccard index of the sets found on the two halves of a pair.

        Returns:
            A share from 0 to 1. It falls with the size of a half, so that it is no measure of what whole sets agree.
        """
        pairs = self.chosen.reshape(-1, 2, self.n)  # [pair, half, neuron]
        return float(np.mean([jaccard(np.flatnonzero(one), np.flatnonzero(other)) for one, other in pairs]))

    @property
    def n(self) -> int:
        """How many neurons there are.

        Returns:
            Those of all layers.
        """
        return self.entry.shape[1]

    def groups(self, X: TallMatrix) -> list[Group]:
        """The neurons found in any half, as groups of interchangeable ones.

        They are linked on average, and cut where the mean correlation of contributions falls below INTERCHANGEABLE.

        Args:
            X: contributions over which they are correlated, [row, layer * neuron].

        Returns:
            Groups, those most often found first. That contributions go together does not make effects the same.

        Raises:
            ValueError: `X` has fewer columns than there are neurons.

        Source:
            Average linkage: Sokal & Michener 1958.
        """
        found = np.flatnonzero(self.chosen.any(0))
        if len(found) < 2:
            labels = np.arange(len(found))
        else:
            apart = 1 - np.nan_to_num(np.corrcoef(X.columns(found).T))  # [found, found]
            np.fill_diagonal(apart, 0)
            labels = fcluster(linkage(squareform(apart, checks=False), "average"), 1 - _INTERCHANGEABLE, "distance")
        members = [found[labels == label] for label in np.unique(labels)]
        groups = [Group(some, float(self.chosen[:, some].any(1).mean())) for some in members]
        return sorted(groups, key=lambda group: -group.probability)


@dataclass(frozen=True)
class Group:
    """Neurons whose contributions go together, and the share of halves in which at least one of them was found."""

    neurons: Int[np.ndarray, "k"]
    probability: float


def jaccard(one: Sequence[int] | np.ndarray, other: Sequence[int] | np.ndarray) -> float:
    """Of all that are in either set, the share that is in both.

    Args:
        one: a set, [k].
        other: another, [m].

    Returns:
        A share from 0 to 1; 0 if both are empty. What two random sets would share depends on their size.

    Source:
        Jaccard 1912.
    """
    either = set(one) | set(other)
    return len(set(one) & set(other)) / max(1, len(either))


def stability(
    X: TallMatrix,
    labels: np.ndarray,
    groups: Sequence[str] | np.ndarray,
    grid: np.ndarray,
    n_pairs: int = _N_PAIRS,
    seed: int = 0,
) -> Stability:
    """Fit the path on random splits of the groups into halves. Cached half by half.

    Args:
        X: contributions, [row, layer * neuron].
        labels: 1 or 0 for each row, [row].
        groups: the entity that each row is about, [row].
        grid: values of C, [C].
        n_pairs: number of splits.
        seed: of the splits.

    Returns:
        Where on the grid each neuron enters, on each half. A half has half the rows: what is found on it is less than
        what is found on all.

    Raises:
        ValueError: there are fewer than four groups, a half lacks a class, or a C is not above 0.

    Source:
        Meinshausen & Bühlmann 2010; complementary halves: Shah & Samworth 2013.
    """
    groups = np.asarray(groups)
    labels = np.asarray(labels)
    names = np.unique(groups)
    rng = np.random.default_rng(seed)
    if len(names) < 4:
        raise ValueError(f"stability needs at least 4 groups to split, got {len(names)}")
    halves = []
    for _ in range(n_pairs):
        first = np.isin(groups, rng.permutation(names)[: len(names) // 2])
        halves += [first, ~first]

    def compute(some: list[int]) -> dict[str, np.ndarray]:
        (rows,) = (halves[i] for i in some)
        entry = np.full(X.shape[1], len(grid))
        for place, fit in reversed(list(enumerate(l1_path(X[rows], labels[rows], grid)))):
            entry[fit.h_neurons] = place
        return {"entry": entry[None]}

    settings = {
        "version": (VERSION, PATH_VERSION),
        "rows": X.digest,
        "labels": labels.tolist(),
        "grid": np.asarray(grid).tolist(),
    }
    kept = cached("stability", settings, [half.tolist() for half in halves], compute, 1)
    return Stability(kept.array("entry"), len(grid))


def twins(X: TallMatrix, chosen: Int[np.ndarray, "k"]) -> tuple[Int[np.ndarray, "k"], Float[np.ndarray, "k"]]:
    """For each chosen neuron the other one whose contribution goes with its own most closely.

    It might have been taken in its place.

    Args:
        X: contributions over which they are correlated, [row, layer * neuron].
        chosen: flat indices, [k].

    Returns:
        Flat indices of the others, none of them chosen, [k], and Pearson's r, [k]. The largest of many correlations is
        high by chance too: compare it with that of random neurons.

    Raises:
        ValueError: there is no such neuron.
    """
    r = correlations(X, chosen)
    r[:, chosen] = -1
    return r.argmax(1), r.max(1)


def correlations(X: TallMatrix, chosen: Int[np.ndarray, "k"]) -> Float[np.ndarray, "k column"]:
    """Pearson's r of some neurons' contributions with those of every neuron.

    Args:
        X: contributions over which they are correlated, [row, layer * neuron].
        chosen: flat indices, [k].

    Returns:
        Correlations, [k, layer * neuron]; 0 with a neuron whose contribution never changes, and for one.

    Raises:
        ValueError: there is no such neuron.
    """
    own = X.columns(chosen)  # [row, k]
    spread = X.std()  # [column]
    own_spread = own.std(0)  # [k]
    centred = (own - own.mean(0)) / (np.where(own_spread == 0, np.inf, own_spread) * len(X))
    return X.times_transposed(centred) / np.where(spread == 0, np.inf, spread)  # [k, column]
