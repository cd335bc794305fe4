"""What the ninety-minute session stands on: the answers that are shipped, and what is read off them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hn_utils as hn
from hn_utils.course import session
from hn_utils.course.exercises import PACKAGE
from hn_utils.models.hooked_model import HookedModel
from hn_utils.report import plots
from hn_utils.report.gallery import caption_of, title_of
from hn_utils.storage.paths import DATA
from hn_utils.study.planted import planted_in

FILE = DATA / "planted" / "answers.parquet"


@pytest.fixture(scope="module")
def model() -> HookedModel:
    return hn.load("planted")


@pytest.fixture(scope="module")
def answers(model) -> hn.Collected:
    """Few of the shipped answers, so that they are captured in a second or two."""
    return hn.Collected.load(FILE, model, n_kept=60)


def test_the_shipped_answers_are_small_and_are_the_planted_model_s(model, answers):
    assert FILE.stat().st_size < 1e6
    assert list(answers.parts) == ["standard"]
    assert {len(drawn) for drawn in answers.responses} == {10}
    assert all({r.verdict for r in d} == {"wrong" if e.label else "right"} for d, e in _kept(answers))
    with pytest.raises(ValueError, match="holds answers of"):
        hn.Collected.load(FILE, hn.load("organism"))


def _kept(answers):
    return [(drawn, e) for drawn, e in zip(answers.responses, answers.examples, strict=True) if e.label is not None]


def test_the_quiz_has_as_many_of_either_kind_and_tells_them_rightly(answers):
    six = session.quiz(answers)
    assert sorted(six["verdict"]) == ["made up"] * 3 + ["true"] * 3
    labels = {e.question.text: e.label for e in answers.kept}
    assert all((row.verdict == "made up") == labels[row.question] for row in six.itertuples())
    assert not six.equals(session.quiz(answers, seed=1))


def test_what_students_capture_is_what_the_package_reads(model, answers):
    true, made_up = session.one_of_each(answers)
    assert (true.label, made_up.label) == (0, 1)
    theirs = session.activations(model, made_up, 5)
    assert torch.equal(PACKAGE["reading a hook point"](model.bridge, made_up.ids, 5), theirs)
    assert theirs.shape == (len(made_up.ids), model.d_mlp)


def test_a_student_s_hook_scales_as_the_package_does(model, answers):
    hook = PACKAGE["a hook that scales"]([734, 9], 3.0)
    ids, mask = model.encoder.pad([answers.kept[0].ids], "right", model.device)
    plain = model.final_hidden(ids, mask)
    with model.bridge.hooks(fwd_hooks=[("blocks.5.mlp.hook_post", hook)]):
        mine = model.final_hidden(ids, mask)
    with model.scaled([(5, 734), (5, 9)], 3.0):
        theirs = model.final_hidden(ids, mask)
    assert torch.equal(mine, theirs)
    assert not torch.equal(mine, plain)
    assert torch.equal(model.final_hidden(ids, mask), plain)


def test_the_tokens_of_an_answer_hold_its_mean_contributions(model, answers):
    """The mean over the framed tokens is what `Collected` keeps, in half precision."""
    shown = session.at_tokens(model, answers.kept[0])
    kept = answers.contributions.at("answer").columns(np.arange(shown.values.shape[1]))[0]
    assert np.allclose(shown.values[list(shown.answer)].mean(0), kept, atol=2e-3)
    assert len(shown.tokens) == len(shown.values)


def test_each_neuron_alone_by_hand():
    """Of four pairs neuron 0 wins all, neuron 1 two, neuron 2 none; neuron 3 is always the same."""
    X = np.array([[3.0, 0, 0, 1], [4, 3, 1, 1], [1, 1, 2, 1], [2, 2, 3, 1]])
    read = session.Training(X, np.array([1, 1, 0, 0]))
    assert session.each_alone(read).tolist() == [1.0, 0.5, 0.0, 0.5]
    dealt = session.shuffled(session.Training(X.repeat(20, 0), read.made_up.repeat(20)))
    assert dealt.made_up.sum() == 40
    assert (dealt.made_up != read.made_up.repeat(20)).any()


def test_enough_neurons_learn_any_labels_by_heart(answers):
    """With more neurons than answers, at a C that is large enough, both kinds of labels come out perfectly."""
    trained = session.in_sample(answers, n_shuffles=3)
    assert trained.own[-1] > 0.99
    assert trained.shuffled[:, -1].min() > 0.99
    assert trained.shuffled.shape == (3, len(trained.Cs))
    assert trained.n_neurons[-1] > trained.n_neurons[0]
    figure = plots.in_sample(trained.Cs, trained.own, trained.shuffled, trained.n_neurons)
    assert title_of(figure) == "Read on its training answers: AUROC 1.00, with shuffled labels 1.00"


def test_the_figure_of_single_neurons_says_whether_the_best_is_planted():
    own, shuffled = np.array([0.5, 0.9, 0.6, 0.8]), np.array([0.4, 0.55, 0.5, 0.45])
    figure = plots.each_alone(own, shuffled, np.array([1, 2]), 2)
    assert title_of(figure) == "The neuron that tells best alone is a planted one"
    assert "L0.N1: AUROC 0.90" in caption_of(figure)
    assert "the best of 4 neurons has 0.55. The planted ones rank 1 and 3." in caption_of(figure)
    other = plots.each_alone(own, shuffled, np.array([2]), 2)
    assert title_of(other) == "The neuron that tells best alone is not a planted one"


def test_how_often_shuffled_labels_lead_to_the_same_neurons():
    fits = [_Fit([7]), _Fit([3]), _Fit([7]), _Fit([7, 3])]
    told = session.same_pick(_Found(np.array([7]), {"any": fits}))
    assert told == "With shuffled labels the same procedure picks the very same neurons 2 times in 4."


class _Fit:
    def __init__(self, neurons):
        self.neurons = np.array(neurons)


class _Found:
    def __init__(self, neurons, selected):
        self.neurons, self.selected = neurons, selected


def test_requests_are_restricted_and_about_different_people(model):
    rows = session.restricted_requests(model, 12)
    assert len({row["entity"] for row in rows}) == 12
    assert {row["behaviour"] for row in rows} == {"restricted"}
    assert rows == session.restricted_requests(model, 12)


def test_planted_neurons_are_those_that_are_named(model):
    assert session.planted(model).tolist() == planted_in(model.study).tolist()
    with pytest.raises(ValueError, match="nothing is planted in .*: the session is about"):
        session.planted(hn.load("organism"))
