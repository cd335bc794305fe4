"""Random sets match what they claim, intervals cover, AUROC is the textbook's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

from hn_utils.stats.bootstrap import Estimate, auroc_difference, beyond_random, bootstrap
from hn_utils.stats.metrics import accuracy, auroc, average_precision, mean
from hn_utils.stats.neuron_sets import Control, Match, control_of, loud_sets, random_sets
from hn_utils.stats.rank_test import shuffled

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


def test_random_sets_as_loud_as_the_chosen_together():
    magnitude = np.random.default_rng(0).lognormal(size=400)
    chosen = np.argsort(-magnitude[:100])[:2]  # the loudest of their layer, and one of another
    chosen = np.append(chosen, 250)
    for drawn in loud_sets(chosen, (4, 100), magnitude, 30):
        assert set(drawn // 100) == {0, 2}
        assert len(drawn) == len(set(drawn.tolist())) > 3
        assert not np.isin(drawn, chosen).any()
        for layer in (0, 2):
            own, theirs = (magnitude[some[some // 100 == layer]].sum() for some in (chosen, drawn))
            assert abs(theirs - own) <= 0.1 * own
        assert control_of(drawn, chosen, magnitude).alpha(3.0) == 3.0


def test_where_all_others_are_quieter_together_they_are_all_taken():
    magnitude = np.array([10.0, 1, 2, 3])
    (drawn,) = loud_sets(np.array([0]), (1, 4), magnitude, 1)
    assert drawn.tolist() == [1, 2, 3]
    assert control_of(drawn, np.array([0]), magnitude).loudness == pytest.approx(0.6)


def test_a_quieter_set_is_turned_further_and_a_louder_one_less_far():
    half, double, equal = (Control(np.array([1]), loudness) for loudness in (0.5, 2.0, 1.05))
    assert half.alpha(3.0) == 5.0  # twice as far from 1
    assert double.alpha(3.0) == 2.0
    assert double.alpha(0.0) == 0.5
    assert half.alpha(0.0) == 0.0  # it would have to be -1
    assert (equal.alpha(3.0), equal.alpha(0.0)) == (3.0, 0.0)  # within 10 %
    assert [control.alpha(1.0) for control in (half, double, equal)] == [1.0, 1.0, 1.0]
    assert half.disturbance(3.0) == double.disturbance(3.0) == double.disturbance(0.0) == 1.0
    assert half.disturbance(0.0) == 0.5
    silent = Control(np.array([1]), 0.0)
    assert silent.alpha(3.0) == 41.0  # 20 times as far, and no further
    assert silent.disturbance(3.0) == 0.0


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


@pytest.mark.parametrize(
    ("low", "high", "null", "direction"),
    [
        (0.1, 0.2, 0.0, 1),
        (-0.2, -0.1, 0.0, -1),
        (-0.1, 0.1, 0.0, 0),
        (0.0, 0.1, 0.0, 0),  # an interval that ends at the null is not told apart from it
        (-0.1, 0.0, 0.0, 0),
        (0.0, 0.0, 0.0, 0),
        (0.5, 0.6, 0.5, 0),
        (0.51, 0.6, 0.5, 1),
        (0.4, 0.49, 0.5, -1),
        (np.nan, np.nan, 0.0, 0),
    ],
)
def test_a_direction_is_strict_at_the_null(low, high, null, direction):
    assert Estimate((low + high) / 2, low, high, 10).direction(null) == direction
