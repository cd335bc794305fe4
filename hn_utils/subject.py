"""The model being studied, behind the few verbs that the notebooks need. Only this module knows TransformerLens.

Axes are named once, here: `batch` rows, `pos` token positions, `layer`, `neuron` within a layer.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.sources.transformers import helpers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    DynamicCache,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from xxhash import xxh3_128

from hn_utils.hub import check_folder, damaged, every_weight, explained, patience, remember_fingerprint
from hn_utils.intervene import Dose, dosed
from hn_utils.study import Sampling, Study, called

# TransformerLens would install packages while it loads an image-and-text model, of which only text is read here.
helpers._ensure_torchvision = lambda: False
# What templates that write the date are told, so that a prompt is the same tomorrow: it shadows such a function.
FIXED_DATE = "{%- macro strftime_now(form) -%}{{ {'%Y-%m-%d': '2024-07-26'}.get(form, '26 Jul 2024') }}{%- endmacro -%}"

LOGITS = 2**26  # how many are held at once: 256 MB in float32

Post = Float[Tensor, "batch pos neuron"]
PostHook = Callable[[int, Post], Post | None]


@dataclass(frozen=True)
class Generated:
    """What a model wrote after a prompt: ids up to and including end-of-turn, and their log-probabilities (nats)."""

    ids: list[int]
    logprobs: list[float]
    text: str


def reshaped(logits: Float[Tensor, "row vocab"], sampling: Sampling) -> Float[Tensor, "row vocab"]:
    """What temperature, top-k and top-p make of logits, by the steps of Transformers' own sampler."""
    steps: list[LogitsProcessor] = [TemperatureLogitsWarper(float(sampling.temperature))]
    if sampling.top_k:
        steps.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        steps.append(TopPLogitsWarper(sampling.top_p))
    return LogitsProcessorList(steps)(cast(torch.LongTensor, None), cast(torch.FloatTensor, logits))


def chosen(
    logits: Float[Tensor, "row vocab"],
    row: Int[Tensor, "draw"],
    sampling: Sampling,
    numbers: Float[Tensor, "draw"] | None,
) -> Int[Tensor, "draw"]:
    """Each draw's next token: the one on which its random number falls, or the likeliest if there are none."""
    if numbers is None:
        return logits.argmax(-1)[row]
    up_to = reshaped(logits, sampling).softmax(-1).cumsum(-1)[row]
    number = numbers.to(up_to)[:, None] * up_to[:, -1:]
    return (up_to <= number).sum(-1)  # the first token with more than that share up to it


