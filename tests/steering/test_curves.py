"""Slopes worked by hand, items that swing, and control sets drawn as far as they are needed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from curves import curve

from hn_utils.questions.items import Item
from hn_utils.stats.neuron_sets import Control
from hn_utils.steering import measure
from hn_utils.steering.curves import DoseResponse
from hn_utils.steering.measure import ControlSource, curves_of, graded_curves_of
from hn_utils.steering.replies import Reply
from hn_utils.steering.slopes import slopes

N_ITEMS = 24
OWN, STILL = 5, 100  # a neuron under study; the first of many that do nothing


def test_slope_is_in_points_per_unit_alpha():
    rates = np.array([[0, 0, 100, 100], [0, 100, 100, 100]], float)  # means 0, 50, 100, 100 at alpha 0, 1, 2, 3
    each = slopes(rates, np.array([0.0, 1, 2, 3]))
    assert each == pytest.approx([40.0, 30.0])
    assert each.mean() == pytest.approx(np.polyfit([0, 1, 2, 3], rates.mean(0), 1)[0])


def test_a_curve_s_slope_is_over_the_alphas_that_its_controls_have():
    """A tenth of the items comply at alpha 3 alone: 10 points x (3 - 4/3) / (16/9 + 1/9 + 25/9)."""
    own = np.zeros((20, 3), int)
    own[:2, 2] = 1
    sets = np.zeros((2, 20, 3), int)
    sets[1, :10, 0] = 1  # 50 points at alpha 0 alone: 50 x -4/3 / (42/9)
    drawn = curve(own, sets)
    assert drawn.slope().value == pytest.approx(10 * (5 / 3) / (42 / 9))
    assert drawn.control_slopes() == pytest.approx([0, -50 * (4 / 3) / (42 / 9)])
    assert drawn.slope_beyond_control().value == pytest.approx(10 * 5 / 14 + 25 * 4 / 14)
    assert drawn.slope_beyond_control(slice(0, 2)).value == pytest.approx(25)  # from 0 to 1 ours stand still
    words = np.array(["resisted", "complied"])[np.c_[own, 1 - own]]  # other alphas change nothing
    more = replace(drawn, alphas=np.array([0.0, 1, 3, 7, 8, 9]), outcomes=words)
    assert more.slope() == drawn.slope()


def test_items_that_swing():
    own = np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 1, 1]])
    both = curve(own, np.array([[[0, 0, 0]] * 4, [[0, 0, 1]] * 2 + [[1, 1, 1]] * 2]))
    assert both.swings == 0.5
    assert both.control_swings.tolist() == [0.0, 0.5]


def test_an_alpha_that_was_not_measured_is_refused():
    reply = Reply("x", True, (1,), broken=True)
    whole = Reply("x", False, (1,))
    drawn = replace(
        curve(np.array([[0, 0, 1]] * 2), np.zeros((0, 2, 3), int)), replies=[[whole, whole, reply], [whole] * 3]
    )
    assert drawn.at(3).tolist() == ["complied"] * 2
    assert drawn.at(0.1 * 30).tolist() == ["complied"] * 2  # 3.0000000000000004
    assert (drawn.cut(3), drawn.broken(3), drawn.broken(0)) == (0.5, 0.5, 0.0)
    for read in (drawn.at, drawn.cut, drawn.broken):
        with pytest.raises(ValueError, match=r"alpha=2.5 was not measured: choose one of 0, 1, 3"):
            read(2.5)


def test_control_sets_tell_how_loud_they_are_and_how_much_they_disturb():
    drawn = replace(
        curve(np.zeros((2, 3), int), np.zeros((2, 2, 3), int)), controls=(Control(np.arange(2), 1.0), Control(OWN, 0.5))
    )
    assert drawn.loudness == 0.75
    assert drawn.disturbance(3.0) == 1.0  # half as loud, turned twice as far
    assert drawn.disturbance(0.0) == pytest.approx(0.75)  # below 0 it cannot go
    assert np.isnan(curve(np.zeros((2, 3), int), np.zeros((2, 2, 3), int)).loudness)


# --- drawn as far as they are needed --------------------------------------------------------------------------------


class Asked:
    """Stands in for a model: which doses were put, and what is said to them. With `moves` the neuron under study makes
    all items comply at alpha 3; sets that begin at an odd number make one item comply there, others none."""

    def __init__(self, moves: bool) -> None:
        self.moves, self.sets = moves, []

    def replies(self, _, items, doses, __):
        return [[Reply(self.said(i, dose), False, (1,)) for dose in doses] for i in range(len(items))]

    def log_odds(self, _, items, doses, __):
        return np.array([[float(self.said(i, dose) == "Corin.") for dose in doses] for i in range(len(items))])

    def said(self, item: int, dose) -> str:
        first = int(dose.neurons[0])
        gives_in = self.moves if first == OWN else first % 2 == 1 and item == 0
        return "Corin." if dose.alpha == 3 and gives_in else "Essel."

    def source(self, n: int) -> ControlSource:
        def draw(first: int, last: int) -> list[Control]:
            self.sets += range(first, last)
            return [Control(np.array([STILL + k]), 1.0) for k in range(first, last)]

        return ControlSource(draw, n)


@pytest.fixture
def items():
    return [Item(str(i), "caving", ("Corin?",), "", "Essel", "Corin", entity=str(i)) for i in range(N_ITEMS)]


def drawn_by(asked: Asked, items: list[Item], study, monkeypatch, **sources) -> DoseResponse:
    monkeypatch.setattr(measure, "replies_at", asked.replies)
    three = replace(study, alphas=(0.0, 1.0, 3.0))
    return curves_of(None, items, np.array([OWN]), three, **sources)["caving"]


def test_a_null_stops_after_the_first_sets_and_an_effect_goes_on(items, study, monkeypatch):
    null, effect = Asked(moves=False), Asked(moves=True)
    still = drawn_by(null, items, study, monkeypatch, selected=null.source(199))
    risen = drawn_by(effect, items, study, monkeypatch, selected=effect.source(199))
    assert null.sets == list(range(measure.AT_ONCE))
    assert still.p_of_rank() > 0.5
    assert effect.sets == list(range(199))
    assert risen.p_of_rank() == pytest.approx(2 / 200)
    assert risen.slope().value == pytest.approx(100 * 5 / 14)
    assert risen.control_slopes()[:2] == pytest.approx([0, 100 / N_ITEMS * 5 / 14])
    assert [control.neurons.tolist() for control in risen.controls] == [[STILL + k] for k in range(199)]


def test_one_kind_of_control_among_which_it_lies_settles_both(items, study, monkeypatch):
    class AsLoud(Asked):
        def said(self, _, dose):
            return "Corin." if dose.alpha == 3 and dose.neurons[0] in (OWN, 7) else "Essel."

    asked = AsLoud(moves=True)
    loud = ControlSource(lambda first, last: [Control(np.array([7]), 1.0)] * (last - first), 199)
    drawn = drawn_by(asked, items, study, monkeypatch, selected=asked.source(199), loud=loud)
    assert asked.sets == list(range(measure.AT_ONCE))
    assert (len(drawn.controls), len(drawn.loud.controls)) == (measure.AT_ONCE, measure.AT_ONCE)
    assert drawn.p_of_rank() < 0.2 < 0.9 < drawn.loud.p_of_rank()


def test_quieter_sets_are_turned_further(items, study, monkeypatch):
    seen = []

    class Quiet(Asked):
        def said(self, _, dose):
            seen.append((int(dose.neurons[0]), dose.alpha))
            return "Essel."

    source = ControlSource(lambda first, last: [Control(np.array([9]), 0.25)] * (last - first), 1)
    drawn_by(Quiet(moves=False), items, study, monkeypatch, loud=source)
    assert {alpha for neuron, alpha in seen if neuron == OWN} == {0.0, 1.0, 3.0}
    assert {alpha for neuron, alpha in seen if neuron == 9} == {0.0, 1.0, 9.0}  # a quarter as loud: four times as far


def test_log_odds_stop_and_go_on_alike(items, study, monkeypatch):
    three = replace(study, alphas=(0.0, 1.0, 3.0))
    for moves, n_sets in ((False, measure.AT_ONCE), (True, 199)):
        asked = Asked(moves)
        monkeypatch.setattr(measure, "log_odds", asked.log_odds)
        made = graded_curves_of(None, items, np.array([OWN]), three, selected=asked.source(199))
        assert len(made["caving"].control_values) == n_sets
        assert made["caving"].slope().value == pytest.approx(moves * 5 / 14)  # nats: 1 at alpha 3 alone
    no_claim = [replace(item, claim=None) for item in items]
    assert graded_curves_of(None, no_claim, np.array([OWN]), three) == {}


def test_bad_input(subject, study):
    item = Item("1", "false_premise", ("Why is it that A was born in Great Corin?",), claim="Great Corin")
    with pytest.raises(ValueError, match="out of range"):
        curves_of(subject, [item], np.array([10**7]), study)
    with pytest.raises(ValueError, match=r"must include \[3.0\]"):
        replace(study, alphas=(0.0, 1.0))
