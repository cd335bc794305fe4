"""Probes of one layer's residual stream that people put beside H-Neurons: a direction between means, a small network.

Each takes features of all examples and learns from some; which layer it reads is chosen on validation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import pinvh
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from hn_utils.stats.metrics import auroc

_LEAST_VARIANCE = 1e-3  # of a direction that the inverse covariance counts, in units of a feature's variance
_HIDDEN = (256, 128, 64)  # units of SAPLMA's hidden layers
_ROUNDS = 20  # through its training examples

Features = Float[np.ndarray, "example d_model"]
Scores = Float[np.ndarray, "example"]


def mass_mean(features: Features, labels: Int[np.ndarray, "example"]) -> Float[np.ndarray, "d_model"]:
    """The direction from the mean of true answers to the mean of hallucinated ones.

    Args:
        features: a hidden state of each example, [example, d_model].
        labels: 1 for hallucinated, [example].

    Returns:
        The difference of means, [d_model], in the unit of the features. Added to the stream it is the steering vector
        of contrastive activation addition.

    Raises:
        ValueError: the labels lack a class.

    Source:
        Marks & Tegmark 2023 (mass-mean probe); Rimsky et al. 2024 (CAA).
    """
    if set(np.unique(labels)) != {0, 1}:
        raise ValueError(f"labels hold only {sorted(set(np.unique(labels).tolist()))}: two means need both 0 and 1")
    return features[labels == 1].mean(0) - features[labels == 0].mean(0)


def mass_mean_probe(features: Features, labels: Int[np.ndarray, "example"], train: Int[np.ndarray, "train"]) -> Scores:
    """Project on the difference of means.

    Args:
        features: hidden states of all examples.
        labels: 1 for hallucinated, [example].
        train: numbers of the examples to learn from.

    Returns:
        A score of each example, [example], higher for hallucinated; only its order means something.

    Raises:
        ValueError: the training examples are of one class.

    Source:
        Marks & Tegmark 2023.
    """
    return features @ mass_mean(features[train], labels[train])


def tilted_mass_mean_probe(
    features: Features, labels: Int[np.ndarray, "example"], train: Int[np.ndarray, "train"]
) -> Scores:
    """Project on the difference of means, tilted by the inverse covariance within classes: the probe for data like
    those it learnt from.

    Features are counted in their standard deviations, so that the official cut-off, by which directions of next to no
    variance are left out of the inverse, means the same for every model.

    Args:
        features: hidden states of all examples.
        labels: 1 for hallucinated, [example].
        train: numbers of the examples to learn from.

    Returns:
        A score of each example, [example], higher for hallucinated.

    Raises:
        ValueError: the training examples are of one class.

    Source:
        Marks & Tegmark 2023, the in-distribution probe; code saprmarks/geometry-of-truth, `probes.py`. With as many
        examples of either class it is Fisher's linear discriminant.
    """
    spread = features[train].std(0)
    units = features / np.where(spread == 0, 1, spread)
    learnt = units[train]
    own = labels[train]
    direction = mass_mean(learnt, own)
    means = np.stack([learnt[own == 0].mean(0), learnt[own == 1].mean(0)])  # [class, d_model]
    centred = learnt - means[own]  # [train, d_model]
    covariance = centred.T @ centred / len(train)  # [d_model, d_model]
    return units @ (pinvh(covariance, atol=_LEAST_VARIANCE, rtol=0.0) @ direction)


def network_probe(
    features: Features, labels: Int[np.ndarray, "example"], train: Int[np.ndarray, "train"], seed: int = 0
) -> Scores:
    """SAPLMA: a network with three hidden layers on one layer's state.

    Layers of 256, 128 and 64 rectified units, trained by Adam, follow the paper as remembered, not as read. Ours are
    20 rounds (theirs are remembered as 5, on thousands of statements), scikit-learn's penalty, and features in their
    standard deviations.

    Args:
        features: hidden states of all examples.
        labels: 1 for hallucinated, [example].
        train: numbers of the examples to learn from.
        seed: of first weights and batches.

    Returns:
        The chance that each example is hallucinated, [example].

    Raises:
        ValueError: the training examples are of one class.

    Source:
        Azaria & Mitchell 2023.
    """
    if set(np.unique(labels[train])) != {0, 1}:
        raise ValueError("the training labels are all alike: a network needs both 0 and 1")
    spread = features[train].std(0)
    units = (features - features[train].mean(0)) / np.where(spread == 0, 1, spread)
    rows = min(32, len(train))
    network = MLPClassifier(_HIDDEN, batch_size=rows, max_iter=_ROUNDS, random_state=seed)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is stopped, not left to converge
        network.fit(units[train], labels[train])
    return np.asarray(network.predict_proba(units))[:, 1]


def best_layer(
    streams: Float[np.ndarray, "example layer d_model"],
    labels: Int[np.ndarray, "example"],
    validation: Int[np.ndarray, "validation"],
    probe: Callable[[Features], Scores],
) -> tuple[int, Scores]:
    """Fit a probe on every layer and keep the one that detects best on validation.

    Args:
        streams: hidden states, [example, layer, d_model].
        labels: 1 for hallucinated, [example].
        validation: numbers of the examples to choose on.
        probe: gives a score of each example from one layer's states.

    Returns:
        The layer, and the scores of all examples there, [example]. Validation answers chose it; others measure it.

    Raises:
        ValueError: as the probe does.
    """
    scores = [probe(streams[:, layer]) for layer in range(streams.shape[1])]
    reached = [auroc(labels[validation], some[validation]) for some in scores]
    layer = int(np.argmax(reached))
    return layer, scores[layer]
