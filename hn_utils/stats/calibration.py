"""Can a score be read as a probability, and what does staying silent buy, at the share of errors that there is?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import expit

_N_BINS = 10


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
    order = np.argsort(log_odds, kind="stable")
    # scikit-learn's calibration_curve(strategy="quantile") cuts at interpolated quantiles: where scores tie, or n is no
    # multiple of N_BINS, its groups differ in size, empty ones vanish, and it does not give the sizes that the error
    # is weighted by.
    groups = np.array_split(order, min(_N_BINS, len(order)))
    predicted = np.array([p[group].mean() for group in groups])
    observed = np.array([np.asarray(labels)[group].mean() for group in groups])
    sizes = np.array([len(group) for group in groups])
    return Reliability(predicted, observed, float((sizes * np.abs(predicted - observed)).sum() / sizes.sum()))


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
