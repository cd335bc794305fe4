"""Records that pydantic checks, and every fault of one said in one sentence: the setting, its value, the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field as DataclassField
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import cache, wraps
from typing import Any, TypeVar, dataclass_transform, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.dataclasses import dataclass

_CONFIG = ConfigDict(strict=True, extra="forbid")
_BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
_OUT_OF_BOUNDS = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}  # as pydantic names faults
_Kind = TypeVar("_Kind")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field,))
def strict_record(kind: type[_Kind]) -> type[_Kind]:
    """Make a class a frozen, keyword-only record of settings, which refuses what is unknown or of another type.

    An int passes for a float, a bool for neither, a list for no tuple. `dataclasses.replace` and `asdict` work on it.

    Args:
        kind: a class whose settings are annotated, each with a `pydantic.Field` that says its bounds and its meaning.

    Returns:
        The class, whose making raises a ValueError of one sentence in place of pydantic's list of faults.
    """
    record: Any = dataclass(kind, frozen=True, kw_only=True, config=_CONFIG)
    validated = record.__init__

    @wraps(validated)
    def checked(self: Any, **settings: Any) -> None:
        try:
            validated(self, **settings)
        except ValidationError as error:
            raise ValueError(_sentence(record, settings, error)) from None

    record.__init__ = checked
    return record


def check_types(record: Any) -> None:
    """Check that each field of a plain dataclass is of its type, as those of a strict record are.

    For records that are many, or come from elsewhere, and are checked once instead of whenever one is made.

    Args:
        record: an instance of a dataclass.

    Raises:
        ValueError: names the first field of another type, its value and its type.
    """
    kind, settings = type(record), vars(record)
    try:
        _model_of(kind).__pydantic_validator__.validate_python(settings)
    except ValidationError as error:
        raise ValueError(_sentence(kind, settings, error)) from None


def check_given(name: str, value: Any, kind: type | tuple[type, ...], remedy: str) -> None:
    """Check that an argument is of the kind that a function takes.

    Args:
        name: what the argument is called.
        value: what was given.
        kind: the class, or the classes, of which it must be.
        remedy: what to give, in words.

    Raises:
        ValueError: names the argument, what it is and what to give.
    """
    if not isinstance(value, kind):
        raise ValueError(f"{name} is of type {type(value).__name__}: give {remedy}")


@cache
def _model_of(kind: type) -> type[BaseModel]:
    """A pydantic model with the fields of a dataclass. Made once: questions are many."""
    hints = get_type_hints(kind)
    annotated: dict[str, Any] = {one.name: (hints[one.name], ...) for one in fields(kind)}  # pyright: ignore
    return create_model(kind.__name__, __config__=_CONFIG, **annotated)


def _sentence(kind: type, settings: Mapping[str, Any], error: ValidationError) -> str:
    """The first fault in a record's settings; one that is unknown comes before all others."""
    faults = error.errors(include_url=False)
    unknown = [fault for fault in faults if fault["type"] == "unexpected_keyword_argument"]
    fault = (unknown or faults)[0]
    if fault["type"] == "value_error":  # of a check of our own, which says all
        return str(fault.get("ctx", {})["error"])
    name = str(fault["loc"][0])
    if unknown:
        return _unknown(kind, name)
    if fault["type"] == "missing":
        return f"{name} is missing: a {kind.__name__} must be given one"
    if fault["type"] in _OUT_OF_BOUNDS:
        return f"{name}={settings[name]} must be {_bounds(kind, name)}"
    return f"{name}={settings[name]!r} must be of type {_fields(kind)[name].type}"


def _unknown(kind: Any, name: str) -> str:
    """What a setting that a record lacks may mean."""
    for part, record in get_type_hints(kind).items():
        if is_dataclass(record) and name in _fields(record):
            return f"unknown setting {name!r}: give it as {part}={{{name!r}: ...}}"
    known = _fields(kind)
    # A record without a name of its own is a part of another.
    whose = "" if "name" in known else f"of {kind.__name__.lower()}, "
    near = get_close_matches(name, known, 1)
    if near:
        return f"unknown setting {whose}{name!r}: did you mean {near[0]}?"
    needed = [one for one in known if kind.__pydantic_fields__[one].is_required()]
    others = [one for one in known if one not in needed]
    return f"unknown setting {whose}{name!r}: choose of {', '.join(needed + others)}"


def _bounds(kind: Any, name: str) -> str:
    """Between which numbers a setting must lie, in words."""
    told = []
    for limit in kind.__pydantic_fields__[name].metadata:
        told += [f"{words} {getattr(limit, bound)}" for bound, words in _BOUNDS.items() if hasattr(limit, bound)]
    return " and ".join(told)


def _fields(kind: Any) -> dict[str, DataclassField[Any]]:
    return {one.name: one for one in fields(kind)}
