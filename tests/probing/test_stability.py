"""Planted truth: neurons that know are found again, neurons that do not are not, and shuffled labels leave nothing."""

from __future__ import annotations

import numpy as np
import pytest

from hn_utils.contributions.tall_matrix import TallMatrix
from hn_utils.probing.l1_path import c_grid
from hn_utils.probing.stability import Stability, jaccard, stability, twins

N_NEURONS = 3_000
PLANTED = np.array([5, 700, 1_400, 2_100, 2_800])


def contributions(seed: int, strength: float, n: int = 240, correlated: float = 0.0):
    """Heavy-tailed sizes, like real contributions, some moving together; PLANTED are larger in made-up answers."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1], n // 2))
    common = rng.normal(size=(n, N_NEURONS // 50)).repeat(50, 1)  # blocks of 50 that share a cause
    logs = np.sqrt(1 - correlated) * rng.normal(size=(n, N_NEURONS)) + np.sqrt(correlated) * common
    logs[:, PLANTED] += strength * labels[:, None]
    return TallMatrix([np.exp(0.7 * logs).astype(np.float32)]), labels, np.arange(n).astype(str)


def found(X, labels, groups) -> Stability:
    return stability(X, labels, groups, c_grid(X, labels, 30)[:12], n_pairs=6)


@pytest.mark.parametrize("correlated", [0.0, 0.3])
def test_planted_neurons_are_found_and_few_others(correlated):
    result = found(*contributions(0, 1.6, correlated=correlated))
    stable = set(result.stable)
    assert len(stable & set(PLANTED)) >= 4
    assert len(stable - set(PLANTED)) <= 1
    assert result.agreement > 0.2


def test_weaker_signal_is_found_less_surely():
    strong, weak = (found(*contributions(1, s)).probability[PLANTED].mean() for s in (1.6, 0.4))
    assert strong > 0.9
    assert weak < 0.6


@pytest.mark.slow
def test_shuffled_labels_leave_nothing():
    discoveries = []
    for seed in range(8):
        X, labels, groups = contributions(seed, 1.6)
        result = found(X, np.random.default_rng(seed).permutation(labels), groups)
        discoveries.append(len(result.stable))
    assert np.mean(discoveries) <= 0.125  # 0.05 expected at most; one in these eight would still be chance


def test_by_hand():
    entry = np.full((4, 200), 2)  # two values of C; 2 means never
    entry[[0, 1, 2, 3], 0] = 0  # everyone finds neuron 0 first
    entry[[0, 2, 3], 1] = 1
    entry[1, 2] = 1
    result = Stability(entry, 2)
    # at the second C two neurons are found on a half: 2^2 / (0.5 * 200) = 0.04 false discoveries, just allowed
    assert result.reach == 2
    assert result.probability[:4].tolist() == [1, 0.75, 0.25, 0]
    assert result.stable.tolist() == [0, 1]
    assert result.agreement == pytest.approx((1 / 3 + 1) / 2)
    # with half as many neurons 0.08 would be too many, and only the first C counts
    assert Stability(entry[:, :100], 2).reach == 1


def test_halves_are_of_people_not_of_rows():
    X, labels, _ = contributions(2, 1.6, n=40)
    with pytest.raises(ValueError, match="at least 4 groups to split, got 3"):
        stability(X, labels, np.arange(40) % 3, np.array([1.0]))


def test_twins_are_those_who_say_the_same():
    rng = np.random.default_rng(0)
    values = rng.lognormal(size=(300, 40)).astype(np.float32)
    values[:, 30] = 2 * values[:, 4] + 1 + 0.01 * rng.normal(size=300)
    values[:, 31] = 1.0  # a dead neuron goes with nobody
    others, r = twins(TallMatrix([values]), np.array([4, 9]))
    table = np.corrcoef(values[:, [4, 9]].T, np.delete(values, [4, 9, 31], 1).T)[:2, 2:]
    assert others[0] == 30
    assert r == pytest.approx(table.max(1), abs=1e-4)


def test_groups_are_found_though_no_member_is():
    rng = np.random.default_rng(0)
    values = rng.lognormal(size=(400, 200)).astype(np.float32)
    values[:, [20, 60, 110]] = values[:, [20]] + 0.05 * rng.normal(size=(400, 3))  # three that say the same
    entry = np.full((4, 200), 1)  # one value of C; 1 means never
    entry[[0, 1, 2, 3], [20, 60, 110, 20]] = 0  # every half takes another of them
    entry[1, 7] = 0
    same, alone = Stability(entry, 1).groups(TallMatrix([values]))
    assert Stability(entry, 1).stable.size == 0
    assert (same.neurons.tolist(), same.probability) == ([20, 60, 110], 1.0)
    assert (alone.neurons.tolist(), alone.probability) == ([7], 0.25)


def test_jaccard_by_hand():
    assert jaccard([1, 2, 3], [3, 4]) == 1 / 4
    assert jaccard([], []) == 0
