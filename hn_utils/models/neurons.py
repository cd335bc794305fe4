"""Neurons, however they are named: a card, what was found, flat indices, or pairs of layer and neuron."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Int

if TYPE_CHECKING:
    from hn_utils.models.studied_model import StudiedModel


@runtime_checkable
class NamedNeurons(Protocol):
    """Neurons that know whose they are, such as a card (`HNeurons`) or what `hn.find` returns."""

    @property
    def neurons(self) -> Int[np.ndarray, "k"]:
        """Flat indices, layer * d_mlp + neuron."""
        ...

    def require(self, subject: StudiedModel) -> None:
        """Raises ValueError if these are not neurons of this very model."""
        ...


Neurons: TypeAlias = NamedNeurons | Int[np.ndarray, "k"] | Sequence[int] | Sequence[tuple[int, int]]
WAYS = "give a card, what hn.find returns, flat indices, or pairs (layer, neuron)"


def neuron_indices(neurons: Neurons, model: StudiedModel) -> Int[np.ndarray, "k"]:
    """Read neurons of a model, whichever way they are named.

    Args:
        neurons: a card (`HNeurons`), what `hn.find` returns, flat indices (layer * d_mlp + neuron), or pairs
            (layer, neuron) as a sequence or an array [k, 2].
        model: the model whose neurons they are.

    Returns:
        Flat indices, in the order in which they were given.

    Raises:
        ValueError: they are another model's, or name a neuron that the model does not have, or one twice.

    Example:
        >>> import hn_utils as hn
        >>> from hn_utils.models.neurons import neuron_indices
        >>> neuron_indices([(0, 5), (1, 2)], hn.load("organism")).tolist()
        [5, 770]
    """
    if isinstance(neurons, NamedNeurons):
        neurons.require(model)
        return np.asarray(neurons.neurons)
    try:
        read = np.asarray(neurons)
    except ValueError:  # rows of several lengths
        read = np.asarray(None)
    if read.ndim == 0 or read.dtype.kind in "OUSM":
        raise ValueError(f"neurons is of type {type(neurons).__name__}: {WAYS}")
    flat = _from_pairs(read, model) if read.ndim == 2 and read.shape[1] == 2 else read
    model.require_neurons(flat)
    numbers, times = np.unique(flat, return_counts=True)
    if (times > 1).any():
        raise ValueError(f"neurons name neuron {numbers[times > 1][0]} twice: name each once")
    return flat.astype(int)


def _from_pairs(pairs: np.ndarray, model: StudiedModel) -> np.ndarray:
    """Flat indices of pairs [k, 2]. Raises ValueError for a pair outside the model."""
    if pairs.dtype.kind not in "iu":
        raise ValueError(f"neurons={pairs.tolist()} must be pairs of whole numbers, (layer, neuron)")
    for layer, neuron in pairs.tolist():
        if not (0 <= layer < model.n_layers and 0 <= neuron < model.d_mlp):
            raise ValueError(
                f"neuron {neuron} of layer {layer} is out of range: {model.name} has {model.n_layers} layers of "
                f"{model.d_mlp}, each numbered from 0"
            )
    return pairs[:, 0] * model.d_mlp + pairs[:, 1]  # [k]
