"""Drift against vectors turned by known angles; transfer against scores worked by hand."""

from __future__ import annotations

import re
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hn_utils.contributions.cett import Labelled
from hn_utils.contributions.tall_matrix import TallMatrix
from hn_utils.origins.look_back import Origins
from hn_utils.origins.transfer import Drift, Transfer, drift, least_moved_rank, moved, transfer, two_sided
from hn_utils.probing.against_random import AgainstRandom
from hn_utils.probing.l1_path import Fit
from hn_utils.stats.bootstrap import Estimate
from hn_utils.stats.metrics import auroc


def model(up: np.ndarray, down: np.ndarray) -> SimpleNamespace:
    """Weights [layer, neuron, d_model] behind the two methods that drift asks for."""
    up, down = torch.tensor(up), torch.tensor(down)
    return SimpleNamespace(
        n_layers=len(up),
        d_mlp=up.shape[1],
        name="m",
        W_in=lambda layer: up[layer].T,  # [d_model, neuron]
        W_gate=None,  # drift is of the other two
        W_out=lambda layer: down[layer],
    )


def turned(angles: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], -1)


def test_moved_is_one_minus_cosine():
    angles = np.linspace(0, np.pi / 2, 8).reshape(2, 4)
    base, instruct = model(turned(0 * angles), turned(0 * angles)), model(3 * turned(angles), turned(angles))
    np.testing.assert_allclose(moved(base, instruct, "up"), 1 - np.cos(angles.ravel()), atol=1e-12)


def test_an_angle_that_single_precision_cannot_see():
    angles = np.full((1, 2), 1e-5)
    still, after = model(turned(0 * angles), turned(0 * angles)), model(turned(angles), turned(angles))
    np.testing.assert_allclose(moved(still, after, "up"), 5e-11, rtol=1e-3)


def test_two_layers_are_never_held_at_once():
    held, most = set(), []

    def weight(layer: int) -> torch.Tensor:
        fresh = torch.ones(3, 4)
        held.add(layer)
        weakref.finalize(fresh, held.discard, layer)
        most.append(len(held))
        return fresh

    big = SimpleNamespace(n_layers=5, d_mlp=3, name="m", W_out=weight)
    assert moved(big, big, "down").shape == (15,)
    assert max(most) == 1


def test_ranks_put_the_least_moved_last_and_share_a_tie():
    assert least_moved_rank(np.array([0.3, 0.1, 0.2])).tolist() == [0.0, 1.0, 0.5]
    assert least_moved_rank(np.array([0.2, 0.1, 0.2])).tolist() == [0.25, 1.0, 0.25]


def test_drift_finds_still_neurons_and_is_not_fooled_by_a_still_layer():
    rng = np.random.default_rng(0)
    angles = rng.uniform(0.2, 0.6, (4, 200))
    angles[1] *= 0.1  # a whole layer hardly moved
    still = np.array([5, 50, 450, 650])
    angles.reshape(-1)[still] = 0.001
    base, instruct = model(turned(0 * angles), turned(0 * angles)), model(turned(angles), turned(angles))
    found = drift(base, instruct, still)
    assert found.mean_rank > 0.99
    assert found.p["layer"] < 0.01
    assert [(at.layer, at.n) for at in found.by_layer] == [(0, 2), (2, 1), (3, 1)]
    assert min(at.mean_rank for at in found.by_layer) > 0.98
    assert found.by_layer[0].p < 0.01  # two of two hundred, both at the very end
    in_layer_one = drift(base, instruct, np.arange(210, 390, 30))
    assert in_layer_one.mean_rank > 0.8
    assert in_layer_one.p["none"] < 0.01
    assert in_layer_one.p["layer"] > 0.05
    assert [at.p > 0.05 for at in in_layer_one.by_layer] == [True]


def test_permutation_p_is_uniform_without_an_effect():
    rng = np.random.default_rng(1)
    ps = [two_sided(rng.normal(), rng.normal(size=500)) for _ in range(400)]
    assert 0.02 < np.mean(np.array(ps) <= 0.05) < 0.09


def test_transfer_scores_unchanged_weights_and_keeps_quiet_when_there_is_too_little():
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], 30)
    X = rng.normal(size=(60, 6)) + labels[:, None] * np.array([2, 0, 0, 0, 0, 0])
    fit = Fit(1.0, np.array([0]), np.array([5.0]), -100.0, 0.0, 0.0)
    noise = Fit(1.0, np.array([3]), np.array([1.0]), 0.0, 0.0, 0.0)
    groups = np.array([str(i) for i in range(60)])
    two = Fit(1.0, np.array([0, 1]), np.array([1.0, 1.0]), 0.0, 0.0, 0.0)
    read = Labelled(TallMatrix([X]), labels, groups)
    result = transfer("base", read, -X[:, 1], two, AgainstRandom(fit, [noise]))
    assert result.h_neurons is not None
    assert result.probe is not None
    assert result.h_neurons.value == pytest.approx(auroc(labels, X[:, 0]))
    assert result.probe.value == pytest.approx(auroc(labels, X[:, 0] + X[:, 1]))
    assert result.random[0] == pytest.approx(auroc(labels, X[:, 3]))
    few = Labelled(TallMatrix([X[20:]]), labels[20:], groups[20:])
    early = transfer("early", few, X[20:, 1], fit, AgainstRandom(fit, [noise]))
    assert early.h_neurons is None
    assert str(early) == "too few answers"
    assert re.match(r"AUROC \d\.\d\d \[.*\]  confidence \d", str(result))


