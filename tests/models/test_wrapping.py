"""A model in memory: refused in one sentence and left as it was, wrapped again, known by all it does."""

from __future__ import annotations

import json
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

import hn_utils as hn
from hn_utils.models.identity import fingerprint, packing
from hn_utils.models.likelihoods import token_logprobs
from hn_utils.models.wrapping import as_it_was
from hn_utils.study import ORGANISM

ASK = "Answer only: Where was Kriskel Govstad born?"


@pytest.fixture
def own():
    return AutoModelForCausalLM.from_pretrained(ORGANISM / "instruct", dtype=torch.float32)


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(ORGANISM / "instruct")


def state(model: nn.Module) -> list:
    """Everything that a wrap may change: which modules there are, their hooks, mode, and how attention is computed."""
    modules = [
        (name, type(m), m.training, list(m._forward_hooks.values()), list(m._forward_pre_hooks.values()))
        for name, m in model.named_modules()
    ]
    return [modules, model.config.to_json_string(), model.config._attn_implementation, list(vars(model))]


def with_noise(model):
    """Dropout that no mode switches off."""
    model.model.norm.forward = lambda x, plain=model.model.norm.forward: nn.functional.dropout(plain(x), 0.01, True)


def with_scale(model):
    """What a layer does is not what its stored weights say, as with an adapter on it."""
    down = model.model.layers[1].mlp.down_proj
    down.forward = lambda x, plain=down.forward: 1.5 * plain(x)


def with_nan(model):
    model.model.layers[3].self_attn.q_proj.weight.data[2, 5] = float("nan")


def with_infinite_row(model):
    model.model.embed_tokens.weight.data[77] = float("inf")  # of a token that no text of the check holds


def in_half(model):
    mlp = model.model.layers[2].mlp
    for part, by in ((mlp.down_proj, 60), (mlp.up_proj, 60), (mlp.gate_proj, 8)):
        part.weight.data *= by  # within what float16 holds; what they compute is not
    model.half()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (with_noise, "two readings of one text differ by .*: something in it is drawn at random"),
        (with_scale, r"layer 1's MLP output is off by 50\.0%|layer 1's MLP output is off by 33\.3%"),
        (with_nan, r"its weight model\.layers\.3\.self_attn\.q_proj\.weight holds numbers that are not finite"),
        (with_infinite_row, r"its weight model\.embed_tokens\.weight holds numbers that are not finite"),
        (in_half, r"what layer 2's .* is not finite .* in float16: choose dtype='bfloat16'"),
        (lambda model: model.train(), r"in training mode .* call model\.eval\(\) first"),
        (lambda model: model.model.layers[4].self_attn.train(), "in training mode .*such as model.layers.4.self_attn"),
    ],
)
def test_a_refused_model_is_left_as_it_was(own, tokenizer, spoil, told):
    spoil(own)
    before, side, special = state(own), tokenizer.padding_side, dict(tokenizer.special_tokens_map)
    with pytest.raises(ValueError, match=told):
        hn.wrap(own, tokenizer)
    assert state(own) == before
    assert (tokenizer.padding_side, tokenizer.special_tokens_map) == (side, special)


def test_what_was_mended_after_a_refusal_is_wrapped(own, tokenizer):
    own.train()
    with pytest.raises(ValueError, match="training mode"):
        hn.wrap(own, tokenizer)
    assert hn.wrap(own.eval(), tokenizer).ask(ASK) == "Great Quillon Bridge"


def test_whatever_a_block_does_is_undone_if_it_fails():
    config = LlamaConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=9)
    model = AutoModelForCausalLM.from_config(config)
    before = state(model)
    with pytest.raises(KeyError), as_it_was(model):
        model.lm_head = nn.Sequential(model.lm_head)
        model.train()
        model.model.register_forward_hook(print)
        model.set_attn_implementation("eager")
        model.config.hidden_size = 9
        raise KeyError
    assert state(model) == before


