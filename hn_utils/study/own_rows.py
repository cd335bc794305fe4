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
_SEPARATORS = (";", " / ", " or ")  # which stand between answers, and within one as well
_NUMBERS = " (a column of numbers with a hole in it becomes one of floats: read it as text, with dtype=str)"


def rows_of(name: str, given: Any, what: str) -> list[Mapping[str, Any]]:
    """Turn what a user gave into rows, a dict each.

    Args:
        name: what the argument is called.
        given: a list of dicts or a DataFrame.
        what: what a row must hold, in words.

    Returns:
        The rows, in their order.

    Raises:
        ValueError: it is something else, or holds no row.
    """
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
    """Say whether a row holds something under a name; a DataFrame fills what is missing with nan, or NaT.

    Args:
        row: the row.
        name: the name of a column.

    Returns:
        True if it does.
    """
    value = row.get(name)
    return value is not None and not (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def unnamed(column: str) -> bool:
    """Say whether a column is that of row numbers, which pandas writes beside a table.

    Args:
        column: its name.

    Returns:
        True if it is.
    """
    return not column.strip() or re.fullmatch(r"Unnamed: \d+", column) is not None


def meant_by(name: str, row: Mapping[str, Any]) -> str:
    """Ask after the column that may be meant by a name which a row lacks.

    Args:
        name: the name that is looked for.
        row: the row.

    Returns:
        The question, to end an error with; empty if no column is called like it.
    """
    near = [] if name in row else get_close_matches(name, map(str, row), 1)
    return f": did you mean {name!r} by {near[0]!r}?" if near else ""


def texts_of(where: str, given: Any) -> tuple[str, ...]:
    """Read one text or several.

    Args:
        where: which row and column, for errors.
        given: a text, a whole number, a list of such, or the text that a CSV file makes of a list.

    Returns:
        The texts.

    Raises:
        ValueError: it is anything else, or holds half a character.
    """
    many = given.tolist() if isinstance(given, np.ndarray | np.generic) else given
    many = _listed(where, many) if isinstance(many, str) else [many] if isinstance(many, int) else many
    if not isinstance(many, list | tuple) or any(
        isinstance(one, bool) or not isinstance(one, str | int | np.integer) for one in many
    ):
        raise ValueError(
            f"{where}={given!r}: it must be a text, or a list of texts{_NUMBERS if isinstance(many, float) else ''}"
        )
    texts = tuple(map(str, many))
    for text in texts:
        check_characters(where, text)
    return texts


def answers_of(where: str, given: Any, separator: str = BAR) -> tuple[str, ...]:
    """Read accepted answers.

    Args:
        where: which row and column, for errors.
        given: what `texts_of` takes, where a text may also list several answers.
        separator: what stands between these in this column; a bar always may.

    Returns:
        The answers.

    Raises:
        ValueError: as `texts_of`.
    """
    texts = texts_of(where, given)
    if not isinstance(given, str) or texts != (given,):
        return texts  # a list, of which each text is an answer
    return tuple(piece for text in _parted(given, separator) for piece in _parted(text, BAR))


def _parted(text: str, separator: str) -> tuple[str, ...]:
    """The answers that a text lists, "Jane Austen | Austen"; else that text alone.

    A sign parts answers only where each piece has a word and closes its own brackets: not in |x| or P(A|B).
    """
    pieces = [piece.strip() for piece in text.split(separator)]
    whole = all(re.search(r"\w", piece) and _balanced(piece) for piece in pieces)
    return tuple(pieces) if len(pieces) > 1 and whole else (text,)


def _balanced(text: str) -> bool:
    """Has a text as many brackets that open as that close?"""
    return all(text.count(opening) == text.count(closing) for opening, closing in ("()", "[]", "{}"))


def separator_of(name: str, given: Sequence[Any]) -> str:
    """Find what parts several answers in the texts of a column.

    A single "Trick or Treat" is one answer. Which sign was read as what is told, since nothing says it for certain.

    Args:
        name: the column.
        given: its cells.

    Returns:
        What most of the texts hold of the signs that also stand within an answer, else a bar.
    """
    texts = [one for one in given if isinstance(one, str) and not one.lstrip().startswith(("[", "("))]
    for separator in _SEPARATORS:
        some = [text for text in texts if len(_parted(text, separator)) > 1]
        read = f"{name}: {len(some)} of {len(texts)} texts hold {separator.strip()!r}, such as {some[:1]}"
        if len(some) > max(1, len(texts) / 2):
            tell_once(f'{read}: it is read as standing between accepted answers; write single ones as a list, ["A"]')
            return separator
        if some and separator != " or ":
            tell_once(f'{read}: each is read as a single answer; write several as a list, ["A", "B"]')
    return BAR


def check_characters(where: str, text: str) -> None:
    """Check that a text holds no half character, which no tokenizer and no file takes.

    Args:
        where: which row and column, for errors.
        text: the text.

    Raises:
        ValueError: names the character that was cut in two.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{where}={text!r} holds half a character ({text[error.start]!a}): write it anew, it was cut in two"
        ) from None


def plain(where: str, value: Any) -> Any:
    """Turn a cell of a table into what JSON can keep.

    Args:
        where: which row and column, for errors.
        value: the cell.

    Returns:
        The value: numbers of NumPy as Python's, dates as texts, arrays and tuples as lists.

    Raises:
        ValueError: it is of another type, or holds half a character.
    """
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


def _listed(where: str, text: str) -> list[Any]:
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