def test_different_shapes_do_not_drift():
    with pytest.raises(ValueError, match="differ in shape"):
        drift(
            model(np.ones((1, 2, 2)), np.ones((1, 2, 2))), model(np.ones((2, 2, 2)), np.ones((2, 2, 2))), np.array([0])
        )


def test_equal_steps_turn_long_weights_less_and_the_length_control_knows():
    rng = np.random.default_rng(3)
    norms = rng.lognormal(0, 0.7, (2, 300))
    before = turned(rng.uniform(0, 6, (2, 300))) * norms[..., None]
    after = before + 0.1 * rng.normal(size=before.shape)
    long = np.argsort(-norms.ravel())[5:15]
    found = drift(model(before, before), model(after, after), long)
    assert found.p["none"] < 0.01
    assert found.p["magnitude"] > 0.05


def stored(values: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    return torch.tensor(values).to(dtype).double().numpy()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_where_nothing_was_tuned_nothing_is_ranked_whatever_the_rounding(dtype):
    weights = np.random.default_rng(5).normal(0, 0.02, (2, 50, 32))
    found = drift(model(weights, weights), model(stored(weights, dtype), stored(weights, dtype)), np.array([3, 70]))
    assert not found.anything_moved
    assert found.told.startswith("tuning did not move the H-Neurons, nor any other neuron")
    assert not found.score.any()
    assert np.isnan([found.mean_rank, *found.rank, *found.p.values()]).all()
    assert (found.random, found.by_layer, len(found.shuffled)) == ({}, [], 0)


def test_a_part_that_was_not_tuned_adds_no_noise_to_the_ranks():
    rng = np.random.default_rng(6)
    before, angles = turned(rng.uniform(0, 6, (2, 50))), rng.uniform(0.1, 0.5, (2, 50))
    angles[:, 10:] = 0  # tuning touched the first ten of each layer, in one matrix
    after = turned(np.arctan2(before[..., 1], before[..., 0]) + angles)
    found = drift(model(before, before), model(before, after), np.array([20, 80]))
    assert found.anything_moved
    assert len(set(found.rank[np.r_[10:50, 60:100]])) == 1  # all that stayed share one rank
    assert found.mean_rank == pytest.approx((20 + 79 / 2) / 99)


def test_a_step_that_16_bits_can_store_is_a_move():
    weights = np.random.default_rng(7).normal(0, 0.02, (1, 6, 32))
    half, other = stored(weights, torch.bfloat16), stored(weights, torch.bfloat16)
    other[0, 2, 5] *= 1 + 2**-7
    assert np.flatnonzero(moved(model(half, half), model(other, other), "up")).tolist() == [2]


def drifted(mean_rank: float, **p: float) -> Drift:
    none = np.array([])
    return Drift(none, none, none, mean_rank, mean_rank, p, {}, none, [])


def test_what_drift_tells_is_told_beside_the_control_that_comes_nearest():
    little = drifted(0.85, none=0.0005, layer=0.0005, magnitude=0.038, shuffled=0.0952)
    assert little.told == (
        "tuning moved the H-Neurons less than 85% of all neurons on average; not told apart from what the probe picks "
        "on shuffled labels (p = 0.0952)"
    )
    much = drifted(0.001, none=0.0005, layer=0.0010, magnitude=0.0005, shuffled=1.0)  # these moved less: no control
    assert much.told == (
        "tuning moved the H-Neurons more than 99% of all neurons on average; told apart from random neurons of the "
        "same layers (p = 0.0010)"
    )


def test_what_transfer_tells_by_hand():
    def told(low: float, high: float) -> str:
        base = Transfer("base", 30, 40, None, Estimate(0.73, 0.71, 0.75, 70), None, np.array([]))
        return Origins(base, None, None, [], Estimate((low + high) / 2, low, high, 70)).transferred

    assert told(0.16, 0.22) == (
        "In base the H-Neurons detect more than what shuffled labels pick: AUROC 0.73 [0.71, 0.75], 0.19 [0.16, 0.22] "
        "beyond it (n = 70 answers)"
    )
    assert "In base the H-Neurons detect less than what shuffled labels pick: AUROC" in told(-0.08, -0.02)
    unsaid = told(-0.02, 0.04)
    assert "In base the H-Neurons are not told apart from what shuffled labels pick: AUROC" in unsaid
    few = Origins(Transfer("base", 3, 40, None, None, None, np.array([])), None, None, [], None)
    assert few.transferred == "base gives too few consistent answers to say: 3 right, 40 wrong"
