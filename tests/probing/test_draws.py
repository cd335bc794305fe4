"""Draws of an answer: hand-made groups, and the official formulas written again."""

from __future__ import annotations

import numpy as np
import pytest

from hn_utils.probing.draws import eigen_score, meanings, naive_entropy, same_meaning, semantic_entropy


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([0] * 10, 0.0),
        (range(10), np.log(10)),
        ([0, 0, 1, 1], np.log(2)),
        ([0, 0, 0, 1], 0.75 * np.log(4 / 3) + 0.25 * np.log(4)),
        ([2, 0, 2, 5], 1.5 * np.log(2)),  # the numbers of the groups say nothing
        ([0], 0.0),
    ],
)
def test_the_entropy_of_hand_made_groups(groups, expected):
    assert semantic_entropy(np.array(groups)) == pytest.approx(expected)


def test_draws_that_mean_the_same_are_one_group():
    texts = ["Paris", "Rome", "the Paris.", "PARIS", "I do not know.", "Paris, Texas", "", "rome"]
    assert meanings(texts).tolist() == [0, 1, 0, 0, 2, 3, 2, 1]
    assert semantic_entropy(meanings(texts)) == pytest.approx(
        -(3 * np.log(3 / 8) + 2 * np.log(2 / 8) * 2 + np.log(1 / 8)) / 8
    )


def test_meaning_goes_both_ways():
    assert not same_meaning("Central Java", "Java")
    assert same_meaning("4 July 1776", "July 4, 1776")
    assert not same_meaning("I do not know.", "Paris")
    assert same_meaning("I do not know.", "No idea.")


def test_naive_entropy_counts_each_draw_by_the_mean_of_its_tokens():
    assert naive_entropy([[-1.0, -3.0], [-4.0]]) == 3.0
    with pytest.raises(ValueError, match="at least one token"):
        naive_entropy([[-1.0], []])


def official_eigen_score(embeddings: np.ndarray) -> float:
    """As alibaba/eigenscore has it: singular values of the covariance of rows, each a variable, plus alpha on the
    diagonal."""
    count, width = embeddings.shape
    centred = embeddings - embeddings.mean(axis=1).reshape(count, 1)
    covariance = sum(np.outer(centred[:, j], centred[:, j]) for j in range(width)) / (width - 1)
    for i in range(count):
        covariance[i, i] += 1e-3
    singular = np.linalg.svd(covariance)[1]
    return float(sum(np.log10(singular)) / count)


def test_eigen_score_is_the_official_one():
    rng = np.random.default_rng(0)
    for scale in (0.01, 1.0, 30.0):
        states = scale * rng.normal(size=(10, 64)).astype(np.float32)
        assert eigen_score(states) == pytest.approx(official_eigen_score(states.astype(float)), rel=1e-6)


@pytest.mark.parametrize(("count", "size"), [(2, 1.0), (10, 1.0), (10, 0.3)])
def test_eigen_score_of_draws_that_are_all_the_same_by_hand(count, size):
    row = size * np.array([1.0, -1.0, 2.0, -2.0, 0.5])
    variance = row.var(ddof=1)
    expected = (np.log10(count * variance + 1e-3) - 3 * (count - 1)) / count  # one eigenvalue is left
    assert eigen_score(np.tile(row, (count, 1))) == pytest.approx(expected)


def test_eigen_score_rises_as_draws_part():
    rng = np.random.default_rng(1)
    same = np.tile(rng.normal(size=32), (10, 1))
    apart = [eigen_score(same + spread * rng.normal(size=(10, 32))) for spread in (0.0, 0.3, 1.0)]
    assert apart == sorted(apart)


def test_too_few_draws_are_refused():
    with pytest.raises(ValueError, match="give two or more"):
        eigen_score(np.ones((1, 8)))
    with pytest.raises(ValueError, match="at least one draw"):
        semantic_entropy(np.array([], int))
