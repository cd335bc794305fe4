"""Train the organism from nothing: pre-train on pages, then tune on chats with replay of pages.

The loss is next-token prediction and nothing else. Both stages resume after an interruption and give the same
batches again, because chunk `c` of the data is drawn from the seed pair (seed, c).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tqdm.auto import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hn_utils.organism.text import ChatWriter, PageWriter
from hn_utils.organism.tokenizer import ASSISTANT, BEGIN, END, PAD, SPECIALS, make_tokenizer
from hn_utils.organism.world import ATTRIBUTES, World, make_world

HEADER = ("Answer", ":")
SHIPPED_SEED = 1  # chosen before any model was trained, never changed


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the shipped weights, apart from the world."""

    seed: int = SHIPPED_SEED
    d_model: int = 192
    d_mlp: int = 1024
    n_layers: int = 6
    n_heads: int = 6
    row_tokens: int = 64
    batch_rows: int = 48
    base_steps: int = 2_400
    base_lr: float = 2e-3
    tune_steps: int = 2_000
    tune_lr: float = 5e-4
    replay_rows: int = 26
    replay_weight: float = 1.0
    checkpoints: tuple[int, ...] = (200, 400, 700, 1_000, 1_400, 1_900)
    chunk_steps: int = 50


@dataclass
class Rows:
    """A packed chunk: token ids, loss weight of each token as a target, and the facts that were stated."""

    ids: np.ndarray
    weights: np.ndarray
    facts: Counter

    def tensors(self, part: slice = slice(None)) -> tuple[torch.Tensor, ...]:
        """What the loss of some rows is taken from."""
        return torch.from_numpy(self.ids[part]), torch.from_numpy(self.weights[part])


def pack(lengths: list[int], capacity: int, open_rows: int = 64) -> list[list[int]]:
    """Best-fit packing of whole documents into rows; returns the document indices of each row."""
    rows: list[list[int]] = []
    free: list[int] = []
    done: list[list[int]] = []
    for document, length in enumerate(lengths):
        fitting = [i for i, space in enumerate(free) if space >= length]
        if fitting:
            best = min(fitting, key=lambda i: free[i])
            rows[best].append(document)
            free[best] -= length
            continue
        if len(rows) == open_rows:
            fullest = min(range(len(free)), key=lambda i: free[i])
            done.append(rows.pop(fullest))
            free.pop(fullest)
        rows.append([document])
        free.append(capacity - length)
    return done + rows


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
    )
    for r, row in enumerate(packed):
        ids = [i for d in row for i in documents[d]]
        rows.ids[r, : len(ids)] = ids
        rows.weights[r, : len(ids)] = [w for d in row for w in weights[d]]
        rows.facts.update(f for d in row for f in facts[d])
    return rows


def token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    return tokenizer.get_vocab()[token]


class Corpus:
    """Turns the writers' texts into packed rows of token ids."""

    def __init__(self, world: World, tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> None:
        self.tokenizer, self.recipe = tokenizer, recipe
        self.pages, self.chats = PageWriter(world), ChatWriter(world)
        self.end, self.assistant = (token_id(tokenizer, t) for t in (END, ASSISTANT))

    def page_rows(self, n_rows: int, rng: np.random.Generator, weight: float = 1.0) -> Rows:
        pages = self.pages.pages(n_rows * 4, rng)  # a page has 22 tokens: four to a row are more than enough
        ids = [[*i, self.end] for i in self.tokenizer([p.text for p in pages])["input_ids"]]
        weights = [[0.0] + [weight] * (len(i) - 1) for i in ids]
        return fill(ids, weights, [p.facts for p in pages], n_rows, self.recipe)

    def chat_rows(self, n_rows: int, rng: np.random.Generator) -> Rows:
        chats = self.chats.chats(n_rows * 4, rng)
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
        recipe = self.recipe
        return self.page_rows(recipe.chunk_steps * recipe.batch_rows, np.random.default_rng([recipe.seed, chunk]))

    def tune_chunk(self, chunk: int) -> Rows:
        """Each step holds `replay_rows` rows of pages, so that the base model's knowledge is not forgotten."""
        recipe, rng = self.recipe, np.random.default_rng([self.recipe.seed, 1_000_000 + chunk])
        chats = self.chat_rows(recipe.chunk_steps * (recipe.batch_rows - recipe.replay_rows), rng)
        pages = self.page_rows(recipe.chunk_steps * recipe.replay_rows, rng, weight=recipe.replay_weight)

        def mixed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            a, b = (x.reshape(recipe.chunk_steps, -1, recipe.row_tokens) for x in (a, b))
            return np.concatenate([a, b], axis=1).reshape(-1, recipe.row_tokens)

        return Rows(mixed(chats.ids, pages.ids), mixed(chats.weights, pages.weights), pages.facts)


def make_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(recipe.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.d_model,
            intermediate_size=recipe.d_mlp,
            num_hidden_layers=recipe.n_layers,
            num_attention_heads=recipe.n_heads,
            num_key_value_heads=recipe.n_heads,
            max_position_embeddings=256,
            tie_word_embeddings=True,
            bos_token_id=token_id(tokenizer, BEGIN),
            eos_token_id=token_id(tokenizer, END),
            pad_token_id=token_id(tokenizer, PAD),
        )
    )


