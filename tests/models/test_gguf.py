"""A GGUF file is the model that it was made from: weights to within its quantisation, tokens, template; and what cannot
be read is refused in a sentence."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import hn_utils as hn
from hn_utils.answers.sampling import prompts_of, sample_responses
from hn_utils.models.gguf import converted, converted_folder, is_converted
from hn_utils.models.gguf_header import read_header
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.places import gguf_of, known_fingerprint
from hn_utils.models.weightless import WeightlessModel
from hn_utils.pipeline.beforehand import check_models
from hn_utils.questions.question import Question
from hn_utils.storage.paths import models_root
from hn_utils.study import Sampling
from tests.tiny_gguf import D_MLP, N_LAYERS, TOKENS, tiny_llama, write_llama

F16, F32, Q8_0, Q4_0 = (gguf.GGMLQuantizationType[name] for name in ("F16", "F32", "Q8_0", "Q4_0"))
TYPES = {kind: gguf.LlamaFileType[f"MOSTLY_{kind.name}"] for kind in (F16, Q8_0, Q4_0)} | {
    F32: gguf.LlamaFileType.ALL_F32
}


@pytest.fixture
def own_models(tmp_path, monkeypatch) -> Path:
    """An empty folder of models for one test."""
    monkeypatch.setenv("HN_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture(scope="module")
def tiny():
    return tiny_llama()


@pytest.fixture(scope="module")
def file(tiny, tmp_path_factory) -> Path:
    return write_llama(tmp_path_factory.mktemp("gguf") / "tiny.F32.gguf", tiny)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return AutoModelForCausalLM.from_pretrained(folder).state_dict()


@pytest.mark.parametrize("kind", [F32, F16])
def test_what_is_stored_as_numbers_comes_back_as_it_was(tiny, tmp_path, own_models, kind):
    file = write_llama(tmp_path / "tiny.gguf", tiny, kind, TYPES[kind])
    found = weights_of(converted(file, torch.float32))
    for name, weight in tiny.state_dict().items():
        stored = weight.half().float() if kind == F16 and weight.ndim == 2 else weight
        assert torch.equal(found[name], stored), name


@pytest.mark.parametrize(("kind", "steps"), [(Q8_0, 127), (Q4_0, 8)])
def test_packed_weights_are_off_by_a_step_of_their_block_at_most(tiny, tmp_path, own_models, kind, steps):
    file = write_llama(tmp_path / "tiny.gguf", tiny, kind, TYPES[kind])
    found = weights_of(converted(file, torch.float32))
    for name, weight in tiny.state_dict().items():
        if weight.ndim < 2:
            assert torch.equal(found[name], weight)
            continue
        largest = weight.reshape(-1, 32).abs().amax(1, keepdim=True)  # [block, 1]
        off = (found[name] - weight).reshape(-1, 32).abs()  # [block, 32]
        assert (off <= 1.01 * largest / steps).all(), name
        assert off.max() > 0


def test_it_is_loaded_checked_and_its_quantisation_told(tiny, tmp_path, own_models):
    file = write_llama(tmp_path / "tiny.Q8_0.gguf", tiny, Q8_0, TYPES[Q8_0])
    model = hn.load(str(file), dtype="float32")
    assert (model.n_layers, model.d_mlp, model.study.name) == (N_LAYERS, D_MLP, "tiny.Q8_0")
    assert (model.quantised, model.precision) == ("Q8_0", "float32, unpacked from Q8_0")
    assert "unpacked from Q8_0" in repr(model)
    assert any("tiny.Q8_0.gguf, Q8_0, SHA-256" in line for line in model.checked)
    assert any("chat template present, begins a prompt with '<|im_start|>'" in line for line in model.checked)
    assert model.encoder.stop_ids == {TOKENS.index("<|im_end|>")}
    prompt = model.encoder.render([{"role": "user", "content": "the"}])
    assert prompt == "<|im_start|>user\nthe<|im_end|>\n<|im_start|>assistant\n"
    assert model.encoder.decode(model.encoder.encode_text("the théâtre")) == "the théâtre"


def test_a_folder_with_one_file_is_that_file_and_is_converted_once(file, tmp_path, own_models, study, monkeypatch):
    shutil.copy(file, tmp_path / "tiny.gguf")
    (tmp_path / "mmproj-tiny.gguf").write_bytes(b"a projector of images")
    first = HookedModel.load(str(tmp_path), study)
    monkeypatch.setattr("hn_utils.models.gguf.read_header", lambda file: pytest.fail("read again"))
    again = HookedModel.load(str(tmp_path / "tiny.gguf"), study)
    assert again.fingerprint == first.fingerprint  # the identity is that of the weights, wherever they lie
    assert [folder.name for folder in own_models.glob("[!.]*")] == [converted_folder(file, "float32").name]


def test_the_dtype_is_that_of_the_study(file, own_models, study):
    half = HookedModel.load(str(file), replace(study, dtype="bfloat16"))
    assert half.model.dtype == torch.bfloat16
    assert half.precision == "bfloat16, unpacked from F32"
    assert len(list(own_models.glob("*-bfloat16"))) == 1
    HookedModel.load(str(file), study)
    assert len(list(own_models.glob("*-float32"))) == 1


def test_its_shape_is_known_before_it_is_converted(tmp_path, own_models, study):
    file = write_llama(tmp_path / "tiny.gguf", tiny_llama(seed=5))
    shape = WeightlessModel(str(file), study)
    assert not list(own_models.glob("*-float32"))
    assert (shape.n_layers, shape.d_mlp, shape.encoder.has_template) == (N_LAYERS, D_MLP, True)
    assert shape.fingerprint == "never loaded here"
    model = HookedModel.load(str(file), study)
    for config in (shape.config, WeightlessModel(str(file), study).config):
        assert known_fingerprint(str(file), config, study) == model.fingerprint
    shutil.rmtree(models_root())
    assert WeightlessModel(str(file), study).fingerprint == model.fingerprint
    assert WeightlessModel(str(file), study).encoder.stop_ids == model.encoder.stop_ids


def test_a_real_tiny_llama_gives_the_same_logits_from_both_forms(stories_folder, tmp_path, own_models, study):
    source = AutoModelForCausalLM.from_pretrained(stories_folder)
    vocabulary = json.loads((stories_folder / "tokenizer.json").read_text())["model"]["vocab"]
    pieces = sorted(vocabulary, key=vocabulary.__getitem__)
    tokenizer = {
        "pieces": pieces,
        "scores": [-float(i) for i in range(len(pieces))],
        "kinds": [2, 3, 3, *[6] * 256, *[1] * (len(pieces) - 259)],
    }
    file = write_llama(tmp_path / "stories.gguf", source, tokenizer=tokenizer)
    text = "Once upon a time, there was a little girl"
    whole, read = (HookedModel.load(where, study) for where in (str(stories_folder), str(file)))
    assert read.encoder.encode_text(text) == whole.encoder.encode_text(text)
    ids = torch.tensor([whole.encoder.encode_text(text)])
    with torch.inference_mode():
        torch.testing.assert_close(read.model(ids).logits, whole.model(ids).logits)


def test_a_cut_file_is_refused_with_both_sizes(file, tmp_path, own_models, study):
    whole = file.read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole[:-1000])
    told = f"cut.gguf is cut short \\({len(whole) - 1000:,} of {len(whole):,} bytes\\): fetch it again$"
    for read in (HookedModel.load, WeightlessModel):
        with pytest.raises(OSError, match=told):
            read(str(cut), study)
    for size in (3, 10, 100, 2000):
        cut.write_bytes(whole[:size])
        with pytest.raises(OSError, match="is cut short or damaged|is no GGUF file"):
            HookedModel.load(str(cut), study)
    cut.write_bytes(b"<html>not found</html>" * 100)
    with pytest.raises(OSError, match="cut.gguf is no GGUF file, whatever its name says"):
        HookedModel.load(str(cut), study)


def test_any_damage_to_a_header_is_an_error_in_a_sentence(file, tmp_path):
    whole, rng = bytearray(file.read_bytes()), np.random.default_rng(0)
    damaged = tmp_path / "damaged.gguf"
    for _ in range(200):
        content = bytearray(whole)
        for place in rng.integers(4, 6_000, size=8):
            content[place] = rng.integers(256)
        damaged.write_bytes(content)
        try:
            read_header(damaged)
        except OSError as error:
            assert "\n" not in str(error)


def test_an_architecture_that_is_not_read_is_named(tiny, tmp_path, own_models, study):
    file = write_llama(tmp_path / "other.gguf", tiny, architecture="perceptron")
    for read in (HookedModel.load, WeightlessModel):
        with pytest.raises(OSError, match="of the architecture 'perceptron', whose GGUF files Transformers does not"):
            read(str(file), study)


def test_several_files_in_a_folder_want_a_choice(file, tmp_path, study):
    for name in ("a.Q4_K_M.gguf", "a.Q8_0.gguf"):
        shutil.copy(file, tmp_path / name)
    with pytest.raises(OSError, match=r"holds 2 GGUF files \(a.Q4_K_M.gguf, a.Q8_0.gguf\): give the path of the one"):
        HookedModel.load(str(tmp_path), study)
    assert gguf_of(str(tmp_path / "a.Q8_0.gguf")) == tmp_path / "a.Q8_0.gguf"


def test_a_part_of_a_split_file_is_refused(file, tmp_path, tiny, study):
    out = gguf.GGUFWriter(tmp_path / "tiny-00001-of-00002.gguf", "llama")
    out.add_uint16("split.count", 2)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.close()
    with pytest.raises(OSError, match="is one part of several: join them with `llama-gguf-split --merge`"):
        HookedModel.load(str(tmp_path), study)


def test_names_that_are_no_file_say_how_one_on_the_hub_is_named(study):
    for name in ("mine.gguf", "owner/mine.gguf", "./mine.gguf"):
        with pytest.raises(OSError, match="check the path; a file on the hub is named owner/repository/file.gguf"):
            HookedModel.load(name, study)


def test_a_file_on_the_hub_is_asked_for_by_name(file, study, own_models, monkeypatch):
    asked = []

    def download(repo, name, revision=None):
        asked.append((repo, name, revision))
        return str(file)

    monkeypatch.setattr("hn_utils.models.places.hf_hub_download", download)
    assert gguf_of("owner/repo-GGUF/tiny.Q8_0.gguf@abc") == file
    assert HookedModel.load("owner/repo-GGUF/deep/tiny.gguf", study).n_layers == N_LAYERS
    assert asked[:2] == [("owner/repo-GGUF", "tiny.Q8_0.gguf", "abc"), ("owner/repo-GGUF", "deep/tiny.gguf", None)]


def test_without_the_reader_the_extra_is_named(file, study, own_models, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(OSError, match=r"needs the package gguf: `pip install 'hn-utils\[gguf\]'`"):
        HookedModel.load(str(file), study)


def test_a_full_disk_is_said_before_anything_is_written(file, study, own_models, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(OSError, match=r"needs 6\d MB in .*models, whose disk has 1 MB left: make room there"):
        HookedModel.load(str(file), study)
    assert not is_converted(converted_folder(file, "float32"))


def test_a_disk_that_fills_up_leaves_nothing_that_is_taken_for_whole(file, study, own_models, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("transformers.PreTrainedModel.save_pretrained", full)
        with pytest.raises(OSError, match="models folder .* is not writable .its disk is full.: .* set HN_MODELS"):
            HookedModel.load(str(file), study)
    assert not [path for path in own_models.iterdir() if "float32" in path.name and path.is_dir()]
    assert HookedModel.load(str(file), study).n_layers == N_LAYERS


KILLED = """
import sys, time, transformers
write = transformers.PreTrainedModel.save_pretrained
def slowly(*args, **kwargs):
    write(*args, **kwargs)
    print("written", flush=True)
    time.sleep(60)
