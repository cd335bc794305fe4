"""Draw responses: each prompt is read once, and draws that have written the same so far share a row of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hn_utils.models.checks import require_numbers
from hn_utils.models.drawing import next_tokens, random_numbers
from hn_utils.models.kv_cache import extend, prefill

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.study import Sampling

_Seen = TypeVar("_Seen", covariant=True)


@dataclass(frozen=True)
class Generated:
    """What a model wrote after a prompt.

    Attributes:
        ids: the tokens, up to and including the end of turn if it came before the limit.
        logprobs: log-probability (nats) of each token as the model gave it, before temperature, top-k and top-p.
        text: the tokens as text, special tokens and outer blanks left out.
    """

    ids: list[int]
    logprobs: list[float]
    text: str


class Watch(Protocol[_Seen]):
    """What has a model reply and looks at its neurons meanwhile, such as a `Scorer`."""

    def reply(self, model: HookedModel, prompt: Sequence[int], sampling: Sampling, stop: str) -> _Seen:
        """What was seen while the model replied to a prompt, as `generate` draws one response."""
        ...


@torch.inference_mode()
def generate(
    model: HookedModel,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    seed: int = 0,
    stop: str = "",
    watch: AbstractContextManager[Any] | None = None,
) -> list[list[Generated]]:
    """Draw `sampling.n` responses to each prompt, all in one batch.

    A draw depends on its own prompt and number, on the settings and on `seed`: not on the others in the batch (but for
    rounding), nor on anything that ran before.

    Args:
        model: the model that writes, with neurons scaled if a `with model.scaled(...)` is open.
        prompts: token ids of each prompt, as `model.encoder` gives them.
        sampling: how many draws, temperature (0 takes the likeliest token), top-k, top-p, and the limit of tokens.
        seed: of the random numbers.
        stop: a response also ends with a token that holds this text, such as a line break for a base model.
        watch: hooks that look at what is written. They hang on the model from when the prompts have been read, and the
            last token before the limit, of which nothing more is drawn, is then read for them too.

    Returns:
        `sampling.n` responses for each prompt, in the order of their draws.

    Raises:
        ValueError: for a prompt without tokens or with ids that the model does not know, a model in training mode, or
            one whose predictions are not numbers.
    """
    stops = sorted(model.encoder.stop_ids | model.encoder.tokens_containing(stop))
    ends = torch.tensor(stops, dtype=torch.long, device=model.device)
    draw = torch.arange(len(prompts) * sampling.n, device=model.device)  # those that have not ended
    row = draw // sampling.n  # the row of the batch that each of them goes on from
    written: list[list[tuple[int, float]]] = [[] for _ in draw]
    lengths = [len(prompt) for prompt in prompts]
    with model.prompts_end(lengths):
        hidden, mask, cache = prefill(model, prompts)  # hidden: [row, d_model]
    numbers = _numbers(model, prompts, sampling, seed)
    whole = slice(0, len(prompts))
    with model.prompts_end(lengths), model.batch_holds(whole, len(prompts)), watch or nullcontext():
        for step in range(sampling.max_new_tokens):
            logits = model.logits(hidden).to(model.device)  # [row, vocab]
            token = next_tokens(logits, row, sampling, None if numbers is None else numbers[draw, step])  # [draw]
            logprob = logits.log_softmax(-1)[row, token]  # [draw]
            require_numbers(logprob, model.name, model.model.dtype)
            for one, chosen, value in zip(draw.tolist(), token.tolist(), logprob.tolist(), strict=True):
                written[one].append((chosen, value))
            goes_on = ~torch.isin(token, ends)
            at_limit = step + 1 == sampling.max_new_tokens
            if not goes_on.any() or (at_limit and watch is None):
                break
            draw = draw[goes_on]
            before, token, row = _shared_rows(row[goes_on], token[goes_on], logits.shape[-1])
            if before.tolist() != list(range(len(mask))):
                cache.reorder_cache(cast(torch.LongTensor, before))
            mask = torch.cat([mask[before], torch.ones_like(token)[:, None]], 1)  # [row, pos]
            model.reorder_batch(before)
            hidden = extend(model, token[:, None], mask, cache)[:, -1]  # [row, d_model]
    responses = [_generated(model, some) for some in written]
    return [responses[i : i + sampling.n] for i in range(0, len(responses), sampling.n)]


def _numbers(
    model: HookedModel, prompts: Sequence[Sequence[int]], sampling: Sampling, seed: int
) -> Float[Tensor, "draw step"] | None:
    """The random numbers of all draws; none where the likeliest token is taken."""
    if not sampling.temperature > 0:
        return None
    numbers = np.concatenate([random_numbers(prompt, sampling, seed) for prompt in prompts])
    return torch.from_numpy(numbers).to(model.device)


def _shared_rows(
    row: Int[Tensor, "draw"], token: Int[Tensor, "draw"], size: int
) -> tuple[Int[Tensor, "row"], Int[Tensor, "row"], Int[Tensor, "draw"]]:
    """One row for all draws that go on from the same row with the same token, of a vocabulary of this size: the row
    each continues, its new token, and which of the new rows each draw goes on from."""
    pairs, draw_row = (row * size + token).unique(return_inverse=True)
    return pairs // size, pairs % size, draw_row


def _generated(model: HookedModel, written: list[tuple[int, float]]) -> Generated:
    ids = [token for token, _ in written]
    return Generated(ids, [logprob for _, logprob in written], model.encoder.decode(ids).strip())
