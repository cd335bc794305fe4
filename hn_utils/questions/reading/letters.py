"""One spelling for each letter: what differs by font, accent or width becomes the same, what differs in sound stays."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import lru_cache

import regex
from anyascii import anyascii

_CLUSTER = regex.compile(r"\X")
_APOSTROPHES = "'’‘‛ʼʻʹ′´`＇"
_OPTIONAL_MARKS = regex.compile(r"[\p{Mn}\u0640]")  # accents; Arabic and Hebrew vowels, which most texts leave out
_ONE_LETTER = str.maketrans("أإآٱىё", "اااايе")  # spelt either way
_NOT_PLAIN = regex.compile(r"[^\n -_a-~]")  # of ASCII
_SUPERSCRIPT = regex.compile(r"[⁰¹²³⁴-⁹⁺⁻]")


@lru_cache(maxsize=50_000)
def plain(cluster: str) -> str:
    """One letter with its marks (a grapheme cluster) in its plain form, which may have several letters, or none.

    Latin letters lose marks, strokes and ligatures, Greek ones accents, Arabic and Hebrew ones the vowels that most
    texts leave out. In other scripts a mark makes another letter, so that it is kept: パ is not ハ, मील is not मिल.
    """
    if cluster in _APOSTROPHES:
        return "'"
    if regex.match(r"\p{Pd}|−", cluster):
        return "-"
    if regex.match(r"[\n\r\p{Zl}\p{Zp}]", cluster):
        return "\n"
    if cluster.isspace() or regex.match(r"\p{Z}", cluster):
        return " "
    whole = unicodedata.normalize("NFKC", cluster)
    if "⁄" in whole:
        return whole  # a vulgar fraction
    letters = "".join(map(_plain_letter, whole))
    return unicodedata.normalize("NFC", letters)


def _plain_letter(letter: str) -> str:
    if letter.isascii():
        return letter
    if letter.isdecimal():
        return str(unicodedata.decimal(letter))
    if regex.match(r"\p{Script=Latin}", letter):
        return anyascii(letter)
    if regex.match(r"[\p{Script=Greek}\p{Script=Arabic}\p{Script=Hebrew}]", letter):
        letter = _OPTIONAL_MARKS.sub("", unicodedata.normalize("NFD", letter.translate(_ONE_LETTER)))
    elif regex.match(r"[\u0300-\u036f\p{Cf}\ufe0e\ufe0f]", letter):
        return ""  # a mark whose letter took it or has none, or a sign without width
    return letter.translate(_ONE_LETTER)


def fold(text: str, spelling: Mapping[str, str] | None = None) -> tuple[str, list[int]]:
    """A text in plain letters, case kept, and for each of its characters where the text has it.

    Digits of any script are 0 to 9, superscript digits follow a ^, blanks and dashes of any width are one each.
    `spelling` may name other plain forms of small letters.
    """
    if text.isascii() and not _NOT_PLAIN.search(text):
        return text, list(range(len(text)))
    letters: list[str] = []
    places: list[int] = []
    before = ""
    for found in _CLUSTER.finditer(text):
        cluster = found.group()
        new = plain(cluster)
        if spelling:
            new = spelling.get(unicodedata.normalize("NFC", cluster).lower(), new)
        raised = _SUPERSCRIPT.match(cluster)
        if raised and before.isdigit() and not _SUPERSCRIPT.match(before):
            new = "^" + new
        if "⁄" in new and before.isdigit():
            new = " " + new
        letters.append(new)
        places.extend([found.start()] * len(new))
        before = cluster
    return "".join(letters), places
