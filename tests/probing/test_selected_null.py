"""The selected null where it is known which neuron follows the labels, and which marks answers whatever they say."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from hn_utils.contributions.tall_matrix import TallMatrix
from hn_utils.probing.l1_path import c_grid, l1_path, short_paths
from hn_utils.probing.selected_null import Selection

N, P = 240, 300
KNOWS, MARKS = 7, 11  # the neuron that fires at made-up answers; those that fire at any answer, and not elsewhere


def planted(seed: int = 0, marks: float = 3.0) -> tuple[TallMatrix, np.ndarray]:
    """3-vs-1 rows: answers, half of them made up, then as many other tokens."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1], N // 2))
    rows = 0.05 * rng.lognormal(0, 0.5, (2 * N, P))
    rows[:N, KNOWS] *= 1 + 6 * labels
    rows[:N, MARKS] *= marks
    return TallMatrix([rows.astype(np.float16)]), labels


def test_true_labels_pick_the_neuron_that_knows_and_shuffled_ones_do_not():
    X, labels = planted(marks=1.0)
    selection = Selection(X[np.arange(N)], labels, n_grid=12, size=1, seed=0)  # 1-vs-1: answers alone
    assert selection.true().tolist() == [KNOWS]
    picked = [neurons.tolist() for neurons in selection.sets(0, 20)]
    assert picked.count([KNOWS]) < 10
    assert len({tuple(some) for some in picked}) >= 8


def test_in_3_vs_1_a_neuron_that_knows_is_picked_whatever_the_labels_since_it_fires_at_answers():
    X, labels = planted(marks=1.0)
    selection = Selection(X, labels, n_grid=12, size=1, seed=0)
    assert selection.true().tolist() == [KNOWS]
    assert all(neurons.tolist() == [KNOWS] for neurons in selection.sets(0, 10))


def test_what_fires_at_answers_alone_is_picked_whatever_the_labels():
    X, labels = planted(marks=12.0)
    selection = Selection(X, labels, n_grid=12, size=1, seed=0)
    assert all(neurons.tolist() == [MARKS] for neurons in selection.sets(0, 10))
    others = Selection(X, labels, n_grid=12, size=1, seed=0, never=np.array([MARKS]))
    assert all(MARKS not in neurons for neurons in others.sets(0, 10))


def test_sets_hold_as_many_neurons_and_more_shuffles_change_none_before():
    X, labels = planted()
    selection = Selection(X, labels, n_grid=12, size=4, seed=3)
    few, more = selection.sets(0, 5), selection.sets(0, 12)
    assert [len(neurons) for neurons in more] == [4] * 12
    assert all(np.array_equal(one, other) for one, other in zip(few, more, strict=False))
    other_seed = Selection(X, labels, n_grid=12, size=4, seed=4).sets(0, 5)
    assert any(not np.array_equal(one, other) for one, other in zip(few, other_seed, strict=True))


def test_paths_side_by_side_are_the_paths_one_by_one():
    X, labels = planted()
    rng = np.random.default_rng(1)
    problems = np.stack([np.concatenate([rng.permutation(labels), np.zeros(N, int)]) for _ in range(4)])
    for own, short in zip(problems, short_paths(X, problems, 12, 3, np.array([], int)), strict=True):
        whole = l1_path(X, own, c_grid(X, own, 12))
        assert len(short[-1].h_neurons) >= 3 > len(short[-2].h_neurons)
        for one, other in zip(short, whole, strict=False):
            assert pytest.approx(other.C) == one.C
            assert one.neurons.tolist() == other.neurons.tolist()
            np.testing.assert_allclose(one.weights, other.weights, rtol=1e-3, atol=1e-6)


def test_neurons_left_out_are_as_if_they_were_not_there():
    """Against liblinear on the matrix without their columns."""
    X, labels = planted()
    never = np.array([KNOWS, MARKS, 40])
    y = np.concatenate([labels, np.zeros(N, int)])
    (path,) = short_paths(X, y[None], 10, 6, never)
    kept = np.setdiff1d(np.arange(P), never)
    dense = np.column_stack([X.columns(kept).astype(float), np.ones(2 * N)])
    fit = path[-1]
    settings = {"l1_ratio": 1, "solver": "liblinear", "fit_intercept": False, "tol": 1e-10, "max_iter": 200_000}
    theirs = LogisticRegression(C=fit.C, random_state=0, **settings).fit(dense, y).coef_[0][:-1]
    ours = np.zeros(P)
    ours[fit.neurons] = fit.weights
    np.testing.assert_allclose(ours[kept], theirs, atol=1e-3 * np.abs(theirs).max())
    assert not ours[never].any()
