"""How far a long step is, and what a user should be told meanwhile: in the terminal or notebook where the step runs.

`make notebooks` runs notebooks in processes of their own and tells what they do in its own terminal. It names a folder
in HN_PROGRESS; steps write there, so that no bar and no remark ends up in a notebook's output.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from tqdm.auto import tqdm

T = TypeVar("T")
_EVERY = 30.0  # seconds between two lines where nobody watches a terminal


def _notes_folder() -> Path | None:
    """The folder in which the terminal looks, if this is not its own process."""
    folder = os.environ.get("HN_PROGRESS")
    return Path(folder) if folder else None


def tell(remark: str) -> None:
    """Tell the user something in one sentence, without disturbing a bar."""
    remark = visible(remark)
    if folder := _notes_folder():
        with (folder / "notes.txt").open("a", encoding="utf-8") as notes:
            notes.write(remark + "\n")
    else:
        tqdm.write(remark)


@cache
def tell_once(remark: str) -> None:
    """`tell`, but the same remark only once in a process."""
    tell(remark)


class _ToFile(tqdm):
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
    if _notes_folder():
        return _ToFile(items, total=total, desc=step, disable=not total)
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
        elif time.monotonic() - self.last > _EVERY:
            self.last = time.monotonic()
            self.say(f"  {line}")


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


# Control characters but tab and line feed (among them ANSI's escape), marks that change the direction of writing (other
# than letters, which have a direction of their own), and halves of characters, which no file can hold.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The same text, each character that is a command replaced by a mark."""
    return _COMMANDS.sub("\ufffd", text)
