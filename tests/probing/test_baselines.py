"""Baselines against hand-worked numbers and plain transformers; nested models on planted truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import AutoModelForCausalLM

from hn_utils.answers.examples import Example
from hn_utils.contributions.tall_matrix import TallMatrix
from hn_utils.probing.baselines import (
    Added,
    Scored,
    added,
    coordinates,
    l2_probe,
    matched_pairs,
    read,
    residual_probe,
    words_probe,
)
from hn_utils.questions.question import Question
from hn_utils.stats.bootstrap import Estimate
from hn_utils.stats.metrics import auroc

ROWS = [([1, 9, 12, 40, 33, 7, 21], [4, 5]), ([1, 5, 6, 7, 8, 9, 10, 11, 12], [7])]


def test_readings_are_those_of_plain_transformers(subject, study):
    examples = [Example(Question("q", "?", ("a",), "e"), ids[:4], ids[4:], "", 1, at, 0.0) for ids, at in ROWS]
    ours = read(subject, examples, study)
    model = AutoModelForCausalLM.from_pretrained(study.instruct, dtype=torch.float32)
    for i, (ids, answer) in enumerate(ROWS):
        with torch.no_grad():
            out = model(torch.tensor([ids]), output_hidden_states=True)
        for layer, stream in enumerate(out.hidden_states[1:]):
            np.testing.assert_allclose(ours.residual[i, layer], stream[0, answer].mean(0), rtol=1e-4, atol=1e-5)
        entropies, margins = [], []
        for position in answer:  # the prediction of a token stands one position before it
            p = np.sort(out.logits[0, position - 1].double().softmax(-1).numpy())
            entropies.append(-sum(x * np.log(x) for x in p if x > 0))
            margins.append(np.log(p[-1] / p[-2]))
        assert ours.entropy[i] == pytest.approx(np.mean(entropies), rel=1e-4)
        assert ours.margin[i] == pytest.approx(np.mean(margins), rel=1e-3)
        assert ours.length[i] == len(answer)


def test_pairs_are_of_equal_confidence_and_used_once():
    sure = np.array([-0.1, -0.2, -3.0, -0.12, -0.21, -9.0])
    labels = np.array([0, 0, 0, 1, 1, 1])
    assert sorted(matched_pairs(sure, labels, np.arange(6))) == [(0, 3), (1, 4)]  # -3 and -9 have no partner
    shared = np.array(["a", "b", "c", "d", "a", "e"])  # answers 0 and 4 are about one person: the closer pair is kept
    assert matched_pairs(sure, labels, shared) == [(1, 4)]
    assert matched_pairs(sure, labels, np.array(["a", "b", "c", "a", "d", "e"])) == [(1, 4), (0, 3)]  # one person alone


def test_what_pairs_of_equal_confidence_tell():
    def told(value: float, low: float, high: float) -> str:
        return str(Added(Estimate(0, 0, 0, 9), Estimate(value, low, high, 122), 0.43, 122))

    assert told(0.42, 0.33, 0.51) == (
        "of 122 pairs of equal confidence the H-Neurons order 0.42 [0.33, 0.51] rightly, picks on shuffled labels "
        "0.43: "
        "not told apart from one half"
    )
    assert told(0.60, 0.55, 0.65).endswith("more than one half")
    assert told(0.40, 0.35, 0.45).endswith("less than one half")
    assert "7 pairs of equal confidence are too few" in str(Added(Estimate(0, 0, 0, 9), None, None, 7))


def test_intervals_over_pairs_are_over_people():
    """A score that sees all that half the people make up, and none of it in the others: many pairs of few people tell
    little, and the truth, 0.5, must be covered."""
    rng, hits = np.random.default_rng(6), 0
    for _ in range(40):
        people, labels, sure = np.repeat(np.arange(50), 6), np.tile([0, 1], 150), rng.normal(size=300)
        own = labels * rng.choice([-1, 1], 50)[people]
        result = added(Scored(own, sure, labels, people), Scored(own, sure, labels, people), own[:, None])
        hits += result.matched.low <= 0.5 <= result.matched.high
    assert hits >= 35


def planted(seed: int, adds: bool):
    """Right and wrong answers that differ in confidence; a score that knows confidence, or knows more."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 600)
    sure = -1.0 * labels + rng.normal(size=600)
    own = -sure + rng.normal(size=600) + (1.5 * labels if adds else 0)
    return labels, sure, own


