"""Neurons that are named rather than found, and what stands beside them: random sets that are as loud."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float, Int

from hn_utils.contributions.collected import Collected
from hn_utils.models.neurons import Neurons, neuron_indices
from hn_utils.probing.against_random import AgainstRandom
from hn_utils.probing.probe import HNeurons, refit, refits, three_vs_one
from hn_utils.stats.neuron_sets import loud_sets
from hn_utils.study import check_given

if TYPE_CHECKING:
    from hn_utils.models.studied_model import StudiedModel

ABSENT = "absent: no procedure picked these neurons"  # of what shuffled labels would pick instead
BESIDE_LOUD = "random neurons of the same layers, as loud"


@dataclass(frozen=True)
class GivenNeurons:
    """Neurons of a model, and answers on which they are read and refitted.

    No procedure picked them, as far as is known here: so there is none to be put to shuffled labels, and their control
    is random sets of the same layers that are as loud together.

    Attributes:
        neurons: flat indices, layer * d_mlp + neuron.
        answers: judged answers of the same model, with their contributions.
        region: where contributions are read.
    """

    neurons: Int[np.ndarray, "k"]
    answers: Collected
    region: str = "answer"

    noun: ClassVar[str] = "neuron"

    @property
    def model(self) -> str:
        """The model's short name."""
        return self.answers.subject.short_name

    @property
    def shape(self) -> tuple[int, int]:
        """Layers, and neurons in each."""
        return self.answers.subject.n_layers, self.answers.subject.d_mlp

    @property
    def rows(self) -> list[dict[str, int]]:
        """Of each neuron its layer, and its number there."""
        d_mlp = self.shape[1]
        return [{"layer": flat // d_mlp, "neuron": flat % d_mlp} for flat in self.neurons.tolist()]

    @cached_property
    def magnitude(self) -> Float[np.ndarray, "layer_neuron"]:
        """Every neuron's mean contribution on training answers."""
        return self.answers.contributions[self.answers.training_rows()].at(self.region).mean()

    def against_loud(self, n_sets: int) -> AgainstRandom:
        """Refit the neurons on the training answers, and random sets that are as loud beside them.

        Args:
            n_sets: how many random sets.

        Returns:
            Both, to be read on other answers.

        Raises:
            ValueError: the training answers lack right or wrong ones, or the layers have no other neurons.
        """
        train = self.answers.training_rows()
        X, y = three_vs_one(self.answers.contributions[train], self.answers.labels[train], self.region)
        sets = loud_sets(self.neurons, self.shape, self.magnitude, n_sets, self.answers.study.seed)
        return AgainstRandom(refit(X, y, np.sort(self.neurons)), refits(X, y, sets))


def given_neurons(neurons: Neurons, answers: Collected | None, model: StudiedModel) -> GivenNeurons:
    """Read neurons that are named rather than found, and check the answers that come with them.

    Args:
        neurons: a card, flat indices, or pairs (layer, neuron).
        answers: judged answers of the same model.
        model: the model whose neurons they are.

    Returns:
        Both together.

    Raises:
        ValueError: they are no neurons of the model, there is none of them, or the answers are missing or another
            model's.
    """
    flat = neuron_indices(neurons, model)
    if not len(flat):
        raise ValueError("neurons=[] names no neuron: give at least one")
    if answers is None:
        raise ValueError(
            "answers is missing: without what hn.find returns, give answers=hn.collect(model), on which neurons are "
            "measured beside random ones"
        )
    check_given("answers", answers, Collected, "what hn.collect returns")
    if answers.subject.fingerprint != model.fingerprint:
        raise ValueError(f"answers are of {answers.subject.name}: give those of {model.name}")
    return GivenNeurons(flat, answers, neurons.region if isinstance(neurons, HNeurons) else "answer")


def require_no_answers(answers: Collected | None) -> None:
    """Check that no answers come with what `hn.find` returns, which has its own.

    Args:
        answers: what was given as answers.

    Raises:
        ValueError: there are any.
    """
    if answers is not None:
        raise ValueError("answers are those in which found was found: leave them out, or give found.neurons")
