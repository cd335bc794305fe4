"""The question sets that a study can name, its questions and its items. A set is a module with `questions`, `items` and
`texts` of a study, and titles of its PARTS; one entry names it. A user's own file is a set as well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from hn_utils.questions.items import Item, own_items, recall_items
from hn_utils.questions.question import Question, Text, check_ids, own_questions, titles
from hn_utils.questions.reading.same_answer import normalise
from hn_utils.storage.cache import gc_paused
from hn_utils.storage.files import file_digest
from hn_utils.study import FORMATS, Study, is_file
from hn_utils.study.row_files import Row, read_file


class QuestionSet(Protocol):
    """What a set has: questions, attempts to make the model give in, ordinary text, and titles of the test sets."""

    PARTS: dict[str, str]

    def questions(self, study: Study) -> list[Question]: ...
    def items(self, study: Study) -> list[Item]: ...
    def texts(self, study: Study) -> list[Text]: ...


# The module of each set, imported when a study asks for it. One that can ask its facts both plainly and as something
# restricted has a function `allowed_or_restricted` besides.
_QUESTION_SETS = {
    "organism": "hn_utils.questions.made_up_world.asking",
    "published": "hn_utils.questions.published",
    "real_world": "hn_utils.questions.real_world",
}


class _OwnSet:
    """A user's own questions from the file that a study names. The only items that come with them are the test
    questions, asked plainly; and there is no ordinary text."""

    def __init__(self, file: str, seed: int, hold_out: bool) -> None:
        rows = read_own(file, "a question and its answers")
        self.asked = own_questions(rows, seed, hold_out)
        self.PARTS = titles(self.asked)

    def questions(self, study: Study) -> list[Question]:  # noqa: ARG002 (what it was made for)
        return list(self.asked)

    def items(self, study: Study) -> list[Item]:
        return recall_items(self.asked, study)

    def texts(self, study: Study) -> list[Text]:  # noqa: ARG002
        return []


@lru_cache(maxsize=1)
def _own_set(file: str, seed: int, hold_out: bool, content: str) -> _OwnSet:  # noqa: ARG001 (changed files are read anew)
    """The set of a user's own file, which is read once, and again when its content has another digest."""
    return _OwnSet(file, seed, hold_out)


def question_set(study: Study) -> QuestionSet:
    """The study's question set. Raises ValueError for an unknown name, or questions of no use in a user's own file;
    OSError if that cannot be read."""
    if is_file(study.questions):
        file = Path(study.questions)
        content = file_digest(file) if file.is_file() else ""
        return _own_set(study.questions, study.seed, study.hold_out_answers, content)
    if study.questions not in _QUESTION_SETS:
        raise ValueError(
            f"unknown question set {study.questions!r}: choose one of {', '.join(_QUESTION_SETS)}, or name a file of "
            f"your own questions, which ends in {', '.join(sorted(FORMATS))}"
        )
    return cast(QuestionSet, import_module(_QUESTION_SETS[study.questions]))


def crossed_questions(study: Study) -> list[Question]:
    """Facts of the study's question set, each asked plainly and as something restricted; none if it has no such."""
    home = _QUESTION_SETS.get(study.questions)
    asking = getattr(import_module(home), "allowed_or_restricted", None) if home else None
    return [] if asking is None else asking(study)


def read_own(file: str, what: str) -> list[Row]:
    """Rows of a user's own file; an empty cell of a table says nothing."""
    rows = read_file(Path(file), f"give rows with {what} as JSON lines, JSON, CSV, TSV or Parquet")
    return [{k: v for k, v in row.items() if v != ""} if isinstance(row, dict) else row for row in rows]


def load_items(study: Study) -> list[Item]:
    """The items of the study's own file, beside its test questions asked plainly; without a file those of its question
    set. Raises as `question_set` and `hn_utils.questions.items.own_items` do."""
    own = question_set(study)
    if not study.items:
        return own.items(study)
    given = own_items(read_own(study.items, "turns, truth and claim"), study)
    return [*recall_items(own.questions(study), study), *given]


@gc_paused()
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
                "at least one accepted answer with a letter or a digit"
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
