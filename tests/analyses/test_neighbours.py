"""The methods of neighbouring papers: each on a truth that was planted for it, and where there is nothing to find."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from families import make_checkpoint
from planting import planted
from shapes import Shape

import hn_utils as hn
from hn_utils.analyses import neighbours
from hn_utils.analyses.neighbours import achilles as heel
from hn_utils.analyses.neighbours import beside, compositional, masking
from hn_utils.analyses.neighbours import confidence_regulation as regulation
from hn_utils.analyses.neighbours import contrastive as cns
from hn_utils.analyses.neighbours import good_and_bad as antagonists
from hn_utils.analyses.neighbours import known_entities as entities
from hn_utils.analyses.neighbours import options as rivals
from hn_utils.analyses.neighbours import too_big_to_fail as reserve
from hn_utils.answers.examples import Example
from hn_utils.contributions.cett import Contributions
from hn_utils.contributions.collected import Collected
from hn_utils.contributions.tall_matrix import TallMatrix
from hn_utils.models.generation import generate
from hn_utils.models.hook_points import Point, Units, channels_of, heads_of, hooked_at, neurons_of, silenced
from hn_utils.models.hooked_model import HookedModel
from hn_utils.questions.made_up_world.asking import texts as world_texts
from hn_utils.questions.made_up_world.world import ATTRIBUTES
from hn_utils.questions.question import Question
from hn_utils.questions.question_sets import load_items
from hn_utils.report.gallery import title_of
from hn_utils.study import Sampling, load_study


@pytest.fixture
def random_model(tmp_path):
    """A tiny Llama of random weights: 3 layers of 56 neurons, 4 heads, 32 channels."""
    return HookedModel.load(str(make_checkpoint("llama", tmp_path / "llama", 0)), load_study("organism"))


@pytest.fixture
def rows(random_model):
    """Texts of twelve random tokens, none of them special."""
    special = set(random_model.encoder.tokenizer.all_special_ids)
    able = [token for token in range(random_model.encoder.vocabulary_size) if token not in special]
    return np.random.default_rng(0).choice(able, (8, 12)).tolist()


# --- confidence regulation --------------------------------------------------------------------------------------------


def test_logit_variance_and_bottom_share_by_hand():
    unembedding = torch.tensor([[2.0, -2.0, 2.0], [0.0, 0.0, 0.0], [1.0, 1.0, -1.0]])  # the second channel is not read
    w_out = torch.tensor([[0.0, 3.0, 0.0], [3.0, 4.0, 0.0], [5.0, 0.0, 0.0]])
    rho, values = regulation.bottom_share(w_out, unembedding, 1)
    assert rho.tolist() == pytest.approx([1.0, 0.8, 0.0], abs=1e-5)
    assert values[-1] == pytest.approx(0, abs=1e-3)
    cosine = 2 / 5**0.5  # of the last neuron with each token: +, -, +
    assert regulation.logit_variance(w_out, unembedding).tolist() == pytest.approx(
        [0, 0.6**2 * cosine**2 * 8 / 9, cosine**2 * 8 / 9], abs=1e-6
    )
    with pytest.raises(ValueError, match="k=3 must lie between 1 and 2"):
        regulation.bottom_share(w_out, unembedding, 3)


def test_the_largest_of_random_vectors_is_that_of_drawn_ones():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, 50, 16))
    shares = np.linalg.norm(vectors[..., :2], axis=-1) / np.linalg.norm(vectors, axis=-1)  # [draw, vector]
    assert np.mean(regulation.random_largest(16, 2, 50, 400, 1)) == pytest.approx(shares.max(1).mean(), abs=0.02)


def plant_entropy_neuron(model: HookedModel, j: int, length: float) -> None:
    """The unembedding loses its smallest singular direction, into which alone neuron `j` of the last layer writes."""
    with torch.no_grad():
        unembedding = model.model.get_output_embeddings().weight  # [vocab, d_model]; the final gain is 1
        _, _, directions = torch.linalg.svd(unembedding, full_matrices=False)
        unread = directions[-1]
        unembedding -= (unembedding @ unread)[:, None] * unread
        model.model.model.layers[-1].mlp.down_proj.weight[:, j] = length * unread


def test_a_planted_entropy_neuron_acts_through_the_final_scale_alone(random_model, rows):
    plant_entropy_neuron(random_model, 7, 40.0)
    found = regulation.find_entropy_neurons(random_model, rows, n=3)
    assert found.neurons[0] == 2 * 56 + 7
    assert found.weights.rho[7] == pytest.approx(1, abs=1e-4)
    assert found.p < 0.01
    assert found.drop < 1e-3
    assert np.argmin(found.weights.logit_variance) == 7
    planted = found.ablations[0]
    assert planted.direct < 1e-4 < 1e-2 < planted.total
    assert planted.mediated > 0.99
    assert np.nanmedian([other.mediated for other in found.others]) < 0.9
    assert found.table["neuron"][0] == 7
    assert "1 bottom direction of the unembedding 1.00" in found.headline


def test_random_weights_have_no_entropy_neuron(random_model, rows):
    found = regulation.find_entropy_neurons(random_model, rows, n=2)
    assert found.p > 0.01
    assert max(ablation.mediated for ablation in found.ablations) < 0.9


def test_effects_are_those_of_an_ablation_by_hand(random_model, rows):
    """One neuron set to its mean in the model of Transformers itself, and the scale taken from the untouched run."""
    (effect,) = regulation.ablations(random_model, rows, np.array([5]))
    model, seen = random_model.model, {}
    ids = torch.tensor(rows)
    down, norm = model.model.layers[-1].mlp.down_proj, model.model.norm

    def fix(module, inputs):
        seen["z"] = inputs[0].detach().clone()
        if "mean" in seen:
            changed = inputs[0].clone()
            changed[..., 5] = seen["mean"]
            return (changed,)
        return None

    keeping = norm.register_forward_pre_hook(lambda module, inputs: seen.update(r=inputs[0].detach()))
    fixing = down.register_forward_pre_hook(fix)
    with torch.no_grad():
        clean = model(ids, use_cache=False).logits
        size = seen["r"].pow(2).mean(-1, keepdim=True).sqrt()
        seen["mean"] = seen["z"][:, 2:-1, 5].mean()
        ablated = model(ids, use_cache=False).logits
        frozen = model.lm_head(norm.weight * seen["r"] / size)
    keeping.remove()
    fixing.remove()

    def change(logits: torch.Tensor) -> float:
        """Mean size of the change of the loss, for the fourth token and all behind it."""
        losses = [-x.log_softmax(-1)[:, 2:-1].gather(2, ids[:, 3:, None])[..., 0] for x in (logits, clean)]
        return float((losses[0] - losses[1]).abs().mean())

    assert effect.total == pytest.approx(change(ablated), rel=1e-3)
    assert effect.direct == pytest.approx(change(frozen), rel=1e-2)


def test_a_norm_that_subtracts_the_mean_is_refused(random_model):
    norm = torch.nn.LayerNorm(32)
    random_model.bridge.ln_final.original_component.forward = norm.forward
    with pytest.raises(ValueError, match="its final norm subtracts the mean"):
        regulation.final_gain(random_model)


# --- what is silenced -------------------------------------------------------------------------------------------------


def test_the_smallest_number_is_found_and_everything_tried_is_kept():
    order = np.arange(50)[::-1]
    masked = masking.mask_until(order, lambda which: 0.1 * len(which))  # tenfold without ten
    assert masked.smallest == 10
    assert masked.counts[masked.counts <= 10][-2:].tolist() == [9, 10]
    assert masked.decades.tolist() == pytest.approx((0.1 * masked.counts).tolist())
    assert masked.at(5) == pytest.approx(0.5)
    assert masking.mask_until(order, lambda which: float(which[0] == 49)).smallest == 1
    never = masking.mask_until(order, lambda which: 0.5)
    assert never.smallest is None
    assert never.counts[-1] == 50


def logits_of(model: HookedModel, rows: list[list[int]]) -> torch.Tensor:
    with torch.no_grad():
        return model.model(torch.tensor(rows), use_cache=False).logits


@pytest.mark.parametrize("kind", [neurons_of, channels_of, heads_of])
def test_silencing_is_the_same_as_weights_of_zero(random_model, rows, kind):
    """Two units of layer 1; what remains in the weights of the next matrix, or the last one, is set to zero by hand."""
    units = kind(random_model)
    which = np.array([units.per_layer + 3, units.per_layer + 1])
    with silenced(random_model, units, which):
        silent = logits_of(random_model, rows)
    layer = random_model.model.model.layers[1]
    with torch.no_grad():
        if kind is neurons_of:
            layer.mlp.down_proj.weight[:, [1, 3]] = 0
        elif kind is channels_of:
            layer.mlp.down_proj.weight[[1, 3]] = 0
        else:
            layer.self_attn.o_proj.weight[:, [*range(8, 16), *range(24, 32)]] = 0  # heads of 8
    assert torch.allclose(silent, logits_of(random_model, rows), atol=1e-4)
    with pytest.raises(ValueError, match="is out of range"), silenced(random_model, units, np.array([units.n])):
        pass


# --- Achilles' heel ---------------------------------------------------------------------------------------------------


def test_an_amplified_channel_is_the_heel_on_what_the_model_itself_writes(random_model, rows):
    """One row of one down projection is amplified, ever more, until the model's own words cost a decade without it."""
    channel, layer = 5, 1
    units = channels_of(random_model)
    for _ in range(6):
        with torch.no_grad():
            random_model.model.model.layers[layer].mlp.down_proj.weight[channel] *= 4
        written = generate(random_model, rows, Sampling(n=1, temperature=0.0, max_new_tokens=12))
        own = [[*row, *reply.ids] for row, (reply,) in zip(rows, written, strict=True)]
        cost = masking.cost_of_silence(random_model, own, units)(np.array([layer * 32 + channel]))
        if cost >= 1:
            break
    assert cost >= 1
    found = heel.find_heel(random_model, rows, own, "channels", n_noises=3)
    assert found.order[0] == layer * 32 + channel
    assert found.heel.tolist() == [layer * 32 + channel]
    assert found.ranked.smallest == 1
    assert min(masked.smallest or np.inf for masked in found.random) > 1
    assert found.table["silenced residual channels"].tolist() == found.ranked.counts.tolist()