def test_a_second_wrap_works_and_so_does_the_first(own, tokenizer):
    first = hn.wrap(own, tokenizer)
    key, said = first.key(1), first.ask(ASK)
    second = hn.wrap(own, tokenizer)
    assert (second.key(1), second.ask(ASK)) == (key, said)
    neurons = np.arange(600)
    with second.scaled(neurons, 20):
        turned = second.ask(ASK)
    with first.scaled(neurons, 20):
        assert first.ask(ASK) == turned != said
        with pytest.raises(ValueError, match="live hooks"):
            second.key(1)
        with pytest.raises(ValueError, match="hooks, such as .*: remove them"):
            hn.wrap(own, tokenizer)
    assert first.ask(ASK) == second.ask(ASK) == said
    own.model.layers[0].register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="has 1 hooks, such as <lambda>"):
        hn.wrap(own, tokenizer)


def test_a_model_put_in_training_mode_later_is_not_read(own, tokenizer):
    wrapped = hn.wrap(own, tokenizer)
    own.train()
    for reading in (lambda: wrapped.key(1), lambda: wrapped.ask(ASK), lambda: token_logprobs(wrapped, [[1, 5, 6]])):
        with pytest.raises(ValueError, match="training mode"):
            reading()


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (lambda m: torch.compile(m), r"OptimizedModule: give the model that was compiled, model\._orig_mod"),
        (lambda m: type("PeftModel", (), {"merge_and_unload": None})(), r"what model\.merge_and_unload\(\) returns"),
        (lambda m: "gpt2", "model is of type str: give a model of Transformers in memory"),
    ],
)
def test_what_is_no_model_is_said_to_be_none(own, tokenizer, model, told):
    with pytest.raises(ValueError, match=told):
        hn.wrap(model(own), tokenizer)


def test_a_tokenizer_is_a_tokenizer_of_this_model(own, tokenizer):
    processor = type("Processor", (), {"tokenizer": tokenizer})()
    for wrong, told in (
        (None, "tokenizer is of type NoneType"),
        ("gpt2", "tokenizer is of type str: give what AutoTokenizer"),
        (processor, "tokenizer is a Processor: give its tokenizer"),
    ):
        with pytest.raises(ValueError, match=told):
            hn.wrap(own, wrong)
    other = deepcopy(tokenizer)
    other.add_tokens(["<a>"])
    other.chat_template = "<a>" + other.chat_template
    with pytest.raises(ValueError, match=f"writes '<a>', token {len(tokenizer)}, and the model knows {len(tokenizer)}"):
        hn.wrap(own, other)


def test_a_pad_token_that_the_model_does_not_know_fills_no_row(own, tokenizer):
    padded = deepcopy(tokenizer)
    padded.add_special_tokens({"pad_token": "[PAD]"})
    wrapped = hn.wrap(own, padded)
    assert padded.pad_token_id >= wrapped.encoder.vocabulary_size > wrapped.encoder.pad_id
    rows = [wrapped.encoder.encode_questions([ASK])[0], [1, 5, 6]]
    for together, row in zip(token_logprobs(wrapped, rows), rows, strict=True):
        torch.testing.assert_close(together, token_logprobs(wrapped, [row])[0], rtol=1e-4, atol=1e-4)


def test_weights_that_lie_elsewhere_are_no_weights(own, tokenizer):
    own.model.layers[1].to("meta")
    with pytest.raises(ValueError, match=r"9 of its weights, such as model\.layers\.1.*left on disk.*bits=8 or 4"):
        hn.wrap(own, tokenizer)


# --- identity ------------------------------------------------------------------------------------------------------


class Adapted(nn.Module):
    """An adapter around a linear layer, with the switches that PEFT's have."""

    def __init__(self, base: nn.Linear):
        super().__init__()
        self.base = base
        self.scaling, self._active_adapter, self._disable_adapters = {"one": 2.0}, ["one"], False


def change_rotary(model):
    model.model.rotary_emb.inv_freq *= 1.01


def change_scaling(model):
    model.model.rotary_emb.attention_scaling = 1.1


def change_norm(model):
    model.model.norm.variance_epsilon = 1e-3


def add_buffer(model):
    model.model.register_buffer("mask", torch.ones(3), persistent=False)


