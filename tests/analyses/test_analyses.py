"""What a claim is put to, on planted arrays with a known answer and on the tiny organism."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from shapes import Shape
from transformers import AutoModelForCausalLM

import hn_utils as hn
from hn_utils import analyses
from hn_utils.analyses import other_judges
from hn_utils.answers.examples import Example
from hn_utils.answers.judges import judge
from hn_utils.contributions.cett import Contributions, by_region
from hn_utils.contributions.collected import Collected
from hn_utils.models.generation import generate
from hn_utils.models.scaling import Dose
from hn_utils.probing.find import N_SELECTED
from hn_utils.questions.made_up_world.asking import texts
from hn_utils.questions.question import Question
from hn_utils.stats.bootstrap import bootstrap
from hn_utils.stats.metrics import mean
from hn_utils.steering.replies import text_loss
from hn_utils.study import Sampling, load_study

KINDS = ("trade", "dish")
OWN = {"trade": [3, 40], "dish": [77, 140]}  # neurons that are louder in made-up answers of one kind only
EVERYWHERE = [10, 90]
NONE = SimpleNamespace(h_neurons=np.array([], int))


def planted(shared: bool, seed: int = 0, n: int = 900) -> Collected:
    """Answers of two kinds; what tells made-up ones is either the same for both or each kind's own."""
    rng = np.random.default_rng(seed)
    labels, kinds = rng.integers(0, 2, n), rng.integers(0, 2, n)
    values = 0.05 * rng.lognormal(0, 0.5, (n, 4, 200))
    for i in range(n):
        louder = EVERYWHERE if shared else OWN[KINDS[kinds[i]]]
        values[i, 0, louder] *= np.exp(1.0 * labels[i])
    kept = []
    for i in range(n):
        split = ("train", "validation", "test")[i % 3]
        question = Question(str(i), "?", ("a",), f"e{i}", "standard", split, {"attribute": KINDS[kinds[i]]})
        kept.append(Example(question, [1, 2], [3], "x", int(labels[i]), [2], -rng.random()))
    regions = by_region([values.astype(np.float16)])
    return Collected(
        Shape(), load_study("organism"), [e.question for e in kept], [], kept, Contributions(regions, 2, 100)
    )


@pytest.mark.parametrize("shared", [True, False])
def test_what_is_shared_between_domains_carries_over_and_nothing_else(shared):
    crossed = analyses.across_domains(planted(shared), n_sets=10)
    assert crossed is not None
    assert crossed.names == sorted(KINDS)
    (within, by_chance), (across, across_chance) = crossed.mean(True), crossed.mean(False)
    assert within > 0.85
    assert by_chance > within - 0.1  # 3-vs-1 picks what fires at answers, whatever their labels
    assert abs(across - across_chance) < 0.15
    for name in KINDS:
        assert set(EVERYWHERE if shared else OWN[name]) <= set(crossed.sets[name].tolist())
    assert (across > 0.85) if shared else (abs(across - 0.5) < 0.15)
    assert crossed.union[0].value > 0.75
    if shared:
        assert crossed.intersection is not None
        assert crossed.intersection[0].value > 0.85
    else:
        assert crossed.intersection is None


def test_planted_truth_is_found_where_there_is_some_and_nothing_where_there_is_none():
    nothing, strong = analyses.planted_truth(ns=(300,), strengths=(0.0, 1.5), correlations=(0.3,), seeds=1)
    assert np.isnan(nothing.recall)
    assert nothing.false <= 1
    assert strong.recall >= 0.8
    assert strong.false <= 1


def test_domains_with_too_little_are_left_out():
    assert analyses.across_domains(planted(True, n=60)) is None


@pytest.fixture(scope="module")
def analysed(tiny_study):
    found = hn.find(hn.collect(hn.load(tiny_study)))
    return found.collected, analyses.everyday(found), analyses.until_it_breaks(found), found


