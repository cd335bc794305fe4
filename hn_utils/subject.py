"""The model being studied, behind the few verbs that the notebooks need. Only this module knows TransformerLens.

Axes are named once, here: `batch` rows, `pos` token positions, `layer`, `neuron` within a layer.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoTokenizer, DynamicCache, GenerationConfig, LogitsProcessor, PreTrainedModel

from hn_utils.study import Sampling, Study

Post = Float[Tensor, "batch pos neuron"]
PostHook = Callable[[int, Post], Post | None]


@dataclass(frozen=True)
class Generated:
    """What a model wrote after a prompt: ids up to and including end-of-turn, and their log-probabilities (nats)."""

    ids: list[int]
    logprobs: list[float]
    text: str


class LogProbRecorder(LogitsProcessor):
    """Keeps the log-probability of every chosen token, before temperature and truncation reshape it."""

    def __init__(self) -> None:
        self.pending: Tensor | None = None
        self.chosen: list[Tensor] = []

    def settle(self, last_tokens: Int[Tensor, "batch"]) -> None:
        if self.pending is not None:
            self.chosen.append(self.pending.gather(1, last_tokens[:, None])[:, 0])

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # type: ignore[override]
        self.settle(input_ids[:, -1])
        self.pending = scores.float().log_softmax(-1)
        return scores


class Subject:
    """A causal language model with gated MLPs, its tokenizer, and hooks where its neurons speak."""

    def __init__(self, bridge: TransformerBridge, tokenizer, name: str) -> None:
        self.bridge, self.tokenizer, self.name = bridge, tokenizer, name
        self.model = cast(PreTrainedModel, bridge.original_model)
        self.n_layers, self.d_mlp = bridge.cfg.n_layers, cast(int, bridge.cfg.d_mlp)
        self.device = next(self.model.parameters()).device
        self.check()

    # --- loading -------------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, name: str, study: Study, revision: str | None = None) -> Subject:
        """Load a Hugging Face name or a local folder with the study's device and dtype.

        Raises ValueError if the dtype is unknown, or the model has no gated MLP of the expected width;
        OSError if the model cannot be found or read.
        """
        dtype = getattr(torch, study.dtype, None)
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"dtype={study.dtype!r} is not a torch dtype: use float32, bfloat16 or float16")
        if name.startswith(("/", ".")) and not (Path(name) / "config.json").exists():
            raise OSError(f"no model in folder {name}: it holds no config.json")
        try:
            options = {"revision": revision} if revision else {}
            tokenizer = AutoTokenizer.from_pretrained(name, **options)
            bridge = TransformerBridge.boot_transformers(
                name, device=study.device, dtype=dtype, tokenizer=tokenizer, **options
            )
        except Exception as error:
            raise OSError(
                f"could not load model {name!r} ({type(error).__name__}: {str(error).partition(chr(10))[0]}): "
                "check the name, your network and its files"
            ) from error
        return cls(bridge, tokenizer, name)

    def check(self) -> None:
        """Look once at what could silently be wrong: does every layer show d_mlp neurons, is the prompt begun once?"""
        widths: dict[int, int] = {}
        probe = torch.tensor([[self.tokenizer.eos_token_id or 0]], device=self.device)
        with self.hooked(post=lambda layer, post: widths.update({layer: post.shape[-1]})):
            self.hidden(probe, torch.ones_like(probe))
        wrong = [layer for layer in range(self.n_layers) if widths.get(layer) != self.d_mlp]
        if wrong:
            raise ValueError(
                f"{self.name}: layers {wrong} show no {self.d_mlp} gated MLP neurons; only those are studied"
            )
        if self.tokenizer.chat_template:
            begun = self.chat([{"role": "user", "content": "a"}]).count(self.tokenizer.bos_token_id)
            if begun > 1:
                raise ValueError(f"{self.name}: its chat template begins a prompt {begun} times; expected once")

    @cached_property
    def fingerprint(self) -> str:
        """Hash of every weight, the configuration and the vocabulary: the identity of this model in cache keys."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(self.model.config.to_json_string().encode())
        digest.update(self.tokenizer.backend_tokenizer.to_str().encode())
        digest.update(str(self.tokenizer.chat_template).encode())
        for name, weight in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    # --- text and ids ----------------------------------------------------------------------------------------------

    def chat(self, messages: list[dict[str, str]]) -> list[int]:
        """Token ids of a conversation, up to where the assistant should speak.

        Raises ValueError if the tokenizer has no chat template: a base model must be asked with plain text.
        """
        if not self.tokenizer.chat_template:
            raise ValueError(f"{self.name} has no chat template: ask it with Subject.text, as a base model")
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def text(self, text: str) -> list[int]:
        """Token ids of plain text, begun with the model's begin-of-text token if it has one."""
        begin = [] if self.tokenizer.bos_token_id is None else [self.tokenizer.bos_token_id]
        return begin + self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def padded(
        self, rows: Sequence[Sequence[int]], side: str
    ) -> tuple[Int[Tensor, "batch pos"], Bool[Tensor, "batch pos"]]:
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
    def logprobs(self, rows: Sequence[Sequence[int]]) -> list[Float[Tensor, "pos"]]:
        """Log-probability (nats) of each token of each row given those before it; one value fewer than tokens."""
        ids, mask = self.padded(rows, "right")
        logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
        chosen = logits.log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0].cpu()
        return [chosen[i, : len(row) - 1] for i, row in enumerate(rows)]

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling, seed: int = 0) -> list[list[Generated]]:
        """Draw `sampling.n` responses to each prompt, all in one batch; the prompt is read once and its cache repeated.

        The result depends on the prompts of the batch, the settings and `seed`, and on nothing that ran before.
        """
        ids, mask = self.padded(prompts, "left")
        cache = DynamicCache(config=self.model.config)
        places = (mask.cumsum(1) - 1).clamp(min=0)
        self.model.base_model(
            input_ids=ids[:, :-1],
            attention_mask=mask[:, :-1],
            position_ids=places[:, :-1],
            past_key_values=cache,
            use_cache=True,
        )
        cache.batch_repeat_interleave(sampling.n)
        recorder = LogProbRecorder()
        settings = GenerationConfig(  # a fresh one: some models ship penalties of their own
            max_new_tokens=sampling.max_new_tokens,
            do_sample=sampling.temperature > 0,
            eos_token_id=sorted(self.stop_ids),
            pad_token_id=self.pad_id,
        )
        if settings.do_sample:
            settings.update(temperature=sampling.temperature, top_k=sampling.top_k, top_p=sampling.top_p)
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            written = self.model.generate(  # type: ignore[operator]
                ids.repeat_interleave(sampling.n, 0),
                attention_mask=mask.repeat_interleave(sampling.n, 0),
                past_key_values=cache,
                generation_config=settings,
                logits_processor=[recorder],
            )
        recorder.settle(written[:, -1])
        rows = written[:, ids.shape[1] :].tolist()
        logprobs = torch.stack(recorder.chosen, 1).tolist()
        flat = [self.finished(row, lp) for row, lp in zip(rows, logprobs, strict=True)]
        return [flat[i : i + sampling.n] for i in range(0, len(flat), sampling.n)]

    @property
    def pad_id(self) -> int:
        """What fills up short rows; always masked, so any id will do."""
        pad = self.tokenizer.pad_token_id
        return min(self.stop_ids, default=0) if pad is None else pad

    @cached_property
    def stop_ids(self) -> set[int]:
        config = self.model.generation_config.eos_token_id
        return {self.tokenizer.eos_token_id, *(config if isinstance(config, list) else [config])} - {None}

    def finished(self, ids: list[int], logprobs: list[float]) -> Generated:
        """Cut a row after its first end-of-turn token; what follows is padding."""
        end = next((i + 1 for i, token in enumerate(ids) if token in self.stop_ids), len(ids))
        return Generated(ids[:end], logprobs[:end], self.decode(ids[:end]).strip())

    # --- weights ---------------------------------------------------------------------------------------------------

    def weight(self, layer: int, name: str) -> Float[Tensor, "neuron d_model"]:
        """A layer's `up`, `gate` or `down` weights in float32, one row a neuron (columns of W_down turned upright)."""
        mlp = self.bridge.blocks[layer].mlp
        matrix = {"up": getattr(mlp, "in"), "gate": mlp.gate, "down": mlp.out}[name].weight.detach().float()
        return matrix.T if name == "down" else matrix

    @cached_property
    def w_out_norm(self) -> Float[Tensor, "layer neuron"]:
        """How loudly each neuron can write: the length of its column of W_down."""
        return torch.stack([self.weight(layer, "down").norm(dim=1) for layer in range(self.n_layers)])
