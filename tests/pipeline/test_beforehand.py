"""What could not run to its end is refused before anything is asked; a run without a base model ends."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from killing import FEWER, STUDY

import hn_utils.__main__ as command
from hn_utils.models.weightless import WeightlessModel
from hn_utils.pipeline import beforehand
from hn_utils.pipeline.beforehand import check_models, check_run
from hn_utils.report.comparison import measures


def test_models_that_belong_together_pass(study):
    check_models(study)
    check_models(replace(study, base="", checkpoints=()))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"n_layers": 9}, "its num_hidden_layers is 9, not 6"),
        ({"vocabulary": "swapped"}, "596 of its 597 tokens are others in that one's tokenizer"),
    ],
)
def test_a_base_of_another_family_is_refused(changes, fault, study, monkeypatch):
    """The base model's files are its own but for one thing that another family would have otherwise."""

    class Other(WeightlessModel):
        def __init__(self, name, study):
            super().__init__(name, study)
            if name.endswith("base") and "n_layers" in changes:
                self.text_config.num_hidden_layers = changes["n_layers"]
            if name.endswith("base") and "vocabulary" in changes:
                words = self.encoder.tokenizer.get_vocab()
                turned = dict(zip(words, reversed(words.values()), strict=True))
                self.encoder.tokenizer.get_vocab = lambda: turned

    beforehand.unlike.cache_clear()
    monkeypatch.setattr(beforehand, "WeightlessModel", Other)
    with pytest.raises(ValueError, match=f"^base='.*base' is no model that '.*instruct' was tuned from: {fault}"):
        check_models(study)
    beforehand.unlike.cache_clear()


def test_what_is_missing_is_told_before_anything_is_asked(study, tmp_path, monkeypatch):
    monkeypatch.setattr(command.hn, "load", None)  # no weights are loaded
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    items = tmp_path / "items.jsonl"
    items.write_text(json.dumps({"turns": "Code?", "rule": "gave", "shape": "code ("}))
    monkeypatch.setattr(beforehand, "find_spec", lambda _: None)
    for changes, fault in (
        ({"items": str(items)}, r"items\[0\] has shape='code \(', which is no regular expression"),
        ({"base": "/no/base"}, "no folder /no/base"),
        ({"checkpoints": ("/no/step",)}, "no folder /no/step"),
        ({"judge": "gpt-x"}, "set OPENAI_API_KEY, or judge_url to another server"),
        ({"bits": 4}, "bits=4 needs the package bitsandbytes"),
        ({"dtype": "float99"}, "dtype='float99' is not a torch dtype"),
        ({"questions": "published", "sets": ("forbidden", "popqa"), "judge": "m"}, "OPENAI_API_KEY"),
    ):
        with pytest.raises((ValueError, OSError), match=fault):
            check_run(replace(study, **changes))
        with pytest.raises((ValueError, OSError), match=fault):
            command.run(replace(study, name="never", **changes), tmp_path / "never")
    assert not (tmp_path / "never").exists()


@pytest.mark.slow
def test_a_run_without_a_base_model_ends(tmp_path, monkeypatch, capsys):
    import sys

    for module in [module for name, module in sys.modules.items() if name.startswith("hn_utils")]:
        for constant in FEWER.keys() & vars(module).keys():
            monkeypatch.setattr(module, constant, FEWER[constant])
    monkeypatch.setenv("HN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "bare.json").write_text(json.dumps({**STUDY, "base": ""}))
    command.main(["run", "--study", str(tmp_path / "bare.json"), "--out", str(tmp_path / "out"), "--plan"])
    assert "1 models of" in capsys.readouterr().out
    command.main(["run", "--study", str(tmp_path / "bare.json"), "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert said.startswith("bare names no base model: where the H-Neurons come from is not asked\n")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["transfer"], summary["drift"], summary["transfer_beyond"]) == ([], None, None)
    assert not any("base model" in line or "drift" in line for line in measures(summary))
    assert "base model" not in (tmp_path / "out" / "report.md").read_text()
