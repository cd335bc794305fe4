"""Activation patching: the same prompt with another name, and some neurons' activations from there put in here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from hn_utils.models.activations import activations_of
from hn_utils.models.scaling import patched
from hn_utils.steering.graded import cells_of, read_odds
from hn_utils.steering.replies import conversation
from hn_utils.storage.cache import cached
from hn_utils.storage.stages import register_stage

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.questions.items import Item
    from hn_utils.study import Study

VERSION = register_stage("patched-log-odds", 1)


def with_another_name(items: Sequence[Item], seed: int) -> list[Item | None]:
    """Each item with the name of another one's entity in place of its own.

    Names are taken from items of the same behaviour, at random. All else that the user says stays, the claim too.

    Args:
        items: what is put to the model.
        seed: of the draw.

    Returns:
        Items, in the same order; None for one whose last turn does not name its entity, or that has no other name.
    """
    rng = np.random.default_rng([seed, 23])
    changed: list[Item | None] = []
    for item in items:
        named = bool(item.entity) and item.entity in item.turns[-1]
        names = {other.entity for other in items if other.behaviour == item.behaviour and other.entity} - {item.entity}
        if not (named and names):
            changed.append(None)
            continue
        name = sorted(names)[int(rng.integers(len(names)))]
        turns = tuple(turn.replace(item.entity, name) for turn in item.turns)
        changed.append(replace(item, turns=turns, question=item.question.replace(item.entity, name)))
    return changed


def shared_ending(one: Sequence[int], other: Sequence[int]) -> int:
    """How many last tokens two prompts share.

    Args:
        one: token ids.
        other: token ids.

    Returns:
        A number of tokens, at most the length of the shorter.
    """
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def patched_log_odds(
    subject: HookedModel,
    items: Sequence[Item],
    others: Sequence[Item],
    sets: Sequence[Int[np.ndarray, "k"]],
    study: Study,
) -> Float[np.ndarray, "item set"]:
    """Log-odds (nats) of each item's claim against its truth while neurons do what they do at another item's prompt.

    At the last tokens, which both prompts share, the neurons' activations are those of the other prompt; all else, the
    other neurons and the attention to the own name, stays the item's own. Cached.

    Args:
        subject: the model.
        items: what is put to the model, each with a truth and a claim.
        others: for each the item whose prompt the activations are from.
        sets: sets of neurons, flat indices; each is patched alone.
        study: how many rows are read at once.

    Returns:
        Log-odds as `graded.log_odds` gives them.

    Raises:
        ValueError: an item lacks truth or claim, or the model has no such neuron.
    """
    cells = cells_of(subject, items, study)
    if len(cells) < len(items):
        raise ValueError(f"{len(items) - len(cells)} of {len(items)} items have no truth or no claim: leave them out")
    elsewhere = subject.encoder.encode_chats(conversation(subject, others, study))
    ends = [shared_ending(cells[i].shared[: cells[i].n_prompt], prompt) for i, prompt in enumerate(elsewhere)]

    def compute(some: list[int]) -> dict[str, np.ndarray]:
        chosen, of = np.divmod(some, len(items))  # the set, and the item, of each pair
        odds = np.empty(len(some))
        for place in np.unique(chosen).tolist():
            mine = np.flatnonzero(chosen == place)
            rows = of[mine].tolist()
            read = activations_of(subject, [elsewhere[i] for i in rows], sets[place])
            values = [each[len(each) - ends[i] :] for i, each in zip(rows, read, strict=True)]
            with patched(subject, sets[place], values):
                odds[mine] = read_odds(subject, [cells[i] for i in rows])
        return {"odds": odds}

    pairs = [(np.asarray(some).tolist(), cells[i], elsewhere[i]) for some in sets for i in range(len(items))]
    kept = cached("patched-log-odds", subject.key(VERSION), pairs, compute, max(1, study.batch_rows // 2))
    return kept.array("odds").reshape(len(sets), len(items)).T  # [item, set]
