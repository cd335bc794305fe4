"""Prompts that are read once: their keys and values are kept, and whatever follows is read behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel


def prefill(
    model: HookedModel, ids: Int[Tensor, "row pos"], mask: Int[Tensor, "row pos"]
) -> tuple[Float[Tensor, "row d_model"], DynamicCache]:
    """Read prompts, piece by piece where attention's scores leave no room for all at once.

    Args:
        model: the model that reads.
        ids: prompts padded on the left.
        mask: 1 where a token of the prompt stands.

    Returns:
        The final hidden state of each prompt's last token, and one cache of all prompts.

    Raises:
        ValueError: if the model is in training mode.
    """
    hidden: list[Tensor] = []
    caches: list[DynamicCache] = []
    for piece in model.pieces(ids.tolist()):
        caches.append(DynamicCache(config=model.model.config.get_text_config()))
        with model.batch_holds(piece, len(ids)):
            hidden.append(extend(model, ids[piece], mask[piece], caches[-1])[:, -1])  # [row, d_model]
    return torch.cat(hidden), _joined(caches)


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
