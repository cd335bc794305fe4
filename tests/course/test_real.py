"""What the notebook on a real model begins with, and what it says of results; and how it is started."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

import hn_utils as hn
import hn_utils.__main__ as command
from hn_utils.course import execute, real
from hn_utils.models import fetched
from hn_utils.stats.bootstrap import Estimate
from hn_utils.study import PRESETS

ROOT = Path(__file__).resolve().parents[2]
QWEN = PRESETS["qwen2.5-coder-1.5b"]


@pytest.fixture(scope="module")
def found(subject) -> hn.Found:
    return hn.find(hn.collect(subject, n_questions=120, sampling={"n": 2}), n_grid=8)


def dry(**variables: str) -> list[str]:
    """What `make real` would run, the setting up left out."""
    given = [f"{name}={value}" for name, value in variables.items()]
    done = subprocess.run(["make", "-n", "real", "HN_STUDY=", *given], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if "hn_utils" in line]


def test_make_real_fetches_the_model_and_runs_one_notebook_on_its_study():
    assert dry() == [
        '.venv/bin/python -m hn_utils fetch --study "qwen2.5-coder-1.5b"',
        'HN_STUDY="qwen2.5-coder-1.5b" .venv/bin/python -m hn_utils notebooks --real',
    ]
    assert all('"my study.json"' in line for line in dry(HN_STUDY="my study.json"))


def test_the_command_runs_that_notebook_alone(monkeypatch):
    ran = []
    monkeypatch.setattr(execute, "main", ran.append)
    for option in ([], ["--deeper"], ["--beyond"], ["--real"]):
        command.main(["notebooks", *option])
    assert ran == [execute.MAIN_LINE, execute.DEEPER, execute.BEYOND, execute.REAL]
    assert not set(execute.REAL) & {*execute.MAIN_LINE, *execute.DEEPER, *execute.BEYOND}  # nor does `publish`


def test_fetch_takes_a_study_in_place_of_a_name(monkeypatch, capsys, tmp_path):
    asked = []
    monkeypatch.setattr(command, "fetch", asked.append)
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"like": "smollm2-135m-q4", "n_questions": 9}))
    for study in ("qwen2.5-coder-1.5b", "smollm2-135m-q4", str(own)):
        command.main(["fetch", "--study", study])
    assert asked == ["qwen2.5-coder-1.5b", "smollm2-135m", "smollm2-135m"]
    command.main(["fetch", "--study", "qwen2.5-0.5b"])
    assert "is nothing to fetch" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="^error: fetch takes a name or --study"):
        command.main(["fetch", "smollm2-135m", "--study", "organism"])


def test_what_is_missing_is_told_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(real, "DATA", tmp_path)
    with pytest.raises(OSError, match=r"^no answers of the study .qwen.* are shipped .*: set HN_FRESH=1 to collect"):
        real.shipped_answers(QWEN)
    assert real.whole_run(QWEN).endswith("are not shipped")
    monkeypatch.setenv("HN_MODELS", str(tmp_path))
    with pytest.raises(OSError, match="is not here yet: `python -m hn_utils fetch qwen2.5-coder-1.5b` brings it"):
        fetched.fetched_file("qwen2.5-coder-1.5b")


def test_what_is_downloaded_is_told_with_size_and_licence():
    assert real.downloaded(QWEN).startswith("Qwen2.5-Coder-1.5B-Instruct, Q4_K_M: 1.1 GB, Apache-2.0; made by")


def test_the_hours_are_told_first():
    told = real.asking_told(hn.plan(hn.load_study("organism", n_questions=21, seed=991)))
    assert re.match(r"answers are collected anew: [\d.]+ (h|min|s) by hn.plan, and [\d.]+ GB of disk at most", told)


@pytest.mark.parametrize(("value", "fresh"), [("", False), ("0", False), ("1", True)])
def test_fresh_answers_are_asked_for_by_name(monkeypatch, value, fresh):
    monkeypatch.setenv("HN_FRESH", value)
    assert real.is_fresh() is fresh


def test_a_difference_is_told_by_its_interval_and_a_null_by_what_it_would_have_seen():
    assert real.sentence("X", Estimate(0.2, 0.1, 0.3, 90)) == "more than X: 0.20 [0.10, 0.30] of AUROC"
    assert real.sentence("X", Estimate(-0.2, -0.3, -0.1, 90)).startswith("less than X: ")
    open_ = Estimate(0.0, -0.0196, 0.0196, 90)  # a standard error of .01
    assert real.sentence("X", open_).startswith(
        "not told apart from X: 0.00 [-0.02, 0.02] of AUROC (a difference of 0.03"
    )
    wide = np.random.default_rng(0).normal(0, 0.2, 100)  # control sets that differ widely hide more
    assert "(a difference of 0.03" not in real.sentence("X", open_, wide)


def test_the_numbers_of_a_whole_run_are_read(monkeypatch, tmp_path):
    monkeypatch.setattr(real, "DATA", tmp_path)
    folder = tmp_path / QWEN.name
    folder.mkdir()
    auroc, beyond = ({"value": v, "low": v - 0.1, "high": v + 0.1, "n": 50} for v in (0.7, 0.2))
    rows = [{"test_set": "held-out entities", "detector": "H-Neurons alone, refitted", "neurons": 7, "auroc": auroc}]
    (folder / "summary.json").write_text(json.dumps({"h_neurons": 7, "beyond": {"any": beyond}, "detection": rows}))
    assert real.whole_run(QWEN) == (
        "the whole run: 7 H-Neurons, AUROC 0.70 [0.60, 0.80] on held-out entities, more than what shuffled labels "
        "pick: 0.20 [0.10, 0.30] of AUROC"
    )


def test_answers_are_read_and_compared(found, tmp_path):
    found.collected.save(tmp_path / "answers.parquet")
    answers = real.read_answers(tmp_path / "answers.parquet")
    verdicts = answers["verdict"].value_counts()
    labels = found.collected.labels
    assert (verdicts["right each time"], verdicts["wrong each time"]) == ((labels == 0).sum(), (labels == 1).sum())
    first, row = found.collected.examples[0], answers.iloc[0]
    assert (row["question"], row["accepted"]) == (first.question.text, first.question.aliases[0])
    lines = real.beside_rivals(found).splitlines()
    assert len(lines) == 5
    assert str(found.beyond["any"]) in lines[1]
    assert str(found.beyond["confidence"]) in lines[4]