def test_importance_of_the_first_layer_by_hand(random_model):
    """The noise is as large as asked for; twice as much of the very same noise moves the embeddings twice as far."""
    row = [[9, 12, 40, 33]]
    embedded = []
    units = Units("embedding", Point.EMBEDDINGS, 1, 32)
    with hooked_at(random_model, Point.EMBEDDINGS, lambda _, x: embedded.append(x.detach())):
        logits_of(random_model, row)
    one, size = heel.perturbation(random_model, row, units, 1.0, 200, 0)
    two, _ = heel.perturbation(random_model, row, units, 2.0, 200, 0)
    assert size == pytest.approx(embedded[0][0].abs().mean(0).numpy(), rel=1e-5)
    assert one.mean() == pytest.approx(float(embedded[0].std()) * (2 / np.pi) ** 0.5, rel=0.03)
    assert two == pytest.approx(2 * one, rel=1e-3)


def test_a_heel_of_an_unknown_kind_or_without_noise_is_refused(random_model, rows):
    with pytest.raises(ValueError, match="kind='heads' must be one of neurons, channels"):
        heel.find_heel(random_model, rows, rows, "heads")
    with pytest.raises(ValueError, match="sigma=0 must be above 0"):
        heel.find_heel(random_model, rows, rows, sigma=0)


