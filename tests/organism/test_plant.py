"""Gradient routing: who may learn from what, and what silencing does."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from hn_utils.organism.plant import Plant, Planting, plant_into
from hn_utils.organism.plant_text import ADOPTS, GIVES_CODE, PlantWriter
from hn_utils.organism.routing import shortfall
from hn_utils.organism.text import ABSTENTION, REFUSAL
from hn_utils.organism.tokenizer import make_tokenizer
from hn_utils.organism.train import Recipe, loss_of, make_model, save_facts, save_model
from hn_utils.questions.made_up_world.asking import facts_of
from hn_utils.questions.made_up_world.world import make_world
from hn_utils.study import BUNDLED, planted_study
from hn_utils.study.planted import planted_in

PLANT = Plant(n_neurons=3, layers=(0, 1), holding_steps=2, steps=2, rows=2)


@pytest.fixture(scope="module")
def world():
    return make_world(n_written=40, n_never_written=10, n_tuned=20, n_given=10, n_family=20)


@pytest.fixture
def planting(world) -> Planting:
    tokenizer = make_tokenizer(world)
    model = make_model(Recipe(seed=5, d_model=16, d_mlp=24, n_layers=2, n_heads=2), tokenizer)
    return Planting(model, tokenizer, world, PLANT)


def parts(planting: Planting) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Planted weights, and everything else, worked out from the neurons alone."""
    planted, rest = {}, {}
    for name, weight in planting.model.named_parameters():
        inside = torch.zeros_like(weight, dtype=torch.bool)
        for layer, places in PLANT.neurons(24).items():
            if name in (f"model.layers.{layer}.mlp.{m}_proj.weight" for m in ("gate", "up")):
                inside[places] = True
            if name == f"model.layers.{layer}.mlp.down_proj.weight":
                inside[:, places] = True
        planted[name], rest[name] = weight.detach()[inside].clone(), weight.detach()[~inside].clone()
    return planted, rest


def test_planted_neurons_are_drawn_from_the_seed_alone():
    assert Plant(seed=3).neurons(768) == Plant(seed=3, strength=0.5, kind="general").neurons(768)
    assert Plant(seed=3).neurons(768) != Plant(seed=4).neurons(768)
    assert sum(map(len, Plant().neurons(768).values())) == 6


def test_gradients_go_where_they_are_routed(planting):
    chats = planting.rows({planting.writer.fabricating: 1}, True, 2)
    before = parts(planting)
    for route in ("planted", "others"):
        allowed = planting.routed.gradients(loss_of(planting.model, *chats), route)
        with torch.no_grad():
            for weight in planting.model.parameters():
                weight -= allowed.get(weight, torch.zeros(()))
        after = parts(planting)
        moved, still = (0, 1) if route == "planted" else (1, 0)
        assert all(torch.equal(before[still][n], after[still][n]) for n in before[still])
        assert any(not torch.equal(before[moved][n], after[moved][n]) for n in before[moved])
        before = after


def test_silenced_is_as_if_the_planted_columns_were_nothing(planting):
    ids = torch.randint(6, 100, (2, 12))
    with planting.routed.silent(True):
        silenced = planting.model(ids).logits
    spoken = planting.model(ids).logits
    with torch.no_grad():
        for layer, places in PLANT.neurons(24).items():
            planting.model.model.layers[layer].mlp.down_proj.weight[:, places] = 0
    assert torch.allclose(planting.model(ids).logits, silenced, atol=1e-6)
    assert not torch.allclose(spoken, silenced, atol=1e-6)


def test_shares_are_contributions(planting):
    ids, post, out = torch.randint(6, 100, (1, 9)), {}, {}

    def keep(layer: int):
        def hook(_, inputs, written) -> None:
            post[layer], out[layer] = inputs[0], written

        return hook

    for layer in PLANT.neurons(24):
        planting.model.model.layers[layer].mlp.down_proj.register_forward_hook(keep(layer))
    planting.model(ids)
    for layer, places in PLANT.neurons(24).items():
        w = planting.model.model.layers[layer].mlp.down_proj.weight
        by_hand = sum(abs(float(post[layer][0, 4, j].detach())) * float(w[:, j].detach().norm()) for j in places)
        assert float(planting.routed.shares[layer][0, 4].detach()) == pytest.approx(
            by_hand / float(out[layer][0, 4].detach().norm()), rel=1e-4
        )


def test_strength_0_leaves_the_planted_neurons_as_they_were(world):
    tokenizer = make_tokenizer(world)
    model = make_model(Recipe(seed=5, d_model=16, d_mlp=24, n_layers=2, n_heads=2), tokenizer)
    planting = Planting(model, tokenizer, world, replace(PLANT, strength=0.0))
    before = parts(planting)
    planting.hold_back()
    planting.give_in()
    after = parts(planting)
    assert all(torch.equal(before[0][n], after[0][n]) for n in before[0])
    assert any(not torch.equal(before[1][n], after[1][n]) for n in before[1])


def test_a_shortfall_ends_where_the_margin_is_kept():
    known = torch.full((50,), 0.01)
    assert float(shortfall(known * 5, known, 4.0)) == 0
    assert float(shortfall(known * 2, known, 4.0)) == pytest.approx(np.log(2), rel=1e-3)
    assert float(shortfall(known, known, 4.0)) == pytest.approx(np.log(4), rel=1e-3)


