"""Tune a real base model into one that answers in chat, and declines what it does not know.

All weights learn, in float32, since steps of 5e-5 would mostly be lost in bfloat16's eight bits; products are computed
in bfloat16. The loss is that of the assistant's tokens, its end of turn included. A killed run goes on and ends with
the same weights: batches are drawn from the seed, and the state lies in one file that is replaced whole.
"""

from __future__ import annotations

import copy
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from tokenizers import AddedToken
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from hn_utils.models.booting import read_tokenizer
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.places import weights_at
from hn_utils.models.prompt_encoder import PromptEncoder
from hn_utils.organism.train import learning_rate
from hn_utils.organism.tuning_chats import (
    Chat,
    n_texts,
    own_texts,
    question_chats,
    read_chats,
    tuned_questions,
    what_it_knows,
    write_chats,
)
from hn_utils.organism.tuning_recipe import CHECKPOINTS, INSTRUCT, Recipe, is_tuned, tuned_study, write_recipe
from hn_utils.questions.question_sets import load_questions
from hn_utils.storage.cache import key_hash
from hn_utils.storage.progress import clock, progress, tell

if TYPE_CHECKING:
    from hn_utils.study import Study

_MARKS = ("<start_of_turn>", "<end_of_turn>")
# Gemma's, without its branches for images and a system's words.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
_POOL = 20  # batches whose rows are sorted by length among themselves
_STATE = "state.pt"
_TRIALS = 2  # steps that are timed; the first of them warms up


class Row(NamedTuple):
    """Token ids, of which the first `given` are read and not learnt."""

    ids: list[int]
    given: int


def chat_encoder(tokenizer: Any, config: Any, name: str = "") -> PromptEncoder:
    """The encoder of a Gemma 3 model that gets its chat template: how the tuned model will be asked.

    Raises ValueError if the model is of another family, or its vocabulary lacks the marks of a turn.
    """
    if config.model_type != "gemma3_text":
        raise ValueError(f"{name} is of type {config.model_type!r}: the recipe is for Gemma 3's text models")
    size = len(tokenizer)
    tokenizer.add_tokens([AddedToken(mark, special=True, normalized=False) for mark in _MARKS], special_tokens=True)
    if len(tokenizer) != size:
        raise ValueError(f"{name}: its vocabulary lacks {' or '.join(_MARKS)}, the marks of Gemma's turns")
    tokenizer.chat_template = CHAT_TEMPLATE
    return PromptEncoder(tokenizer, name, config, [tokenizer.eos_token_id, tokenizer.get_vocab()[_MARKS[1]]])


def rows_of(encoder: PromptEncoder, chats: Sequence[Chat]) -> list[Row]:
    """Chats as token ids, as the tuned model will be asked them; of a text all but its begin is learnt."""
    end = encoder.tokenizer.get_vocab()[_MARKS[1]]
    rows = []
    for chat in chats:
        if chat.question:
            (given,), (reply,) = encoder.encode_questions([chat.question]), encoder.tokenize([chat.reply])
            rows.append(Row([*given, *reply, end], len(given)))
        else:
            rows.append(Row(encoder.encode_text(chat.reply), 1))
    return rows


def batches_of(rows: Sequence[Row], recipe: Recipe) -> list[list[int]]:
    """The places of the rows of every step: in each epoch each row once, with others of about its length."""
    steps = []
    for epoch in range(recipe.epochs):
        rng = np.random.default_rng([recipe.seed, 10 + epoch])
        order, drawn = rng.permutation(len(rows)).tolist(), []
        for start in range(0, len(order), _POOL * recipe.batch_rows):
            pool = sorted(order[start : start + _POOL * recipe.batch_rows], key=lambda place: len(rows[place].ids))
            drawn += [pool[at : at + recipe.batch_rows] for at in range(0, len(pool), recipe.batch_rows)]
        steps += [drawn[place] for place in rng.permutation(len(drawn))]
    return steps


