"""Rows from a file of one's own: Parquet, JSON lines, JSON, or a table."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hn_utils.study.own_json import parsed

Row = dict[str, Any]


_LISTS = ("questions", "Data", "data")  # under which a JSON file may hold its rows


_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}  # of a table's cells


def read_file(path: Path, remedy: str) -> list[Row]:
    """A local file: Parquet, JSON lines, a table with a header (commas, semicolons or tabs), or JSON (a list, or an
    object that holds one as BioASQ's `questions` and TriviaQA's `Data` do). Text is UTF-8, or UTF-16 that says so."""
    kind = path.suffix.lower()
    try:
        if kind == ".parquet":
            return pq.read_table(path).to_pylist()
        text = _text_of(path)
        if kind in (".csv", ".tsv"):
            return _table_rows(text, kind)
        if kind == ".jsonl":
            lines = text.split("\n")  # no other sign ends a line of JSON
            return [parsed(line, number) for number, line in enumerate(lines, start=1) if line.strip()]
        return _listed_rows(parsed(text))
    except (OSError, ValueError, pa.ArrowException) as error:
        told = error if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise OSError(f"could not read {path} ({told}): {remedy}") from error


def _text_of(path: Path) -> str:
    """The text of a file. Raises ValueError for one in another encoding than UTF-8 or UTF-16: the same bytes are other
    letters in each of them."""
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        raise ValueError(
            f"line {line} is no text in UTF-8: save the file as UTF-8, in Excel as 'CSV UTF-8', in pandas with "
            "encoding='utf-8'"
        ) from error


def _table_rows(text: str, kind: str) -> list[Row]:
    """Rows of a table. Cells are parted by tabs in a .tsv file, and in any other by what the header has most of:
    commas, semicolons or tabs. Raises ValueError for a line with more cells than the header."""
    header = re.sub(r'"[^"]*"', "", text.lstrip("\r\n").partition("\n")[0])
    separator = "\t" if kind == ".tsv" else max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows = []
    for row in _lines_of(reader):
        if None in row:
            raise ValueError(
                f"line {reader.line_num} has more cells than the first: put a text with a "
                f"{_SEPARATORS[separator]} in quotes"
            )
        rows.append(row)
    return rows


def _lines_of(reader: csv.DictReader) -> Iterator[Row]:
    """The rows of a table. Raises ValueError that names the line whose quotes do not close."""
    try:
        yield from reader
    except csv.Error as error:
        raise ValueError(
            f"line {reader.reader.line_num} cannot be parted into cells ({error}): close each quote, and "
            "double one in a text"
        ) from error


def _listed_rows(content: Any) -> list[Row]:
    """The rows of a JSON file. Raises ValueError for an object that holds no list of them under a known name."""
    if not isinstance(content, dict):
        return content
    for name in _LISTS:
        if isinstance(content.get(name), list):
            return content[name]
    raise ValueError(f"it is an object without a list of rows under {', '.join(_LISTS)}: write the rows as a list")
