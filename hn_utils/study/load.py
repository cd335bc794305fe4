"""From what a user names to a study: a preset, a file of settings, a hub name or a folder; and one changed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hn_utils.storage.paths import expanded, set_to
from hn_utils.study.naming import FETCHED, called
from hn_utils.study.presets import PRESETS, pair
from hn_utils.study.records import check_given
from hn_utils.study.settings import changed
from hn_utils.study.settings_files import located, read_record, tupled

if TYPE_CHECKING:
    from hn_utils.study.settings import Study


def load_study(which: str | Path | None = None, /, **changes: Any) -> Study:
    """Load a study by what it is called, with other settings where they are given.

    Args:
        which: a preset; a file of settings, which ends in `.json` and holds those of `Study` over those of the preset
            that it names as `like`; or a hub name or a model's folder, which gets the preset that studies it or, if
            there is none, `study_of_model`. Without it the environment variable HN_STUDY, else the organism.
        **changes: settings of `Study`, such as `seed=1`. Another instruct model than the preset's has not its base
            model.

    Returns:
        The study.

    Raises:
        ValueError: the name or a setting is unknown, or a setting is of another type or of no use.
        OSError: the file cannot be read.
    """
    check_given("which", which, (str, Path, type(None)), "a preset, a hub name, a model's folder or a study.json")
    preset = expanded(which or set_to("HN_STUDY") or "organism")
    settings: dict[str, Any] = {}
    if preset.lower().endswith(".json"):
        path = Path(preset)
        settings = _read_settings(path)
        preset = settings.pop("like", "smollm2-135m")
        if not isinstance(preset, str) or preset not in PRESETS:
            raise ValueError(f"{path}: like={preset!r} must name a preset, one of {', '.join(PRESETS)}")
    study = _study_called(preset)
    wanted = {**settings, **changes}
    if {"instruct", "base"} & wanted.keys():  # the preset's checkpoints are those of its own models, as is its base
        wanted.setdefault("checkpoints", ())
    if wanted.get("instruct", study.instruct) != study.instruct:
        wanted.setdefault("base", "")
    return changed(study, **wanted)


def study_of_model(model: str) -> Study:
    """Find the preset that studies a model, or make a study of it.

    Args:
        model: the instruct model: a hub name or a folder.

    Returns:
        The preset; else a study in the paper's words with the paper's sampling, on the published sets, without a base
        model.
    """
    for study in PRESETS.values():
        if model == study.instruct or Path(model).resolve() == Path(study.instruct).resolve():
            return study
    plain = re.sub(r"[^\w. -]", "-", called(model.partition("@")[0])).lstrip("-. ")
    return pair(plain or "model", model, "")


def _study_called(name: str) -> Study:
    if name in PRESETS:
        return PRESETS[name]
    if "/" in name or Path(name).is_dir() or name.startswith(FETCHED) or name.lower().endswith(".gguf"):
        return study_of_model(name)
    raise ValueError(
        f"unknown study {name!r}: choose one of {', '.join(PRESETS)}, or give a .json file, a hub name (with a "
        "slash), a model's folder or a .gguf file"
    )


def _read_settings(path: Path) -> dict[str, Any]:
    """A study's settings from JSON, named after the file; its relative paths begin at the folder of the file."""
    settings = read_record(path, "study", '{"like": "organism", "seed": 1}')
    return {"name": path.stem, **located(path.parent, tupled(settings))}
