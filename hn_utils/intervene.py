"""Turn neurons up and down, and leave no trace: z_j <- alpha * z_j at every token, inside a `with` block."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from hn_utils.subject import Subject


@contextlib.contextmanager
def scaled(subject: Subject, neurons: Int[np.ndarray, "k"], by: float | Sequence[float]) -> Iterator[None]:
    """Multiply what these neurons (flat indices, layer * d_mlp + neuron) say by `by` while the block runs.

    One number for all rows, or one per row of the batch, so that one batch can hold a whole dose-response curve
    (generation with n samples repeats each row n times, and so each number). 0 ablates, 1 changes nothing. The weights
    are never touched; the same as scaling the columns of W_down. Raises ValueError for a neuron the model does
    not have, or an alpha that is negative or not finite.
    """
    neurons, alpha = np.asarray(neurons, dtype=int), torch.as_tensor(by, dtype=torch.float32, device=subject.device)
    size = subject.n_layers * subject.d_mlp
    if neurons.size and (neurons.min() < 0 or neurons.max() >= size):
        outside = neurons[(neurons < 0) | (neurons >= size)][0]
        raise ValueError(
            f"neuron {outside} is out of range: {subject.name} has {subject.n_layers} layers of {subject.d_mlp}, "
            f"flat indices 0 to {size - 1}"
        )
    if not torch.isfinite(alpha).all() or (alpha < 0).any():
        raise ValueError(f"alpha={by} must be finite and not negative: 0 ablates, 1 changes nothing")
    in_layer = {
        layer: torch.as_tensor(neurons[neurons // subject.d_mlp == layer] % subject.d_mlp, device=subject.device)
        for layer in np.unique(neurons // subject.d_mlp).tolist()
    }

    def turn(layer: int, post: Tensor) -> Tensor | None:
        if layer not in in_layer:
            return None
        post = post.clone()
        post[..., in_layer[layer]] *= rows(alpha, len(post)).to(post.dtype)
        return post

    with subject.hooked(post=turn):
        yield


def rows(alpha: Tensor, batch: int) -> Tensor:
    """Alpha shaped to multiply [batch, pos, neuron]. Raises ValueError if there is not one per row of the batch."""
    if alpha.ndim == 0:
        return alpha
    if batch % len(alpha):
        raise ValueError(f"{len(alpha)} alphas do not fit a batch of {batch} rows: give one number, or one per row")
    return alpha.repeat_interleave(batch // len(alpha))[:, None, None]
