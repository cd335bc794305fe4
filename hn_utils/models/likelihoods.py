"""How likely a model holds text that is given: log-probabilities of tokens, of whole endings, of whatever may follow.

Everything is teacher-forced: the model reads the text and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hn_utils.models.checks import require_numbers
from hn_utils.models.kv_cache import extend, prefill

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel

LOGITS_AT_ONCE = 2**26  # 256 MB in float32: of all positions they would fill gigabytes at a large vocabulary


@torch.inference_mode()
def token_logprobs(model: HookedModel, rows: Sequence[Sequence[int]]) -> list[Float[Tensor, "pos"]]:
    """Log-probability of each token of each row given those before it.

    Args:
        model: the model that reads, with neurons scaled if a `with model.scaled(...)` is open.
        rows: token ids of each row.

    Returns:
        For each row the log-probabilities (nats) of its second token and all that follow: one fewer than tokens.

    Raises:
        ValueError: for a row without tokens or with ids that the model does not know, a model in training mode, or one
            whose predictions are not numbers.
    """
    found: list[Tensor] = []
    for piece in model.pieces(rows):
        with model.batch_holds(piece, len(rows)):
            found += _read_together(model, rows[piece])
    return found


@torch.inference_mode()
def ending_logprobs(
    model: HookedModel, beginnings: Sequence[Sequence[int]], endings: Sequence[Sequence[Sequence[int]]]
) -> Float[Tensor, "beginning ending"]:
    """Log-probability of each ending as a whole given its beginning, which is read once for all its endings.

    Args:
        model: the model that reads, with neurons scaled if a `with model.scaled(...)` is open.
        beginnings: token ids of each beginning.
        endings: token ids of each of its endings; every beginning has as many endings.

    Returns:
        Sums of the log-probabilities (nats) of an ending's tokens; 0 for an empty ending. A longer ending is less
        likely for its length alone.

    Raises:
        ValueError: as `token_logprobs` does.
    """
    n = len(endings[0])
    following, there = _padded_endings(model, endings)  # [row, pos], a row an ending
    last, mask, cache = prefill(model, beginnings)  # last: [beginning, d_model]
    beginning = torch.arange(len(beginnings), device=model.device).repeat_interleave(n)  # [row]
    hidden = last[beginning.to(last.device), None]  # [row, 1, d_model]
    if following.shape[1] > 1:
        cache.reorder_cache(cast(torch.LongTensor, beginning))
        mask = torch.cat([mask[beginning], there[:, :-1]], 1)
        with model.batch_holds(beginning, len(beginnings)):
            rest = extend(model, following[:, :-1], mask, cache)  # [row, pos, d_model]
        hidden = torch.cat([hidden, rest], 1)
    read = there.bool()
    values = torch.zeros(following.shape, device=model.device)
    values[read] = _logprobs_of(model, hidden[read.to(hidden.device)], following[read]).to(model.device)
    return values.sum(1).reshape(len(beginnings), n).cpu()  # [beginning, ending]


@torch.inference_mode()
def residuals_and_logprobs(
    model: HookedModel, rows: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]
) -> Iterator[tuple[Float[Tensor, "layer pos d_model"], Float[Tensor, "place vocab"]]]:
    """The residual stream after every layer, and the predictions at some positions, row by row.

    Args:
        model: the model that reads.
        rows: token ids of each row.
        positions: for each row, those after which the next token's log-probabilities are wanted.

    Yields:
        For each row its residual streams, of which the last layer's is that after the final norm, and what lies beyond
        the row's end is padding; and the log-probabilities (nats) of every token at each of its `positions`.

    Raises:
        ValueError: as `token_logprobs` does.
    """
    for piece in model.pieces(rows):
        ids, mask = model.encoder.pad(rows[piece], "right", model.device)
        with model.batch_holds(piece, len(rows)):
            out = model.run_layers(input_ids=ids, attention_mask=mask, use_cache=False, output_hidden_states=True)
        for i, at in enumerate(positions[piece]):
            streams = torch.stack([h[i].to(model.device) for h in out.hidden_states[1:]])  # [layer, pos, d_model]
            predicted = model.logits(out.last_hidden_state[i, list(at)]).log_softmax(-1)  # [place, vocab]
            require_numbers(predicted, model.name, model.model.dtype)
            yield streams, predicted


def _read_together(model: HookedModel, rows: Sequence[Sequence[int]]) -> list[Float[Tensor, "pos"]]:
    """`token_logprobs` of rows that are read at once."""
    ids, mask = model.encoder.pad(rows, "right", model.device)
    read = mask[:, 1:].bool()
    hidden = model.final_hidden(ids, mask)[:, :-1][read]  # [token, d_model], padding left out
    following = ids[:, 1:][read]  # [token]
    return list(_logprobs_of(model, hidden, following).split([len(row) - 1 for row in rows]))


def _logprobs_of(
    model: HookedModel, hidden: Float[Tensor, "token d_model"], following: Int[Tensor, "token"]
) -> Float[Tensor, "token"]:
    """Log-probability (nats) of the token that follows each hidden state, few at a time."""
    at_once = max(1, LOGITS_AT_ONCE // len(model.encoder.tokenizer))
    parts = zip(hidden.split(at_once), following.split(at_once), strict=True)
    chosen = [model.logits(h).log_softmax(-1).gather(1, f[:, None])[:, 0].cpu() for h, f in parts]
    together = torch.cat(chosen)
    require_numbers(together, model.name, model.model.dtype)
    return together


def _padded_endings(
    model: HookedModel, endings: Sequence[Sequence[Sequence[int]]]
) -> tuple[Int[Tensor, "row pos"], Int[Tensor, "row pos"]]:
    """All endings under each other, padded on the right, and 1 where a token of them stands; some may be empty."""
    rows = [ending for some in endings for ending in some]
    following = torch.full((len(rows), max(len(ending) for ending in rows)), model.encoder.pad_id)
    there = torch.zeros_like(following)
    for i, ending in enumerate(rows):
        following[i, : len(ending)] = torch.tensor(ending, dtype=torch.long)
        there[i, : len(ending)] = 1
    return following.to(model.device), there.to(model.device)
