"""What went wrong while loading is said as what it is: no full disk and no lack of memory is called a network fault."""

from __future__ import annotations

import errno
import json
import logging
import shutil
from pathlib import Path

import httpx
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from transformers import AutoModelForCausalLM

from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.hub import RETRYING, explained, patient_downloads, remedy
from hn_utils.models.places import place_of
from hn_utils.models.weightless import WeightlessModel


def answer(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "https://hub.example/model"))


def wrapped(cause: BaseException) -> OSError:
    """As Transformers wraps what the hub's client raises."""
    try:
        raise OSError("We had a problem with the model") from cause
    except OSError as error:
        return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (wrapped(GatedRepoError("gated", response=answer(403))), "hf auth login"),
        (wrapped(httpx.HTTPStatusError("401", request=answer(401).request, response=answer(401))), "hf auth login"),
        (wrapped(RepositoryNotFoundError("no", response=answer(404))), "no such thing"),
        (wrapped(RevisionNotFoundError("no", response=answer(404))), "no such thing"),
        (wrapped(httpx.ConnectError("[Errno -2] Name or service not known: connection")), "check your network"),
        (OSError("We couldn't connect to 'https://hub.example' to load the files"), "check your network"),
        (wrapped(OSError(errno.ENOSPC, "No space left on device")), "the disk is full"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "does not fit into memory"),
        (wrapped(RuntimeError("DefaultCPUAllocator: can't allocate memory")), "does not fit into memory"),
        (MemoryError(), "does not fit into memory"),
        (ValueError("header too large"), "check the name and its files"),
    ],
)
def test_the_remedy_fits_the_fault(error, told):
    assert told in remedy(error)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ImportError("Loading this requires gptqmodel. Please install it"), "install that package"),
        (ValueError("The repository x contains custom code which must be executed"), "code that comes with a model is"),
        (
            ValueError("Could not determine supported architecture from config. Available: [...]"),
            "no model of this fam",
        ),
        (ValueError("Couldn't instantiate the backend tokenizer from one of: "), "its tokenizer cannot be read"),
    ],
)
def test_what_a_model_s_files_lack_is_said_with_what_to_do(error, told):
    assert told in remedy(error)


def test_of_a_library_s_words_one_short_sentence_is_passed_on():
    names = ", ".join(f"'Family{i}ForCausalLM'" for i in range(400))
    error = ValueError(f"Could not determine supported architecture from config. Available architectures: [{names}]")
    assert explained(error).startswith("(ValueError: Could not determine supported architecture from config): ")
    assert len(explained(ValueError(names))) < 300
    assert "version 4.5 of it" in explained(ValueError("It needs version 4.5 of it. Sorry"))


@pytest.mark.parametrize("beside", [(), ("config.json", "model.safetensors")])
def test_an_adapter_is_no_model(study, tmp_path, beside):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/whole"}')
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    for file in beside:
        shutil.copy(Path(study.instruct) / file, tmp_path)
    with pytest.raises(OSError, match=r"holds an adapter of owner/whole, not a model: .*merge_and_unload\(\)"):
        HookedModel.load(str(tmp_path), study)


def test_files_of_another_form_are_said_to_be_such(study, tmp_path):
    file = tmp_path / "model.Q4_K_M.gguf"
    with pytest.raises(OSError, match=r"no file .*Q4_K_M\.gguf: check the path"):
        HookedModel.load(str(file), study)
    file.write_bytes(b"GGUF")
    with pytest.raises(OSError, match=r"Q4_K_M\.gguf is cut short or damaged \(4 bytes\): fetch it again"):
        HookedModel.load(str(tmp_path), study)
    weights = Path(study.instruct) / "model.safetensors"
    with pytest.raises(OSError, match=r"model\.safetensors is a file: give the folder"):
        HookedModel.load(str(weights), study)
    with pytest.raises(OSError, match="no model is named"):
        HookedModel.load("", study)


def test_a_model_in_one_s_home_is_found_by_its_short_name(study, tmp_path, monkeypatch):
    shutil.copytree(study.instruct, tmp_path / "mine@home")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert place_of("~/mine@home") == (str(tmp_path / "mine@home"), "")
    assert place_of("owner/model@step100") == ("owner/model", "step100")
    assert HookedModel.load("~/mine@home", study).n_layers == 6
    assert WeightlessModel("~/mine@home", study).fingerprint == HookedModel.load("~/mine@home", study).fingerprint


def test_code_that_comes_with_a_model_is_refused_at_once(study, tmp_path):
    shutil.copytree(study.instruct, tmp_path / "own")
    config = json.loads((tmp_path / "own/config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"}}
    (tmp_path / "own/config.json").write_text(json.dumps(config))
    (tmp_path / "own/mine.py").write_text("raise SystemExit")
    for read in (HookedModel.load, WeightlessModel):
        with pytest.raises(OSError, match="code that comes with a model is not run here"):
            read(str(tmp_path / "own"), study)


def test_a_model_that_does_not_fit_is_not_a_network_fault(study, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 30 GiB")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", full)
    with pytest.raises(OSError, match=r"could not load model .*instruct.* does not fit into memory") as raised:
        HookedModel.load(study.instruct, study)
    assert "network" not in str(raised.value)


def test_retries_are_told_once(capsys):
    with patient_downloads():
        for second in (1, 2, 4):
            RETRYING.warning("'[Errno -2]' thrown while requesting HEAD https://hub.example")
            RETRYING.warning("Retrying in %ds [Retry 1/5].", second)
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count("asked again") == 1
    assert "Retrying" not in printed.out + printed.err
    assert not RETRYING.filters
    assert RETRYING.name in logging.root.manager.loggerDict
