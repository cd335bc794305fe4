"""Which token comes next: what temperature, top-k and top-p make of logits, and where a random number falls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import (
    LogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from xxhash import xxh3_128

if TYPE_CHECKING:
    from hn_utils.study import Sampling


def next_tokens(
    logits: Float[Tensor, "row vocab"],
    row: Int[Tensor, "draw"],
    sampling: Sampling,
    numbers: Float[Tensor, "draw"] | None,
) -> Int[Tensor, "draw"]:
    """Each draw's next token: the one on which its random number falls, or the likeliest if there are none.

    Args:
        logits: of the next token in each row of the batch.
        row: which row each draw goes on from.
        sampling: temperature, top-k and top-p.
        numbers: a random number in [0, 1) for each draw, or None.

    Returns:
        One token id a draw.
    """
    if numbers is None:
        return logits.argmax(-1)[row]
    tokens, warped = _warped(logits, sampling)
    shares = warped.softmax(-1)  # [row, token]
    return tokens[tokens_at(shares, shares.cumsum(-1), row, numbers)]


def tokens_at(
    shares: Float[Tensor, "row vocab"],
    running_sums: Float[Tensor, "row vocab"],
    row: Int[Tensor, "draw"],
    numbers: Float[Tensor, "draw"],
) -> Int[Tensor, "draw"]:
    """The first token up to which there is more than that part of all shares, of those that have a share.

    Args:
        shares: probability of each token in each row.
        running_sums: their sums up to each token. Those of an accelerator are added in parallel, and may fall by a
            rounding from one token to the next, or rise where there is no share.
        row: which row each draw goes on from.
        numbers: a random number in [0, 1) for each draw.

    Returns:
        One token id a draw, never one without a share.
    """
    reached = running_sums.masked_fill(shares == 0, 0)[row]  # [draw, vocab]
    bound = numbers.to(reached)[:, None] * reached.amax(-1, keepdim=True)  # [draw, 1]
    return (reached > bound).to(torch.uint8).argmax(-1)  # of equals the first


def random_numbers(prompt: Sequence[int], sampling: Sampling, seed: int) -> Float[np.ndarray, "draw step"]:
    """Random numbers for each draw and step, from the seed and the prompt alone.

    Args:
        prompt: token ids, by which other prompts get other numbers.
        sampling: how many draws, of how many tokens at most.
        seed: by which another run gets other numbers.

    Returns:
        float32 in [0, 1).
    """
    name = np.frombuffer(xxh3_128(np.asarray(prompt, np.int64).tobytes()).digest(), np.uint32)
    drawn = np.random.default_rng([seed, *name.tolist()]).random((sampling.n, sampling.max_new_tokens), np.float32)
    return drawn.clip(max=1 - 1e-6)


def _warped(
    logits: Float[Tensor, "row vocab"], sampling: Sampling
) -> tuple[Int[Tensor, "token"], Float[Tensor, "row token"]]:
    """The tokens, in their order, of which any row may draw one, and what temperature, top-k and top-p make of their
    logits, by the steps of Transformers' own sampler.

    Top-p sorts: of a large vocabulary only what top-k has left.
    """
    warped = _stepped(TemperatureLogitsWarper(float(sampling.temperature)), logits)
    tokens = torch.arange(logits.shape[-1], device=logits.device)
    if sampling.top_k:
        warped = _stepped(TopKLogitsWarper(sampling.top_k), warped)
        tokens = tokens[(warped != -torch.inf).any(0)]  # [token]
        warped = warped[:, tokens]  # [row, token]
    if sampling.top_p < 1:
        warped = _stepped(TopPLogitsWarper(sampling.top_p), warped)
    return tokens, warped


def _stepped(step: LogitsProcessor, logits: Float[Tensor, "row token"]) -> Float[Tensor, "row token"]:
    return step(cast(torch.LongTensor, None), cast(torch.FloatTensor, logits))