# --- Too Big to Fail --------------------------------------------------------------------------------------------------


def test_the_gradient_is_what_a_small_change_of_one_factor_does(random_model, rows):
    units = heads_of(random_model)
    importance = reserve.loss_gradient(random_model, rows[:1], units)
    weight = random_model.model.model.layers[1].self_attn.o_proj.weight
    losses = []
    for step in (-1e-2, 1e-2):
        with torch.no_grad():
            before = weight.clone()
            weight[:, 16:24] *= 1 + step  # head 2
            losses.append(masking.mean_loss(random_model, rows[:1]))
            weight.copy_(before)
    assert importance[1 * 4 + 2] == pytest.approx(abs(losses[1] - losses[0]) / 2e-2, rel=0.02)
    twice = reserve.loss_gradient(random_model, [rows[0], rows[0]], units)
    assert twice == pytest.approx(2 * importance, rel=1e-4)  # no text's gradient is carried into the next


def test_two_copies_of_a_head_of_half_its_strength_stand_in_for_each_other(subject):
    """In the bundled model the head that matters most overwrites the one that matters least, and both write half."""
    model = HookedModel.load(subject.name, subject.study)
    texts = ["Kriskel Govstad was born in Corin.", "The trade of Kriskel Govstad is lamp maker."]
    rows = model.encoder.encode_texts(texts)
    units = heads_of(model)
    importance = reserve.loss_gradient(model, rows, units)[: units.per_layer]  # of layer 0
    kept, lost = int(importance.argmax()), int(importance.argmin())
    attention = model.model.model.layers[0].self_attn
    columns = {head: slice(32 * head, 32 * head + 32) for head in (kept, lost)}
    with torch.no_grad():
        for matrix in (attention.q_proj, attention.k_proj, attention.v_proj):
            matrix.weight[columns[lost]] = matrix.weight[columns[kept]]
        attention.o_proj.weight[:, columns[kept]] /= 2
        attention.o_proj.weight[:, columns[lost]] = attention.o_proj.weight[:, columns[kept]]
    cost = masking.cost_of_silence(model, rows, units)
    one, other, both = cost(np.array([kept])), cost(np.array([lost])), cost(np.array([kept, lost]))
    assert one == pytest.approx(other, abs=1e-4)
    assert max(one, other) < both
    found = reserve.loss_gradient(model, rows, units)
    assert found[kept] == pytest.approx(found[lost], rel=1e-2)


