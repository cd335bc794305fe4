"""A user's own rows, of questions or of items: what may be given, and what a cell of a table says."""

from __future__ import annotations

import ast
import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd


def rows_of(name: str, given: Any, what: str) -> list[Mapping[str, Any]]:
    """Rows, a dict each, from a list of dicts or a DataFrame. Raises ValueError if they are something else, or there
    are none."""
    if isinstance(given, pd.DataFrame):
        rows: list[Any] = given.to_dict("records")
    elif isinstance(given, Sequence) and not isinstance(given, str):
        rows = list(given)
    else:
        raise ValueError(f"{name} is of type {type(given).__name__}: give a list of dicts, or a DataFrame, with {what}")
    if not rows:
        raise ValueError(f"{name} is empty: give dicts with {what}")
    for place, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise ValueError(f"{name}[{place}] is of type {type(row).__name__}: give a dict with {what}")
    return rows


def present(row: Mapping[str, Any], name: str) -> bool:
    """Does a row say something under this name? A DataFrame fills what is missing with nan."""
    value = row.get(name)
    missing = value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))
    return not missing


def meant_by(name: str, row: Mapping[str, Any]) -> str:
    """A question after the column that may be meant by a name which the row lacks; empty if none is like it."""
    near = [] if name in row else get_close_matches(name, map(str, row), 1)
    return f": did you mean {name!r} by {near[0]!r}?" if near else ""


def texts_of(where: str, given: Any) -> tuple[str, ...]:
    """One text or several, from a text, a whole number or a list of such, or from the text that a CSV file makes of a
    list. Raises ValueError, which says `where`, for anything else."""
    many = given.tolist() if isinstance(given, np.ndarray) else given
    many = listed(where, many) if isinstance(many, str) else [many] if isinstance(many, int) else many
    if not isinstance(many, list | tuple) or any(
        isinstance(one, bool) or not isinstance(one, str | int) for one in many
    ):
        raise ValueError(f"{where}={given!r}: it must be a text, or a list of texts")
    return tuple(map(str, many))


def listed(where: str, text: str) -> list[Any]:
    """The list that a text writes down, in JSON or as Python prints a list of texts; else that text alone.

    Raises ValueError for a text that only looks like such a list, as NumPy prints it: Python would read "['A' 'B']" as
    a single text, AB.
    """
    inner = text.strip()
    if not inner.startswith(("[", "(")) or not inner.endswith(("]", ")")):
        return [text]
    with contextlib.suppress(ValueError, RecursionError):
        if isinstance(many := json.loads(inner), list):
            return many
    with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
        many, written = ast.literal_eval(inner), ast.parse(inner, mode="eval").body
        each = written.elts if isinstance(written, ast.List | ast.Tuple) else []
        if each and [ast.get_source_segment(inner, one) for one in each] == list(map(repr, many)):
            return list(many)
    if re.match(r"[\[(]\s*['\"]", inner):
        raise ValueError(
            f"{where}={text!r}: that looks like a list, but not as JSON or Python write one: write "
            '["A", "B"], or keep the rows in a .jsonl or .parquet file'
        )
    return [text]
