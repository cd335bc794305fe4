"""The question sets that a study can name, and its questions. A set is a module with `questions`, `items` and `texts`
of a study, and titles of its PARTS; one entry names it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from hn_utils import published
from hn_utils.items import Item
from hn_utils.judges import normalise
from hn_utils.organism import asking as organism
from hn_utils.questions import Question, Text, check_ids
from hn_utils.study import Study


class QuestionSet(Protocol):
    """What a set has: questions, attempts to make the model give in, ordinary text, and titles of the test sets."""

    PARTS: dict[str, str]

    def questions(self, study: Study) -> list[Question]: ...
    def items(self, study: Study) -> list[Item]: ...
    def texts(self, study: Study) -> list[Text]: ...


QUESTION_SETS: dict[str, QuestionSet] = {"organism": organism, "published": published}


def question_set(study: Study) -> QuestionSet:
    """The study's question set. Raises ValueError for an unknown name."""
    if study.questions not in QUESTION_SETS:
        raise ValueError(f"unknown question set {study.questions!r}: choose one of {', '.join(QUESTION_SETS)}")
    return QUESTION_SETS[study.questions]


def load_questions(study: Study) -> list[Question]:
    """All questions of the study, or at most `study.n_questions` of each part, at random.

    Raises ValueError if there are none, if several share an id, or if one that has an answer names none.
    """
    questions = question_set(study).questions(study)
    if not questions:
        raise ValueError(f"question set {study.questions!r} is empty")
    check_ids(questions)
    questions = some_of_each(questions, study.n_questions, study.seed)
    for question in questions:
        if question.part != "nonexist" and not any(map(normalise, question.aliases)):
            raise ValueError(
                f"question {question.id!r} has no alias that a response could contain, only {question.aliases}: give "
                "at least one accepted answer with a word other than an article"
            )
    return questions


def some_of_each(questions: Sequence[Question], n: int | None, seed: int) -> list[Question]:
    """At most `n` questions of each part, at random, in their order; all if `n` is None."""
    if n is None:
        return list(questions)
    order, taken, drawn = np.random.default_rng(seed).permutation(len(questions)), Counter(), []
    for i in order:
        taken[questions[i].part] += 1
        if taken[questions[i].part] <= n:
            drawn.append(i)
    return [questions[i] for i in sorted(drawn)]