def test_joint_scaling_of_one_neuron_by_hand(subject, study):
    ids, answer, layer, neuron = [1, 9, 12, 40, 33, 7, 21], [4, 5], 0, 17
    example = Example(Question("q", "?", ("a",), "e"), ids[:4], ids[4:], "", 1, answer, 0.0)
    model, seen = AutoModelForCausalLM.from_pretrained(study.instruct, dtype=torch.float32), {}
    model.model.layers[layer].mlp.down_proj.register_forward_hook(
        lambda module, z, h: seen.update(z=z[0][0].detach(), h=h[0].detach(), w=module.weight.detach())
    )
    model(torch.tensor([ids]))
    column = seen["w"][:, neuron]

    def contribution(alpha: float) -> float:
        """In the first layer nothing before the neuron changes: only what it says itself, and so the layer's sum."""
        said = seen["z"][answer, neuron]
        total = seen["h"][answer] + (alpha - 1) * said[:, None] * column
        return float((alpha * said.abs() * column.norm() / (total.norm(dim=1) + 1e-8)).mean())

    collected = SimpleNamespace(subject=subject, kept=[example], test_rows=lambda _: np.array([0]))
    found = SimpleNamespace(neurons=np.array([neuron]), collected=collected)
    factors = analyses.joint_scaling(found, (0.0, 1.0, 3.0))
    assert factors[:, 0] == pytest.approx([0, 1, contribution(3) / contribution(1)], rel=1e-4)


def test_everyday_answers_are_the_first_ones_and_keep_what_the_filter_drops(analysed):
    collected, day, *_ = analysed
    asked = [i for i, q in enumerate(collected.questions) if q.part == "standard" and q.split != "train"]
    assert [r[0].text for r in day.answers.responses] == [collected.responses[i][0].text for i in asked]
    verdicts = {q.id: r[0].verdict for q, r in zip(day.answers.questions, day.answers.responses, strict=True)}
    assert all(e.label == (verdicts[e.question.id] == "wrong") for e in day.answers.kept)
    consistent = {e.question.id for e in collected.kept}
    assert any(e.question.id not in consistent for e in day.answers.kept)
    own = day.detection(hn.Detector.H_NEURONS)
    assert list(day.calibrated) == ["as trained", "fitted to validation people"]
    assert all(
        risk[-1] == pytest.approx(np.mean(day.answers.labels[day.answers.rows("test")]))
        for risk in (*day.risk.values(), *day.control_risk)
    )
    assert own.auroc.n == len(day.answers.rows("test"))
    told = f"On {own.auroc.n} everyday answers the H-Neurons reach AUROC {own.auroc}, picks on shuffled labels 0."
    assert day.headline.startswith(told)
    assert len(day.control_risk) == N_SELECTED
    assert day.headline.endswith(str(day.added))


def test_rare_facts_are_told_from_made_up_ones_by_hand():
    def told(read: list[int]) -> str:
        """Six people; what the last three are said to have is made up."""
        kept = [
            Example(Question(str(i), "?", ("a",), str(i), strata={"exposure": n}), [], [], "", int(i > 2), [], 0.0)
            for i, n in enumerate(read)
        ]
        collected = SimpleNamespace(
            kept=kept, rows=lambda _: np.arange(6), labels=np.array([0, 0, 0, 1, 1, 1]), entities=np.arange(6)
        )
        return analyses.told_by_exposure(collected)

    rare = told([90, 80, 70, 3, 2, 1])
    assert rare.startswith("Rare facts are made up more often than others: how often")
    assert "AUROC 1.00 [1.00, 1.00] (n = 6; 0.5 is guessing)" in rare
    assert told([1, 2, 3, 70, 80, 90]).startswith("Rare facts are made up less often")
    assert told([5, 5, 5, 5, 5, 5]).startswith("Rare facts are made up no more often, as far as can be told, than")


