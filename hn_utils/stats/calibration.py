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
    """The expected calibration error is the mean gap between prediction and share made up, over the groups."""
    p, order = expit(log_odds), np.argsort(log_odds, kind="stable")
    groups = np.array_split(order, min(_N_BINS, len(order)))
    predicted, observed = (np.array([values[g].mean() for g in groups]) for values in (p, np.asarray(labels)))
    sizes = np.array([len(g) for g in groups])
    return Reliability(predicted, observed, float((sizes * np.abs(predicted - observed)).sum() / sizes.sum()))


def risk_coverage(labels: np.ndarray, scores: np.ndarray) -> Float[np.ndarray, "answered"]:
    """Share made up among the k answers that look safest, for k = 1, 2, ... all: what abstaining on the rest buys.

    Ties stand in the order that is worst for the score.
    """
    order = np.lexsort((-np.asarray(labels), scores))
    return np.cumsum(np.asarray(labels)[order]) / np.arange(1, len(order) + 1)