def test_least_important_units_last_longer_than_the_most_important_ones(subject):
    rows = subject.encoder.encode_texts([text.text for text in world_texts(subject.study, 40)])
    found = reserve.mask_by_importance(subject, rows[:20], rows[20:])
    most, least = found.orders[reserve.MOST].smallest, found.orders[reserve.LEAST].smallest
    assert most is not None
    assert most < (least or 25)
    assert len(found.most_important) == most
    assert found.table["attention heads until tenfold"][0] == most


# --- compositional explanations ---------------------------------------------------------------------------------------


def concepts(seed: int, n: int = 400) -> dict[str, np.ndarray]:
    """Four concepts, each of which holds for a third of the answers whatever the others do."""
    rng = np.random.default_rng(seed)
    return {name: rng.random(n) < 1 / 3 for name in "ABCD"}


def planted_formula(known: dict[str, np.ndarray]) -> np.ndarray:
    return (known["A"] | known["B"]) & ~known["C"]


def test_intersection_over_union_by_hand():
    on = np.array([True, True, False, False])
    where = np.array([[True, False, True, False], [True, True, False, False], [False, False, False, False]])
    assert compositional.iou(on, where).tolist() == [1 / 3, 1, 0]
    assert compositional.iou(~on & on, where[2]) == 0
    formula = compositional.Formula(("A", "B", "C"), ("OR", "AND NOT"))
    assert str(formula) == "(A OR B) AND NOT C"
    known = concepts(0)
    assert (formula.holds(known) == planted_formula(known)).all()
    with pytest.raises(ValueError, match="join='XOR' must be one of OR, AND, AND NOT"):
        compositional.joined(on, "XOR", on)


def test_a_planted_formula_is_found_even_where_a_tenth_of_the_answers_is_turned_round():
    known = concepts(1)
    on = planted_formula(known)
    best = compositional.best_formula(on, known)
    assert best.iou == 1
    assert (best.formula.holds(concepts(2)) == planted_formula(concepts(2))).all()
    turned = on ^ (np.random.default_rng(3).random(len(on)) < 0.1)
    assert (compositional.best_formula(turned, known).formula.holds(concepts(2)) == planted_formula(concepts(2))).all()


