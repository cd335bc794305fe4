"""A user's own rows, of questions or of items: what may be given, and what a cell of a table says."""

from __future__ import annotations

import ast
import contextlib
import datetime
import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

from hn_utils.storage.progress import tell_once

BAR = "|"  # between answers; it stands within hardly any
SEPARATORS = (";", " / ", " or ")  # which stand between answers, and within one as well
NUMBERS = " (a column of numbers with a hole in it becomes one of floats: read it as text, with dtype=str)"


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
    """Does a row say something under this name? A DataFrame fills what is missing with nan, or NaT."""
    value = row.get(name)
    return value is not None and not (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def unnamed(column: str) -> bool:
    """Is this the column of row numbers that pandas writes beside a table?"""
    return not column.strip() or re.fullmatch(r"Unnamed: \d+", column) is not None


def meant_by(name: str, row: Mapping[str, Any]) -> str:
    """A question after the column that may be meant by a name which the row lacks; empty if none is like it."""
    near = [] if name in row else get_close_matches(name, map(str, row), 1)
    return f": did you mean {name!r} by {near[0]!r}?" if near else ""


def texts_of(where: str, given: Any) -> tuple[str, ...]:
    """One text or several, from a text, a whole number or a list of such, or from the text that a CSV file makes of a
    list. Raises ValueError, which says `where`, for anything else, or for half a character."""
    many = given.tolist() if isinstance(given, np.ndarray | np.generic) else given
    many = listed(where, many) if isinstance(many, str) else [many] if isinstance(many, int) else many
    if not isinstance(many, list | tuple) or any(
        isinstance(one, bool) or not isinstance(one, str | int | np.integer) for one in many
    ):
        raise ValueError(
            f"{where}={given!r}: it must be a text, or a list of texts{NUMBERS if isinstance(many, float) else ''}"
        )
    texts = tuple(map(str, many))
    for text in texts:
        check_characters(where, text)
    return texts


def answers_of(where: str, given: Any, separator: str = BAR) -> tuple[str, ...]:
    """Accepted answers: `texts_of`, where a text may also list several with a bar between them, or with the separator
    of its column."""
    texts = texts_of(where, given)
    if not isinstance(given, str) or texts != (given,):
        return texts  # a list, of which each text is an answer
    return tuple(piece for text in parted(given, separator) for piece in parted(text, BAR))


def parted(text: str, separator: str) -> tuple[str, ...]:
    """The answers that a text lists, "Jane Austen | Austen"; else that text alone.

    A sign parts answers only where each piece has a word and closes its own brackets: not in |x| or P(A|B).
    """
    pieces = [piece.strip() for piece in text.split(separator)]
    whole = all(re.search(r"\w", piece) and balanced(piece) for piece in pieces)
    return tuple(pieces) if len(pieces) > 1 and whole else (text,)


def balanced(text: str) -> bool:
    """Has a text as many brackets that open as that close?"""
    return all(text.count(opening) == text.count(closing) for opening, closing in ("()", "[]", "{}"))


def separator_of(name: str, given: Sequence[Any]) -> str:
    """What parts several answers in the texts of a column: what most of them hold of the signs that also stand within
    an answer, else a bar.

    A single "Trick or Treat" is one answer. Which sign was read as what is told, since nothing says it for certain.
    """
    texts = [one for one in given if isinstance(one, str) and not one.lstrip().startswith(("[", "("))]
    for separator in SEPARATORS:
        some = [text for text in texts if len(parted(text, separator)) > 1]
        read = f"{name}: {len(some)} of {len(texts)} texts hold {separator.strip()!r}, such as {some[:1]}"
        if len(some) > max(1, len(texts) / 2):
            tell_once(f'{read}: it is read as standing between accepted answers; write single ones as a list, ["A"]')
            return separator
        if some and separator != " or ":
            tell_once(f'{read}: each is read as a single answer; write several as a list, ["A", "B"]')
    return BAR


def check_characters(where: str, text: str) -> None:
    """Raises ValueError for half a character, which no tokenizer and no file takes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{where}={text!r} holds half a character ({text[error.start]!a}): write it anew, it was cut in two"
        ) from None


def plain(where: str, value: Any) -> Any:
    """A value as JSON can keep it: numbers of NumPy as Python's, dates as texts, arrays and tuples as lists. Raises
    ValueError, which says `where`, for anything else."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str):
        check_characters(where, value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): plain(where, one) for name, one in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(where, one) for one in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError(
        f"{where}={value!r} is of type {type(value).__name__}, which cannot be saved: give a text, a number or a list"
    )


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
