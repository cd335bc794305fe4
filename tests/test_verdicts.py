"""Corrected p-values worked by hand, and how often a verdict is a false alarm where there is nothing to find."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from curves import curve, noisy

from hn_utils.curves import slopes
from hn_utils.intervening import Intervened
from hn_utils.verdicts import detectable, holm, one_more, outermost, outermost_told, p_value, verdicts

FLAT = [0.3, 0.3, 0.3]


def test_holm_by_hand():
    # .005 x 4, .01 x 3, .03 x 2; .04 x 1 would fall below the one before
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.4, 0.6])).tolist() == [0.8, 0.8]
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]
    assert holm(np.array([0.03])).tolist() == [0.03]
    assert holm(np.array([])).size == 0


def test_one_more_slope_by_hand():
    # mean 2, sd 1: t = 4 / sqrt(1 + 1/3) = sqrt(12); with 2 degrees of freedom p = 1 - t / sqrt(2 + t^2)
    sets = np.array([1.0, 2, 3])
    assert one_more(np.array(6.0), sets) == pytest.approx(1 - np.sqrt(12 / 14))
    assert one_more(np.array([6.0, -2.0]), np.stack([sets, sets])) == pytest.approx(1 - np.sqrt(12 / 14))
    assert one_more(np.array(2.0), sets) == 1
    assert one_more(np.array([1.0, 2.0]), np.ones((2, 20))).tolist() == [1, 0]  # sets that do not differ at all


def test_a_curve_must_stand_out_from_people_and_from_sets():
    rng = np.random.default_rng(2)
    flat, steep = np.array([noisy(rng, FLAT) for _ in range(20)]), noisy(rng, [0.2, 0.3, 0.5])
    tilted = np.array([noisy(rng, [0.3, 0.3 + t, 0.3 + 3 * t]) for t in np.linspace(-0.1, 0.1, 20)])
    assert p_value(curve(steep, flat)) < 0.01
    wide = curve(steep, tilted)
    assert wide.p_beyond_random() < 0.01 < 0.1 < p_value(wide)  # people agree, but sets differ as much
    few = curve(np.repeat([[0, 0, 1], [0, 0, 0]], [2, 38], axis=0), np.zeros((20, 40, 3), int))
    assert one_more(few.slope().value, few.control_slopes()) == 0  # two of forty people: others may well have none
    assert p_value(few) == few.p_beyond_random() > 0.05


def test_verdicts_are_corrected_for_the_curves_that_are_looked_at():
    rng = np.random.default_rng(0)
    flat = np.array([noisy(rng, FLAT) for _ in range(20)])
    risen, fallen, still = (curve(noisy(rng, r), flat) for r in ([0.2, 0.3, 0.5], [0.4, 0.3, 0.1], FLAT))
    assert risen.slope().value == pytest.approx(10, abs=4)
    assert risen.rank_p() == pytest.approx(1 / 21)
    told = verdicts({"false_premise": risen, "sycophancy": fallen, "restricted": still})
    assert [v.word for v in told.values()] == ["rises", "falls", "not told apart from random neurons"]
    assert [v.p for v in told.values()] == pytest.approx(holm(np.array([p_value(c) for c in (risen, fallen, still)])))
    curves = {"false_premise": risen, "sycophancy": fallen, "restricted": still}
    slopes_of = {name: one.slope_beyond_control() for name, one in curves.items()}
    assert Intervened(SimpleNamespace(rows=[{}], model="m"), curves, {}, None).headline == (
        f"1 H-Neuron of m scaled, points per alpha beyond random neurons: false premise {slopes_of['false_premise']} "
        f"(rises); sycophancy {slopes_of['sycophancy']} (falls); restricted request {slopes_of['restricted']} "
        "(not told apart from random neurons)"
    )
    many = (curve(noisy(rng, [0.28, 0.3, 0.38]), flat) for _ in range(99))
    slight = next(c for c in many if 0.02 < p_value(c) < 0.05)
    assert verdicts({"recall": slight})["recall"].word == "rises"
    among = verdicts({"recall": slight, "harmless": still, "restricted": still})
    assert among["recall"].word == "not told apart from random neurons"
    few = verdicts({"recall": replace(risen, control_outcomes=risen.control_outcomes[:18]), "harmless": fallen})
    assert [str(v) for v in few.values()][0] == "too few random sets to say"
    assert few["harmless"].p == pytest.approx(p_value(fallen))  # only what can be tested counts


def test_false_alarms_in_a_family_of_four():
    rng = np.random.default_rng(3)
    normal = rng.normal(size=(20_000, 4, 21))
    shares = rng.binomial(80, 0.3, size=(20_000, 4, 21, 3)) / 80  # as slopes come: shares of eighty items
    counted = slopes(shares.reshape(-1, 3), [0.0, 1, 3]).reshape(normal.shape)
    for each in (normal, counted):
        p = one_more(each[..., 0], each[..., 1:])
        assert (p.min(1) <= 0.05).mean() > 0.15  # uncorrected
        assert (holm(p).min(1) <= 0.05).mean() == pytest.approx(0.049, abs=0.006)  # 1 - (1 - .05 / 4)^4


def test_one_of_many_sets_that_differ_is_no_finding():
    # Sets have slopes of their own (SD 2 points), and ours is just one more of them: any verdict must stay rare.
    rng, alarms = np.random.default_rng(1), 0
    for _ in range(60):
        family = {}
        for name in ("false_premise", "misleading_context", "sycophancy", "restricted"):
            sets = np.array([noisy(rng, [0.3, 0.3 + t, 0.3 + 3 * t], 80) for t in rng.normal(0, 0.02, 21)])
            family[name] = curve(sets[0], sets[1:])
        alarms += any(v.word in ("rises", "falls") for v in verdicts(family).values())
    assert alarms <= 6  # 3 expected at most


def test_a_slope_beyond_those_of_all_sets_is_named_whatever_its_verdict():
    rising = np.array([[0, 0, 1]] * 2 + [[0, 0, 0]] * 8)
    sets = np.array([np.zeros_like(rising)] * 19 + [rising])
    least = curve(1 - np.array([[0, 0, 1]] + [[0, 0, 0]] * 9), sets)
    assert outermost(least) == "lowest of 21"
    assert outermost(curve(rising, sets)) is None  # one set is as steep
    assert outermost(curve(np.array([[0, 0, 1]] * 3 + [[0, 0, 0]] * 7), sets)) == "highest of 21"
    told = outermost_told({"sycophancy": least, "restricted": curve(rising, sets)})
    assert "all random sets: sycophancy (lowest of 21). By chance 0.2 of 2 would be." in told
    assert ": none." in outermost_told({"restricted": curve(rising, sets)})


def test_what_is_called_detectable_is_detected_as_often_as_it_says():
    """An effect of just that size, put into other people and other random sets, again and again."""
    rng = np.random.default_rng(4)

    def drawn(points: float):
        rates = [0.4 + points / 100 * (alpha - 4 / 3) for alpha in (0, 1, 3)]
        flat = np.array([noisy(rng, [0.4, 0.4, 0.4], 80) for _ in range(20)])
        return curve(noisy(rng, rates, 80), flat)

    size = float(np.mean([detectable(drawn(0.0), n_curves=4) for _ in range(8)]))
    assert 4 < size < 15
    for points, least, most in ((size, 0.65, 0.95), (size / 2, 0.02, 0.5)):
        assert least <= np.mean([p_value(drawn(points)) <= 0.05 / 4 for _ in range(60)]) <= most
    assert np.isnan(detectable(curve(noisy(rng, FLAT), np.array([noisy(rng, FLAT)] * 3))))
