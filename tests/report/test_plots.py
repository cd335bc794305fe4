"""Figures by facts from outside: titles by hand, bands that hold what they say, and intervals over entities (rows about
one entity, copied ten times, say no more than once)."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from curves import curve, noisy

from hn_utils.analyses import Breaking
from hn_utils.contributions.cett import Contributions, Labelled, by_region
from hn_utils.contributions.tall_matrix import TallMatrix
from hn_utils.origins.transfer import Drift, Transfer
from hn_utils.probing.l1_path import Fit
from hn_utils.probing.probe import HNeurons, Probe, choose
from hn_utils.report import plots
from hn_utils.report.gallery import caption_of, title_of
from hn_utils.report.plots.intervene import risen
from hn_utils.stats.bootstrap import Estimate
from hn_utils.steering.dose_response import Intervened, TextCost
from hn_utils.steering.verdicts import Verdict

CARD = HNeurons("m", "f", "s", "answer", 1.0, 0.0, 10, 2, [{"layer": 0, "neuron": 3, "weight": 1.0}])


def answers_of(values: np.ndarray, labels: np.ndarray, people: np.ndarray, neurons: list[int], sets: list[list[int]]):
    """What the probe found among made-up contributions [answer, neuron] of validation people."""
    read = Labelled(TallMatrix([values]), labels, people)
    collected = SimpleNamespace(rows=lambda _: np.arange(len(labels)), labelled=lambda rows, region: read)
    fits = [SimpleNamespace(neurons=np.array(some)) for some in sets]
    probe = SimpleNamespace(region="answer")
    return SimpleNamespace(collected=collected, neurons=np.array(neurons), card=CARD, probe=probe, control=fits)


def test_the_interval_of_one_neuron_is_over_entities():
    rng, bars = np.random.default_rng(0), []
    values, labels = rng.lognormal(size=(60, 20)).astype(np.float32), rng.integers(0, 2, 60)
    for times in (1, 10):
        rows = np.repeat(np.arange(60), times)
        figure = plots.single_neurons(answers_of(values[rows], labels[rows], rows, [3, 5], [[1, 2], [6, 7]]))
        (points,) = figure.select_traces({"name": "H-Neurons"})
        bars.append([*points.error_y.array, *points.error_y.arrayminus])
    assert bars[0] == pytest.approx(bars[1])
    assert max(bars[0]) > 0.05


def test_single_neurons_stand_beside_picks_on_shuffled_labels_sorted_alike():
    labels = np.repeat([1, 0], 20)
    rising = np.arange(40, 0, -1.0)  # larger in every made-up answer
    values = np.stack([rising, -rising, rising, np.ones(40), *[-rising] * 6], axis=1).astype(np.float32)
    people = np.arange(40)
    figure = plots.single_neurons(answers_of(values, labels, people, [1, 0, 2], [[3, 4, 5]] * 5 + [[4, 5, 6]] * 5))
    band, median, points = figure.data
    assert list(points.x) == ["L0.N0", "L0.N2", "L0.N1"]
    assert list(points.y) == [1, 1, 0]
    assert list(median.y) == [0.25, 0, 0]
    assert list(band.y) == pytest.approx([0.5, 0, 0, 0, 0, 0])
    assert title_of(figure) == "2 of 3 H-Neurons write more in made-up answers than their control"
    assert "2 H-Neurons do, of as many picked on shuffled labels 0" in caption_of(figure)
    alike = plots.single_neurons(answers_of(values, labels, people, [0, 1], [[2, 4]] * 5))
    assert title_of(alike).startswith("0 of 2 H-Neurons")


def test_the_path_shows_the_choice_and_what_it_had_to_reach():
    weights = np.array([2.0, 1.0, -1.0, 3.0])
    path = [Fit(c, np.arange(k), weights[:k], 0.0, 0.0, 0.5) for c, k in ((0.1, 1), (0.3, 3), (1.0, 4))]
    validation = [Estimate(0.6, 0.55, 0.65, 50), Estimate(0.79, 0.75, 0.83, 50), Estimate(0.8, 0.7608, 0.8392, 50)]
    probe = Probe(path, validation, choose(path, validation)[0], "", "answer", "other")
    figure = plots.l1_path(probe)
    assert [list(trace.y) for trace in figure.data] == [[0.6, 0.79, 0.8], [0.79], [1, 2, 3], [2]]
    (bar,) = figure.layout.shapes
    assert bar.y0 == pytest.approx(0.78)
    assert title_of(figure) == "2 H-Neurons: the sparsest probe within one standard error of the best"
    slid = plots.l1_path_weights(probe, 10)
    assert [len(trace.x) for trace in slid.data] == [1, 0, 2, 1, 3, 1]
    assert slid.layout.annotations[0].text == "2 H-Neurons, 1 of negative weight (rings)<br>validation AUROC 0.79"


def at_tokens(loud: list[int]) -> plots.AtTokens:
    """Twenty tokens, the last but one an answer at which these of sixteen neurons write."""
    values = np.zeros((20, 16))
    values[18, loud] = np.arange(len(loud), 0, -1)
    return plots.AtTokens("Who?", ["<b>", *"abcdefghijklmnopqrs"], values, [18])


def test_true_and_made_up_answers_share_neurons_and_a_scale():
    figure = plots.token_heat_maps(at_tokens([*range(8)]), at_tokens([*range(4, 12)]), 10)
    assert title_of(figure) == "4 of the 8 loudest neurons are the same at both answers"
    left, right = figure.data
    assert list(left.y) == list(right.y)
    assert left.coloraxis == right.coloraxis == "coloraxis"
    assert left.z.shape == (8, 14)
    frames = [(frame.x0, frame.x1, frame.line.color) for frame in figure.layout.shapes]
    assert frames == [(17.5, 18.5, "#0072B2"), (17.5, 18.5, "#E69F00")]


def scored(h_neurons: float, random: list[float], model: str = "step") -> Transfer:
    sure = Estimate(0.9, 0.88, 0.92, 100)
    own = Estimate(h_neurons, h_neurons - 0.02, h_neurons + 0.02, 100)
    return Transfer(model, 50, 50, own, own, sure, np.array(random))


def test_since_when_the_probe_works():
    low, none = scored(0.6, [0.5, 0.62], "early"), Transfer("first", 2, 90, None, None, None, np.array([]))
    high, last = scored(0.7, [0.5, 0.6], "late"), scored(0.75, [0.5, 0.6], "base")
    for transfers, said in (
        ([none, low, high, last], "From late on the H-Neurons detect more than picks on shuffled labels"),
        ([high, last], "At every checkpoint the H-Neurons detect more than picks on shuffled labels"),
        ([high, low], "At early the H-Neurons are not told apart from picks on shuffled labels"),
        ([none], "No checkpoint gives enough right and wrong answers"),
    ):
        assert title_of(plots.timeline(transfers)) == said
    figure = plots.timeline([none, low, high, last])
    assert list(figure.data[1].y) == pytest.approx([0.56, 0.55, 0.55])  # the median of the sets
    assert "left out: 1" in caption_of(figure)


def test_tuning_may_change_loudness_as_much_as_that_of_their_control():
    def read(values: list[float]) -> Contributions:
        return Contributions(by_region([np.repeat(np.array(values)[None, None], 4, 1).repeat(3, 0)]), 2, 10)

    before, after = read([1.0] * 20), read([*[1.0, 2.0, 4.0] * 6, 1, 1])
    for others, own, said in (
        (
            [[0, 1, 2], [3, 4, 5]],
            [6, 7, 8],
            "How tuning changed H-Neurons' contributions is not told apart from their control",
        ),
        ([[0, 3, 6]] * 3, [2, 5, 8], "Tuning made the H-Neurons louder, compared with picks on shuffled labels"),
        ([[2, 5, 8]] * 3, [0, 3, 6], "Tuning made the H-Neurons quieter, compared with picks on shuffled labels"),
    ):
        card = replace(CARD, rows=[{"layer": j // 10, "neuron": j % 10, "weight": 1.0} for j in own])
        figure = plots.base_and_instruct(before, after, card, [np.array(some) for some in others])
        assert title_of(figure) == said
        ratio = figure.data[2].y
        assert list(ratio) == sorted(ratio, reverse=True)


def test_drift_is_told_against_every_control():
    ranks, empty = np.linspace(0, 1, 20), np.array([])
    random = {match: np.array([0.4, 0.5, 0.6]) for match in ("none", "layer", "magnitude")}
    p = dict.fromkeys(random, 0.01)
    noise = {"shuffled": np.array([0.8, 0.85])}
    for about, more, said in (
        ({}, {}, "H-Neurons moved less than random neurons"),
        (noise, {"shuffled": 0.3}, "H-Neurons moved less than random; not told apart from shuffled-label picks"),
        (noise, {"shuffled": 0.01}, "H-Neurons moved less than random and shuffled-label picks"),
        ({}, {"layer": 0.2}, "How far tuning moved the H-Neurons is not told apart from random"),
        ({"mean_rank": 0.1}, {}, "H-Neurons moved more than random neurons"),
        ({"mean_rank": 0.1}, {"none": 0.2}, "How far tuning moved the H-Neurons is not told apart from random"),
        ({"random": {**random, "layer": random["layer"] + 0.5}}, {}, "H-Neurons moved less than some, more than other"),
    ):
        drift = replace(Drift(empty, ranks, empty, 0.9, 0.9, {**p, **more}, random, empty, []), **about)
        figure = plots.drift_ranks(drift, CARD)
        assert title_of(figure).startswith(said)
        strips = [trace.y[0] for trace in figure.data]
        assert ("picked on<br>shuffled labels" in strips) == ("shuffled" in about)


def test_facts_that_were_not_asked_plainly_are_not_called_known():
    rng = np.random.default_rng(0)
    drawn = curve(noisy(rng, [0.9, 1, 0.9], 30), np.array([noisy(rng, [0.9, 1, 0.9], 30) for _ in range(3)]))
    asked = replace(drawn, items=[replace(item, question="Who?") for item in drawn.items])
    some = replace(drawn, items=[*asked.items[:12], *drawn.items[12:]])
    for curves, told in (
        (
            {"a": asked},
            "n = 30 items; band: 3 sets of neurons picked on shuffled labels, turned so that they disturb as much",
        ),
        ({"a": asked, "b": asked}, "n = 30 items each; band: 3 sets of neurons"),
        ({"a": drawn}, "n = 30 items, none of them about facts that the model was seen to know; band: 3 sets"),
        (
            {"a": asked, "b": some},
            "n = 30 items each, 42 of them about facts that the model was seen to know; band: 3 sets",
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
        plots.side_effects(Intervened(CARD, {}, {"recall": recall}, {}, None), CARD),
        plots.breaking(broken, CARD),
    ):
        assert "text" not in title_of(figure) + caption_of(figure)
        assert not list(figure.select_xaxes(col=2))


def test_the_interval_of_what_text_loses_is_over_what_it_is_about():
    rng = np.random.default_rng(0)
    recall = curve(noisy(rng, [0.9, 1, 0.9], 30), np.array([noisy(rng, [0.9, 1, 0.9], 30) for _ in range(3)]))
    loss, controls, bars = rng.normal(size=(40, 3)), rng.normal(size=(3, 40, 3)), []
    for times in (1, 10):
        rows = np.repeat(np.arange(40), times)
        scaled = Intervened(
            CARD, {}, {"recall": recall}, {}, TextCost(loss[rows], controls[:, rows], [f"person {i}" for i in rows])
        )
        (line,) = plots.side_effects(scaled, CARD).select_traces({"name": "H-Neurons"}, col=2)
        bars.append([*line.error_y.array, *line.error_y.arrayminus])
    assert bars[0] == pytest.approx(bars[1])
    assert max(bars[0]) > 0.1


def test_control_sets_are_one_band_that_holds_95_percent_of_them():
    rates = np.linspace(0, 1, 41)  # of 41 sets, one a step of .025
    sets = (np.arange(40)[None, :] < (40 * rates)[:, None]).astype(int)
    control = np.repeat(sets[:, :, None], 3, axis=2)
    own = np.stack([np.zeros(40, int), np.ones(40, int), np.ones(40, int)], axis=1)
    figure = plots.dose_response({"false_premise": curve(own, control)}, CARD)
    outline, median, line, broken = figure.data
    assert list(outline.y) == pytest.approx([0.975] * 3 + [0.025] * 3)
    assert list(median.y) == pytest.approx([0.5] * 3)
    assert list(line.y) == [0, 1, 1]
    assert (broken.name, list(broken.y)) == ("broken", [0, 0, 0])
    assert "planted neurons" not in [trace.name for trace in figure.data]
    beside = plots.dose_response({"false_premise": curve(own, control)}, CARD, {"false_premise": curve(own, control)})
    assert [trace.name for trace in beside.data][-3:] == ["planted neurons", "H-Neurons", "broken"]


def test_the_share_of_broken_replies_is_drawn_at_each_alpha():
    drawn = curve(np.zeros((4, 3), int), np.zeros((5, 4, 3), int))
    whole, broken = drawn.replies[0][0], drawn.replies[0][0]._replace(broken=True)
    rows = [[whole, whole, broken], [whole, whole, broken], [broken, whole, broken], [whole, whole, whole]]
    figure = plots.dose_response({"false_premise": replace(drawn, replies=rows)}, CARD)
    (crosses,) = figure.select_traces({"name": "broken"})
    assert list(crosses.y) == [0.25, 0, 0.75]


def test_a_title_is_what_the_verdicts_say_in_a_dozen_words():
    still, up, down = (Verdict(word, 0.01) for word in ("not told apart", "rises", "falls"))
    names = ("false_premise", "misleading_context", "sycophancy", "restricted")
    for verdicts, said in (
        ((still,) * 4, "Turned up, the H-Neurons are not told apart from their controls"),
        ((still, still, still, up), "Restricted request rises; the other 3 are not told apart"),
        (
            (up, up, down, still),
            "2 of 4 behaviours rise and 1 fall beyond their controls",
        ),
        ((up,) * 4, "False premise and misleading context and sycophancy and restricted request rise"),
        ((Verdict("too few control sets to say", None),) * 4, "Too few control sets to say whether anything rises"),
    ):
        assert risen(dict(zip(names, verdicts, strict=True))) == said
