"""A direction as a lever: a planted one is recovered, pushed as far as was said, and moves what it must."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from hn_utils.answers.examples import Example
from hn_utils.models.scaling import UNSCALED
from hn_utils.questions.items import Item
from hn_utils.questions.question import Question
from hn_utils.steering import by_direction as module
from hn_utils.steering.by_direction import by_direction, lever_of, pushed_log_odds
from hn_utils.steering.curves import GradedResponse
from hn_utils.steering.graded import cells_of, log_odds

NEURONS = np.array([3, 700, 1500])
LAYER = 2


def answers(subject, study, n: int = 40):
    """Answers of two words whose labels nothing in them tells."""
    rng = np.random.default_rng(0)
    kept = []
    for i in range(n):
        ids = [1, *rng.integers(5, 500, 5).tolist()]
        question = Question(str(i), "?", ("a",), f"e{i}", "standard", "train" if i < 30 else "validation")
        kept.append(Example(question, ids[:4], ids[4:], "x", i % 2, [4, 5], -1.0))
    labels = np.array([example.label for example in kept])
    rows = {"train": np.arange(30), "validation": np.arange(30, n)}
    return SimpleNamespace(
        kept=kept,
        labels=labels,
        study=replace(study, n_graded_sets=4),
        subject=subject,
        training_rows=lambda: rows["train"],
        rows=rows.__getitem__,
    )


@pytest.fixture
def found(subject, study):
    magnitude = np.full(subject.n_layers * subject.d_mlp, 0.01)
    magnitude[NEURONS] = (0.2, 0.1, 0.3)
    collected = answers(subject, study)
    return SimpleNamespace(
        collected=collected, neurons=NEURONS, magnitude=magnitude, subject=subject, study=collected.study, card="card"
    )


def test_a_planted_direction_is_recovered_and_shuffled_labels_lead_elsewhere(found, monkeypatch):
    """One layer's streams of hallucinated answers lie along a planted direction, as if that layer knew."""
    planted = np.random.default_rng(1).normal(size=128)
    planted /= np.linalg.norm(planted)
    read = module.streams_at
    labels = found.collected.labels

    def with_plant(*given):
        streams = read(*given).astype(float)
        streams[:, LAYER] += 40.0 * labels[:, None] * planted  # streams are some ten long
        return streams

    monkeypatch.setattr(module, "streams_at", with_plant)
    lever = lever_of(found)
    assert lever.layer == LAYER
    assert lever.unit @ planted > 0.95
    assert np.linalg.norm(lever.unit) == pytest.approx(1)
    assert lever.shuffled.shape == lever.random.shape == (4, 128)
    assert np.abs(lever.random @ planted).max() < 0.5


def test_it_is_pushed_so_far_that_it_disturbs_as_much_as_the_neurons(found, study):
    lever = lever_of(found)
    model = AutoModelForCausalLM.from_pretrained(study.instruct, dtype=torch.float32)
    lengths = {}
    model.model.layers[lever.layer].mlp.register_forward_hook(lambda m, x, h: lengths.update(of=h[0].norm(dim=-1)))
    shares = []
    for example in found.collected.kept[:30]:
        with torch.no_grad():
            model(torch.tensor([example.ids]))
        shares.append(float((lever.length / lengths["of"][example.answer]).mean()))
    assert np.mean(shares) == pytest.approx(0.6, rel=1e-3)  # 0.2 + 0.1 + 0.3


def items(n: int = 4) -> list[Item]:
    """People who are said to be born where they were not."""
    asked = []
    for i in range(n):
        said = f"Note: Kriskel Govstad was born in Corin. Where was Kriskel Govstad born? {'Answer only. ' * i}"
        asked.append(Item(str(i), "compliance", (said,), truth="Hythe", claim="Corin", entity=f"e{i}"))
    return asked


def test_a_planted_direction_moves_the_odds_both_ways_and_a_random_one_does_not(subject, study):
    """Behind the last layer stands the final norm alone: what points from the truth's token to the claim's there makes
    the claim likelier."""
    asked = items(2)
    cell = cells_of(subject, asked, study)[0]
    unembedding = subject.model.get_output_embeddings().weight.detach()
    towards = unembedding[cell.claim[0]] - unembedding[cell.truth[0]]
    random = torch.randn(len(towards), generator=torch.Generator().manual_seed(0))
    random *= towards.norm() / random.norm()
    pushes = torch.stack([0 * towards, 5 * towards, -5 * towards, 5 * random]).numpy()
    odds = pushed_log_odds(subject, asked, subject.n_layers - 1, pushes, study)
    up, down, at_random = (odds[:, 1:] - odds[:, :1]).T
    assert (up > 1).all()
    assert (down < -1).all()
    assert (np.abs(at_random) < 0.5 * np.minimum(up, -down)).all()
    np.testing.assert_allclose(odds[:, 0], log_odds(subject, asked, [UNSCALED], study)[:, 0], atol=1e-3)


def test_both_levers_stand_side_by_side(found, subject):
    study = found.study
    asked = items()
    untouched = log_odds(subject, asked, [UNSCALED], study)  # [item, 1]
    values = untouched + np.array([[-1.0, 0.0, 2.0]])  # the neurons' slope is 1 nat per alpha
    neurons = GradedResponse("compliance", asked, np.array([0.0, 1.0, 3.0]), values, np.empty((0, len(asked), 3)))
    result = by_direction(found, SimpleNamespace(graded={"compliance": neurons}, card="card"))
    curve = result.curves["compliance"]
    np.testing.assert_allclose(curve.values[:, 1], untouched[:, 0])
    lever = result.lever
    pushes = np.stack([-lever.length * lever.unit, 2 * lever.length * lever.unit])
    expected = pushed_log_odds(subject, asked, lever.layer, pushes, study)
    np.testing.assert_allclose(curve.values[:, [0, 2]], expected, atol=1e-4)
    assert curve.control_values.shape == curve.loud.control_values.shape == (4, len(asked), 3)
    weights = np.array([0.0, 1.0, 3.0]) - 4 / 3
    slope = float((curve.values @ weights / (weights @ weights)).mean())
    assert result.lead("compliance").value == pytest.approx(1.0 - abs(slope))
    (row,) = result.table.to_dict("records")
    assert row["slope, direction"].value == pytest.approx(slope)
    assert row["slope, H-Neurons"].value == pytest.approx(1.0)
    assert "not" in row["verdict, direction"] or "too few" in row["verdict, direction"]


def test_curves_of_other_neurons_are_refused(found):
    with pytest.raises(ValueError, match="graded curves of these H-Neurons"):
        by_direction(found, SimpleNamespace(graded={"compliance": None}, card="another"))
    with pytest.raises(ValueError, match="graded curves of these H-Neurons"):
        by_direction(found, SimpleNamespace(graded={}, card="card"))
