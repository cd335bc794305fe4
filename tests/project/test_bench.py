"""The bench runs row by row, measures what it says and refuses what it does not know."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "bench"


def run(folder: Path, *rows: str) -> subprocess.CompletedProcess[str]:
    for name in ("README.md", "measured.json"):
        shutil.copy(BENCH / name, folder)
    command = [sys.executable, str(BENCH / "bench.py"), *rows]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HN_BENCH": str(folder)})


def rows_of(folder: Path) -> list[str]:
    return [line for line in (folder / "README.md").read_text().splitlines() if line.startswith("| ")][1:]


def test_some_rows_are_measured_and_the_others_stay(tmp_path):
    before = rows_of(BENCH)
    done = run(tmp_path, "import", "deep")
    assert done.returncode == 0, done.stderr
    what = [line.split(" | ")[0] for line in done.stdout.splitlines()]
    assert what[0] == "import hn_utils"
    assert what[1].startswith("one deep C")
    after = rows_of(tmp_path)
    assert len(after) == len(before)
    again = [i for i, line in enumerate(before) if line.startswith(("| import hn_utils", "| one deep C"))]
    assert len(again) == 2
    assert all(after[i] == line for i, line in enumerate(before) if i not in again)
    assert all(f"| {line} |" in after for line in done.stdout.splitlines())


def test_an_unknown_row(tmp_path):
    done = run(tmp_path, "nothing")
    assert done.returncode == 1
    assert "error: unknown rows ['nothing']: choose from capture," in done.stderr


def test_the_table_of_sizes_is_what_its_command_derives(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    from sizes import table

    assert table() in (BENCH.parent / "docs" / "cost.md").read_text()


def test_a_model_of_real_shape_walks_from_loading_to_drift(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.setenv("HN_CACHE", os.environ["HN_CACHE"])  # set anew by the walk
    from real_size import walk

    walked = walk("tiny", "cpu", "float32", n_timed=1)
    assert list(walked.seconds) == ["load", "sample 10", "capture", "probe", "scale", "base", "drift"]
    assert walked.host_gb > 0.1
    assert walked.gpu_gb is None
    assert min(walked.capture_to_forward + walked.generate_to_ours + [walked.tokens_per_second]) > 0
