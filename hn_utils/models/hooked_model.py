"""The model being studied, behind the few verbs that the notebooks need. Beside it only `booting` and
`wrapping` know TransformerLens.

Axes are named once, here: `batch` rows, `pos` token positions, `layer`, `neuron` within a layer.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, cast
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import DynamicCache, PreTrainedModel

from hn_utils.models import templates
from hn_utils.models.batches import pieces
from hn_utils.models.booting import around, boot, check_device
from hn_utils.models.checks import require_numbers, require_reading_mode, require_tokenizer, require_weights_here
from hn_utils.models.drawing import chosen, own_numbers
from hn_utils.models.hub import check_folder, damaged, every_weight, explained, patience, place_of, remember_fingerprint
from hn_utils.models.identity import fingerprint
from hn_utils.models.inspection import inspect
from hn_utils.models.scaling import Dose, dosed
from hn_utils.models.wrapping import Wrapped, as_it_was, foreign_hooks, remember, wrapped_before
from hn_utils.study import Sampling, Study, called

LOGITS = 2**26  # how many are held at once: 256 MB in float32

Post = Float[Tensor, "batch pos neuron"]
PostHook = Callable[[int, Post], Post | None]


@dataclass(frozen=True)
class Generated:
    """What a model wrote after a prompt: ids up to and including end-of-turn, and their log-probabilities (nats)."""

    ids: list[int]
    logprobs: list[float]
    text: str


class Standing(NamedTuple):
    """Which of the `n` rows or prompts that were given each row of the batch stands for."""

    row: Int[Tensor, "batch"]
    n: int


LOADED = "a model from hn.load or hn.wrap"  # what every step wants as its `model`


FINGERPRINTS: ContextVar[WeakKeyDictionary[Subject, str] | None] = ContextVar("fingerprints", default=None)


@contextlib.contextmanager
def weights_at_rest() -> Iterator[None]:
    """Within the block the fingerprint of each model is taken once. It is for code of this package alone, which edits
    no weight: between two steps of a script or notebook anything may be edited."""
    before = FINGERPRINTS.set(WeakKeyDictionary())
    try:
        yield
    finally:
        FINGERPRINTS.reset(before)


class Subject:
    """A causal language model with gated MLPs, its tokenizer, hooks where its neurons fire and write, and the study
    that it is read for."""

    def __init__(self, bridge: TransformerBridge, tokenizer, name: str, study: Study) -> None:
        self.bridge, self.tokenizer, self.name, self.study = bridge, tokenizer, name, study
        self.model = cast(PreTrainedModel, bridge.original_model)
        self.n_layers, self.d_mlp = bridge.cfg.n_layers, cast(int, bridge.cfg.d_mlp)
        self.device = next(self.model.parameters()).device
        self.packed_norms: dict[int, Tensor] = {}
        self.held: dict[str, set[int]] = {}
        self.standing: Standing | None = None  # while rows are read or written in several pieces
        keep_freed_memory()
        self.checked = inspect(self)
        self.own_hooks = self.hooks()

    def __repr__(self) -> str:
        size = f"{self.n_layers} layers of {self.d_mlp:,} neurons"
        return f"{self.name}: {size}, {self.study.precision} on {self.device}, read for the study {self.study.name}"

    # --- loading -------------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, name: str, study: Study) -> Subject:
        """Load a Hugging Face name (`name@revision` for a branch) or a local folder with the study's device and dtype.

        Raises ValueError if the dtype is unknown, or the model has no gated MLP of the expected width;
        OSError if the model cannot be found or read.
        """
        dtype = getattr(torch, study.dtype, None)
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"dtype={study.dtype!r} is not a torch dtype: use float32, bfloat16 or float16")
        if study.bits not in (None, 4, 8):
            raise ValueError(f"bits={study.bits} must be 4, 8 or None: 4 and 8 need the package bitsandbytes")
        check_device(study.device)
        place, revision = place_of(name)
        check_folder(place)
        try:
            with patience(), every_weight():
                bridge, tokenizer = boot(place, revision, dtype, study)
        except Exception as error:
            raise OSError(f"could not load model {name!r} {damaged(place, revision) or explained(error)}") from error
        if told := damaged(place, revision):
            raise OSError(f"could not load model {name!r} {told}")
        if not study.bits and next(bridge.original_model.parameters()).dtype != dtype:
            raise ValueError(f"{name}: dtype={study.dtype!r} was asked for but not applied")
        subject = cls(bridge, tokenizer, name, study)
        remember_fingerprint(name, bridge.original_model.config, study, subject.fingerprint)
        return subject

    @classmethod
    def wrap(cls, model: PreTrainedModel, tokenizer, study: Study) -> Subject:
        """A model that is in memory already, where it is and as it is, but that its attention becomes the eager form.

        A refused model is left as it was; one that was wrapped before is taken as it is wrapped. Raises ValueError as
        `load` does, or if the model has hooks or is in training mode: what is kept on disk is the plain model's.
        """
        require_tokenizer(tokenizer)
        require_weights_here(model, study.instruct)
        require_reading_mode(model, study.instruct)
        before = wrapped_before(model)
        if hooks := foreign_hooks(model, before.hooks if before else ()):
            raise ValueError(
                f"{study.instruct} has {len(hooks)} hooks, such as {hooks[0]}: remove them before you wrap it"
            )
        if before:
            return cls(before.bridge, tokenizer, study.instruct, study)
        with as_it_was(model):
            subject = cls(around(model, tokenizer, study.instruct), tokenizer, study.instruct, study)
        remember(model, Wrapped(subject.bridge, subject.own_hooks))
        return subject

    @property
    def short_name(self) -> str:
        return called(self.name)

    def require_neurons(self, neurons: np.ndarray) -> None:
        """Raises ValueError that names the first of these which is no flat index of a neuron of this model."""
        neurons, size = np.asarray(neurons), self.n_layers * self.d_mlp
        if neurons.ndim != 1 or (neurons.size and neurons.dtype.kind not in "iu"):
            raise ValueError(f"neurons={neurons.tolist()} must be a list of whole numbers, layer * d_mlp + neuron")
        outside = neurons[(neurons < 0) | (neurons >= size)]
        if len(outside):
            raise ValueError(
                f"neuron {outside[0]} is out of range: {self.name} has {self.n_layers} layers of {self.d_mlp}, flat "
                f"indices 0 to {size - 1}"
            )

    def key(self, version: int, **settings: Any) -> dict[str, Any]:
        """What a stage's results on this model depend on besides their items: the stage's version, the model, settings.

        Raises ValueError while neurons are scaled, or any hook hangs on the model that did not when it was loaded, or
        it is in training mode: what it does then is not what this key stands for.
        """
        require_reading_mode(self.model, self.name)
        if self.hooks() != self.own_hooks:
            raise ValueError(
                f"{self.name} has live hooks (is this inside `with scaled(...)`?), and what is kept on disk is the "
                "untouched model's: leave the block first. Replies of scaled neurons are what replies_at keeps"
            )
        dtype = str(self.model.dtype).removeprefix("torch.")
        own = {"model": self.fingerprint, "dtype": dtype, "device": self.device.type}
        return {"version": version, **own, **settings}

    def hooks(self) -> set[tuple[int, int]]:
        """Every hook on every module: whatever may change what the model does."""
        return {(id(m), hook) for m in self.bridge.modules() for hook in (*m._forward_hooks, *m._forward_pre_hooks)}

    @property
    def fingerprint(self) -> str:
        """Hash of weights, configuration, vocabulary and end-of-turn tokens: the model's identity.

        Taken anew each time, since weights may have been edited in place, which leaves no trace that is sure: an edit
        through `.data`, or through NumPy, moves no version counter of PyTorch. Only within `weights_at_rest` once.
        """
        if (taken := FINGERPRINTS.get()) is None:
            return self.hashed()
        if self not in taken:
            taken[self] = self.hashed()
        return taken[self]

    def hashed(self) -> str:
        """The fingerprint, from every weight as it is now."""
        return fingerprint(self.model, self.tokenizer, self.stop_ids)

    # --- text and ids ----------------------------------------------------------------------------------------------

    def rendered(self, messages: list[dict[str, str]]) -> str:
        """The text of a conversation, up to where the assistant should speak.

        Raises ValueError if the tokenizer has no chat template: a base model must be asked with plain text.
        """
        if not templates.template_of(self.tokenizer):
            raise ValueError(f"{self.name} has no chat template: ask it with Subject.text, as a base model")
        return templates.prompted(self.tokenizer, messages)

    def chats(self, talks: Sequence[list[dict[str, str]]]) -> list[list[int]]:
        """Token ids of each conversation, `rendered`."""
        return self.tokenized([self.rendered(messages) for messages in talks])

    def chat(self, messages: list[dict[str, str]]) -> list[int]:
        return self.chats([messages])[0]

    def asked(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of conversations of which each begins with one of these texts, said by the user."""
        return self.chats([[{"role": "user", "content": text}] for text in texts])

    def texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of plain texts, begun with a begin-of-text token if the tokenizer itself begins texts so."""
        begin = [self.tokenizer.bos_token_id] if templates.begins_texts(self.tokenizer) else []
        return [begin + ids for ids in self.tokenized(texts)]

    def text(self, text: str) -> list[int]:
        return self.texts([text])[0]

    def tokenized(self, texts: Sequence[str]) -> list[list[int]]:
        return self.tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []

    def decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def padded(
        self, rows: Sequence[Sequence[int]], side: str
    ) -> tuple[Int[Tensor, "batch pos"], Bool[Tensor, "batch pos"]]:
        size = self.vocabulary
        if wrong := [row for row in rows if not len(row) or not 0 <= min(row) <= max(row) < size] or not len(rows):
            raise ValueError(f"rows must hold token ids from 0 to {size - 1}, at least one each, unlike {wrong}")
        width = max(len(r) for r in rows)
        ids, mask = torch.full((len(rows), width), self.pad_id), torch.zeros((len(rows), width), dtype=torch.long)
        for i, row in enumerate(rows):
            place = slice(width - len(row), width) if side == "left" else slice(0, len(row))
            ids[i, place], mask[i, place] = torch.tensor(row), 1
        return ids.to(self.device), mask.to(self.device)

    # --- running -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def hooked(
        self, post: PostHook | None = None, mlp_out: Callable[[int, Tensor], None] | None = None
    ) -> Iterator[None]:
        """Call `post(layer, z)` on the input of each down projection and `mlp_out(layer, h)` on its MLP's output.

        A tensor returned by `post` replaces z. The hooks are gone when the block ends, however it ends.
        """
        hooks = []
        for layer in range(self.n_layers):
            if post is not None:
                hooks.append((f"blocks.{layer}.mlp.out.hook_in", lambda z, layer=layer, **_: post(layer, z)))
            if mlp_out is not None:
                hooks.append((f"blocks.{layer}.mlp.hook_out", lambda h, layer=layer, **_: mlp_out(layer, h)))
        with self.bridge.hooks(fwd_hooks=hooks):
            yield

    def network(self, **given: Any) -> Any:
        """One pass through all layers, without the cost of the unembedding. Attention patterns are not kept: they are
        what takes most memory, and no one looks at them. Raises ValueError if the model is in training mode."""
        require_reading_mode(self.model, self.name)
        return self.model.base_model(**given, output_attentions=False)

    def pieces(self, rows: Sequence[Sequence[int]]) -> list[slice]:
        """Which neighbouring rows are read together, so that the scores of attention find room."""
        return pieces([len(row) for row in rows], self.model.config.get_text_config().num_attention_heads)

    @contextlib.contextmanager
    def standing_for(self, piece: slice, n: int) -> Iterator[None]:
        """While the block runs, the batch holds this piece of the `n` rows that were given."""
        self.standing = Standing(torch.arange(piece.start, piece.stop, device=self.device), n)
        try:
            yield
        finally:
            self.standing = None

    @torch.inference_mode()
    def hidden(self, ids: Tensor, mask: Tensor) -> Float[Tensor, "batch pos d_model"]:
        """Final hidden states of right-padded rows, all read at once, without the cost of the unembedding."""
        return self.network(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state

    @torch.inference_mode()
    def logits(self, hidden: Float[Tensor, "*pos d_model"]) -> Float[Tensor, "*pos vocab"]:
        """What the model makes of final hidden states, in float32."""
        config = self.model.config.get_text_config()
        logits = cast(torch.nn.Module, self.model.get_output_embeddings())(hidden).float()
        logits = logits * getattr(config, "logit_scale", 1.0) / getattr(config, "logits_scaling", 1.0)
        cap = getattr(config, "final_logit_softcapping", None)
        return cap * torch.tanh(logits / cap) if cap else logits

    @torch.inference_mode()
    def logprobs(self, rows: Sequence[Sequence[int]]) -> list[Float[Tensor, "pos"]]:
        """Log-probability (nats) of each token of each row given those before it; one value fewer than tokens.

        Logits are held for few positions at a time: of all, they would fill gigabytes at a large vocabulary.
        """
        found: list[Tensor] = []
        for piece in self.pieces(rows):
            with self.standing_for(piece, len(rows)):
                found += self.logprobs_together(rows[piece])
        return found

    def logprobs_together(self, rows: Sequence[Sequence[int]]) -> list[Float[Tensor, "pos"]]:
        """`logprobs` of rows that are read at once."""
        ids, mask = self.padded(rows, "right")
        read = mask[:, 1:].bool()
        hidden, following = self.hidden(ids, mask)[:, :-1][read], ids[:, 1:][read]
        return list(self.logprobs_of(hidden, following).split([len(row) - 1 for row in rows]))

    def logprobs_of(self, hidden: Float[Tensor, "pos d_model"], following: Int[Tensor, "pos"]) -> Float[Tensor, "pos"]:
        """Log-probability (nats) of the token that follows each hidden state, a piece at a time."""
        at_once = max(1, LOGITS // len(self.tokenizer))
        parts = zip(hidden.split(at_once), following.split(at_once), strict=True)
        chosen = [self.logits(h).log_softmax(-1).gather(1, f[:, None])[:, 0].cpu() for h, f in parts]
        together = torch.cat(chosen)
        require_numbers(together, self.name, self.model.dtype)
        return together

    @torch.inference_mode()
    def endings_logprobs(
        self, beginnings: Sequence[Sequence[int]], endings: Sequence[Sequence[Sequence[int]]]
    ) -> Float[Tensor, "beginning ending"]:
        """Log-probability (nats) of each ending as a whole given its beginning, which is read once for all its endings;
        every beginning must have as many. That of an empty ending is 0.
        """
        ids, mask = self.padded(beginnings, "left")
        n, width = len(endings[0]), max(len(ending) for some in endings for ending in some)
        following = torch.full((len(ids) * n, width), self.pad_id)
        there = torch.zeros_like(following)
        for row, ending in enumerate(ending for some in endings for ending in some):
            following[row, : len(ending)], there[row, : len(ending)] = torch.tensor(ending, dtype=torch.long), 1
        following, there = following.to(self.device), there.to(self.device)
        last, cache = self.read_prompts(ids, mask)  # [beginning, d_model]
        of_row = torch.arange(len(ids), device=self.device).repeat_interleave(n)
        hidden = last[of_row.to(last.device), None]  # [row, 1, d_model]
        if width > 1:
            cache.reorder_cache(cast(torch.LongTensor, of_row))
            mask = torch.cat([mask[of_row], there[:, :-1]], 1)
            with self.standing_for(slice(0, len(ids)), len(ids)):
                self.standing = Standing(of_row, len(ids))
                rest = self.read_further(following[:, :-1], mask, cache)  # [row, pos, d_model]
            hidden = torch.cat([hidden, rest], 1)
        read = there.bool()
        values = torch.zeros(following.shape, device=self.device)
        values[read] = self.logprobs_of(hidden[read.to(hidden.device)], following[read]).to(self.device)
        return values.sum(1).reshape(len(ids), n).cpu()

    @torch.inference_mode()
    def predictions(
        self, rows: Sequence[Sequence[int]], places: Sequence[Sequence[int]]
    ) -> Iterator[tuple[Float[Tensor, "layer pos d_model"], Float[Tensor, "place vocab"]]]:
        """For each row the residual stream after every layer, and the log-probabilities (nats) of what follows each of
        its `places`. The last layer's stream is that after the final norm; what lies beyond a row's end is padding."""
        for piece in self.pieces(rows):
            ids, mask = self.padded(rows[piece], "right")
            with self.standing_for(piece, len(rows)):
                out = self.network(input_ids=ids, attention_mask=mask, use_cache=False, output_hidden_states=True)
            for i, at in enumerate(places[piece]):
                streams = torch.stack([h[i].to(self.device) for h in out.hidden_states[1:]])
                predicted = self.logits(out.last_hidden_state[i, list(at)]).log_softmax(-1)
                require_numbers(predicted, self.name, self.model.dtype)
                yield streams, predicted

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, seed: int = 0, stop: str = ""
    ) -> list[list[Generated]]:
        """Draw `sampling.n` responses to each prompt, all in one batch. A response ends with its end of turn, or with a
        token that holds `stop`.

        A prompt is read once. Draws that have written the same so far share a row, and those that have ended have none.
        A draw depends on its own prompt and number, on the settings and on `seed`: not on the others in the batch (but
        for rounding), nor on anything that ran before.
        """
        ids, mask = self.padded(prompts, "left")
        ends = torch.tensor(sorted(self.stop_ids | self.holding(stop)), dtype=torch.long, device=self.device)
        draw = torch.arange(len(prompts) * sampling.n, device=self.device)  # those that have not ended
        row = draw // sampling.n  # the row of the batch that each of them goes on from
        numbers = None
        if sampling.temperature > 0:
            numbers = np.concatenate([own_numbers(p, sampling, seed) for p in prompts])
            numbers = torch.from_numpy(numbers).to(self.device)
        written: list[list[tuple[int, float]]] = [[] for _ in draw]
        hidden, cache = self.read_prompts(ids, mask)
        with self.standing_for(slice(0, len(prompts)), len(prompts)):
            for step in range(sampling.max_new_tokens):
                logits = self.logits(hidden).to(self.device)
                token = chosen(logits, row, sampling, None if numbers is None else numbers[draw, step])
                logprob = logits.log_softmax(-1)[row, token]
                require_numbers(logprob, self.name, self.model.dtype)
                for i, chose, at in zip(draw.tolist(), token.tolist(), logprob.tolist(), strict=True):
                    written[i].append((chose, at))
                on = ~torch.isin(token, ends)
                if step + 1 == sampling.max_new_tokens or not on.any():
                    break
                draw, size = draw[on], logits.shape[-1]
                pairs, row = (row[on] * size + token[on]).unique(return_inverse=True)
                before, ids = pairs // size, (pairs % size)[:, None]
                if before.tolist() != list(range(len(mask))):
                    cache.reorder_cache(cast(torch.LongTensor, before))
                mask = torch.cat([mask[before], torch.ones_like(ids)], 1)
                standing = cast(Standing, self.standing)
                self.standing = Standing(standing.row[before], standing.n)
                hidden = self.read_on(ids, mask, cache)
        flat = [self.finished(*zip(*some, strict=True)) for some in written]
        return [flat[i : i + sampling.n] for i in range(0, len(flat), sampling.n)]

    def read_prompts(
        self, ids: Int[Tensor, "row pos"], mask: Tensor
    ) -> tuple[Float[Tensor, "row d_model"], DynamicCache]:
        """The final hidden state of each prompt's last token, and the cache of all of them, read piece by piece."""
        hidden: list[Tensor] = []
        caches: list[DynamicCache] = []
        for piece in self.pieces(ids.tolist()):
            caches.append(DynamicCache(config=self.model.config.get_text_config()))
            with self.standing_for(piece, len(ids)):
                hidden.append(self.read_on(ids[piece], mask[piece], caches[-1]))
        return torch.cat(hidden), joined(caches)

    def read_on(self, ids: Int[Tensor, "row pos"], mask: Tensor, cache: DynamicCache) -> Float[Tensor, "row d_model"]:
        """The final hidden state of each row's last token, read behind what `cache` holds, which takes these in."""
        return self.read_further(ids, mask, cache)[:, -1]

    def read_further(
        self, ids: Int[Tensor, "row pos"], mask: Tensor, cache: DynamicCache
    ) -> Float[Tensor, "row pos d_model"]:
        """The same of all these tokens."""
        places = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        out = self.network(
            input_ids=ids, attention_mask=mask, position_ids=places, past_key_values=cache, use_cache=True
        )
        return out.last_hidden_state

    def finished(self, ids: tuple[int, ...], logprobs: tuple[float, ...]) -> Generated:
        return Generated(list(ids), list(logprobs), self.decode(ids).strip())

    @property
    def vocabulary(self) -> int:
        """How many tokens the model knows; its tokenizer may name more, or fewer."""
        return self.model.config.get_text_config().vocab_size

    @property
    def pad_id(self) -> int:
        """What fills up short rows; always masked, so any id that the model knows will do."""
        own = [self.tokenizer.pad_token_id, *sorted(self.stop_ids), 0]
        return next(token for token in own if token is not None and 0 <= token < self.vocabulary)

    @property
    def configured_ends(self) -> int | list[int] | None:
        """What the model's configuration names as ends of its turn."""
        return cast(Any, self.model.generation_config).eos_token_id

    @cached_property
    def stop_ids(self) -> set[int]:
        return templates.stops(self.tokenizer, self.configured_ends)

    def holding(self, stop: str) -> set[int]:
        """The tokens whose text holds `stop`; one that is spread over several tokens is in none."""
        if stop and stop not in self.held:
            ids = range(len(self.tokenizer))
            texts = self.tokenizer.batch_decode([[i] for i in ids], clean_up_tokenization_spaces=False)
            self.held[stop] = {i for i, text in zip(ids, texts, strict=True) if stop in text}
        return self.held.get(stop, set())

    def scaled(self, neurons: Int[np.ndarray, "k"], by: float | Sequence[float]) -> AbstractContextManager[None]:
        """Multiply what these neurons (flat indices) write by `by` while a `with` block runs: one number, or one for
        each row of the batch, each prompt of `generate`. 0 ablates, 1 changes nothing.

        The weights are never touched. Raises ValueError for a neuron that the model does not have, or a `by` that is
        negative or not finite.
        """
        if np.asarray(neurons).dtype == object:
            raise ValueError(
                f"neurons is of type {type(neurons).__name__}: give flat indices, such as found.neurons or card.flat"
            )
        return dosed(self, [Dose(np.asarray(neurons), float(alpha)) for alpha in np.atleast_1d(by)])

    def ask(self, text: str, max_new_tokens: int = 64) -> str:
        """The likeliest reply to what a user says; a model without a chat template continues it as a base model."""
        if templates.template_of(self.tokenizer):
            prompt, stop = self.asked([text])[0], ""
        else:
            prompt, stop = self.text(self.study.base_prompt.format(question=text)), self.study.base_stop
        settings = Sampling(n=1, temperature=0.0, max_new_tokens=max_new_tokens)
        ((reply,),) = self.generate([prompt], settings, stop=stop)
        return reply.text.partition(stop)[0].strip() if stop else reply.text

    # --- weights ---------------------------------------------------------------------------------------------------

    def weight(self, layer: int, name: str) -> Float[Tensor, "neuron d_model"]:
        """A layer's `up`, `gate` or `down` weights in float32, one row a neuron (columns of W_down turned upright)."""
        mlp = self.bridge.blocks[layer].mlp
        linear = {"up": getattr(mlp, "in"), "gate": mlp.gate, "down": mlp.out}[name].original_component
        matrix = dense(linear)
        return matrix.T if name == "down" else matrix

    @torch.inference_mode()
    def favours(self, layer: int, neuron: int) -> Float[Tensor, "vocab"]:
        """How much one neuron's write, taken alone, favours each token: its column of W_down, through final norm and
        unembedding. Only the direct path; what later layers make of the write is not in it, nor is its length."""
        column = self.weight(layer, "down")[neuron].to(self.device, self.model.dtype)
        final = self.bridge.ln_final.original_component(column[None, None])
        return self.bridge.unembed.original_component(final)[0, 0].float()

    def bias(self, layer: int) -> Tensor | float:
        """What a layer's down projection adds to its neurons' writes; 0 for most models."""
        bias = getattr(self.bridge.blocks[layer].mlp.out.original_component, "bias", None)
        return 0.0 if bias is None else bias.float()

    @property
    def w_out_norm(self) -> Float[Tensor, "layer neuron"]:
        """How long a neuron's write is where it fires with 1: the length of its column of W_down.

        Taken anew each time, since weights may have been edited in place; packed ones, which take long to unpack, once.
        """
        return torch.stack([self.column_lengths(layer).to(self.device) for layer in range(self.n_layers)])

    def column_lengths(self, layer: int) -> Float[Tensor, "neuron"]:
        if layer in self.packed_norms:
            return self.packed_norms[layer]
        lengths = self.weight(layer, "down").norm(dim=1)
        if not self.bridge.blocks[layer].mlp.out.original_component.weight.is_floating_point():
            self.packed_norms[layer] = lengths
        return lengths


