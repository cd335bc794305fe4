"""How a task of a sweep ended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ended:
    """How a task ended: its files by name, what it said, and in one sentence why it failed, if it did."""

    files: dict[str, str]
    said: str
    failure: str = ""
