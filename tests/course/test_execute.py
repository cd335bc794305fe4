"""The runner of the notebooks: the same bytes every time, one sentence at every end, nothing of others on screen."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import psutil
import pytest

from hn_utils.course.execute import cell_id, place_of
from hn_utils.storage.paths import ROOT, cache_root, runs_root
from hn_utils.study import BUNDLED, load_study
from hn_utils.study.run_folders import own_home

HEAD = """# %% [markdown]
# # Tiny
# %%
import plotly.graph_objects as go
from hn_utils.storage.cache import cached
from hn_utils.report.gallery import Gallery
from hn_utils.storage.progress import tell
from hn_utils.study import load_study
gallery = Gallery(load_study(), "01_collect")
"""
FIGURE = """# %%
print("hello")
tell("a remark for the terminal")
figure = go.Figure(go.Scatter(x=[1, 2], y=[3, 4]))
gallery.publish(figure.update_layout(title_text="A finding (n = 2)", height=400, margin_t=80), "one")
"""
SLOW = """# %%
import time
def compute(some):
    time.sleep(1)
    return [{"x": i} for i in some]
cached("slow", {}, list(range(8)), compute, 1).records()[-1]
"""
WRONG = """# %%
raise ValueError("alphas=(0,) must include 1: give it")
"""
COMMAND = """
import sys
from pathlib import Path
import hn_utils.course.execute as execute
execute.NOTEBOOKS = Path(sys.argv[1])
execute.main(sys.argv[2:])
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts the runner on a tiny notebook, as a study of its own, with no browser to be found."""
    monkeypatch.setenv("HN_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("HN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HN_STUDY", "organism-quick")
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "nowhere"))

    def run(*sources: str) -> subprocess.Popen:
        names = [("tiny", "tiny2", "tiny3")[place] for place in range(len(sources))]
        for name, source in zip(names, sources, strict=True):
            (tmp_path / f"{name}.py").write_text(source)
        command = [sys.executable, "-c", COMMAND, str(tmp_path), *names]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return run


def test_a_run_leaves_the_same_bytes_every_time_and_tells_what_it_does(start, tmp_path):
    files = []
    for _ in range(2):
        run = start(HEAD + FIGURE)
        out, err = run.communicate(timeout=120)
        assert (run.returncode, err) == (0, "")
        made = {p.relative_to(tmp_path / "runs"): p.read_bytes() for p in (tmp_path / "runs").rglob("*") if p.is_file()}
        files.append(made)
    assert files[0] == files[1]
    study = Path("organism-quick")
    assert {study / "notebooks/tiny.ipynb", study / "html/one.html", study / "index.html"} <= set(made)
    assert "notebooks on organism-quick: 1" in out
    assert "a remark for the terminal" in out
    assert re.search(r"1 of 1 tiny: \d+:\d\d", out)
    assert "PNG images of 1 figures are missing, since no Chromium or Chrome answered" in out
    assert str(tmp_path / "runs" / study / "index.html") in out
    written = nbformat.read(tmp_path / "runs" / study / "notebooks/tiny.ipynb", as_version=4)
    assert [c.id for c in written.cells] == [cell_id(i, c.source) for i, c in enumerate(written.cells)]
    told = json.dumps(written)
    assert 'remark for the terminal"' not in json.dumps([c.get("outputs") for c in written.cells])
    assert "iopub" not in told  # no times
    assert written.cells[2].outputs[1].data["application/vnd.plotly.v1+json"]["data"][0]["type"] == "scatter"


def test_an_image_is_kept_as_long_as_the_figure_is_the_same(start, tmp_path):
    start(HEAD + FIGURE).communicate(timeout=120)
    image = tmp_path / "runs/organism-quick/png/one.png"
    image.write_bytes(b"drawn elsewhere")
    out, _ = start(HEAD + FIGURE).communicate(timeout=120)
    assert image.read_bytes() == b"drawn elsewhere"
    assert "missing" not in out
    assert 'src="png/one.png"' in (tmp_path / "runs/organism-quick/index.html").read_text()
    out, _ = start(HEAD + FIGURE.replace("y=[3, 4]", "y=[3, 5]")).communicate(timeout=120)
    assert not image.exists()  # an old image of another figure is worse than none
    assert "missing" in out
    assert 'src="png/one.png"' not in (tmp_path / "runs/organism-quick/index.html").read_text()


def test_interrupted_it_ends_in_one_sentence_and_goes_on_where_it_was(start, tmp_path):
    run = start(HEAD + SLOW)
    shards = lambda: len(list((tmp_path / "cache" / "slow").rglob("*.parquet")))  # noqa: E731
    deadline = time.monotonic() + 60
    while shards() < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=30)
    assert run.returncode != 0
    kept = shards()
    assert 3 <= kept < 8
    assert err.strip() == (
        "interrupted in 1 of 1 tiny, cell 2 of 2; what was computed is kept: the same command goes on there"
    )
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache" / "slow").rglob("*.parquet")}
    run = start(HEAD + SLOW)
    assert run.communicate(timeout=60)[1] == ""
    assert shards() == 8
    assert all(p.stat().st_mtime_ns == then for p, then in before.items())


def test_each_notebook_begins_with_nothing_and_none_is_left_behind(start):
    begins = "# %%\nassert not [name for name, one in dict(globals()).items() if 'hn_utils' in repr(one)[:40]]\n"
    run = start(HEAD + FIGURE, begins)
    out, err = run.communicate(timeout=120)
    assert (run.returncode, err) == (0, "")
    assert out.count("a remark for the terminal") == 1
    assert "2 of 2 tiny2" in out
    for wait, number in ((0.0, signal.SIGINT), (5.0, signal.SIGINT), (5.0, signal.SIGTERM)):  # it starts; in a cell
        run = start("# %%\nimport time\ntime.sleep(600)\n", begins)
        kernel = kernel_of(run)
        time.sleep(wait)
        run.send_signal(number)
        _, err = run.communicate(timeout=60)
        assert err.strip().startswith("interrupted in 1 of 2 tiny, cell ")
        assert "\n" not in err.strip()
        assert not psutil.wait_procs([kernel], timeout=0.2)[1]  # ended by us, not by itself when we are gone


def kernel_of(run: subprocess.Popen) -> psutil.Process:
    """The process in which a run of notebooks executes cells, as soon as there is one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for child in psutil.Process(run.pid).children():
            with contextlib.suppress(psutil.Error):
                if any("ipykernel" in word for word in child.cmdline()):
                    return child
        time.sleep(0.02)
    raise AssertionError("no kernel was started")


