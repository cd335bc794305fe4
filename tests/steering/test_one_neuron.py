"""What is said of one neuron: by hand on made-up contributions, by editing weights, and where a neuron was planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from families import make_checkpoint
from planting import planted
from sklearn.metrics import roc_auc_score
from transformers import AutoModelForCausalLM

import hn_utils as hn
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.likeness import weight_cosines
from hn_utils.models.scaling import UNSCALED, Dose
from hn_utils.probing.stability import correlations
from hn_utils.report.gallery import caption_of, title_of
from hn_utils.report.neuron_cards import cards
from hn_utils.stats.bootstrap import Estimate
from hn_utils.stats.neuron_sets import control_of, nearest_in_loudness
from hn_utils.steering.answer_loss import answer_loss
from hn_utils.steering.one_neuron import Measured
from hn_utils.study import Study

D_MLP = 56


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_the_neurons_nearest_in_loudness_are_of_the_same_layer_and_never_itself():
    magnitude = np.array([9.0, 1.0, 2.0, 3.0, 9.0, 5.0, 2.1, 2.0])  # two layers of four
    assert nearest_in_loudness(2, (2, 4), magnitude, 2).tolist() == [1, 3]
    assert nearest_in_loudness(4, (2, 4), magnitude, 1).tolist() == [5]  # neuron 0 is as loud, in another layer
    assert nearest_in_loudness(6, (2, 4), magnitude, 3).tolist() == [4, 5, 7]
    with pytest.raises(ValueError, match="4 other neurons were asked for: a layer of 4 has 1 to 3 beside one"):
        nearest_in_loudness(2, (2, 4), magnitude, 4)


def test_a_number_among_those_of_its_controls():
    def among(value: float) -> Measured:
        return Measured("x", Estimate(value, value, value, 9), np.array([1.0, 2.0, 2.0, 3.0]))

    assert [among(value).above for value in (0.0, 2.0, 2.5, 4.0)] == [0, 0.5, 0.75, 1]
    assert [among(value).is_outermost for value in (0.0, 1.0, 2.5, 3.0, 4.0)] == [True, False, False, False, True]


def test_correlations_are_pearson_s():
    answers = planted([3], [5])
    X = answers.contributions.at("answer")
    values = X.columns(np.arange(200))
    assert correlations(X, np.array([3, 150])) == pytest.approx(np.corrcoef(values.T)[[3, 150]], abs=1e-3)


# --- the bundled model -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def answers(subject):
    return hn.collect(subject, n_questions=150, sampling={"n": 2})


@pytest.fixture(scope="module")
def one(subject, answers):
    searches = {"with it": [(5, 101), (0, 3)], "without": [(0, 3), (0, 4)]}
    return hn.neuron(subject, 5, 101, answers=answers, searches=searches, n_controls=5, n_answers=8)


def row_of(one, name: str):
    return one.table.loc[name]


def test_what_its_contribution_tells(one, answers):
    rows = answers.rows("test")
    values = answers.contributions[rows].at("answer").columns(np.arange(answers.subject.n_layers * 768))
    flat, labels = 5 * 768 + 101, answers.labels[rows]
    assert one.contributions == pytest.approx(100 * values[:, flat])
    assert one.auroc.value == pytest.approx(roc_auc_score(labels, values[:, flat]))
    assert one.auroc.n == len(rows)
    loud = answers.contributions[answers.training_rows()].at("answer").mean()
    beside = [int(control.neurons[0]) for control in one.controls]
    layer = np.setdiff1d(np.arange(5 * 768, 6 * 768), [flat])
    nearest = layer[np.argsort(np.abs(loud[layer] - loud[flat]), kind="stable")[:5]]
    assert beside == sorted(nearest.tolist())
    assert one.loudness == pytest.approx(np.median(loud[beside] / loud[flat]))
    cell = row_of(one, "AUROC of its contribution")
    others = [roc_auc_score(labels, values[:, i]) for i in beside]
    assert cell["nearest in loudness"].value == pytest.approx(np.mean(others))
    assert cell["above"] == pytest.approx(np.mean([roc_auc_score(labels, values[:, flat]) > o for o in others]))
    strongest = one.strongest(3)
    order = np.argsort(-values[:, flat], kind="stable")[:3]
    assert strongest["question"].tolist() == [answers.kept[rows[i]].question.text for i in order]
    assert strongest["label"].tolist() == [("right", "hallucinated")[labels[i]] for i in order]
    assert one.found_in == {"with it": True, "without": False}
    assert one.by_chance == pytest.approx(4 / (6 * 768))


def test_where_it_contributes_most_is_where_the_official_formula_is_largest(one, answers):
    model = AutoModelForCausalLM.from_pretrained(answers.study.instruct, dtype=torch.float32)
    down, seen = model.model.layers[5].mlp.down_proj, {}
    down.register_forward_hook(lambda _, given, out: seen.update(z=given[0][0, :, 101], h=out[0]))
    example = answers.kept[answers.rows("test")[one.strongest_rows(1)[0]]]
    with torch.no_grad():
        model(torch.tensor([example.ids]))
    with torch.no_grad():
        official = (seen["z"].abs() * down.weight[:, 101].norm() / seen["h"].norm(dim=-1))[1:]
    told = one.strongest(1).iloc[0]
    assert told["contribution there, %"] == pytest.approx(100 * float(official.max()), rel=1e-3)
    upto = answers.subject.encoder.decode(example.ids[: int(official.argmax()) + 2])
    assert upto.endswith(told["most at"])


def test_ablating_and_doubling_equal_editing_the_weights(one, answers, subject, study):
    """The loss of the answers, as Transformers gives it with an edited column of W_down."""

    def loss(example, alpha: float) -> float:
        model = AutoModelForCausalLM.from_pretrained(study.instruct, dtype=torch.float32)
        model.model.layers[5].mlp.down_proj.weight.data[:, 101] *= alpha
        with torch.no_grad():
            logprobs = model(torch.tensor([example.ids])).logits[0].log_softmax(-1)
        return -float(np.mean([float(logprobs[place - 1, example.ids[place]]) for place in example.answer]))

    examples = [answers.kept[row] for row in one.read_on]
    assert [e.label for e in examples].count(1) == len(examples) / 2 == 4
    for name, alpha in (("ablated", 0.0), ("doubled", 2.0)):
        by_hand = [loss(e, alpha) - loss(e, 1.0) for e in examples]
        assert one.loss_changes[name][:, 0] == pytest.approx(by_hand, abs=1e-4)
        right = np.array([e.label == 0 for e in examples])
        cell = row_of(one, f"loss of right answers when {name}, nats")
        assert cell["neuron"].value == pytest.approx(np.mean(np.array(by_hand)[right]), abs=1e-4)
        assert cell["neuron"].n == 4
    odds = row_of(one, "log-odds of hallucination against truth when ablated, nats")["neuron"]
    assert odds.n == 4
    many = answer_loss(subject, examples, [UNSCALED, Dose(np.arange(2_000), 0.0)], study)
    assert (many[:, 1] - many[:, 0]).mean() > 0.1  # that there is something to be measured


def test_controls_are_turned_so_that_they_change_as_much(one):
    doses = one._doses
    assert doses[0] == UNSCALED
    ablated, doubled = doses[1:7], doses[7:]
    assert [dose.alpha for dose in (ablated[0], doubled[0])] == [0, 2]
    for control, off, twice in zip(one.controls, ablated[1:], doubled[1:], strict=True):
        assert off.neurons.tolist() == twice.neurons.tolist() == control.neurons.tolist()
        assert abs(twice.alpha - 1) * control.loudness == pytest.approx(1, abs=0.11)
        assert off.alpha >= 0
    quiet = control_of(np.array([1]), np.array([0]), np.array([4.0, 1.0]))
    assert (quiet.alpha(2.0), quiet.alpha(0.0)) == (5, 0)


def test_it_prints_and_draws_itself_with_what_chance_would_give(one):
    free = len(one.table) - 1
    assert free == 14
    assert one.headline.startswith("neuron 101 of layer 5 of organism/instruct: its contribution has AUROC ")
    assert one.headline.endswith(f"by chance {2 * free / 6:.1f} would")
    n_out = sum(measured.is_outermost for measured in one.measured[1:])
    figure = one.plot()
    assert title_of(figure) == f"L5.N101: {n_out} of {free} numbers lie beyond all controls"
    assert f"By chance {2 * free / 6:.1f} would." in caption_of(figure)
    places = next(trace for trace in figure.data if trace.mode == "markers")
    assert list(places.x) == pytest.approx([100 * share for share in one.table["above"]])
    assert set(one.numbers.dtypes.astype(str)) <= {"float64", "int64"}


def test_the_explorer_s_cards_say_what_hn_neuron_says(subject, answers):
    found = hn.find(answers, n_grid=6)
    (card, *_) = cards(found, None, None)
    layer, index = divmod(int(found.neurons[0]), subject.d_mlp)
    one = hn.neuron(subject, layer, index, answers=answers, split="validation", n_controls=3, searches={"this": found})
    assert card["name"] == f"L{layer}.N{index}"
    assert card["favours"] == one.tokens()["raised"].tolist()
    assert card["disfavours"] == one.tokens()["lowered"].tolist()
    assert [row[0] for row in card["strongest"]] == one.strongest()["question"].tolist()
    assert card["means"]["true"] == pytest.approx(one.contributions[one.labels == 0].mean(), rel=0.01)
    assert one.found_in == {"this": True}


def test_bad_input_is_named(subject, answers):
    with pytest.raises(ValueError, match="neuron 768 of layer 5 is out of range: .* 6 layers of 768"):
        hn.neuron(subject, 5, 768, answers=answers)
    with pytest.raises(ValueError, match="answers is of type list: give what hn.collect returns"):
        hn.neuron(subject, 5, 7, answers=[])
    with pytest.raises(ValueError, match="split='held out': choose one of train, validation, test"):
        hn.neuron(subject, 5, 7, answers=answers, split="held out")
    with pytest.raises(ValueError, match="unknown region 'end': choose one of answer"):
        hn.neuron(subject, 5, 7, answers=answers, region="end")
    with pytest.raises(ValueError, match="n_controls=0 must be 1 to 767, the other neurons of a layer"):
        hn.neuron(subject, 5, 7, answers=answers, n_controls=0)
    with pytest.raises(ValueError, match="n_answers=1 must be a whole number, 2 or more"):
        hn.neuron(subject, 5, 7, answers=answers, n_answers=1)
    kept = [e for e in answers.kept if e.label == 0]
    right = replace(answers, examples=kept, contributions=answers.contributions[answers.labels == 0])
    with pytest.raises(ValueError, match="split='test' lacks right or hallucinated answers"):
        hn.neuron(subject, 5, 7, answers=right)


# --- planted ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> HookedModel:
    """Random weights, in which neuron 7 of layer 2 writes what raises token 40 alone; and neuron 9 of layer 0 has a
    twin, neuron 30 of layer 1: the same gate and input, and its write turned round."""
    folder = make_checkpoint("llama", tmp_path_factory.mktemp("planted") / "model")
    study = Study(name="test", instruct="", base="", questions="published", device="cpu", dtype="float32")
    model = HookedModel.load(str(folder), study)
    layers = model.model.model.layers
    with torch.no_grad():
        unembedding = model.model.lm_head.weight.float()  # [vocab, d_model]
        target = torch.zeros(len(unembedding))
        target[40] = 1
        layers[2].mlp.down_proj.weight[:, 7] = torch.linalg.lstsq(unembedding, target).solution
        layers[1].mlp.gate_proj.weight[30] = layers[0].mlp.gate_proj.weight[9]
        layers[1].mlp.up_proj.weight[30] = layers[0].mlp.up_proj.weight[9]
        layers[1].mlp.down_proj.weight[:, 30] = -layers[0].mlp.down_proj.weight[:, 9]
    return model


def bare(model: HookedModel, layer: int, index: int) -> hn.Neuron:
    """A neuron of which the weights alone are asked."""
    answers = replace(planted([3], [5]), subject=model)
    return hn.Neuron(answers, layer, index, np.arange(9), "answer", 3, np.arange(2), {}, 0.0)


def test_the_token_that_a_planted_write_raises_comes_first(tiny):
    raised = bare(tiny, 2, 7).tokens(3)
    assert raised["raised"][0] == tiny.encoder.word(40)
    assert raised["raised by, sd"][0] > raised["raised by, sd"][1] + 1
    assert (raised["lowered by, sd"] < 0).all()


def test_direct_effects_are_the_final_norm_s_and_the_unembedding_s(tiny):
    write = tiny.model.model.layers[0].mlp.down_proj.weight[:, 20]
    with torch.no_grad():
        effect = tiny.model.lm_head(tiny.model.model.norm(write[None]))[0]
    order = effect.argsort(descending=True)
    told = bare(tiny, 0, 20).tokens(4)
    assert told["raised"].tolist() == [tiny.encoder.word(token) for token in order[:4].tolist()]
    assert told["raised by, sd"][0] == pytest.approx(float((effect.max() - effect.mean()) / effect.std()), rel=0.01)


def test_a_planted_twin_is_the_likest_by_all_weights(tiny):
    flat, twin = 9, D_MLP + 30
    for weights, expected in (("W_out", -1), ("W_in", 1), ("W_gate", 1)):
        cosines = weight_cosines(tiny, np.array([100, flat]), weights)
        assert cosines.shape == (2, 3 * D_MLP)
        assert cosines[1, twin] == pytest.approx(expected, abs=1e-5)
        assert cosines[1, flat] == pytest.approx(1, abs=1e-5)
        assert np.abs(np.delete(cosines[1], [flat, twin])).max() < 0.95
    rows = tiny.model.model.layers[1].mlp.up_proj.weight.detach().numpy()
    by_hand = rows[5] @ rows[11] / np.linalg.norm(rows[5]) / np.linalg.norm(rows[11])
    assert weight_cosines(tiny, np.array([D_MLP + 5]), "W_in")[0, D_MLP + 11] == pytest.approx(by_hand, abs=1e-5)