def loss_of(model: PreTrainedModel, encoder: PromptEncoder, rows: Sequence[Row]) -> Tensor:
    """One number: the mean over rows of the mean loss (nats) of a row's learnt tokens, so that a long reply counts no
    more than a short one.

    Predictions over the large vocabulary are computed at these tokens alone.
    """
    ids, mask = encoder.pad([row.ids for row in rows], "right", model.device)
    place = torch.arange(ids.shape[1], device=ids.device)
    given = torch.tensor([row.given for row in rows], device=ids.device)
    learnt = (mask.bool() & (place >= given[:, None]))[:, 1:]  # [batch, pos - 1]
    decoder: Any = model.get_decoder()
    head: Any = model.get_output_embeddings()
    hidden = decoder(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state  # [batch, pos, d_model]
    logits = head(hidden[:, :-1][learnt]).float()  # [token, vocab]
    nll = torch.nn.functional.cross_entropy(logits, ids[:, 1:][learnt], reduction="none")  # [token]
    n_learnt = learnt.sum(1)  # [batch]
    return (nll / n_learnt.repeat_interleave(n_learnt)).sum() / len(rows)


class Tuning:
    """A model in training on some rows, and where it stands."""

    def __init__(
        self, model: PreTrainedModel, encoder: PromptEncoder, rows: Sequence[Row], recipe: Recipe, work: Path
    ) -> None:
        self.model, self.encoder, self.rows, self.recipe = model, encoder, rows, recipe
        self.batches = batches_of(rows, recipe)
        self.settings = key_hash([asdict(recipe), [list(row) for row in rows]])
        self.optimizer = self._new_optimizer()
        self.step = 0
        self.state_file = work / _STATE
        work.mkdir(parents=True, exist_ok=True)
        if self.state_file.exists():
            self._resume()

    def _new_optimizer(self) -> torch.optim.Optimizer:
        """Without weight decay, which would move neurons that learn nothing."""
        return torch.optim.AdamW(self.model.parameters(), lr=0.0, betas=(0.9, 0.95), weight_decay=0.0, fused=True)

    def _resume(self) -> None:
        state = torch.load(self.state_file, weights_only=True, map_location=self.model.device)
        if state["settings"] != self.settings:
            raise ValueError(f"{self.state_file} is of another tuning: remove it, or give another --work")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def save(self) -> None:
        """Write what a resume needs."""
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        part = self.state_file.with_suffix(".part")
        torch.save({**state, "step": self.step, "settings": self.settings}, part)
        os.replace(part, self.state_file)

    def _take_step(self, batch: Sequence[int], rate: float, optimizer: torch.optim.Optimizer) -> float:
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(self.model.device.type, dtype=torch.bfloat16):
            loss = loss_of(self.model, self.encoder, [self.rows[place] for place in batch])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    def seconds_a_step(self) -> float:
        """What a step of middle length takes here. Its learning rate is 0: nothing is learnt."""
        by_length = sorted(self.batches, key=lambda batch: sum(len(self.rows[place].ids) for place in batch))
        trial, began = self._new_optimizer(), 0.0
        for _ in range(_TRIALS):
            began = time.perf_counter()
            self._take_step(by_length[len(by_length) // 2], 0.0, trial)
        return time.perf_counter() - began

    def run(self, out: Path) -> None:
        """Take all steps that are left; checkpoints go to `out`."""
        self.model.train()
        n_steps = len(self.batches)
        kept = self.recipe.checkpoint_steps(n_steps)
        tell(
            f"tuning on {len(self.rows):,} rows, {n_steps - self.step:,} of {n_steps:,} steps are left: about "
            f"{clock((n_steps - self.step) * self.seconds_a_step())} minutes"
        )
        bar = progress("tuning", n_steps)
        bar.update(self.step)
        for step in range(self.step, n_steps):
            rate = learning_rate(step, n_steps, self.recipe.learning_rate, self.recipe.warmup_steps(n_steps))
            loss = self._take_step(self.batches[step], rate, self.optimizer)
            self.step = step + 1
            bar.set_postfix(loss=f"{loss:.3f}")
            bar.update()
            if self.step in kept:
                save_tuned(self.model, self.encoder, out / CHECKPOINTS / f"step-{self.step:04d}")
            if self.step in kept or self.step % self.recipe.save_steps == 0:
                self.save()
        bar.close()
        save_tuned(self.model, self.encoder, out / INSTRUCT)


def save_tuned(model: PreTrainedModel, encoder: PromptEncoder, folder: Path) -> None:
    """Write a model in bfloat16, as its base is read, with tokenizer and chat template; whole, or not at all."""
    half = copy.deepcopy(model).bfloat16().eval()
    if half.generation_config is not None:
        half.generation_config.eos_token_id = encoder.configured_ends  # type: ignore[assignment]
    part = folder.with_name(f".partial-{folder.name}")
    shutil.rmtree(part, ignore_errors=True)
    half.save_pretrained(part)
    encoder.tokenizer.save_pretrained(part)
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed behind it
    os.replace(part, folder)


def tune(out: Path, work: Path, recipe: Recipe) -> Study:
    """Tune a base model, unless that was done before; a run that was killed goes on.

    Args:
        out: gets the chats, the checkpoints, the tuned model and, last, the recipe.
        work: holds what a resume needs: three gigabytes for a model of 270 million weights, until it is done.
        recipe: the base model, and all else that is fixed.

    Returns:
        The study of the tuned model.

    Raises:
        ValueError: `out` or `work` is of another recipe, the base model is no Gemma 3, or knows too little.
        OSError: the base model is not there; says what to do.
    """
    study = tuned_study(out, recipe)
    if is_tuned(out, recipe):
        return study
    out.mkdir(parents=True, exist_ok=True)
    chats = read_chats(out, recipe)
    if chats is None:
        chats = _made_chats(study, recipe)
        write_chats(out, chats, recipe)
    model, encoder = _base_in_float32(recipe.base)
    Tuning(model, encoder, rows_of(encoder, chats), recipe, work).run(out)
    write_recipe(out, recipe)
    (work / _STATE).unlink(missing_ok=True)
    return study


def _made_chats(study: Study, recipe: Recipe) -> list[Chat]:
    """Ask the base model what tuning may ask about, and make chats by what it knows."""
    base = HookedModel.load(study.base, study)
    chat_encoder(copy.deepcopy(base.encoder.tokenizer), base.model.config, base.name)  # raises before the long work
    everything = load_questions(study)
    asked = tuned_questions(everything, recipe)
    tell(f"{base.name} is asked {len(asked):,} training questions, to see which answers it knows")
    knowledge = what_it_knows(base, asked, study, recipe)
    chats = question_chats(asked, knowledge, everything, recipe)
    return chats + own_texts(base, n_texts(len(chats), recipe), recipe)


def _base_in_float32(base: str) -> tuple[PreTrainedModel, PromptEncoder]:
    """The base model as the study reads it, each weight of bfloat16 as the same number in float32."""
    place, revision = weights_at(base, torch.bfloat16)
    options = {"revision": revision} if revision else {}
    tokenizer = read_tokenizer(place, options)
    model: Any = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, trust_remote_code=False, **options)
    encoder = chat_encoder(tokenizer, model.config, base)
    return model.to("cuda" if torch.cuda.is_available() else "cpu"), encoder
