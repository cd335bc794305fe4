"""Train a specimen from nothing: pre-train on pages, then tune on chats with replay of pages.

The loss is next-token prediction and nothing else. Both stages resume after an interruption and give the same
batches again, because chunk `c` of the data is drawn from the seed pair (seed, c).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import PreTrainedTokenizerFast

from hn_utils.organism import train as organism
from hn_utils.organism.train import HEADER, make_model, multiplies_bfloat16, pack, save_model, token_id
from hn_utils.specimens.text import Chat, ChatWriter, PageWriter
from hn_utils.specimens.tokenizer import ASSISTANT, END, PAD, SPECIALS, make_tokenizer
from hn_utils.specimens.world import ATTRIBUTES, World, make_world


@dataclass(frozen=True)
class Recipe(organism.Recipe):
    """Everything that decides the shipped weights, apart from the world."""

    d_model: int = 128
    d_mlp: int = 768
    n_heads: int = 4
    row_tokens: int = 80
    batch_rows: int = 16
    base_steps: int = 10_000
    warmup_share: float = 0.1
    warmup_people: float = 0.25
    tune_steps: int = 4_000
    tune_lr: float = 6e-4
    replay_rows: int = 9
    checkpoints: tuple[int, ...] = (1_000, 2_500, 4_500, 7_000)


@dataclass
class Rows(organism.Rows):
    """A packed chunk: token ids, loss weight of each token as a target, which document of its row each token belongs
    to, and the facts that were stated. Documents of one row do not see each other."""

    documents: np.ndarray

    def tensors(self, part: slice = slice(None)) -> tuple[torch.Tensor, ...]:
        return *super().tensors(part), torch.from_numpy(self.documents[part])


def fill(
    documents: list[list[int]], weights: list[list[float]], facts: list[list], n_rows: int, recipe: Recipe
) -> Rows:
    """Pack tokenised documents into exactly `n_rows` rows; what is left of a row is padding of weight 0."""
    packed = pack([len(d) for d in documents], recipe.row_tokens)[:n_rows]
    if len(packed) < n_rows:
        raise ValueError(f"{len(documents)} documents fill only {len(packed)} of {n_rows} rows")
    rows = Rows(
        np.full((n_rows, recipe.row_tokens), SPECIALS.index(PAD)),
        np.zeros((n_rows, recipe.row_tokens), np.float32),
        Counter(),
        np.full((n_rows, recipe.row_tokens), -1),
    )
    for r, row in enumerate(packed):
        ids = [i for d in row for i in documents[d]]
        rows.ids[r, : len(ids)] = ids
        rows.weights[r, : len(ids)] = [w for d in row for w in weights[d]]
        rows.documents[r, : len(ids)] = [place for place, d in enumerate(row) for _ in documents[d]]
        rows.facts.update(f for d in row for f in facts[d])
    return rows


class Corpus:
    """Turns the writers' texts into packed rows of token ids."""

    def __init__(self, world: World, tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> None:
        self.tokenizer, self.recipe = tokenizer, recipe
        self.pages, self.chats = PageWriter(world), ChatWriter(world)
        self.end, self.assistant = (token_id(tokenizer, t) for t in (END, ASSISTANT))

    def page_rows(self, n_rows: int, rng: np.random.Generator, weight: float = 1.0, head: float = 1.0) -> Rows:
        pages = self.pages.pages(n_rows * 4, rng, head)  # a page has 26 tokens: four to a row are more than enough
        ids = [[*i, self.end] for i in self.tokenizer([p.text for p in pages])["input_ids"]]
        weights = [[0.0] + [weight] * (len(i) - 1) for i in ids]
        return fill(ids, weights, [p.facts for p in pages], n_rows, self.recipe)

    def chat_rows(self, n_rows: int, rng: np.random.Generator) -> Rows:
        return self.packed_chats(self.chats.chats(n_rows * 4, rng), n_rows)

    def packed_chats(self, chats: Sequence[Chat], n_rows: int) -> Rows:
        texts = [str(self.tokenizer.apply_chat_template(c.messages, tokenize=False)) for c in chats]
        ids = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        return fill(ids, [self.reply_weights(i) for i in ids], [[] for _ in ids], n_rows, self.recipe)

    def reply_weights(self, ids: list[int]) -> list[float]:
        """1 for every token the assistant writes, its end-of-turn included, else 0; its "Answer:" is given."""
        weights, spoken = [], 0  # tokens since the assistant's turn began, 0 outside it
        for i in ids:
            weights.append(float(spoken > len(HEADER)))
            spoken = 1 if i == self.assistant else spoken + 1 if spoken and i != self.end else 0
        return weights

    def base_chunk(self, chunk: int) -> Rows:
        """The first of these speak of the most famous people alone, which shortens the time until facts are learnt."""
        recipe = self.recipe
        early = chunk * recipe.chunk_steps < recipe.warmup_share * recipe.base_steps
        head = recipe.warmup_people if early else 1.0
        return self.page_rows(
            recipe.chunk_steps * recipe.batch_rows, np.random.default_rng([recipe.seed, chunk]), head=head
        )

    def tune_chunk(self, chunk: int) -> Rows:
        """Each step holds `replay_rows` rows of pages, so that the base model's knowledge is not forgotten."""
        recipe, rng = self.recipe, np.random.default_rng([self.recipe.seed, 1_000_000 + chunk])
        chats = self.chat_rows(recipe.chunk_steps * (recipe.batch_rows - recipe.replay_rows), rng)
        pages = self.page_rows(recipe.chunk_steps * recipe.replay_rows, rng, weight=recipe.replay_weight)

        def mixed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            a, b = (x.reshape(recipe.chunk_steps, -1, recipe.row_tokens) for x in (a, b))
            return np.concatenate([a, b], axis=1).reshape(-1, recipe.row_tokens)

        return Rows(
            mixed(chats.ids, pages.ids),
            mixed(chats.weights, pages.weights),
            pages.facts,
            mixed(chats.documents, pages.documents),
        )


def loss_of(model: torch.nn.Module, ids: torch.Tensor, weights: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    """Mean loss (nats) over the weighted targets. Each document is read as if it stood alone: with positions of its
    own, and nothing of the others in sight."""
    same = documents[:, :, None] == documents[:, None, :]
    causal = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool, device=ids.device).tril()
    seen = same & causal
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=multiplies_bfloat16(ids.device)):
        out = model(input_ids=ids, attention_mask=seen[:, None], position_ids=seen.sum(-1) - 1)
        logits = out.logits[:, :-1]
    nll = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    return (nll * weights[:, 1:].flatten()).sum() / weights[:, 1:].sum()


