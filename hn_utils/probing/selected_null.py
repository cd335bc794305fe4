"""The hardest control: what the same procedure picks when right and wrong are shuffled among the answers.

L1 on raw contributions picks neurons that are loud and that fire at answers rather than elsewhere, whatever the labels
say. So "more than random neurons" is easily said of anything that it picks. The *selected null* has been through the
same selection: labels are shuffled among the training answers, the path is fitted until as many neurons have a positive
weight as there are H-Neurons, the heaviest are taken, and refitted on the true labels.

Two forms answer two questions. With *any* neuron among the picks: did the labels lead to these neurons, or would any
labels have led there? With the found ones left out (*others*): do these neurons detect, or cause, more than whatever
else the procedure would have picked?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from hn_utils.probing.l1_path import NO_NEURONS, Fit, short_paths
from hn_utils.probing.l1_path import VERSION as PATH_VERSION
from hn_utils.stats.rank_test import shuffled
from hn_utils.storage.cache import cached
from hn_utils.storage.stages import register_stage

if TYPE_CHECKING:
    from hn_utils.contributions.tall_matrix import TallMatrix

VERSION = register_stage("selected", 1, PATH_VERSION)
_AT_ONCE = 20  # shuffles side by side


@dataclass(frozen=True)
class Selection:
    """A procedure that picks neurons: training rows, their labels, the number of C on the path, and how many to pick.

    `labels` are those of the answers, the first rows of `X`; all further rows (the other tokens of 3-vs-1) are labelled
    0 and stay so. The neurons `never` (flat) cannot be picked.
    """

    X: TallMatrix
    labels: Int[np.ndarray, "answer"]
    n_grid: int
    size: int
    seed: int
    never: Int[np.ndarray, "m"] = field(default_factory=lambda: NO_NEURONS)

    def true(self) -> Int[np.ndarray, "k"]:
        """What the procedure picks on the true labels.

        Returns:
            Flat indices, [k], in rising order; fewer than `size` if the path ends first.

        Raises:
            ValueError: the labels lack a class, or a value is not finite.
        """
        return self._picked(["true"])[0]

    def sets(self, first: int, last: int) -> list[Int[np.ndarray, "k"]]:
        """What it picks on shuffled labels, those left out on which it picks no neuron. Cached, one by one.

        Args:
            first: number of the first shuffle.
            last: number after that of the last one.

        Returns:
            Sets of flat indices, [k] each, in rising order. They may be one and the same set again and again, among
            which a rank says nothing: see `hn_utils.stats.rank_test.sets_differ`.

        Raises:
            ValueError: the labels lack a class, or a value is not finite.

        Source:
            Ours: a permutation test of the whole selection, as in Westfall & Young 1993 for the largest of many tests.
        """
        return [some for some in self._picked(list(range(first, last))) if len(some)]

    def _picked(self, which: Sequence[int | str]) -> list[Int[np.ndarray, "k"]]:
        def compute(some: list[int]) -> list[dict]:
            labels = np.stack([self._labels(which[i]) for i in some])
            paths = short_paths(self.X, labels, self.n_grid, self.size, self.never)
            return [{"set": _heaviest(path, self.size).tolist()} for path in paths]

        settings = {
            "version": (VERSION, PATH_VERSION),
            "rows": self.X.digest,
            "labels": np.asarray(self.labels).tolist(),
            "n_grid": self.n_grid,
            "size": self.size,
            "seed": self.seed,
            "never": np.asarray(self.never).tolist(),
        }
        kept = cached("selected", settings, list(which), compute, _AT_ONCE)
        return [np.array(row["set"], int) for row in kept.records()]

    def _labels(self, number: int | str) -> Int[np.ndarray, "row"]:
        """Labels of all rows, those of the answers shuffled with one number, or as they are."""
        labels = np.zeros(len(self.X), int)
        own = self.labels if number == "true" else shuffled(self.labels, _seed_of(self.seed, int(number)))
        labels[: len(self.labels)] = own
        return labels


def _seed_of(seed: int, number: int) -> int:
    """The seed of one shuffle; studies that differ in their seed share none of the first ten thousand."""
    return 10_000 * seed + number


def _heaviest(path: Sequence[Fit], size: int) -> Int[np.ndarray, "k"]:
    """The `size` heaviest positive neurons of the first fit that has so many, in rising order of their number."""
    fit = next((fit for fit in path if len(fit.h_neurons) >= size), path[-1])
    positive = fit.weights > 0
    heaviest = np.argsort(-fit.weights[positive], kind="stable")[:size]
    return np.sort(fit.neurons[positive][heaviest])