@pytest.mark.parametrize("adds", [True, False])
def test_what_is_added_to_confidence(adds):
    labels, sure, own = planted(0, adds)
    before = planted(1, adds)
    control = np.random.default_rng(2).normal(size=(600, 20))
    validation = Scored(before[2], before[1], before[0], np.arange(600))
    result = added(validation, Scored(own, sure, labels, np.arange(600)), control)
    assert result.n_pairs > 50
    assert result.matched_control == pytest.approx(0.5, abs=0.05)
    if adds:
        assert result.beyond.low > 0
        assert result.matched.low > 0.5
        pairs = matched_pairs(sure, labels, np.arange(600))
        assert result.matched.value == np.mean([own[wrong] > own[right] for right, wrong in pairs])
    else:
        assert result.beyond.low <= 0 <= result.beyond.high + 0.005
        assert result.matched.low < 0.5 < result.matched.high


def test_without_overlap_it_cannot_be_said():
    labels = np.repeat([0, 1], 100)
    sure, own = -5.0 * labels, np.random.default_rng(0).normal(size=200)
    answers = Scored(own, sure, labels, np.arange(200))
    result = added(answers, answers, own[:, None])
    assert (result.n_pairs, result.matched, result.matched_control) == (0, None, None)


def test_dense_probes_find_a_planted_direction_and_nothing_in_noise():
    rng = np.random.default_rng(0)
    labels, residual = rng.integers(0, 2, 300), rng.normal(size=(300, 3, 20))
    residual[:, 1] += 1.2 * labels[:, None] * (np.arange(20) < 4)  # layer 1 knows
    train, validation, test = np.arange(150), np.arange(150, 200), np.arange(200, 300)
    layer, scores = residual_probe(residual, labels, train, validation)
    assert layer == 1
    assert auroc(labels[test], scores[test]) > 0.85
    noise = rng.permutation(labels)
    _, scores = l2_probe(residual[:, 0], noise, train, validation)
    assert 0.35 < auroc(noise[test], scores[test]) < 0.65


def test_a_dense_probe_on_coordinates_is_the_one_on_all_columns(monkeypatch):
    monkeypatch.setattr("hn_utils.probing.baselines.BLOCK", 7_000)  # several blocks of columns
    rng = np.random.default_rng(1)
    X = rng.lognormal(size=(120, 400)).astype(np.float32)
    X[:, 7] = 3.0  # a dead neuron
    labels, train = rng.integers(0, 2, 120), rng.permutation(120)[:70]
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, tol=1e-8, max_iter=2_000))
    expected = plain.fit(X[train], labels[train]).decision_function(X)
    features = coordinates(TallMatrix([X]), train)
    assert features.shape[1] < 70
    model = LogisticRegression(C=0.1, tol=1e-8, max_iter=2_000).fit(features[train], labels[train])
    np.testing.assert_allclose(model.decision_function(features), expected, rtol=1e-3, atol=1e-3)


def said(rng: np.random.Generator, labels: np.ndarray, telling: bool) -> list[str]:
    """Answers that are no two the same; with `telling` most of the made-up ones hold one of two words, wherever it
    stands and however it is written."""
    texts = []
    for i, label in enumerate(labels):
        words = [f"Name{i}", *rng.choice(["north", "hill", "river", "old", "green", "lake"], 2, replace=False)]
        if telling and rng.random() < (0.9 if label else 0.1):
            words.insert(rng.integers(4), rng.choice(["Great", "great,", "GREAT", "Corin"]))
        texts.append(" ".join(words) + rng.choice(["", "."]))
    return texts


def test_the_words_of_an_answer_tell_what_is_planted_in_them_and_nothing_else():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 600)
    train, validation, test = np.arange(300), np.arange(300, 400), np.arange(400, 600)
    scores = words_probe(said(rng, labels, True), labels, train, validation)
    assert auroc(labels[test], scores[test]) == pytest.approx(0.9, abs=0.06)  # nine of ten have a word, one of ten not
    scores = words_probe(said(rng, labels, False), labels, train, validation)
    assert 0.4 < auroc(labels[test], scores[test]) < 0.6


def test_words_are_read_one_by_one_and_those_that_training_lacks_tell_nothing():
    texts = ["Great Corin", "Old Essel", "Corin, the Great", "Old Hythe", "GREAT PARIS", "old Lyon", "Ys", ""]
    labels = np.array([1, 0, 1, 0, 1, 0, 1, 0])
    scores = words_probe(texts, labels, np.arange(4), np.arange(2, 6))
    assert scores[4] > scores[6] > scores[5]  # neither answer was given in training, but "great" and "old" were
    assert scores[6] == scores[7]
    assert scores[0] > scores[4]
    no_words = words_probe(["?", "!", "", "..."], np.array([0, 1, 0, 1]), np.arange(2), np.arange(2, 4))
    assert no_words.tolist() == [0, 0, 0, 0]
