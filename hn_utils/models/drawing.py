"""Which token comes next: what temperature, top-k and top-p make of logits, and where a random number falls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from xxhash import xxh3_128

from hn_utils.study import Sampling


def reshaped(logits: Float[Tensor, "row vocab"], sampling: Sampling) -> Float[Tensor, "row vocab"]:
    """What temperature, top-k and top-p make of logits, by the steps of Transformers' own sampler."""
    steps: list[LogitsProcessor] = [TemperatureLogitsWarper(float(sampling.temperature))]
    if sampling.top_k:
        steps.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        steps.append(TopPLogitsWarper(sampling.top_p))
    return LogitsProcessorList(steps)(cast(torch.LongTensor, None), cast(torch.FloatTensor, logits))


def chosen(
    logits: Float[Tensor, "row vocab"],
    row: Int[Tensor, "draw"],
    sampling: Sampling,
    numbers: Float[Tensor, "draw"] | None,
) -> Int[Tensor, "draw"]:
    """Each draw's next token: the one on which its random number falls, or the likeliest if there are none."""
    if numbers is None:
        return logits.argmax(-1)[row]
    shares = reshaped(logits, sampling).softmax(-1)
    return fallen_on(shares, shares.cumsum(-1), row, numbers)


def fallen_on(
    shares: Float[Tensor, "row vocab"],
    up_to: Float[Tensor, "row vocab"],
    row: Int[Tensor, "draw"],
    numbers: Float[Tensor, "draw"],
) -> Int[Tensor, "draw"]:
    """The first token up to which there is more than that part of all shares, of those that have a share.

    `up_to` are running sums; those of an accelerator are added in parallel, and may fall by a rounding from one token
    to the next, or rise where there is no share.
    """
    reached = up_to.masked_fill(shares == 0, 0)[row]  # [draw, vocab]
    number = numbers.to(reached)[:, None] * reached.amax(-1, keepdim=True)
    return (reached > number).to(torch.uint8).argmax(-1)  # of equals the first


def own_numbers(prompt: Sequence[int], sampling: Sampling, seed: int) -> Float[np.ndarray, "draw step"]:
    """Random numbers in [0, 1) for each draw and step, from the seed and the prompt alone."""
    name = np.frombuffer(xxh3_128(np.asarray(prompt, np.int64).tobytes()).digest(), np.uint32)
    drawn = np.random.default_rng([seed, *name.tolist()]).random((sampling.n, sampling.max_new_tokens), np.float32)
    return drawn.clip(max=1 - 1e-6)