def test_a_process_that_ends_while_it_starts_is_one_sentence(start):
    nothing = "# %%\n1 + 1\n"
    run = start(nothing)
    kernel_of(run).kill()
    _, err = run.communicate(timeout=120)
    assert err.strip().startswith("error: the notebook's process was ended from outside")
    assert "\n" not in err.strip()
    _, err = start(nothing, WRONG, nothing).communicate(timeout=120)
    assert err.strip() == "error: alphas=(0,) must include 1: give it"


def test_an_error_is_one_sentence_and_a_fault_of_our_own_a_traceback(start):
    _, err = start(HEAD + WRONG).communicate(timeout=60)
    assert err.strip() == "error: alphas=(0,) must include 1: give it"
    _, err = start(HEAD + "# %%\nimport os\nos.kill(os.getpid(), 9)\n").communicate(timeout=60)
    assert err.strip().startswith("error: the notebook's process was ended from outside")
    _, err = start(HEAD + "# %%\n1 / 0\n").communicate(timeout=60)
    assert "ZeroDivisionError" in err
    assert "1 / 0" in err


def test_every_study_writes_into_a_folder_of_its_own_outside_what_is_committed(monkeypatch, tmp_path):
    monkeypatch.setenv("HN_RUNS", str(tmp_path))
    for study in (BUNDLED, load_study("organism-quick"), load_study("gemma-3-4b")):
        assert own_home(study) == tmp_path / study.name
        assert place_of(study) == tmp_path / study.name / "notebooks"
    monkeypatch.delenv("HN_RUNS")
    ignored = (ROOT / ".gitignore").read_text().split()
    assert f"{runs_root().relative_to(ROOT)}/" in ignored
    for name in ("../figures", "a/b", "", ".hidden"):
        with pytest.raises(ValueError, match="must be a plain file name"):
            replace(BUNDLED, name=name)


def test_an_installed_package_writes_into_the_user_s_folders(monkeypatch, tmp_path):
    monkeypatch.setattr("hn_utils.storage.paths.IN_A_CLONE", False)
    for name in ("HN_CACHE", "HN_RUNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.chdir(tmp_path)
    if os.uname().sysname == "Linux":
        assert cache_root() == tmp_path / "caches" / "hn-utils"
    assert runs_root() == tmp_path / "runs"
    assert ROOT not in (cache_root(), *cache_root().parents)
