"""One task of a sweep, carried out here or on a node of a cluster, with the same bytes."""

from __future__ import annotations

import contextlib
import io
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from hn_utils.storage.files import digest, file_digest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hn_utils.study import Study

PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Ended:
    """How a task ended: its files by name, what it said, and in one sentence why it failed, if it did."""

    files: dict[str, str]
    said: str
    failure: str = ""


@cache
def code_version() -> str:
    """A hash of the package's own sources: whatever runs a task must be the very same."""
    files = sorted(PACKAGE.rglob("*.py"))
    return digest("".join(f"{file.relative_to(PACKAGE)} {file_digest(file)}\n" for file in files).encode())


@contextlib.contextmanager
def threads(n: int) -> Iterator[None]:
    """Within the block PyTorch and the libraries of linear algebra use n threads. Sums are taken in another order with
    another number, so that results would differ in their last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        with threadpool_limits(n):
            yield
    finally:
        torch.set_num_threads(before)


def carry_out(study: Study, num_cpus: int, code: str) -> Ended:
    """One task, here: what `python -m hn_utils run` does, with its files as text. An error of the task is what it ended
    with, and not raised: other tasks go on."""
    from hn_utils.pipeline.steps import run

    said = io.StringIO()
    try:
        if code != code_version():
            raise OSError(
                "another version of hn_utils is installed on this node: install the one that starts the sweep"
            )
        with tempfile.TemporaryDirectory() as out, threads(num_cpus), contextlib.redirect_stdout(said):
            run(study, Path(out))
            files = {file.name: file.read_text(encoding="utf-8") for file in Path(out).iterdir()}
        return Ended(files, said.getvalue())
    except Exception as error:
        why = str(error) if isinstance(error, (OSError, ValueError)) else f"{type(error).__name__}: {error}"
        return Ended({}, f"{said.getvalue()}\n{traceback.format_exc()}", why.partition("\n")[0])
