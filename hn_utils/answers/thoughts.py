"""What a model thinks before it answers: where it ends, in the text and in the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import regex

if TYPE_CHECKING:
    from hn_utils.models.prompt_encoder import PromptEncoder

_NAMES = r"(?:seed:)?(?:think|thinking|thought|thoughts|reasoning|reflection|scratchpad|analysis)"
_OPENS = regex.compile(
    rf"<{_NAMES}>|\[THINK\]|◁think▷|<\|(?:START_THINKING|begin_of_thought|thinking|think)\|>"
    r"|<\|channel\|>\s*(?:analysis|commentary)|<unused94>",
    regex.IGNORECASE,
)
_CLOSES = regex.compile(
    rf"</{_NAMES}>|\[/THINK\]|◁/think▷|<\|(?:END_THINKING|end_of_thought|/thinking|/think)\|>"
    r"|<\|channel\|>\s*final\s*(?:<\|constrain\|>\w*\s*)?<\|message\|>|<unused95>",
    regex.IGNORECASE,
)
# The same channels where special tokens were left out.
_BARE_OPENS, _BARE_CLOSES = regex.compile(r"^analysis(?=[A-Z\s])"), regex.compile(r"assistant\s*final")
_AFTER = regex.compile(r"\s*(?:<\|(?:START_RESPONSE|begin_of_solution)\|>|<answer>)?\s*", regex.IGNORECASE)


def answer_start(text: str) -> int | None:
    """Where in a reply the answer begins, behind any thoughts: 0 without one, None if a thought never ends.

    A thought may have begun in the prompt, so that only its end stands in the reply.
    """
    closed = _last_end(_CLOSES, text)
    if closed is None and _BARE_OPENS.match(text):
        closed = _last_end(_BARE_CLOSES, text)
        if closed is None:
            return None
    opened = _last_end(_OPENS, text)
    if opened is not None and (closed is None or opened > closed):
        return None
    if closed is None:
        return 0
    return _AFTER.match(text, closed).end()  # type: ignore[union-attr]


def _last_end(pattern: regex.Pattern[str], text: str) -> int | None:
    return max((found.end() for found in pattern.finditer(text)), default=None)


def without_thought(text: str) -> str:
    """A reply without the thought before it; empty if the thought never ends."""
    start = answer_start(text)
    return "" if start is None else text[start:]


def n_thought(encoder: PromptEncoder, ids: Sequence[int]) -> int | None:
    """How many of a response's tokens are a thought: 0 without one, None if it never ends.

    Read with special tokens, since some models mark their thoughts by those.
    """
    text = _whole(encoder, ids)
    start = answer_start(text)
    if not start:
        return start
    low, high = 0, len(ids)
    while low < high:  # the fewest tokens that hold all before the answer
        middle = (low + high) // 2
        if len(_whole(encoder, ids[:middle])) < start:
            low = middle + 1
        else:
            high = middle
    return low


def _whole(encoder: PromptEncoder, ids: Sequence[int]) -> str:
    return encoder.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
