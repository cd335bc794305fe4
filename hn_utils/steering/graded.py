"""How much likelier the claim is than the truth: a graded outcome that needs neither replies nor a judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from hn_utils.answers.spans import find_phrase
from hn_utils.models.likelihoods import ending_logprobs
from hn_utils.models.scaling import Dose, dosed
from hn_utils.steering.replies import by_dose, conversation, replies_of_own_length
from hn_utils.storage.cache import cached
from hn_utils.storage.stages import register_stage

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.questions.items import Item
    from hn_utils.study import Study

VERSION = register_stage("log-odds", 1)


def log_odds(
    subject: HookedModel, items: Sequence[Item], doses: Sequence[Dose], study: Study
) -> Float[np.ndarray, "item dose"]:
    """Log-odds (nats) of the claim against the truth as the reply to an item's conversation, at each dose. Cached.

    Both are teacher-forced and begin as the unscaled model's own reply does, up to where that names one of them ("She
    was born in"); where it names neither, and in a multiple choice, they stand alone. The log-probabilities of all
    tokens from the first in which the two differ are summed, not averaged: above 0 the claim is the likelier string.

    nan for an item that has no truth or no claim. It compares two strings alone: a longer one is less likely for its
    length, so that differences between doses mean more than the value at one; other words for the same, and a reply
    that names neither, are not in it.
    """
    able = [i for i, item in enumerate(items) if item.truth and item.claim]
    odds = np.full((len(items), len(doses)), np.nan)
    odds[able] = _odds_of(subject, compared_strings(subject, items, study), doses, study)
    return odds


def compared_strings(subject: HookedModel, items: Sequence[Item], study: Study) -> list[Cell]:
    """What `log_odds` compares: of each item that has a truth and a claim, what stands before both, and how each goes
    on.

    Args:
        subject: the unscaled model.
        items: attempts to talk it into something.
        study: how it is asked.

    Returns:
        Token ids, a cell an item, those without a truth or a claim left out.
    """
    prompts = subject.encoder.encode_chats(conversation(subject, items, study))
    begun = _beginnings(subject, items, prompts, study)
    whole = zip(prompts, begun, items, strict=True)
    return [_cell(subject, prompt, start, item) for prompt, start, item in whole if item.truth and item.claim]


def _beginnings(subject: HookedModel, items: Sequence[Item], prompts: Sequence[list[int]], study: Study) -> list[str]:
    """How the unscaled model's greedy reply begins before it names truth or claim; only a leading blank, if any, where
    it names neither or letters are chosen."""
    begun = []
    for item, reply in zip(items, replies_of_own_length(subject, items, prompts, study), strict=True):
        text = subject.encoder.decode(reply.ids)
        names = [name for name in (item.truth, *item.also, item.claim) if name]
        found = None if item.shape else find_phrase(text, names)
        begun.append(text[: found[0]] if found else text[: len(text) - len(text.lstrip())])
    return begun


class Cell(NamedTuple):
    """What claim and truth share, as token ids, and how each goes on."""

    shared: list[int]
    claim: list[int]
    truth: list[int]


def _cell(subject: HookedModel, prompt: list[int], begun: str, item: Item) -> Cell:
    claim, truth = subject.encoder.tokenize([f"{begun}{item.claim}", f"{begun}{item.truth}"])
    same = next((n for n, (a, b) in enumerate(zip(claim, truth, strict=False)) if a != b), min(len(claim), len(truth)))
    return Cell(prompt + claim[:same], claim[same:], truth[same:])


def _odds_of(
    subject: HookedModel, pairs: Sequence[Cell], doses: Sequence[Dose], study: Study
) -> Float[np.ndarray, "pair dose"]:
    cells = [(pair, dose) for pair in pairs for dose in doses]

    def compute(some: list[int]) -> dict[str, np.ndarray]:
        asked = [cells[i][0] for i in some]
        with dosed(subject, [cells[i][1] for i in some]):
            read = ending_logprobs(subject, [a.shared for a in asked], [(a.claim, a.truth) for a in asked])
        return {"odds": (read[:, 0] - read[:, 1]).numpy()}

    keys, lengths = by_dose(pairs, doses), [len(pair.shared) for pair, _ in cells]
    kept = cached("log-odds", subject.key(VERSION), keys, compute, max(1, study.batch_rows // 2), lengths)
    return (kept.array("odds") if cells else np.empty(0)).reshape(len(pairs), len(doses))
