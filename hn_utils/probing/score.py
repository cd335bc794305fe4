"""The chance that an answer is hallucinated, from what some neurons contribute to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import numpy as np
from jaxtyping import Int

from hn_utils.answers.asking import prompts_of, stop_of
from hn_utils.contributions.collected import Collected
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.neurons import Neurons
from hn_utils.models.studied_model import LOADED
from hn_utils.probing.calibrate import calibrated
from hn_utils.probing.find import Found
from hn_utils.probing.given_neurons import BESIDE_LOUD, given_neurons, require_no_answers
from hn_utils.probing.probe import HNeurons
from hn_utils.probing.scoring import Score, Scorer, Scores, Scoring
from hn_utils.questions.question import Question
from hn_utils.study import check_given, with_later_settings

if TYPE_CHECKING:
    from hn_utils.study import Study

_N_LOUD_SETS = 100


@overload
def score(
    model: HookedModel, neurons: Neurons, question: str, answer: str | None = None, *, answers: Collected | None = None
) -> Score: ...
@overload
def score(
    model: HookedModel,
    neurons: Neurons,
    question: Sequence[str],
    answer: Sequence[str] | None = None,
    *,
    answers: Collected | None = None,
) -> Scores: ...
def score(
    model: HookedModel,
    neurons: Neurons,
    question: str | Sequence[str],
    answer: str | Sequence[str] | None = None,
    *,
    answers: Collected | None = None,
) -> Score | Scores:
    """Tell the chance that an answer is hallucinated, for the answer and token by token.

    A probe on the neurons alone reads what they contribute, and is calibrated on everyday answers. The question is put
    in the words of these. Without an answer the model writes its likeliest one, and is read while it writes. The chance
    holds for questions such as those, at their share of made-up answers: `scoring` of the card shows how well, and how
    well on other parts.

    Args:
        model: the model.
        neurons: what hn.find returns, or its `calibrated` card. Flat indices, pairs (layer, neuron) or another card need
            `answers`, on which a probe is then fitted and calibrated in each call.
        question: one, or several.
        answer: the text that is scored; of several questions as many. None for the model's own.
        answers: what hn.collect returned, for neurons that come without a probe.

    Returns:
        A `Score`; of several questions `Scores`. An answer that abstains, was cut or is empty has the chance nan, and
        says why.

    Raises:
        ValueError: before anything is read: the card is another model's, or holds no calibrated probe; neurons are
            being scaled; there is no question, or not one answer to each.

    Source:
        The detector of Gao et al., arXiv 2512.01797, section 2; calibration by Platt 1999 is not in it.

    Example:
        >>> import hn_utils as hn
        >>> model = hn.load("organism")
        >>> found = hn.find(hn.collect(model, n_questions=120, sampling={"n": 2}), n_grid=8)
        >>> one = hn.score(model, found, "Where was Kriskel Govstad born?")
        >>> 0 < one.chance < 1, len(one.tokens) == len(one.log_odds)
        (True, True)
    """
    check_given("model", model, HookedModel, LOADED)
    questions = _texts("question", question)
    given = None if answer is None else _texts("answer", answer)
    if given is not None and (isinstance(answer, str) != isinstance(question, str) or len(given) != len(questions)):
        raise ValueError(f"{len(given)} answers do not fit {len(questions)} questions: give one text, or one to each")
    flat, scoring = _probe_of(model, neurons, answers)
    scorer = Scorer(model, flat, scoring)
    study = with_later_settings(model.study, scoring.asked)
    stop = stop_of(model.encoder, study, scoring.base)
    scores: list[Score] = []
    for start in range(0, len(questions), study.batch_rows):
        some = slice(start, start + study.batch_rows)
        prompts = _prompts(model, questions[some], study, scoring.base)
        if given is None:
            scores += scorer.written(prompts, study.sampling, stop)
        else:
            scores += scorer.given(prompts, given[some], stop)
    return scores[0] if isinstance(question, str) else Scores(questions, scores, scoring)


def _texts(name: str, given: str | Sequence[str]) -> list[str]:
    """One text or several as a list. Raises ValueError if one is missing, blank or no text."""
    texts = [given] if isinstance(given, str) else list(given)
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{name}={text!r} must be a text, or several, none of them empty")
    if not texts:
        raise ValueError(f"{name}=[] is empty: give at least one")
    return texts


def _probe_of(model: HookedModel, neurons: Neurons, answers: Collected | None) -> tuple[Int[np.ndarray, "k"], Scoring]:
    """The neurons and the calibrated probe on them."""
    if isinstance(neurons, Found):
        require_no_answers(answers)
        neurons.require(model)
        return neurons.calibrated.scorer_parts
    if isinstance(neurons, HNeurons) and answers is None:
        neurons.require(model)
        return neurons.scorer_parts
    given = given_neurons(neurons, answers, model)
    beside = given.against_loud(_N_LOUD_SETS)
    return beside.own.neurons, calibrated(given.answers, beside.own, beside.control, BESIDE_LOUD, given.region)


def _prompts(model: HookedModel, questions: Sequence[str], study: Study, base: bool) -> list[list[int]]:
    asked = [Question(str(i), text, (), "") for i, text in enumerate(questions)]
    return prompts_of(model.encoder, asked, study, base)
