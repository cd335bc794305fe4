"""Verdicts against both controls: what stands out, what does not, and what would have been seen."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from curves import curve, noisy

from hn_utils.questions.items import Item
from hn_utils.stats.neuron_sets import Control
from hn_utils.stats.rank_test import holm
from hn_utils.steering.curves import GradedResponse
from hn_utils.steering.dose_response import Intervened
from hn_utils.steering.measure import AT_ONCE, ControlSource, _beside_controls
from hn_utils.steering.verdicts import detectable, outermost, outermost_told, p_value, verdicts

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
    assert [verdicts({"recall": one})["recall"].word for one in (above, below)] == ["rises", "lies below its controls"]
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
    assert Intervened(SimpleNamespace(rows=[{}], model="m", noun="H-Neuron"), curves, {}, {}, None).headline == (
        f"1 H-Neuron of m scaled, points per alpha beyond what shuffled labels pick instead: false premise "
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
    assert "all control sets: sycophancy (lowest of 21). By chance at most 0.2 of 2 would be." in told
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


# --- what a hostile reader would build ------------------------------------------------------------------------------


def test_a_curve_that_only_falls_less_than_its_controls_does_not_rise():
    """Controls that break the model as they are turned up comply less: that is no effect of the neurons under study."""
    rng = np.random.default_rng(5)
    broken = np.array([noisy(rng, [0.3, 0.3, 0.02], 300) for _ in range(MANY)])
    level = curve(noisy(rng, FLAT, 300), broken)
    assert level.slope_beyond_control().low > 0
    assert verdicts({"recall": level})["recall"].word == "lies above its controls"
    steeper = np.array([noisy(rng, [0.1, 0.3, 0.9], 300) for _ in range(MANY)])
    assert verdicts({"recall": curve(noisy(rng, [0.2, 0.3, 0.5], 300), steeper)})["recall"].word == (
        "lies below its controls"
    )


def test_few_people_who_all_agree_are_no_evidence():
    for n_items, p in ((1, 1), (2, 0.5), (3, 0.25), (5, 0.0625)):
        few = curve(np.tile([0, 0, 1], (n_items, 1)), np.zeros((MANY, n_items, 3), int))
        assert few.p_of_people() == p  # that of a sign test over all of them
        assert verdicts({"recall": few})["recall"].word == "not told apart"


def test_one_set_again_and_again_is_no_crowd():
    rng = np.random.default_rng(6)
    steep = noisy(rng, [0.2, 0.3, 0.5])
    same = [Control(np.array([3, 4]), 1.0)] * MANY
    alone = replace(curve(steep, flat(rng)), controls=same)
    assert (alone.n_different, p_value(alone)) == (1, pytest.approx(0.01))
    assert verdicts({"recall": alone})["recall"].word == "too few control sets to say"
    beside = curve(steep, flat(rng))
    assert verdicts({"recall": replace(alone, loud=beside)})["recall"].word == "rises"


def test_a_control_that_cannot_be_silenced_further_is_measured_by_what_it_reached():
    """Half as loud: at alpha 0 it is silenced and changes half as much; at 3 it is turned to 5 and changes as much."""
    half = Control(np.array([1]), 0.5)
    assert [half.reached(alpha) for alpha in (0.0, 1.0, 3.0)] == [0.5, 1.0, 3.0]
    # 20 points of 100 for each unit of disturbance, whoever causes it: own .1 .3 .7; the control .2 .3 .7
    own = np.array([[int(i < 10), int(i < 30), int(i < 70)] for i in range(100)])
    quiet = np.array([[int(i < 20), int(i < 30), int(i < 70)] for i in range(100)])
    drawn = replace(curve(own, quiet[None]), controls=[half])
    assert drawn.control_slopes() == pytest.approx([20.0])
    assert drawn.slope_value == pytest.approx(20.0)
    assert curve(own, quiet[None]).control_slopes()[0] < 18  # as if it had reached 0


POPULATIONS = {  # of what a set does to the mean of all items
    "normal": lambda rng, size: rng.normal(0, 0.3, size),
    "one in ten moves": lambda rng, size: np.where(rng.random(size) < 0.1, 2.0 * rng.choice([-1, 1], size), 0.0),
    "one in twenty moves much": lambda rng, size: np.where(rng.random(size) < 0.05, 4.0, rng.normal(0, 0.1, size)),
    "heavy tails": lambda rng, size: 0.3 * rng.standard_t(2, size),
    "skewed": lambda rng, size: 0.2 * np.exp(1.2 * rng.normal(size=size)),
}


def family(rng: np.random.Generator, draw, own: float | None = None) -> dict[str, GradedResponse]:
    """Four curves of a set that is one more draw of a population, or does as much as `own`, drawn as far as needed."""
    n_items = 40
    listed = [Item(str(i), "a", ("?",), "t", "u", "c", entity=str(i)) for i in range(n_items)]

    def values(effect: float) -> np.ndarray:
        return np.array([0.0, 1, 3]) * effect / 3 + rng.normal(0, 0.5, (n_items, 3))

    bare, effects = {}, {}
    for name in ("false_premise", "misleading_context", "sycophancy", "restricted"):
        mine = float(draw(rng, 1)[0]) if own is None or bare else own
        bare[name] = GradedResponse(name, listed, np.array([0.0, 1, 3]), values(mine), np.empty((0, n_items, 3)))
        effects[name] = draw(rng, 2 * MANY)

    def beside(one: GradedResponse, controls) -> GradedResponse:
        drawn = np.array([values(effects[one.behaviour][control.neurons[0]]) for control in controls])
        known = np.concatenate([one.control_values, drawn])
        return replace(one, control_values=known, controls=(*one.controls, *controls))

    def source(start: int) -> ControlSource:
        sets = [Control(np.array([start + i]), 1.0) for i in range(MANY)]
        return ControlSource(lambda first, last: sets[first:last], MANY)

    return _beside_controls(bare, beside, source(0), source(MANY))


@pytest.mark.slow
@pytest.mark.parametrize("name", POPULATIONS)
def test_false_alarms_of_the_rule_as_it_is_used(name):
    """With both controls, drawn only as far as a verdict needs them."""
    rng, alarms, n = np.random.default_rng(8), 0, 60
    for _ in range(n):
        told = verdicts(family(rng, POPULATIONS[name]))
        alarms += any(v.word not in ("not told apart", "too few control sets to say") for v in told.values())
    assert alarms <= 7  # 3 expected at most; more than 7 come once in a hundred


def test_the_rule_as_it_is_used_sees_what_is_there():
    rng, seen = np.random.default_rng(9), 0
    for _ in range(10):
        curves = family(rng, POPULATIONS["normal"], own=3.0)
        seen += verdicts(curves)["false_premise"].word == "rises"
        assert len(curves["false_premise"].control_values) == MANY
        nulls = [len(one.control_values) for name, one in curves.items() if name != "false_premise"]
        assert np.median(nulls) <= 4 * AT_ONCE
    assert seen == 10
