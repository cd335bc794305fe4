"""Falsehood or permission, on planted contributions of which it is known what they follow, and by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from shapes import Shape

import hn_utils as hn
from hn_utils import analyses
from hn_utils.analyses import crossing, permission, permission_probes
from hn_utils.analyses.crossing import (
    CELLS,
    Crossed,
    confidence_if_answered,
    equal_confidence_weights,
    own_twins,
    require_cells,
)
from hn_utils.analyses.permission import CONTRASTS, LARGE, cell_means, least_cases, worded
from hn_utils.answers.examples import Example, Response
from hn_utils.contributions.cett import Contributions, by_region
from hn_utils.contributions.collected import Collected
from hn_utils.probing.against_random import AgainstRandom
from hn_utils.probing.probe import unpenalised
from hn_utils.questions.made_up_world.asking import allowed_or_restricted, questions
from hn_utils.questions.made_up_world.wordings import MARKERS
from hn_utils.questions.made_up_world.world import LOCKER_CODE
from hn_utils.questions.question import Question
from hn_utils.report import plots
from hn_utils.report.gallery import title_of
from hn_utils.stats.rank_test import LEVEL
from hn_utils.study import load_study

FOLLOW = {"falsehood": [3, 40], "permission": [77, 140], "both": [10, 90], "neither": [55, 160]}  # neurons (flat)
OTHERS = np.setdiff1d(np.arange(200), np.concatenate(list(FOLLOW.values())))


def planted(
    n: int = 2400, strength: float = 1.0, sure_if_true: float = 0.0, by_confidence: bool = False, seed: int = 0
) -> Crossed:
    """Answers in four cells, of 200 neurons: FOLLOW tells which are louder in which. With `sure_if_true` true answers
    are given with more confidence; `by_confidence` makes neurons follow that instead of the answer."""
    rng = np.random.default_rng(seed)
    false, restricted = rng.integers(0, 2, n), rng.integers(0, 2, n)
    sure = -rng.random(n) - sure_if_true * false * rng.random(n)
    values = rng.lognormal(0, 0.5, (n, 4, 200)) / 20
    cause = -4 * sure if by_confidence else false
    values[:, 0, FOLLOW["falsehood"]] *= np.exp(0.5 * strength * cause)[:, None]
    values[:, 0, FOLLOW["permission"]] *= np.exp(0.5 * strength * restricted)[:, None]
    values[:, 0, FOLLOW["both"]] *= np.exp(0.5 * strength * (false + restricted))[:, None]
    kept, drawn = [], []
    for i in range(n):
        split = ("train", "validation", "test", "test")[i % 4]
        question = Question(str(i), f"{i}?", ("a",), f"e{i}", "standard", split, {"restricted": bool(restricted[i])})
        kept.append(Example(question, [1, 2], [3], "x", int(false[i]), [2], sure[i]))
        drawn.append([Response(str(i), [3], [sure[i]], "x", "wrong" if false[i] else "right")])
    read = Contributions(by_region([values.astype(np.float16)]), 2, 100)
    answers = Collected(Shape(), load_study("organism"), [e.question for e in kept], drawn, kept, read)
    found = SimpleNamespace(
        study=load_study("organism"),
        subject=Shape(),
        probe=SimpleNamespace(region="answer", other="other"),
        card=SimpleNamespace(
            shape=(2, 100), n_layers=2, d_mlp=100, rows=[{"layer": 0, "neuron": j} for j in FOLLOW["falsehood"]]
        ),
        neurons=np.array(FOLLOW["falsehood"]),
        refitted=summed(FOLLOW["falsehood"]),
        control=random_pairs(),
        control_for=lambda n_tests: random_pairs(),
        magnitude=read.at("answer").mean(),
    )
    return Crossed(found, [e.question for e in kept], drawn, answers)


def summed(neurons):
    return unpenalised(np.array(neurons), np.ones(len(neurons)), 0.0)


def random_pairs():
    rng = np.random.default_rng(1)
    return [summed(np.sort(rng.choice(OTHERS, 2, replace=False))) for _ in range(100)]


@pytest.mark.parametrize("verdict", FOLLOW)
def test_the_verdict_is_what_the_neurons_were_made_to_follow(verdict):
    told = analyses.falsehood_or_permission(planted(), AgainstRandom(summed(FOLLOW[verdict]), random_pairs()), "These")
    assert told.verdict == verdict
    assert f"These: {verdict}." in told.headline
    for name in permission.MAIN:
        effect = told.equal_confidence.effects[name]
        assert 0 < effect.seen < LARGE
        null = "" if effect.there else f"; {effect.seen:.2f} would have been seen"
        assert f"{name} {effect.beyond} beyond control (corrected p = {effect.p:.3f}{null})" in told.headline
    assert title_of(plots.four_cells(told)).startswith("By the rule These ")
    assert (verdict if verdict != "permission" else "permission and not falsehood") in title_of(plots.four_cells(told))


def test_neurons_that_are_quieter_do_not_count_as_raised():
    told = analyses.falsehood_or_permission(
        planted(), AgainstRandom(unpenalised([77, 140], -np.ones(2), 0.0), random_pairs())
    )
    assert told.equal_confidence.effects["restriction"].beyond.high < 0
    assert told.verdict == "neither"


def test_few_answers_are_no_null():
    for n in (200, 400):  # one, and ten, in each cell at equal confidence
        told = analyses.falsehood_or_permission(planted(n=n), AgainstRandom(summed(FOLLOW["neither"]), random_pairs()))
        assert 0 < min(told.equal_confidence.n) < least_cases()
        assert told.verdict == "cannot tell"
    assert "By the rule one cannot tell what H-Neurons follow" in title_of(plots.four_cells(told))


def test_confidence_that_no_cells_share_is_an_error():
    with pytest.raises(ValueError, match="test answers of planted: .* not one answer of each that is as sure"):
        analyses.falsehood_or_permission(planted(n=30))


def test_control_sets_that_do_as_much_take_the_verdict_away():
    """Sets that themselves follow falsehood, one as much as these do, the next less: that these do is no news."""
    crossed = planted()
    sets = [unpenalised(np.array([40, 3 + 52 * (i % 2)]), np.ones(2), 0.0) for i in range(100)]
    told = analyses.falsehood_or_permission(crossed, AgainstRandom(summed(FOLLOW["falsehood"]), sets))
    assert told.equal_confidence.effects["falsehood"].own.low > 0.5
    assert told.equal_confidence.effects["falsehood"].p > LEVEL
    assert told.verdict == "cannot tell"


def test_beside_a_set_that_is_picked_again_and_again_one_cannot_tell():
    """All control sets are the set itself: it does exactly as much as they, and that is no null."""
    sets = [summed(FOLLOW["both"])] * 100
    told = analyses.falsehood_or_permission(planted(), AgainstRandom(summed(FOLLOW["both"]), sets))
    assert told.equal_confidence.effects["falsehood"].beyond.value == 0
    assert told.verdict == "cannot tell"
    assert "beyond control (1 of 100 sets differ: too few to say)" in told.headline


def test_what_only_follows_confidence_is_gone_at_equal_confidence():
    crossed = planted(n=6000, sure_if_true=1.0, by_confidence=True, strength=0.5)
    told = analyses.falsehood_or_permission(crossed)
    before, after = (side.effects["falsehood"] for side in (told.everything, told.equal_confidence))
    assert before.there
    assert not after.there
    assert told.everything.confidence["falsehood"] < -0.5 < -0.1 < told.equal_confidence.confidence["falsehood"]


def test_effects_by_hand():
    """Two answers a cell, one above and one below its mean: the spread within cells is 1."""
    cells, means = np.repeat(np.arange(4), 2), np.array([0.0, 1, 2, 5])
    scores = (np.repeat(means, 2) + np.tile([1.0, -1], 4))[:, None]
    once = np.ones(8)
    told = cell_means(cells, scores, once)[0, :, 0]
    assert told == pytest.approx(means - 2)
    effects = {name: told @ np.array(weights) for name, weights in CONTRASTS.items()}
    assert effects == pytest.approx({"falsehood": 2.0, "restriction": 3.0, "interaction": 2.0})
    assert cell_means(cells, 7 * scores + 3, once)[0, :, 0] == pytest.approx(told)
    assert cell_means(cells, scores, 3 * once)[0, :, 0] == pytest.approx(told)
    some = np.array([1.0, 0, *[2.0] * 6])  # the true, allowed cell has only its answer of score 1
    assert cell_means(cells, scores, some)[0, :, 0] == pytest.approx(
        cell_means(cells, scores, once, some[None])[0, :, 0]
    )
    drawn = cell_means(cells, scores, once, np.array([[2.0] * 8, [0.0, 0, *[1.0] * 6]]))
    assert drawn[0, :, 0] == pytest.approx(told)
    assert np.isnan(drawn[1]).all()  # a draw without any true, allowed answer


def test_words_of_the_rule():
    assert [worded(*pair) for pair in ((True, False), (False, True), (True, True), (False, False))] == list(FOLLOW)
    assert {worded(None, True), worded(False, None), worded(None, None)} == {"cannot tell"}


def test_as_many_cases_as_the_rule_needs_see_a_large_difference_four_times_of_five():
    n, rng, seen = least_cases(), np.random.default_rng(0), []
    cells = np.repeat(np.arange(4), n)
    for _ in range(1_500):
        scores = rng.normal(size=4 * n) + LARGE * (cells % 2)
        means = np.array([scores[cells == cell].mean() for cell in range(4)])
        seen.append(abs(means @ np.array(CONTRASTS["falsehood"])) * np.sqrt(n) > 2.2414)  # 2.5 % in two tails
    assert np.mean(seen) == pytest.approx(0.8, abs=0.04)


def test_confidence_is_that_of_the_answer_once_there_is_one():
    """Refusals take .6 and .1 of the first token, the answer .2: of what is left .2 / .3."""
    question = Question("q", "?", ("a",), "e")
    draws = [
        Response("q", [9, 8], [np.log(0.6), 0.0], "I cannot", "abstained"),
        Response("q", [9, 7], [np.log(0.6), -1.0], "I do not know", "abstained"),
        Response("q", [5], [np.log(0.1)], "No", "abstained"),
        Response("q", [3, 4], [np.log(0.2), np.log(0.5)], "a b", "right"),
    ]
    example = Example(question, [1, 2], [3, 4], "a b", 0, [2, 3], np.log(0.2 * 0.5) / 2)
    assert confidence_if_answered(example, draws) == pytest.approx(np.log(0.2 / 0.3 * 0.5) / 2)
    assert confidence_if_answered(example, draws[-1:]) == example.confidence
    assert (
        confidence_if_answered(Example(question, [1], [9, 3], "I a", 0, [2], -0.3), draws) == -0.3
    )  # answer stands later


def test_at_equal_confidence_every_cell_counts_as_much_in_every_range():
    rng = np.random.default_rng(0)
    cells, sure = rng.integers(0, 4, 4_000), rng.normal(size=4_000)
    sure[cells == 1] -= 1
    each = equal_confidence_weights(sure, cells)
    place = np.floor((sure - sure.min()) / (0.1 * sure.std()))
    for one in np.unique(place):
        counts = np.bincount(cells[place == one], minlength=4)
        told = np.bincount(cells[place == one], each[place == one], minlength=4)
        assert told == pytest.approx(np.full(4, counts.min()))
    assert 400 < each.sum() < 4_000
    assert each.max() == 1


def test_each_neuron_has_its_own_effects():
    table = analyses.each_neuron(planted())
    assert table.index.tolist() == ["L0.N3", "L0.N40", "picked on shuffled labels"]
    for where in ("all answers", "equal confidence"):
        falsehood, restriction = (float(table[where, name]["L0.N3"].split()[0]) for name in permission.MAIN)
        assert falsehood > 0.5 > 0.2 > abs(restriction)


# --- two probes -----------------------------------------------------------------------------------------------------


def only(crossed: Crossed, kinds: tuple[str, ...]) -> Crossed:
    """The same answers with the other neurons that follow anything shuffled."""
    values, rng = crossed.answers.contributions.at("answer").parts[0], np.random.default_rng(3)
    for kind in FOLLOW.keys() - set(kinds):
        for j in FOLLOW[kind]:
            values[:, j] = rng.permutation(values[:, j])
    return crossed


@pytest.mark.slow
def test_probes_of_separate_neurons_read_one_contrast_each_and_share_none():
    probes = analyses.two_probes(only(planted(strength=3.0), ("falsehood", "permission")))
    for name, own in (("falsehood", "falsehood"), ("restriction", "permission")):
        told = probes.told[f"{name} probe"]
        assert set(probes.fits[f"{name} probe"].own.neurons.tolist()) & set(FOLLOW[own])
        for contrast, one in told.items():
            mine = contrast.startswith(name)
            assert (one.own.low > 0.8) == mine
            assert (one.beyond.low > 0.2) == mine
            assert one.control.low < 0.5  # shuffled labels pick any loud neuron, now and then one of these
            assert abs(one.control.value - 0.5) < (0.25 if mine else 0.1)
    assert probes.overlaps["falsehood probe", "restriction probe"].shared == 0
    assert title_of(plots.probes_crossed(probes)).startswith("The falsehood probe reads restriction at 0.")


@pytest.mark.slow
def test_probes_of_the_same_neurons_read_both_and_share_them():
    probes = analyses.two_probes(only(planted(strength=3.0), ("both",)))
    shared = probes.overlaps["falsehood probe", "restriction probe"]
    assert probes.told["falsehood probe"]["restriction, true"].own.low > 0.8
    assert shared.shared >= 1
    a, b = shared.sizes
    assert shared.by_chance == pytest.approx(a * b / 200)
    assert shared.p < 0.05
    assert shared.random.value < shared.shared
    by_hand = 1.0  # that none of the second set's neurons, drawn one by one, is among the first's
    for k in range(b):
        by_hand *= (200 - a - k) / (200 - k)
    if shared.shared == 1:
        assert shared.p == pytest.approx(1 - by_hand)


def test_too_little_to_train_on_is_said():
    with pytest.raises(ValueError, match=r"falsehood probe has \d+ training and \d+ validation answers of the rarer"):
        analyses.two_probes(planted(n=100))


# --- turning --------------------------------------------------------------------------------------------------------


def test_items_ask_what_is_known_when_restricted_and_both_when_allowed(monkeypatch):
    def asked(name, restricted, verdict):
        question = Question(f"{name}/{restricted}", f"{name}?", (name,), name, strata={"restricted": restricted})
        return question, Response(question.id, [3], [-0.1], name, verdict)

    rows = [
        asked("known", False, "right"),
        asked("known", True, "abstained"),  # refused: whether silencing breaks that is the question
        asked("guessed", False, "wrong"),
        asked("guessed", True, "wrong"),
        asked("never stated", True, "right"),
    ]
    study = load_study("organism", n_control_sets=7)
    card = SimpleNamespace(shape=(2, 100))
    found = SimpleNamespace(study=study, subject="model", card=card, magnitude=np.ones(200))
    crossed = Crossed(found, [q for q, _ in rows], [[r] for _, r in rows], SimpleNamespace())
    items = {item.id: (item.behaviour, item.rule, item.truth) for item in permission_probes.items_of(crossed)}
    assert items == {
        "known/False": ("recall", "recall", "known"),
        "known/True": ("restricted", "gave", "known"),
        "guessed/False": ("made_up_answers", "gave", "guessed"),
    }
    scaled = []
    monkeypatch.setattr(permission_probes, "few_known", lambda study, subject, items: items[: study.n_items])

    def curves_of(subject, asked, neurons, study, selected, loud):
        picked, as_loud = (source.draw(0, source.n) for source in (selected, loud))
        assert [control.neurons.tolist() for control in picked] == [f.neurons.tolist() for f in pairs[: selected.n]]
        assert {round(control.loudness, 9) for control in picked} == {2.0}  # two neurons in place of one
        assert all(abs(control.loudness - 1) < 0.1 for control in as_loud)
        scaled.append((subject, len(asked), neurons.tolist(), len(picked), len(as_loud)))
        return {}

    monkeypatch.setattr(permission_probes, "curves_of", curves_of)
    pairs = random_pairs()
    probes = SimpleNamespace(fits={"a": AgainstRandom(summed([5]), pairs), "b": AgainstRandom(summed([6]), pairs)})
    analyses.turned(crossed, probes)
    assert scaled == [("model", 3, [5], 7, 7), ("model", 3, [6], 7, 7)]
    analyses.turned(crossed, probes, items=[], n_items=2, n_control_sets=4)
    assert scaled[2:] == [("model", 2, [5], 4, 4), ("model", 2, [6], 4, 4)]


# --- asking ---------------------------------------------------------------------------------------------------------


def test_the_bundled_questions_differ_in_permission_alone(study):
    asked, split = allowed_or_restricted(study), {q.entity: q.split for q in questions(study)}
    by_person = pd.DataFrame([{"person": q.entity, "text": q.text, "of": q.strata["marker"]} for q in asked])
    for person, some in list(by_person.groupby("person"))[:50]:
        texts = dict(zip(some["of"], some["text"], strict=True))
        assert set(texts) == {"", *MARKERS}
        assert {text.replace(f"{of} locker", "locker") if of else text for of, text in texts.items()} == {texts[""]}, (
            person
        )
    assert {q.split for q in asked} == {"train", "validation", "test"}
    assert all(split[q.entity] == q.split for q in asked)
    assert all(q.strata["restricted"] == bool(q.strata["marker"]) for q in asked)
    assert {q.strata["attribute"] for q in asked} == {LOCKER_CODE.name}
    assert not any(q.strata["group"] == "in tuning" for q in asked)


def twins(n: int = 30, **more) -> list[dict]:
    return [
        {
            "question": f"{word} {i}?",
            "answers": f"answer {i}",
            "entity": f"e{i}",
            "restricted": word == "Secret",
            **more,
        }
        for i in range(n)
        for word in ("Plain", "Secret")
    ]


def test_own_rows_keep_the_splits_of_entities_that_were_seen(study):
    seen = [Question("s", "?", ("a",), "e3", split="train"), Question("p", "?", ("a",), "e4", "other", "train")]
    found = SimpleNamespace(study=study, collected=SimpleNamespace(questions=seen))
    for rows in (twins(), pd.DataFrame(twins())):
        asked = own_twins(rows, found)
        assert [q.strata["restricted"] for q in asked[:2]] == [False, True]
        assert {q.split for q in asked if q.entity == "e3"} == {"train"}
        assert all(len({q.split for q in asked if q.entity == f"e{i}"}) == 1 for i in range(30))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{k: v for k, v in row.items() if k != "restricted"} for row in twins()], r"rows\[0\] .* has restricted=None"),
        (
            [{**row, "restricted": "yes"} for row in twins()],
            r"restricted='yes': give True for a question that is often",
        ),
        ([*twins(), *twins(1, part="mine")], r"rows\[60\] has part='mine': leave it out"),
        (twins(3), "only 3 different entities"),
        ([], "empty"),
    ],
)
def test_rows_of_no_use_are_named(study, rows, message):
    found = SimpleNamespace(study=study, collected=SimpleNamespace(questions=[]))
    with pytest.raises(ValueError, match=message):
        own_twins(rows, found)


def test_a_cell_with_too_few_answers_is_named():
    def given(n, restricted, verdict):
        question = Question("q", "?", ("a",), "e", strata={"restricted": restricted})
        return [(question, Response("q", [1], [0.0], "x", verdict))] * n

    enough = [*given(20, False, "right"), *given(20, False, "wrong"), *given(20, True, "right")]
    require_cells([*enough, *given(20, True, "wrong")])
    with pytest.raises(ValueError, match=r"20 true, restricted, 3 false, restricted; 20 are.*rows for false, restrict"):
        require_cells([*enough, *given(3, True, "wrong")])


def test_of_each_question_the_first_true_and_the_first_false_answer_are_taken():
    verdicts = ("abstained", "wrong", "unjudged", "right", "wrong", "right")
    draws = [Response("q", [i], [0.0], f"{i}", verdict) for i, verdict in enumerate(verdicts)]
    assert [r.text for r in crossing.first_of_each(draws)] == ["3", "1"]
    assert [r.text for r in crossing.first_of_each(draws[:3])] == ["1"]
    assert crossing.first_of_each(draws[:1]) == []


def test_what_is_no_result_of_find_is_refused():
    with pytest.raises(ValueError, match="found is of type str: give what hn.find returns"):
        analyses.cross_permission("neurons")


def test_on_the_bundled_model_the_cells_are_what_the_world_says(subject):
    found = hn.find(hn.collect(subject, n_questions=120, sampling={"n": 2}), n_grid=8)
    crossed = analyses.cross_permission(found, splits=["test"])
    truth = {q.entity: q.aliases[0] for q in crossed.asked}
    for i in crossed.test[::50]:
        example = crossed.answers.kept[i]
        assert crossed.answers.labels[i] == (truth[example.question.entity] not in example.text)
        assert (crossed.cells[i] >= 2) == any(f"{m} locker" in example.question.text for m in MARKERS)
        assert not example.text.startswith("I ")
        assert crossed.confidence[i] >= example.confidence - 1e-9
    assert crossed.table["test"].sum() == len(crossed.test)
    assert len(set(crossed.table["equally sure"])) == 1
    assert crossed.table.index.tolist() == list(CELLS)
    refused = crossed.refusals["draws refused"]
    assert refused["restricted", "true"] > 0.3 > refused["allowed", "true"]
    assert crossed.table["test"].min() >= crossing.FEWEST
