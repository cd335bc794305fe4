"""A sweep: the same road for several studies, seeds and models, as a file names them. Each combination is a task."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hn_utils.storage.paths import beside, expanded
from hn_utils.study import (
    PRESETS,
    Study,
    called,
    check_name,
    check_range,
    check_settings,
    check_types,
    load_study,
    located,
    read_record,
    tupled,
)

OWN = {
    "name": "studies",
    "seed": "seeds",
    "instruct": "models",
}  # what a sweep sets for each task, and by which setting


@dataclass(frozen=True)
class Resources:
    """What a task is given, in Ray's words: processor cores, which are its threads wherever it runs, and on a cluster
    GPUs (or a share of one) and bytes of memory."""

    num_cpus: int = 1
    num_gpus: float = 0
    memory: float | None = None

    def __post_init__(self) -> None:
        check_types(self)
        check_range(self, num_cpus=(1, np.inf), num_gpus=(0, np.inf), memory=(1, np.inf))


@dataclass(frozen=True)
class Sweep:
    """Which tasks there are, and what each is given.

    `studies` are presets, study files, hub names or models' folders, as `load_study` takes them. Each runs with each of
    the `seeds` and each of the `models` (instruct models: hub names, `name@revision` for a checkpoint, or folders);
    without them with its own. A model that is not a study's own has not the study's base model and checkpoints either:
    `bases` names by model the one that it was tuned from, else it has none. `settings` are changes to all studies.
    `retries` is how often a task is begun again whose worker died.
    """

    name: str
    studies: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    models: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    resources: Resources = field(default_factory=Resources)
    retries: int = 3
    bases: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError for a sweep without tasks, or with settings that its tasks do not share."""
        check_types(self)
        check_range(self, retries=(0, np.inf))
        check_name(self.name)
        if not self.studies or not all(self.studies + self.models):
            empty = "models" if all(self.studies) and self.studies else "studies"
            raise ValueError(f"{empty}={getattr(self, empty)!r} must name at least one, and none may be empty")
        if unknown := [model for model in self.bases if model not in self.models]:
            raise ValueError(f"bases names the base of {unknown[0]!r}, which is none of models: name a model of these")
        if taken := [name for name in OWN if name in self.settings]:
            raise ValueError(
                f"settings may not hold {taken[0]!r}, which differs from task to task: give {OWN[taken[0]]}"
            )

    def tasks(self) -> list[Study]:
        """The study of each task, under a name of its own. Raises what `load_study` does, and ValueError if two tasks
        would have one name."""
        made = []
        for which in self.studies:
            study = load_study(which, **self.settings)
            for seed in self.seeds or (study.seed,):
                for model in self.models or (study.instruct,):
                    names = [study.name, *[short(model)] * bool(self.models), *[f"seed-{seed}"] * bool(self.seeds)]
                    whose = {"instruct": model, **self.origins(study, model)}
                    made.append(replace(study, name="-".join(names), seed=seed, **whose))
        twice = [name for name, n in Counter(study.name for study in made).items() if n > 1]
        if twice:
            raise ValueError(
                f"{len(twice)} names stand for several tasks, such as {twice[0]!r}: name no study, seed or model twice "
                "and give no two files or folders one name"
            )
        return made

    def origins(self, study: Study, model: str) -> dict[str, Any]:
        """The base model and the checkpoints with which a model is compared in a study."""
        if expanded(model) == study.instruct:
            return {"base": self.bases.get(model, study.base)}
        return {"base": self.bases.get(model, self.settings.get("base", "")), "checkpoints": ()}


def short(model: str) -> str:
    """A model's name as a part of a file's: without its path, with its revision."""
    name, _, revision = (model, "", "") if Path(model).exists() else model.partition("@")
    return re.sub(r"[^\w. -]", "-", "-".join(filter(None, [called(name), revision])))


def read_sweep(path: Path) -> Sweep:
    """A sweep from its JSON file, after which it is named. Raises OSError if it cannot be read, ValueError that names
    a setting that is unknown or of no use."""
    settings = tupled(read_record(path, "sweep", '{"studies": ["organism-quick"], "seeds": [0, 1]}'))
    check_settings(Sweep, settings)
    if isinstance(settings.get("resources"), dict):
        check_settings(Resources, settings["resources"], "of resources, ")
        settings["resources"] = Resources(**settings["resources"])
    if isinstance(settings.get("settings"), dict):
        settings["settings"] = tupled(settings["settings"])
    return Sweep(**{"name": path.stem, **from_file(path.parent, settings)})


def from_file(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a sweep's file, with its relative paths read from the folder in which that lies."""

    def there(where: Any) -> Any:
        is_path = isinstance(where, str) and where and (folder / expanded(where)).exists()
        return beside(folder, where) if is_path and where not in PRESETS else where

    found = dict(settings)
    for name in ("studies", "models"):
        if isinstance(found.get(name), tuple):
            found[name] = tuple(map(there, found[name]))
    if isinstance(found.get("bases"), dict):
        found["bases"] = {there(model): there(base) for model, base in found["bases"].items()}
    if isinstance(found.get("settings"), dict):
        found["settings"] = located(folder, found["settings"])
    return found
