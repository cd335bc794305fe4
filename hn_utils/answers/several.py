"""Answers that name several things: all that were asked for, in any order, or so many that none is chosen."""

from __future__ import annotations

import re
from collections.abc import Collection

from hn_utils.questions.reading.same_answer import contains

_MANY = 4  # things that a response names where the card has one: it has not chosen
_BETWEEN = re.compile(r"\s*[,;\n/&+、，]\s*|\s+(?:and|or|und|oder|et|ou)\s+(?!\.)", re.IGNORECASE)
_ASIDE = re.compile(r"\([^()]*\)")
_DECADE = re.compile(r"^\W*(?:the )?(1\d|20)(\d)0\W?s\W*$", re.IGNORECASE)
_YEAR = re.compile(r"(?<!\d)(1\d\d\d|20\d\d)(?!\d)")


def things(text: str) -> list[str]:
    """What a list names, without what stands in brackets; a text that is no list names one thing."""
    parts = _BETWEEN.split(_ASIDE.sub(" ", text))
    return [part for part in (part.strip(" .*-") for part in parts) if part]


def names_all(text: str, accepted: str) -> bool:
    """Does a text name all that an accepted answer lists ("Jake and Elwood"), in any order?

    A surname before a comma is such a list, too: "Lewis, Sinclair" is named by "Sinclair Lewis".
    """
    wanted = things(accepted)
    return len(wanted) > 1 and all(contains(text, one) for one in wanted)


def has_not_chosen(text: str, accepted: Collection[str]) -> bool:
    """Does a text list MANY things or more, of which fewer than half are accepted?

    Who was asked for one animal and names five has guessed. Of two or three things no rule can tell whether the second
    explains the first ("Durham, New Hampshire") or stands beside it.
    """
    named = things(text)
    if len(named) < _MANY:
        return False
    hits = sum(any(contains(one, answer) for answer in accepted) for one in named)
    return 2 * hits < len(named)


def year_of_decade(text: str, accepted: str) -> bool:
    """Does a text name one year, and that of a decade which is accepted ("1906" where "1900s" is)?"""
    decade = _DECADE.match(accepted)
    years = set(_YEAR.findall(text))
    return decade is not None and len(years) == 1 and years.pop()[:3] == decade[1] + decade[2]
