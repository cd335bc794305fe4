"""A probe on some neurons alone, calibrated on everyday answers: its log-odds become chances that can be checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from hn_utils.answers.sampling import stated
from hn_utils.contributions.collect import first_answers
from hn_utils.contributions.collected import Collected
from hn_utils.probing.against_random import scores_of
from hn_utils.probing.find import Found
from hn_utils.probing.given_neurons import BESIDE_LOUD, given_neurons, require_no_answers
from hn_utils.probing.probe import Detector
from hn_utils.probing.scoring import Scorer
from hn_utils.stats.bootstrap import Estimate, spread
from hn_utils.stats.calibration import calibration, platt
from hn_utils.stats.metrics import mean
from hn_utils.study import check_given

if TYPE_CHECKING:
    from hn_utils.models.neurons import Neurons
    from hn_utils.probing.l1_path import Fit

_ASKED = ("chat_prompt", "chat_stop", "base_prompt", "base_stop")  # settings by which a question is put
_N_LOUD_SETS = 100


def calibrate(neurons: Found | Neurons, answers: Collected | None = None) -> Scorer:
    """Make a scorer of neurons: a probe on them alone, whose log-odds become chances that can be checked.

    Everyday answers are the first drawn ones, consistent or not. Those about validation entities calibrate; those about
    test entities measure how well the chances fit, of every part of the questions: the other parts show its limits.

    Args:
        neurons: what hn.find returns; or a card, flat indices (layer * d_mlp + neuron) or pairs (layer, neuron) with
            `answers`.
        answers: what hn.collect returned, on which a probe is fitted if `neurons` come without one.

    Returns:
        The scorer; it prints how well it fits, and saves itself.

    Raises:
        ValueError: answers are missing, another model's or too many; the probe does not read the answer; the validation
            answers are all right or all made up; or no test answer is left.

    Source:
        Platt 1999 for the line from log-odds to chances. The paper (Gao et al., arXiv 2512.01797) calibrates nothing.

    Example:
        >>> import hn_utils as hn
        >>> found = hn.find(hn.collect(hn.load("organism"), n_questions=120, sampling={"n": 2}), n_grid=8)
        >>> scorer = hn.calibrate(found)
        >>> scorer.neurons.tolist() == found.neurons.tolist()
        True
    """
    if isinstance(neurons, Found):
        require_no_answers(answers)
        return _calibrated(
            neurons.collected, neurons.refitted, neurons.control, Detector.SELECTED, neurons.probe.region
        )
    if answers is not None:
        check_given("answers", answers, Collected, "what hn.collect returns")
        given = given_neurons(neurons, answers, answers.subject)
        beside = given.against_loud(_N_LOUD_SETS)
        return _calibrated(answers, beside.own, beside.control, BESIDE_LOUD, given.region)
    raise ValueError(
        "answers is missing: without what hn.find returns, give answers=hn.collect(model), on which a probe is fitted "
        "and calibrated"
    )


def _calibrated(collected: Collected, fit: Fit, control: Sequence[Fit], beside: str, region: str) -> Scorer:
    """The scorer of a probe that was fitted on the training answers, beside control probes fitted likewise."""
    if region != "answer":
        raise ValueError(
            f"region={region!r} was read, and a score is of the tokens that state the answer: give what "
            "hn.find(answers, region='answer') returns"
        )
    everyday = first_answers(_by_rule(collected), tuple(collected.parts))
    validation = everyday.labelled(everyday.rows("validation"), region)
    n_wrong, n = int(validation.labels.sum()), len(validation.labels)
    if not 0 < n_wrong < n:
        raise ValueError(
            f"of {n} everyday validation answers {n_wrong} are made up, and a calibration needs both kinds: ask more "
            "questions, or easier or harder ones"
        )
    fits, brier = {}, {}
    slope, offset = platt(validation.labels, fit.score(validation.X))
    lines = [platt(validation.labels, scores) for scores in scores_of(control, validation.X).T]
    for part, title in collected.parts.items():
        test = everyday.labelled(everyday.rows("test", part), region)
        if not len(test.labels):
            continue
        log_odds = slope * fit.score(test.X) + offset
        fits[title] = calibration(test.labels, log_odds, test.groups, n_wrong / n)
        others = scores_of(control, test.X).T  # [set, answer]
        brier[title] = _brier_of(test.labels, others, lines)
    if not fits:
        raise ValueError("no everyday answer about test entities is left to measure a calibration: ask more questions")
    settings: dict[str, Any] = {name: getattr(collected.study, name) for name in _ASKED}
    settings["examples"] = [list(pair) for pair in collected.study.examples]
    settings["sampling"] = {"n": 1, "temperature": 0.0, "max_new_tokens": collected.study.sampling.max_new_tokens}
    subject = collected.subject
    rows = []
    for flat, weight in zip(fit.neurons.tolist(), fit.weights.tolist(), strict=True):
        rows.append({"layer": flat // subject.d_mlp, "neuron": flat % subject.d_mlp, "weight": weight})
    return Scorer(
        model=subject.short_name,
        fingerprint=subject.fingerprint,
        precision=subject.precision,
        d_mlp=subject.d_mlp,
        rows=rows,
        intercept=fit.intercept,
        slope=slope,
        offset=offset,
        n=n,
        share=n_wrong / n,
        asked=settings,
        base=collected.base,
        first_sentence=_reads_first_sentence(everyday),
        fits=fits,
        control=str(beside),
        control_brier=brier,
    )


def _by_rule(collected: Collected) -> Collected:
    """The same, with the answer's tokens found by rule: no judge marks them while a model writes."""
    return replace(collected, study=replace(collected.study, judge_spans=False))


def _reads_first_sentence(everyday: Collected) -> bool:
    """Whether these answers are so long that the first sentence of each was read."""
    first = [responses[0] for responses in everyday.responses]
    read = stated(everyday.subject.encoder, everyday.questions, first, everyday.study)
    return any(sentence is not None for sentence in read)


def _brier_of(
    labels: np.ndarray, scores: Float[np.ndarray, "set answer"], lines: Sequence[tuple[float, float]]
) -> Estimate:
    """The mean Brier score of several sets, each calibrated by its own line, and the range of 95 % of them."""
    errors = []
    for own, (slope, offset) in zip(scores, lines, strict=True):
        chances = expit(slope * own + offset)
        errors.append(mean((chances - labels) ** 2))
    return spread(np.array(errors), len(labels))
