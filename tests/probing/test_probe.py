"""The probe recovers what was planted, and nothing from noise; C is chosen as stated; cards survive the disk."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from hn_utils.contributions.cett import Contributions, Labelled, by_region
from hn_utils.contributions.tall_matrix import TallMatrix
from hn_utils.probing.l1_path import Fit, c_grid, l1_path
from hn_utils.probing.probe import HNeurons, choose, fit_probe, h_neurons, refit, refits, three_vs_one
from hn_utils.stats.bootstrap import Estimate
from hn_utils.stats.metrics import auroc
from hn_utils.storage.cache import key_hash
from hn_utils.study import load_study

PLANTED = [10, 250, 399]
STUDY = load_study("organism")
MODEL = SimpleNamespace(
    name="folder/model",
    short_name="model",
    fingerprint="print",
    n_layers=2,
    d_mlp=200,
    study=STUDY,
    precision=STUDY.precision,
)
CARD = HNeurons("model", "print", "organism", "answer", 1.0, 0.0, 200, 2, [{"layer": 0, "neuron": 3, "weight": 1.0}])


def planted(n: int, seed: int, shift: float = 1.2) -> tuple[Contributions, np.ndarray]:
    """Heavy-tailed contributions of 2 layers x 200 neurons; three of them speak louder in hallucinated answers."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    values = 0.05 * rng.lognormal(0, 0.5, (n, 4, 400))
    values[:, 0, PLANTED] *= np.exp(shift * labels)[:, None]
    return Contributions(by_region([values.astype(np.float16)]), 2, 200), labels


def answers(read: Contributions, labels: np.ndarray) -> Labelled:
    """Read at the answer, each about somebody else."""
    return Labelled(read.at("answer"), labels, np.arange(len(labels)))


def test_three_vs_one_rows():
    values = np.arange(2 * 4 * 2, dtype=np.float16).reshape(2, 4, 2)  # example, region, neuron
    X, y = three_vs_one(Contributions(by_region([values]), 1, 2), np.array([1, 0]))
    assert y.tolist() == [1, 0, 0, 0]  # hallucinated answer; true answer; others of both
    assert X.columns(np.arange(2)).tolist() == [[0, 1], [8, 9], [2, 3], [10, 11]]


def test_recovers_planted_neurons_and_detects_unseen_answers():
    (train, labels), (validation, v), (test, t) = (planted(n, s) for n, s in ((600, 0), (200, 1), (300, 2)))
    probe = fit_probe(train, labels, answers(validation, v))
    card = h_neurons(probe, MODEL, STUDY)
    assert set(PLANTED) <= set(card.neurons.tolist())
    assert set(card.neurons[:3].tolist()) == set(PLANTED)  # the heaviest
    assert auroc(t, probe.fit.score(test.at("answer"))) > 0.9


def test_shuffled_labels_find_nothing_at_the_answer():
    (train, labels), (test, t) = planted(600, 0), planted(300, 2)
    rng, X = np.random.default_rng(5), train.at("answer")
    noise, noise_too = rng.permutation(labels), rng.permutation(t)  # nothing links these to the contributions
    scores = [auroc(noise_too, fit.score(test.at("answer"))) for fit in l1_path(X, noise, c_grid(X, noise, 12)[:6])]
    assert max(abs(s - 0.5) for s in scores) < 0.12


def test_three_vs_one_learns_where_answers_are_even_from_shuffled_labels():
    # Hallucinated answers alone are loud, so "answer or other token?" separates them whatever the labels say: the
    # reason why shuffled labels stand in the detection table, and why 0.5 is not what to compare with.
    (train, labels), (test, t) = planted(600, 0), planted(300, 2)
    X, y = three_vs_one(train, np.random.default_rng(5).permutation(labels))
    fit = l1_path(X, y, c_grid(X, y, 12)[5:6])[0]
    assert auroc(t, fit.score(test.at("answer"))) > 0.8


