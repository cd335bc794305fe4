"""A checkpoint is looked at with the final model's neurons and with its own."""

from __future__ import annotations

import numpy as np
import pytest

import hn_utils as hn
from hn_utils import analyses
from hn_utils.analyses.emergence import told
from hn_utils.subject import Subject


@pytest.fixture(scope="module")
def found():
    return hn.find(hn.collect(hn.load("organism"), n_questions=1_200, sampling={"n": 2}), n_grid=8)


@pytest.fixture(scope="module")
def itself(found):
    """The final model as its own last checkpoint."""
    (moment,) = analyses.emergence(found, [found.subject], base=False)
    return moment


def test_the_final_model_as_a_checkpoint_is_what_was_found(found, itself):
    assert itself.anew.n == itself.anew.shared == len(found.neurons)
    assert itself.anew.beyond == found.beyond["random"] == itself.beyond
    assert itself.final.h_neurons == next(d.auroc for d in found.detections if d.name.startswith("H-Neurons alone"))


def test_recall_and_loudness_worked_out_another_way(found, itself):
    collected = found.collected
    test = [(q, r) for q, r in zip(collected.questions, collected.responses, strict=True) if q.split == "test"]
    right = [one.verdict == "right" for q, drawn in test if q.part == "standard" for one in drawn]
    assert itself.recall == pytest.approx(np.mean(right))
    read = np.asarray(collected.contributions.at("answer")[collected.test_rows("standard")].columns(np.arange(4_608)))
    layers = found.neurons // found.subject.d_mlp
    alike = np.concatenate([fit.neurons for fit in found.random["layer"]])
    assert set(alike // found.subject.d_mlp) == set(layers)
    assert itself.loud == pytest.approx(read[:, found.neurons].mean() / read[:, np.unique(alike)].mean(), rel=1e-5)


def test_a_checkpoint_that_knows_little_is_told_as_such(found):
    study = found.study
    moments = analyses.emergence(found, (Subject.load(n, study) for n in (study.checkpoints[0], study.base)))
    early, base = moments
    assert early.recall < base.recall
    assert early.beyond is None
    assert early.anew is None
    assert base.beyond is not None
    lines = told(moments)
    assert lines["final H-Neurons, beyond random"].tolist() == ["too few answers", str(base.beyond)]
    assert early.row["anew"] is None
    assert base.row["beyond"]["value"] == base.beyond.value
