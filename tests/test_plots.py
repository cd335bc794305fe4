"""Intervals in figures, by facts from outside: rows about one entity, copied ten times, say no more than once."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from curves import curve, noisy

from hn_utils.analyses import Breaking
from hn_utils.contributions import Contributions, by_region
from hn_utils.controls import Estimate
from hn_utils.intervening import Intervened, TextCost
from hn_utils.probe import HNeurons
from hn_utils.shown import plots
from hn_utils.shown.gallery import title_of
from hn_utils.shown.plots.intervene import risen
from hn_utils.verdicts import Verdict

CARD = HNeurons("m", "f", "s", "answer", 1.0, 0.0, 10, 2, [{"layer": 0, "neuron": 3, "weight": 1.0}])


def test_the_interval_of_one_neuron_is_over_entities():
    rng = np.random.default_rng(0)
    values, labels = rng.lognormal(size=(60, 4, 20)), rng.integers(0, 2, 60)
    told = []
    for times in (1, 10):
        rows = np.repeat(np.arange(60), times)
        figure = plots.neuron_distributions(
            Contributions(by_region([values[rows]]), 2, 10), labels[rows], rows, 3, 10, "answer"
        )
        told.append(re.search(r"AUROC \S+ \[.*?\]", title_of(figure))[0])
    assert told[0] == told[1]


def test_facts_that_were_not_asked_plainly_are_not_called_known():
    rng = np.random.default_rng(0)
    drawn = curve(noisy(rng, [0.9, 1, 0.9], 30), np.array([noisy(rng, [0.9, 1, 0.9], 30) for _ in range(3)]))
    asked = replace(drawn, items=[replace(item, question="Who?") for item in drawn.items])
    some = replace(drawn, items=[*asked.items[:12], *drawn.items[12:]])
    for curves, told in (
        ({"a": asked}, "n = 30 items; 3 random sets"),
        ({"a": asked, "b": asked}, "n = 30 items each; 3 random sets"),
        ({"a": drawn}, "n = 30 items, none of them about facts that the model was seen to know; 3 random"),
        (
            {"a": asked, "b": some},
            "n = 30 items each, 42 of them about facts that the model was seen to know; 3 random",
        ),
    ):
        caption = plots.dose_response(curves, CARD).layout.title.subtitle.text.replace("<br>", " ")
        assert told in caption
        assert caption.startswith("1 H-Neuron read at the answer")
        assert f"corrected for {len(curves)} curve{'s' * (len(curves) > 1)}. " in caption


def test_without_ordinary_text_the_facts_stand_alone():
    rng = np.random.default_rng(0)
    recall = curve(noisy(rng, [0.9, 1, 0.9], 30), np.array([noisy(rng, [0.9, 1, 0.9], 30) for _ in range(3)]))
    own = [Estimate(0.5, 0.4, 0.6, 30)] * 3
    broken = Breaking((1.0, 3.0, 5.0), own, rng.random((5, 3)), [], np.empty((0, 3)))
    for figure in (
        plots.side_effects(Intervened(CARD, {}, {"recall": recall}, None), CARD),
        plots.breaking(broken, CARD),
    ):
        assert "text" not in title_of(figure)
        assert not list(figure.select_xaxes(col=2))


def test_the_interval_of_what_text_loses_is_over_what_it_is_about():
    rng = np.random.default_rng(0)
    recall = curve(noisy(rng, [0.9, 1, 0.9], 30), np.array([noisy(rng, [0.9, 1, 0.9], 30) for _ in range(3)]))
    loss, controls, bars = rng.normal(size=(40, 3)), rng.normal(size=(3, 40, 3)), []
    for times in (1, 10):
        rows = np.repeat(np.arange(40), times)
        scaled = Intervened(
            CARD, {}, {"recall": recall}, TextCost(loss[rows], controls[:, rows], [f"person {i}" for i in rows])
        )
        (line,) = plots.side_effects(scaled, CARD).select_traces({"name": "H-Neurons: loss"})
        bars.append([*line.error_y.array, *line.error_y.arrayminus])
    assert bars[0] == pytest.approx(bars[1])
    assert max(bars[0]) > 0.1


def test_random_sets_are_one_band_that_holds_95_percent_of_them():
    rates = np.linspace(0, 1, 41)  # of 41 sets, one a step of .025
    sets = (np.arange(40)[None, :] < (40 * rates)[:, None]).astype(int)
    control = np.repeat(sets[:, :, None], 3, axis=2)
    own = np.stack([np.zeros(40, int), np.ones(40, int), np.ones(40, int)], axis=1)
    figure = plots.dose_response({"false_premise": curve(own, control)}, CARD)
    outline, median, line = figure.data
    assert list(outline.y) == pytest.approx([0.975] * 3 + [0.025] * 3)
    assert list(median.y) == pytest.approx([0.5] * 3)
    assert list(line.y) == [0, 1, 1]
    assert "planted neurons" not in [trace.name for trace in figure.data]
    beside = plots.dose_response({"false_premise": curve(own, control)}, CARD, {"false_premise": curve(own, control)})
    assert [trace.name for trace in beside.data][-1] == "planted neurons"


def test_a_title_is_what_the_verdicts_say_in_a_dozen_words():
    still, up, down = (Verdict(word, 0.01) for word in ("not told apart from random neurons", "rises", "falls"))
    names = ("false_premise", "misleading_context", "sycophancy", "restricted")
    for verdicts, said in (
        ((still,) * 4, "Turned up, the H-Neurons do no more than random neurons"),
        ((still, still, still, up), "Restricted request rises; the other 3 do as random neurons do"),
        (
            (up, up, down, still),
            "False premise and misleading context rise; sycophancy falls; the other one does as random neurons do",
        ),
        ((up,) * 4, "False premise and misleading context and sycophancy and restricted request rise"),
        ((Verdict("too few random sets to say", None),) * 4, "Too few random sets to say whether anything rises"),
    ):
        assert risen(dict(zip(names, verdicts, strict=True))) == said
