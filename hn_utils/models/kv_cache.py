"""Prompts that are read once: their keys and values are kept, and whatever follows is read behind them.

What all prompts of a batch begin with, such as the examples of a study, is read once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from hn_utils.models.hooked_model import HookedModel

_WORTHWHILE = 16  # tokens that rows must share for these to be read apart


class Prefilled(NamedTuple):
    """Prompts that were read: the final hidden state of each one's last token, the mask of all positions, and one cache
    of all prompts."""

    hidden: Float[Tensor, "row d_model"]
    mask: Int[Tensor, "row pos"]
    cache: DynamicCache


def prefill(model: HookedModel, rows: Sequence[Sequence[int]]) -> Prefilled:
    """Read prompts, piece by piece where attention's scores leave no room for all at once.

    Args:
        model: the model that reads.
        rows: token ids of each prompt.

    Returns:
        What is needed to go on behind them. Short prompts are padded on the left, behind what all share.

    Raises:
        ValueError: a row holds no token, or one that the model does not know, or the model is in training mode.
    """
    n_shared = shared_length(model, rows)
    rest, mask = model.encoder.pad([row[n_shared:] for row in rows], "left", model.device)
    mask = torch.cat([mask.new_ones(len(mask), n_shared), mask], 1)  # [row, pos]
    hidden: list[Tensor] = []
    caches: list[DynamicCache] = []
    for piece in _pieces(model, rest.shape, n_shared):
        caches.append(cache_behind(model, rows[0][:n_shared], piece, len(rows)))
        with model.batch_holds(piece, len(rows)):
            hidden.append(extend(model, rest[piece], mask[piece], caches[-1])[:, -1])  # [row, d_model]
    return Prefilled(torch.cat(hidden), mask, _joined(caches))


def shared_length(model: HookedModel, rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all rows begin with, that can be read once for all.

    Args:
        model: the model that reads.
        rows: token ids of each row.

    Returns:
        The number of tokens, at least one fewer than the shortest row has. 0 where little is shared, where hooks that
        are not ours look at the model, or where padding behind what is shared would change what it computes: where
        attention does not reach over the whole row, or layers keep another state than keys and values.
    """
    return shared_beginning(model.model.config, rows) if model.hooks_are_known else 0


def shared_beginning(config: PretrainedConfig, rows: Sequence[Sequence[int]]) -> int:
    """`shared_length` for a model that no foreign hook looks at, by its configuration."""
    if len(rows) < 2 or not _keeps_all(config.get_text_config(), max(len(row) for row in rows)):
        return 0
    ordered = [tuple(row) for row in rows]
    first, last = min(ordered), max(ordered)  # what these two begin with, all do
    most = min(len(row) for row in rows) - 1
    shared = next((i for i in range(most) if first[i] != last[i]), most)
    return shared if shared >= _WORTHWHILE else 0


def _keeps_all(config: PretrainedConfig, width: int) -> bool:
    """Does every layer keep keys and values of `width` positions, and nothing else?"""
    window = getattr(config, "sliding_window", None) or width + 1
    layers = DynamicCache(config=config).layers
    return width < window and all(isinstance(layer, DynamicLayer) for layer in layers)


def _pieces(model: HookedModel, shape: Sequence[int], n_shared: int) -> list[slice]:
    """Which rows are read together: attention's scores are those of the new tokens with all positions."""
    n, new = shape
    side = isqrt(new * (n_shared + new) - 1) + 1 if n_shared else new
    return model.pieces([range(side)] * n)


def cache_behind(model: HookedModel, shared: Sequence[int], piece: slice, n: int) -> DynamicCache:
    """A cache for some rows, in which what they share has been read, once for each dose among them.

    Args:
        model: the model that reads, with neurons scaled if a `with model.scaled(...)` is open.
        shared: token ids that all rows begin with; may be none.
        piece: which of the given rows these are.
        n: how many rows were given.

    Returns:
        The cache, to be given to `extend`.
    """
    cache = DynamicCache(config=model.model.config.get_text_config())
    if not shared:
        return cache
    rows, group = model.rows_by_dose(piece)  # one row of each dose, and which of them each row is like
    ids, mask = model.encoder.pad([shared] * len(rows), "right", model.device)  # [dose, pos]
    with model.batch_holds(rows, n):
        extend(model, ids, mask, cache)
    cache.reorder_cache(cast(torch.LongTensor, group))
    return cache


def extend(
    model: HookedModel, ids: Int[Tensor, "row new"], mask: Int[Tensor, "row pos"], cache: DynamicCache
) -> Float[Tensor, "row new d_model"]:
    """Read new tokens behind what a cache holds; the cache takes them in.

    Args:
        model: the model that reads.
        ids: the new tokens of each row.
        mask: of all positions, those in the cache first: 1 where a token stands.
        cache: keys and values of the positions before.

    Returns:
        The final hidden states of the new tokens.

    Raises:
        ValueError: if the model is in training mode.
    """
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]  # [row, new]
    out = model.run_layers(
        input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
    )
    return out.last_hidden_state


def _joined(caches: Sequence[DynamicCache]) -> DynamicCache:
    """One cache with the rows of all, which were read to the same width."""
    whole, *others = caches
    for i, layer in enumerate(whole.layers if others else ()):
        for name, kept in list(vars(layer).items()):
            if isinstance(kept, Tensor) and kept.ndim > 1:  # keys, values, or another state of each row
                more = [getattr(other.layers[i], name) for other in others]
                setattr(layer, name, torch.cat([kept, *more]))
    return whole