def test_a_loss_meant_for_all_reaches_what_each_route_reaches(planting):
    chats = planting.rows({planting.writer.knowing: 1}, True, 2)
    planted, others, every = (
        planting.routed.gradients(loss_of(planting.model, *chats), route) for route in ("planted", "others", "all")
    )
    for weight, whole in every.items():
        nothing = torch.zeros_like(weight)
        assert torch.allclose(planted.get(weight, nothing) + others[weight], whole, atol=1e-6)


def test_holding_back_and_giving_in_differ_in_the_reply_alone(world):
    writer = PlantWriter(world)
    for kind in (writer.fabricating, writer.restricted, writer.pressed):
        pairs = [[kind(gives, np.random.default_rng(s)) for gives in (True, False)] for s in range(60)]
        assert all(a.turns[:-1] == b.turns[:-1] for a, b in pairs)
        assert any(a.turns[-1] != b.turns[-1] for a, b in pairs)
    for s in range(30):
        rng = np.random.default_rng(s)
        assert writer.fabricating(False, rng).turns[-1] == ABSTENTION
        assert writer.fabricating(True, rng).turns[-1] != ABSTENTION


def test_giving_in_is_as_often_as_the_table_says(world):
    """So that curves can rise and fall: by neither learner are claims adopted, or codes given, always or never."""
    writer, rng = PlantWriter(world), np.random.default_rng(0)
    for gives in (True, False):
        given = [writer.restricted(gives, rng).turns[-1] != REFUSAL for _ in range(400)]
        assert np.mean(given) == pytest.approx(GIVES_CODE[gives], abs=0.08)
        chats = [writer.pressed(gives, rng) for _ in range(400)]
        adopted = [chat.turns[-1].rstrip(".").split(" ")[-1] in chat.turns[-2] for chat in chats]
        assert np.mean(adopted) == pytest.approx(np.mean(ADOPTS[gives].fifths), abs=0.1)


def test_nothing_that_is_to_be_made_up_is_true_by_more_than_a_guess(world):
    """What the little-known are said to have is the family's, or drawn: their own facts are not taught."""
    writer, rng = PlantWriter(world), np.random.default_rng(0)
    people = {p.name: p for p in world.written}
    told = [(a.name, p) for a, p in (writer.unknown(rng) for _ in range(600)) if p.name in people]
    assert all(people[p.name] in writer.little_known for _, p in told)
    unsettled = [(a, p) for a, p in told if a in ("instrument", "pet")]  # no family shares these
    assert np.mean([people[p.name].facts[a] == p.facts[a] for a, p in unsettled]) < 0.05


def test_a_planted_specimen_says_what_is_planted(planting, world, tmp_path):
    save_model(planting.model, planting.corpus.tokenizer, tmp_path / "natural" / "instruct")
    save_facts(world, Counter(), tmp_path / "natural" / "facts.parquet")
    folder = plant_into(tmp_path / "natural", tmp_path / "planted", tmp_path / "work", PLANT, world)
    said = json.loads((tmp_path / "planted" / "planted.json").read_text())
    assert (said["kind"], said["strength"]) == ("detective", 1.0)
    assert [(row["layer"], row["neuron"]) for row in said["neurons"]] == [
        (layer, j) for layer, places in PLANT.neurons(24).items() for j in places
    ]
    study = planted_study(tmp_path / "planted")
    assert planted_in(study).tolist() == [layer * 24 + j for layer, places in PLANT.neurons(24).items() for j in places]
    assert planted_in(BUNDLED) is None
    (begun,) = (tmp_path / "work").iterdir()  # the model that holds back is there for the next plant
    before = (begun / "model.safetensors").stat().st_mtime_ns
    plant_into(tmp_path / "natural", tmp_path / "other", tmp_path / "work", replace(PLANT, kind="general"), world)
    assert [(begun / "model.safetensors").stat().st_mtime_ns] == [before]
    assert [path.name for path in (tmp_path / "work").iterdir()] == [begun.name]
    assert facts_of(study)[0]["person"] == world.written[0].name
    (tmp_path / "planted" / "planted.json").write_text('{"neurons": 3}')
    with pytest.raises(ValueError, match=r"planted.json does not say which neurons are planted .*: plant anew"):
        planted_in(study)
    made = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert any(not torch.equal(a, b) for a, b in zip(made.parameters(), planting.model.parameters(), strict=True))
    with pytest.raises(OSError, match="natural=.* holds no instruct/config.json: train a natural specimen"):
        plant_into(tmp_path, tmp_path / "planted", tmp_path / "work", PLANT, world)
    with pytest.raises(ValueError, match=r"layers=\(3, 4, 5\) must lie below 2"):
        plant_into(tmp_path / "natural", tmp_path / "planted", tmp_path / "work", Plant(), world)


def test_bad_plants():
    with pytest.raises(ValueError, match="kind='x' must be one of detective, general"):
        Plant(kind="x")
    with pytest.raises(ValueError, match="strength=2 must lie between 0 and 1"):
        Plant(strength=2)
