"""Every supported family takes all four steps, on random weights and one on trained ones; contributions equal the
official formula on each."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from families import FAMILIES, make_checkpoint, never_cut, published_files, with_template
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

import hn_utils as hn
from hn_utils.answers.examples import Example
from hn_utils.contributions.cett import mean_contributions
from hn_utils.models.generation import generate
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.likelihoods import token_logprobs
from hn_utils.probing import find
from hn_utils.questions.question import Question
from hn_utils.study import PRESETS, REAL, Sampling, Study

GREEDY = Sampling(n=2, temperature=0.0, max_new_tokens=5)
PROMPTS = ["Where was the otter born?", "What does the shy goose eat in the town?", "Which pet keeps the lazy heron?"]


@pytest.fixture(scope="module", params=[*FAMILIES, "stories260K"])
def family(request):
    return request.param


@pytest.fixture(scope="module")
def made(family, request):
    """Makes a checkpoint of the family in a folder; of real, trained weights there is one, whatever the seed."""
    if family in FAMILIES:
        return partial(make_checkpoint, family)
    trained = request.getfixturevalue("stories_folder")
    return lambda folder, seed=0: with_template(trained, folder, seed)


@pytest.fixture(scope="module")
def folder(family, made, tmp_path_factory):
    return made(tmp_path_factory.mktemp(family) / "instruct")


@pytest.fixture(scope="module")
def bare() -> Study:
    return Study(
        name="test", instruct="", base="", questions="published", device="cpu", dtype="float32", sampling=GREEDY
    )


@pytest.fixture(scope="module")
def model(folder, bare) -> HookedModel:
    return HookedModel.load(str(folder), bare)


def examples(model: HookedModel) -> list[Example]:
    asked = []
    for i, text in enumerate(PROMPTS):
        ids = model.encoder.encode_chat([{"role": "user", "content": text}])
        answer = model.encoder.tokenizer(" a silver flute maker", add_special_tokens=False)["input_ids"][: 2 + i]
        positions = list(range(len(ids), len(ids) + len(answer)))
        asked.append(Example(Question("q", text, ("a",), "e"), ids, answer, "", 1, positions, 0.0))
    return asked


def plain(folder, dtype=torch.float32):
    kind = AutoModelForImageTextToText if "multimodal" in str(folder) else AutoModelForCausalLM
    return kind.from_pretrained(folder, dtype=dtype)


def official(folder, example: Example, dtype=torch.float32) -> np.ndarray:
    """The paper's formula on an untouched Hugging Face model, [region, layer, neuron]: answer, other, before, body."""
    model = plain(folder, dtype)
    text = model.get_decoder()
    seen = {}
    for i, layer in enumerate(text.layers):
        layer.mlp.down_proj.register_forward_hook(
            lambda module, inputs, output, i=i: seen.__setitem__(i, (inputs[0][0], output[0], module.weight))
        )
    with torch.no_grad():
        model(torch.tensor([example.ids]))
        shares = torch.stack(
            [
                z.float().abs() * w.float().norm(dim=0) / (h.float().norm(dim=-1, keepdim=True) + 1e-8)
                for z, h, w in (seen[i] for i in range(len(seen)))
            ]
        )
    other = [t for t in range(len(example.ids)) if t not in example.answer]
    groups = (example.answer, other, [example.answer[0] - 1], [t for t in other if t != 0])
    return torch.stack([shares[:, group].mean(1) for group in groups]).numpy()


