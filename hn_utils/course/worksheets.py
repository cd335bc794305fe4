"""The notebooks' copies with gaps: `python -m hn_utils.course.worksheets` writes notebooks/exercises/, a copy of every
source that has exercises.

A cell tagged `exercise` holds a solution and its check. In the copy its functions keep name, arguments and docstring,
its values become `...`, the check stays, and the solution follows, folded. The cell tagged `solutions` says which copy
one is in. A copy knows what was written into it: one that somebody has worked in since is never written over.
"""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from hn_utils.course.execute import cell_id
from hn_utils.storage.files import digest
from hn_utils.storage.paths import NOTEBOOKS, require_clone

_NOTE = """*This is the copy with gaps. Write each exercise yourself and run its cell: its check says what is not right
yet. "Run all" goes on past a gap. A solution is folded below. Later cells use your function if its check passes, and
else the package's. [The notebook itself]({notebook}) shows solutions and results.*"""
_WRITTEN = "written"  # where a copy keeps the hash of what was written into it


def sources() -> list[Path]:
    """The notebooks that have exercises."""
    every = [*sorted(NOTEBOOKS.glob("*.py")), *sorted((NOTEBOOKS / "deeper").glob("*.py"))]
    return [source for source in every if any(is_exercise(cell) for cell in jupytext.read(source).cells)]


def is_exercise(cell: NotebookNode) -> bool:
    return "exercise" in cell.metadata.get("tags", ())


def copy_of(source: Path) -> Path:
    return NOTEBOOKS / "exercises" / source.relative_to(NOTEBOOKS).with_suffix(".ipynb")


def _relinked(prose: str, source: Path) -> str:
    """Prose of a source with its links as they lead from the copy."""

    def link(found: re.Match) -> str:
        return f"]({Path(os.path.relpath(source.parent / found[1], copy_of(source).parent)).as_posix()})"

    return re.sub(r"\]\((?!https?:|#)([^)]+)\)", link, prose)


def gaps(source: str) -> str:
    """An exercise's code with its functions emptied and, below the first function, its values replaced by `...`."""
    lines, body = source.splitlines(), ast.parse(source).body
    first = next((node.lineno for node in body if isinstance(node, ast.FunctionDef)), 0)
    for node in reversed(body):
        if isinstance(node, ast.FunctionDef):
            docstring = node.body[0]
            lines[docstring.end_lineno : node.end_lineno] = ["    raise NotImplementedError  # your turn"]
        elif isinstance(node, ast.Assign) and node.lineno > first:
            lines[node.lineno - 1 : node.end_lineno] = [f"{ast.unparse(node.targets[0])} = ...  # your turn"]
    return "\n".join(lines)


def worksheet(source: Path) -> NotebookNode:
    """The copy of one notebook source, without outputs."""
    cells = []
    for cell in jupytext.read(source).cells:
        if "solutions" in cell.metadata.get("tags", ()):
            note = _NOTE.format(notebook=source.with_suffix(".ipynb").name)
            cells.append(new_markdown_cell(_relinked(note, source)))
        elif cell.cell_type == "markdown":
            cells.append(new_markdown_cell(_relinked(cell.source, source)))
        elif is_exercise(cell):
            cells.append(new_code_cell(gaps(cell.source), metadata={"tags": ["exercise"]}))
            folded = f"<details><summary>A solution</summary>\n\n```python\n{cell.source}\n```\n\n</details>"
            cells.append(new_markdown_cell(folded))
        else:
            cells.append(new_code_cell(cell.source))
    for number, cell in enumerate(cells):
        cell.id = cell_id(number, cell.source)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel, _WRITTEN: _digest_of(cells)})


def _digest_of(cells: Sequence[NotebookNode]) -> str:
    """A hash of what a notebook says. Results are left out: to run a cell is not to change it."""
    return digest(json.dumps([[cell.cell_type, cell.source] for cell in cells]).encode())


def is_changed(path: Path) -> bool:
    """Has somebody worked in this copy since it was written?

    Args:
        path: a copy that is there.

    Returns:
        False if its cells are the ones that were written; True if not, or if it does not say, or cannot be read.
    """
    try:
        copy = nbformat.read(path, as_version=4)
    except Exception:  # whatever a damaged file makes a reader raise
        return True
    return copy.metadata.get(_WRITTEN) != _digest_of(copy.cells)


def write() -> list[str]:
    """Write every copy into notebooks/exercises, but for those that somebody has worked in.

    Returns:
        What became of each copy, a line each.

    Raises:
        OSError: this is no clone.
    """
    require_clone("the notebooks are not part of the installed package")
    return [_write_copy(worksheet(source), copy_of(source)) for source in sources()]


def _write_copy(copy: NotebookNode, path: Path) -> str:
    """Write one copy, and say what became of it."""
    if path.exists() and is_changed(path):
        return f"kept: {path} (somebody has worked in it; for a fresh copy rename it, and run this again)"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(copy, path)
    return f"written: {path}"


if __name__ == "__main__":
    print("\n".join(write()))
