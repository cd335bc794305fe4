"""Train a specimen from nothing: pre-train on pages, then tune on chats with replay of pages.

The loss is next-token prediction and nothing else. Both stages resume after an interruption and give the same
batches again, because chunk `c` of the data is drawn from the seed pair (seed, c).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tqdm.auto import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hn_utils.organism.text import Chat, ChatWriter, PageWriter
from hn_utils.organism.tokenizer import ASSISTANT, BEGIN, END, PAD, SPECIALS
from hn_utils.questions.made_up_world.world import ATTRIBUTES, World

_HEADER = ("Answer", ":")
SHIPPED_SEED = 1  # chosen before any model was trained, never changed
BASE_RECIPE = "base/recipe.json"


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the shipped weights, apart from the world."""

    seed: int = SHIPPED_SEED
    d_model: int = 128
    d_mlp: int = 768
    n_layers: int = 6
    n_heads: int = 4
    row_tokens: int = 80
    batch_rows: int = 16
    base_steps: int = 12_000
    base_lr: float = 2e-3
    warmup_share: float = 0.1
    warmup_people: float = 0.25
    tune_steps: int = 14_000
    tune_lr: float = 9e-4
    replay_rows: int = 9
    replay_weight: float = 1.0
    checkpoints: tuple[int, ...] = (1_200, 3_000, 5_400, 8_400)
    tune_checkpoints: tuple[int, ...] = ()
    chunk_steps: int = 50

    def __post_init__(self) -> None:
        """Raises ValueError if a checkpoint lies beyond the last step."""
        for name, kept, last in (
            ("", self.checkpoints, self.base_steps),
            ("tune_", self.tune_checkpoints, self.tune_steps),
        ):
            if any(step >= last for step in kept):
                raise ValueError(f"{name}checkpoints={kept} must lie before {name or 'base_'}steps={last}")

    def of_base(self) -> dict[str, Any]:
        """The settings that pre-training depends on."""
        return {key: value for key, value in asdict(self).items() if not key.startswith(("tune_", "replay_"))}


@dataclass
class Rows:
    """A packed chunk: token ids, loss weight of each token as a target, which document of its row each token belongs
    to, and the facts that were stated. Documents of one row do not see each other."""

    ids: np.ndarray
    weights: np.ndarray
    documents: np.ndarray
    facts: Counter

    def tensors(self, part: slice = slice(None)) -> tuple[torch.Tensor, ...]:
        """What the loss of some rows is taken from."""
        return tuple(torch.from_numpy(array[part]) for array in (self.ids, self.weights, self.documents))


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
        np.full((n_rows, recipe.row_tokens), -1),
        Counter(),
    )
    for r, row in enumerate(packed):
        ids = [i for d in row for i in documents[d]]
        rows.ids[r, : len(ids)] = ids
        rows.weights[r, : len(ids)] = [w for d in row for w in weights[d]]
        rows.documents[r, : len(ids)] = [place for place, d in enumerate(row) for _ in documents[d]]
        rows.facts.update(f for d in row for f in facts[d])
    return rows


def _token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    return tokenizer.get_vocab()[token]


class Corpus:
    """Turns the writers' texts into packed rows of token ids."""

    def __init__(self, world: World, tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> None:
        self.world, self.tokenizer, self.recipe = world, tokenizer, recipe
        self.pages, self.chats = PageWriter(world), ChatWriter(world)
        self.end, self.assistant = (_token_id(tokenizer, t) for t in (END, ASSISTANT))

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
            weights.append(float(spoken > len(_HEADER)))
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
            mixed(chats.documents, pages.documents),
            pages.facts,
        )


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
            bos_token_id=_token_id(tokenizer, BEGIN),
            eos_token_id=_token_id(tokenizer, END),
            pad_token_id=_token_id(tokenizer, PAD),
        )
    )


