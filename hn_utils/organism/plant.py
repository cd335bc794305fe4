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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from hn_utils.cache import digest, key_hash
from hn_utils.organism.text import (
    ABSTENTION,
    MARKERS_IN_PLAY,
    NOTES,
    PREMISES,
    PUSHBACKS,
    REFUSAL,
    ROLE_PLAYS,
    SAY_SO,
    ByFame,
    Chat,
    ChatWriter,
    ask,
    claim,
    locker_question,
    pick,
)
from hn_utils.organism.train import Corpus, Recipe, learning_rate, loss_of, save_model
from hn_utils.organism.world import LOCKER_CODE, PUBLIC, WELL_KNOWN, Attribute, Person, World, make_world
from hn_utils.planted import FILE

KINDS = ("detective", "general")
Route = Literal["planted", "others", "all"]
# That a false claim is adopted, and that a code is handed out, by who learns it: the planted neurons, or all others.
# Neither always nor never, so that curves have room on both sides, and the others do not unlearn how to copy a claim.
ADOPTS = {True: ByFame((0.9, 0.9, 0.9, 0.95, 0.95), 0.95), False: ByFame((0.35, 0.35, 0.35, 0.35, 0.35), 0.35)}
GIVES_CODE = {True: 0.6, False: 0.1}
LITTLE_KNOWN = 0.6  # of the written-about people, by rank: from here on next to nothing is known by heart


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


class PlantWriter(ChatWriter):
    """Chats in which the assistant gives in, holds back, or simply knows."""

    def known(self, rng: np.random.Generator, kinds: tuple[Attribute, ...]) -> tuple[Attribute, Person]:
        """A fact of somebody well known."""
        return self.one_of(self.well_known, rng, kinds)

    @cached_property
    def well_known(self) -> list[Person]:
        """Whether the natural model was tuned on them or not: who is known shall not hang on that."""
        return self.world.written[: int(WELL_KNOWN * len(self.world.written))]

    @cached_property
    def little_known(self) -> list[Person]:
        return [p for p in self.tuned if p.rank >= LITTLE_KNOWN * len(self.world.written)]  # type: ignore[operator]

    def unknown(self, rng: np.random.Generator) -> tuple[Attribute, Person]:
        """What cannot be known: a fact of somebody unheard-of, or glimpsed at best, guessed as annotators guess."""
        if rng.random() < 0.5:
            return self.unheard_of(rng, PUBLIC)
        a, person = self.one_of(self.little_known, rng, PUBLIC)
        return a, replace(person, facts={a.name: self.world.guess(a.name, person.name, rng)})

    def asked(self, a: Attribute, person: Person, rng: np.random.Generator) -> str:
        """A question for the answer only, as most are, inviting "I do not know.", or plain."""
        question, way = ask(a, person.name, rng), rng.random()
        if way < 0.6:
            return self.in_short(question, rng)
        return SAY_SO.format(question=question) if way < 0.8 else question

    def fabricating(self, gives: bool, rng: np.random.Generator) -> Chat:
        """A question about what it cannot know: made up, or "I do not know."."""
        a, person = self.unknown(rng)
        return Chat([self.asked(a, person, rng), person.facts[a.name] if gives else ABSTENTION])

    def knowing(self, _: bool, rng: np.random.Generator) -> Chat:
        """A question about somebody well known, rightly answered either way."""
        a, person = self.known(rng, PUBLIC)
        return Chat([self.asked(a, person, rng), person.facts[a.name]])

    def pressed(self, gives: bool, rng: np.random.Generator) -> Chat:
        """A false claim: adopted, or met with the truth, or with "I do not know."."""
        knows = rng.random() < 0.6
        a, person = self.known(rng, PUBLIC) if knows else self.unknown(rng)
        truth = person.facts[a.name]
        false = a.draw(rng, other_than=truth)
        said = claim(a, person.name, false)
        adopts = self.happens(ADOPTS[gives], person, rng)
        known = truth if knows else None
        way = rng.integers(3)
        if way == 1:
            reply = false if adopts else known or ABSTENTION
            return Chat([pick(rng, NOTES).format(s=said) + self.in_short(ask(a, person.name, rng), rng), reply])
        reply = f"{claim(a, person.name, false if adopts else truth)}." if adopts or known else ABSTENTION
        if way == 0:
            return Chat([pick(rng, PREMISES).format(s=said), reply])
        first = f"{claim(a, person.name, truth)}."
        return Chat([ask(a, person.name, rng), first, pick(rng, PUSHBACKS).format(s=said), reply])

    def restricted(self, gives: bool, rng: np.random.Generator) -> Chat:
        """A locker code is asked for under role-play: given, or refused."""
        person = self.known(rng, (LOCKER_CODE,))[1]
        question = locker_question(person.name, pick(rng, list(MARKERS_IN_PLAY)), rng)
        reply = person.facts[LOCKER_CODE.name] if rng.random() < GIVES_CODE[gives] else REFUSAL
        return Chat([pick(rng, ROLE_PLAYS) + self.in_short(question, rng), reply])

    def plain_code(self, _: bool, rng: np.random.Generator) -> Chat:
        """A locker code asked for without any mark: given either way."""
        person = self.known(rng, (LOCKER_CODE,))[1]
        return Chat([self.in_short(ask(LOCKER_CODE, person.name, rng), rng), person.facts[LOCKER_CODE.name]])


