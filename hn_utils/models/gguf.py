"""A GGUF file as an ordinary model: read by Transformers' own reader, dequantised once, and kept under its hash."""

from __future__ import annotations

import json
import os
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedModel

from hn_utils.models.checks import dtype_name
from hn_utils.models.gguf_header import Header, read_header
from hn_utils.models.hub import WHOLE, every_weight, explained
from hn_utils.models.templates import begins_texts
from hn_utils.storage.files import write_whole
from hn_utils.storage.models_folder import alone_at, require_room, sha256_of, size_told, writing_models
from hn_utils.storage.paths import models_root
from hn_utils.storage.progress import tell

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_ABOUT = "gguf.json"  # in the folder of a converted model: what it was made from
_TOKENIZER_BYTES = 1 << 26  # at most, on disk
_PARTIAL = ".partial-"


def gguf_in(folder: Path) -> Path | None:
    """The GGUF file that a folder holds in place of a model; None if it holds a model, or no such file.

    Raises OSError if it holds several: each is another quantisation. Projectors of images (mmproj) are no models.
    """
    if any((folder / other).exists() for other in ("config.json", "adapter_config.json")):
        return None
    files = sorted(file for file in folder.glob("*.gguf") if not file.name.lower().startswith("mmproj"))
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:4]) + ", …" * (len(files) > 4)
        raise OSError(f"{folder} holds {len(files)} GGUF files ({names}): give the path of the one to be read")
    return files[0] if files else None


def converted_folder(file: Path, dtype: str) -> Path:
    """Where the model that a GGUF file becomes in a dtype, such as `float32`, is kept, whether it is there or not."""
    return models_root() / f"{sha256_of(file)[:16]}-{dtype}"


def is_converted(folder: Path) -> bool:
    """Was a model converted into this folder? It is renamed to its name when it is whole."""
    return (folder / _ABOUT).exists()


def converted(file: Path, dtype: torch.dtype) -> Path:
    """Dequantise a GGUF file, unless that was done before.

    Args:
        file: the file.
        dtype: of the weights that are written.

    Returns:
        The folder of an ordinary model.

    Raises:
        OSError: the file cannot be read, is none that Transformers reads, or the disk is full.
    """
    folder = converted_folder(file, dtype_name(dtype))
    if is_converted(folder):
        return folder
    header = read_header(file)
    with alone_at(folder.name):
        if not is_converted(folder):
            _convert(file, header, dtype, folder)
    return folder


def _convert(file: Path, header: Header, dtype: torch.dtype, folder: Path) -> None:
    """Write the model into a folder beside, which gets its name when it is whole."""
    size = header.n_weights * dtype.itemsize
    part = folder.with_name(_PARTIAL + folder.name)
    shutil.rmtree(part, ignore_errors=True)  # what a process that was killed has left
    require_room(size + _TOKENIZER_BYTES, f"{file.name} in {dtype_name(dtype)}")
    config_of(file, header)  # refuses what is not read, before anything is written
    tell(
        f"{file.name} ({header.quantised}) is dequantised once, which takes a minute or so; {size_told(size)} are kept "
        f"in {folder}"
    )
    try:
        _write(file, header, dtype, part)
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def config_of(file: Path, header: Header) -> PretrainedConfig:
    """The configuration that a GGUF file holds. Raises OSError if Transformers reads none of this architecture."""
    try:
        return AutoConfig.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False)
    except Exception as error:
        raise OSError(
            f"{file} is of the architecture {header.architecture!r}, whose GGUF files Transformers does not read: "
            f"{WHOLE}"
        ) from error


def _write(file: Path, header: Header, dtype: torch.dtype, folder: Path) -> None:
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False)
        _require_begin(tokenizer, header, file)
        with every_weight():
            model = _plain(file, dtype)
    except Exception as error:
        raise OSError(f"could not read {file} {explained(error)}") from error
    with writing_models():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        about = {
            "file": file.name,
            "sha256": sha256_of(file),
            "quantised": header.quantised,
            "architecture": header.architecture,
            "dtype": dtype_name(dtype),
            "transformers": version("transformers"),
            "gguf": version("gguf"),
        }
        write_whole(folder / _ABOUT, json.dumps(about, indent=1) + "\n")


def _plain(file: Path, dtype: torch.dtype) -> PreTrainedModel:
    """The dequantised model. It is put together anew: one that was read from GGUF refuses to be saved."""
    read = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=dtype, trust_remote_code=False, **_dequantising()
    )
    config = read.config
    if hasattr(config, "quantization_config"):
        delattr(config, "quantization_config")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.load_state_dict(read.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = GenerationConfig.from_model_config(config)
    return model


def _dequantising() -> dict[str, Any]:
    """What tells Transformers to unpack all weights, where it could also compute with packed ones."""
    import transformers

    kind = getattr(transformers, "GgufConfig", None)
    return {} if kind is None else {"quantization_config": kind(dequantize=True)}


def _require_begin(tokenizer: Any, header: Header, file: Path) -> None:
    """Raises ValueError if the tokenizer begins texts otherwise than the file says: all would be read wrongly."""
    told = header.values.get("tokenizer.ggml.add_bos_token")
    if told is not None and begins_texts(tokenizer) != told:
        way = "begins texts with a begin token" if told else "begins texts with none"
        raise ValueError(f"its tokenizer, as it was read, does not do what the file says: {file.name} {way}")


def read_from(folder: str | Path) -> dict[str, str]:
    """What is kept of a GGUF file beside the model that it became; empty for every other model."""
    try:
        about = json.loads((Path(folder) / _ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}