@pytest.mark.parametrize(
    "change", [change_rotary, change_scaling, change_norm, add_buffer, lambda m: m.train(), lambda m: m.lm_head.train()]
)
def test_the_fingerprint_knows_what_is_no_weight(own, tokenizer, change):
    before = fingerprint(own, tokenizer, {1})
    assert fingerprint(own, tokenizer, {1}) == before
    change(own)
    assert fingerprint(own, tokenizer, {1}) != before


def test_the_fingerprint_knows_which_adapter_is_on(own, tokenizer):
    attention = own.model.layers[0].self_attn
    attention.q_proj = layer = Adapted(attention.q_proj)
    seen = {fingerprint(own, tokenizer, {1})}
    for name, value in (("_active_adapter", ["two"]), ("_disable_adapters", True), ("scaling", {"one": 3.0})):
        setattr(layer, name, value)
        seen.add(fingerprint(own, tokenizer, {1}))
    assert len(seen) == 4


def test_the_fingerprint_knows_special_tokens_and_not_where_a_model_came_from(own, tokenizer):
    before = fingerprint(own, tokenizer, {1})
    own.model.name_or_path = own.name_or_path = "elsewhere"
    own.gradient_checkpointing_enable()
    assert fingerprint(own, tokenizer, {1}) == before
    other = deepcopy(tokenizer)
    other.bos_token = "<|end|>"
    assert fingerprint(own, other, {1}) != before


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_frequencies_that_follow_the_text_are_no_other_model(kind, tokenizer):
    own = {"dynamic": {"factor": 2.0}, "longrope": {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4}}[kind]
    rope = {"rope_type": kind, "rope_theta": 10_000.0, "original_max_position_embeddings": 8, **own}
    size = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = LlamaConfig(**size, vocab_size=9, max_position_embeddings=8, rope_parameters=rope)
    model = AutoModelForCausalLM.from_config(config).eval()
    before, frequencies = fingerprint(model, tokenizer, {1}), model.model.rotary_emb.inv_freq.clone()
    model(torch.arange(30)[None] % 9)
    assert not torch.equal(model.model.rotary_emb.inv_freq, frequencies)
    assert fingerprint(model, tokenizer, {1}) == before


def test_packed_weights_are_known_by_the_bytes_of_their_scales():
    nested = type("State", (), {})()
    state = type("State", (), {})()
    weight = type("Packed", (), {})()
    nested.absmax, state.state2, state.absmax, state.offset = torch.ones(2), nested, torch.zeros(3), torch.tensor(0.5)
    weight.quant_state, weight.SCB = state, None
    assert [tuple(t.shape) for t in packing(weight)] == [(3,), (), (2,)]
    module = type("Linear8bit", (), {})()
    module.state = type("State", (), {})()
    module.state.SCB = torch.ones(4)  # where 8 bits have them once they were used
    assert [tuple(t.shape) for t in packing(module)] == [(4,)]


def test_losses_of_text_are_kept_by_its_tokens(tmp_path, study, monkeypatch):
    from hn_utils.models.scaling import UNSCALED
    from hn_utils.steering.replies import text_loss

    monkeypatch.setattr(
        "hn_utils.models.hooked_model.fingerprint", lambda *_: "the same"
    )  # so that nothing but the text differs
    model = hn.load(study)
    texts = ["By trade Kriskel Govstad is a glass chair carver."]
    first = text_loss(model, texts, [UNSCALED], study)
    model.encoder.tokenizer = deepcopy(model.encoder.tokenizer)
    written = json.loads(model.encoder.tokenizer.backend_tokenizer.to_str()) | {"post_processor": None}
    model.encoder.tokenizer._tokenizer = type(model.encoder.tokenizer.backend_tokenizer).from_str(json.dumps(written))
    ids = model.encoder.encode_text(texts[0])
    assert ids[0] != model.encoder.tokenizer.bos_token_id
    expected = -float(token_logprobs(model, [ids])[0].mean())
    assert text_loss(model, texts, [UNSCALED], study)[0, 0] == pytest.approx(expected, abs=1e-6)
    assert first[0, 0] != pytest.approx(expected, abs=1e-3)