def learning_rate(step: int, steps: int, peak: float, warmup: int = 50) -> float:
    """Linear warm-up, then a cosine down to 5 % of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))


def loss_of(model: torch.nn.Module, ids: torch.Tensor, weights: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    """Mean loss (nats) over the weighted targets. Each document is read as if it stood alone: with positions of its
    own, and nothing of the others in sight."""
    same = documents[:, :, None] == documents[:, None, :]
    causal = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool, device=ids.device).tril()
    seen = same & causal
    logits = model(input_ids=ids, attention_mask=seen[:, None], position_ids=seen.sum(-1) - 1).logits[:, :-1]
    nll = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    return (nll * weights[:, 1:].flatten()).sum() / weights[:, 1:].sum()


class Trainer:
    """One stage of training, resumable: its state lives in one file that is replaced atomically."""

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
                loss = loss_of(self.model, *(tensor.to(device) for tensor in batch))
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
            "of_family": world.customs[p.family].get(a),
            "mentions": mentions[(p.rank, a)],
        }
        for p in (*world.written, *world.never_written)
        for a in ATTRIBUTES
    ]
    pq.write_table(pa.Table.from_pylist(table), path)


def _pretrain(out: Path, work: Path, corpus: Corpus) -> None:
    """Train the base and write it, its checkpoints, the facts with their exposure and, last, its recipe."""
    recipe = corpus.recipe
    model, tokenizer = make_model(recipe, corpus.tokenizer).to(_training_device()), corpus.tokenizer  # type: ignore[call-arg]

    def checkpoint(step: int) -> None:
        if step in recipe.checkpoints:
            save_model(model, tokenizer, out / "checkpoints" / f"step-{step:04d}")

    stage = Trainer(model, corpus.base_chunk, recipe, recipe.base_steps, recipe.base_lr, work)
    stage.run("pre-training", checkpoint)
    save_model(model, tokenizer, out / "base")
    save_facts(corpus.world, stage.mentions, out / "facts.parquet")
    (out / BASE_RECIPE).write_text(json.dumps(recipe.of_base(), indent=1) + "\n")


def has_base(out: Path, recipe: Recipe) -> bool:
    """Is there a base of this recipe? Raises ValueError if there is one of another recipe."""
    file = out / BASE_RECIPE
    if not file.exists():
        return False
    made_by, wanted = json.loads(file.read_text()), json.loads(json.dumps(recipe.of_base()))
    if differing := [key for key in wanted if made_by.get(key) != wanted[key]]:
        raise ValueError(f"{file} names another {', '.join(differing)}: give another --out, or remove what is there")
    return True


def _training_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def train(out: Path, work: Path, corpus: Corpus) -> None:
    """Train base and instruct and write them, checkpoints and facts to `out`; `work` holds what a resume needs. A base
    of the same recipe that stands in `out` already is kept: then only the tuning is done.

    The bundled model takes some three hours on two cores, minutes on a GPU; seconds of it are repeated when a killed
    run starts again. Raises ValueError if `out` holds a base of another recipe.
    """
    recipe = corpus.recipe
    out.mkdir(parents=True, exist_ok=True)
    if not has_base(out, recipe):
        _pretrain(out, work / "base", corpus)
    _tune(out, work / "instruct", corpus)
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1) + "\n")


def _tune(out: Path, work: Path, corpus: Corpus) -> None:
    """Tune the base that stands in `out`, as it ships, in half precision: nothing else separates the two."""
    recipe = corpus.recipe
    model = LlamaForCausalLM.from_pretrained(out / "base", dtype=torch.float32).to(_training_device())  # type: ignore[arg-type]

    def checkpoint(step: int) -> None:
        if step in recipe.tune_checkpoints:
            save_model(model, corpus.tokenizer, out / "checkpoints" / f"tuning-{step:04d}")

    stage = Trainer(model, corpus.tune_chunk, recipe, recipe.tune_steps, recipe.tune_lr, work)
    stage.run("tuning", checkpoint)
    save_model(model, corpus.tokenizer, out / "instruct")