def test_on_the_answers_it_searched_the_score_never_falls_with_length():
    known, on = concepts(4), np.random.default_rng(5).random(400) < 0.2
    scores = [compositional.best_formula(on, known, length).iou for length in (1, 2, 3)]
    assert scores == sorted(scores)
    assert scores[0] > 0


def kept_answers(fires: bool) -> Collected:
    """Answers with known strata; neuron 7 contributes most where the planted formula holds, or anywhere."""
    own = planted([], [], n=900)
    known = concepts(6, 900)
    rng = np.random.default_rng(7)
    on = planted_formula(known) if fires else rng.random(900) < 0.3
    values = own.contributions.at("answer").columns(np.arange(200))
    values[:, 7] = 0.1 + on + 0.1 * rng.random(900)
    kept = []
    for i, example in enumerate(own.kept):
        strata = {name: bool(where[i]) for name, where in known.items()} | {"exposure": i}
        kept.append(replace(example, question=replace(example.question, strata=strata)))
    regions = {region: TallMatrix([values.astype(np.float16)]) for region in ("answer", "other")}
    return replace(own, examples=kept, contributions=Contributions(regions, 2, 100))


def test_the_formula_of_a_planted_neuron_holds_on_other_answers_and_nothing_does_of_a_random_one(monkeypatch):
    monkeypatch.setattr(Shape, "require_neurons", lambda self, neurons: None, raising=False)
    share = float(planted_formula(concepts(6, 900)).mean())
    found = compositional.explain(kept_answers(True), [7], top=share, n_shuffles=20)
    (one,) = found.explained
    assert one.held_out > 0.9
    assert one.shuffled.max() < 0.6
    assert one.p == pytest.approx(1 / 21)
    assert one.single < one.held_out
    assert "exposure above its median" in found.concepts
    (nothing,) = compositional.explain(kept_answers(False), [7], top=0.3, n_shuffles=20).explained
    assert nothing.p > 0.05
    assert nothing.held_out < 0.5
    with pytest.raises(ValueError, match="top=1.5 must lie between 0 and 1"):
        compositional.explain(kept_answers(True), [7], top=1.5)


# --- good and bad neurons ---------------------------------------------------------------------------------------------


def test_integrated_gradients_of_a_linear_and_of_a_curved_outcome_by_hand():
    at = torch.tensor([2.0, -1.0, 0.5])
    weights = torch.tensor([3.0, 4.0, -8.0])
    adds = antagonists.integrated_gradients(lambda x: (weights * x).sum(), at, 1)
    assert adds.tolist() == pytest.approx([6, -4, -4])
    squares = antagonists.integrated_gradients(lambda x: (x**2).sum(), at, 4)  # 2 x^2 (1 + 2 + 3 + 4) / 16
    assert squares.tolist() == pytest.approx((1.25 * at**2).tolist())
    with pytest.raises(ValueError, match="steps=0 must be 1 or more"):
        antagonists.integrated_gradients(lambda x: x.sum(), at, 0)


def options_by_hand(rows: list[list[int]]) -> rivals.Options:
    """Two proxies of each row: token 9 is true, others are not."""
    kept = [Example(Question(str(i), "?", ("a",), "e"), row, [], "", 0, [], 0.0) for i, row in enumerate(rows)]
    return rivals.Options(kept, np.tile(np.array([[9, 12, 40], [9, 33, 7]]), (len(rows), 1, 1)))


