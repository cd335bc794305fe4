"""Settings that name a file of rows: which do, and whether it is there."""

from __future__ import annotations

import os
import re
from pathlib import Path

OWN_FILES = ("questions", "items")  # settings that may name a file of the user's own rows
FORMATS = {".parquet", ".jsonl", ".json", ".csv", ".tsv"}  # of files with rows


def is_file(source: str) -> bool:
    """Say whether a source is a file of rows.

    Args:
        source: a path, an address or a hub name.

    Returns:
        True where it ends as a file of rows does; what ends otherwise is a hub name, which may hold dots as well.
    """
    return Path(source).suffix.lower() in FORMATS and "://" not in source


def checked_file(setting: str, where: str) -> str:
    """Check that the file is there, if a setting names one.

    Args:
        setting: what the setting is called.
        where: its value: a file, or the name of something that is none.

    Returns:
        The value with `~` read as the user's home folder.

    Raises:
        ValueError: names the setting and a file that does not exist.
    """
    path = os.path.expanduser(where)
    if is_file(path) and not Path(path).exists():
        slashes = " (in JSON each backslash of a path is written twice)" if re.search(r"[\t\n\r\f\b]", path) else ""
        raise ValueError(f"{setting}={path!r} does not exist: give the full path of a file{slashes}")
    return path
