"""Where a model's files are: the folder, hub name or GGUF file that a name stands for, and whether it is whole."""

from __future__ import annotations

import json
import os
import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import hf_hub_download

from hn_utils.models.fetched import fetched_file
from hn_utils.models.gguf import config_of, converted, converted_folder, gguf_in, is_converted
from hn_utils.models.gguf_header import read_header
from hn_utils.models.hub import explained, patient_downloads
from hn_utils.storage.cache import key_hash
from hn_utils.storage.ledger import Ledger
from hn_utils.storage.models_folder import sha256_of
from hn_utils.storage.paths import require_bundled
from hn_utils.study import FETCHED

if TYPE_CHECKING:
    from hn_utils.study import Study

_ON_HUB = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)/(?P<file>.+\.gguf)(@(?P<revision>.+))?", re.IGNORECASE)
_MERGE = "load it with peft, call merge_and_unload(), save_pretrained that and its tokenizer, and give the folder"


def place_of(name: str) -> tuple[str, str]:
    """The folder or hub name, and the revision, that the name of a model stands for which is no GGUF file."""
    home = os.path.expanduser(name)
    if Path(home).exists():
        return home, ""
    place, _, revision = home.partition("@")
    return place, revision


def gguf_of(name: str) -> Path | None:
    """The GGUF file that a model's name stands for; None if it stands for none.

    Args:
        name: `fetched:` and what was fetched; a file; a folder with one such file; or `owner/repository/file.gguf` on
            the hub, with `@revision` for a branch.

    Returns:
        The file. One on the hub is downloaded, once.

    Raises:
        OSError: the file is not there, or the folder holds several.
    """
    if name.startswith(FETCHED):
        return fetched_file(name.removeprefix(FETCHED))
    place = Path(os.path.expanduser(name))
    if place.is_dir():
        return gguf_in(place)
    if place.is_file():
        return place if place.suffix.lower() == ".gguf" else None
    if ".gguf" not in name.lower():
        return None
    if name.startswith(("/", ".", "~")) or not (found := _ON_HUB.fullmatch(name)):
        raise OSError(f"no file {name}: check the path; a file on the hub is named owner/repository/file.gguf")
    return _from_hub(found["repo"], found["file"], found["revision"])


def _from_hub(repo: str, file: str, revision: str | None) -> Path:
    try:
        with patient_downloads():
            return Path(hf_hub_download(repo, file, revision=revision))
    except Exception as error:
        raise OSError(f"could not load {file} of {repo} {explained(error)}") from error


def weights_at(name: str, dtype: torch.dtype) -> tuple[str, str]:
    """The folder or hub name, and the revision, from which a model's weights are loaded.

    Args:
        name: the model.
        dtype: in which it is loaded; a GGUF file is converted into it if that was not done before.

    Returns:
        The place, and the revision, which may be empty.

    Raises:
        OSError: it is no model, or cannot be converted.
    """
    if file := gguf_of(name):
        return str(converted(file, dtype)), ""
    place, revision = place_of(name)
    check_folder(place)
    return place, revision


def shape_at(name: str, dtype: str) -> tuple[str, dict[str, Any]]:
    """From where configuration and tokenizer are read, without any weights.

    Args:
        name: the model.
        dtype: in which it would be loaded, by name.

    Returns:
        The place, and what `from_pretrained` is told besides.

    Raises:
        OSError: it is no model, or a GGUF file that cannot be read.
    """
    if file := gguf_of(name):
        folder = converted_folder(file, dtype)
        if is_converted(folder):
            return str(folder), {}
        config_of(file, read_header(file))
        return str(file.parent), {"gguf_file": file.name}
    place, revision = place_of(name)
    check_folder(place)
    return place, {"revision": revision} if revision else {}


def check_folder(name: str) -> None:
    """Raises OSError if a name that can only be a folder's is none of a whole model."""
    if not name:
        raise OSError("no model is named: give a hub name (owner/model) or the folder of a model")
    folder = Path(name)
    if folder.is_file():
        raise OSError(f"{name} is a file: give the folder that save_pretrained wrote, or a hub name (owner/model)")
    if (folder / "adapter_config.json").exists():
        raise OSError(f"{name} holds an adapter{_of_base(folder)}, not a model: {_MERGE}")
    if not name.startswith(("/", ".", "~")) or (folder / "config.json").exists():
        return
    require_bundled(folder)
    if not folder.is_dir():
        raise OSError(f"no folder {name}: check the path, or give a hub name (owner/model)")
    raise OSError(f"no model in folder {name}: it holds no config.json; give the folder that save_pretrained wrote")


def _of_base(folder: Path) -> str:
    """Which model an adapter's own file says that it belongs to."""
    try:
        base = json.loads((folder / "adapter_config.json").read_text()).get("base_model_name_or_path")
    except (OSError, ValueError):
        return ""
    return f" of {base}" if base else ""


def copy_of(name: str, config: Any, study: Study) -> str:
    """What tells a copy of a model from another without a look at its weights: the hub's commit, the hash of a GGUF
    file, or names, sizes and times of a folder's files; and how it is loaded."""
    what = str(getattr(config, "_commit_hash", None))
    if file := gguf_of(name):
        name, what = "gguf", sha256_of(file)
    elif (folder := Path(place_of(name)[0])).is_dir():
        stats = [(path.name, path.stat()) for path in sorted(folder.iterdir())]
        name, what = str(folder.resolve()), str([(file, s.st_size, s.st_mtime_ns) for file, s in stats])
    return key_hash([name, what, study.dtype, study.bits])


def remember_fingerprint(name: str, config: Any, study: Study, fingerprint: str) -> None:
    """Note the fingerprint of a model as it was loaded, so that what is kept of it can be found without its weights."""
    copy = copy_of(name, config, study)
    with closing(Ledger("fingerprints")) as ledger:
        if ledger.get(copy) != fingerprint:
            ledger.put(copy, fingerprint)


def known_fingerprint(name: str, config: Any, study: Study) -> str | None:
    """The fingerprint of a model that was loaded here before, None for any other."""
    with closing(Ledger("fingerprints")) as ledger:
        return ledger.get(copy_of(name, config, study))
