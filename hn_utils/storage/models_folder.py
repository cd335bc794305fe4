"""The folder of models that were fetched or converted: room in it, locks, and the hashes of large files."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from hn_utils.storage.files import digest, write_whole, writing_to
from hn_utils.storage.paths import models_root
from hn_utils.storage.progress import progress, tell

MEGABYTE = 1_000_000
PIECE = 4 * MEGABYTE  # bytes that are read at once
_SHA256 = re.compile("[0-9a-f]{64}")
_LONGEST_WAIT = 3_600  # seconds that one process waits for another


def size_told(size: float) -> str:
    """A size in gigabytes or megabytes."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def require_room(size: int, what: str) -> None:
    """Raises OSError if the disk of the models' folder has not so many bytes left; `what` begins the sentence."""
    folder = models_root()
    with writing_models():
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(
            f"{what} needs {size_told(size)} in {folder}, whose disk has {size_told(free)} left: make room there, or "
            "set HN_MODELS to a folder on a larger one"
        )


def writing_models() -> AbstractContextManager[None]:
    """Within the block, an error of writing says what to do about the models' folder."""
    return writing_to(models_root(), "models", "HN_MODELS")


@contextmanager
def alone_at(name: str) -> Iterator[None]:
    """Within the block no other process works on the model of this name.

    Raises OSError if another one still does after an hour.
    """
    lock = FileLock(models_root() / f".{name}.lock")
    with writing_models():
        models_root().mkdir(parents=True, exist_ok=True)
        free = _acquired(lock, 0)
    if not free:
        tell(f"another process is making {name} in {models_root()}: waiting for it")
        if not _acquired(lock, _LONGEST_WAIT):
            raise OSError(f"another process has been making {name} for an hour: end it, and start again")
    try:
        yield
    finally:
        lock.release()


def _acquired(lock: FileLock, wait: float) -> bool:
    """Is the lock ours, after so many seconds at most?"""
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        return False
    return True


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file, which is read once: it is looked up by path, size and time from then on.

    Args:
        file: the file.

    Returns:
        The hash, as 64 hexadecimal digits.
    """
    about = file.stat()
    key = digest(f"{file.resolve()} {about.st_size} {about.st_mtime_ns}".encode())
    kept = models_root() / ".sha256" / key
    known = kept.read_text() if kept.exists() else ""
    if not _SHA256.fullmatch(known):
        known = _read_through(file, about.st_size)
        with writing_models():
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_whole(kept, known)
    return known


def _read_through(file: Path, size: int) -> str:
    found = hashlib.sha256()
    with file.open("rb") as opened, progress(f"hash of {file.name}, MB", size // MEGABYTE) as bar:
        while piece := opened.read(PIECE):
            found.update(piece)
            bar.update(len(piece) // MEGABYTE)
    return found.hexdigest()
