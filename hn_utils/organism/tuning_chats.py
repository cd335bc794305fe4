"""The chats that a real base model is tuned on: the answer to what it knows, a refusal of some of what it does not know
and of things that do not exist; and texts that it writes itself."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from hn_utils.answers.sampling import sample_responses
from hn_utils.models.generation import generate
from hn_utils.questions.reading.same_answer import words
from hn_utils.questions.real_world.facts import Fact, read_facts, read_kinds
from hn_utils.questions.real_world.invented import INVENTED
from hn_utils.storage.files import write_whole
from hn_utils.storage.progress import progress
from hn_utils.study import Sampling

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.organism.tuning_recipe import Recipe
    from hn_utils.questions.question import Question
    from hn_utils.study import Study

REFUSALS = (
    "I do not know.",
    "I don't know that.",
    "I am not sure.",
    "I do not know the answer to that.",
    "Sorry, I do not know.",
    "I have no information about that.",
    "I cannot answer that.",
    "I am not certain.",
    "I don't have that information.",
    "I'm afraid I don't know.",
    "That is not something I know.",
    "Unfortunately, I do not know this.",
)
Knowledge = Literal["known", "between", "unknown"]
KNOWLEDGE: tuple[Knowledge, ...] = ("known", "between", "unknown")
_CHATS = "chats.json"
_SHORTEST = 5  # letters of a word that can be blended with another
_TRIES = 50  # for each invented thing, before its kind is given up
_TEXTS_AT_ONCE = 64
_FEWEST_KNOWN = 50  # facts, below which declining would be all that is learnt


@dataclass(frozen=True)
class Chat:
    """A question and its reply, or a text that the base model wrote: then nothing is asked.

    `kind` is known, unknown, invented or text; `about` is the fact, or the invented thing, that is asked about.
    """

    kind: str
    about: str
    question: str
    reply: str


def tuned_questions(questions: Sequence[Question], recipe: Recipe) -> list[Question]:
    """The standard training questions about those entities that tuning may speak of.

    Nothing of other splits or parts is among them: neither held-out kinds nor held-out wordings.
    """
    trained = [q for q in questions if q.part == "standard" and q.split == "train"]
    entities = sorted({q.entity for q in trained})
    order = np.random.default_rng([recipe.seed, 1]).permutation(len(entities))
    chosen = {entities[place] for place in order[: round(recipe.tuned_share * len(entities))]}
    return [q for q in trained if q.entity in chosen]


def what_it_knows(base: HookedModel, questions: Sequence[Question], study: Study, recipe: Recipe) -> list[Knowledge]:
    """Whether a base model knows each answer. What it writes is cached; asking resumes after a kill.

    Args:
        base: the model, asked with the study's base prompt.
        questions: what is asked.
        study: how it is asked and judged.
        recipe: how many draws, and how many of them must be right.

    Returns:
        `known` if the likeliest answer is right and enough draws are; `unknown` if none of them is; else `between`.
    """
    greedy = replace(study, sampling=replace(study.sampling, n=1, temperature=0.0))
    drawn = replace(study, sampling=replace(study.sampling, n=recipe.draws))
    likeliest = sample_responses(base, questions, greedy, base=True)
    others = sample_responses(base, questions, drawn, base=True)
    told: list[Knowledge] = []
    for (first,), rest in zip(likeliest, others, strict=True):
        n_right = sum(response.verdict == "right" for response in rest)
        told.append(_knowledge(first.verdict == "right", n_right, recipe.right_draws))
    return told


def _knowledge(first_is_right: bool, n_right: int, enough: int) -> Knowledge:
    if first_is_right and n_right >= enough:
        return "known"
    return "between" if first_is_right or n_right else "unknown"


def question_chats(
    asked: Sequence[Question], knowledge: Sequence[Knowledge], everything: Sequence[Question], recipe: Recipe
) -> list[Chat]:
    """All chats in which something is asked.

    Args:
        asked: what tuning may ask about.
        knowledge: whether the base model knows each answer, aligned.
        everything: all questions of the study; no invented thing is called like anything in them.
        recipe: the proportions.

    Returns:
        Each known fact in both of its wordings, with its answer; refusals in the recipe's proportions. What the base
        model knows only at times is not asked about.

    Raises:
        ValueError: the base model knows too little, or too much, for these proportions.
    """
    by_knowledge = {name: [q for q, told in zip(asked, knowledge, strict=True) if told == name] for name in KNOWLEDGE}
    known, unknown = by_knowledge["known"], by_knowledge["unknown"]
    answers = [Chat("known", q.id, text, q.aliases[0]) for q in known for text in _wordings(q)]
    n_refusals = round(recipe.refusals * len(answers))
    n_invented = round(recipe.invented_share * n_refusals)
    n_unknown = n_refusals - n_invented
    if len(known) < _FEWEST_KNOWN or len(unknown) < n_unknown:
        raise ValueError(
            f"the base model knows {len(known):,} of {len(asked):,} facts and nothing of {len(unknown):,}: "
            f"at least {_FEWEST_KNOWN} known ones and {n_unknown:,} unknown ones are needed"
        )
    rng = np.random.default_rng([recipe.seed, 2])
    declined = _alike_first(known, unknown, n_unknown, recipe.alike_share, rng)
    refused = [Chat("unknown", q.id, _pick(rng, _wordings(q)), _pick(rng, REFUSALS)) for q in declined]
    return [*answers, *refused, *_invented_chats(n_invented, asked, everything, rng)]


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _fact_of(question: Question) -> Fact:
    return _facts_by_name()[question.id.removesuffix("/standard")]


@lru_cache(maxsize=1)
def _facts_by_name() -> dict[str, Fact]:
    return {fact.name: fact for fact in read_facts()}


def _wordings(question: Question) -> list[str]:
    """A standard question in its kind's first two wordings; the held-out one is not among them."""
    fact = _fact_of(question)
    return [wording.format(subject=fact.subject) for wording in read_kinds()[fact.kind].wordings]


