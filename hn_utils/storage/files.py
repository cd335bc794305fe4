"""Files that are whole or not there, and the hashes by which they are known."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from safetensors.numpy import load_file, save_file
from xxhash import xxh3_128, xxh3_128_hexdigest

if TYPE_CHECKING:
    import numpy as np


def digest(content: bytes) -> str:
    """A hash that notices accidents, at the speed of memory; it is no seal against forgery."""
    return xxh3_128_hexdigest(content)


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxh3_128).hexdigest()


@contextmanager
def writing_to(folder: Path, what: str = "cache", variable: str = "HN_CACHE") -> Iterator[None]:
    """Raises OSError that says what to do if a file cannot be written there: `what` is kept in the folder, which the
    environment `variable` can name."""
    try:
        yield
    except Exception as error:  # safetensors has an error of its own for a full disk
        full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
        if not full and not isinstance(error, OSError):
            raise
        told = "its disk is full" if full else (getattr(error, "strerror", None) or str(error))
        raise OSError(
            f"{what} folder {folder} is not writable ({told}): {'make room there, or ' * full}set {variable} to a "
            "folder that is; what was computed before is kept"
        ) from error


def is_readable(path: Path) -> bool:
    """Is there such a file? Raises OSError if it may not be read: that is no damage."""
    try:
        path.open("rb").close()
    except FileNotFoundError:
        return False
    except PermissionError as error:
        raise OSError(
            f"cache file {path} may not be read ({error.strerror}): give yourself that permission, or set HN_CACHE to "
            "another folder; the file was left as it is"
        ) from error
    return True


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file beside this one, which takes its place when the block has ended well, and is gone otherwise."""
    part = path.with_name(f".partial-{uuid4().hex}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: str | Path, text: str) -> None:
    """Write a text file that is there whole or, if the process dies in between, as it was before."""
    with _replacing(Path(path)) as part:
        part.write_text(text, encoding="utf-8")


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a safetensors file that is there whole or, if the process dies in between, as it was before.

    Args:
        path: the file.
        arrays: by name.
    """
    with _replacing(path) as part:
        save_file(dict(arrays), part)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read what `write_arrays` wrote.

    Args:
        path: the file.

    Returns:
        The arrays, by name, in memory.
    """
    return load_file(path)
