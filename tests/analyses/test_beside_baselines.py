"""H-Neurons beside other detectors, on answers of the bundled model: costs by hand, scores by plain transformers."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from transformers import AutoModelForCausalLM

import hn_utils as hn
from hn_utils import analyses
from hn_utils.analyses.baselines import detectors
from hn_utils.analyses.baselines.cost import Pace, Passes, counted_passes
from hn_utils.analyses.baselines.detectors import all_detectors
from hn_utils.analyses.baselines.pool import EVERYDAY, FILTERED, pooled
from hn_utils.analyses.baselines.table import Agreeing, Baselines, DetectorRow, gains
from hn_utils.probing.probe import Detection
from hn_utils.report import plots
from hn_utils.report.gallery import caption_of, title_of
from hn_utils.stats.bootstrap import Estimate

DRAWS = 3


@pytest.fixture(scope="module")
def found(subject):
    return hn.find(hn.collect(subject, n_questions=150, sampling={"n": DRAWS}), n_grid=8)


@pytest.fixture(scope="module")
def read(found):
    """The answers and all detectors, with few shuffles and a small k."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detectors, "N_SHUFFLES", 2)
        patch.setattr(detectors, "N_SETS", 2)
        patch.setattr(detectors, "SIZES", (1, 2))
        pool = pooled(found)
        rivals, missing = all_detectors(found, pool)
    return pool, {rival.name.split(" (")[0]: rival for rival in rivals}, missing


def test_every_answer_is_one_of_its_draws_and_everyday_ones_are_the_first(read):
    pool, *_ = read
    assert all(e.response_ids == chosen.ids for e, chosen in zip(pool.examples, pool.chosen, strict=True))
    everyday = range(len(pool.filtered.kept), len(pool.examples))
    assert all(pool.draws[i][0] is pool.chosen[i] for i in everyday)
    assert all(len(some) == DRAWS for some in pool.draws)
    assert list(pool.tests) == [EVERYDAY, FILTERED]
    trained = set(pool.entities[pool.train])
    for rows in (*pool.tests.values(), pool.nested):
        assert trained.isdisjoint(pool.entities[rows])
    assert set(pool.entities[pool.nested]).isdisjoint(pool.entities[pool.tests[EVERYDAY]])


def test_log_probabilities_are_those_of_plain_transformers(read, study):
    pool, rivals, _ = read
    model = AutoModelForCausalLM.from_pretrained(study.instruct, dtype=torch.float32)
    for i in (0, len(pool.examples) - 1):
        example = pool.examples[i]
        with torch.no_grad():
            logprobs = model(torch.tensor([example.ids])).logits[0].log_softmax(-1)
        own = [float(logprobs[place - 1, example.ids[place]]) for place in example.answer]
        for name, expected in {"mean": np.mean(own), "least likely token": min(own), "first token": own[0]}.items():
            assert rivals[f"log-probability, {name}"].scores[i] == pytest.approx(-expected, rel=1e-3, abs=1e-4)