def own_numbers(prompt: Sequence[int], sampling: Sampling, seed: int) -> Float[np.ndarray, "draw step"]:
    """Random numbers in [0, 1) for each draw and step, from the seed and the prompt alone."""
    name = np.frombuffer(xxh3_128(np.asarray(prompt, np.int64).tobytes()).digest(), np.uint32)
    drawn = np.random.default_rng([seed, *name.tolist()]).random((sampling.n, sampling.max_new_tokens), np.float32)
    return drawn.clip(max=1 - 1e-6)


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
        self.prompt_of_row: Int[Tensor, "row"] | None = None  # while `generate` writes: which prompt a row goes on from
        keep_freed_memory()
        self.checked = self.inspect()
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
        place, _, revision = (name, "", "") if Path(name).exists() else name.partition("@")
        check_folder(name)
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

        Raises ValueError as `load` does, or if the model has hooks: what is kept on disk is the plain model's.
        """
        if hooks := foreign_hooks(model):
            raise ValueError(
                f"{study.instruct} has {len(hooks)} hooks, such as {hooks[0]}: remove them before you wrap it"
            )
        with patience():
            bridge = TransformerBridge.boot_transformers(
                study.instruct, hf_model=model, dtype=model.dtype, tokenizer=tokenizer
            )
        return cls(bridge, tokenizer, study.instruct, study)

    @torch.inference_mode()
    def inspect(self) -> list[str]:
        """Look once at what could silently be wrong, and say what was found. Raises ValueError if something is."""
        parts = ("gate", "in", "out")
        wrong = [i for i, b in enumerate(self.bridge.blocks) if not all(hasattr(b.mlp, part) for part in parts)]
        if wrong:
            raise ValueError(
                f"{self.name}: layers {wrong} have no gated MLP (a mixture of experts has many); only models with one "
                "gated MLP in every layer are studied"
            )
        row = self.text("Who wrote the first page, and when?")
        alone = self.inspect_writes(row)
        bound = self.rounding(alone.dtype)
        whole = self.model(input_ids=self.padded([row], "right")[0], use_cache=False).logits[0, -1]
        if (off := relative(self.logits(alone), whole)) > bound:
            raise ValueError(f"{self.name}: its logits are off by {off:.1%} from what unembedding its last layer gives")
        off = self.inspect_padding(row, alone)
        return [
            f"{type(self.model).__name__}, {self.n_layers} layers of {self.d_mlp} gated neurons each",
            f"{alone.dtype} on {self.device}, MLP output taken where the down projection writes it",
            f"a row padded on the left differs by {off:.1e}",
            self.inspect_template(),
        ]

    def rounding(self, dtype: torch.dtype) -> float:
        """How far two ways to compute the same may be apart."""
        exact = dtype == torch.float32 and not getattr(self.model, "is_quantized", False)
        return 1e-3 if exact else 0.05

    def inspect_writes(self, row: list[int]) -> Float[Tensor, "d_model"]:
        """Is every layer's MLP output what its neurons write? Returns the last token's final hidden state."""
        posts: dict[int, Tensor] = {}
        outs: dict[int, Tensor] = {}
        with self.hooked(post=posts.__setitem__, mlp_out=outs.__setitem__):
            alone = self.hidden(*self.padded([row], "right"))[0, -1]
        wrong = [i for i in range(self.n_layers) if i not in posts or posts[i].shape[-1] != self.d_mlp]
        if wrong:
            raise ValueError(f"{self.name}: layers {wrong} do not show {self.d_mlp} neurons, as the others do")
        for layer in range(self.n_layers):
            off = relative(posts[layer].float() @ self.weight(layer, "down") + self.bias(layer), outs[layer])
            if off > self.rounding(alone.dtype):
                raise ValueError(
                    f"{self.name}: layer {layer}'s MLP output is off by {off:.1%} from what its neurons write by the "
                    "stored W_down: contributions would be wrong"
                )
        return alone

    def inspect_padding(self, row: list[int], alone: Float[Tensor, "d_model"]) -> float:
        """How far a row's final hidden state is off when it is padded on the left."""
        ids, mask = self.padded([row, row + row], "left")
        places = (mask.cumsum(1) - 1).clamp(min=0)
        out = self.model.base_model(input_ids=ids, attention_mask=mask, position_ids=places, use_cache=False)
        off = relative(out.last_hidden_state[0, -1], alone)
        if off > self.rounding(alone.dtype):
            raise ValueError(f"{self.name}: a row padded on the left changes by {off:.1%}: padding is not masked")
        return off

    def inspect_template(self) -> str:
        """Does the chat template begin a prompt, and once?"""
        if not self.tokenizer.chat_template:
            return "no chat template: asked as a base model"
        begin, prompt = self.tokenizer.bos_token_id, self.asked(["a"])[0]
        if begin is not None and prompt[:2] == [begin, begin]:
            raise ValueError(f"{self.name}: its chat template begins a prompt twice; expected once")
        return f"chat template present, begins a prompt with {self.tokenizer.decode(prompt[:1])!r}, once"

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

        Raises ValueError while neurons are scaled, or any hook hangs on the model that did not when it was loaded: what
        it does then is not what this key stands for.
        """
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
        digest, config = xxh3_128(), deepcopy(self.model.config)
        config.output_attentions = True  # as it is when a model is loaded here; how one is run is not what it is
        digest.update(config.to_json_string().encode())
        digest.update(self.tokenizer.backend_tokenizer.to_str().encode())
        digest.update(str((self.tokenizer.chat_template, sorted(self.stop_ids))).encode())
        for name, weight in sorted(self.model.named_parameters()):  # state_dict() would unpack 4-bit weights for good
            scales = (getattr(weight, "SCB", None), getattr(getattr(weight, "quant_state", None), "absmax", None))
            digest.update(str((name, *(s.tolist() for s in scales if s is not None))).encode())
            digest.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    # --- text and ids ----------------------------------------------------------------------------------------------

    def rendered(self, messages: list[dict[str, str]]) -> str:
        """The text of a conversation, up to where the assistant should speak.

        Raises ValueError if the tokenizer has no chat template: a base model must be asked with plain text.
        """
        if not self.tokenizer.chat_template:
            raise ValueError(f"{self.name} has no chat template: ask it with Subject.text, as a base model")
        return self.tokenizer.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=True,
            chat_template=FIXED_DATE + self.tokenizer.chat_template,
            enable_thinking=False,  # a template that knows no thinking ignores this
        )

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
        own = self.tokenizer("")["input_ids"][:1]
        begin = own if own == [self.tokenizer.bos_token_id] else []
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
        size = self.model.config.get_text_config().vocab_size
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

    @torch.inference_mode()
    def hidden(self, ids: Tensor, mask: Tensor) -> Float[Tensor, "batch pos d_model"]:
        """Final hidden states of right-padded rows, without the cost of the unembedding."""
        return self.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state

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
        ids, mask = self.padded(rows, "right")
        read = mask[:, 1:].bool()
        hidden, following = self.hidden(ids, mask)[:, :-1][read], ids[:, 1:][read]
        return list(self.logprobs_of(hidden, following).split([len(row) - 1 for row in rows]))

    def logprobs_of(self, hidden: Float[Tensor, "pos d_model"], following: Int[Tensor, "pos"]) -> Float[Tensor, "pos"]:
        """Log-probability (nats) of the token that follows each hidden state, a piece at a time."""
        at_once = max(1, LOGITS // len(self.tokenizer))
        pieces = zip(hidden.split(at_once), following.split(at_once), strict=True)
        return torch.cat([self.logits(h).log_softmax(-1).gather(1, f[:, None])[:, 0].cpu() for h, f in pieces])

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
        cache = DynamicCache(config=self.model.config.get_text_config())
        last = self.read_on(ids, mask, cache)  # [beginning, d_model]
        of_row = torch.arange(len(ids), device=self.device).repeat_interleave(n)
        hidden = last[of_row.to(last.device), None]  # [row, 1, d_model]
        if width > 1:
            cache.reorder_cache(cast(torch.LongTensor, of_row))
            mask = torch.cat([mask[of_row], there[:, :-1]], 1)
            self.prompt_of_row = of_row
            try:
                rest = self.read_further(following[:, :-1], mask, cache)  # [row, pos, d_model]
            finally:
                self.prompt_of_row = None
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
        ids, mask = self.padded(rows, "right")
        out = self.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False, output_hidden_states=True)
        for i, at in enumerate(places):
            streams = torch.stack([h[i].to(self.device) for h in out.hidden_states[1:]])
            yield streams, self.logits(out.last_hidden_state[i, list(at)]).log_softmax(-1)

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
        cache = DynamicCache(config=self.model.config.get_text_config())
        ends = torch.tensor(sorted(self.stop_ids | self.holding(stop)), dtype=torch.long, device=self.device)
        draw = torch.arange(len(prompts) * sampling.n, device=self.device)  # those that have not ended
        row = draw // sampling.n  # the row of the batch that each of them goes on from
        numbers = None
        if sampling.temperature > 0:
            numbers = np.concatenate([own_numbers(p, sampling, seed) for p in prompts])
            numbers = torch.from_numpy(numbers).to(self.device)
        written: list[list[tuple[int, float]]] = [[] for _ in draw]
        hidden = self.read_on(ids, mask, cache)
        self.prompt_of_row = torch.arange(len(prompts), device=self.device)
        try:
            for step in range(sampling.max_new_tokens):
                logits = self.logits(hidden).to(self.device)
                token = chosen(logits, row, sampling, None if numbers is None else numbers[draw, step])
                logprob = logits.log_softmax(-1)[row, token]
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
                self.prompt_of_row = self.prompt_of_row[before]
                hidden = self.read_on(ids, mask, cache)
        finally:
            self.prompt_of_row = None
        flat = [self.finished(*zip(*some, strict=True)) for some in written]
        return [flat[i : i + sampling.n] for i in range(0, len(flat), sampling.n)]

    def read_on(self, ids: Int[Tensor, "row pos"], mask: Tensor, cache: DynamicCache) -> Float[Tensor, "row d_model"]:
        """The final hidden state of each row's last token, read behind what `cache` holds, which takes these in."""
        return self.read_further(ids, mask, cache)[:, -1]

    def read_further(
        self, ids: Int[Tensor, "row pos"], mask: Tensor, cache: DynamicCache
    ) -> Float[Tensor, "row pos d_model"]:
        """The same of all these tokens."""
        places = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        out = self.model.base_model(
            input_ids=ids, attention_mask=mask, position_ids=places, past_key_values=cache, use_cache=True
        )
        return out.last_hidden_state

    def finished(self, ids: tuple[int, ...], logprobs: tuple[float, ...]) -> Generated:
        return Generated(list(ids), list(logprobs), self.decode(ids).strip())

    @property
    def pad_id(self) -> int:
        """What fills up short rows; always masked, so any id will do."""
        pad = self.tokenizer.pad_token_id
        return min(self.stop_ids, default=0) if pad is None else pad

    @cached_property
    def stop_ids(self) -> set[int]:
        config = self.model.generation_config.eos_token_id
        return {self.tokenizer.eos_token_id, *(config if isinstance(config, list) else [config])} - {None}

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
        if self.tokenizer.chat_template:
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


