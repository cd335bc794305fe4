"""Can a score be read as a probability, and what does staying silent buy? At the share of errors that there really is.

A probe trained on balanced classes takes every second answer for made up. Where fewer are, its log-odds are too high by
the difference of the two log-odds of a hallucination (the prior shift); the order of answers stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logit

N_BINS = 10


def prior_shifted(log_odds: Float[np.ndarray, "example"], trained: float, real: float) -> Float[np.ndarray, "example"]:
    """Log-odds learnt where a share `trained` was made up, for a place where a share `real` is.

    Raises ValueError for a share that is not strictly between 0 and 1.
    """
    for name, share in (("trained", trained), ("real", real)):
        if not 0 < share < 1:
            raise ValueError(f"{name}={share} must lie between 0 and 1: there must be answers of both kinds")
    return log_odds + logit(real) - logit(trained)


@dataclass(frozen=True)
class Reliability:
    """Answers in N_BINS groups of equal size by predicted probability: mean prediction and share made up of each."""

    predicted: Float[np.ndarray, "bin"]
    observed: Float[np.ndarray, "bin"]
    ece: float


def reliability(labels: np.ndarray, log_odds: np.ndarray) -> Reliability:
    """The expected calibration error is the mean gap between prediction and share made up, over the groups."""
    p, order = expit(log_odds), np.argsort(log_odds, kind="stable")
    groups = np.array_split(order, min(N_BINS, len(order)))
    predicted, observed = (np.array([values[g].mean() for g in groups]) for values in (p, np.asarray(labels)))
    sizes = np.array([len(g) for g in groups])
    return Reliability(predicted, observed, float((sizes * np.abs(predicted - observed)).sum() / sizes.sum()))


def risk_coverage(labels: np.ndarray, scores: np.ndarray) -> Float[np.ndarray, "answered"]:
    """Share made up among the k answers that look safest, for k = 1, 2, ... all: what abstaining on the rest buys.

    Ties stand in the order that is worst for the score.
    """
    order = np.lexsort((-np.asarray(labels), scores))
    return np.cumsum(np.asarray(labels)[order]) / np.arange(1, len(order) + 1)