def test_the_sparsest_within_one_standard_error_is_chosen():
    estimates = [Estimate(v, v - 0.0196, v + 0.0196, 100) for v in (0.5, 0.785, 0.795, 0.80, 0.70)]
    path = [Fit(c, np.array([1]), np.array([1.0]), 0.0, 0.0, 0.5) for c in range(5)]
    assert choose(path, estimates)[0] == 2  # standard error 0.01: 0.785 is just outside, 0.795 inside
    uncertified = [*path[:2], replace(path[2], kkt_violation=0.1), *path[3:]]
    assert choose(uncertified, estimates)[0] == 3
    with pytest.raises(ValueError, match="no H-Neurons were found"):
        choose([replace(f, weights=np.array([-1.0])) for f in path], estimates)


def test_refits_are_the_same_from_disk(monkeypatch):
    train, labels = planted(300, 4)
    X, y = three_vs_one(train, labels)
    sets = [np.array(PLANTED), np.array([3, 8])]
    alone, fresh = [refit(X, y, neurons) for neurons in sets], refits(X, y, sets)
    monkeypatch.setattr("hn_utils.probing.probe.refit", None)  # fitting again would fail
    for fits in (fresh, refits(X, y, sets)):
        for fit, expected in zip(fits, alone, strict=True):
            assert np.array_equal(fit.neurons, expected.neurons)
            assert np.array_equal(fit.weights, expected.weights)
            assert fit.intercept == expected.intercept


def test_refit_keeps_to_its_neurons():
    train, labels = planted(300, 4)
    X, y = three_vs_one(train, labels)
    fit = refit(X, y, np.array(PLANTED))
    changed = X.columns(np.arange(400))
    changed[:, np.setdiff1d(np.arange(400), PLANTED)] = 9
    assert np.array_equal(fit.score(X), fit.score(TallMatrix([changed])))


def test_card_round_trip_and_damage(tmp_path):
    (train, labels), (validation, v) = planted(400, 0), planted(200, 1)
    card = h_neurons(fit_probe(train, labels, answers(validation, v)), MODEL, STUDY)
    card.save(tmp_path / "card.json")
    assert HNeurons.load(tmp_path / "card.json") == card
    content = json.loads((tmp_path / "card.json").read_text())
    content["rows"][0]["layer"] = 7
    (tmp_path / "card.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="outside 2 layers"):
        HNeurons.load(tmp_path / "card.json")
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(ValueError, match="not a card"):
        HNeurons.load(tmp_path / "card.json")


def test_a_card_belongs_to_one_model():
    (train, labels), (validation, v) = planted(400, 0), planted(200, 1)
    card = h_neurons(fit_probe(train, labels, answers(validation, v)), MODEL, STUDY)
    card.require(MODEL)
    precision = replace(STUDY, dtype="bfloat16", bits=8).precision
    halved = {"name": "folder/model", "fingerprint": "another", "precision": precision}
    told = (
        r"H-Neurons of model in float32 \(fingerprint print\), not of folder/model in 8 bits \(bfloat16\) \(another\)"
    )
    with pytest.raises(ValueError, match=told):
        card.require(SimpleNamespace(**halved))


def test_a_card_of_an_earlier_version_says_no_precision_and_is_not_damaged(tmp_path):
    old = {key: value for key, value in vars(CARD).items() if key != "precision"}
    (tmp_path / "card.json").write_text(json.dumps({**old, "digest": key_hash(old)}))
    assert HNeurons.load(tmp_path / "card.json") == replace(CARD, precision="unknown precision")


def test_bad_input():
    train, labels = planted(50, 0)
    with pytest.raises(ValueError, match=r"labels hold only \[1\]: a probe needs both 0 and 1"):
        fit_probe(train, np.ones(50, int), answers(train, labels))
    with pytest.raises(ValueError, match="40 labels do not fit 50 examples"):
        three_vs_one(train, labels[:40])
