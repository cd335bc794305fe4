"""Settings that are given to a step by name: which of them were given, and what is said of those that do not fit."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from enum import Enum
from functools import wraps
from typing import Any, Final, Literal, ParamSpec, TypeVar

from hn_utils.study.settings import Study, changed

_OF_LOADING = ("instruct", "device", "dtype", "bits")  # settings that a model was loaded with
_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class _Ungiven(Enum):
    """A default that is no value, for settings of which None is one."""

    AS_STUDIED = "as the study says"

    def __repr__(self) -> str:
        return "AS_STUDIED"


AS_STUDIED: Final = _Ungiven.AS_STUDIED
AsStudied = Literal[_Ungiven.AS_STUDIED]
# Settings that a study holds as tuples, and steps take as any sequence.
_TUPLES = {name for name, one in Study.__pydantic_fields__.items() if isinstance(one.default, tuple)}  # type: ignore
_NONE_IS_A_VALUE = {name for name, one in Study.__pydantic_fields__.items() if one.default is None}  # type: ignore


def given_settings(**settings: Any) -> dict[str, Any]:
    """Leave out the settings that were not given to a step.

    Args:
        **settings: settings of `Study`, each as the step's argument of that name holds it: AS_STUDIED stands for what
            the study says, and so does None where a study cannot hold None.

    Returns:
        Those that were given, sequences as the tuples that a study holds.
    """
    given = {}
    for name, value in settings.items():
        if _was_given(name, value):
            given[name] = tuple(value) if name in _TUPLES else value
    return given


def _was_given(name: str, value: Any) -> bool:
    return value is not AS_STUDIED and (value is not None or name in _NONE_IS_A_VALUE)


def with_later_settings(study: Study, settings: Mapping[str, Any]) -> Study:
    """Change settings of a study after its model was loaded.

    Args:
        study: the study, which stays as it is.
        settings: settings of `Study` by name.

    Returns:
        Another study.

    Raises:
        ValueError: a setting is unknown, of no use, or one that the model was loaded with.
    """
    late = [name for name in _OF_LOADING if name in settings]
    if late:
        raise ValueError(_too_late(", ".join(late)))
    return changed(study, **settings)


def names_its_settings(step: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Let a step say in one sentence what is wrong with a setting that it does not take.

    Args:
        step: a function whose settings are keyword-only arguments.

    Returns:
        The step; called with an argument that it lacks it raises a ValueError that says what to do.
    """
    taken = inspect.signature(step).parameters
    known = [name for name, one in taken.items() if one.kind is one.KEYWORD_ONLY]

    @wraps(step)
    def checked(*args: _Parameters.args, **settings: _Parameters.kwargs) -> _Result:
        for name in settings:
            if name not in taken:
                raise ValueError(_not_taken(step.__name__, name, known))
        return step(*args, **settings)

    return checked


def _not_taken(step: str, name: str, known: list[str]) -> str:
    """What an argument that a step lacks may mean."""
    if name in _OF_LOADING:
        return _too_late(name)
    near = get_close_matches(name, known, 1)
    if near:
        return f"unknown setting {name!r} of {step}: did you mean {near[0]}?"
    if name in {one.name for one in fields(Study)}:  # pyright: ignore
        return f"{name} is no setting of {step}: give it to the step that it is for, or to hn.load_study"
    return f"unknown setting {name!r} of {step}: choose of {', '.join(known)}"


def _too_late(names: str) -> str:
    return f"{names} belongs to loading: give it to hn.load, not to a step that follows"
