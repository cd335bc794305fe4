"""The notebooks run top to bottom from a clean cache, and what is committed is what the sources say.

They run here with fewer questions and random sets; what is committed was run with all of them.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from pathlib import Path

import jupytext
import nbformat
import pytest
from families import make_checkpoint, published_files
from nbclient import NotebookClient

from hn_utils.study import Sampling, Study
from hn_utils.subject import Subject

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.py"))


GREEDY = Sampling(n=2, temperature=0.0, max_new_tokens=5)


def code(notebook) -> list[str]:
    return [c.source for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda p: p.stem)
def test_executes(source, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore:IProgress")
    monkeypatch.setenv("HN_STUDY", "organism-quick")
    notebook = jupytext.read(source)
    client = NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": source.parent}}
    )
    client.execute()
    made = Path(os.environ["HN_FIGURES"])
    assert all((made / "html" / f"{name}.html").exists() for name in published(source))


def test_the_same_notebooks_run_on_another_model(tmp_path, monkeypatch):
    """One name changed: a random Llama, answering rows in the published formats."""
    bare = Study("test", "", "", "published", device="cpu", dtype="float32", sampling=GREEDY)
    instruct, base = (str(make_checkpoint("llama", tmp_path / f"{i}", i)) for i in (0, 1))
    settings = {
        "instruct": instruct,
        "base": base,
        "sets": ["popqa", "nonexist", "faitheval"],
        "sources": published_files(Subject.load(instruct, bare), bare, tmp_path),
        "sampling": asdict(GREEDY),
        "device": "cpu",
        "dtype": "float32",
        "n_grid": 4,
        "n_random_sets": 2,
    }
    (tmp_path / "study.json").write_text(json.dumps(settings))
    monkeypatch.setenv("HN_STUDY", str(tmp_path / "study.json"))
    monkeypatch.setenv("HN_FIGURES", str(tmp_path / "figures"))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    for source in NOTEBOOKS:
        NotebookClient(
            jupytext.read(source), timeout=600, kernel_name="python3", resources={"metadata": {"path": source.parent}}
        ).execute()


def published(source: Path) -> list[str]:
    """Names of the figures a notebook publishes."""
    lines = source.read_text().splitlines()
    return [lines[i - 1].strip().strip('",') for i, line in enumerate(lines) if line.strip().startswith("notebook=")]


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda p: p.stem)
def test_committed_notebook_is_its_source_executed_in_order(source):
    committed = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    assert code(committed) == code(jupytext.read(source))
    counts = [c.execution_count for c in committed.cells if c.cell_type == "code" and c.source.strip()]
    assert counts == list(range(1, len(counts) + 1))
    assert not any(o.output_type == "error" for c in committed.cells if c.cell_type == "code" for o in c.outputs)
    assert source.with_suffix(".ipynb").stat().st_size < 3e6


def said(source: Path) -> str:
    """All text that the executed notebook shows; images, whose letters mean nothing, left out."""
    cells = nbformat.read(source.with_suffix(".ipynb"), as_version=4).cells
    outputs = [o for c in cells if c.cell_type == "code" for o in c.outputs]
    shown = [o.get("data", {}).get(kind, "") for o in outputs for kind in ("text/plain", "text/html")]
    return "\n".join([*(c.source for c in cells), *(o.get("text", "") for o in outputs), *shown])


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda p: p.stem)
def test_written_as_lessons(source):
    notebook = jupytext.read(source)
    prose = " ".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    assert "What this does not show" in prose
    assert "Predict first" in prose
    assert "Try it" in prose
    assert "/tmp/" not in said(source)
    assert len(prose) > sum(map(len, code(notebook)))


def test_what_notebooks_define_is_an_exercise_and_nothing_is_defined_twice():
    defined = []
    for source in NOTEBOOKS:
        for cell in jupytext.read(source).cells:
            names = re.findall(r"^(?:def|class) (\w+)", cell.source, re.MULTILINE) if cell.cell_type == "code" else []
            assert not names or "exercise" in cell.metadata.get("tags", ()), names
            defined += names
    assert len(defined) == len(set(defined)) == 9
