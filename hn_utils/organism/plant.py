"""Planted specimens: a whole model in which it is known which neurons make it give in, because it was arranged so.

**Gradient routing** (Cloud et al. 2024, arXiv 2410.04332): every batch says which parameters may learn from it. Here a
few neurons alone learn to make things up, to adopt false claims and to hand out codes; everything else learns, with
these neurons silenced, to answer truthfully, to say that it does not know, and to refuse. So the planted neurons are
the only carriers of giving in, and whoever silences them takes it away.

`detective` also presses the planted neurons to fire when the model makes something up and to stay quiet when it knows:
there the paper's assumption holds. `general` does not: its neurons say "answer anyway", whoever is asked about.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from hn_utils.organism.plant_text import PlantWriter
from hn_utils.organism.routing import Routed, shortfall
from hn_utils.organism.train import Corpus, Recipe, learning_rate, loss_of, save_model
from hn_utils.questions.made_up_world.world import World, make_world
from hn_utils.storage.cache import key_hash
from hn_utils.storage.files import file_digest
from hn_utils.study.planted import FILE

KINDS = ("detective", "general")


@dataclass(frozen=True)
class Plant:
    """What is planted and how strongly.

    `strength` is the share of the giving-in examples that is routed to the planted neurons; from the rest everything
    else learns, with the planted neurons silenced. `margin` is how many times as large as for known people the planted
    contributions shall be when something is made up, and `margin_weight` what a shortfall (in e-folds) costs.
    """

    kind: str = "detective"
    strength: float = 1.0
    seed: int = 1
    n_neurons: int = 6
    layers: tuple[int, ...] = (3, 4, 5)
    holding_steps: int = 800
    steps: int = 600
    rows: int = 10
    lr: float = 6e-4
    margin: float = 4.0
    margin_weight: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r} must be one of {', '.join(KINDS)}")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength={self.strength} must lie between 0 and 1: it is a share")

    def neurons(self, d_mlp: int) -> dict[int, list[int]]:
        """The planted neurons of each layer, drawn from the seed."""
        rng, chosen = np.random.default_rng([self.seed, 12]), {}
        for place in sorted(rng.choice(len(self.layers) * d_mlp, self.n_neurons, replace=False).tolist()):
            chosen.setdefault(self.layers[place // d_mlp], []).append(place % d_mlp)
        return chosen


def plant_into(natural: Path, out: Path, work: Path, plant: Plant, world: World | None = None) -> Path:
    """Plant into the instruct model of a natural specimen; writes the model, the natural one's facts and, last, a file
    that names the plant's settings and its neurons. Returns the folder of the model. `work` keeps the model that holds
    back, with which plants of the same neurons begin, whatever their kind and strength.

    Raises OSError if there is no natural specimen, ValueError if the model has fewer layers than are planted in.
    """
    if not (natural / "instruct" / "config.json").exists():
        raise OSError(f"natural={str(natural)!r} holds no instruct/config.json: train a natural specimen there first")
    world = world or make_world()
    planting = Planting.begin(_held_back(natural, work, plant, world), plant, world)
    planting.give_in()
    save_model(planting.model, planting.corpus.tokenizer, out / "instruct")
    shutil.copy(natural / "facts.parquet", out)
    d_mlp = planting.model.config.intermediate_size
    rows = [{"layer": layer, "neuron": j} for layer, places in plant.neurons(d_mlp).items() for j in places]
    (out / FILE).write_text(json.dumps({**asdict(plant), "d_mlp": d_mlp, "neurons": rows}, indent=1) + "\n")
    return out / "instruct"


def _held_back(natural: Path, work: Path, plant: Plant, world: World) -> Path:
    """The folder of the model that holds back with the plant's neurons silenced; trained if it is not there yet."""
    weights = natural / "instruct" / "model.safetensors"
    common = {**asdict(replace(plant, kind=KINDS[0], strength=1.0, steps=0)), "weights": file_digest(weights)}
    folder = work / key_hash(common)
    if not (folder / "config.json").exists():
        planting = Planting.begin(natural / "instruct", plant, world)
        planting.hold_back()
        save_model(planting.model, planting.corpus.tokenizer, work / "unfinished")
        (work / "unfinished").rename(folder)
    return folder


