"""The residual stream at one token of each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from hn_utils.models.likelihoods import residuals_and_logprobs
from hn_utils.storage.cache import cached
from hn_utils.storage.stages import register_stage

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.study import Study

VERSION = register_stage("streams", 1)


def streams_at(
    subject: HookedModel, rows: Sequence[Sequence[int]], at: Sequence[int], layers: Sequence[int], study: Study
) -> Float[np.ndarray, "row layer d_model"]:
    """Read the residual stream after some layers at one token of each row, or from disk where that was done before.

    Args:
        subject: the model.
        rows: token ids of each row.
        at: the place of the token in each row, [row].
        layers: numbers of the layers, from 0.
        study: how many rows are read at once.

    Returns:
        Residual streams, [row, layer, d_model], in float32; the last layer's is that behind the final norm.

    Raises:
        ValueError: a place lies outside its row, the model has no such layer, or a value is not finite.
    """
    outside = [(place, len(row)) for place, row in zip(at, rows, strict=True) if not 0 <= place < len(row)]
    if outside:
        raise ValueError(f"at={outside[0][0]} is no place in a row of {outside[0][1]} tokens: count from 0")
    if any(not 0 <= layer < subject.n_layers for layer in layers):
        raise ValueError(f"layers={list(layers)} must lie from 0 to {subject.n_layers - 1}")
    wanted = list(layers)

    def compute(some: list[int]) -> dict[str, np.ndarray]:
        read = residuals_and_logprobs(subject, [list(rows[i]) for i in some], [[at[i]] for i in some])
        states = [stream[wanted, at[i]].float().cpu().numpy() for i, (stream, _) in zip(some, read, strict=True)]
        return {"stream": np.stack(states)}  # [row, layer, d_model]

    keys = [(list(row), int(place)) for row, place in zip(rows, at, strict=True)]
    settings = subject.key(VERSION, layers=wanted)
    kept = cached("streams", settings, keys, compute, min(256, study.batch_rows), [len(row) for row in rows])
    return kept.array("stream")
