"""Can a score be read as a probability, and what does staying silent buy, at the share of errors that there is?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression

from hn_utils.stats.bootstrap import Estimate, bootstrap, spread
from hn_utils.stats.metrics import Weights, mean

_N_BINS = 10
_N_DRAWS = 1_000  # of answers that would come out as predicted


@dataclass(frozen=True)
class Reliability:
    """Answers in N_BINS groups of equal size by predicted probability: mean prediction and share made up of each."""

    predicted: Float[np.ndarray, "bin"]
    observed: Float[np.ndarray, "bin"]
    ece: float


def reliability(labels: np.ndarray, log_odds: np.ndarray) -> Reliability:
    """The expected calibration error is the mean gap between prediction and share made up, over the groups.

    Args:
        labels: 1 for hallucinated, [answer].
        log_odds: of a hallucination, [answer], in nats.

    Returns:
        Mean prediction and share made up of each group, [bin], and the error, all as shares from 0 to 1. It holds at
        this share of hallucinations only, and a score that orders nothing can have no error at all.

    Raises:
        ValueError: there is no answer.
        IndexError: a score has no label.

    Source:
        Naeini, Cooper & Hauskrecht 2015, with groups of equal size.
    """
    p = expit(log_odds)
    groups = _equal_groups(log_odds)
    predicted = np.array([p[group].mean() for group in groups])
    observed = np.array([np.asarray(labels)[group].mean() for group in groups])
    sizes = np.array([len(group) for group in groups])
    return Reliability(predicted, observed, float((sizes * np.abs(predicted - observed)).sum() / sizes.sum()))


def _equal_groups(log_odds: np.ndarray) -> list[Int[np.ndarray, "member"]]:
    """Places of the answers in _N_BINS groups of equal size, the lowest log-odds first."""
    order = np.argsort(log_odds, kind="stable")
    # scikit-learn's calibration_curve(strategy="quantile") cuts at interpolated quantiles: where scores tie, or n is no
    # multiple of N_BINS, its groups differ in size, empty ones vanish, and it does not give the sizes that the error
    # is weighted by.
    return np.array_split(order, min(_N_BINS, len(order)))


def platt(labels: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Fit the line that turns a score into log-odds.

    Args:
        labels: 1 for hallucinated, [answer].
        scores: in any unit, [answer].

    Returns:
        Slope and offset: the log-odds of a hallucination, in nats, are slope * score + offset. They hold at the share
        of hallucinations that these answers have. A slope below 0 says that the score orders them the wrong way round.

    Raises:
        ValueError: the labels lack a class.

    Source:
        Platt 1999, with next to no penalty in place of smoothed labels.
    """
    fitted = LogisticRegression(C=100.0).fit(np.asarray(scores)[:, None], labels)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


@dataclass(frozen=True)
class Calibration:
    """How well predicted chances fit answers by which nothing was fitted.

    Attributes:
        predicted: their mean.
        observed: the share that is hallucinated.
        brier: the mean squared error of the chances, from 0 to 1; lower is better.
        gained: how much lower that is than the error of one constant chance for all.
        ece: the expected calibration error, the mean gap between chance and share over groups of equal size.
        ece_by_chance: what a perfect forecast of as many answers would show, and the range of 95 % of its draws: the
            error is never 0.
        groups: a row a group, the lowest chance first: mean `predicted`, `observed` share, the 95 % interval of that
            from `low` to `high`, and `n`.
    """

    predicted: float
    observed: Estimate
    brier: Estimate
    gained: Estimate
    ece: Estimate
    ece_by_chance: Estimate
    groups: list[dict[str, float]]


def calibration(labels: np.ndarray, log_odds: np.ndarray, entities: np.ndarray, constant: float) -> Calibration:
    """Compare predicted chances with what came out.

    Args:
        labels: 1 for hallucinated, [answer]; one class may be missing.
        log_odds: of a hallucination, [answer], in nats.
        entities: what each answer is about, [answer].
        constant: the chance that somebody would give each answer who sees no score, from 0 to 1.

    Returns:
        Brier score and expected calibration error with 95 % intervals over entities, and the groups behind them; the
        interval of a group's share takes its answers as independent. It is for answers such as these only.

    Raises:
        ValueError: the columns are empty, or do not fit each other.

    Source:
        Brier 1950; Naeini, Cooper & Hauskrecht 2015, with groups of equal size; Wilson 1927 for a group's interval.
    """
    labels, chances = np.asarray(labels), expit(log_odds)
    places = _equal_groups(log_odds)
    group = np.empty(len(labels), int)
    for number, members in enumerate(places):
        group[members] = number
    own, others = (chances - labels) ** 2, (constant - labels) ** 2
    drawn = np.random.default_rng(0).random((_N_DRAWS, len(labels))) < chances  # [draw, answer]
    by_chance = [_calibration_error(one, chances, group) for one in drawn]
    return Calibration(
        float(chances.mean()),
        bootstrap(mean, labels, groups=entities),
        bootstrap(mean, own, groups=entities),
        bootstrap(mean, others - own, groups=entities),
        bootstrap(_calibration_error, labels, chances, group, groups=entities),
        spread(np.array(by_chance), len(labels)),
        [_one_group(labels[members], chances[members]) for members in places],
    )


def _calibration_error(
    labels: np.ndarray, chances: np.ndarray, group: np.ndarray, weights: Weights | None = None
) -> Any:
    """The mean gap between chance and share over fixed groups, of all answers or, with `weights`, of each draw."""
    drawn = np.ones((1, len(labels))) if weights is None else weights
    member = np.eye(int(group.max()) + 1)[group]  # [answer, group]
    gaps = (drawn * (chances - labels)) @ member  # [draw, group]
    errors = np.abs(gaps).sum(1) / drawn.sum(1)
    return float(errors[0]) if weights is None else errors


def _one_group(labels: np.ndarray, chances: np.ndarray) -> dict[str, float]:
    wrong, n = int(labels.sum()), len(labels)
    interval = binomtest(wrong, n).proportion_ci(method="wilson")
    about = {"low": float(interval.low), "high": float(interval.high), "n": n}
    return {"predicted": float(chances.mean()), "observed": wrong / n, **about}


def risk_coverage(labels: np.ndarray, scores: np.ndarray) -> Float[np.ndarray, "answered"]:
    """Share made up among the k answers that look safest, for k = 1, 2, ... all: what abstaining on the rest buys.

    Ties stand in the order that is worst for the score.

    Args:
        labels: 1 for hallucinated, [answer].
        scores: the higher, the less safe an answer looks, [answer], in any unit.

    Returns:
        Shares from 0 to 1, [answered]; the last is that of all answers. What a wrong answer costs is not in it.

    Raises:
        ValueError: labels and scores differ in length.

    Source:
        El-Yaniv & Wiener 2010, the risk-coverage curve.
    """
    order = np.lexsort((-np.asarray(labels), scores))
    return np.cumsum(np.asarray(labels)[order]) / np.arange(1, len(order) + 1)
