"""The hooked model is the model: its weights, its identity, and what of it is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    GPTNeoXConfig,
    Lfm2Config,
    MixtralConfig,
)

from hn_utils.analyses.positions import read_rows
from hn_utils.answers.examples import Example
from hn_utils.contributions.cett import mean_contributions, token_contributions
from hn_utils.models import allocation
from hn_utils.models.booting import installing_nothing
from hn_utils.models.generation import generate
from hn_utils.models.hooked_model import HookedModel, weights_unchanged
from hn_utils.models.inspection import inspect
from hn_utils.models.likelihoods import residuals_and_logprobs, token_logprobs
from hn_utils.questions.question import Question
from hn_utils.study import Sampling

SMALL = {"hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 2, "num_attention_heads": 4}
PROMPTS = [[1, 9, 12, 40, 33, 7, 21], [1, 5, 6], [1, 50, 60, 70, 80]]


def test_the_fingerprint_knows_where_a_turn_ends(tmp_path, subject, study):
    folder = shutil.copytree(study.instruct, tmp_path / "other")
    assert HookedModel.load(str(folder), study).fingerprint == subject.fingerprint
    GenerationConfig(eos_token_id=[subject.encoder.tokenizer.eos_token_id, 40]).save_pretrained(folder)
    assert HookedModel.load(str(folder), study).fingerprint != subject.fingerprint


@pytest.mark.parametrize("edit", ["in place", "through .data", "two rows swapped"])
def test_a_weight_edited_after_the_first_look_changes_fingerprint_and_norms(study, edit):
    edited = HookedModel.load(study.instruct, study)
    before, norms = edited.fingerprint, edited.w_out_norm
    weight = edited.model.model.layers[2].mlp.down_proj.weight
    with torch.no_grad():
        if edit == "in place":
            weight[:, 5].mul_(2)
        elif edit == "through .data":
            weight.data[:, 5] *= 2
        else:
            weight[:, [5, 6]] = weight[:, [6, 5]]
    assert edited.fingerprint != before
    changed = torch.nonzero(edited.w_out_norm != norms).tolist()
    assert changed == ([[2, 5], [2, 6]] if edit == "two rows swapped" else [[2, 5]])


def test_weights_are_read_once_where_they_are_unchanged_and_each_time_elsewhere(study, monkeypatch):
    edited, read, hashed = HookedModel.load(study.instruct, study), [], HookedModel._hash
    monkeypatch.setattr(HookedModel, "_hash", lambda self: read.append(self) or hashed(self))
    with weights_unchanged():
        before = edited.key(1)
        assert edited.key(1) == before
        assert HookedModel.load(study.base, study).fingerprint != edited.fingerprint
        assert len(read) == 2  # each model once
    assert edited.key(1) == before
    edited.model.model.layers[2].mlp.down_proj.weight.detach().numpy()[:, 5] *= 2  # leaves no trace but the numbers
    assert edited.key(1) != before
    assert len(read) == 4


def test_a_model_that_is_being_changed_has_no_key(subject):
    clean = subject.key(1)
    with pytest.raises(ValueError, match=r"live hooks .*scaled"), subject.scaled(np.array([3]), by=2.0):
        subject.key(1)
    handle = subject.model.model.layers[0].register_forward_hook(lambda *_: None)  # one of the user's own
    try:
        with pytest.raises(ValueError, match="live hooks"):
            subject.key(1)
    finally:
        handle.remove()
    assert subject.key(1) == clean


def test_a_weight_that_is_not_what_the_layer_does_is_refused(study):
    honest = HookedModel.load(study.instruct, study)
    layer = honest.model.model.layers[1].mlp.down_proj
    layer.register_forward_hook(
        lambda _module, _inputs, output: 1.5 * output
    )  # as a scale kept beside the weight would
    with pytest.raises(ValueError, match="layer 1's MLP output is off by .* stored W_down"):
        inspect(honest)


def test_nothing_is_installed_while_a_model_loads_and_nothing_stays_patched(study, monkeypatch):
    from transformer_lens.model_bridge.sources.transformers import helpers

    own, boot, seen = helpers._ensure_torchvision, TransformerBridge.boot_transformers, []
    assert own.__module__ == helpers.__name__  # importing the package patched nothing

    def watched(*given, **named):
        seen.append(helpers._ensure_torchvision())
        return boot(*given, **named)

    monkeypatch.setattr(TransformerBridge, "boot_transformers", watched)
    HookedModel.load(study.instruct, study)
    assert seen == [False]
    assert helpers._ensure_torchvision is own
    with pytest.raises(RuntimeError), installing_nothing():
        raise RuntimeError
    assert helpers._ensure_torchvision is own


def test_only_who_asks_for_it_gets_another_allocator(study, monkeypatch):
    asked = []
    library = SimpleNamespace(mallopt=lambda *setting: asked.append(setting))
    monkeypatch.setattr(allocation, "ctypes", SimpleNamespace(CDLL=lambda _: library))
    monkeypatch.setattr(allocation.platform, "libc_ver", lambda: ("glibc", "2.39"))
    HookedModel.load(study.instruct, study)
    assert asked == []
    allocation.keep_freed_memory()
    assert asked == [(-1, 2**30), (-3, 2**30)]


def test_weights_stand_as_transformer_lens_turns_them(subject, study):
    plain = AutoModelForCausalLM.from_pretrained(study.instruct, dtype=torch.float32).model.layers[2].mlp
    assert torch.equal(subject.W_in(2), plain.up_proj.weight.T)
    assert torch.equal(subject.W_gate(2), plain.gate_proj.weight.T)
    assert torch.equal(subject.W_out(2), plain.down_proj.weight.T)


def test_bad_models_say_what_is_wrong(tmp_path, study):
    with pytest.raises(OSError, match="holds no config.json"):
        HookedModel.load(str(tmp_path), study)
    shutil.copytree(study.instruct, tmp_path / "damaged")
    weights = tmp_path / "damaged" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(OSError, match="could not load model .*damaged.*check the name"):
        HookedModel.load(str(tmp_path / "damaged"), study)
    with pytest.raises(ValueError, match="dtype='float99' is not a torch dtype"):
        HookedModel.load(study.instruct, replace(study, dtype="float99"))


@pytest.mark.parametrize("config", [MixtralConfig(**SMALL, num_local_experts=4), GPTNeoXConfig(**SMALL)])
def test_a_model_without_one_gated_mlp_a_layer_is_refused(tmp_path, study, subject, config):
    config.vocab_size = len(subject.encoder.tokenizer)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    subject.encoder.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"layers \[0, 1\] have no gated MLP"):
        HookedModel.load(str(tmp_path), study)


def test_a_model_whose_layers_choose_their_own_width_is_said_to_do_so(tmp_path, study, subject):
    size = SMALL | {"num_key_value_heads": 2, "layer_types": ["conv", "full_attention"]}
    config = Lfm2Config(**size, vocab_size=len(subject.encoder.tokenizer), block_multiple_of=16)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    subject.encoder.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"layers \[0, 1\] have 48 neurons, not the 56 that its configuration names"):
        HookedModel.load(str(tmp_path), study)


def test_what_overflows_later_is_no_answer(study):
    broken = HookedModel.load(study.instruct, study)
    row = broken.encoder.encode_questions(["Where?"])[0]
    for layer in broken.model.model.layers:
        layer.mlp.down_proj.weight.data *= 1e38
    greedy = Sampling(n=1, temperature=0.0, max_new_tokens=3)
    for reading in (
        lambda: token_logprobs(broken, [row]),
        lambda: generate(broken, [row], greedy),
        lambda: generate(broken, [row], replace(greedy, temperature=1.0)),
        lambda: next(residuals_and_logprobs(broken, [row], [[1]])),
    ):
        with pytest.raises(ValueError, match=r"what it predicts is not a number \(NaN\) in float32"):
            reading()
    example = Example(Question("q", "t", ("a",), "e"), row[:-1], row[-1:], "", 1, [len(row) - 1], 0.0)
    with pytest.raises(ValueError, match=r"what layer \d's neurons contribute is not finite"):
        mean_contributions(broken, [example])


def test_norms_of_one_layer_are_taken_at_that_layer(subject, monkeypatch):
    taken, plain = [], HookedModel.column_lengths

    def noted(self, layer, *neurons):
        taken.append(layer)
        return plain(self, layer, *neurons)

    monkeypatch.setattr(HookedModel, "column_lengths", noted)
    token_contributions(subject, PROMPTS, np.array([3, 5, 3 * subject.d_mlp]))
    assert taken == [0, 3]
    taken.clear()
    read_rows(subject, PROMPTS, np.array([1, 1, 1]))
    assert taken == list(range(subject.n_layers))
