"""A second organism, trained here, takes all four steps, twice; and bad input stops it before the long work."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import hn_utils as hn
from hn_utils import analyses
from hn_utils.__main__ import main
from hn_utils.answers.examples import drop_counts
from hn_utils.contributions.collected import balanced
from hn_utils.models.hooked_model import HookedModel
from hn_utils.probing.find import N_SELECTED
from hn_utils.questions.question_sets import load_questions
from hn_utils.report.report import summary
from hn_utils.study import load_study


@pytest.fixture(scope="module")
def walked(tiny_study):
    model = hn.load(tiny_study)
    found = hn.find(hn.collect(model))
    return found.collected, found, analyses.compare(found), hn.dose_response(model, found), hn.look_back(found)


def test_all_four_steps(walked, tiny_study):
    collected, found, compared, intervened, origins = walked
    assert len(collected.examples) == len(load_questions(tiny_study))
    assert sum(drop_counts(collected.examples).values()) == len(collected.examples)
    assert {d.name for d in found.detections} >= {"H-Neurons alone, refitted", "plain confidence (log-probability)"}
    assert (found.card.neurons // found.card.d_mlp < 3).all()
    for control in found.random["layer"]:
        counts = [np.bincount(f // 160, minlength=3) for f in (control.neurons, found.card.neurons)]
        assert counts[0].tolist() == counts[1].tolist()
    for control in found.random["loud"]:
        assert set(control.neurons // 160) == set(found.card.neurons // 160)
        assert not set(control.neurons) & set(found.card.neurons)
    assert {form: len(fits) for form, fits in found.selected.items()} == {"any": N_SELECTED, "others": N_SELECTED}
    assert all(len(fit.neurons) == len(found.neurons) for fits in found.selected.values() for fit in fits)
    assert not set(np.concatenate([fit.neurons for fit in found.selected["others"]])) & set(found.neurons)
    assert set(found.beyond) == {"any", "others", "none", "layer", "loud", "confidence"}
    assert all(1 / (1 + N_SELECTED) < p <= 1 for p in found.p.values())
    assert set(intervened.behaviours) == {"false_premise", "misleading_context", "sycophancy", "restricted"}
    for curve in intervened.behaviours.values():
        assert curve.outcomes.shape == (len(curve.items), 7)
        for one in (curve, curve.loud):
            assert one.control_outcomes.shape == (3, len(curve.items), 3)
            assert len(one.controls) == 3
            assert one.control_broken.shape == (3, 3)
            assert one.disturbance(3.0) == pytest.approx(1, abs=0.1)
            assert (one.control_outcomes[:, :, 1] == curve.at(1)).all()  # at alpha 1 nothing is changed
    for curve in intervened.graded.values():
        assert curve.log_odds.shape == (len(curve.items), 7)
        np.testing.assert_allclose(curve.control_values[..., 1], np.tile(curve.values[:, 1], (3, 1)), atol=1e-4)
    assert [t.model for t in origins.timeline][-1] == "out/base"
    written = json.dumps(summary(found, compared, None, intervened, origins, None))
    assert "NaN" not in written


def test_the_second_time_only_reads(walked, tiny_study, monkeypatch):
    monkeypatch.setattr("hn_utils.answers.sampling.generate", None)  # nothing may be generated or read again
    monkeypatch.setattr("hn_utils.models.hooked_model.HookedModel.run_layers", None)
    again = hn.collect(walked[0].subject)
    assert [e.text for e in again.examples] == [e.text for e in walked[0].examples]
    read, before = (c.contributions.regions for c in (again, walked[0]))
    assert all(read[region].digest == before[region].digest for region in ("answer", "other", "before"))


def test_train_validation_and_test_share_no_person(walked):
    collected = walked[0]
    people = [set(collected.entities[collected.rows(s)]) for s in ("train", "validation", "test")]
    assert not (people[0] & people[1] or people[0] & people[2] or people[1] & people[2])


def test_balanced_rows_have_as_many_of_each():
    labels = np.array([0] * 7 + [1] * 3)
    rows = balanced(np.arange(10), labels, seed=0)
    assert np.bincount(labels[rows]).tolist() == [3, 3]


def test_headless(tiny_study, tmp_path, monkeypatch, capsys, walked):
    monkeypatch.setattr("hn_utils.__main__.load_study", lambda _: tiny_study)
    read, hashed = [], HookedModel._hash
    monkeypatch.setattr(HookedModel, "_hash", lambda self: read.append(self.name) or hashed(self))
    main(["run", "--out", str(tmp_path)])
    assert read == [tiny_study.instruct, tiny_study.base, *tiny_study.checkpoints]  # all weights of each model, once
    printed = capsys.readouterr().out
    assert "H-Neurons" in printed
    assert json.loads((tmp_path / "summary.json").read_text())["h_neurons"] == len(walked[1].card.rows)
    report = (tmp_path / "report.md").read_text()
    assert "Turned up, they make it give in: sycophancy" in report
    assert report.count("| **cannot say** |") >= 4 + 1  # three control sets carry no verdict; 480 neurons no share


def test_bad_input(tiny_study, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="error: unknown study 'gpt-9': choose one of organism"):
        main(["run", "--study", "gpt-9"])
    monkeypatch.setenv("HN_STUDY", "nothing")
    with pytest.raises(ValueError, match="unknown study 'nothing'"):
        load_study()
    with pytest.raises(ValueError, match="unknown setting .colour.: choose of name, instruct"):
        load_study("organism", colour="red")
    with pytest.raises(ValueError, match="n_questions=0 must be at least 1"):
        load_questions(replace(tiny_study, n_questions=0))
    with pytest.raises(ValueError, match="unknown question set 'quiz': choose one of organism"):
        load_questions(replace(tiny_study, questions="quiz"))
    with pytest.raises(OSError, match="facts.parquet is missing"):
        load_questions(replace(tiny_study, instruct="/nowhere/instruct"))
