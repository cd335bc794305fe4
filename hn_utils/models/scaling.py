"""Turn neurons up and down, and leave no trace: z_j <- alpha * z_j at every token, inside a `with` block."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel


class Dose(NamedTuple):
    """Neurons (flat indices, layer * d_mlp + neuron) and what they are multiplied by: 0 ablates, 1 changes nothing."""

    neurons: Int[np.ndarray, "k"]
    alpha: float


UNSCALED = Dose(np.array([], dtype=int), 1.0)


@contextlib.contextmanager
def dosed(subject: HookedModel, doses: Sequence[Dose]) -> Iterator[None]:
    """Give each row of the batch its own dose while the block runs, so that one batch holds many curves and controls.

    One dose serves all rows; of several, what is generated from a prompt has that prompt's. The weights are never
    touched; the effect is that of scaling columns of W_down. Raises ValueError for a neuron the model does not have, an
    alpha that is negative or not finite, or a batch that the doses do not fit.
    """
    if not doses:
        raise ValueError("doses=[] scales nothing: give one dose for all rows, or one for each")
    for dose in doses:
        require_possible(subject, dose)
    layers = [dose.neurons // subject.d_mlp for dose in doses]
    factors: dict[int, tuple[Tensor, Tensor]] = {}  # layer: (columns, factor of each dose on them)
    for layer in np.unique(np.concatenate(layers)).tolist():
        mine = [dose.neurons[at == layer] % subject.d_mlp for dose, at in zip(doses, layers, strict=True)]
        columns = np.unique(np.concatenate(mine))
        factor = np.ones((len(doses), len(columns)), np.float32)
        for row, (dose, own) in enumerate(zip(doses, mine, strict=True)):
            factor[row, np.searchsorted(columns, own)] = dose.alpha
        factors[layer] = torch.as_tensor(columns), torch.as_tensor(factor)

    def turn(layer: int, post: Tensor) -> Tensor | None:
        if layer not in factors:
            return None
        columns, factor = (part.to(post.device) for part in factors[layer])
        given_rows = subject.given_rows
        n = len(post) if given_rows is None else given_rows.n
        if len(doses) not in (1, n):
            raise ValueError(f"{len(doses)} alphas do not fit a batch of {n} rows: give one, or one for each")
        if len(doses) > 1 and given_rows is not None:
            factor = factor[given_rows.row.to(post.device)]  # [batch, column]
        post = post.clone()
        post[..., columns] *= factor.to(post.dtype)[:, None]
        return post

    alone = subject.hooks_are_known and not subject.is_dosed
    with subject.hooked(post=turn), subject.in_force(doses, alone):
        yield


def require_possible(subject: HookedModel, dose: Dose) -> None:
    """Raises ValueError for a neuron the model does not have, or an alpha that is negative or not finite."""
    subject.require_neurons(dose.neurons)
    if not np.isfinite(dose.alpha) or dose.alpha < 0:
        raise ValueError(f"alpha={dose.alpha} must be finite and not negative: 0 ablates, 1 changes nothing")
