"""Where the explorer opens: on the clearest case, chosen by a rule, with one sentence that says what to try first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

_TURNED_UP = 3.0  # an alpha that every study has


def opening(groups: Sequence[dict[str, Any]], alphas: Sequence[float], random: Sequence[int]) -> dict[str, Any]:
    """The clearest case among a model's groups: where it is, what to try there, and how clear it is.

    Of the behaviours that a verdict tells apart from random neurons, the one with the steepest slope beyond random that
    has an item which *turns*: scaled by 3 the H-Neurons change its outcome, and no random set changes it at any alpha.
    The first such item is taken. Where nothing turns so, it is the answer whose score by the H-Neurons lies furthest
    from the random sets' mean score: an answer to a plain question, if there are any.

    `random` are the places of the random sets among an item's `replies` and scores `at_answer`. How clear a case is
    compares first by that slope (0 where nothing turns), then by the distance of the scores.
    """
    apart = [group for group in groups if group.get("told_apart")]
    for group in sorted(apart, key=lambda group: -abs(group["slope"])):
        for item in group["items"]:
            if turns(item, alphas, random):
                first = _what_turns(item, alphas)
                return case(group, item, first, (abs(group["slope"]), gap(item, random)))
    cases = list(answers(groups))
    group, item = max(cases, key=lambda pair: gap(pair[1], random))
    return case(group, item, _how_wide(item, random, len(cases)), (0.0, gap(item, random)))


def case(group: Mapping[str, Any], item: Mapping[str, Any], first: str, clear: tuple[float, float]) -> dict[str, Any]:
    return {"address": {"group": group["id"], "question": item["id"]}, "first": first, "clear": clear}


def answers(groups: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every item with its group; of plain questions alone, if there are any, since the probe was trained on these."""
    plain = [group for group in groups if not group["pressure"]]
    for group in plain or groups:
        for item in group["items"]:
            yield group, item


def _outcomes_of(item: Mapping[str, Any], place: int) -> list[str]:
    """The outcome at every alpha with one set."""
    return [outcome for _, outcome in item["replies"][place]]


def turns(item: Mapping[str, Any], alphas: Sequence[float], random: Sequence[int]) -> bool:
    own = _outcomes_of(item, 0)
    changed = own[alphas.index(_TURNED_UP)] != own[alphas.index(1.0)]
    return changed and all(len(set(_outcomes_of(item, place))) == 1 for place in random)


def gap(item: Mapping[str, Any], random: Sequence[int]) -> float:
    """How far apart the H-Neurons' score of an answer and the random sets' mean score lie."""
    return float(abs(item["at_answer"][0] - _mean_score(item, random)))


def _mean_score(item: Mapping[str, Any], random: Sequence[int]) -> float:
    return float(np.mean([item["at_answer"][place] for place in random]))


def _what_turns(item: Mapping[str, Any], alphas: Sequence[float]) -> str:
    own = _outcomes_of(item, 0)
    before, after = own[alphas.index(1.0)], own[alphas.index(_TURNED_UP)]
    return (
        f"move alpha from 1 to {_TURNED_UP:g}. With the H-Neurons the outcome turns from “{before}” to “{after}”; with "
        "none of the random sets does it change, at any alpha."
    )


def _how_wide(item: Mapping[str, Any], random: Sequence[int], n: int) -> str:
    own, others = item["at_answer"][0], _mean_score(item, random)
    return (
        f"colour the tokens by a random set. The H-Neurons give this answer a score of {_signed(own)}, the random sets "
        f"{_signed(others)} on average: the widest gap among the {n} answers here."
    )


def _signed(score: float) -> str:
    """With a sign, and a minus as long as the plus."""
    return f"{score:+.1f}".replace("-", "−")
