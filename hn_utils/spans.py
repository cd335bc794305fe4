"""Where the answer stands, by position: from the ids the model wrote, never by searching re-tokenised text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hn_utils.subject import Subject


def token_offsets(subject: Subject, ids: Sequence[int]) -> list[tuple[int, int]]:
    """Character range of each generated token in the decoded text, by decoding ever longer prefixes.

    A token that adds no characters yet (half of a multi-byte letter, a special token) has an empty range.
    """
    ends = [len(subject.decode(ids[: i + 1])) for i in range(len(ids))]
    return [(min(start, end), end) for start, end in zip([0, *ends], ends, strict=False)]


def find_phrase(text: str, phrases: Iterable[str]) -> tuple[int, int] | None:
    """Character range of the first phrase (longest first) that stands in the text as whole words, whatever its case."""
    for phrase in sorted(phrases, key=len, reverse=True):
        found = re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text, re.IGNORECASE)
        if phrase and found:
            return found.span()
    return None


def positions_in(offsets: Sequence[tuple[int, int]], start: int, end: int) -> list[int]:
    """Indices of the tokens that share at least one character with [start, end).

    A token without characters of its own that stands inside the range, such as the last byte of a letter, belongs too.
    """
    return [i for i, (a, b) in enumerate(offsets) if (a < end and b > start) or (a == b and start < a <= end)]


def answer_positions(subject: Subject, ids: Sequence[int], phrases: Iterable[str] | None = None) -> list[int]:
    """Indices, within a response, of the tokens that state the answer.

    With `phrases` (the possible answers) their first match; without, the whole response but its outer blanks and
    closing punctuation, which is right for prompts that ask for the answer only. Empty if there is no such token.
    """
    text, special = subject.decode(ids), {*subject.tokenizer.all_special_ids, *subject.stop_ids}
    if phrases is None:
        stripped = text.rstrip().rstrip(".!?,;:").rstrip()
        found = (len(text) - len(text.lstrip()), len(stripped))
    else:
        found = find_phrase(text, phrases) or (0, 0)
    return [i for i in positions_in(token_offsets(subject, ids), *found) if ids[i] not in special]
