"""What the model replies, and how well it reads ordinary text, while neurons are scaled. Cached, dose by dose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hn_utils.answers.asking import chat_about
from hn_utils.models.generation import generate
from hn_utils.models.likelihoods import token_logprobs
from hn_utils.models.scaling import UNSCALED, Dose, dosed
from hn_utils.questions.items import GREEDY, Item, behaviour_called
from hn_utils.steering.broken import broken
from hn_utils.storage.cache import cached, key_hash
from hn_utils.storage.stages import register_stage

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.study import Sampling, Study

VERSION = register_stage("replies", 4)
register_stage("text-loss", VERSION)


def conversation(subject: HookedModel, items: Sequence[Item], study: Study) -> list[list[dict[str, str]]]:
    """Each item's messages up to its last user turn, the turns between written greedily by the unscaled model. Cached,
    so that every dose answers the very same dialogue. The study's examples stand first."""
    talks = [chat_about(study, item.turns[0]) for item in items]
    for turn in range(1, max((len(item.turns) for item in items), default=0)):
        going_on = [(item, talk) for item, talk in zip(items, talks, strict=True) if len(item.turns) > turn]
        some, prompts = [item for item, _ in going_on], subject.encoder.encode_chats([talk for _, talk in going_on])
        replies = replies_of_own_length(subject, some, prompts, study)
        for (item, talk), reply in zip(going_on, replies, strict=True):
            talk.append({"role": "assistant", "content": reply.text})
            talk.append({"role": "user", "content": item.turns[turn]})
    return talks


def replies_of_own_length(
    subject: HookedModel, items: Sequence[Item], prompts: Sequence[list[int]], study: Study
) -> list[Reply]:
    """The unscaled model's greedy reply to each item's prompt, which may be as long as the item allows. Cached."""
    replies: dict[int, Reply] = {}
    for length in sorted({item.max_new_tokens for item in items}):
        places = [i for i, item in enumerate(items) if item.max_new_tokens == length]
        sampling = replace(GREEDY, max_new_tokens=length)
        written = written_at(subject, [prompts[i] for i in places], [UNSCALED], sampling, study)
        replies |= {i: reply for i, (reply,) in zip(places, written, strict=True)}
    return [replies[i] for i in range(len(items))]


def replies_at(subject: HookedModel, items: Sequence[Item], doses: Sequence[Dose], study: Study) -> list[list[Reply]]:
    """The model's reply to each item at each dose, marked where it is `broken`. Cached, reply by reply.

    Raises ValueError if there are no items, or they are of several behaviours, or neurons are being scaled already.
    """
    kinds = {(item.behaviour, item.max_new_tokens) for item in items}
    if len(kinds) != 1:
        raise ValueError(f"replies_at needs items of one behaviour, got {sorted(kinds) or 'none'}")
    behaviour, length = kinds.pop()
    sampling = replace(behaviour_called(behaviour).sampling, max_new_tokens=length)
    prompts = subject.encoder.encode_chats(conversation(subject, items, study))
    replies = written_at(subject, prompts, doses, sampling, study)
    marks = broken(subject, prompts, replies, length, study)
    return [
        [reply._replace(broken=bool(mark)) for reply, mark in zip(row, marked, strict=True)]
        for row, marked in zip(replies, marks, strict=True)
    ]


def written_at(
    subject: HookedModel, prompts: Sequence[list[int]], doses: Sequence[Dose], sampling: Sampling, study: Study
) -> list[list[Reply]]:
    """One reply to each prompt at each dose; doses run along the batch. Where replies are sampled, all doses of a
    prompt get the same random numbers, so that they differ by dose and not by chance."""
    cells = [(prompt, dose) for prompt in prompts for dose in doses]

    def compute(some: list[int]) -> list[dict]:
        group = [cells[i] for i in some]
        with dosed(subject, [dose for _, dose in group]):
            drawn = generate(subject, [prompt for prompt, _ in group], sampling, study.seed)
        return [{"text": r.text, "cut": r.ids[-1] not in subject.encoder.stop_ids, "ids": r.ids} for (r,) in drawn]

    settings, lengths = subject.key(VERSION, sampling=sampling, seed=study.seed), [len(prompt) for prompt, _ in cells]
    kept = cached("replies", settings, by_dose(prompts, doses), compute, study.batch_rows, lengths)
    replies = [Reply(row["text"], row["cut"], tuple(row["ids"])) for row in kept.records()]
    return [replies[i : i + len(doses)] for i in range(0, len(cells), len(doses))]


def by_dose(things: Sequence[Any], doses: Sequence[Dose]) -> list[tuple[str, str]]:
    """A cache key for each thing at each dose; alpha 1 is the unscaled model, whatever the neurons."""
    changed = [dose for dose in doses if len(dose.neurons) and dose.alpha != 1]
    names = {id(dose): key_hash(_told_apart(dose)) for dose in changed}
    return [(name, names.get(id(dose), "unscaled")) for name in map(key_hash, things) for dose in doses]


def _told_apart(dose: Dose) -> list[Any]:
    """What a dose's results are kept under: neurons and alpha, and whatever else departs from the paper's scaling."""
    told: list[Any] = [np.asarray(dose.neurons).tolist(), float(dose.alpha)]
    if dose.at != "everywhere":
        told.append(dose.at)
    if dose.around is not None:
        told.append(np.asarray(dose.around, float).tolist())
    return told


def text_loss(subject: HookedModel, texts: Sequence[str], doses: Sequence[Dose], study: Study) -> np.ndarray:
    """Mean loss of ordinary text, nats per token, [text, dose]: what scaling costs where nobody asks. Cached,
    by the tokens of the text."""
    rows = subject.encoder.encode_texts(texts)
    if short := [text for text, row in zip(texts, rows, strict=True) if len(row) < 2]:
        raise ValueError(f"text {short[0]!r} has no token that another predicts: leave it out")
    cells = [(row, dose) for row in rows for dose in doses]

    def compute(some: list[int]) -> dict[str, np.ndarray]:
        with dosed(subject, [cells[i][1] for i in some]):
            read = token_logprobs(subject, [cells[i][0] for i in some])
        return {"loss": np.array([-float(row.mean()) for row in read])}

    keys, lengths = by_dose(rows, doses), [len(row) for row, _ in cells]
    kept = cached("text-loss", subject.key(VERSION), keys, compute, study.batch_rows, lengths)
    return kept.array("loss").reshape(len(texts), len(doses))


class Reply(NamedTuple):
    """What the model wrote, whether it was cut off before it had finished, the token ids, and whether it is broken (see
    `hn_utils.steering.broken`)."""

    text: str
    cut: bool
    ids: tuple[int, ...]
    broken: bool = False
