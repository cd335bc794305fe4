"""A checkpoint is looked at with the final model's neurons and with its own."""

from __future__ import annotations

import numpy as np
import pytest

import hn_utils as hn
from hn_utils import analyses
from hn_utils.analyses.emergence import N_GROUPS
from hn_utils.models.hooked_model import HookedModel


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
    assert itself.anew.beyond == found.beyond["any"] == itself.beyond
    assert itself.final.h_neurons == found.detection(hn.Detector.H_NEURONS).auroc


def test_recall_and_loudness_worked_out_another_way(found, itself):
    collected = found.collected
    test = [(q, r) for q, r in zip(collected.questions, collected.responses, strict=True) if q.split == "test"]
    right = [one.verdict == "right" for q, drawn in test if q.part == "standard" for one in drawn]
    assert itself.recall == pytest.approx(np.mean(right))
    read = np.asarray(collected.contributions.at("answer")[collected.test_rows("standard")].columns(np.arange(4_608)))
    layers = found.neurons // found.subject.d_mlp
    alike = np.concatenate([fit.neurons for fit in found.random["layer"]])
    assert set(alike // found.subject.d_mlp) == set(layers)
    assert itself.relative_mean_contribution == pytest.approx(
        read[:, found.neurons].mean() / read[:, np.unique(alike)].mean(), rel=1e-5
    )


def test_what_is_read_often_is_made_up_less(found, itself):
    """The groups are those of a table sorted by hand: facts never stated first, the others in equal parts."""
    asked = zip(found.collected.questions, found.collected.responses, strict=True)
    rows = sorted(
        (
            (q.strata["exposure"], sum(r.verdict == "wrong" for r in drawn) / len(drawn))
            for q, drawn in asked
            if q.part == "standard"
        ),
        key=lambda row: row[0],
    )
    never = [wrong for exposure, wrong in rows if exposure == 0]
    assert itself.exposed[0] == (0, pytest.approx(sum(never) / len(never)), len(never))
    stated = itself.exposed[1:]
    assert len(stated) == N_GROUPS
    assert max(group.n for group in stated) - min(group.n for group in stated) <= 1
    assert sum(group.n for group in itself.exposed) == len(rows)
    total = sum(group.exposure * group.n for group in stated)
    assert total == pytest.approx(sum(exposure for exposure, _ in rows))
    assert sum(group.hallucinated * group.n for group in itself.exposed) == pytest.approx(
        sum(wrong for _, wrong in rows)
    )
    assert stated[-1].hallucinated < stated[0].hallucinated


def test_a_checkpoint_that_knows_little_is_told_as_such(found):
    study = found.study
    moments = analyses.emergence(found, (HookedModel.load(n, study) for n in (study.checkpoints[0], study.base)))
    early, base = moments
    assert early.recall < base.recall
    assert early.beyond is None
    assert early.anew is None
    assert base.beyond is not None
    assert early.row["anew"] is None
    assert base.row["beyond"]["value"] == base.beyond.value
