"""Random sets match what they claim, intervals cover, AUROC is the textbook's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

from hn_utils.controls import accuracy, auroc, average_precision, bootstrap, random_sets, shuffled

CHOSEN = np.array([3, 4, 150, 399])  # layers 0, 0, 1, 3 of width 100


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_auroc_and_accuracy_are_the_textbook_s(seed):
    rng = np.random.default_rng(seed)
    labels, scores = np.append(rng.integers(0, 2, 40), [0, 1]), rng.integers(-3, 4, 42).astype(float)
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores))
    assert accuracy(labels, scores) == pytest.approx(balanced_accuracy_score(labels, scores > 0))


def test_one_class_has_no_auroc():
    assert np.isnan(auroc(np.ones(4), np.arange(4)))


@pytest.mark.parametrize("match", ["none", "layer", "magnitude"])
def test_random_sets(match):
    magnitude = np.random.default_rng(0).lognormal(size=400)
    sets = random_sets(CHOSEN, 4, 100, 50, match, magnitude, seed=1)
    for drawn in sets:
        assert len(set(drawn.tolist())) == len(CHOSEN)
        assert not set(drawn.tolist()) & set(CHOSEN.tolist())
        if match != "none":
            assert (drawn // 100).tolist() == [0, 0, 1, 3]
    assert len({tuple(s) for s in sets}) > 25
    if match == "magnitude":
        near = np.mean([np.abs(np.log(magnitude[s]) - np.log(magnitude[CHOSEN])).mean() for s in sets])
        loose = random_sets(CHOSEN, 4, 100, 50, "layer", seed=1)
        assert near < np.mean([np.abs(np.log(magnitude[s]) - np.log(magnitude[CHOSEN])).mean() for s in loose])


def test_random_sets_are_spread_over_everything():
    sets = random_sets(CHOSEN, 4, 100, 2_000, seed=0)
    counts = np.bincount(np.concatenate(sets), minlength=400)
    assert counts[CHOSEN].sum() == 0
    expected = 2_000 * 4 / 396
    assert np.abs(np.delete(counts, CHOSEN) - expected).max() < 6 * np.sqrt(expected)


def test_intervals_cover_the_truth_about_95_times_in_100():
    rng, hits = np.random.default_rng(0), 0
    for trial in range(200):
        estimate = bootstrap(np.mean, rng.normal(1.0, 2.0, 80), n=300, seed=trial)
        hits += estimate.low <= 1.0 <= estimate.high
    assert 178 <= hits <= 199


def test_groups_stand_or_fall_together():
    values, groups = np.repeat([0.0, 1.0] * 10, 10), np.repeat([str(i) for i in range(20)], 10).tolist()
    together, apart = bootstrap(np.mean, values, groups=groups), bootstrap(np.mean, values)
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_shuffling_keeps_the_labels():
    labels = np.arange(100) % 3
    assert sorted(shuffled(labels, 0)) == sorted(labels)
    assert not np.array_equal(shuffled(labels, 0), labels)


def test_bad_input():
    with pytest.raises(ValueError, match="match='both': choose none, layer or magnitude"):
        random_sets(CHOSEN, 4, 100, 1, "both")
    with pytest.raises(ValueError, match="needs the magnitude"):
        random_sets(CHOSEN, 4, 100, 1, "magnitude")
    with pytest.raises(ValueError, match="leave only 0 others"):
        random_sets(np.arange(4), 2, 2, 1)
    with pytest.raises(ValueError, match="columns of one length"):
        bootstrap(np.mean, np.array([]))
