"""The first step: ask, sample, judge, filter, capture."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from hn_utils.answers.examples import NothingConsistent, drop_counts
from hn_utils.answers.sampling import build_examples, sample_responses
from hn_utils.contributions.cett import capture
from hn_utils.contributions.collected import Collected
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.studied_model import LOADED
from hn_utils.questions.question import STANDARD_TITLE, Question, own_questions, titles
from hn_utils.questions.question_sets import load_questions, question_set, some_of_each
from hn_utils.study import (
    AS_STUDIED,
    AsStudied,
    Sampling,
    Study,
    check_given,
    given_settings,
    names_its_settings,
    with_later_settings,
)

if TYPE_CHECKING:
    from hn_utils.answers.examples import Response


@names_its_settings
def collect(
    model: HookedModel,
    questions: Sequence[Mapping[str, Any]] | pd.DataFrame | None = None,
    *,
    n_questions: int | None | AsStudied = AS_STUDIED,
    sampling: Sampling | Mapping[str, Any] | None = None,
    chat_prompt: str | None = None,
    chat_stop: str | None = None,
    examples: Sequence[tuple[str, str]] | None = None,
    base_prompt: str | None = None,
    base_stop: str | None = None,
    judge: str | None = None,
    judge_url: str | None | AsStudied = AS_STUDIED,
    judge_price: tuple[float, float] | None | AsStudied = AS_STUDIED,
    judge_spans: bool | None = None,
    judge_options: Mapping[str, Any] | None = None,
    served_at: str | None | AsStudied = AS_STUDIED,
    sets: Sequence[str] | None = None,
    sources: Mapping[str, str] | None = None,
    hold_out_answers: bool | None = None,
    seed: int | None = None,
    batch_rows: int | None = None,
) -> Collected:
    """Ask each question several times, judge, keep what is always right or always wrong, and capture contributions.

    What was drawn before is read from disk. A setting that is not given is as the study says; one that is given holds
    for the later steps as well.

    Args:
        model: the instruct model, from `hn.load` or `hn.wrap`.
        questions: rows with `question` and `answers`, and perhaps `entity`, `part`, `split`, `id` (see
            `questions.question.own_questions`); without them the study's own set is asked.
        n_questions: questions of each part at most; None for all.
        sampling: how responses are drawn, or what of it is to be changed, such as `{"n": 5}`.
        chat_prompt: what the user says, with `{question}` in it.
        chat_stop: a text at which an answer ends as well, such as a line break.
        examples: questions with their answers that stand before each question.
        base_prompt: how a base model is asked, likewise.
        base_stop: the text at which a base model's answer ends.
        judge: a chat model that judges answers instead of the alias rule; empty for the rule.
        judge_url: its OpenAI-compatible server; None for OPENAI_BASE_URL or OpenAI's.
        judge_price: dollars for a million tokens that it reads, and that it writes; None if that is not known.
        judge_spans: whether it marks where the answer stands in a longer response.
        judge_options: parameters laid over each request to it.
        served_at: an OpenAI-compatible server that draws the responses; None draws them here.
        sets: with the published questions the sets, the one to learn from first.
        sources: by set, where it is if not at its public home.
        hold_out_answers: whether no test question has an answer that a training question has.
        seed: of all that is drawn at random.
        batch_rows: rows that a forward pass or a generation holds at most.

    Returns:
        Judged answers, with the contribution [answer, neuron] of every neuron to those that are kept.

    Raises:
        ValueError: before anything is asked: questions are of no use, or a setting is unknown, of no use or too
            late.
        NothingConsistent: no answer is consistent.

    Source:
        The paper's sections 2 and 6.1: ten responses, consistent ones kept, answer tokens, CETT.

    Example:
        >>> import hn_utils as hn
        >>> model = hn.load("organism")
        >>> answers = hn.collect(model, n_questions=120, sampling={"n": 2})
        >>> sorted(answers.table.columns)
        ['attribute', 'nonexist', 'paraphrase', 'standard']
    """
    check_given("model", model, HookedModel, LOADED)
    settings = given_settings(
        n_questions=n_questions,
        sampling=sampling,
        chat_prompt=chat_prompt,
        chat_stop=chat_stop,
        examples=examples,
        base_prompt=base_prompt,
        base_stop=base_stop,
        judge=judge,
        judge_url=judge_url,
        judge_price=judge_price,
        judge_spans=judge_spans,
        judge_options=judge_options,
        served_at=served_at,
        sets=sets,
        sources=sources,
        hold_out_answers=hold_out_answers,
        seed=seed,
        batch_rows=batch_rows,
    )
    study = with_later_settings(model.study, settings)
    if questions is None:
        asked, parts = load_questions(study), question_set(study).PARTS
    else:
        asked = own_questions(questions, study.seed, study.hold_out_answers)
        asked = some_of_each(asked, settings.get("n_questions"), study.seed)
        parts = titles(asked)
    _require_promising(model, study, asked)
    return gathered(model, study, asked, parts)


def ask_base(base: HookedModel, collected: Collected, splits: Sequence[str] = ("test",)) -> Collected:
    """Ask a base model the same standard questions.

    Args:
        base: the base model.
        collected: what the instruct model was asked.
        splits: of the questions that are asked again.

    Returns:
        The base model's own answers, judged and captured as those of the instruct model.

    Raises:
        NothingConsistent: it answers nothing consistently.
    """
    asked = [q for q in collected.questions if q.part == "standard" and q.split in splits]
    return gathered(base, collected.study, asked, {"standard": STANDARD_TITLE}, base=True)


def gathered(
    subject: HookedModel, study: Study, questions: list[Question], parts: Mapping[str, str], base: bool = False
) -> Collected:
    """Draw and judge responses to these questions, filter them and capture contributions.

    Args:
        subject: who is asked.
        study: how it is asked and judged.
        questions: what it is asked.
        parts: the title of each test set, by part.
        base: whether it is asked as a base model, with plain text.

    Returns:
        Questions, responses, and the examples that were kept with their contributions.

    Raises:
        NothingConsistent: no answer is consistent.
    """
    return captured(subject, study, questions, sample_responses(subject, questions, study, base), parts, base)


def _require_promising(subject: HookedModel, study: Study, questions: Sequence[Question]) -> None:
    """Where many questions are to be asked, ask a few first: their responses are kept, and are not drawn again.

    Raises NothingConsistent, before the hours, if by these few the questions would hardly give an answer of one kind.
    """
    standard = [q for q in questions if q.part == "standard"]
    if len(standard) < _MANY:
        return
    some = some_of_each(standard, _TRIAL, study.seed)
    responses = sample_responses(subject, some, study)
    try:
        counts = drop_counts(build_examples(subject.encoder, some, responses, study))
    except NothingConsistent as error:
        raise NothingConsistent(f"a trial before {len(standard):,} questions: {error}; {_REMEDY}") from None
    for kind in ("consistently right", "consistently wrong"):
        # Three more than were seen: by the rule of three as many may well be missed by chance.
        at_most = (counts[kind] + 3) * len(standard) / _TRIAL
        if at_most < _FEW:
            needed = f"{_FEW * _TRIAL // counts[kind]:,}" if counts[kind] else f"more than {_FEW * _TRIAL // 3:,}"
            raise NothingConsistent(
                f"of {_TRIAL} trial questions {counts[kind]} were answered {kind} ({dict(counts)}): for {_FEW} such "
                f"answers a probe would need {needed} questions, and these are {len(standard):,}; {_REMEDY}"
            )


_MANY = 1_000  # standard questions from which on some are asked on trial
_TRIAL = 200
_FEW = 30  # answers of a kind, over all splits, below which a probe is of no use
_REMEDY = "take another model, put examples into the prompt, allow more tokens, or ask easier or harder questions"


def captured(
    subject: HookedModel,
    study: Study,
    questions: list[Question],
    responses: list[list[Response]],
    parts: Mapping[str, str],
    base: bool = False,
) -> Collected:
    """Filter responses and capture the contributions to those that are kept.

    Args:
        subject: who gave them.
        study: how they were drawn and judged.
        questions: what was asked.
        responses: several to each question, judged.
        parts: the title of each test set, by part.
        base: whether a base model was asked.

    Returns:
        Questions, responses, and the examples that were kept with their contributions.

    Raises:
        NothingConsistent: no answer is consistent.
    """
    examples = build_examples(subject.encoder, questions, responses, study, base)
    contributions = capture(subject, [e for e in examples if e.label is not None], study)
    return Collected(subject, study, questions, responses, examples, contributions, parts, base)


def answered(collected: Collected, questions: list[Question], responses: list[list[Response]]) -> Collected:
    """Filter and capture other questions or responses of the same model in the same way.

    Args:
        collected: what was collected before.
        questions: the other questions.
        responses: one or several to each of them, judged.

    Returns:
        These, with the examples that were kept and their contributions.

    Raises:
        NothingConsistent: no answer is consistent.
    """
    return captured(collected.subject, collected.study, questions, responses, collected.parts, collected.base)


def first_answers(collected: Collected, parts: Collection[str] = ("standard",)) -> Collected:
    """Take everyday answers: the first drawn answer to each question that nothing was trained on, consistent or not.

    Args:
        collected: what was collected before.
        parts: of the questions, keys of `collected.parts`.

    Returns:
        These answers with their contributions; those that abstain, or were cut, are dropped.

    Raises:
        NothingConsistent: none is left.
    """
    asked = [i for i, q in enumerate(collected.questions) if q.part in parts and q.split != "train"]
    first = [collected.responses[i][:1] for i in asked]
    return answered(collected, [collected.questions[i] for i in asked], first)