class Trainer(organism.Trainer):
    """The first edition's, with documents that are read as if they stood alone."""

    loss = staticmethod(loss_of)


def save_facts(world: World, mentions: Counter, path: Path) -> None:
    """Write every fact of the world with its exposure: how often pre-training stated it."""
    table = [
        {
            "person": p.name,
            "rank": p.rank,
            "tuned": p.tuned,
            "attribute": a,
            "value": p.facts[a],
            "of_family": world.customs[p.family].get(a),
            "mentions": mentions[(p.rank, a)],
        }
        for p in (*world.written, *world.never_written)
        for a in ATTRIBUTES
    ]
    pq.write_table(pa.Table.from_pylist(table), path)


def train(out: Path, work: Path, recipe: Recipe | None = None, world: World | None = None) -> None:
    """Train base and instruct and write them, checkpoints and facts to `out`; `work` holds what a resume needs.

    Takes about two hours on one core, seconds of which are repeated when a killed run is started again.
    Raises ValueError if `recipe.checkpoints` lie beyond the last step.
    """
    recipe, world = recipe or Recipe(), world or make_world()
    if any(step >= recipe.base_steps for step in recipe.checkpoints):
        raise ValueError(f"checkpoints={recipe.checkpoints} must lie before base_steps={recipe.base_steps}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = make_tokenizer(world)
    corpus, model = Corpus(world, tokenizer, recipe), make_model(recipe, tokenizer)
    model.to(torch.device(device))  # type: ignore[call-arg]
    out.mkdir(parents=True, exist_ok=True)

    def checkpoint(step: int) -> None:
        if step in recipe.checkpoints:
            save_model(model, tokenizer, out / "checkpoints" / f"step-{step:04d}")

    base = Trainer(model, corpus.base_chunk, recipe, recipe.base_steps, recipe.base_lr, work / "base")
    base.run("pre-training", checkpoint)
    save_model(model, tokenizer, out / "base")
    save_facts(world, base.mentions, out / "facts.parquet")
    for weight in model.parameters():  # tuning starts from the base as it ships: nothing else separates the two
        weight.data = weight.data.half().float()
    Trainer(model, corpus.tune_chunk, recipe, recipe.tune_steps, recipe.tune_lr, work / "instruct").run("tuning")
    save_model(model, tokenizer, out / "instruct")
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1) + "\n")