def foreign_hooks(model: torch.nn.Module) -> list[str]:
    """Hooks on a model's modules that are not of Transformers itself, which records hidden states by hooks."""
    found = []
    for name, module in model.named_modules():
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values()):
            if not str(getattr(hook, "__module__", "")).startswith("transformers."):
                found.append(f"{getattr(hook, '__name__', hook)} on {name or 'the model'}")
    return found


def relative(value: Tensor, expected: Tensor) -> float:
    """How far a tensor is off, relative to the size of what was expected."""
    return float((value.float() - expected.float()).norm() / expected.float().norm())


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


def check_device(device: str) -> None:
    """Raises ValueError if there is no such device here."""
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device not in ("auto", "several") and not here.get(device.partition(":")[0]):
        there = ", ".join(["auto", "several", *(name for name, found in here.items() if found)])
        raise ValueError(f"device={device!r} is not on this machine: choose one of {there}")


def best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def boot(place: str, revision: str, dtype: torch.dtype, study: Study) -> tuple[TransformerBridge, Any]:
    """The wrapped model and its tokenizer, on the study's device."""
    options: dict[str, Any] = {"revision": revision} if revision else {}
    tokenizer = read_tokenizer(place, options)
    if study.bits:
        options["hf_model"] = quantized(place, study.bits, dtype, options)
    elif study.device == "several":
        options["device_map"] = "auto"
    else:
        options["device"] = best_device() if study.device == "auto" else study.device
    return TransformerBridge.boot_transformers(place, dtype=dtype, tokenizer=tokenizer, **options), tokenizer


def read_tokenizer(place: str, options: dict[str, Any]) -> Any:
    """The tokenizer of a model, mended where (and only where) Transformers knows that its files split words wrongly."""
    return AutoTokenizer.from_pretrained(place, fix_mistral_regex=True, **options)


def quantized(name: str, bits: int, dtype: torch.dtype, options: dict[str, Any]) -> PreTrainedModel:
    """A 4- or 8-bit model by bitsandbytes, spread over what devices there are."""
    four = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": dtype}
    settings: dict[str, Any] = {"load_in_8bit": True} if bits == 8 else four
    return AutoModelForCausalLM.from_pretrained(
        name, quantization_config=BitsAndBytesConfig(**settings), dtype=dtype, device_map="auto", **options
    )
