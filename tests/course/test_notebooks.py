"""The notebooks run top to bottom on a model they have never seen, and what is committed is what the sources say.

On the bundled model, with few questions, `.ci/newcomer` runs them; what is committed was run with all.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import jupytext
import nbformat
import pytest
from families import make_checkpoint, published_files

from hn_utils.course import execute
from hn_utils.course.execute import cell_id
from hn_utils.models.hooked_model import HookedModel
from hn_utils.study import Sampling, Study

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS, DEEPER = (sorted(folder.glob("*.py")) for folder in (FOLDER, FOLDER / "deeper"))
REAL, SESSION = ([FOLDER / f"{name}.py" for name in names] for names in (execute.REAL, execute.SESSION))
COURSE = [source for source in NOTEBOOKS if source not in [*REAL, *SESSION]]  # what a run of the bundled study is

GREEDY = Sampling(n=2, temperature=0.0, max_new_tokens=5)
# Random weights hardly ever end a reply. What they have written up to the limit is taken for whole, in every process
# that the notebooks start: `families.never_cut`, where a patch does not reach.
NEVER_CUT = """
from hn_utils.answers import sampling

read = sampling.written
sampling.written = lambda *given: read(*given)._replace(cut=False)
"""


def code(notebook) -> list[str]:
    return [c.source for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


def test_the_same_notebooks_run_on_another_model(tmp_path, monkeypatch):
    """One name changed: a random Llama, answering rows in the published formats."""
    bare = Study(
        name="test", instruct="", base="", questions="published", device="cpu", dtype="float32", sampling=GREEDY
    )
    instruct, base = (str(make_checkpoint("llama", tmp_path / f"{i}", i)) for i in (0, 1))
    settings = {
        "instruct": instruct,
        "base": base,
        "sets": ["popqa", "nonexist", "faitheval"],
        "sources": published_files(HookedModel.load(instruct, bare), bare, tmp_path),
        "sampling": asdict(GREEDY),
        "device": "cpu",
        "dtype": "float32",
        "n_grid": 4,
        "n_control_sets": 2,
    }
    (tmp_path / "study.json").write_text(json.dumps(settings))
    (tmp_path / "sitecustomize.py").write_text(NEVER_CUT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("HN_STUDY", str(tmp_path / "study.json"))
    monkeypatch.setenv("HN_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("HN_FRESH", "1")  # no answers of it are shipped
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "no-browser"))
    for which in ((), ("--deeper",), ("--beyond",), ("--session",), ("--real",)):
        command = [sys.executable, "-m", "hn_utils", "notebooks", *which]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    made = tmp_path / "runs" / "study"
    for source in [*NOTEBOOKS, *DEEPER]:
        path = made / "notebooks" / source.relative_to(FOLDER).with_suffix(".ipynb")
        executed = nbformat.read(path, as_version=4)
        in_order(executed)
        about = [o.get("metadata", {}) for c in executed.cells for o in c.get("outputs", ())]  # printed text has none
        shown = [told["figure"] for told in about if "figure" in told]
        assert shown
        assert set(shown) <= set(published(source))
        assert all((made / "html" / f"{name}.html").exists() for name in shown)
    assert all((made / name).exists() for name in ("index.html", "explorer.html", "h_neurons.json", "report.md"))


def in_order(notebook) -> None:
    """Every cell ran once, from top to bottom, without an error."""
    cells = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    assert not any(o.output_type == "error" for c in cells for o in c.outputs)


def published(source: Path) -> list[str]:
    """Names of the figures a notebook publishes."""
    calls = [node for cell in code(jupytext.read(source)) for node in ast.walk(ast.parse(cell))]
    calls = [call for call in calls if isinstance(call, ast.Call) and ast.unparse(call.func) == "gallery.publish"]
    return [ast.literal_eval(call.args[1]) for call in calls]


@pytest.mark.parametrize("source", [*NOTEBOOKS, *DEEPER], ids=lambda p: p.stem)
def test_committed_notebook_is_its_source_executed_in_order(source):
    committed = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    assert code(committed) == code(jupytext.read(source))
    assert [c.id for c in committed.cells] == [cell_id(i, c.source) for i, c in enumerate(committed.cells)]
    if source not in REAL or any(cell.get("execution_count") for cell in committed.cells):
        in_order(committed)  # that on a real model may stand without results, but not with some of them
    for cell in committed.cells:  # where printed text is cut hangs on the clock
        kinds = [o.output_type for o in cell.get("outputs", ())]
        assert ("stream", "stream") not in zip(kinds, kinds[1:], strict=False)
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


def test_notebooks_that_lie_here_are_the_ones_that_run():
    assert [source.stem for source in COURSE] == [*execute.MAIN_LINE, *execute.BEYOND]
    assert all(source in NOTEBOOKS for source in [*REAL, *SESSION])
    assert [f"deeper/{source.stem}" for source in DEEPER] == sorted(execute.DEEPER)
    for source in DEEPER:
        prose = " ".join(c.source for c in jupytext.read(source).cells if c.cell_type == "markdown")
        assert "What this does not show" in prose
        assert "/tmp/" not in said(source)


@pytest.mark.parametrize("source", [*REAL, *SESSION], ids=lambda p: p.stem)
def test_those_for_one_sitting_are_short(source):
    notebook = jupytext.read(source)
    prose = " ".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    assert len(prose.split()) <= 1_200
    assert len(code(notebook)) <= 20
    assert all(len([line for line in cell.splitlines() if line]) <= 12 for cell in code(notebook))


def test_what_notebooks_define_is_an_exercise_and_nothing_is_defined_twice():
    defined = []
    for source in NOTEBOOKS:
        for cell in jupytext.read(source).cells:
            names = re.findall(r"^(?:def|class) (\w+)", cell.source, re.MULTILINE) if cell.cell_type == "code" else []
            assert not names or "exercise" in cell.metadata.get("tags", ()), names
            defined += names
    assert len(defined) == len(set(defined)) == 17


FIRST, SECOND = code(jupytext.read(SESSION[0]))[:2]


def test_the_session_installs_nothing_where_the_package_is(monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("something was installed"))
    exec(FIRST, {})
    sources = [node for node in ast.walk(ast.parse(SECOND)) if isinstance(node, ast.ImportFrom)]
    assert len({node.module for node in sources}) <= 5  # modules to import from


def test_the_session_installs_the_package_from_the_teacher_s_address_where_it_is_not(monkeypatch):
    commands = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append((command, check)))
    monkeypatch.setattr(importlib.util, "find_spec", {"hn_utils": None}.get)
    with pytest.raises(AssertionError, match="write the address that your teacher gave you"):
        exec(FIRST, {})
    assert not commands
    exec(FIRST.replace('PACKAGE = ""', 'PACKAGE = "https://example.org/hn_utils.whl"'), {})
    command = [sys.executable, "-m", "pip", "install", "--quiet", "https://example.org/hn_utils.whl"]
    assert commands == [(command, True)]


def test_the_session_has_slides_for_each_of_its_parts(tmp_path):
    """Claims and figures stand on slides of their own; code stands on none."""
    made = subprocess.run(
        [*(sys.executable, "-m", "nbconvert", "--to", "slides", "--no-input", "--output-dir", str(tmp_path))]
        + [str(SESSION[0].with_suffix(".ipynb"))],
        capture_output=True,
        text=True,
        check=True,
    )
    page = (tmp_path / "session90.slides.html").read_text()
    assert made.returncode == 0
    for part in range(1, 6):
        assert re.search(rf"<section>\s*<section>.{{0,600}}?<h2[^>]*>{part} · ", page, re.DOTALL), part
    assert page.count("data:image/png") + page.count("application/vnd.plotly") >= 5
    assert "run_with_cache(torch" not in page
