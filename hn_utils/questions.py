"""What is asked: questions with known answers, split by what they are about; and those of a user, read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hn_utils.own_rows import meant_by, present, rows_of, texts_of
from hn_utils.reader import normalise
from hn_utils.study import check_types

STANDARD_TITLE = "held-out entities"
SPLITS = {"train": 0.45, "validation": 0.15, "test": 0.40}
OWN_FIELDS = ("id", "question", "answers", "entity", "part", "split")  # of a user's question; all else are strata
MIN_ENTITIES = 20  # below which train, validation and test would hold next to nothing


@dataclass(frozen=True)
class Question:
    """Something with a known answer.

    `aliases` are accepted answers, the first one canonical; a thing that does not exist has none. `entity` is what the
    question is about: train, validation and test share none. `part` is the role in the study: standard, or one of the
    transfer sets.
    `strata` holds what else is known: `attribute`, and `exposure`, how often the model can have read of it.
    """

    id: str
    text: str
    aliases: tuple[str, ...]
    entity: str
    part: str = "standard"
    split: str = "test"
    strata: dict[str, Any] = field(default_factory=dict)


class Text(NamedTuple):
    """Ordinary text, and the entity that it is about: texts about one entity are drawn together."""

    text: str
    entity: str


def check_ids(questions: Sequence[Question]) -> None:
    """Raises ValueError that names a question whose parts are not of their types, or an id which several questions
    share: their answers would be taken for one's."""
    for question in questions:
        try:
            check_types(question)
        except ValueError as error:
            raise ValueError(f"question {question.id!r}: {error}") from None
    shared = [name for name, n in Counter(q.id for q in questions).items() if n > 1]
    if shared:
        raise ValueError(f"{len(shared)} ids stand for several questions, such as {shared[0]!r}: give each its own")


def split_entities(entities: list[str], seed: int) -> dict[str, str]:
    """Send each entity to train, validation or test as a whole, at random."""
    names = sorted(set(entities))
    bounds = np.cumsum(list(SPLITS.values())) * len(names)
    order = np.random.default_rng(seed).permutation(len(names))
    return {names[i]: list(SPLITS)[int(np.searchsorted(bounds, place, side="right"))] for place, i in enumerate(order)}


def forms(*texts: str) -> list[str]:
    """The texts as `normalise` spells them, but those of which nothing is left ("?!"): they would all be the same."""
    return [form for form in map(normalise, texts) if form]


def first_form(aliases: Sequence[str]) -> str:
    """What a question is about if nothing else tells: its answer. Empty if nothing is left of any name of it."""
    return next(iter(forms(*aliases)), "")


def share_entities(asked: Sequence[Question]) -> list[Question]:
    """Give one entity to all questions that share an answer in any of its names, directly or through others."""
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    for q in asked:
        for form in forms(*q.aliases):
            leader[find(form)] = find(q.entity)
    return [replace(q, entity=find(q.entity)) for q in asked]


# --- a user's own ---------------------------------------------------------------------------------------------------


def own_questions(given: Sequence[Mapping[str, Any]] | pd.DataFrame, seed: int) -> list[Question]:
    """Questions from a list of dicts or a DataFrame, a row each.

    `question` is a text and `answers` one accepted answer or several, the first canonical; a list that a CSV file keeps
    as text, in JSON or as Python prints it, is read as that list. May be left out: `entity`, what it is about (else
    questions that share an answer share one); `part` (else standard: to learn from and to be tested on; any other is a
    test set of its own, and only one called nonexist, about things that do not exist, may have no answers); `split`
    (else entities go to train, validation and test at random, by `seed`); `id`. Whatever else a row holds becomes its
    strata. Raises ValueError that names the row and what it lacks.
    """
    rows = rows_of("questions", given, "a question and its answers")
    asked = [own_question(place, row) for place, row in enumerate(rows)]
    check_ids(asked)
    if not any(present(row, "entity") for row in rows):
        asked = share_entities(asked)
    standard = [(q, row) for q, row in zip(asked, rows, strict=True) if q.part == "standard"]
    n_split = sum(present(row, "split") for _, row in standard)
    if n_split not in (0, len(standard)):
        raise ValueError(f"{n_split} of {len(standard)} standard questions name a split: give it to all or to none")
    if not n_split:
        split = split_entities([q.entity for q, _ in standard], seed)
        asked = [replace(q, split=split[q.entity]) if q.part == "standard" else q for q in asked]
    check_splits([q for q in asked if q.part == "standard"])
    return asked


def titles(asked: Sequence[Question]) -> dict[str, str]:
    """What each part of a user's own questions is called: by its name, the standard one by what it is."""
    return {part: part for part in dict.fromkeys(q.part for q in asked)} | {"standard": STANDARD_TITLE}


def own_question(place: int, row: Mapping[str, Any]) -> Question:
    """One row as a question, its entity the answer where it names none."""
    told = {name: row[name] for name in row if present(row, name)}
    text, answers, part = told.get("question", ""), told.get("answers", ()), str(told.get("part", "standard"))
    if not isinstance(text, str) or not text.strip():
        held = ", ".join(map(str, row)) or "nothing"
        raise ValueError(f"questions[{place}] has no text under 'question'; it has {held}{meant_by('question', row)}")
    aliases = texts_of(f"questions[{place}] ({text!r}) has answers", answers)
    if not forms(*aliases) and part != "nonexist":
        raise ValueError(
            f"questions[{place}] ({text!r}) has answers={answers!r}: give at least one accepted answer with a letter "
            f"or a digit{meant_by('answers', row)}"
        )
    split = str(told.get("split", "test"))
    if split not in SPLITS:
        raise ValueError(f"questions[{place}] has split={split!r}: choose one of {', '.join(SPLITS)}")
    entity = str(told.get("entity", "")) or first_form(aliases) or normalise(text) or text
    strata = {str(name): value for name, value in told.items() if name not in OWN_FIELDS}
    return Question(str(told.get("id", place)), text, aliases, entity, part, split, strata)


def check_splits(standard: Sequence[Question]) -> None:
    """Raises ValueError if there is too little to learn from, or an entity is in two splits."""
    splits: dict[str, set[str]] = {}
    for q in standard:
        splits.setdefault(q.entity, set()).add(q.split)
    if len(splits) < MIN_ENTITIES:
        raise ValueError(
            f"{len(standard)} standard questions are about only {len(splits)} different entities (what a row names as "
            "'entity', or else its answer), too few to train, choose and test on different ones: ask about "
            f"{MIN_ENTITIES} or more, and name each row's 'entity' if answers are shared by accident"
        )
    torn = [entity for entity, some in splits.items() if len(some) > 1]
    if torn:
        raise ValueError(f"{len(torn)} entities are in several splits, such as {torn[0]!r}: put each into one")
    missing = SPLITS.keys() - {q.split for q in standard}
    if missing:
        raise ValueError(f"no standard question is in the split {', '.join(sorted(missing))}")
