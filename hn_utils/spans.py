"""Where the answer stands, by position: from the ids the model wrote, never by searching re-tokenised text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hn_utils.subject import Subject

A_FEW = 7  # tokens: no more have 95 % of the published answer-only responses, of each of four models; half have 2 or 3
CLOSING = ".!?,;:"
BREAK = re.compile(r"(?<=[.!?])[\"'”’)\]*]*\s+(?![\sa-z])|\s*\n\s*")  # what follows a full stop in lower case goes on
ABBREVIATED = re.compile(r"\b([A-Z]|Dr|Mr|Mrs|Ms|St|Jr|Sr|Mt|No|vs)\.$")
OPENING = re.compile(r"^(sure|certainly|of course|absolutely|great|good|okay)\b[^.]{0,40}[!.]$|:$", re.IGNORECASE)


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


def first_sentence(text: str) -> str:
    """What stands for the answer in a response of several sentences, without its closing punctuation.

    A line ends a sentence, too. Openings that say nothing ("Sure!", "Here is the answer:") are passed over. This is
    only a rule: of the published answer-only responses of more than A_FEW tokens, 98 % have their marked answer in it.
    """
    sentences, start = [], 0
    for found in BREAK.finditer(text.strip()):
        sentence = text.strip()[start : found.start()]
        if not ABBREVIATED.search(sentence):
            sentences.append(sentence)
            start = found.end()
    sentences.append(text.strip()[start:])
    said = next((s for s in sentences if not OPENING.search(s)), sentences[0])
    return said.rstrip().rstrip(CLOSING).rstrip()


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
        stripped = text.rstrip().rstrip(CLOSING).rstrip()
        found = (len(text) - len(text.lstrip()), len(stripped))
    else:
        found = find_phrase(text, phrases) or (0, 0)
    return [i for i in positions_in(token_offsets(subject, ids), *found) if ids[i] not in special]
