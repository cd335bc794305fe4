"""Does a text go round in a loop?"""

from __future__ import annotations

import re

_TIMES = 4  # in a row: names and songs say a thing twice or three times ("New York, New York", "no, no, no")
_UNIT = re.compile(r"[฀-࿿ក-៿぀-ヿ㐀-䶿一-鿿]|[^\W_]+")  # a letter where words have no blanks between them, else a word


def repeats_itself(text: str) -> bool:
    """Is at least half of the text one passage said TIMES or more in a row?

    Words are compared whatever their case and what stands between them. A passage must have a letter: rows of figures,
    dots or table rules are no loop.
    """
    units = _UNIT.findall(text.lower())
    return any(2 * _longest_run(units, size) >= len(units) for size in range(1, len(units) // _TIMES + 1))


def _longest_run(units: list[str], size: int) -> int:
    """How many units the longest run of one passage of `size` units fills; 0 if it is said fewer than TIMES."""
    longest = run = 0
    for place in range(size, len(units)):
        run = run + 1 if units[place] == units[place - size] else 0
        filled = run + size
        if filled >= _TIMES * size and filled > longest and _has_letter(units[place - size + 1 : place + 1]):
            longest = filled
    return longest


def _has_letter(units: list[str]) -> bool:
    return any(letter.isalpha() for unit in units for letter in unit)
