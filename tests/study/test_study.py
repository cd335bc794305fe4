"""A study from a file: settings over a preset's, and every fault named."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest

import hn_utils as hn
from hn_utils.course.execute import full_paths
from hn_utils.storage import paths
from hn_utils.storage.cache import key_text
from hn_utils.study import Sampling, Study, called, changed, load_study, settings_table


def test_a_study_from_a_file(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text('{"like": "organism", "alphas": [0, 1, 3], "sampling": {"n": 4}, "seed": 2}')
    study = load_study(str(file))
    assert (study.name, study.alphas, study.sampling.n, study.seed) == ("mine", (0, 1, 3), 4, 2)
    assert study.instruct == load_study("organism").instruct
    assert load_study(str(file), seed=5).seed == 5
    assert study.sampling.max_new_tokens == 4  # what is not named stays the preset's
    assert load_study(file, name="renamed").name == "renamed"
    assert load_study("organism", name="renamed").name == "renamed"
    file.write_text('{"colour": "red"}')
    with pytest.raises(ValueError, match="unknown setting .colour.: choose of name, instruct"):
        load_study(str(file))
    for settings, fault in {
        '{"like": "other.json"}': "like='other.json' must name a preset, one of organism",
        '{"like": 3}': "like=3 must name a preset",
        '{"seed": "two"}': "seed='two' must be of type int",
        '{"seed": true}': "seed=True must be of type int",
        '{"n_questions": 0.5}': "n_questions=0.5 must be of type int . None",
        '{"name": 7}': "name=7 must be of type str",
        '{"alphas": "0 1 3"}': "alphas='0 1 3' must be of type tuple.float, ....",
        '{"alphas": [0, 1, "3"]}': "alphas=.* must be of type tuple.float, ....",
        '{"judge_price": [1, 2, 3]}': "judge_price=.* must be of type tuple.float, float. . None",
        '{"sources": {"popqa": 3}}': "sources=.* must be of type Mapping.str, str.",
        '{"sampling": {"n": "ten"}}': "n='ten' must be of type int",
        '{"sampling": {"n_draws": 3}}': "unknown setting of sampling, .n_draws.: choose of n, temp",
        '{"dtpye": "float32"}': "^unknown setting 'dtpye': did you mean dtype.$",
        '{"temperature": 0}': "^unknown setting 'temperature': give it as sampling={'temperature': ...}$",
        '{"sampling": {"topk": 3}}': "^unknown setting of sampling, 'topk': did you mean top_k.$",
        '{"sampling": 3}': "sampling=3 must be of type Sampling",
        "[1, 2]": "mine.json must hold settings by name",
    }.items():
        file.write_text(settings)
        with pytest.raises(ValueError, match=fault):
            load_study(file)
    for call, of in ((load_study, ""), (hn.load, " of load")):
        with pytest.raises(ValueError, match=f"^unknown setting 'dtpye'{of}: did you mean dtype.$"):
            call("organism", dtpye="float32")
    file.write_text("{")
    with pytest.raises(OSError, match="could not read the study .*mine.json"):
        load_study(str(file))


def test_a_study_is_frozen_and_takes_what_its_types_say():
    study = load_study("organism")
    with pytest.raises(FrozenInstanceError):
        study.seed = 1
    assert changed(study, alphas=(0, 1, 3)).alphas == (0.0, 1.0, 3.0)  # an int passes for a float
    assert changed(study, sampling={"n": 4}).sampling == replace(study.sampling, n=4)
    assert Study(**{**asdict(study), "sampling": study.sampling}) == study
    for settings, fault in (
        ({"alphas": (0.0, True, 3.0)}, "alphas=.* must be of type"),
        ({"judge_spans": 1}, "judge_spans=1 must be of type bool"),
        ({"alphas": [0.0, 1.0, 3.0]}, "alphas=.* must be of type tuple"),
        ({"seed": -1, "dtpye": "float32"}, "^unknown setting 'dtpye': did you mean dtype.$"),
    ):
        for change in (changed, replace):
            with pytest.raises(ValueError, match=fault):
                change(study, **settings)
    with pytest.raises(ValueError, match="^temperature=101 must be at least 0 and at most 100$"):
        Sampling(temperature=101)
    with pytest.raises(ValueError, match="^instruct is missing: a Study must be given one$"):
        Study(name="bare", base="", questions="organism")


def test_a_study_s_cache_key_holds_every_setting():
    study = load_study("organism")
    for other in (
        replace(study, seed=1),
        changed(study, sampling={"top_k": 3}),
        replace(study, judge_options={"a": 1}),
    ):
        assert key_text(other) != key_text(study)
    assert key_text(replace(study, alphas=(0, 1, 3))) == key_text(replace(study, alphas=(0.0, 1.0, 3.0)))


def test_the_table_of_settings_holds_each_once_with_its_default_and_meaning():
    head, _, *lines = settings_table().splitlines()
    rows = [[cell.strip(" `") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert head == "| Group | Setting | Type | Default | Description |"
    names = {f.name for f in fields(Study)} - {"sampling"} | {f"sampling.{f.name}" for f in fields(Sampling)}
    assert sorted(row[1] for row in rows) == sorted(names)
    assert list(dict.fromkeys(row[0] for row in rows)) == [
        "general",
        "models",
        "questions",
        "sampling",
        "probe",
        "steering",
        "judge",
    ]
    assert all(len(row) == 5 and row[2] and row[4].endswith(".") for row in rows)
    by_name = {row[1]: row for row in rows}
    assert by_name["n_questions"][:4] == ["questions", "n_questions", "int \\| None", "None"]
    assert by_name["sampling.top_p"][:4] == ["sampling", "sampling.top_p", "float", "0.9"]
    assert by_name["instruct"][3] == ""  # it must be given


def test_a_model_is_called_so_that_it_is_told_from_others(tmp_path, monkeypatch):
    assert called("google/gemma-3-4b-it") == "gemma-3-4b-it"
    assert called("/data/run-7/Model-7B@v2") == "Model-7B@v2"
    for last in ("instruct", "base", "hf", "checkpoint-500", "Final"):
        assert called(f"/data/run-7/{last}") == f"run-7/{last}"
    (tmp_path / "run-8" / "instruct").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run-8")
    assert called("instruct") == "run-8/instruct"
    assert called("model") == "model"  # no folder, and nobody above it
    assert load_study("/data/run-7/instruct").name == "run-7-instruct"


def test_other_models_do_not_inherit_a_preset_s_checkpoints(tmp_path):
    assert load_study("organism").checkpoints
    assert load_study("organism", instruct="mine").checkpoints == ()
    assert load_study("organism", base="mine", checkpoints=("a",)).checkpoints == ("a",)
    assert load_study("organism", seed=3).checkpoints == load_study("organism").checkpoints


def test_another_model_has_not_the_preset_s_base(tmp_path):
    assert load_study("llama-3.1-8b", instruct="someone/other").base == ""
    assert load_study("llama-3.1-8b", instruct="someone/other", base="someone/base").base == "someone/base"
    assert load_study("llama-3.1-8b", seed=1).base == load_study("llama-3.1-8b").base != ""
    (tmp_path / "mine.json").write_text('{"like": "llama-3.1-8b", "instruct": "someone/other"}')
    assert load_study(tmp_path / "mine.json").base == ""


# --- paths ----------------------------------------------------------------------------------------------------------


def test_the_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))  # where Windows looks
    (tmp_path / "rows.csv").write_text("question,answers\n")
    study = load_study("organism", questions="~/rows.csv", instruct="~/model", checkpoints=("~/one",))
    assert (study.questions, study.instruct) == (str(tmp_path / "rows.csv"), str(tmp_path / "model"))
    assert study.checkpoints == (str(tmp_path / "one"),)
    (tmp_path / "mine.JSON").write_text('{"like": "organism", "seed": 3, "questions": "~/rows.csv"}')
    assert load_study("~/mine.JSON").seed == 3
    monkeypatch.setenv("HN_STUDY", "~/mine.JSON")
    assert load_study().questions == str(tmp_path / "rows.csv")
    monkeypatch.setenv("HN_CACHE", "~/kept")
    monkeypatch.setenv("HN_RUNS", "~/runs")
    monkeypatch.setenv("HN_MODELS", "~/models")
    assert (paths.cache_root(), paths.runs_root()) == (tmp_path / "kept", tmp_path / "runs")
    assert paths.models_root() == tmp_path / "models"


def test_a_variable_that_is_empty_is_none(monkeypatch):
    for name in ("HN_CACHE", "HN_MODELS", "HN_RUNS", "HN_STUDY"):
        monkeypatch.delenv(name, raising=False)
    unset = paths.cache_root(), paths.models_root(), paths.runs_root(), load_study()
    for name in ("HN_CACHE", "HN_MODELS", "HN_RUNS", "HN_STUDY"):
        monkeypatch.setenv(name, "")
    assert (paths.cache_root(), paths.models_root(), paths.runs_root(), load_study()) == unset
    assert paths.cache_root() not in (paths.models_root(), *paths.models_root().parents)
    assert full_paths() == {}


def test_paths_in_a_study_file_begin_at_its_folder(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    (folder / "model").mkdir(parents=True)
    (folder / "organism").mkdir()  # a folder called like a set is no set
    (folder / "rows.csv").write_text("question,answers\n")
    file = folder / "mine.json"
    file.write_text(
        '{"like": "smollm2-135m", "instruct": "model", "base": "./base", "checkpoints": ["model", "who/x@y"], '
        '"items": "rows.csv", "sources": {"popqa": "rows.csv", "nq_open": "who/nq.open"}}'
    )
    monkeypatch.chdir(tmp_path)
    study = load_study("project/mine.json")
    assert study.instruct == "project/model"
    assert (study.base, study.checkpoints) == ("project/base", ("project/model", "who/x@y"))
    assert study.items == "project/rows.csv"
    assert study.sources == {"popqa": "project/rows.csv", "nq_open": "who/nq.open"}
    file.write_text('{"like": "organism", "questions": "organism"}')
    assert load_study(file).questions == "organism"
    file.write_text('{"like": "organism", "questions": "none.csv"}')
    with pytest.raises(ValueError, match=f"questions='{folder}/none.csv' does not exist"):
        load_study(file)


def test_notebooks_are_told_full_paths_since_they_run_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-model").mkdir()
    monkeypatch.setenv("HN_CACHE", "kept")
    monkeypatch.setenv("HN_RUNS", "")
    monkeypatch.setenv("HN_MODELS", "")
    (tmp_path / "a.gguf").touch()
    for study in ("mine.json", "a-model", "a.gguf"):
        monkeypatch.setenv("HN_STUDY", study)
        assert full_paths() == {"HN_CACHE": str(tmp_path / "kept"), "HN_STUDY": str(tmp_path / study)}
    monkeypatch.setenv("HN_STUDY", "organism")
    assert full_paths() == {"HN_CACHE": str(tmp_path / "kept")}


def test_backslashes_of_a_path_are_told(tmp_path):
    for path in ("C:\\temp\\new.jsonl", "C:\\data\\new.jsonl"):  # to JSON the first is a tab, the second nothing
        (tmp_path / "win.json").write_text(f'{{"like": "organism", "questions": "{path}"}}')
        with pytest.raises((ValueError, OSError), match="each backslash"):
            load_study(tmp_path / "win.json")
