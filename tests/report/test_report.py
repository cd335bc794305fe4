"""Verdicts on numbers whose verdict a person decided; every finding of a real run has one."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from curves import curve, noisy

from hn_utils.origins.transfer import Drift, Transfer, nowhere
from hn_utils.report.report import (
    VERDICTS,
    Finding,
    carried_verdict,
    compliance_findings,
    detection_verdict,
    drift_verdict,
    how_many,
    origin_findings,
    page,
    paper_gains,
    ranks_of,
    slope_verdict,
    transfer_verdict,
)
from hn_utils.stats.bootstrap import Estimate
from hn_utils.stats.neuron_sets import Control
from hn_utils.steering.curves import GradedResponse
from hn_utils.steering.verdicts import Verdict


def beyond(any_: tuple[float, float, float], loud: tuple[float, float, float]) -> dict[str, Estimate]:
    """AUROC beyond what shuffled labels pick, and beyond random neurons as loud."""
    return {"any": Estimate(*any_, 100), "loud": Estimate(*loud, 100)}


ABOVE, AMID, BELOW = (0.1, 0.04, 0.16), (0.02, -0.03, 0.07), (-0.1, -0.16, -0.04)
NOTHING = (float("nan"),) * 3


@pytest.mark.parametrize(
    ("any_", "loud", "p", "measured", "verdict"),
    [
        (ABOVE, ABOVE, 0.02, True, "replicates"),
        (ABOVE, ABOVE, 0.02, False, "there"),  # as much, but the paper has no number for it
        (ABOVE, ABOVE, 0.3, True, "weaker"),  # above their mean, but amid the sets
        (AMID, ABOVE, 0.02, True, "weaker"),  # above the sets, but not for other people
        (AMID, ABOVE, 0.3, False, "weaker"),
        (AMID, AMID, 0.3, True, "not told apart"),
        (AMID, BELOW, 0.3, True, "not told apart"),
        (BELOW, BELOW, 0.02, True, "contradicts"),
        (BELOW, BELOW, 0.3, True, "not told apart"),
        (NOTHING, ABOVE, 0.02, True, "cannot say"),
    ],
)
def test_detection_is_decided_against_what_shuffled_labels_pick(any_, loud, p, measured, verdict):
    assert detection_verdict(beyond(any_, loud), p, measured) == verdict


def test_what_the_paper_gained_stands_beside_each_part():
    # Table 1, in points of accuracy over random neurons; on NonExist one model lost 7.5 points to these
    assert [min(paper_gains(part)) for part in ("standard", "nq_open", "bioasq", "nonexist")] == [14.0, 8.3, 7.4, -7.5]
    assert [len(paper_gains(part)) for part in ("standard", "nq_open", "bioasq", "nonexist")] == [6] * 4
    assert paper_gains("paraphrase") == paper_gains("nq_open")  # a part that the paper does not have


def test_more_than_one_neuron_in_a_thousand_contradicts():
    def verdict(n: int, d_mlp: int) -> str:
        card = SimpleNamespace(rows=[{}] * n, n_layers=10, d_mlp=d_mlp, per_mille=100 * n / d_mlp)
        return how_many(SimpleNamespace(card=card)).verdict

    assert [verdict(n, 10_000) for n in (99, 100)] == ["replicates", "contradicts"]  # of a hundred thousand
    assert verdict(1, 100) == "cannot say"  # one of a thousand neurons is one in a thousand


def test_what_carries_over_is_set_beside_what_there_is_at_home():
    home = Estimate(0.08, 0.02, 0.13, 364)
    assert carried_verdict(Estimate(0.12, 0.06, 0.17, 861), home) == "there"
    assert carried_verdict(Estimate(0.05, 0.01, 0.09, 861), home) == "there"  # there is room for 0.08
    assert carried_verdict(Estimate(0.03, 0.01, 0.05, 861), home) == "weaker"
    assert carried_verdict(Estimate(0.01, -0.04, 0.06, 861), home) == "not told apart"
    assert carried_verdict(Estimate(0.03, -0.04, 0.10, 861), home) == "cannot say"
    assert carried_verdict(Estimate(-0.05, -0.09, -0.01, 861), home) == "contradicts"
    assert carried_verdict(Estimate(0.12, 0.06, 0.17, 861), replace(home, low=-0.01)) == "cannot say"
    assert carried_verdict(None, home) == "cannot say"


def rising(share: float) -> np.ndarray:
    """Of forty items this share comply at alpha 3 alone; all of them would be a slope of 100 x 5 / 14 points."""
    own = np.zeros((40, 3), int)
    own[: round(40 * share), 2] = 1
    return own


def test_slopes():
    rng = np.random.default_rng(0)
    narrow = curve(np.zeros((50, 3), int), np.zeros((20, 50, 3), int))
    wide = curve(noisy(rng, [0.3, 0.3, 0.3], 12), np.array([noisy(rng, [0.3, 0.3, 0.3], 12) for _ in range(20)]))
    still = Verdict("not told apart", 0.4)
    assert [slope_verdict(c, still, 4) for c in (narrow, wide)] == [
        "not told apart",
        "cannot say",
    ]  # room for 2.4 or not
    nothing = np.zeros((20, 40, 3), int)
    steep, shallow = curve(rising(0.2), nothing), curve(rising(0.05), nothing)  # 7.1 and 1.8 points; the paper has 2.4
    words = ("rises", "falls", "too few control sets to say")
    told = [slope_verdict(steep, Verdict(word, p), 4) for word, p in zip(words, (0.01, 0.01, None), strict=True)]
    assert told == ["replicates", "contradicts", "cannot say"]
    assert slope_verdict(shallow, Verdict("rises", 0.01), 4) == "weaker"
    assert slope_verdict(replace(steep, behaviour="caving_in"), Verdict("rises", 0.01), 4) == "there"


def test_a_slope_is_told_with_its_controls_and_what_would_have_been_seen():
    rng = np.random.default_rng(3)
    flat = np.array([noisy(rng, [0.3, 0.3, 0.3]) for _ in range(199)])
    steep, still = noisy(rng, [0.2, 0.3, 0.5]), noisy(rng, [0.3, 0.3, 0.3])
    sets = [Control(np.array([k]), 1.0) for k in range(199)]
    whole = np.zeros((199, 3))
    risen, null = (
        replace(curve(own, flat), controls=sets, control_broken=whole, loud=curve(own, flat[:150]))
        for own in (steep, still)
    )
    odds = GradedResponse("false_premise", risen.items, risen.alphas, steep.astype(float), flat.astype(float))
    few = replace(curve(steep, flat[:3]), control_broken=whole[:3])
    curves = {"false_premise": risen, "sycophancy": null, "restricted": few}
    found = {
        f.claim: f for f in compliance_findings(SimpleNamespace(behaviours=curves, graded={"false_premise": odds}))
    }
    up, same, unsaid = found.values()
    assert list(found)[0] == "Turned up, they make it give in: false premise"
    assert [f.verdict for f in (up, unsaid)] == ["replicates", "cannot say"]
    begins = (
        f"{risen.slope()} points per alpha, {risen.slope_beyond_control()} beyond what shuffled labels pick instead ("
    )
    assert up.ours.startswith(begins)
    assert f"199 sets; beyond random neurons as loud {risen.loud.slope_beyond_control()}; p = 0.0" in up.ours
    assert f"log-odds of the claim {odds.slope_beyond_control()} nats per alpha" in up.ours
    assert "would have been seen" not in up.ours + unsaid.ours
    assert same.verdict in ("not told apart", "cannot say")
    assert re.search(r"corrected for 3 behaviours; a rise of \d+\.\d would have been seen", same.ours)


def test_transfer():
    random = np.linspace(0.45, 0.6, 100)
    base = Transfer("base", 100, 100, None, Estimate(0.83, 0.78, 0.88, 200), None, random)
    assert transfer_verdict(base) == "replicates"
    assert transfer_verdict(replace(base, random=random + 0.3)) == "weaker"  # what shuffled labels pick does as well
    assert transfer_verdict(replace(base, h_neurons=Estimate(0.7, 0.6, 0.8, 200))) == "weaker"  # the paper has 0.86
    assert transfer_verdict(replace(base, h_neurons=Estimate(0.55, 0.45, 0.65, 200))) == "not told apart"
    assert transfer_verdict(replace(base, h_neurons=Estimate(0.4, 0.3, 0.49, 200))) == "contradicts"
    assert transfer_verdict(replace(base, h_neurons=None)) == "cannot say"


def test_too_few_answers_of_the_base_model_are_told_as_such():
    nowhere = SimpleNamespace(
        mean_rank=0.5, p=dict.fromkeys(("none", "layer", "magnitude"), 0.5), shuffled=np.array([])
    )
    origins = SimpleNamespace(base=Transfer("base", 30, 7, None, None, None, np.array([])), drift=nowhere, beyond=None)
    found = SimpleNamespace(beyond={"any": Estimate(0.1, 0.0, 0.2, 99)})
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
    assert drift_verdict(replace(moved, p={"none": 0.4, "layer": 0.4, "magnitude": 0.4})) == "not told apart"


def test_the_page_counts_its_verdicts(study):
    text = page(study, [Finding("a", "b", "c", v) for v in ("not told apart", "not told apart", "weaker")])
    assert "3 findings: 1 weaker, 2 not told apart. The model ran in float32;" in text
    assert text.count("**not told apart**") == 2
    assert {"not told apart", "weaker"} <= set(VERDICTS)