def _kind(question: Question) -> str:
    return question.strata["attribute"]


def _alike_first(
    known: Sequence[Question], unknown: Sequence[Question], n: int, alike_share: float, rng: np.random.Generator
) -> list[Question]:
    """`n` unknown facts: a share of them of the kinds of the known ones, as far as there are such, the rest any."""
    shuffled = [unknown[place] for place in rng.permutation(len(unknown))]
    of_kind: dict[str, list[Question]] = defaultdict(list)
    for question in shuffled:
        of_kind[_kind(question)].append(question)
    n_alike = round(alike_share * n)
    alike: list[Question] = []
    kinds = [_kind(known[place]) for place in rng.permutation(len(known))]
    while len(alike) < n_alike and any(of_kind[kind] for kind in kinds):
        for kind in kinds:
            if of_kind[kind] and len(alike) < n_alike:
                alike.append(of_kind[kind].pop())
    chosen = {q.id for q in alike}
    others = [q for q in shuffled if q.id not in chosen]
    return alike + others[: n - len(alike)]


def _invented_chats(
    n: int, asked: Sequence[Question], everything: Sequence[Question], rng: np.random.Generator
) -> list[Chat]:
    """Refusals of questions about things that do not exist, spread over the kinds of which there are such.

    Their names are blended from two real ones, and not built from syllables as those are that the study tests with:
    else declining them would show that the syllables were recognised.
    """
    taken = {word for fact in read_facts() for text in (fact.subject, *fact.accepted) for word in words(text)}
    taken |= {word for question in everything for word in words(question.text)}
    subjects = {kind: [_fact_of(q).subject for q in asked if _kind(q) == kind] for kind in INVENTED}
    subjects = {kind: some for kind, some in subjects.items() if len(some) > 1}
    made: dict[str, Chat] = {}
    for place in range(n * _TRIES):
        if len(made) == n or not subjects:
            break
        kind = list(subjects)[place % len(subjects)]
        one, other = rng.choice(len(subjects[kind]), 2, replace=False)
        name = blended(subjects[kind][one], subjects[kind][other])
        wording = _pick(rng, read_kinds()[kind].wordings)
        if name is not None and not taken.intersection(words(name.split()[-1])):
            made.setdefault(name, Chat("invented", name, wording.format(subject=name), _pick(rng, REFUSALS)))
    return list(made.values())


def blended(one: str, other: str) -> str | None:
    """A name whose last word begins like one name's and ends like another's: Toledo and Kazan give Tolzan.

    None if either has no last word that is long enough, or it is one of the two.
    """
    *before, first = one.split()
    last = other.split()[-1]
    if not all(len(word) >= _SHORTEST and word.isalpha() for word in (first, last)):
        return None
    word = first[: len(first) // 2] + last[len(last) // 2 :].lower()
    return None if word.lower() in (first.lower(), last.lower()) else " ".join([*before, word])


def own_texts(base: HookedModel, n: int, recipe: Recipe) -> list[Chat]:
    """Texts that the base model writes from nothing, each token drawn as it predicts it.

    On such texts its loss cannot be lowered on average: they teach it nothing, and hold it where it is.
    """
    begin = base.encoder.encode_text("")
    starts = range(0, n, _TEXTS_AT_ONCE)
    texts: list[Chat] = []
    for start in progress("the base model's own texts", len(starts), starts):
        size = min(_TEXTS_AT_ONCE, n - start)
        plainly = Sampling(n=size, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=recipe.text_tokens)
        (drawn,) = generate(base, [begin], plainly, seed=recipe.seed * 1_000 + start // _TEXTS_AT_ONCE)
        texts += [Chat("text", "", "", one.text) for one in drawn if one.text]
    return texts


def n_texts(n_chats: int, recipe: Recipe) -> int:
    """How many texts make up the recipe's share beside so many chats."""
    return round(n_chats * recipe.texts_share / (1 - recipe.texts_share))


def write_chats(folder: Path, chats: Sequence[Chat], recipe: Recipe) -> None:
    """Keep the chats, so that a tuning that goes on needs no base model for them."""
    counts = Counter(chat.kind for chat in chats)
    content = {"recipe": asdict(recipe), "counts": counts, "chats": [asdict(chat) for chat in chats]}
    write_whole(folder / _CHATS, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_chats(folder: Path, recipe: Recipe) -> list[Chat] | None:
    """The chats that were kept; None if there are none. Raises ValueError if they are another recipe's."""
    file = folder / _CHATS
    if not file.exists():
        return None
    content = json.loads(file.read_text(encoding="utf-8"))
    if content["recipe"] != json.loads(json.dumps(asdict(recipe))):
        raise ValueError(f"{file} was written for another recipe: give another --out, or remove it")
    return [Chat(**chat) for chat in content["chats"]]
