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
from hn_utils.probing.against_random import scores_of
from hn_utils.probing.scoring import Scoring
from hn_utils.stats.bootstrap import Estimate, spread
from hn_utils.stats.calibration import calibration, platt
from hn_utils.stats.metrics import mean

if TYPE_CHECKING:
    from hn_utils.contributions.collected import Collected
    from hn_utils.probing.l1_path import Fit

_ASKED = ("chat_prompt", "chat_stop", "base_prompt", "base_stop")  # settings by which a question is put


def calibrated(collected: Collected, fit: Fit, control: Sequence[Fit], beside: str, region: str = "answer") -> Scoring:
    """Turn a probe's log-odds into chances, and measure how well these fit answers that nothing was fitted to.

    Everyday answers are the first drawn ones, consistent or not. Those about validation entities calibrate; those about
    test entities measure, of every part of the questions that has any: other parts are the limits of a calibration.

    Args:
        collected: judged answers; the probe was fitted on the training ones.
        fit: the probe.
        control: probes on other neurons, fitted in the same way.
        beside: what these are, for the table.
        region: where the probe reads; only `answer` can be scored.

    Returns:
        The calibrated probe.

    Raises:
        ValueError: the probe reads another region, or the validation answers are all right or all made up, or there is
            no test answer.

    Source:
        Platt 1999.
    """
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
    return Scoring(
        weights=fit.weights.tolist(),
        intercept=fit.intercept,
        slope=slope,
        offset=offset,
        n=n,
        share=n_wrong / n,
        asked=settings,
        base=collected.base,
        first_sentence=_reads_first_sentence(everyday),
        fits=fits,
        control=beside,
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