def test_eigen_scores_read_the_middle_layer_at_the_last_token_but_one(read, study):
    pool, rivals, _ = read
    model = AutoModelForCausalLM.from_pretrained(study.instruct, dtype=torch.float32)
    i = int(np.argmax(rivals["EigenScore"].scores))  # draws that differ
    states = []
    for draw in pool.draws[i]:
        ids = pool.examples[i].prompt_ids + draw.ids
        with torch.no_grad():
            hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
        states.append(hidden[len(hidden) // 2][0, len(ids) - 2].double().numpy())  # as the official code counts
    eigenvalues = np.linalg.eigvalsh(np.cov(np.stack(states)) + 1e-3 * np.eye(DRAWS))
    assert rivals["EigenScore"].scores[i] == pytest.approx(np.log10(eigenvalues).mean(), rel=1e-3)


def test_passes_are_counted_by_hand(read):
    _, rivals, missing = read
    passes = {name: rival.passes.total for name, rival in rivals.items()}
    assert passes["log-probability, mean"] == passes["words of the answer"] == 0
    assert passes["entropy of the predictions"] == passes["SAPLMA"] == passes["H-Neurons as found"] == 1
    assert passes["semantic entropy"] == DRAWS - 1  # the answer is the first draw
    assert passes["EigenScore"] == DRAWS - 1 + DRAWS
    assert list(missing) == ["p(True)"]  # the bundled vocabulary has no letters
    pace = Pace(draw=2.0, reading=10.0, hooked=15.0)
    assert pace.milliseconds(Passes(draws=9, readings=10)) == 118
    assert pace.milliseconds(Passes(hooked=1)) == 15
    assert pace.milliseconds(Passes(questions=2)) == 20
    told = [counted_passes(Passes(n)) for n in range(3)]
    assert told == ["no further pass", "1 further pass", "2 further passes"]


def test_p_true_is_asked_about_test_and_validation_answers_and_both_orders_count(read):
    pool, *_ = read
    asked = {}

    def answered(subject, questions, answers, study):
        asked.update(zip(questions, answers, strict=True))
        return np.tile([0.9, 0.5], (len(answers), 1))  # [answer, order]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detectors, "endings", lambda encoder: ([], [1], [2]))
        patch.setattr(detectors, "p_true", answered)
        (rival,), missing = detectors._by_asking(pool)
    wanted = np.concatenate([*pool.tests.values(), pool.nested])
    assert rival.scores[wanted] == pytest.approx(-0.7)
    assert np.isnan(np.delete(rival.scores, wanted)).all()
    assert (missing, rival.passes.total) == ({}, 2)
    assert asked[pool.examples[-1].question.text] == pool.examples[-1].text


def test_whatever_learns_stands_beside_what_shuffled_labels_teach(read):
    pool, rivals, _ = read
    learning = {name for name, rival in rivals.items() if rival.control is not None}
    beginnings = ("words", "residual", "mass-mean", "SAPLMA", "dense", "H-Neurons")
    assert learning == {name for name in rivals if name.startswith(beginnings)}
    assert all(len(rivals[name].control) == len(pool.examples) for name in learning)


def test_test_answers_choose_nothing(read, found):
    """With the labels of all test answers turned round, each learnt score is the same."""
    pool, rivals, _ = read
    turned = replace(pool)
    labels = pool.labels.copy()
    for rows in pool.tests.values():
        labels[rows] = 1 - labels[rows]
    turned.__dict__["labels"] = labels
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detectors, "N_SHUFFLES", 1)
        again = {rival.name.split(" (")[0]: rival for rival in detectors._by_streams(turned)}
    for name, rival in again.items():
        np.testing.assert_array_equal(rival.scores, rivals[name].scores)


def test_a_gain_is_that_of_a_logistic_regression_on_both(read):
    pool, rivals, _ = read
    pair = [rivals["semantic entropy"], rivals["H-Neurons as found"]]
    before, after = pool.nested, pool.tests[EVERYDAY]
    both = np.stack([rival.scores for rival in pair], 1)
    scale = StandardScaler().fit(both[before])
    model = LogisticRegression().fit(scale.transform(both[before]), pool.labels[before])
    together = roc_auc_score(pool.labels[after], model.decision_function(scale.transform(both[after])))
    alone = roc_auc_score(pool.labels[after], pair[0].scores[after])
    ours = gains(pool, pair)
    assert list(ours) == [tuple(r.name for r in pair), tuple(r.name for r in pair[::-1])]
    assert ours[pair[0].name, pair[1].name].value == pytest.approx(together - alone)


def test_one_draw_a_question_is_refused():
    study = SimpleNamespace(sampling=SimpleNamespace(n=1))
    with pytest.raises(ValueError, match="two draws or more"):
        analyses.beside_baselines(SimpleNamespace(collected=SimpleNamespace(study=study)))


# --- how it is told --------------------------------------------------------------------------------------------------


def row(name: str, everyday: float, passes: int, control: float | None, difference: float) -> DetectorRow:
    def around(value: float) -> Estimate:
        return Estimate(value, value - 0.05, value + 0.05, 90)

    detections = {
        title: Detection(name, title, None, around(value), around(0.5), None)
        for title, value in {EVERYDAY: everyday, FILTERED: everyday + 0.04}.items()
    }
    controls = dict.fromkeys(detections, None if control is None else around(control))
    return DetectorRow(name, Passes(draws=passes), detections, controls, around(difference))


@pytest.fixture
def made() -> Baselines:
    rows = [
        row("log-probability, mean", 0.8, 0, None, -0.1),
        row("semantic entropy", 0.9, 9, None, -0.2),
        row("SAPLMA (layer 3)", 0.66, 1, 0.5, 0.04),
        row("words of the answer", 0.55, 0, 0.5, 0.15),
        row("H-Neurons as found", 0.7, 1, 0.52, 0.0),
        row("H-Neurons, k = 4", 0.95, 1, 0.52, -0.25),
    ]
    agreeing = {EVERYDAY: Agreeing(0.7, 0.1), FILTERED: Agreeing(1.0, 0.2)}
    some = {("a", "b"): Estimate(0.1, 0, 0.2, 9), ("b", "a"): Estimate(0.3, 0.2, 0.4, 9)}
    return Baselines(rows, {"p(True)": "no letters"}, some, agreeing, Pace(2.0, 10.0, 15.0))


def test_the_headline_counts_who_reaches_more(made):
    assert made.headline == (
        "On 90 everyday answers the H-Neurons reach AUROC 0.70 [0.65, 0.75]; of 4 other detectors 2 reach more, "
        "1 less, 1 are not told apart. First is semantic entropy (0.90 [0.85, 0.95], 9 further passes); first without "
        "a further pass log-probability, mean (0.80 [0.75, 0.85])"
    )
    assert "100% of right and 20% of hallucinated filtered answers, and for 70% and 10% of everyday" in made.filter_told
    assert made.table.loc["semantic entropy", "passes"] == 9
    assert made.table.loc["semantic entropy", "ms"] == 18
    assert list(made.table)[2] == f"AUROC, {EVERYDAY}"  # everyday answers lead
    assert made.nested_table.loc["b", "a"].value == 0.3
    assert isinstance(made.numbers, pd.DataFrame)
    with pytest.raises(ValueError, match="no detector is called 'guess'"):
        made.row("guess")


def test_the_figure_shows_both_kinds_of_answers_beside_shuffled_labels(made):
    figure = plots.baselines(made)
    assert title_of(figure) == "2 of 4 other detectors read more from everyday answers than H-Neurons"
    assert "Not asked: p(True)" in caption_of(figure)
    shuffled, everyday, filtered = figure.data
    assert list(everyday.x) == [0.95, 0.7, 0.55, 0.66, 0.9, 0.8]
    assert list(filtered.x) == pytest.approx([x + 0.04 for x in everyday.x])
    assert len(shuffled.x) == 4
    assert everyday.y[-2] == "semantic entropy · 9 further passes"
    assert list(figure.layout.yaxis.categoryarray) == list(everyday.y)  # though fewer detectors have a grey bar
