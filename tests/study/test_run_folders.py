"""A study's folder is its own: it comes back to it, and no other study of its name, nor a sweep, is written over it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

import hn_utils.__main__ as command
from hn_utils.course import execute
from hn_utils.report.gallery import Gallery
from hn_utils.study import BUNDLED, Study, load_study
from hn_utils.study.run_folders import claimed, own_home


@pytest.fixture
def mine(tmp_path, monkeypatch) -> Study:
    """A study in a file of one's own, whose results would lie in runs/mine."""
    monkeypatch.setenv("HN_RUNS", str(tmp_path / "runs"))
    return load_study(study_file(tmp_path, {"seed": 1}))


def study_file(folder: Path, settings: dict) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "mine.json"
    path.write_text(json.dumps({"like": "organism", **settings}))
    return path


def test_the_same_study_comes_back_to_its_folder_and_can_be_run_from_it(mine, tmp_path):
    assert own_home(mine) == own_home(mine) == tmp_path / "runs" / "mine"
    assert own_home(load_study(study_file(tmp_path / "elsewhere", {"seed": 1}))) == tmp_path / "runs" / "mine"
    assert load_study(tmp_path / "runs" / "mine" / "study.json") == mine


def test_what_only_says_how_it_is_run_may_change(mine):
    own_home(replace(mine, batch_rows=4, device="auto"))
    assert load_study(own_home(mine) / "study.json") == mine


def test_another_study_of_the_name_is_refused_wherever_it_would_write(mine, tmp_path, monkeypatch):
    own_home(mine)
    other = study_file(tmp_path / "elsewhere", {"seed": 2})
    told = r"runs/mine holds the results of another study named 'mine' \(seed=1 there, 2 here\): give this one a name"
    for write in (
        lambda: command.main(["run", "--study", str(other)]),
        lambda: command.main(["run", "--study", str(other), "--out", str(tmp_path / "runs" / "mine")]),
    ):
        with pytest.raises(SystemExit, match=f"^error: .*{told}"):
            write()
    monkeypatch.setenv("HN_STUDY", str(other))
    for write in (
        lambda: Gallery(load_study(other), "02_probe").keep_page("", "explorer"),
        lambda: execute.execute(["01_collect"]),
    ):
        with pytest.raises(OSError, match=told):
            write()
    assert sorted(p.name for p in (tmp_path / "runs" / "mine").iterdir()) == ["study.json"]


def test_the_same_words_in_another_folder_may_name_another_file(tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows.jsonl").write_text('{"question": "Who?", "answers": ["A"]}')
    monkeypatch.chdir(tmp_path / "one")
    study = replace(load_study("organism", name="mine"), questions="rows.jsonl")
    claimed(tmp_path / "runs", study)
    monkeypatch.chdir(tmp_path / "two")
    with pytest.raises(OSError, match="another study named 'mine' .questions='.*one/rows.jsonl' there, '.*two/rows"):
        claimed(tmp_path / "runs", study)


def test_a_sweep_is_not_written_over_either(mine, tmp_path):
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "results.csv").write_text("task\n")
    with pytest.raises(OSError, match="runs/mine holds the results of a sweep: give this one a name of its own"):
        own_home(mine)


def test_a_damaged_record_is_told_and_not_written_over(mine, tmp_path):
    place = own_home(mine)
    (place / "study.json").write_text("{")
    with pytest.raises(OSError, match=r"could not read the study .*study.json"):
        own_home(mine)


def test_the_bundled_study_has_a_folder_like_any_other(mine, tmp_path):
    place = own_home(BUNDLED)
    assert (place, load_study(place / "study.json")) == (tmp_path / "runs" / BUNDLED.name, BUNDLED)
    with pytest.raises(OSError, match="holds the results of another study named 'organism'"):
        own_home(replace(BUNDLED, seed=1))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="nothing is unwritable for root")
def test_a_folder_that_cannot_be_written_is_one_sentence(mine, tmp_path):
    (tmp_path / "runs").mkdir(mode=0o500)
    with pytest.raises(OSError, match="runs/mine' cannot be written .Permission denied.: name one that can"):
        own_home(mine)
