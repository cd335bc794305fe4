"""How far a long step is, and what a user should be told meanwhile: in the terminal or notebook where the step runs.

`make notebooks` runs notebooks in processes of their own and tells what they do in its own terminal. It names a folder
in HN_PROGRESS; steps write there, so that no bar and no remark ends up in a notebook's output.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from tqdm.auto import tqdm

from hn_utils.storage.paths import set_to
from hn_utils.storage.printable import visible

T = TypeVar("T")
EVERY = 30.0  # seconds between two lines where nobody watches a terminal


def told() -> Path | None:
    """The folder in which the terminal looks, if this is not its own process."""
    folder = set_to("HN_PROGRESS")
    return Path(folder) if folder else None


def tell(remark: str) -> None:
    """Tell the user something in one sentence, without disturbing a bar."""
    remark = visible(remark)
    if folder := told():
        with (folder / "notes.txt").open("a", encoding="utf-8") as notes:
            notes.write(remark + "\n")
    else:
        tqdm.write(remark)


@cache
def tell_once(remark: str) -> None:
    """`tell`, but the same remark only once in a process."""
    tell(remark)


class ToFile(tqdm):
    """A bar that writes what it would draw as JSON: step, how many of how many are done, seconds left (or null)."""

    @property
    def path(self) -> Path:
        return Path(os.environ["HN_PROGRESS"], "progress.json")

    def display(self, *_: Any, **__: Any) -> None:
        now = self.format_dict
        rate, left = now["n"] / now["elapsed"] if now["elapsed"] else 0, (self.total or 0) - self.n
        state = {"step": self.desc, "done": self.n, "total": self.total, "left": left / rate if rate else None}
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(state))
        part.replace(self.path)

    def close(self) -> None:
        if not self.disable:
            self.path.unlink(missing_ok=True)
        self.disable = True


def progress(step: str, total: int, items: Iterable[T] | None = None) -> tqdm:
    """A bar for `total` pieces of work, to be updated by hand or drawn from `items`; gone when it is done."""
    if told():
        return ToFile(items, total=total, desc=step, disable=not total)
    if not total:
        return tqdm(items, disable=True)
    return tqdm(items, total=total, desc=step, leave=False)


@dataclass
class Screen:
    """What the terminal shows: lines that stay, and below them one that says how far things are.

    Where nobody watches (a log), that line is written every EVERY seconds instead.
    """

    live: bool = field(default_factory=lambda: sys.stdout.isatty())
    last: float = field(default_factory=time.monotonic)

    def say(self, line: str) -> None:
        print(("\r\033[K" if self.live else "") + line, flush=True)

    def show(self, line: str) -> None:
        if self.live:
            print("\r\033[K" + line[: shutil.get_terminal_size().columns - 1], end="", flush=True)
        elif time.monotonic() - self.last > EVERY:
            self.last = time.monotonic()
            self.say(f"  {line}")


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
