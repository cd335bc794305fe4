"""Random sets match what they claim, intervals cover, AUROC is the textbook's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

from hn_utils.controls import (
    Match,
    accuracy,
    auroc,
    auroc_difference,
    average_precision,
    beyond_random,
    bootstrap,
    mean,
    random_sets,
    shuffled,
)

CHOSEN = np.array([3, 4, 150, 399])  # layers 0, 0, 1, 3 of width 100


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_auroc_and_accuracy_are_the_textbook_s(seed):
    rng = np.random.default_rng(seed)
    labels, scores = np.append(rng.integers(0, 2, 40), [0, 1]), rng.integers(-3, 4, 42).astype(float)
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores))
    assert accuracy(labels, scores) == pytest.approx(balanced_accuracy_score(labels, scores > 0))


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_weights_are_how_often_a_row_was_drawn(seed):
    rng = np.random.default_rng(seed)
    labels, scores = np.append(rng.integers(0, 2, 30), [0, 1]), rng.integers(-3, 4, 32).astype(float)
    weights = np.append(rng.integers(0, 3, (5, 30)), np.ones((5, 2)), 1)
    for measure in (auroc, average_precision, accuracy):
        rows = [np.repeat(np.arange(32), some.astype(int)) for some in weights]
        assert measure(labels, scores, weights) == pytest.approx([measure(labels[r], scores[r]) for r in rows])
    assert mean(scores, weights) == pytest.approx(
        [scores[np.repeat(np.arange(32), w.astype(int))].mean() for w in weights]
    )


def test_a_bootstrap_is_that_of_resampled_rows():
    rng = np.random.default_rng(4)
    labels, groups = rng.integers(0, 2, 90), np.repeat([str(i) for i in range(30)], 3)
    scores, names = rng.normal(size=90) + labels, np.unique(np.repeat([str(i) for i in range(30)], 3))
    draws = []
    for _ in range(2_000):
        rows = np.concatenate([np.flatnonzero(groups == g) for g in rng.choice(names, 30)])
        draws.append(roc_auc_score(labels[rows], scores[rows]))
    estimate = bootstrap(auroc, labels, scores, groups=groups)
    assert (estimate.low, estimate.high) == pytest.approx(np.percentile(draws, [2.5, 97.5]), abs=0.015)
    same = auroc_difference(labels, scores, scores, groups)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_beyond_random_draws_people_and_sets_again():
    rng = np.random.default_rng(5)
    own, groups = rng.normal(3.0, 1.0, 200), np.arange(200)
    alike = beyond_random(mean, own, np.ones((200, 10)), groups)
    assert alike.value == pytest.approx(own.mean() - 1)
    assert alike.high - alike.low == pytest.approx(4 / np.sqrt(200), rel=0.2)  # people alone
    spread = np.tile(rng.normal(1.0, 2.0, 10), (200, 1))
    apart = beyond_random(mean, own, spread, groups)
    assert apart.value == pytest.approx(own.mean() - spread[0].mean())
    assert apart.high - apart.low == pytest.approx(4 * np.sqrt(1 / 200 + spread[0].var() / 10), rel=0.2)
    assert np.isnan(beyond_random(mean, own, np.ones((200, 0)), groups).value)


def test_stand_ins_within_a_factor():
    magnitude = np.random.default_rng(0).lognormal(size=400)
    chosen = np.argsort(magnitude[:100])[[30, 50]]  # neither the softest nor the loudest of their layer
    for drawn in random_sets(chosen, (4, 100), 30, Match("magnitude", magnitude, within=1.3)):
        ratio = np.sort(magnitude[drawn]) / np.sort(magnitude[chosen])
        assert (np.abs(np.log(ratio)) <= np.log(1.3) * 1.0001).all()
    loudest = np.array([int(np.argmax(magnitude[:100]))])
    with pytest.raises(ValueError, match="within=1.01: a neuron has too few stand-ins"):
        random_sets(loudest, (4, 100), 1, Match("magnitude", magnitude, within=1.01))
    others = np.arange(0, 100, 2)
    assert not np.isin(random_sets(np.array([1]), (4, 100), 50, Match("layer", never=others)), others).any()


def test_one_class_has_no_auroc():
    assert np.isnan(auroc(np.ones(4), np.arange(4)))


@pytest.mark.parametrize("match", ["none", "layer", "magnitude"])
def test_random_sets(match):
    magnitude = np.random.default_rng(0).lognormal(size=400)
    sets = random_sets(CHOSEN, (4, 100), 50, Match(match, magnitude), seed=1)
    for drawn in sets:
        assert len(set(drawn.tolist())) == len(CHOSEN)
        assert not set(drawn.tolist()) & set(CHOSEN.tolist())
        if match != "none":
            assert (drawn // 100).tolist() == [0, 0, 1, 3]
    assert len({tuple(s) for s in sets}) > 25
    if match == "magnitude":
        near = np.mean([np.abs(np.log(magnitude[s]) - np.log(magnitude[CHOSEN])).mean() for s in sets])
        loose = random_sets(CHOSEN, (4, 100), 50, Match("layer"), seed=1)
        assert near < np.mean([np.abs(np.log(magnitude[s]) - np.log(magnitude[CHOSEN])).mean() for s in loose])


def test_random_sets_are_spread_over_everything():
    sets = random_sets(CHOSEN, (4, 100), 2_000)
    counts = np.bincount(np.concatenate(sets), minlength=400)
    assert counts[CHOSEN].sum() == 0
    expected = 2_000 * 4 / 396
    assert np.abs(np.delete(counts, CHOSEN) - expected).max() < 6 * np.sqrt(expected)


def test_intervals_cover_the_truth_about_95_times_in_100():
    rng, hits = np.random.default_rng(0), 0
    for trial in range(200):
        estimate = bootstrap(mean, rng.normal(1.0, 2.0, 80), n=300, seed=trial)
        hits += estimate.low <= 1.0 <= estimate.high
    assert 178 <= hits <= 199


def test_groups_stand_or_fall_together():
    values, groups = np.repeat([0.0, 1.0] * 10, 10), np.repeat([str(i) for i in range(20)], 10).tolist()
    together, apart = bootstrap(mean, values, groups=groups), bootstrap(mean, values)
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_shuffling_keeps_the_labels():
    labels = np.arange(100) % 3
    assert sorted(shuffled(labels, 0)) == sorted(labels)
    assert not np.array_equal(shuffled(labels, 0), labels)


def test_bad_input():
    with pytest.raises(ValueError, match="match='both': choose none, layer or magnitude"):
        Match("both")
    with pytest.raises(ValueError, match="needs the magnitude"):
        Match("magnitude")
    with pytest.raises(ValueError, match="leave only 0 others"):
        random_sets(np.arange(4), (2, 2), 1)
    with pytest.raises(ValueError, match="columns of one length"):
        bootstrap(mean, np.array([]))