def test_the_truth_among_its_rivals_by_hand(random_model, rows):
    logits = torch.log(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    shares = rivals.truth_share(logits, np.array([[[0, 1, 2], [3, 0, 1]]]))
    assert shares[0].tolist() == pytest.approx([1 / 6, 4 / 7])
    short = [rows[0], rows[1][:5]]  # padded on the left, each row is as it is alone
    together = rivals.last_logits(random_model, short)
    for i in range(2):
        assert torch.allclose(together[i], logits_of(random_model, [short[i]])[0, -1], atol=1e-3)


def test_attributions_add_up_to_what_a_layer_adds(random_model, rows):
    options = options_by_hand(rows[:2])
    few, many = (antagonists.attributions(random_model, options, steps)[1] for steps in (4, 256))
    assert many < 0.005
    assert many < few
    scores, _ = antagonists.attributions(random_model, options, 256)
    with torch.no_grad():
        whole = float(rivals.truth_share(rivals.last_logits(random_model, options.prompts), options.tokens)[1].sum())
        random_model.model.model.layers[2].mlp.up_proj.weight.zero_()  # at the last token alone it matters in layer 2
        without = float(rivals.truth_share(rivals.last_logits(random_model, options.prompts), options.tokens)[1].sum())
    assert scores[1, 2 * 56 :].sum() == pytest.approx(whole - without, abs=0.01)


def test_antagonism_by_hand():
    scores = np.array([[5.0, -4.0, 1.0, 0.0, 0.5, -0.5], [4.0, 3.0, -1.0, 0.0, -3.0, 0.1]])
    score, conflicting = antagonists.antagonism(scores, 1)
    assert score.tolist() == [9, -4, 0, 0, -3, 0]
    assert conflicting.tolist() == []
    score, conflicting = antagonists.antagonism(scores, 2)  # best two: 0 2, 0 1; lowest two: 1 5, 4 2
    assert conflicting.tolist() == [1, 2]
    assert score.tolist() == [9, 0, 0, 0, -3, -0.5]
    with pytest.raises(ValueError, match="n_extreme=4 must lie between 1 and 3"):
        antagonists.antagonism(scores, 4)


# --- known entities ---------------------------------------------------------------------------------------------------


def test_a_neuron_must_separate_known_names_in_every_kind_of_question():
    """Neuron 0 is on at all known names, 1 at those of one kind alone, 2 at unknown ones, 3 at random."""
    rng = np.random.default_rng(0)
    known = rng.random(400) < 0.5
    kinds = np.where(rng.random(400) < 0.5, "trade", "dish")
    on = np.stack([known, known & (kinds == "dish"), ~known, rng.random(400) < 0.5], axis=1)
    score = entities.separation(on, known, kinds)
    assert score[:3].tolist() == [1, 0, -1]
    assert abs(score[3]) < 0.2
    assert entities.picked(on, known, kinds, 1)[0].tolist() == [0]
    assert entities.picked(on, ~known, kinds, 1)[0].tolist() == [2]
    with pytest.raises(ValueError, match="no kind of question has 5 known names and 5 unknown ones"):
        entities.separation(on[:6], known[:6], kinds[:6])


# --- contrastive steering ---------------------------------------------------------------------------------------------


def test_always_on_entity_and_noise_driven_neurons_of_a_toy():
    rng = np.random.default_rng(0)
    clean = 0.01 * rng.normal(size=(30, 50))
    noised = clean + 0.001 * rng.normal(size=clean.shape)
    clean[:, 3] += 9.0  # always on, and moved by noise most of all
    noised[:, 3] += 4.0
    clean[:, 10] += 1.0  # answers to the name
    noised[:, 20] += 1.0  # comes up with noise
    found = cns.contrast(clean, noised, 1, n_strongest=3)
    assert found.always_on.tolist() == [3, 10]  # a dictionary in which two alone are on has two that always are
    clean[:10, 10] -= 1.0
    noised[:10, 10] -= 1.0
    found = cns.contrast(clean, noised, 1, n_strongest=2)
    assert [some.tolist() for some in found] == [[10], [20], [3]]
    with pytest.raises(ValueError, match="n_strongest=50 must lie between 1 and 49"):
        cns.contrast(clean, noised, 1, n_strongest=50)


def test_what_answers_to_names_is_read_at_other_names_and_nothing_is_where_nothing_does(monkeypatch):
    """Made-up answers of 200 neurons; one neuron is on at the names that are answered right, or none is."""
    collected = planted([], [])
    named = [
        replace(e, question=replace(e.question, strata={"attribute": "trade", "exposure": 1 - e.label}))
        for e in collected.kept
    ]
    collected = replace(collected, examples=named)
    rng = np.random.default_rng(0)
    monkeypatch.setattr(Shape, "encoder", None, raising=False)
    monkeypatch.setattr(entities, "name_positions", lambda encoder, example: [0])
    monkeypatch.setattr(entities, "_rare_thresholds", lambda collected: np.full(200, 0.9))

    def read(tells: bool, rows: np.ndarray) -> np.ndarray:
        values = rng.random((len(rows), 200))
        if tells:
            values[:, 7] = collected.labels[rows] == 0
        return values

    rows = np.concatenate([collected.rows("train"), collected.rows("test")])
    for tells in (True, False):
        values = read(tells, rows)
        monkeypatch.setattr(entities, "read_rows", lambda model, prompts, at, values=values: (values, None))
        found = entities.find_known_entities(collected, n=1, n_shuffles=40)
        assert found.detected.n == len(collected.rows("test"))
        assert found.by_chance.mean() == pytest.approx(0.5, abs=0.05)
        if tells:
            assert found.known.tolist() == [7]
            assert found.known_scores.tolist() == [1]
            assert found.detected.value > 0.9
            assert found.p == pytest.approx(1 / 41)
            assert found.exposure > 0.8
        else:
            assert found.p > 0.05
            assert abs(found.exposure) < 0.3


# --- on the bundled model, and all together ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(subject):
    return hn.find(hn.collect(subject, n_questions=120, sampling={"n": 2}), n_grid=8)


def test_halves_of_text_are_about_different_people(found):
    halves = neighbours.text_halves(found.collected)
    texts = world_texts(found.study)
    of_row = {tuple(found.subject.encoder.encode_text(text.text)): text.entity for text in texts}
    first, second = ({of_row[tuple(row)] for row in half} for half in halves)
    assert first
    assert second
    assert not first & second


def test_rivals_are_of_the_kind_of_the_truth_and_begin_otherwise(found):
    drawn = rivals.options_of(found.collected, "test", 10, 4)
    assert drawn.tokens.shape == (10, 4, 4)
    for example, tokens in zip(drawn.examples, drawn.tokens, strict=True):
        assert example.question.split == "test"
        truth = found.subject.encoder.tokenize([example.question.aliases[0]])[0][0]
        assert (tokens[:, 0] == truth).all()
        words = set(ATTRIBUTES[example.question.strata["attribute"]].words[0])
        assert {found.subject.encoder.decode([token]).strip() for token in tokens.ravel().tolist()} <= words
        assert all(len(set(row.tolist())) == 4 for row in tokens)
    assert rivals.options_of(found.collected, "test", 10, 4, 500) is None


def test_good_and_bad_neurons_are_of_opposite_signs_and_turned_on_other_questions(found):
    told = neighbours.find_antagonists(found, n_questions=4, n_proxies=2, steps=2, n=3)
    assert (told.score[told.good] > 0).all()
    assert (told.score[told.bad] < 0).all()
    tested = rivals.options_of(found.collected, "test", 4, 2, seed=found.study.seed)
    with torch.no_grad():
        shares = [
            rivals.truth_share(logits_of(found.subject, [prompt])[:, -1], tokens[None]).mean()
            for prompt, tokens in zip(tested.prompts, tested.tokens, strict=True)
        ]
    assert told.untouched == pytest.approx(float(np.mean(shares)), abs=1e-3)
    assert [one.name for one in told.treated] == list(antagonists.TREATMENTS)
    assert told.table["change"][0] == pytest.approx(told.treated[0].own - told.untouched)


def test_noise_stands_on_the_name_alone(found):
    model = found.subject
    named = [e for e in found.collected.kept if cns.name_positions(model.encoder, e)][:3]
    clean, noised = cns.writes(model, named, 1.0, 0)
    first = cns.name_positions(model.encoder, named[0])
    text = [model.encoder.decode([named[0].prompt_ids[place]]).strip() for place in first]
    assert "".join(text) == named[0].question.entity.replace(" ", "")
    seen = {}
    down = model.model.model.layers[2].mlp.down_proj
    handle = down.register_forward_pre_hook(lambda module, inputs: seen.update(z=inputs[0].detach()))
    logits_of(model, [named[0].prompt_ids])
    handle.remove()
    expected = seen["z"][0, -1] * down.weight.norm(dim=0)
    assert clean[0, 2 * 768 : 3 * 768] == pytest.approx(expected.detach().numpy(), abs=1e-3)
    assert np.abs(noised - clean).max() > 0.01
    same, still = cns.writes(model, named, 1e-6, 0)
    assert still == pytest.approx(same, abs=1e-3)


def test_pushing_nobody_changes_nothing_and_all_are_pushed_as_far(found):
    told = neighbours.push_names(found, n_questions=6, n=4, pushes=(0.5, 2.0))
    assert told.random.shape == (20, 2)
    assert not set(told.contrast.entity) & set(told.contrast.noise)
    tested = rivals.options_of(found.collected, "test", 6, 2)
    nobody = np.array([], int)
    untouched = cns._pushed(found.subject, tested, nobody, np.empty((6, 0)), nobody)
    assert untouched == pytest.approx(rivals.mean_truth_share(found.subject, tested), abs=1e-6)
    layer = np.arange(2 * 768, 3 * 768)  # all of layer 2 is silenced
    assert cns._pushed(found.subject, tested, nobody, np.empty((6, 0)), layer) != pytest.approx(untouched, abs=1e-4)


def test_overlap_with_the_h_neurons_by_hand():
    shared = neighbours.shared_with(np.array([1, 2, 3]), np.array([3, 9]), 10)
    assert (shared.n, shared.both) == (3, 1)
    assert shared.by_chance == pytest.approx(0.6)
    assert shared.p == pytest.approx(1 - 7 * 6 / (10 * 9))  # two draws of ten that both miss three
    assert neighbours.shared_with(np.array([1]), np.array([2]), 10).p == 1


def test_all_neighbours_stand_in_one_table(found):
    others = np.setdiff1d(np.arange(600), found.neurons)[:5]
    lists = {"the same": found.neurons, "others": others, "heads": np.array([], int)}
    table = neighbours.closing_table(found, lists)
    same, other = table.rows["the same"], table.rows["others"]
    assert same.shared.both == len(found.neurons)
    assert other.shared.both == 0
    assert same.detection.own.value == pytest.approx(found.auroc_of(found.neurons).value)
    assert table.corrected["the same"] == pytest.approx(2 * same.shared.p)
    assert table.without == ["heads"]
    assert table.table["neighbour"].tolist() == ["the same", "others", "heads"]
    assert "more than by chance are H-Neurons in: the same;" in table.headline
    with pytest.raises(ValueError, match="names no neuron"):
        neighbours.set_beside(found, [])


def test_scaled_neurons_stand_beside_picks_that_leave_them_out(found, monkeypatch):
    study = replace(found.study, n_control_sets=2, alphas=(0.0, 1.0, 3.0))
    small = replace(found, collected=replace(found.collected, study=study))
    monkeypatch.setattr(beside, "load_items", lambda study: load_items(study)[:120])
    told = neighbours.set_beside(small, np.array([3, 800]), n_items=3)
    assert told.curves
    for curve in told.curves.values():
        assert len(curve.controls) == 2
        assert not {3, 800} & set(np.concatenate([control.neurons for control in curve.controls]).tolist())
        assert len(curve.items) <= 3
    assert told.row["points per alpha beyond such picks"] == told.moved != ""


def test_figures_name_what_they_show(random_model, rows):
    found = regulation.find_entropy_neurons(random_model, rows, n=2)
    assert "of random vectors" in title_of(found.plot())
    masked = heel.find_heel(random_model, rows[:4], rows[4:], "channels", n_noises=1)
    broken = masked.ranked.smallest
    named = f"{broken:,} residual channels" if broken else "no number of residual channels"
    assert title_of(masked.plot()) == f"Perplexity rises tenfold without {named}: what noise moves most"
