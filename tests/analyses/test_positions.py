"""The curve over positions: which token is which, and that what is planted at a position is found there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import hn_utils as hn
from hn_utils.analyses.positions import NONE, Here, at_position, common_ending, positions, read_rows
from hn_utils.contributions.cett import Contributions
from hn_utils.contributions.tall_matrix import TallMatrix


@pytest.fixture(scope="module")
def answers(subject):
    return hn.collect(subject, n_questions=300, sampling={"n": 2})


def test_each_position_is_the_token_that_its_name_says(answers):
    tokens = [answers.subject.encoder.tokenizer.convert_ids_to_tokens(e.ids) for e in answers.kept]
    places = positions(answers.subject.encoder, answers.kept)
    assert [p.name for p in places] == [
        "name",
        "?",
        "<|end|>",
        "<|assistant|>",
        "Answer",
        "before the answer",
        "answer 1",
        "answer 2",
    ] + [f"answer {k}" for k in range(3, len(places) - 5)]
    by_name = {p.name: p.at for p in places}
    for i, (example, row) in enumerate(zip(answers.kept, tokens, strict=True)):
        assert row[by_name["name"][i]] == example.question.entity.split()[-1]
        assert row[by_name["?"][i]] == "?"
        assert row[by_name["answer 1"][i]] == example.text.split()[0]
        assert by_name["answer 2"][i] == (example.answer[1] if len(example.answer) > 1 else NONE)


def test_common_ending():
    assert common_ending([[1, 2, 3], [4, 2, 3], [2, 3]]) == 2
    assert common_ending([[1], [2]]) == 0


def test_contributions_are_the_official_formula_at_that_position(answers):
    model = AutoModelForCausalLM.from_pretrained(answers.study.instruct, dtype=torch.float32)
    example, place = answers.kept[3], len(answers.kept[3].ids) - 2
    seen = {}
    down = model.model.layers[2].mlp.down_proj
    down.register_forward_hook(lambda _, inputs, out: seen.update(z=inputs[0][0, place], h=out[0, place]))
    with torch.no_grad():
        logits = model(torch.tensor([example.ids])).logits[0, place]
    official = seen["z"].abs() * down.weight.norm(dim=0) / (seen["h"].norm() + 1e-8)
    others = [answers.kept[0].ids, example.ids]
    ours = read_rows(answers.subject, others, np.array([1, place]))[0][1]
    d_mlp = answers.subject.d_mlp
    assert ours[2 * d_mlp : 3 * d_mlp] == pytest.approx(official.detach().numpy(), rel=2e-3, abs=1e-5)
    _, sure = read_rows(answers.subject, others, np.array([1, place]))
    assert sure[1] == pytest.approx(float(logits.log_softmax(-1).max()), abs=1e-4)


def test_what_is_planted_at_a_position_is_found_there_and_nowhere_else(answers):
    """Made-up numbers in place of contributions: three neurons know at one position, none at another. Answers are all
    that is given, 3-vs-1: what knows fires at answers, so that shuffled labels pick it, too, and it is not beyond
    them."""
    rng, n, width = np.random.default_rng(0), len(answers.kept), answers.subject.n_layers * answers.subject.d_mlp
    nothing = np.abs(rng.normal(0.01, 0.002, (n, width))).astype(np.float32)
    knowing = nothing.copy()
    planted = [5, 1_500, 4_000]
    knowing[:, planted] += 0.01 * answers.labels[:, None]
    other = TallMatrix([np.abs(rng.normal(0.01, 0.002, (n, width))).astype(np.float32)])
    points = []
    for values in (knowing, nothing):
        read = Contributions(
            {"answer": TallMatrix([values]), "other": other}, answers.subject.n_layers, answers.subject.d_mlp
        )
        points.append(at_position("here", Here(replace(answers, contributions=read), rng.normal(size=n))))
    there, elsewhere = points
    assert there.h_neurons.value > 0.95
    assert there.beyond.high < 0.1
    assert np.median(there.random) > 0.95
    assert there.dense.value < there.h_neurons.value - 0.2  # three among thousands: not what a dense probe looks for
    assert elsewhere.h_neurons is None or abs(elsewhere.h_neurons.value - 0.5) < 0.15
    assert abs(there.confidence.value - 0.5) < 0.15
