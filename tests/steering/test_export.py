"""An exported checkpoint computes what scaling by hook does, in plain Transformers, on every family; what cannot be
scaled by columns is refused, and nothing is left behind."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from families import FAMILIES, make_checkpoint
from huggingface_hub.repocard import metadata_load
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

import hn_utils as hn
from hn_utils.models.likelihoods import token_logprobs
from hn_utils.probing.probe import HNeurons
from hn_utils.steering import export
from hn_utils.steering.export import PATCH

ROWS = [[1, 9, 12, 40, 33, 7, 21]]
NEURONS = [3, 56 + 1, 2 * 56 + 8]  # one in each layer
ALPHA = 2.5


def plain(folder: Path) -> torch.nn.Module:
    """A checkpoint in Transformers alone."""
    kind = AutoModelForImageTextToText if "multimodal" in str(folder) else AutoModelForCausalLM
    return kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


def logprobs(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        predicted = model(torch.tensor(ROWS)).logits[0, :-1].log_softmax(-1)
    return predicted.gather(1, torch.tensor(ROWS[0][1:])[:, None])[:, 0]


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """A model whose down projections have biases that are not 0."""
    folder = make_checkpoint("llama", tmp_path_factory.mktemp("llama") / "original", mlp_bias=True)
    model = AutoModelForCausalLM.from_pretrained(folder)
    for layer in model.model.layers:
        torch.nn.init.normal_(layer.mlp.down_proj.bias)
    model.save_pretrained(folder)
    return hn.load(str(folder), dtype="float32", device="cpu")


@pytest.mark.parametrize("family", FAMILIES)
def test_it_computes_what_scaling_by_hook_does_and_so_does_the_patched_original(family, tmp_path, monkeypatch):
    folder = make_checkpoint(family, tmp_path / family)
    model = hn.load(str(folder), dtype="float32", device="cpu")
    untouched = token_logprobs(model, ROWS)[0]
    with model.scaled(NEURONS, ALPHA):
        by_hook = token_logprobs(model, ROWS)[0]
    out = hn.export(model, NEURONS, ALPHA, tmp_path / f"{family}-scaled")
    exported = plain(out)
    torch.testing.assert_close(logprobs(exported), by_hook, rtol=0, atol=1e-4)
    assert (by_hook - untouched).abs().max() > 0.01
    assert torch.equal(token_logprobs(model, ROWS)[0], untouched)  # the model in memory is as it was
    patched = plain(folder)
    assert not torch.equal(logprobs(patched), logprobs(exported))
    monkeypatch.chdir(out)
    (code,) = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(), re.DOTALL)
    exec(code, {"model": patched})
    for (name, one), other in zip(exported.state_dict().items(), patched.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_only_the_columns_change_and_no_bias(llama, tmp_path):
    out = hn.export(llama, NEURONS, ALPHA, tmp_path / "out")
    before, after = plain(Path(llama.name)).state_dict(), plain(out).state_dict()
    assert before.keys() == after.keys()
    for name, weight in before.items():
        expected = weight.clone()
        for layer, neuron in ((0, 3), (1, 1), (2, 8)):
            if name == f"model.layers.{layer}.mlp.down_proj.weight":
                expected[:, neuron] *= ALPHA
        assert torch.equal(after[name], expected), name
    with llama.scaled(NEURONS, ALPHA):
        torch.testing.assert_close(logprobs(plain(out)), token_logprobs(llama, ROWS)[0], rtol=0, atol=1e-4)


def test_the_folder_is_an_ordinary_model_and_says_what_was_done(llama, tmp_path):
    out = hn.export(llama, [(1, 1), (0, 3)], 0, tmp_path / "new" / "out")
    assert {path.name for path in out.glob("*.safetensors")} == {"model.safetensors"}  # all that a server reads
    config = json.loads((out / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert not config.get("output_attentions")
    asked = [{"role": "user", "content": "Where was the otter born?"}]
    own = AutoTokenizer.from_pretrained(out).apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    assert own == llama.encoder.render(asked)
    text = (out / "README.md").read_text()
    for part in ("2 neurons scaled by 0", "| 0 | 3 |", "| 1 | 1 |", llama.fingerprint, "licence of the original holds"):
        assert part in text
    assert str(tmp_path) not in text
    with safe_open(out / PATCH, "pt") as patch:
        about = patch.metadata()
        assert set(patch.keys()) == {f"model.layers.{i}.mlp.down_proj.weight:{j}" for i, j in ((0, 3), (1, 1))}
    assert (about["alpha"], json.loads(about["neurons"])) == ("0", [[0, 3], [1, 1]])
    assert about["fingerprint"] == llama.fingerprint
    assert (out / PATCH).stat().st_size < 2_000


def test_the_licence_of_the_original_is_kept(tmp_path):
    folder = make_checkpoint("qwen2", tmp_path / "original")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    (folder / "LICENSE").write_text("Apache License")
    out = hn.export(hn.load(str(folder), dtype="float32", device="cpu"), [3], 2, tmp_path / "out")
    assert metadata_load(out / "README.md")["license"] == "apache-2.0"
    assert "apache-2.0, holds for this copy too" in (out / "README.md").read_text()
    assert (out / "LICENSE").read_text() == "Apache License"


def test_tied_embeddings_are_written_once_and_loaded_as_tied(tmp_path):
    folder = make_checkpoint("gemma3", tmp_path / "original")
    out = hn.export(hn.load(str(folder), dtype="float32", device="cpu"), [3], 2, tmp_path / "out")
    assert set(load_file(out / "model.safetensors")) == set(load_file(folder / "model.safetensors"))
    assert "lm_head.weight" not in load_file(out / "model.safetensors")
    loaded = plain(out)
    assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight


def test_in_bfloat16_the_column_is_rounded_once(llama, tmp_path):
    half = hn.load(llama.name, dtype="bfloat16", device="cpu")
    out = hn.export(half, [3], 1.7, tmp_path / "out")
    name = "model.layers.0.mlp.down_proj.weight"
    column = load_file(out / "model.safetensors")[name][:, 3]
    original = AutoModelForCausalLM.from_pretrained(llama.name, dtype=torch.bfloat16).state_dict()[name][:, 3]
    assert column.dtype == torch.bfloat16
    assert torch.equal(column, (original.float() * 1.7).bfloat16())


def test_a_model_in_memory_is_exported_with_its_edits(llama, tmp_path):
    inner = AutoModelForCausalLM.from_pretrained(llama.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(llama.name)
    with torch.no_grad():
        inner.model.embed_tokens.weight[7] = 0.5
    out = hn.export(hn.wrap(inner, tokenizer), [3], 1, tmp_path / "out")
    written = load_file(out / "model.safetensors")
    assert bool((written["model.embed_tokens.weight"][7] == 0.5).all())


def card_of(model, fingerprint: str) -> HNeurons:
    rows = [{"layer": 0, "neuron": 3, "weight": 1.0}]
    return HNeurons(model.short_name, fingerprint, "mine", "answer", 1.0, 0.0, model.d_mlp, model.n_layers, rows)


def test_a_card_is_named_with_its_study_and_that_of_another_model_is_refused(llama, tmp_path):
    out = hn.export(llama, card_of(llama, llama.fingerprint), 3, tmp_path / "out")
    assert "found in the study mine" in (out / "README.md").read_text()
    with pytest.raises(ValueError, match="the card holds H-Neurons of .* not of"):
        hn.export(llama, card_of(llama, "another"), 3, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("neurons", "alpha", "told"),
    [
        ([], 2, r"neurons=\[\] names no neuron"),
        ([3 * 56], 2, "neuron 168 is out of range"),
        ([3, 3], 2, "name neuron 3 twice"),
        ([3], -1, "alpha=-1.0 must be finite and not negative"),
        ([3], np.nan, "alpha=nan must be finite"),
        ([3], "2", "alpha is of type str: give a number"),
    ],
)
def test_neurons_and_alpha_are_checked_before_anything_is_written(llama, tmp_path, neurons, alpha, told):
    with pytest.raises(ValueError, match=told):
        hn.export(llama, neurons, alpha, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone_and_an_empty_one_is_filled(llama, tmp_path):
    (tmp_path / "file").write_text("mine")
    for taken in (tmp_path, tmp_path / "file"):
        with pytest.raises(FileExistsError, match="holds something already: name one that is not there, or is empty"):
            hn.export(llama, [3], 2, taken)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    (tmp_path / "empty").mkdir()
    assert (hn.export(llama, [3], 2, str(tmp_path / "empty")) / "config.json").exists()


def test_what_is_broken_off_leaves_nothing(llama, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(export, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        hn.export(llama, [3], 2, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_tied_down_projections_are_refused(llama, tmp_path):
    inner = AutoModelForCausalLM.from_pretrained(llama.name, dtype=torch.float32)
    inner.model.layers[2].mlp.down_proj.weight = inner.model.layers[1].mlp.down_proj.weight
    tied = hn.wrap(inner, AutoTokenizer.from_pretrained(llama.name))
    with pytest.raises(ValueError, match="the down projection of layer 1 is tied to other weights .*layers.2.mlp"):
        hn.export(tied, [57], 2, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_packed_weights_are_refused(llama, tmp_path):
    packed = hn.load(llama.name, dtype="float32", bits=8)
    with pytest.raises(ValueError, match="is quantised .* load it without bits=, export that, and quantise the copy"):
        hn.export(packed, [3], 2, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
