"""Move the residual stream, and leave no trace: a vector is added behind a layer, a direction taken out of all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel


@contextlib.contextmanager
def pushed(subject: HookedModel, layer: int, vectors: Float[Tensor, "row d_model"]) -> Iterator[None]:
    """Add a vector to the residual stream behind one layer, at every position, while the block runs.

    Args:
        subject: the model, whose weights are never touched.
        layer: its number, from 0.
        vectors: one for all rows that are given to the model, or one for each, in the unit of the stream.

    Raises:
        ValueError: the model has no such layer, a vector is not as wide as its stream or not finite, or the batch does
            not fit the vectors.

    Source:
        Rimsky et al. 2024 (contrastive activation addition), who add it behind the prompt alone; here it is added at
        every position, as neurons are scaled.
    """
    if not 0 <= layer < subject.n_layers:
        raise ValueError(f"layer={layer} must lie from 0 to {subject.n_layers - 1}")
    _require_finite(vectors)

    def move(at: int, stream: Float[Tensor, "batch pos d_model"]) -> Tensor | None:
        if at != layer:
            return None
        given = subject.given_rows
        n = len(stream) if given is None else given.n
        if len(vectors) not in (1, n) or vectors.shape[1] != stream.shape[-1]:
            raise ValueError(f"vectors of shape {tuple(vectors.shape)} do not fit {n} rows of width {stream.shape[-1]}")
        own = vectors.to(stream.device, stream.dtype)
        if len(vectors) > 1 and given is not None:
            own = own[given.row.to(stream.device)]  # [batch, d_model]
        return stream + own[:, None]

    with subject.hooked(resid_post=move):
        yield


@contextlib.contextmanager
def ablated(subject: HookedModel, direction: Float[Tensor, "d_model"]) -> Iterator[None]:
    """Take a direction out of the residual stream behind every layer, at every position, while the block runs.

    Args:
        subject: the model, whose weights are never touched.
        direction: of any length but 0.

    Raises:
        ValueError: the direction is 0 or not finite.

    Source:
        Arditi et al. 2024 (refusal direction): x - r r'x with r of length 1. They also take it out of what attention
        writes within a layer, and of the embeddings; here the first layer, and each MLP, still see it there.
    """
    _require_finite(direction)
    length = direction.norm()
    if not length > 0:
        raise ValueError("direction=0 points nowhere: there is nothing to take out")
    unit = direction / length

    def take_out(_: int, stream: Float[Tensor, "batch pos d_model"]) -> Tensor:
        own = unit.to(stream.device, stream.dtype)
        return stream - (stream @ own)[..., None] * own

    with subject.hooked(resid_post=take_out):
        yield


def _require_finite(values: Tensor) -> None:
    if not torch.isfinite(values).all():
        raise ValueError("a vector that is not finite cannot be added to the stream: check how it was made")