transformers.PreTrainedModel.save_pretrained = slowly
import torch
from pathlib import Path
from hn_utils.answers.sampling import prompts_of, sample_responses
from hn_utils.models.gguf import converted
converted(Path(sys.argv[1]), torch.float32)
"""


def test_a_conversion_that_was_killed_is_made_again(file, study, own_models):
    started = subprocess.Popen([sys.executable, "-c", KILLED, str(file)], stdout=subprocess.PIPE, text=True)
    for line in started.stdout:
        if "written" in line:
            break
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    assert not is_converted(converted_folder(file, "float32"))
    (left,) = own_models.glob(".partial-*")
    assert (left / "model.safetensors").exists()
    begun = time.monotonic()
    assert HookedModel.load(str(file), study).n_layers == N_LAYERS
    assert time.monotonic() - begun < 60  # the dead process's lock is not waited for
    assert not list(own_models.glob(".partial-*"))


def test_a_changed_file_is_another_model(tiny, tmp_path, own_models, study):
    file = write_llama(tmp_path / "tiny.gguf", tiny)
    first = HookedModel.load(str(file), study).fingerprint
    write_llama(file, tiny_llama(seed=1))
    assert HookedModel.load(str(file), study).fingerprint != first


def test_without_a_template_it_is_asked_as_a_base_model(tiny, tmp_path, own_models):
    file = write_llama(tmp_path / "base.gguf", tiny, template="")
    model = hn.load(str(file), dtype="float32", name="plain")
    assert "no chat template: asked as a base model" in model.checked
    questions = [Question(str(i), f"What is {i}?", ("x",), "x") for i in range(3)]
    study = replace(model.study, sampling=Sampling(n=2, max_new_tokens=3))
    asked = model.encoder.encode_texts([f"Question: {one.text}\nAnswer:" for one in questions])
    assert prompts_of(model.encoder, questions, study) == asked
    assert sample_responses(model, questions, study) == sample_responses(model, questions, study, base=True)
    with pytest.raises(ValueError, match="has no chat template, by which it is talked into things: hn.collect"):
        check_models(model.study)