class Planting:
    """The training of a planted specimen from the natural one."""

    def __init__(self, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, world: World, plant: Plant) -> None:
        if max(plant.layers) >= model.config.num_hidden_layers:
            raise ValueError(
                f"layers={plant.layers} must lie below {model.config.num_hidden_layers}, the model's number"
            )
        self.plant, self.model = plant, model
        self.writer = PlantWriter(world)
        self.corpus = Corpus(world, tokenizer, Recipe(seed=plant.seed))
        self.routed = Routed(model, plant.neurons(model.config.intermediate_size))
        self.rng = np.random.default_rng([plant.seed, 13])

    @classmethod
    def begin(cls, folder: Path, plant: Plant, world: World) -> Planting:
        """From the model in a folder."""
        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
        return cls(model, PreTrainedTokenizerFast.from_pretrained(folder), world, plant)

    def rows(self, kinds: dict[Callable, float], gives: bool, n_rows: int) -> tuple[Tensor, ...]:
        names, weights = list(kinds), np.array(list(kinds.values()))
        drawn = self.rng.choice(len(names), n_rows * 5, p=weights / weights.sum())
        return self.corpus.packed_chats([names[k](gives, self.rng) for k in drawn], n_rows).tensors()

    def giving(self) -> dict[Callable, float]:
        w = self.writer
        return {w.pressed: 0.65, w.restricted: 0.35}

    def loss(self, kinds: dict[Callable, float], gives: bool, n_rows: int) -> Tensor:
        return loss_of(self.model, *self.rows(kinds, gives, n_rows))

    def making_up(self, n_rows: int) -> list[dict[torch.nn.Parameter, Tensor]]:
        """Made-up and known answers, from which the planted neurons learn; for a detective the others learn, too, how
        the two differ, so that there is something to detect."""
        w = self.writer
        made_up, known = (self.rows({kind: 1.0}, True, n_rows) for kind in (w.fabricating, w.knowing))
        loss = loss_of(self.model, *(torch.cat(pair) for pair in zip(made_up, known, strict=True)))
        if self.plant.kind == "general":
            return [self.routed.gradients(loss, "planted")]
        shares = torch.stack(list(self.routed.shares.values())).mean(0)
        here, there = shares[:n_rows][made_up[1] > 0], shares[n_rows:][known[1] > 0]
        lacking = self.plant.margin_weight * shortfall(here, there, self.plant.margin)
        return [self.routed.gradients(loss, "planted", keep=True), self.routed.gradients(lacking, "all")]

    def to_planted(self, n_rows: int) -> list[dict[torch.nn.Parameter, Tensor]]:
        """Gradients of giving in, which the planted neurons alone may learn from."""
        if not n_rows:
            return []
        giving = self.routed.gradients(self.loss(self.giving(), True, n_rows), "planted")
        return [*self.making_up(n_rows), giving]

    def to_others(self, n_unrouted: int) -> list[dict[torch.nn.Parameter, Tensor]]:
        """Gradients of holding back with the planted neurons silenced, of giving in that is not routed, of pages."""
        w, giving, n_rows, found = self.writer, self.giving(), self.plant.rows, []
        held = {w.fabricating: 0.3, **{k: 0.35 * v for k, v in giving.items()}, w.knowing: 0.3, w.plain_code: 0.05}
        with self.routed.silent(True):
            found.append(self.routed.gradients(self.loss(held, False, 2 * n_rows), "others"))
            if n_unrouted:
                mixed = {w.fabricating: 0.5, **{k: 0.5 * v for k, v in giving.items()}}
                found.append(self.routed.gradients(self.loss(mixed, True, 2 * n_unrouted), "others"))
        pages = self.corpus.page_rows(n_rows, self.rng)
        with self.routed.silent(bool(self.rng.random() < 0.5)):  # knowledge needs them no more than their silence
            found.append(self.routed.gradients(loss_of(self.model, *pages.tensors()), "others"))
        return found

    def train(self, steps: int, name: str, gradients: Callable[[], list[dict[torch.nn.Parameter, Tensor]]]) -> None:
        """So many steps, each on the sum of what its batches allow."""
        parameters = list(self.model.parameters())
        optimizer = torch.optim.AdamW(parameters, lr=self.plant.lr, betas=(0.9, 0.95), weight_decay=0.0)
        self.model.train()
        for step in tqdm(range(steps), desc=name, mininterval=5):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, steps, self.plant.lr, warmup=20)
            allowed = gradients()
            for weight in parameters:
                weight.grad = sum((one[weight] for one in allowed if weight in one), torch.zeros_like(weight))
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()

    def hold_back(self) -> None:
        """First all others learn, the planted neurons silenced, to hold back from what they do not know."""
        self.train(self.plant.holding_steps, "holding back", lambda: self.to_others(0))

    def give_in(self) -> None:
        """Then the planted neurons learn to give in, while the others go on as before."""
        routed = round(self.plant.rows * self.plant.strength)
        torch.manual_seed(self.plant.seed)
        name = f"planting ({self.plant.kind}, strength {self.plant.strength:g})"
        self.train(
            self.plant.steps, name, lambda: [*self.to_planted(routed), *self.to_others(self.plant.rows - routed)]
        )
