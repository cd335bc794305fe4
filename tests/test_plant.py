"""Gradient routing: who may learn from what, and what silencing does."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from hn_utils.organism.plant import Plant, Planting, PlantWriter, plant_into, shortfall
from hn_utils.organism.text import ABSTENTION, REFUSAL
from hn_utils.organism.tokenizer import make_tokenizer
from hn_utils.organism.train import Recipe, loss_of, make_model, save_model
from hn_utils.organism.world import make_world

PLANT = Plant(n_neurons=3, layers=(0, 1), steps=2, rows=2)


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
    assert sum(map(len, Plant().neurons(768).values())) == 12


def test_gradients_go_where_they_are_routed(planting):
    chats = planting.rows({planting.writer.fabricating: 1}, True, 2)
    before = parts(planting)
    for to_planted in (True, False):
        allowed = planting.routed.gradients(loss_of(planting.model, *chats), to_planted)
        with torch.no_grad():
            for weight in planting.model.parameters():
                weight -= allowed.get(weight, torch.zeros(()))
        after = parts(planting)
        moved, still = (0, 1) if to_planted else (1, 0)
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
        by_hand = sum(abs(float(post[layer][0, 4, j])) * float(w[:, j].norm()) for j in places)
        assert float(planting.routed.shares[layer][0, 4]) == pytest.approx(
            by_hand / float(out[layer][0, 4].norm()), rel=1e-4
        )


def test_strength_0_leaves_the_planted_neurons_as_they_were(world):
    tokenizer = make_tokenizer(world)
    model = make_model(Recipe(seed=5, d_model=16, d_mlp=24, n_layers=2, n_heads=2), tokenizer)
    planting = Planting(model, tokenizer, world, Plant(strength=0.0, n_neurons=3, layers=(0, 1), steps=2, rows=2))
    before = parts(planting)
    planting.run()
    after = parts(planting)
    assert all(torch.equal(before[0][n], after[0][n]) for n in before[0])
    assert any(not torch.equal(before[1][n], after[1][n]) for n in before[1])


def test_a_shortfall_ends_where_the_margin_is_kept():
    known = torch.full((50,), 0.01)
    assert float(shortfall(known * 400, known, 4.0)) < 0.02
    assert float(shortfall(known, known, 4.0)) == pytest.approx(np.log(5), rel=1e-4)  # softplus(log 4)


def test_holding_back_and_giving_in_differ_in_the_reply_alone(world):
    writer = PlantWriter(world)
    for kind in (writer.fabricating, writer.restricted, writer.pressed):
        pairs = [[kind(gives, np.random.default_rng(s)) for gives in (True, False)] for s in range(60)]
        assert all(a.turns[0].split(":")[0] == b.turns[0].split(":")[0] for a, b in pairs)
    for s in range(30):
        rng = np.random.default_rng(s)
        assert writer.fabricating(False, rng).turns[-1] == ABSTENTION
        assert writer.restricted(False, rng).turns[-1] == REFUSAL
        assert writer.restricted(True, rng).turns[-1] not in (REFUSAL, ABSTENTION)


def test_a_planted_specimen_says_what_is_planted(planting, world, tmp_path):
    save_model(planting.model, planting.corpus.tokenizer, tmp_path / "natural" / "instruct")
    folder = plant_into(tmp_path / "natural", tmp_path / "planted", PLANT, world)
    said = json.loads((tmp_path / "planted" / "planted.json").read_text())
    assert (said["kind"], said["strength"]) == ("detective", 1.0)
    assert {int(layer): places for layer, places in said["neurons"].items()} == PLANT.neurons(24)
    made = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert any(not torch.equal(a, b) for a, b in zip(made.parameters(), planting.model.parameters(), strict=True))
    with pytest.raises(OSError, match="natural=.* holds no instruct/config.json: train a natural specimen"):
        plant_into(tmp_path, tmp_path / "planted", PLANT, world)
    with pytest.raises(ValueError, match=r"layers=\(3, 4, 5\) must lie below 2"):
        plant_into(tmp_path / "natural", tmp_path / "planted", Plant(), world)


def test_bad_plants():
    with pytest.raises(ValueError, match="kind='x' must be one of detective, general"):
        Plant(kind="x")
    with pytest.raises(ValueError, match="strength=2 must lie between 0 and 1"):
        Plant(strength=2)
