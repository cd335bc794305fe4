"""Models that were fetched: where their files lie, and whether they are the ones that are known."""

from __future__ import annotations

from pathlib import Path

from hn_utils.models.fetchable import FETCHABLE, Fetchable
from hn_utils.storage.models_folder import sha256_of, size_told
from hn_utils.storage.paths import models_root


def fetchable(name: str) -> Fetchable:
    """The record of a model. Raises ValueError if none is called so."""
    if name not in FETCHABLE:
        raise ValueError(f"no model to be fetched is called {name!r}: choose one of {', '.join(FETCHABLE)}")
    return FETCHABLE[name]


def fetched_file(name: str) -> Path:
    """The file of a model that was fetched.

    Args:
        name: as in `python -m hn_utils fetch`.

    Returns:
        The file.

    Raises:
        ValueError: no such model is known.
        OSError: it was not fetched, or is not the file that is known.
    """
    one = fetchable(name)
    file = file_of(one)
    if not file.exists():
        raise OSError(
            f"{one.what} is not here yet: `python -m hn_utils fetch {name}` brings it ({size_told(one.size)}, "
            f"{one.licence}); where a hub can be reached, {one.unquantised} is the model that it was made from"
        )
    require_known(file, one)
    return file


def file_of(one: Fetchable) -> Path:
    """Where the file of a model lies once it is fetched."""
    return models_root() / "fetched" / one.name / one.file


def require_known(file: Path, one: Fetchable) -> None:
    """Raises OSError if a file is not the one that is known."""
    found = sha256_of(file)
    if found != one.sha256:
        raise OSError(
            f"{file} is not the file that is known as {one.name} (SHA-256 {found[:8]}…, not {one.sha256[:8]}…): remove "
            f"it, and run `python -m hn_utils fetch {one.name}` again"
        )
