"""What a chat model's reply says: the word that is its verdict, or the words of a text that it marks.

Chat models wrap what they are asked for: in quotes, in bold, in JSON, behind a label, after a thought. What could be
read in two ways is not read.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterator
from typing import Any

from hn_utils.answers.thoughts import without_thought

_FENCE = re.compile(r"^```\w*\s*|\s*```$")
_BOXED = re.compile(r"\\(?:boxed|text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")
_LABEL = re.compile(
    r"^(?:(?:so|thus|hence|therefore),? )?(?:the |my )?(?:final |overall )?"
    r"(?:verdict|answer|judge?ment|label|class|classification|result|rating|decision|conclusion)"
    r"\W*(?:[:=→–—-]|\bis\b)\W*",
    re.IGNORECASE,
)
_REASONED = re.compile(r"^\W*(\w+)\W*\s*[:(–—-]\s*\S")  # the word, then why
_PIECE = re.compile(r"[\n.!;]+")
_MARKED = re.compile(r"\*\*([^*]+)\*\*|__([^_]+)__|`([^`]+)`|[\"“«„]([^\"”»“]+)[\"”»“]|\*([^*]+)\*")
_DENIED = re.compile(r"\b(?:not|no|never|cannot|hardly|nor)\b|n['’]t\b", re.IGNORECASE)
_WRAPPING = " \t\r\n\"'`*_~#>.,!()[]{}“”„‘’‚«»‹›$\\•-–—\ufeff\u200b\u200e"
_APOSTROPHES, _QUOTES = "'’‘ʼ`´", '"“”„«»'


def read_word(words: Collection[str], reply: str) -> str | None:
    """The one of some words (in lower case) that a reply gives; None if it gives none, or could mean several.

    It may stand alone, in a line or sentence of its own, behind a label ("Verdict:"), before a reason, or as the value
    of a JSON object; marked in a sentence only if that names no other of the words, and denies nothing.
    """
    said = _FENCE.sub("", without_thought(reply)).strip()
    with_values = list(_json_values(said))
    if with_values:
        return only({word for value in with_values if (word := bare(value)) in words})
    said = _BOXED.sub(r"**\1**", said)
    alone = {word for piece in _PIECE.split(said) if (word := bare(_LABEL.sub("", _unmarked(piece)))) in words}
    if alone:
        return only(alone)
    named = {word for word in words if re.search(rf"\b{re.escape(word)}\b", said, re.IGNORECASE)}
    if len(named) > 1 or _DENIED.search(said):
        return None
    reasoned = _REASONED.match(said)
    marked = {bare(next(filter(None, found.groups()))) for found in _MARKED.finditer(said)}
    return only(named & (marked | {bare(reasoned[1])} if reasoned else marked))


def only(found: Collection[str]) -> str | None:
    return next(iter(found)) if len(found) == 1 else None


def bare(text: str) -> str:
    """A text in lower case without the signs around it."""
    return unicodedata.normalize("NFKC", text).strip(_WRAPPING).casefold()


def _unmarked(text: str) -> str:
    """A text without the marks of bold and code, which may stand around a label alone."""
    return re.sub(r"[*`_]+", "", text).strip(_WRAPPING)


def _json_values(text: str) -> Iterator[str]:
    """The texts that a JSON object holds as values; none if it is no such object."""
    if not text.startswith("{"):
        return
    try:
        held: Any = json.loads(text)
    except (ValueError, RecursionError):
        return
    yield from (value for value in held.values() if isinstance(value, str))


def marked_words(text: str, reply: str) -> str | None:
    """The words of a text that a reply repeats, as they stand in the text; None if they do not stand there.

    Signs around them, the shape of quotes and apostrophes, the way in which accents are composed, blanks and case may
    differ; of several lines the first counts if all of them do not stand there.
    """
    said = _FENCE.sub("", without_thought(reply)).strip()
    lines = said.splitlines()
    for whole in filter(None, [said, *lines[:1]]):
        for words in dict.fromkeys((whole, whole.strip(_WRAPPING))):
            for composed in ("NFC", "NFD"):
                pattern = _loose(unicodedata.normalize(composed, words))
                if pattern and (found := re.search(pattern, text, re.IGNORECASE)):
                    return found[0]
    return None


def _loose(words: str) -> str:
    """A pattern of words as whole words, whatever blanks, quotes and apostrophes they are written with."""
    pieces = []
    for sign in " ".join(words.split()):
        same = next((some for some in (_APOSTROPHES, _QUOTES) if sign in some), "")
        pieces.append(rf"[{re.escape(same)}]" if same else r"\s+" if sign == " " else re.escape(sign))
    return rf"(?<!\w){''.join(pieces)}(?!\w)" if pieces else ""
