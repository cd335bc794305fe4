"""The notebooks' copies with gaps: `python -m hn_utils.course.worksheets` writes notebooks/exercises/ from the sources.

A cell tagged `exercise` holds a solution and its check. In the copy its functions keep name, arguments and docstring,
its values become `...`, the check stays, and the solution follows, folded. The cell tagged `solutions` says which copy
one is in.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from hn_utils.execute import cell_id
from hn_utils.places import NOTEBOOKS

NOTE = """*This is the copy with gaps. Write each exercise yourself and run its cell: its check says what is not right
yet. A solution is folded below. Later cells may use what you wrote. [The notebook itself]({notebook}) shows solutions
and results.*"""


def gaps(source: str) -> str:
    """An exercise's code with its functions emptied and, below the first function, its values replaced by `...`."""
    lines, body = source.splitlines(), ast.parse(source).body
    functions = [node for node in body if isinstance(node, ast.FunctionDef)]
    for node in reversed(body):
        if isinstance(node, ast.FunctionDef):
            docstring = node.body[0]
            lines[docstring.end_lineno : node.end_lineno] = ["    raise NotImplementedError  # your turn"]
        elif isinstance(node, ast.Assign) and node.lineno > functions[0].lineno:
            lines[node.lineno - 1 : node.end_lineno] = [f"{ast.unparse(node.targets[0])} = ...  # your turn"]
    return "\n".join(lines)


def worksheet(source: Path) -> NotebookNode:
    """The copy of one notebook source, without outputs."""
    cells = []
    for cell in jupytext.read(source).cells:
        tags = cell.metadata.get("tags", ())
        if "solutions" in tags:
            cells.append(new_markdown_cell(NOTE.format(notebook=f"../{source.stem}.ipynb")))
        elif cell.cell_type == "markdown":
            cells.append(new_markdown_cell(re.sub(r"\]\((?!https?:|#)([^)]+)\)", r"](../\1)", cell.source)))
        elif "exercise" in tags:
            cells.append(new_code_cell(gaps(cell.source), metadata={"tags": ["exercise"]}))
            folded = f"<details><summary>A solution</summary>\n\n```python\n{cell.source}\n```\n\n</details>"
            cells.append(new_markdown_cell(folded))
        else:
            cells.append(new_code_cell(cell.source))
    for number, cell in enumerate(cells):
        cell.id = cell_id(number, cell.source)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def write() -> list[Path]:
    """Write every notebook's copy into notebooks/exercises."""
    folder = NOTEBOOKS / "exercises"
    folder.mkdir(exist_ok=True)
    written = []
    for source in sorted(NOTEBOOKS.glob("0*.py")):
        written.append(folder / f"{source.stem}.ipynb")
        nbformat.write(worksheet(source), written[-1])
    return written


if __name__ == "__main__":
    write()
