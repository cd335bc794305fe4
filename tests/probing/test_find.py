"""What is found stands beside its controls, where it is known which neurons tell made-up answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planting import planted

import hn_utils as hn
from hn_utils import Detector, analyses
from hn_utils.probing.find import SELECTED_NAMES, UNSEEN, unseen
from hn_utils.questions.question import STANDARD_TITLE
from hn_utils.report.report import detection_findings

KNOWS, MARKS = 7, [11, 30]  # the neuron that tells made-up answers; those that fire at answers, whatever these are


@pytest.fixture(scope="module")
def found():
    return hn.find(planted([KNOWS], MARKS), n_grid=8)


@pytest.fixture(scope="module")
def nothing():
    return hn.find(planted([], MARKS), n_grid=8)


def test_the_table_holds_every_detector_on_every_test_set(found):
    assert found.table.index.tolist() == [
        "L1 probe, all its neurons",
        "H-Neurons alone, refitted",
        "random neurons",
        "random, same layers",
        "random, same layers, as loud in sum",
        "picked on shuffled labels",
        "picked on shuffled labels, H-Neurons left out",
        "words of the answer, no neuron",
        "plain confidence (log-probability)",
    ]
    assert {type(name) for name in found.table.index} == {str}  # as they print
    own = found.detection(Detector.H_NEURONS)
    assert own.auroc.value > 0.99  # eight times as loud at made-up answers
    assert own.n_neurons == 1
    for name in [*Detector][2:]:  # what fires at any answer, words that no two share, chance
        assert abs(found.detection(name).auroc.value - 0.5) < 0.2
    words = found.detection(Detector.WORDS)
    assert (words.n_neurons, words.accuracy) == (None, None)
    assert found.detection(Detector.SELECTED).n_neurons == 1
    assert {row.test_set for row in found.detections} == set(found.test_sets)


def test_a_part_of_the_result_is_asked_for_by_name(found):
    for part, title in (("standard", STANDARD_TITLE), ("unseen", UNSEEN)):
        for detector in Detector:
            (row,) = [d for d in found.detections if (d.name, d.test_set) == (detector, title)]
            assert found.detection(detector, part) is row
    with pytest.raises(ValueError, match="part='medical' has no test set with right and wrong answers: choose stand"):
        found.detection(Detector.H_NEURONS, part="medical")
    with pytest.raises(ValueError, match="detector 'tea leaves' was not read here: choose one of 'L1 probe, all its"):
        found.detection("tea leaves")


def test_shuffled_labels_pick_what_fires_at_answers(found):
    picked = {form: {tuple(fit.neurons.tolist()) for fit in fits} for form, fits in found.selected.items()}
    assert found.neurons.tolist() == [KNOWS]
    assert picked["others"] == {(MARKS[0],), (MARKS[1],)}
    assert (KNOWS,) not in picked["any"]  # half as often, and the labels no help
    assert found.control is found.selected["any"]


def test_what_is_planted_is_beyond_every_control_and_nothing_is_beyond_none(found, nothing):
    assert set(found.beyond) == {"any", "others", "none", "layer", "loud", "confidence"}
    assert all(difference.low > 0.3 for difference in found.beyond.values())
    assert found.p == {form: pytest.approx(2 / 101) for form in SELECTED_NAMES}  # the first of 101
    assert set(nothing.neurons.tolist()) == set(MARKS)
    assert all(difference.low <= 0.001 for difference in nothing.beyond.values())
    assert all(p > 0.2 for p in nothing.p.values())
    assert f"{found.beyond['any']} beyond what shuffled labels pick (p = 0.020)" in found.headline


def test_the_report_tells_detection_from_what_any_labels_would_pick(found, nothing):
    (here, unseen_ones), (lost, _) = detection_findings(found, None), detection_findings(nothing, None)
    assert here.claim == f"They detect made-up answers: {STANDARD_TITLE}"
    assert (here.verdict, unseen_ones.verdict, lost.verdict) == ("replicates", "there", "not told apart")
    assert here.paper == "+14.0 to +19.9 points of accuracy over random neurons of any layer"
    assert unseen_ones.paper.startswith("not measured; elsewhere +8.3 to +15.4 points")
    begins = f"AUROC 1.00: {found.beyond['any']} above what shuffled labels pick (rank p = 0.040, corrected)"
    assert here.ours.startswith(begins)
    assert here.ours.endswith("(n = 150)")


def test_answers_not_given_in_training_are_a_test_set_of_their_own():
    answers = planted([KNOWS], MARKS, said=200)  # of 450 answers, the first 200 texts come twice or thrice
    found = hn.find(answers, n_grid=8)
    trained = {answers.kept[i].text for i in found.collected.training_rows()}
    rows = found.test_sets[UNSEEN]
    texts = [answers.kept[i].text for i in found.test_sets[STANDARD_TITLE]]
    assert 0 < len(rows) == sum(text not in trained for text in texts) < len(texts)
    assert not {answers.kept[i].text for i in rows} & trained
    assert found.detection(Detector.H_NEURONS, "unseen").auroc.n == len(rows)


def test_answers_are_the_same_however_they_are_written():
    answers = planted([KNOWS], MARKS, n=12)
    written = iter(["ESSEL.", "Essel", " essel ", "Old Hythe"])
    kept = [replace(e, text="Essel" if e.question.split == "train" else "x") for e in answers.kept]
    kept = [replace(e, text=next(written)) if e.question.split == "test" else e for e in kept]
    asked = replace(answers, examples=kept)
    assert [asked.kept[i].text for i in unseen(asked)] == ["Old Hythe"]


def test_as_many_neurons_as_are_asked_for_are_compared_with_as_many(found, nothing):
    sized = analyses.by_size(found, (1, 2), n_sets=39)
    assert min(own.value for own in sized.own) > 0.99
    assert sized.control.shape == (2, 39)
    assert np.abs(sized.control.mean(1) - 0.5).max() < 0.1  # one, or both, of those that fire at any answer
    assert sized.p == pytest.approx([2 / 40, 2 / 40])
    assert sized.table["neurons"].tolist() == [1, 2]
    assert sized.headline.startswith(
        "AUROC of the first k neurons, true against shuffled labels: k = 1: 1.00 against 0."
    )
    none = analyses.by_size(nothing, (1, 2), n_sets=39)
    assert max(abs(own.value - 0.5) for own in none.own) < 0.1
    assert min(none.p) > 0.2


def test_size_alone_is_seen_in_both():
    """With four neurons shuffled labels have room for the one that knows, too: as many detect as much."""
    sized = analyses.by_size(hn.find(planted([KNOWS, 120], [*MARKS, 140]), n_grid=8), (2, 4), n_sets=39)
    assert sized.control[0].mean() < 0.6
    assert sized.control[1].mean() > 0.8
    assert sized.p[1] > 0.05
