"""How well a score orders, or splits, two classes: AUROC, average precision, accuracy; weighted for the bootstrap."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float

# Statistics take `weights`: how often each row was drawn, in each of many draws; then they return a value a draw.
Weights = Float[np.ndarray, "draw row"]


def _one_or_each(values: np.ndarray, weights: Weights | None) -> Any:
    """The single value of the rows as they are, or, if rows were drawn, the value of each draw."""
    return float(values[0]) if weights is None else values


def mean(values: np.ndarray, weights: Weights | None = None) -> Any:
    """The mean; of weighted rows, if there are weights.

    Args:
        values: numbers in any unit, [row].
        weights: how often each row was drawn, [draw, row].

    Returns:
        The mean, in the unit of the values; with `weights` one for each draw, [draw].
    """
    drawn = np.ones((1, len(values))) if weights is None else weights
    return _one_or_each(drawn @ np.asarray(values, float) / drawn.sum(1), weights)


def _weights_of_ties(scores: np.ndarray, *weights: Weights) -> list[Float[np.ndarray, "draw score"]]:
    """Weights of rows added up where scores tie, from the lowest score to the highest."""
    order = np.argsort(scores, kind="stable")
    first = np.flatnonzero(np.append(True, np.diff(scores[order]) != 0))  # of each new score
    return [np.add.reduceat(some[:, order], first, axis=1) for some in weights]  # [draw, score]


def scored(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and their scores as arrays, once they are known to fit each other.

    Args:
        labels: 1 or 0, [row].
        scores: in any unit, [row].

    Returns:
        Both as arrays, [row].

    Raises:
        ValueError: they do not fit each other, or a score is NaN: it has no order.
    """
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.shape != scores.shape:
        raise ValueError(f"{len(labels)} labels do not fit scores of shape {scores.shape}: give one to each")
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).sum())} of {len(scores)} scores are NaN: leave out those examples")
    return labels, scores


def auroc(labels: np.ndarray, scores: np.ndarray, weights: Weights | None = None) -> Any:
    """Chance that a random positive scores above a random negative, ties counting half; nan if a class is missing.

    Args:
        labels: 1 for positives, [row]; all else is negative.
        scores: in any unit, [row].
        weights: how often each row was drawn, [draw, row].

    Returns:
        A chance from 0 to 1, 0.5 being that of a random order; with `weights` one for each draw, [draw]. It says
        nothing about where to put a threshold, or how common positives are.

    Raises:
        ValueError: labels and scores do not fit each other, or a score is NaN.

    Source:
        Hanley & McNeil 1982: the Mann-Whitney statistic, divided by the number of pairs.
    """
    labels, scores = scored(labels, scores)
    drawn = np.ones((len(labels), 1)) if weights is None else weights.T  # [row, draw]
    positive = drawn[labels == 1]  # [positive, draw]
    order = np.argsort(scores, kind="stable")
    order = order[labels[order] != 1]  # the negatives, from the lowest score to the highest
    up_to = np.zeros((len(order) + 1, drawn.shape[1]))  # [negative + 1, draw]
    torch.cumsum(torch.from_numpy(drawn[order]), 0, out=torch.from_numpy(up_to[1:]))  # numpy's takes five times as long
    below = np.searchsorted(scores[order], scores[labels == 1], "left")
    not_above = np.searchsorted(scores[order], scores[labels == 1], "right")
    area = np.einsum("pd,pd->d", positive, up_to[below])  # [draw]
    if (below != not_above).any():
        area = (area + np.einsum("pd,pd->d", positive, up_to[not_above])) / 2  # [draw]
    with np.errstate(invalid="ignore"):
        return _one_or_each(area / (positive.sum(0) * up_to[-1]), weights)


def average_precision(labels: np.ndarray, scores: np.ndarray, weights: Weights | None = None) -> Any:
    """AUPRC: mean precision at each positive, ties taken together; a random score gets the share of positives.

    Args:
        labels: 1 for positives, [row].
        scores: in any unit, [row].
        weights: how often each row was drawn, [draw, row].

    Returns:
        A share from 0 to 1; with `weights` one for each draw, [draw]; nan without a positive. It rises with the share
        of positives, so that it is not to be compared between sets which differ in that.

    Raises:
        ValueError: labels and scores do not fit each other, or a score is NaN.

    Source:
        The step-wise sum of scikit-learn's `average_precision_score`, without interpolation.
    """
    labels, scores = scored(labels, scores)
    drawn = np.ones((1, len(labels))) if weights is None else weights
    positive, every = _weights_of_ties(-scores, drawn * (labels == 1), drawn)
    precision = positive.cumsum(1) / np.maximum(every.cumsum(1), 1e-12)  # nobody drawn so far: no positive either
    with np.errstate(invalid="ignore"):
        return _one_or_each((positive * precision).sum(1) / positive.sum(1), weights)


def accuracy(labels: np.ndarray, scores: np.ndarray, weights: Weights | None = None) -> Any:
    """Mean of sensitivity and specificity at score 0: accuracy as if both classes were equally common.

    Args:
        labels: 1 for positives, [row]; all else is negative.
        scores: above 0 for what is called positive, such as log-odds, [row].
        weights: how often each row was drawn, [draw, row].

    Returns:
        A share from 0 to 1, 0.5 being that of guessing; with `weights` one for each draw, [draw]; nan if a class is
        missing. It hangs on the zero of the score: one that orders perfectly may get 0.5.

    Raises:
        ValueError: labels and scores do not fit each other, or a score is NaN.

    Source:
        Brodersen et al. 2010, balanced accuracy.
    """
    labels, scores = scored(labels, scores)
    positive, above = labels == 1, scores > 0
    drawn = np.ones((1, len(positive))) if weights is None else weights
    with np.errstate(invalid="ignore"):
        sensitivity, specificity = (
            drawn @ (some & (above == positive)) / (drawn @ some) for some in (positive, ~positive)
        )
    return _one_or_each((sensitivity + specificity) / 2, weights)
