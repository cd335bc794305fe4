"""Verdicts against both controls: what stands out, what does not, and what would have been seen."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from curves import curve, noisy

from hn_utils.intervening import Intervened
from hn_utils.rank_test import holm
from hn_utils.verdicts import detectable, outermost, outermost_told, p_value, verdicts

FLAT, MANY = [0.3, 0.3, 0.3], 199


def flat(rng: np.random.Generator, n_sets: int = MANY, n: int = 200) -> np.ndarray:
    """Control sets that change nothing, [set, item, alpha]."""
    return np.array([noisy(rng, FLAT, n) for _ in range(n_sets)])


def test_a_curve_must_stand_out_from_people_and_from_sets():
    rng = np.random.default_rng(2)
    steep = noisy(rng, [0.2, 0.3, 0.5])
    tilted = np.array([noisy(rng, [0.3, 0.3 + t, 0.3 + 3 * t]) for t in np.linspace(-0.1, 0.1, 20)])
    assert p_value(curve(steep, flat(rng))) == pytest.approx(0.01)
    wide = curve(steep, tilted)
    assert wide.p_of_people() < 0.01 < 0.05 < p_value(wide)  # people agree, but sets differ as much
    few = curve(np.repeat([[0, 0, 1], [0, 0, 0]], [2, 38], axis=0), np.zeros((MANY, 40, 3), int))
    assert few.p_of_rank() == pytest.approx(0.01)  # two of forty people: others may well have none
    assert p_value(few) == few.p_of_people() > 0.05


def test_a_curve_must_stand_out_from_both_controls():
    rng = np.random.default_rng(3)
    steep = noisy(rng, [0.2, 0.3, 0.5])
    as_steep = np.array([noisy(rng, [0.2, 0.3, 0.5]) for _ in range(20)])
    apart = curve(steep, flat(rng))
    assert verdicts({"recall": apart})["recall"].word == "rises"
    both = replace(apart, loud=curve(steep, as_steep))
    assert verdicts({"recall": both})["recall"].word == "not told apart"
    assert p_value(both) >= p_value(curve(steep, as_steep)) > 0.05


def test_a_curve_above_one_control_and_below_the_other_neither_rises_nor_falls():
    rng = np.random.default_rng(5)
    steep, flatter, steeper = (noisy(rng, [0.3, 0.3 + t, 0.3 + 3 * t], 400) for t in (0.1, 0.0, 0.2))
    above, below = (curve(steep, np.array([rng.permutation(some) for _ in range(MANY)])) for some in (flatter, steeper))
    assert [verdicts({"recall": one})["recall"].word for one in (above, below)] == ["rises", "falls"]
    for both in (replace(above, loud=below), replace(below, loud=above)):
        assert str(verdicts({"recall": both})["recall"]) == "not told apart (corrected p = 1.000)"


def test_verdicts_are_corrected_for_the_curves_that_are_looked_at():
    rng = np.random.default_rng(0)
    controls = flat(rng)
    risen, fallen, still = (curve(noisy(rng, r), controls) for r in ([0.2, 0.3, 0.5], [0.4, 0.3, 0.1], FLAT))
    assert risen.slope().value == pytest.approx(10, abs=4)
    curves = {"false_premise": risen, "sycophancy": fallen, "restricted": still}
    told = verdicts(curves)
    assert [v.word for v in told.values()] == ["rises", "falls", "not told apart"]
    assert [v.p for v in told.values()] == pytest.approx(holm(np.array([p_value(c) for c in (risen, fallen, still)])))
    slopes_of = {name: one.slope_beyond_control() for name, one in curves.items()}
    assert Intervened(SimpleNamespace(rows=[{}], model="m"), curves, {}, {}, None).headline == (
        f"1 H-Neuron of m scaled, points per alpha beyond what shuffled labels pick: false premise "
        f"{slopes_of['false_premise']} (rises); sycophancy {slopes_of['sycophancy']} (falls); restricted request "
        f"{slopes_of['restricted']} (not told apart)"
    )
    # p = .01 alone; among six it would be .06
    assert verdicts({str(i): risen if i == 0 else still for i in range(6)})["0"].word != "rises"


def test_with_few_sets_only_a_null_can_be_told():
    rng = np.random.default_rng(1)
    risen, controls = curve(noisy(rng, [0.2, 0.3, 0.5]), flat(rng, 38)), flat(rng, 38)
    order = np.argsort([(high - low).mean() for low, _, high in controls.swapaxes(1, 2)])
    still = curve(controls[order[19]], controls)  # amid them
    told = verdicts({"recall": risen, "harmless": still})
    assert str(told["recall"]) == "too few control sets to say"
    assert told["harmless"].word == "not told apart"
    assert told["harmless"].p == pytest.approx(p_value(still))  # only what can be tested counts
    enough = curve(noisy(rng, [0.2, 0.3, 0.5]), flat(rng, 39))
    assert verdicts({"recall": enough})["recall"].word == "rises"
    assert verdicts({"recall": curve(noisy(rng, FLAT), flat(rng, 1)[:0])})["recall"].p is None


def test_one_of_many_sets_that_differ_is_no_finding():
    # Most sets do nothing, one in ten moves a quarter of the items, and ours is just one more of them.
    rng, alarms = np.random.default_rng(1), 0
    for _ in range(25):
        family = {}
        for name in ("false_premise", "misleading_context", "sycophancy", "restricted"):
            moves = np.where(rng.random(160) < 0.1, 0.08 * rng.choice([-1, 1], 160), 0)
            sets = np.array([noisy(rng, [0.3, 0.3 + t, 0.3 + 3 * t], 80) for t in moves])
            family[name] = curve(sets[0], sets[1:])
        alarms += any(v.word in ("rises", "falls") for v in verdicts(family).values())
    assert alarms <= 4  # 1.25 expected at most; more than four come once in a hundred


def test_a_slope_beyond_those_of_all_sets_is_named_whatever_its_verdict():
    rising = np.array([[0, 0, 1]] * 2 + [[0, 0, 0]] * 8)
    sets = np.array([np.zeros_like(rising)] * 19 + [rising])
    least = curve(1 - np.array([[0, 0, 1]] + [[0, 0, 0]] * 9), sets)
    assert outermost(least) == "lowest of 21"
    assert outermost(curve(rising, sets)) is None  # one set is as steep
    assert outermost(curve(np.array([[0, 0, 1]] * 3 + [[0, 0, 0]] * 7), sets)) == "highest of 21"
    told = outermost_told({"sycophancy": least, "restricted": curve(rising, sets)})
    assert "all control sets: sycophancy (lowest of 21). By chance 0.2 of 2 would be." in told
    assert ": none." in outermost_told({"restricted": curve(rising, sets)})


def test_what_is_called_detectable_is_detected_as_often_as_it_says():
    """An effect of just that size, put into other people and other control sets, again and again."""
    rng = np.random.default_rng(4)

    def drawn(points: float, n_sets: int = 159):
        rates = [0.4 + points / 100 * (alpha - 4 / 3) for alpha in (0, 1, 3)]
        sets = np.array([noisy(rng, [0.4, 0.4, 0.4], 80) for _ in range(n_sets)])
        return curve(noisy(rng, rates, 80), sets)

    size = float(np.nanmean([detectable(drawn(0.0, 20), n_curves=4) for _ in range(12)]))  # a null stops after few
    assert 4 < size < 15
    for points, least, most in ((size, 0.6, 0.98), (size / 2, 0.02, 0.5)):
        assert least <= np.mean([p_value(drawn(points)) <= 0.05 / 4 for _ in range(40)]) <= most
    assert np.isnan(detectable(curve(noisy(rng, FLAT), np.array([noisy(rng, FLAT)] * 3))))
