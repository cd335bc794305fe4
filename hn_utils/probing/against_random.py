"""One comparison for all claims about detection: neurons, and control sets that were refitted as they were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from hn_utils.probing.probe import refit, refits, three_vs_one
from hn_utils.probing.selected_null import Selection
from hn_utils.stats.bootstrap import Estimate, beyond_random, bootstrap, spread
from hn_utils.stats.metrics import auroc
from hn_utils.stats.rank_test import two_sided_rank_p

if TYPE_CHECKING:
    from hn_utils.contributions.cett import Labelled
    from hn_utils.contributions.collected import Collected
    from hn_utils.contributions.tall_matrix import TallMatrix
    from hn_utils.probing.l1_path import Fit


@dataclass(frozen=True)
class AgainstRandom:
    """Neurons refitted on some answers (`own`), and control sets refitted on the same (`control`).

    The control sets are as a rule what the same procedure picks when right and wrong are shuffled: the hardest control.
    """

    own: Fit
    control: Sequence[Fit]

    @classmethod
    def fit(
        cls,
        answers: Collected,
        train: Int[np.ndarray, "row"],
        neurons: Int[np.ndarray, "k"],
        n_sets: int,
        region: str = "answer",
        other: str | None = "other",
    ) -> AgainstRandom:
        """Refit neurons on some answers, and beside them what the procedure picks on shuffled labels of these.

        Args:
            answers: judged answers with their contributions.
            train: which of the kept ones to fit on.
            neurons: flat indices, layer * d_mlp + neuron.
            n_sets: how many shuffles.
            region: where contributions are read.
            other: what the answers are set against besides, as in `hn.find`; None for right against wrong alone.

        Returns:
            Both, to be read on other answers.

        Raises:
            ValueError: `neurons` is empty, or the labels lack a class.
        """
        labels = answers.labels[train]
        X, y = three_vs_one(answers.contributions[train], labels, region, other)
        selection = Selection(X, labels, answers.study.n_grid, len(neurons), answers.study.seed)
        return cls(refit(X, y, neurons), refits(X, y, selection.sets(0, n_sets)))

    def on(self, read: Labelled, measure: Callable[..., Any] = auroc) -> Comparison:
        """Score some answers.

        Args:
            read: their contributions, labels (1 for hallucinated) and entities.
            measure: of labels and scores, such as `auroc`, which takes bootstrap weights.

        Returns:
            The measure of the neurons, of each control set, and their difference.

        Raises:
            ValueError: the contributions lack a column of a fit.
        """
        return Comparison(self.own.score(read.X), scores_of(self.control, read.X), read.labels, read.groups, measure)


@dataclass(frozen=True)
class Comparison:
    """Scores of some answers by neurons (`scores`) and by control sets (`control_scores`), and what they amount to.

    Intervals are over entities; that of `beyond` is for other control sets as well.
    """

    scores: Float[np.ndarray, "answer"]
    control_scores: Float[np.ndarray, "answer set"]
    labels: Int[np.ndarray, "answer"]
    entities: np.ndarray
    measure: Callable[..., Any]

    @cached_property
    def own(self) -> Estimate:
        """The measure of the neurons.

        Returns:
            In the unit of the measure, with a 95 % interval over entities.
        """
        return bootstrap(self.measure, self.labels, self.scores, groups=self.entities)

    @cached_property
    def sets(self) -> Float[np.ndarray, "set"]:
        """The measure of each control set.

        Returns:
            In the unit of the measure, [set].
        """
        return np.array([self.measure(self.labels, column) for column in self.control_scores.T])

    @property
    def control(self) -> Estimate:
        """Mean over the control sets, and the range that holds 95 % of them.

        Returns:
            In the unit of the measure; the range is no interval for the mean.

        Raises:
            IndexError: there is no control set.
        """
        return spread(self.sets, len(self.labels))

    @property
    def rank_p(self) -> float:
        """Two-sided p of the neurons' rank among the control sets; uncorrected.

        Returns:
            A p from 2 / (1 + number of sets) to 1. Other entities are not drawn: `beyond` does that.

        Source:
            Besag & Clifford 1991.
        """
        own = float(self.measure(self.labels, self.scores))
        return two_sided_rank_p(own, self.sets)

    @cached_property
    def beyond(self) -> Estimate:
        """The measure of the neurons minus its mean over the control sets, on the same resampled entities.

        Returns:
            In the unit of the measure, with a 95 % interval over entities and control sets; nan without sets.
        """
        return beyond_random(self.measure, self.scores, self.control_scores, self.entities, self.labels)


def scores_of(fits: Sequence[Fit], X: TallMatrix) -> Float[np.ndarray, "example set"]:
    """What each fit says of each example; a column that several of them need is read once.

    Args:
        fits: one for each set of neurons.
        X: contributions, [example, layer * neuron].

    Returns:
        Log-odds, [example, set], in nats.

    Raises:
        ValueError: `X` lacks a column of a fit.
    """
    if not fits:
        return np.empty((X.shape[0], 0))  # [example, set]
    needed = np.unique(np.concatenate([fit.neurons for fit in fits]))
    read = X.columns(needed)  # [example, needed]
    columns = []
    for fit in fits:
        own = read[:, np.searchsorted(needed, fit.neurons)]  # [example, neuron]
        columns.append(own @ fit.weights + fit.intercept)
    return np.stack(columns, 1)  # [example, set]
