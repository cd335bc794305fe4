"""The bench runs row by row, measures what it says and refuses what it does not know."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1] / "bench"


def run(*rows: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCH / "bench.py"), *rows], capture_output=True, text=True, env=os.environ
    )


def test_some_rows_are_printed_and_the_kept_table_stays():
    before = (BENCH / "README.md").read_text()
    done = run("import", "deep")
    assert done.returncode == 0, done.stderr
    what = [line.split(" | ")[0] for line in done.stdout.splitlines()]
    assert what[0] == "import hn_utils"
    assert what[1].startswith("one deep C")
    assert (BENCH / "README.md").read_text() == before


def test_an_unknown_row():
    done = run("nothing")
    assert done.returncode == 1
    assert "error: unknown rows ['nothing']: choose from capture," in done.stderr
