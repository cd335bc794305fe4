"""Which neurons are like which by their weights: cosines of what they write, and of what they read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel

Weights = Literal["W_out", "W_in", "W_gate"]


@torch.inference_mode()
def weight_cosines(
    model: HookedModel, neurons: Int[np.ndarray, "k"], weights: Weights
) -> Float[np.ndarray, "k layer_neuron"]:
    """Cosines of some neurons' weights with those of every neuron of the model.

    All layers write to one residual stream and read from it, so that neurons of different layers can be compared. In a
    gated MLP a neuron whose W_in and W_out both change sign computes the same: of either alone the size of a cosine
    counts, not its sign.

    Args:
        model: the model.
        neurons: flat indices, layer * d_mlp + neuron.
        weights: `W_out`, what a neuron writes; `W_in` or `W_gate`, what it reads.

    Returns:
        Cosines from -1 to 1; 0 with a neuron whose weights are all 0. Each neuron has 1 with itself.

    Raises:
        ValueError: the model has no such neuron.
    """
    model.require_neurons(neurons)
    layers, places = np.divmod(np.asarray(neurons), model.d_mlp)  # [k], [k]
    units = {layer: _unit(model, layer, weights)[places[layers == layer]].cpu() for layer in np.unique(layers).tolist()}
    own = torch.zeros(len(layers), next(iter(units.values())).shape[1])  # [k, d_model]
    for layer, rows in units.items():
        own[layers == layer] = rows
    cosines = []
    for layer in range(model.n_layers):
        unit = _unit(model, layer, weights)  # [neuron, d_model]
        cosines.append((own.to(unit.device) @ unit.T).cpu())
    return torch.cat(cosines, 1).numpy()  # [k, layer_neuron]


def _unit(model: HookedModel, layer: int, weights: Weights) -> Float[Tensor, "neuron d_model"]:
    """A layer's weights, a row a neuron, each of length 1."""
    matrix = getattr(model, weights)(layer)
    rows = matrix if weights == "W_out" else matrix.T
    return torch.nn.functional.normalize(rows, dim=1)
