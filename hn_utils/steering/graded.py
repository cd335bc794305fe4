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
    cells = cells_of(subject, items, study)
    odds = np.full((len(items), len(doses)), np.nan)
    odds[list(cells)] = _odds_of(subject, list(cells.values()), doses, study)
    return odds


class Cell(NamedTuple):
    """What claim and truth share, as token ids, how each goes on, and how many of the shared tokens are the prompt."""

    shared: list[int]
    claim: list[int]
    truth: list[int]
    n_prompt: int


def cells_of(subject: HookedModel, items: Sequence[Item], study: Study) -> dict[int, Cell]:
    """The two strings that are compared, by the place of each item that has a truth and a claim."""
    prompts = subject.encoder.encode_chats(conversation(subject, items, study))
    begun = _beginnings(subject, items, prompts, study)
    able = [i for i, item in enumerate(items) if item.truth and item.claim]
    return {i: _cell(subject, prompts[i], begun[i], items[i]) for i in able}


def read_odds(subject: HookedModel, cells: Sequence[Cell]) -> Float[np.ndarray, "cell"]:
    """Log-odds (nats) of claim against truth as the model is now, with whatever is done to its neurons."""
    with subject.prompts_end([cell.n_prompt for cell in cells]):
        read = ending_logprobs(subject, [cell.shared for cell in cells], [(c.claim, c.truth) for c in cells])
    return (read[:, 0] - read[:, 1]).numpy()


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


def _cell(subject: HookedModel, prompt: list[int], begun: str, item: Item) -> Cell:
    claim, truth = subject.encoder.tokenize([f"{begun}{item.claim}", f"{begun}{item.truth}"])
    same = next((n for n, (a, b) in enumerate(zip(claim, truth, strict=False)) if a != b), min(len(claim), len(truth)))
    return Cell(prompt + claim[:same], claim[same:], truth[same:], len(prompt))


def _odds_of(
    subject: HookedModel, cells: Sequence[Cell], doses: Sequence[Dose], study: Study
) -> Float[np.ndarray, "cell dose"]:
    pairs = [(cell, dose) for cell in cells for dose in doses]

    def compute(some: list[int]) -> dict[str, np.ndarray]:
        with dosed(subject, [pairs[i][1] for i in some]):
            return {"odds": read_odds(subject, [pairs[i][0] for i in some])}

    keys: list[tuple] = []
    for (cell, dose), key in zip(pairs, by_dose([cell[:3] for cell in cells], doses), strict=True):
        keys.append(key if dose.at == "everywhere" else (*key, cell.n_prompt))
    lengths = [len(cell.shared) for cell, _ in pairs]
    kept = cached("log-odds", subject.key(VERSION), keys, compute, max(1, study.batch_rows // 2), lengths)
    return (kept.array("odds") if pairs else np.empty(0)).reshape(len(cells), len(doses))
