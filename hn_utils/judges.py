"""Is an answer right? The alias rule: a normalised accepted answer stands in the response as whole words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Literal

Verdict = Literal["right", "wrong", "abstained"]
ABSTENTIONS = re.compile(
    r"\bi (do not|don t|did not|didn t|cannot|can t|can not|could not|couldn t|will not|won t) "
    r"(know|recall|remember|share|say|tell|answer|provide|give|disclose|reveal|help|assist)\b"
    r"|\bi (am|m) (not (sure|able|certain)|unable)\b|\bno idea\b"
)


def normalise(text: str) -> str:
    """Lower case, accents folded, articles and punctuation gone, single spaces: the TriviaQA convention."""
    folded = unicodedata.normalize("NFKD", text.lower())
    letters = "".join(c for c in folded if not unicodedata.combining(c))
    return " ".join(w for w in re.sub(r"[^\w]+|_", " ", letters).split() if w not in {"a", "an", "the"})


def contains(text: str, phrase: str) -> bool:
    """Does the normalised phrase stand in the normalised text, bounded by word edges? An empty phrase never does."""
    phrase = normalise(phrase)
    return bool(phrase) and f" {phrase} " in f" {normalise(text)} "


def judge(text: str, aliases: Iterable[str]) -> Verdict:
    """Right if any alias is contained, abstained if it declines or is empty, else wrong.

    Shows whether a string was said, not whether it was meant: "not Paris but Rome" is right for both.
    """
    if any(contains(text, alias) for alias in aliases):
        return "right"
    return "abstained" if not normalise(text) or ABSTENTIONS.search(normalise(text)) else "wrong"
