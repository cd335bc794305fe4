"""CETT against numbers worked by hand, and against the paper's formula written again on plain transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from hn_utils.answers.examples import Example
from hn_utils.contributions.cett import REGIONS, capture, contribution, mean_contributions
from hn_utils.questions.question import Question


def test_by_hand():
    # z = (3, -2), columns of W_down (2, 0) and (0, 4): the layer writes 3*(2, 0) - 2*(0, 4) = (6, -8), of length 10
    post = torch.tensor([3.0, -2.0])
    shares = contribution(post, torch.tensor([2.0, 4.0]), torch.tensor([6.0, -8.0]))
    assert shares.tolist() == pytest.approx([0.6, 0.8])


def test_a_silent_layer_gives_no_infinity():
    assert contribution(torch.zeros(2), torch.ones(2), torch.zeros(3)).tolist() == [0.0, 0.0]


def example(ids: list[int], answer: list[int]) -> Example:
    return Example(Question("q", "?", ("a",), "e"), ids[:4], ids[4:], "", 1, answer, 0.0)


def official(folder: str, ids: list[int], answer: list[int]) -> np.ndarray:
    """The paper's definition, a token at a time, on an untouched Hugging Face model: [region, layer, neuron]."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    seen = {}
    for i, layer in enumerate(model.model.layers):
        layer.mlp.down_proj.register_forward_hook(
            lambda module, inputs, output, i=i: seen.__setitem__(i, (inputs[0][0], output[0], module.weight))
        )
    with torch.no_grad():
        model(torch.tensor([ids]))
    others = [t for t in range(len(ids)) if t not in answer]
    groups = (answer, others, [answer[0] - 1], [t for t in others if t != 0])
    values = []
    for group in groups:
        per_layer = []
        for z, h, weight in (seen[i] for i in range(len(model.model.layers))):
            tokens = [
                [
                    abs(float(z[t, j])) * float(weight[:, j].norm()) / (float(h[t].norm()) + 1e-8)
                    for j in range(z.shape[1])
                ]
                for t in group
            ]
            per_layer.append(np.mean(tokens, axis=0))
        values.append(per_layer)
    return np.array(values)


# Tolerance: 1e-5 of the value, or a millionth of the layer's output where a neuron is all but silent (float32).
ROWS = ([1, 9, 12, 40, 33, 7, 21], [4, 5]), ([1, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14], [7]), ([1, 50, 60, 70, 80], [4])


@pytest.mark.parametrize("which", ["subject", "stories"])
def test_equals_the_official_formula_padded_or_not(which, request):
    subject = request.getfixturevalue(which)
    together = mean_contributions(subject, [example(*row) for row in ROWS]).cpu().numpy()
    for i, (ids, answer) in enumerate(ROWS):
        alone = mean_contributions(subject, [example(ids, answer)]).cpu().numpy()[0]
        np.testing.assert_allclose(together[i], alone, rtol=1e-5, atol=1e-6)
    ids, answer = ROWS[0]
    np.testing.assert_allclose(together[0], official(subject.name, ids, answer), rtol=1e-5, atol=1e-6)


def test_capture_keeps_order_and_regions(subject, study):
    examples = [example(*row) for row in ROWS]
    stored = capture(subject, examples, study)
    direct = mean_contributions(subject, examples).flatten(2).cpu().numpy()
    for r, region in enumerate(REGIONS):
        read = stored.at(region).columns(np.arange(direct.shape[2]))
        np.testing.assert_allclose(read, direct[:, r], rtol=2e-3, atol=1e-6)  # float16 on disk


def test_bad_input(subject, study):
    with pytest.raises(ValueError, match="needs examples with a label"):
        capture(subject, [], study)
    with pytest.raises(ValueError, match="unknown region 'prompt'"):
        capture(subject, [example(*ROWS[0])], study).at("prompt")
