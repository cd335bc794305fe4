"""The chance that an answer is hallucinated, from what some neurons contribute to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from hn_utils.answers.asking import prompts_of, stop_of
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.studied_model import LOADED
from hn_utils.probing.calibrate import calibrate
from hn_utils.probing.find import Found
from hn_utils.probing.probe import HNeurons
from hn_utils.probing.scoring import AtWork, Score, Scorer, Scores
from hn_utils.questions.question import Question
from hn_utils.study import check_given, with_later_settings

if TYPE_CHECKING:
    from hn_utils.study import Study


@overload
def score(  # pyright: ignore[reportOverlappingOverload] (a text is a sequence of texts, too)
    model: HookedModel, scorer: Scorer | Found, question: str, answer: str | None = None
) -> Score: ...
@overload
def score(
    model: HookedModel, scorer: Scorer | Found, question: Sequence[str], answer: Sequence[str] | None = None
) -> Scores: ...
def score(
    model: HookedModel,
    scorer: Scorer | Found,
    question: str | Sequence[str],
    answer: str | Sequence[str] | None = None,
) -> Score | Scores:
    """Tell the chance that an answer is hallucinated, for the answer and token by token.

    The scorer's probe reads what its neurons contribute. The question is put in the words of the answers that
    calibrated it. Without an answer the model writes its likeliest one, and is read while it writes. The chance holds
    for questions such as those, at their share of made-up answers: the scorer prints how well, there and elsewhere.

    Args:
        model: the model.
        scorer: what hn.calibrate returns; or what hn.find returns, which is then calibrated in each call.
        question: one, or several.
        answer: the text that is scored; of several questions as many. None for the model's own.

    Returns:
        A `Score`; of several questions `Scores`. An answer that abstains, was cut or is empty has the chance nan, and
        says why.

    Raises:
        ValueError: before anything is read: the scorer is another model's, or none; neurons are being scaled; there is
            no question, or not one answer to each.

    Source:
        The detector of Gao et al., arXiv 2512.01797, section 2; calibration is not in it.

    Example:
        >>> import hn_utils as hn
        >>> model = hn.load("organism")
        >>> found = hn.find(hn.collect(model, n_questions=120, sampling={"n": 2}), n_grid=8)
        >>> one = hn.score(model, hn.calibrate(found), "Where was Kriskel Govstad born?")
        >>> 0 < one.chance < 1, len(one.tokens) == len(one.log_odds)
        (True, True)
    """
    check_given("model", model, HookedModel, LOADED)
    questions = _texts("question", question)
    given = None if answer is None else _texts("answer", answer)
    if given is not None and (isinstance(answer, str) != isinstance(question, str) or len(given) != len(questions)):
        raise ValueError(f"{len(given)} answers do not fit {len(questions)} questions: give one text, or one to each")
    own = _scorer_of(model, scorer)
    at_work = AtWork(model, own)
    study = with_later_settings(model.study, own.asked)
    stop = stop_of(model.encoder, study, own.base)
    scores: list[Score] = []
    for start in range(0, len(questions), study.batch_rows):
        some = slice(start, start + study.batch_rows)
        prompts = _prompts(model, questions[some], study, own.base)
        if given is None:
            scores += at_work.written(prompts, study.sampling, stop)
        else:
            scores += at_work.given(prompts, given[some], stop)
    return scores[0] if isinstance(question, str) else Scores(questions, scores, own)


def _texts(name: str, given: str | Sequence[str]) -> list[str]:
    """One text or several as a list. Raises ValueError if one is missing, blank or no text."""
    texts = [given] if isinstance(given, str) else list(given)
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{name}={text!r} must be a text, or several, none of them empty")
    if not texts:
        raise ValueError(f"{name}=[] is empty: give at least one")
    return texts


def _scorer_of(model: HookedModel, scorer: Scorer | Found) -> Scorer:
    """The scorer itself, or that of what was found. Raises ValueError for anything else, and another model's."""
    if isinstance(scorer, HNeurons):
        raise ValueError(
            "scorer is a card of H-Neurons, which holds no calibrated probe: give hn.calibrate(found), or "
            "hn.calibrate(card, answers)"
        )
    check_given("scorer", scorer, (Scorer, Found), "hn.calibrate(found), or hn.calibrate(neurons, answers)")
    scorer.require(model)
    return calibrate(scorer) if isinstance(scorer, Found) else scorer


def _prompts(model: HookedModel, questions: Sequence[str], study: Study, base: bool) -> list[list[int]]:
    asked = [Question(str(i), text, (), "") for i, text in enumerate(questions)]
    return prompts_of(model.encoder, asked, study, base)
