"""Which replies are broken: nothing that the untouched model would be likely to write, or a loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from hn_utils.models.generation import generate
from hn_utils.models.likelihoods import token_logprobs
from hn_utils.steering.repetition import repeats_itself
from hn_utils.storage.cache import cached
from hn_utils.storage.stages import register_stage
from hn_utils.study import Sampling, Study

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.steering.replies import Reply

VERSION = register_stage("likelihood", 1)
register_stage("own-likelihood", VERSION)
DRAWS = 4  # of the model's own replies to each prompt
_SHARE = 0.01  # of its own replies that count as unlikely


def broken(
    subject: HookedModel,
    prompts: Sequence[list[int]],
    replies: Sequence[Sequence[Reply]],
    max_new_tokens: int,
    study: Study,
) -> Bool[np.ndarray, "prompt dose"]:
    """Is a reply broken: less likely, to the unscaled model, than 99 % of its own replies, or a loop? Cached.

    `replies` [prompt, dose] may each have `max_new_tokens`. How likely one is, is the mean log-probability of its
    tokens without the least likely one; the model's own replies are DRAWS to each of these prompts, at temperature 1.

    That one token is left out since giving in may hang on it: the letter of a choice, the first word of the claim. It
    should look unlikely, that being what an intervention is for; what follows from it should not. Replies at
    temperature 1 are what the model's probabilities say it would write; greedy ones are likelier than nearly all of
    these, and against them every second word that changes would pass for damage.

    It does not show that a reply makes sense, only that the unscaled model might have gone on like that; a reply of a
    single word is hardly ever unlikely; and an intervention that makes the model write sensibly in a way that it never
    would passes for damage. With few prompts the limit is coarse.
    """
    if not len(prompts):
        return np.zeros((0, 0), bool)
    limit = np.quantile(_own_likelihoods(subject, prompts, max_new_tokens, study), _SHARE)
    unlikely = likelihoods(subject, prompts, replies, study) < limit
    loops = [[repeats_itself(reply.text) for reply in row] for row in replies]
    return unlikely | np.array(loops, bool).reshape(unlikely.shape)


def likelihood(logprobs: Sequence[float] | np.ndarray) -> float:
    """Mean log-probability (nats) of a reply's tokens but the least likely one; 0 for a reply of one token."""
    rest = np.sort(np.asarray(logprobs, float))[1:]
    return float(rest.mean()) if len(rest) else 0.0


def _own_likelihoods(
    subject: HookedModel, prompts: Sequence[list[int]], max_new_tokens: int, study: Study
) -> Float[np.ndarray, "prompt draw"]:
    """`likelihood` of what the unscaled model writes to each prompt, DRAWS times, at temperature 1. Cached."""
    sampling = Sampling(n=DRAWS, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=max_new_tokens)

    def compute(some: list[int]) -> dict[str, np.ndarray]:
        drawn = generate(subject, [prompts[i] for i in some], sampling, study.seed)
        return {"likelihood": np.array([[likelihood(reply.logprobs) for reply in row] for row in drawn])}

    settings = subject.key(VERSION, sampling=sampling, seed=study.seed)
    at_once, lengths = max(1, study.batch_rows // DRAWS), [len(prompt) for prompt in prompts]
    return cached("own-likelihood", settings, prompts, compute, at_once, lengths).array("likelihood")


def likelihoods(
    subject: HookedModel, prompts: Sequence[list[int]], replies: Sequence[Sequence[Reply]], study: Study
) -> Float[np.ndarray, "prompt dose"]:
    """`likelihood` of each reply to its prompt by the unscaled model: one forward pass of each that differs. Cached."""
    pairs = [(prompt, list(reply.ids)) for prompt, row in zip(prompts, replies, strict=True) for reply in row]

    def compute(some: list[int]) -> dict[str, np.ndarray]:
        read = token_logprobs(subject, [prompt + ids for prompt, ids in map(pairs.__getitem__, some)])
        own = [row[-len(pairs[i][1]) :].numpy() for i, row in zip(some, read, strict=True)]
        return {"likelihood": np.array([likelihood(row) for row in own])}

    lengths = [len(prompt) + len(ids) for prompt, ids in pairs]
    kept = cached("likelihood", subject.key(VERSION), pairs, compute, study.batch_rows, lengths)
    return kept.array("likelihood").reshape(len(prompts), -1)