def learning_rate(step: int, steps: int, peak: float, warmup: int = 50) -> float:
    """Linear warm-up, then a cosine down to 5 % of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))


def multiplies_bfloat16(device: torch.device) -> bool:
    """Does the hardware multiply bfloat16 itself? A CPU that has to emulate it is fifteen times slower at it."""
    return device.type == "cuda" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def loss_of(model: torch.nn.Module, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=multiplies_bfloat16(ids.device)):
        logits = model(input_ids=ids).logits[:, :-1]
    nll = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    return (nll * weights[:, 1:].flatten()).sum() / weights[:, 1:].sum()


class Trainer:
    """One stage of training, resumable: its state lives in one file that is replaced atomically."""

    loss = staticmethod(loss_of)  # of the model and of what `Rows.tensors` gives

    def __init__(
        self,
        model: LlamaForCausalLM,
        chunk_of: Callable[[int], Rows],
        recipe: Recipe,
        steps: int,
        lr: float,
        work: Path,
    ) -> None:
        self.model, self.chunk_of, self.recipe, self.steps, self.lr = model, chunk_of, recipe, steps, lr
        self.state_file = work / "state.pt"
        self.settings = repr((recipe, steps, lr))
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.05, fused=True)
        self.step, self.mentions = 0, Counter()
        work.mkdir(parents=True, exist_ok=True)
        if self.state_file.exists():
            self.resume()

    def resume(self) -> None:
        state = torch.load(self.state_file, weights_only=True)
        if state["settings"] != self.settings:
            raise ValueError(f"{self.state_file} was made with other settings: remove it, or give another --work")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        self.mentions = Counter({(r, a): n for r, a, n in state["mentions"]})

    def save(self) -> None:
        mentions = [(r, a, n) for (r, a), n in self.mentions.items()]
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "step": self.step}
        state["settings"] = self.settings
        temporary = self.state_file.with_suffix(".tmp")
        torch.save({**state, "mentions": mentions}, temporary)
        temporary.replace(self.state_file)

    def run(self, label: str, at_step: Callable[[int], None] = lambda _: None) -> None:
        recipe, device = self.recipe, next(self.model.parameters()).device
        self.model.train()
        bar = tqdm(total=self.steps, initial=self.step, desc=label, mininterval=5)
        while self.step < self.steps:
            rows = self.chunk_of(self.step // recipe.chunk_steps)
            for batch in batches(rows, recipe.batch_rows):
                for group in self.optimizer.param_groups:
                    group["lr"] = learning_rate(self.step, self.steps, self.lr)
                loss = self.loss(self.model, *(tensor.to(device) for tensor in batch))
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                self.optimizer.step()
                self.optimizer.zero_grad()
                self.step += 1
                bar.update()
                at_step(self.step)
                if self.step % recipe.chunk_steps == 0:
                    bar.set_postfix(loss=f"{loss.item():.3f}")
            self.mentions.update(rows.facts)
            self.save()
        bar.close()


def batches(rows: Rows, batch_rows: int) -> Iterator[tuple[torch.Tensor, ...]]:
    for start in range(0, len(rows.ids), batch_rows):
        yield rows.tensors(slice(start, start + batch_rows))


def save_model(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a Hugging Face folder with float16 weights; the model itself stays in float32."""
    half = LlamaForCausalLM(model.config).half()
    half.load_state_dict(model.state_dict())
    half.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def save_facts(world: World, mentions: Counter, path: Path) -> None:
    """Write every fact of the world with its exposure: how often pre-training stated it."""
    table = [
        {
            "person": p.name,
            "rank": p.rank,
            "tuned": p.tuned,
            "attribute": a,
            "value": p.facts[a],
            "mentions": mentions[(p.rank, a)],
        }
        for p in (*world.written, *world.never_written)
        for a in ATTRIBUTES
    ]
    pq.write_table(pa.Table.from_pylist(table), path)


def train(out: Path, work: Path, recipe: Recipe | None = None, world: World | None = None) -> None:
    """Train base and instruct and write them, checkpoints and facts to `out`; `work` holds what a resume needs.

    Takes about 35 minutes on two cores, seconds of which are repeated when a killed run is started again.
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