def test_other_draws_and_another_judge_are_counted_by_hand(analysed, tiny_study, monkeypatch):
    collected = analysed[0]
    labels, seen = {}, []
    monkeypatch.setattr(other_judges, "fit_on", lambda *args: seen.append(args[0]) or SimpleNamespace(fit=NONE))
    study = replace(tiny_study, seed=1)
    found = SimpleNamespace(
        study=study, collected=replace(collected, study=study), probe=SimpleNamespace(region="answer", other="other")
    )
    sets = analyses.judged_again(found)
    assert list(sets) == ["the first 1 draws", "the last 1 draws", "exact match"]
    labels = [{e.question.id: e.label for e in again.kept} for again in seen]
    for i, question in enumerate(collected.questions):
        drawn = collected.responses[i]
        if question.part != "standard" or question.split == "test":
            assert question.id not in labels[0]
            continue
        for place, one in ((0, drawn[0]), (1, drawn[-1])):
            assert labels[place].get(question.id) == {"right": 0, "wrong": 1, "abstained": None}[one.verdict]
        said = {" ".join(r.text.lower().replace(".", "").split()) for r in drawn}
        if labels[2].get(question.id) == 0:
            assert said <= {alias.lower() for alias in question.aliases}


def test_breaking_starts_from_the_untouched_model(analysed, tiny_study):
    collected, _, broken, found = analysed
    assert broken.recall[0].value == 1  # only known facts are asked, and alpha 1 changes nothing
    assert (broken.control_recall[:, 0] == 1).all()
    assert broken.loss[0].value == pytest.approx(0, abs=1e-6)
    statements = texts(tiny_study)
    assert len({t.entity for t in statements}) < len(statements)  # several about one person are drawn together
    ends = [Dose(found.card.neurons, a) for a in (1.0, 40.0)]
    loss = text_loss(collected.subject, [t.text for t in statements], ends, tiny_study)
    assert broken.loss[-1] == bootstrap(mean, loss[:, 1] - loss[:, 0], groups=[t.entity for t in statements])


def test_the_paper_s_rule_weighs_accuracy_and_what_the_model_still_knows(analysed, tiny_study):
    collected, found = analysed[0], analysed[3]
    rule = analyses.by_paper_rule(found)
    assert len(rule.fits) == len(rule.accuracy) == len(rule.recall)
    sums = [a + r for a, r in zip(rule.accuracy, rule.recall, strict=True)]
    assert sums[rule.chosen] == max(sums)
    fit, rows = rule.fits[-1], collected.rows("validation")
    asked = [q for q in collected.questions if q.part == "standard" and q.split == "validation"]
    prompts = [
        collected.subject.encoder.encode_chat(
            [{"role": "user", "content": tiny_study.chat_prompt.format(question=q.text)}]
        )
        for q in asked
    ]
    with collected.subject.scaled(fit.h_neurons, by=0.0):
        replies = generate(collected.subject, prompts, Sampling(n=1, temperature=0.0, max_new_tokens=4))
    right = [judge(r.text, q.aliases) == "right" for (r,), q in zip(replies, asked, strict=True)]
    one = 1.5 / len(right)  # in other batches rounding may tip a reply
    assert rule.recall[-1] == pytest.approx(np.mean(right), abs=one)
    said = fit.score(collected.contributions[rows].at("answer")) > 0
    labels = collected.labels[rows]
    assert rule.accuracy[-1] == pytest.approx((said[labels == 1].mean() + (~said[labels == 0]).mean()) / 2)


def test_every_baseline_is_read_on_every_test_set(analysed):
    found = analysed[3]
    compared = analyses.compare(found)
    names = {d.name for d in compared.detections if d.test_set == "held-out entities"}
    assert {"entropy", "all neurons, L2 probe", "oracle: exposure in training"} <= names
    assert any(n.startswith("residual stream") for n in names)
    for name in names:
        assert len({d.test_set for d in compared.detections if d.name == name}) == len(
            {d.test_set for d in found.detections}
        )
