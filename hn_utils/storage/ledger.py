"""Replies that cost something, kept one by one as they arrive: no interruption loses what was paid for.

A ledger is a text file to which lines are appended, each `<hash of the rest> <key> <reply as JSON>`, with an empty line
before it. So damage is noticed, and stays within one reply; several processes may append to it at once.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from hn_utils.storage.files import digest, is_readable, write_whole, writing_to
from hn_utils.storage.paths import cache_root
from hn_utils.storage.progress import tell


class Ledger:
    """Replies by key under the cache folder; a key holds no blank. Only their places are held in memory.

    Damaged lines are named and blotted out: these replies are asked for again. Raises OSError if the file cannot be
    read or written.
    """

    def __init__(self, name: str) -> None:
        self.path = cache_root() / f"{name}.ledger"
        self.places: dict[str, tuple[int, int]] = {}
        self.end = 0  # up to where lines have been read
        with writing_to(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            table = self.path.with_suffix(".sqlite")
            if table.exists() and not self.path.exists():
                write_whole(self.path, adopted(table))
            is_readable(self.path)
            self.file = self.path.open("a+b", buffering=0)
            self.read_on()
            if self.path.stat().st_size > self.end:  # an unfinished line; whoever is still writing it does so first
                self.file.write(b"\n")
                self.read_on()

    def read_on(self) -> None:
        """Read what has been appended since, by whomever, but no unfinished line."""
        damaged = []
        for start, line in whole_lines(self.path, self.end):
            self.end = start + len(line)
            if (key := key_in(line)) is not None:
                self.places[key] = (start, len(line))
            elif line.strip():
                damaged.append((start, len(line)))
        if damaged:
            tell(f"cache: {len(damaged)} lines of {self.path} are damaged; these replies will be asked for again")
            with self.path.open("r+b") as file:
                for start, length in damaged:
                    file.seek(start)
                    file.write(b"\n" * length)

    def get(self, key: str) -> str | None:
        if key not in self.places and self.path.stat().st_size > self.end:
            self.read_on()
        if key not in self.places:
            return None
        start, length = self.places[key]
        self.file.seek(start)
        return json.loads(self.file.read(length).split(b" ", 2)[2])

    def put(self, key: str, reply: str) -> None:
        line = _line_of(key, reply)
        with writing_to(self.path.parent):
            if self.file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self.file.fileno())

    def close(self) -> None:
        self.file.close()


def _line_of(key: str, reply: str) -> bytes:
    rest = f"{key} {json.dumps(reply)}".encode()
    return b"\n" + digest(rest).encode() + b" " + rest + b"\n"


def key_in(line: bytes) -> str | None:
    """The key of a line, or None if the line is not the very one that was written."""
    said, _, rest = line.rstrip(b"\n").partition(b" ")
    return rest.partition(b" ")[0].decode() if said == digest(rest).encode() else None


def whole_lines(path: Path, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Lines that have an end, each with the place of its first byte."""
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if line.endswith(b"\n"):
                yield start, line
            start += len(line)


def adopted(table: Path) -> str:
    """What earlier versions kept in a table, as lines; of a damaged one as many as can be read."""
    lines = []
    try:
        with contextlib.closing(sqlite3.connect(table)) as old:
            for key, reply in old.execute("select key, reply from replies"):
                lines.append(_line_of(key, reply).decode())
    except sqlite3.Error as error:
        tell(f"cache: {table} is damaged ({error}); {len(lines)} replies were saved, others will be asked for again")
    return "".join(lines)
