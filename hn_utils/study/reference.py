"""All settings of a study as a table to be read, by group, from the records that define them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from pydantic.fields import FieldInfo

from hn_utils.study.settings import (
    GeneralSettings,
    JudgeSettings,
    ModelSettings,
    ProbeSettings,
    QuestionSettings,
    SamplingSettings,
    SteeringSettings,
)

_GROUPS = {
    "general": GeneralSettings,
    "models": ModelSettings,
    "questions": QuestionSettings,
    "sampling": SamplingSettings,
    "probe": ProbeSettings,
    "steering": SteeringSettings,
    "judge": JudgeSettings,
}


def settings_table() -> str:
    r"""List every setting of `Study` by group, in Markdown.

    Those of `Sampling` stand there as `sampling.n`: in a study's file they are written as `"sampling": {"n": 10}`.

    Returns:
        A table with the columns Group, Setting, Type, Default and Description, a row for each setting. A setting
        without a default must be given.

    >>> print(settings_table().splitlines()[3])
    | general | `seed` | `int` | `0` | Seed of all that is drawn at random. |
    """
    lines = ["| Group | Setting | Type | Default | Description |", "|---|---|---|---|---|"]
    for group, kind in _GROUPS.items():
        lines += _rows(group, kind)
    return "\n".join(lines)


def _rows(group: str, kind: Any, within: str = "") -> Iterator[str]:
    hints = get_type_hints(kind)
    for one in fields(kind):
        if is_dataclass(hints[one.name]):
            yield from _rows(group, hints[one.name], f"{one.name}.")
            continue
        info: FieldInfo = kind.__pydantic_fields__[one.name]
        default = "" if info.is_required() else _code(repr(info.get_default(call_default_factory=True)))
        cells = [group, _code(within + one.name), _code(str(one.type)), default, _cell(info.description or "")]
        yield f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    """A text in which no bar ends a cell of the table."""
    return text.replace("|", r"\|")