def joined(caches: Sequence[DynamicCache]) -> DynamicCache:
    """One cache with the rows of all, which were read to the same width."""
    whole, *others = caches
    for i, layer in enumerate(whole.layers if others else ()):
        for name, held in list(vars(layer).items()):
            if isinstance(held, Tensor) and held.ndim > 1:  # keys, values, or another state of each row
                more = [getattr(other.layers[i], name) for other in others]
                setattr(layer, name, torch.cat([held, *more]))
    return whole


@torch.inference_mode()
def dense(linear: torch.nn.Module) -> Float[Tensor, "out in"]:
    """A linear layer's matrix in float32; that of a quantised one is read off what it does to unit vectors."""
    weight = cast(Tensor, linear.weight)
    if weight.is_floating_point():
        return weight.detach().float()
    units = torch.eye(cast(int, linear.in_features), device=weight.device)
    return (linear(units) - linear(torch.zeros_like(units[:1]))).float().T


def keep_freed_memory() -> None:
    """Have glibc keep large blocks for the next batch. It would give each back to the kernel, which hands out cleared
    pages again: generating on a CPU would take up to twice as long."""
    if platform.libc_ver()[0] == "glibc":
        for threshold in (-1, -3):  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
            ctypes.CDLL(None).mallopt(threshold, 2**30)
