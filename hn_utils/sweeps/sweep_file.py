"""A sweep: the same road for several studies, seeds and models, as a file names them. Each combination is a task."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from hn_utils.storage.paths import expanded
from hn_utils.study import (
    PRESETS,
    Study,
    called,
    check_name,
    load_study,
    located,
    read_record,
    strict_record,
    tupled,
)
from hn_utils.study.settings_files import beside

OWN = {
    "name": "studies",
    "seed": "seeds",
    "instruct": "models",
}  # what a sweep sets for each task, and by which setting


@strict_record
class Resources:
    """What a task is given, in Ray's words."""

    num_cpus: int = Field(default=1, ge=1, description="Processor cores: the task's threads, wherever it runs.")
    num_gpus: float = Field(default=0, ge=0, description="On a cluster: GPUs, or a share of one.")
    memory: float | None = Field(default=None, ge=1, description="On a cluster: bytes of memory.")


@strict_record
class Sweep:
    """Which tasks there are, and what each is given.

    Each study runs with each of the seeds and each of the models, without them with its own. A model that is not a
    study's own has not the study's base model and checkpoints either.
    """

    name: str = Field(description="Name of the sweep and of the folder of its results.")
    studies: tuple[str, ...] = Field(
        default=(), description="Presets, study files, hub names or models' folders, as `load_study` takes them."
    )
    seeds: tuple[int, ...] = Field(default=(), description="Seeds with which each study runs.")
    models: tuple[str, ...] = Field(
        default=(), description="Instruct models: hub names (`name@revision` for a checkpoint) or folders."
    )
    settings: Mapping[str, Any] = Field(default_factory=dict, description="Changes to all studies.")
    resources: Resources = Field(default_factory=Resources, description="What each task is given.")
    retries: int = Field(default=3, ge=0, description="How often a task is begun again whose worker died.")
    bases: Mapping[str, str] = Field(
        default_factory=dict, description="By model, the one that it was tuned from; a model not named here has none."
    )

    _plain_name = field_validator("name")(check_name)

    @model_validator(mode="after")
    def _has_tasks(self) -> Self:
        """Raises ValueError for a sweep without tasks, or with settings that its tasks do not share."""
        if not self.studies or not all(self.studies + self.models):
            empty = "models" if all(self.studies) and self.studies else "studies"
            raise ValueError(f"{empty}={getattr(self, empty)!r} must name at least one, and none may be empty")
        if unknown := [model for model in self.bases if model not in self.models]:
            raise ValueError(f"bases names the base of {unknown[0]!r}, which is none of models: name a model of these")
        if taken := [name for name in OWN if name in self.settings]:
            raise ValueError(
                f"settings may not hold {taken[0]!r}, which differs from task to task: give {OWN[taken[0]]}"
            )
        return self

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
    if isinstance(settings.get("resources"), dict):
        settings["resources"] = Resources(**settings["resources"])
    if isinstance(settings.get("settings"), dict):
        settings["settings"] = tupled(settings["settings"])
    return Sweep(**{"name": path.stem, **_from_file(path.parent, settings)})


def _from_file(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
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