def test_contributions_equal_the_official_formula_padded_or_not(model, folder):
    asked = examples(model)
    together = mean_contributions(model, asked).numpy()
    for i, example in enumerate(asked):
        expected = official(folder, example)
        np.testing.assert_allclose(together[i], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(mean_contributions(model, [example]).numpy()[0], expected, rtol=1e-5, atol=1e-6)


def test_bfloat16_is_applied_and_agrees(family, folder, bare):
    if family == "olmo2":
        pytest.skip("TransformerLens 4.3 mixes dtypes in OLMo 2's attention: its preset stays in float32")
    half = HookedModel.load(str(folder), replace(bare, dtype="bfloat16"))
    assert "torch.bfloat16" in half.checked[1]
    asked = examples(half)
    together = mean_contributions(half, asked).numpy()
    for i, example in enumerate(asked):
        expected = official(folder, example, torch.bfloat16)
        assert np.linalg.norm(together[i] - expected) < 0.05 * np.linalg.norm(expected)


def test_greedy_generation_is_hugging_face_s_in_any_batch(model, folder):
    prompts = [e.prompt_ids for e in examples(model)]
    together = generate(model, prompts, Sampling(n=2, temperature=0.0, max_new_tokens=8))
    untouched = plain(folder)
    for prompt, both in zip(prompts, together, strict=True):
        ids = torch.tensor([prompt])
        expected = untouched.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
        assert both[0].ids == both[1].ids == expected[0, len(prompt) :].tolist()[: len(both[0].ids)]


def test_draws_that_part_on_the_way_are_each_read_as_they_were_written(model):
    prompts = [e.prompt_ids for e in examples(model)]
    for prompt, drawn in zip(prompts, generate(model, prompts, Sampling(n=8, max_new_tokens=12), seed=1), strict=True):
        assert len({tuple(r.ids) for r in drawn}) > 1
        again = token_logprobs(model, [prompt + r.ids for r in drawn])
        for response, row in zip(drawn, again, strict=True):
            torch.testing.assert_close(torch.tensor(response.logprobs), row[len(prompt) - 1 :], rtol=1e-4, atol=1e-4)


def test_what_was_checked_is_told(model, family):
    text = " ".join(model.checked)
    assert f"{model.n_layers} layers of {model.d_mlp} gated neurons" in text
    assert "chat template present" in text
    begin = model.encoder.tokenizer.bos_token_id
    assert model.encoder.encode_chat([{"role": "user", "content": "a"}]).count(begin) == (
        0 if family.startswith(("qwen", "olmo")) else 1
    )


def test_all_four_steps(model, made, folder, bare, tmp_path, monkeypatch):
    never_cut(monkeypatch)
    monkeypatch.setattr(find, "N_RANDOM_PROBES", 3)
    monkeypatch.setattr(find, "N_SELECTED", 2)
    base = made(tmp_path / "base", seed=1)
    study = replace(
        bare,
        instruct=str(folder),
        base=str(base),
        sets=("popqa", "nonexist", "faitheval"),
        sources=published_files(model, bare, tmp_path),
        n_grid=4,
        n_control_sets=2,
        base_stop="\n",
    )
    model = hn.load(study)
    collected = hn.collect(model)
    kinds = {e.label for e in collected.kept if e.question.part == "standard"}
    assert kinds == {0, 1}
    found = hn.find(collected)
    assert found.card.n_layers == model.n_layers
    assert all(np.isfinite(read.mean()).all() for read in collected.contributions.regions.values())
    intervened = hn.dose_response(model, found)
    assert intervened.text.loss.shape[1] == 7
    assert np.allclose(intervened.text.loss[:, 2], intervened.text.control_loss[:, :, 1], atol=1e-5)
    assert set(intervened.behaviours) == {"misleading_context"}
    assert len(intervened.behaviours["misleading_context"].items) == 6  # of one row nobody knows the truth: all kept
    origins = hn.look_back(found)
    assert origins.drift.score.shape == (model.n_layers * model.d_mlp,)


@pytest.mark.parametrize(("bits", "error"), [(8, 0.02), (4, 0.12)])
def test_quantised_models_are_read_and_scaled_through_hooks(bits, error, bare, tmp_path):
    pytest.importorskip("bitsandbytes")
    folder = str(make_checkpoint("llama", tmp_path / "wide", hidden_size=64, intermediate_size=128))
    full, small = HookedModel.load(folder, bare), HookedModel.load(folder, replace(bare, bits=bits))
    for layer, name in ((0, "W_in"), (1, "W_gate"), (2, "W_out")):  # packed weights are read off what the layer does
        expected = getattr(full, name)(layer)
        assert (getattr(small, name)(layer) - expected).norm() < error * expected.norm()
    neurons, row = np.array([3, 130, 300]), [[1, 5, 6, 7, 90, 12]]
    with small.scaled(neurons, by=0.0):
        silenced = token_logprobs(small, row)[0]
    untouched = token_logprobs(small, row)[0]
    for flat in neurons:  # the same, by hooks of our own on the quantised layers
        layer = small.model.model.layers[flat // 128].mlp.down_proj
        mask = torch.ones(128).index_fill(0, torch.tensor([flat % 128]), 0)
        layer.register_forward_pre_hook(lambda _, inputs, mask=mask: (inputs[0] * mask, *inputs[1:]))
    by_hand = token_logprobs(small, row)[0]
    assert (silenced - by_hand).abs().max() < 1e-3
    assert (silenced - untouched).abs().max() > 0.05


def test_presets_name_both_models_and_the_paper_s_six_are_there():
    assert {"mistral-7b", "mistral-24b", "gemma-3-4b", "gemma-3-27b", "llama-3.1-8b", "llama-3.3-70b"} <= set(PRESETS)
    for study in REAL:
        assert study.instruct != study.base
        assert study.questions == "published"
