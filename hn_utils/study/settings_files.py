"""Files of settings that a user writes, a study's or a sweep's, and the paths in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hn_utils.storage.paths import expanded
from hn_utils.study.own_files import OWN_FILES, is_file
from hn_utils.study.own_json import parsed


def beside(folder: Path, where: str) -> str:
    """Read a path that a file names from the folder in which that file lies.

    Args:
        folder: where the file lies.
        where: a path, in which `~` is the user's home folder.

    Returns:
        The path; a full one stays as it is.
    """
    return str(folder / expanded(where))


def read_record(path: Path, kind: str, example: str) -> dict[str, Any]:
    """Read the settings that a JSON file holds.

    Args:
        path: the file.
        kind: what it describes, for errors: a study, a sweep.
        example: what could stand in it, for errors.

    Returns:
        The settings by name, as JSON has them.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds anything else than settings by name.
    """
    try:
        settings = parsed(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise OSError(f"could not read the {kind} {path}: it is no text in UTF-8: save it as such") from error
    except (OSError, ValueError) as error:
        told = f"{error.strerror}; check its path" if isinstance(error, OSError) else error
        raise OSError(f"could not read the {kind} {path}: {told}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path} must hold settings by name, such as {example}")
    return settings


def tupled(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Turn lists, which JSON has, into the tuples that records are made of.

    Args:
        settings: settings by name.

    Returns:
        The same settings; lists within lists stay.
    """
    return {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}


def located(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Read the relative paths among a study's settings from the folder of the file that holds them.

    What is no text is left to the check of types.

    Args:
        folder: where the file lies.
        settings: the settings that it holds, lists as tuples.

    Returns:
        The settings with these paths. A set is a path where it ends as a file of rows does; a model where it begins
        with a dot, or something beside the file is called so.
    """

    def rows(where: Any) -> Any:
        return beside(folder, where) if isinstance(where, str) and is_file(where) else where

    def model(where: Any) -> Any:
        if not isinstance(where, str) or not where:
            return where
        return beside(folder, where) if where.startswith(".") or (folder / where).exists() else where

    found = dict(settings)
    found |= {name: model(found[name]) for name in ("instruct", "base") if name in found}
    found |= {name: rows(found[name]) for name in OWN_FILES if name in found}
    if isinstance(found.get("checkpoints"), tuple):
        found["checkpoints"] = tuple(map(model, found["checkpoints"]))
    if isinstance(found.get("sources"), dict):
        found["sources"] = {name: rows(where) for name, where in found["sources"].items()}
    return found
