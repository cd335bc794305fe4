"""Verdicts on numbers whose verdict a person decided; every finding of a real run has one."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from curves import curve, noisy

from hn_utils.controls import Estimate
from hn_utils.origins import Drift, Transfer, nowhere
from hn_utils.shown.report import (
    VERDICTS,
    Finding,
    carried_verdict,
    drift_verdict,
    gain_verdict,
    least_gain,
    origin_findings,
    page,
    ranks_of,
    slope_verdict,
    transfer_verdict,
)
from hn_utils.verdicts import Verdict


@pytest.mark.parametrize(
    ("value", "low", "high", "verdict"),
    [
        (16.0, 9.0, 22.0, "replicates"),
        (6.0, 1.0, 11.0, "weaker"),
        (6.0, -1.0, 13.0, "absent"),
        (6.0, -9.0, 21.0, "cannot say"),  # there is still room for a gain like the paper's
        (-9.0, -15.0, -2.0, "contradicts"),
        (float("nan"), float("nan"), float("nan"), "cannot say"),
    ],
)
def test_gains(value, low, high, verdict):
    assert gain_verdict(Estimate(value, low, high, 100), least=14.0) == verdict


def test_the_bar_of_every_part_is_the_paper_s_smallest_gain():
    # Table 1; on NonExist one model lost 7.5 points to random neurons, and the least that any gained is 10.2
    assert [least_gain(part) for part in ("standard", "nq_open", "bioasq", "nonexist")] == [14.0, 8.3, 7.4, 10.2]
    assert least_gain("paraphrase") == 8.3  # a part that the paper does not have
    small = Estimate(5.0, 0.9, 8.7, 883)
    assert {gain_verdict(small, least_gain(part)) for part in ("standard", "paraphrase", "nonexist")} == {"weaker"}


def test_what_carries_over_is_set_beside_what_there_is_at_home():
    home = Estimate(0.08, 0.02, 0.13, 364)
    assert carried_verdict(Estimate(0.12, 0.06, 0.17, 861), home) == "replicates"
    assert carried_verdict(Estimate(0.05, 0.01, 0.09, 861), home) == "replicates"  # there is room for 0.08
    assert carried_verdict(Estimate(0.03, 0.01, 0.05, 861), home) == "weaker"
    assert carried_verdict(Estimate(0.01, -0.04, 0.06, 861), home) == "absent"
    assert carried_verdict(Estimate(0.03, -0.04, 0.10, 861), home) == "cannot say"
    assert carried_verdict(Estimate(-0.05, -0.09, -0.01, 861), home) == "contradicts"
    assert carried_verdict(Estimate(0.12, 0.06, 0.17, 861), replace(home, low=-0.01)) == "cannot say"
    assert carried_verdict(None, home) == "cannot say"


def test_slopes():
    rng = np.random.default_rng(0)
    narrow = curve(np.zeros((50, 3), int), np.zeros((20, 50, 3), int))
    wide = curve(noisy(rng, [0.3, 0.3, 0.3], 12), np.array([noisy(rng, [0.3, 0.3, 0.3], 12) for _ in range(20)]))
    still = Verdict("not told apart from random neurons", 0.4)
    assert [slope_verdict(c, still) for c in (narrow, wide)] == ["absent", "cannot say"]  # room for 2.4 points or not
    words = ("rises", "falls", "too few random sets to say")
    told = [slope_verdict(narrow, Verdict(word, 0.01)) for word in words]
    assert told == ["replicates", "contradicts", "cannot say"]


def test_transfer():
    random = np.linspace(0.45, 0.6, 100)
    base = Transfer("base", 100, 100, None, Estimate(0.83, 0.78, 0.88, 200), None, random)
    assert transfer_verdict(base) == "replicates"
    assert transfer_verdict(replace(base, random=random + 0.3)) == "weaker"  # random neurons do as well
    assert transfer_verdict(replace(base, h_neurons=Estimate(0.7, 0.6, 0.8, 200))) == "weaker"  # the paper has 0.86
    assert transfer_verdict(replace(base, h_neurons=Estimate(0.55, 0.45, 0.65, 200))) == "absent"
    assert transfer_verdict(replace(base, h_neurons=Estimate(0.4, 0.3, 0.49, 200))) == "contradicts"
    assert transfer_verdict(replace(base, h_neurons=None)) == "cannot say"


def test_too_few_answers_of_the_base_model_are_told_as_such():
    nowhere = SimpleNamespace(
        mean_rank=0.5, p=dict.fromkeys(("none", "layer", "magnitude"), 0.5), shuffled=np.array([])
    )
    origins = SimpleNamespace(base=Transfer("base", 30, 7, None, None, None, np.array([])), drift=nowhere, beyond=None)
    found = SimpleNamespace(beyond={"random": Estimate(0.1, 0.0, 0.2, 99)})
    works, carries, _ = origin_findings(found, origins)
    assert works.ours == carries.ours == "too few answers: 30 right, 7 wrong"
    assert works.verdict == carries.verdict == "cannot say"


def test_drift():
    empty = np.array([])
    moved = Drift(empty, empty, empty, 0.8, 0.8, {"none": 0.001, "layer": 0.001, "magnitude": 0.02}, {}, empty, [])
    assert drift_verdict(moved) == "replicates"
    assert drift_verdict(replace(moved, p={**moved.p, "layer": 0.3})) == "weaker"
    assert drift_verdict(replace(moved, p={**moved.p, "shuffled": 0.2})) == "weaker"  # any neuron that L1 picks
    assert drift_verdict(replace(moved, mean_rank=0.2)) == "contradicts"
    assert drift_verdict(nowhere(4)) == "cannot say"
    assert ranks_of(nowhere(4)) == {"mean_rank": None, "mean_rank_within": None, "p": {}}
    assert drift_verdict(replace(moved, p={"none": 0.4, "layer": 0.4, "magnitude": 0.4})) == "absent"


def test_the_page_counts_its_verdicts(study):
    text = page(study, [Finding("a", "b", "c", v) for v in ("absent", "absent", "weaker")])
    assert "3 findings: 1 weaker, 2 absent. The model ran in float32;" in text
    assert text.count("**absent**") == 2
    assert {"absent", "weaker"} <= set(VERDICTS)
