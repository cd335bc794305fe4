"""A study from a file: settings over a preset's, and every fault named."""

from __future__ import annotations

import pytest

import hn_utils as hn
from hn_utils.study import called, load_study


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
    for call in (load_study, hn.load):
        with pytest.raises(ValueError, match="^unknown setting 'dtpye': did you mean dtype.$"):
            call("organism", dtpye="float32")
    file.write_text("{")
    with pytest.raises(OSError, match="could not read the study .*mine.json"):
        load_study(str(file))


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
