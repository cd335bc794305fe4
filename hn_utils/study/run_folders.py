"""Where a study's results lie: in a folder of their own, into which no other study writes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hn_utils.storage.files import write_whole
from hn_utils.storage.paths import runs_root
from hn_utils.study.own_files import OWN_FILES, is_file
from hn_utils.study.settings_files import read_record

if TYPE_CHECKING:
    from hn_utils.study.settings import Study

SETTINGS = "study.json"  # beside the results: all settings, as `load_study` reads them again
SWEPT = "results.csv"  # what a sweep leaves in its folder
_HOW = ("device", "batch_rows", "judge_price")  # settings that may change between two runs of one study


def own_home(study: Study) -> Path:
    """The folder of a study's results, runs/<name>, `claimed`."""
    return claimed(runs_root() / study.name, study)


def claimed(folder: Path, study: Study) -> Path:
    """The folder, made if need be, with the study's settings in it. Raises OSError if it holds the results of another
    study, or cannot be written."""
    require_own(folder, study)
    record, text = folder / SETTINGS, json.dumps(_settled(study), indent=1) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not record.exists() or record.read_text(encoding="utf-8") != text:
            write_whole(record, text)
    except OSError as error:
        raise OSError(f"folder {str(folder)!r} cannot be written ({error.strerror}): name one that can") from error
    return folder


def require_own(folder: Path, study: Study) -> None:
    """Raises OSError if a folder holds the results of a sweep, or of another study of this name."""
    remedy = "give this one a name of its own, or move that folder away"
    if (folder / SWEPT).exists():
        raise OSError(f"{folder} holds the results of a sweep: {remedy}")
    if not (folder / SETTINGS).exists():
        return
    there = read_record(folder / SETTINGS, "study", "those that a run writes there")
    for name, value in _settled(study).items():
        if name not in _HOW and there.get(name, value) != value:
            raise OSError(
                f"{folder} holds the results of another study named {study.name!r} ({name}={there[name]!r} there, "
                f"{value!r} here): {remedy}"
            )


def _settled(study: Study) -> dict[str, Any]:
    """A study's settings as JSON holds them, local files and folders by their full paths: from another place a relative
    path would name other ones."""

    def full(where: str) -> str:
        return os.path.abspath(where) if where and Path(where).exists() else where

    def file(where: str) -> str:
        return full(where) if is_file(where) else where

    places: dict[str, Any] = {name: full(getattr(study, name)) for name in ("instruct", "base")}
    places |= {name: file(getattr(study, name)) for name in OWN_FILES}
    places["checkpoints"] = tuple(map(full, study.checkpoints))
    places["sources"] = {name: file(where) for name, where in study.sources.items()}
    return json.loads(json.dumps(asdict(replace(study, **places))))
