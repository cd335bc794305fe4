"""The first step: ask, sample, judge, filter, capture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from hn_utils.answers.sampling import build_examples, sample_responses
from hn_utils.contributions.cett import capture
from hn_utils.contributions.collected import Collected, later
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.studied_model import LOADED
from hn_utils.questions.question import STANDARD_TITLE, Question, own_questions, titles
from hn_utils.questions.question_sets import load_questions, question_set, some_of_each
from hn_utils.study import Study, check_given

if TYPE_CHECKING:
    from hn_utils.answers.examples import Response


def collect(
    model: HookedModel, questions: Sequence[Mapping[str, Any]] | pd.DataFrame | None = None, **settings: Any
) -> Collected:
    """Ask each question several times, judge, keep what is always right or always wrong, and capture contributions.

    `questions` are rows with `question` and `answers`, and perhaps `entity`, `part`, `split`, `id` (see
    `questions.question.own_questions`); without them the study's own set is asked. Settings are those of `Study`, such
    as `sampling={"n": 5}`, `chat_prompt`, `judge`, `n_questions` (of each part). What was drawn before is read from
    disk. Raises ValueError, before anything is asked, for questions of no use; NothingConsistent if no answer is
    consistent.

    >>> import hn_utils as hn
    >>> model = hn.load("organism")
    >>> answers = hn.collect(model, n_questions=120, sampling={"n": 2})
    >>> sorted(answers.table.columns)
    ['attribute', 'nonexist', 'paraphrase', 'standard']
    """
    check_given("model", model, HookedModel, LOADED)
    study = later(model.study, settings)
    if questions is None:
        return gathered(model, study, load_questions(study), question_set(study).PARTS)
    asked = own_questions(questions, study.seed, study.hold_out_answers)
    asked = some_of_each(asked, settings.get("n_questions"), study.seed)
    return gathered(model, study, asked, titles(asked))


def ask_base(base: HookedModel, collected: Collected, splits: Sequence[str] = ("test",)) -> Collected:
    """Ask a base model the same standard questions of some splits."""
    asked = [q for q in collected.questions if q.part == "standard" and q.split in splits]
    return gathered(base, collected.study, asked, {"standard": STANDARD_TITLE}, base=True)


def gathered(
    subject: HookedModel, study: Study, questions: list[Question], parts: Mapping[str, str], base: bool = False
) -> Collected:
    """Draw and judge responses to these questions, then `captured`."""
    return captured(subject, study, questions, sample_responses(subject, questions, study, base), parts, base)


def captured(
    subject: HookedModel,
    study: Study,
    questions: list[Question],
    responses: list[list[Response]],
    parts: Mapping[str, str],
    base: bool = False,
) -> Collected:
    """These responses filtered, and the contributions to those that are kept."""
    examples = build_examples(subject.encoder, questions, responses, study, base)
    contributions = capture(subject, [e for e in examples if e.label is not None], study)
    return Collected(subject, study, questions, responses, examples, contributions, parts, base)


def answered(collected: Collected, questions: list[Question], responses: list[list[Response]]) -> Collected:
    """Other questions or responses of the same model, filtered and captured in the same way."""
    return captured(collected.subject, collected.study, questions, responses, collected.parts, collected.base)
