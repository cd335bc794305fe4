"""Probes of one layer: a planted direction is found, the official formula is written again, noise tells nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hn_utils.probing.directions import (
    best_layer,
    mass_mean,
    mass_mean_probe,
    network_probe,
    tilted_mass_mean_probe,
)
from hn_utils.stats.metrics import auroc


def planted(n: int = 900, width: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States in which hallucinated ones lie along one direction, and the direction."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=width)
    direction /= np.linalg.norm(direction)
    labels = rng.integers(0, 2, n)
    return rng.normal(size=(n, width)) + 2.0 * labels[:, None] * direction, labels, direction


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_the_planted_direction_is_the_difference_of_means():
    states, labels, direction = planted()
    assert cosine(mass_mean(states, labels), direction) > 0.98
    shuffled = np.random.default_rng(1).permutation(labels)
    assert np.linalg.norm(mass_mean(states, shuffled)) < 0.5  # of a planted length of 2
    assert mass_mean(np.array([[1.0, 0], [3, 4], [5, 0]]), np.array([0, 1, 1])).tolist() == [3, 2]


def official_tilted(features: np.ndarray, labels: np.ndarray) -> torch.Tensor:
    """As saprmarks/geometry-of-truth has it, in-distribution."""
    acts = torch.tensor(features)
    pos, neg = acts[labels == 1], acts[labels == 0]
    centred = torch.cat([pos - pos.mean(0), neg - neg.mean(0)], 0)
    inverse = torch.linalg.pinv(centred.t() @ centred / acts.shape[0], hermitian=True, atol=1e-3)
    return acts @ inverse @ (pos.mean(0) - neg.mean(0))


def test_the_tilted_probe_is_the_official_one():
    states, labels, _ = planted()
    states = (states - states.mean(0)) / states.std(0)  # where a standard deviation is 1, nothing is changed
    ours = tilted_mass_mean_probe(states, labels, np.arange(len(states)))
    np.testing.assert_allclose(ours, official_tilted(states, labels), rtol=1e-6, atol=1e-8)


def test_the_tilt_takes_out_what_both_classes_share():
    """One direction tells the classes apart, another is loud and correlated with it: Fisher's discriminant sees past
    the second, the plain difference of means does not."""
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 2_000)
    loud = 5.0 * rng.normal(size=2_000)
    states = np.stack([loud + labels + 0.5 * rng.normal(size=2_000), loud], axis=1)
    train = np.arange(1_000)
    test = np.arange(1_000, 2_000)
    plain = mass_mean_probe(states, labels, train)
    tilted = tilted_mass_mean_probe(states, labels, train)
    assert auroc(labels[test], tilted[test]) > 0.85  # of 0.92: two standard deviations apart
    assert auroc(labels[test], plain[test]) < 0.7


def test_a_network_finds_what_no_direction_tells_and_nothing_in_noise():
    rng = np.random.default_rng(3)
    states = rng.normal(size=(1_200, 6))
    labels = (np.abs(states[:, 0]) > 0.67).astype(int)  # either side of a direction, and so none of its ends
    train = np.arange(800)
    test = np.arange(800, 1_200)
    assert auroc(labels[test], network_probe(states, labels, train)[test]) > 0.85
    assert 0.4 < auroc(labels[test], mass_mean_probe(states, labels, train)[test]) < 0.6
    noise = rng.permutation(labels)
    assert 0.4 < auroc(noise[test], network_probe(states, noise, train)[test]) < 0.6


def test_the_layer_is_chosen_on_validation_alone():
    states, labels, _ = planted(600)
    noise = np.random.default_rng(4).normal(size=states.shape)
    streams = np.stack([noise, states, noise], axis=1)  # [example, layer, d_model]
    train = np.arange(300)
    validation = np.arange(300, 400)
    layer, scores = best_layer(streams, labels, validation, lambda some: mass_mean_probe(some, labels, train))
    assert layer == 1
    np.testing.assert_array_equal(scores, mass_mean_probe(states, labels, train))
    streams[400:, 1] = 0  # what test answers hold chooses nothing
    assert best_layer(streams, labels, validation, lambda some: mass_mean_probe(some, labels, train))[0] == 1


@pytest.mark.parametrize("probe", [mass_mean_probe, tilted_mass_mean_probe, network_probe])
def test_one_class_is_refused(probe):
    with pytest.raises(ValueError, match="both 0 and 1"):
        probe(np.ones((4, 3)), np.zeros(4, int), np.arange(4))