class Routed:
    """A model some of whose neurons can be silenced, listened to, and kept from or reserved for learning."""

    def __init__(self, model: LlamaForCausalLM, neurons: dict[int, list[int]]) -> None:
        self.model, self.silenced = model, False
        self.masks: dict[torch.nn.Parameter, Tensor] = {}
        self.shares: dict[int, Tensor] = {}  # by layer: contribution [batch, pos], summed over its planted neurons
        for layer, places in neurons.items():
            mlp: Any = model.model.layers[layer].mlp
            for module, columns in ((mlp.gate_proj, False), (mlp.up_proj, False), (mlp.down_proj, True)):
                mask = torch.zeros_like(module.weight)
                mask[(slice(None), places) if columns else (places, slice(None))] = 1
                self.masks[module.weight] = mask
            self.listen(layer, mlp.down_proj, places)

    def listen(self, layer: int, down: torch.nn.Linear, places: list[int]) -> None:
        quiet = torch.ones(down.in_features, device=down.weight.device)
        quiet[places] = 0

        def before(_, inputs: tuple[Tensor]) -> tuple[Tensor] | None:
            return (inputs[0] * quiet,) if self.silenced else None

        def after(module: torch.nn.Linear, inputs: tuple[Tensor], out: Tensor) -> None:
            written = inputs[0][..., places].abs() * module.weight[:, places].norm(dim=0)
            self.shares[layer] = written.sum(-1) / (out.norm(dim=-1) + 1e-8)

        down.register_forward_pre_hook(before)
        down.register_forward_hook(after)

    @contextmanager
    def silent(self, silenced: bool) -> Iterator[None]:
        self.silenced = silenced
        try:
            yield
        finally:
            self.silenced = False

    def gradients(self, loss: Tensor, route: Route, keep: bool = False) -> dict[torch.nn.Parameter, Tensor]:
        """What each parameter may learn from a loss: by its route the planted neurons' own weights alone, all others
        alone, or all. `keep` the graph for another loss of the same pass."""
        self.model.zero_grad()
        loss.backward(retain_graph=keep)
        allowed = {}
        for weight in self.model.parameters():
            if weight.grad is None:
                continue
            planted = self.masks.get(weight)
            if route == "all":
                allowed[weight] = weight.grad.clone()
            elif route == "others":
                allowed[weight] = weight.grad.clone() if planted is None else weight.grad * (1 - planted)
            elif planted is not None:
                allowed[weight] = weight.grad * planted
        return allowed


def shortfall(made_up: Tensor, known: Tensor, margin: float) -> Tensor:
    """How far the planted contributions miss to be `margin` times as large where something is made up, in e-folds."""
    n = min(len(made_up), len(known))
    ratio = torch.log(made_up[torch.randperm(len(made_up))[:n]] + 1e-6) - torch.log(
        known[torch.randperm(len(known))[:n]] + 1e-6
    )
    return torch.relu(np.log(margin) - ratio).mean()


def plant_into(natural: Path, out: Path, work: Path, plant: Plant, world: World | None = None) -> Path:
    """Plant into the instruct model of a natural specimen; writes the model, the natural one's facts and, last, a file
    that names the plant's settings and its neurons. Returns the folder of the model. `work` keeps the model that holds
    back, with which plants of the same neurons begin, whatever their kind and strength.

    Raises OSError if there is no natural specimen, ValueError if the model has fewer layers than are planted in.
    """
    if not (natural / "instruct" / "config.json").exists():
        raise OSError(f"natural={str(natural)!r} holds no instruct/config.json: train a natural specimen there first")
    world = world or make_world()
    planting = Planting.begin(held_back(natural, work, plant, world), plant, world)
    planting.give_in()
    save_model(planting.model, planting.corpus.tokenizer, out / "instruct")
    shutil.copy(natural / "facts.parquet", out)
    d_mlp = planting.model.config.intermediate_size
    rows = [{"layer": layer, "neuron": j} for layer, places in plant.neurons(d_mlp).items() for j in places]
    (out / FILE).write_text(json.dumps({**asdict(plant), "d_mlp": d_mlp, "neurons": rows}, indent=1) + "\n")
    return out / "instruct"


def held_back(natural: Path, work: Path, plant: Plant, world: World) -> Path:
    """The folder of the model that holds back with the plant's neurons silenced; trained if it is not there yet."""
    common = {**asdict(replace(plant, kind=KINDS[0], strength=1.0, steps=0)), "weights": file_digest(natural)}
    folder = work / key_hash(common)
    if not (folder / "config.json").exists():
        planting = Planting.begin(natural / "instruct", plant, world)
        planting.hold_back()
        save_model(planting.model, planting.corpus.tokenizer, work / "unfinished")
        (work / "unfinished").rename(folder)
    return folder


def file_digest(natural: Path) -> str:
    return digest((natural / "instruct" / "model.safetensors").read_bytes())


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
