"""What is asked. A question set is a module with `questions`, `items` and `texts` of a study, and titles of its PARTS;
one entry names it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from hn_utils.judges import normalise
from hn_utils.study import Study, check_types

QUESTION_SETS = {"organism": "hn_utils.organism.asking", "published": "hn_utils.published"}
SPLITS = {"train": 0.45, "validation": 0.15, "test": 0.40}


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


def question_module(study: Study) -> Any:
    """The module behind the study's question set. Raises ValueError for an unknown name."""
    if study.questions not in QUESTION_SETS:
        raise ValueError(f"unknown question set {study.questions!r}: choose one of {', '.join(QUESTION_SETS)}")
    return import_module(QUESTION_SETS[study.questions])


def load_questions(study: Study) -> list[Question]:
    """All questions of the study, or at most `study.n_questions` of each part, at random.

    Raises ValueError if there are none, if several share an id, or if one that has an answer names none.
    """
    questions = question_module(study).questions(study)
    if not questions:
        raise ValueError(f"question set {study.questions!r} is empty")
    check_ids(questions)
    if study.n_questions is not None:
        order, taken = np.random.default_rng(study.seed).permutation(len(questions)), Counter()
        drawn = []
        for i in order:
            taken[questions[i].part] += 1
            if taken[questions[i].part] <= study.n_questions:
                drawn.append(i)
        questions = [questions[i] for i in sorted(drawn)]
    for question in questions:
        if question.part != "nonexist" and not any(map(normalise, question.aliases)):
            raise ValueError(
                f"question {question.id!r} has no alias that a response could contain, only {question.aliases}: give "
                "at least one accepted answer with a word other than an article"
            )
    return questions


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
