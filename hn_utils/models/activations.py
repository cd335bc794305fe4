"""What neurons compute, read off a run: their mean over texts, and what some of them are at every token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel


@torch.inference_mode()
def mean_activations(model: HookedModel, rows: Sequence[Sequence[int]]) -> Float[np.ndarray, "layer_neuron"]:
    """The mean activation of every neuron over all tokens of some texts but each one's first.

    At the first token, which every later one may attend to whatever it says, activations are of another order. The mean
    is what mean ablation puts in a neuron's place: unlike 0 it is a value that the model is used to.

    Args:
        model: the model that reads.
        rows: token ids of each text.

    Returns:
        Means with their sign, in the unit of activations, in float32.

    Raises:
        ValueError: no row has a second token.
    """
    n_tokens = sum(len(row) - 1 for row in rows)
    if n_tokens < 1:
        raise ValueError(f"{len(rows)} rows hold no token behind their first: give texts of two tokens or more")
    total = np.zeros((model.n_layers, model.d_mlp))
    at_once = model.study.batch_rows
    for start in range(0, len(rows), at_once):
        some = rows[start : start + at_once]
        for piece in model.pieces(some):
            with model.batch_holds(piece, len(some)):
                total += _summed(model, some[piece])
    return (total / n_tokens).astype(np.float32).ravel()


def _summed(model: HookedModel, rows: Sequence[Sequence[int]]) -> Float[np.ndarray, "layer neuron"]:
    """Activations of rows that are read at once, summed over their tokens but the first."""
    ids, mask = model.encoder.pad(rows, "right", model.device)
    counted = mask.float()
    counted[:, 0] = 0
    total = np.zeros((model.n_layers, model.d_mlp))

    def add(layer: int, post: Tensor) -> None:
        total[layer] = torch.einsum("bp,bpn->n", counted.to(post.device), post.float()).cpu().numpy()  # [neuron]

    with model.hooked(post=add):
        model.final_hidden(ids, mask)
    return total


@torch.inference_mode()
def activations_of(
    model: HookedModel, rows: Sequence[Sequence[int]], neurons: Int[np.ndarray, "k"]
) -> list[Float[np.ndarray, "pos k"]]:
    """Activations of some neurons at every token of each row.

    Args:
        model: the model that reads.
        rows: token ids of each row.
        neurons: flat indices, layer * d_mlp + neuron.

    Returns:
        For each row activations with their sign, in float32.

    Raises:
        ValueError: the model has no such neuron.
    """
    model.require_neurons(neurons)
    found: list[np.ndarray] = []
    for piece in model.pieces(rows):
        with model.batch_holds(piece, len(rows)):
            values = _read_together(model, rows[piece], np.asarray(neurons))
        found += [read[: len(row)] for row, read in zip(rows[piece], values, strict=True)]
    return found


def _read_together(
    model: HookedModel, rows: Sequence[Sequence[int]], neurons: Int[np.ndarray, "k"]
) -> Float[np.ndarray, "row pos k"]:
    """Activations of rows that are read at once."""
    ids, mask = model.encoder.pad(rows, "right", model.device)
    layers, columns = np.divmod(neurons, model.d_mlp)
    values = np.zeros((*ids.shape, len(neurons)), np.float32)

    def keep(layer: int, post: Tensor) -> None:
        mine = layers == layer  # [k]
        at = torch.as_tensor(columns[mine], device=post.device)
        values[..., mine] = post[..., at].float().cpu().numpy()  # [row, pos, mine]

    with model.hooked(post=keep):
        model.final_hidden(ids, mask)
    return values
