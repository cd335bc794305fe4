"""The hooked model: the model being studied, with hooks where its neurons fire and write.

Beside it only `booting` and `wrapping` know TransformerLens. Text goes in through `model.encoder`; responses are drawn
by `generation`, and text is scored by `likelihoods`. Axes are named in `studied_model`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar, cast, overload
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel

from hn_utils.models.batches import LayerSize, pieces
from hn_utils.models.booting import around, boot, check_device
from hn_utils.models.checks import require_reading_mode, require_tokenizer, require_weights_here
from hn_utils.models.generation import Watch, generate
from hn_utils.models.gguf import read_from
from hn_utils.models.hub import damaged, every_weight, explained, patient_downloads
from hn_utils.models.identity import fingerprint
from hn_utils.models.inspection import inspect
from hn_utils.models.neurons import Neurons, neuron_indices
from hn_utils.models.places import remember_fingerprint, weights_at
from hn_utils.models.prompt_encoder import PromptEncoder
from hn_utils.models.scaling import At, Dose, dosed
from hn_utils.models.studied_model import StudiedModel
from hn_utils.models.wrapping import Wrapped, as_it_was, foreign_hooks, remember, wrapped_before
from hn_utils.study import Sampling, Study

Post = Float[Tensor, "batch pos neuron"]
PostHook = Callable[[int, Post], Post | None]
Stream = Float[Tensor, "batch pos d_model"]
StreamHook = Callable[[int, Stream], Stream | None]
_Seen = TypeVar("_Seen")


class InForce(NamedTuple):
    """Doses that are given now, one for all rows or one for each given row, and every hook that hangs on the model for
    them; no hook if others may change what it does."""

    doses: Sequence[Dose]
    hooks: set[tuple[int, int]]


class GivenRows(NamedTuple):
    """Which of the `n` rows or prompts that were given each row of the batch belongs to: its `row`."""

    row: Int[Tensor, "batch"]
    n: int


_FINGERPRINTS: ContextVar[WeakKeyDictionary[HookedModel, str] | None] = ContextVar("fingerprints", default=None)


@contextlib.contextmanager
def weights_unchanged() -> Iterator[None]:
    """Within the block the fingerprint of each model is taken once.

    It is for code of this package alone, which edits no weight: between two steps of a script or notebook anything may
    be edited.
    """
    before = _FINGERPRINTS.set(WeakKeyDictionary())
    try:
        yield
    finally:
        _FINGERPRINTS.reset(before)


class HookedModel(StudiedModel):
    """A causal language model with gated MLPs, with hooks where its neurons fire and write.

    Attributes:
        model: the model of Transformers.
        bridge: the same inside TransformerLens.
        checked: what was found when it was loaded, a sentence each.
        given_rows: which given row each row of the batch belongs to, while rows are run in pieces or in another order.
        own_hooks: the hooks that belong to the model itself.
    """

    def __init__(self, bridge: TransformerBridge, tokenizer: Any, name: str, study: Study) -> None:
        self.bridge = bridge
        self.model = cast(PreTrainedModel, bridge.original_model)
        self.name = name
        self.study = study
        ends = cast(Any, self.model.generation_config).eos_token_id
        self.encoder = PromptEncoder(tokenizer, name, self.model.config, ends)
        self.n_layers = bridge.cfg.n_layers
        self.d_mlp = cast(int, bridge.cfg.d_mlp)
        self.device = next(self.model.parameters()).device
        self.given_rows: GivenRows | None = None
        self._prompt_lengths: Int[Tensor, "row"] | None = None
        self._positions: Int[Tensor, "batch pos"] | None = None
        self._in_force: InForce | None = None
        self._packed_norms: dict[int, Tensor] = {}
        self.checked = inspect(self)
        self.own_hooks = self.live_hooks()

    def __repr__(self) -> str:
        size = f"{self.n_layers} layers of {self.d_mlp:,} neurons"
        return f"{self.name}: {size}, {self.precision} on {self.device}, read for the study {self.study.name}"

    # --- loading -------------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, name: str, study: Study) -> HookedModel:
        """Load a model with the study's device and dtype.

        Args:
            name: a Hugging Face name (`name@revision` for a branch), a local folder or a GGUF file (`places.gguf_of`).
            study: what the model is read for.

        Returns:
            The model, checked.

        Raises:
            ValueError: if the dtype is unknown, or the model has no gated MLP of the expected width.
            OSError: if the model cannot be found or read.
        """
        dtype = getattr(torch, study.dtype, None)
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"dtype={study.dtype!r} is not a torch dtype: use float32, bfloat16 or float16")
        if study.bits not in (None, 4, 8):
            raise ValueError(f"bits={study.bits} must be 4, 8 or None: 4 and 8 need the package bitsandbytes")
        check_device(study.device)
        place, revision = weights_at(name, dtype)
        try:
            with patient_downloads(), every_weight():
                bridge, tokenizer = boot(place, revision, dtype, study)
        except Exception as error:
            again = f"; or remove {place}, and it is converted again" if read_from(place) else ""
            told = damaged(place, revision) or explained(error) + again
            raise OSError(f"could not load model {name!r} {told}") from error
        if told := damaged(place, revision):
            raise OSError(f"could not load model {name!r} {told}")
        if not study.bits and next(bridge.original_model.parameters()).dtype != dtype:
            raise ValueError(f"{name}: dtype={study.dtype!r} was asked for but not applied")
        subject = cls(bridge, tokenizer, name, study)
        if read := read_from(place):
            subject.quantised = read["quantised"]
            subject.checked.append(f"unpacked from {read['file']}, {read['quantised']}, SHA-256 {read['sha256']}")
        remember_fingerprint(name, bridge.original_model.config, study, subject.fingerprint)
        return subject

    @classmethod
    def wrap(cls, model: PreTrainedModel, tokenizer: Any, study: Study) -> HookedModel:
        """A model that is in memory already, where it is and as it is, but that its attention becomes the eager form.

        A refused model is left as it was; one that was wrapped before is taken as it is wrapped.

        Args:
            model: a model of Transformers.
            tokenizer: its fast tokenizer.
            study: what the model is read for; `study.instruct` names it.

        Returns:
            The model, checked.

        Raises:
            ValueError: as `load` does, or if the model has hooks or is in training mode: what is kept on disk is the
                plain model's.
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

    # --- identity ------------------------------------------------------------------------------------------------

    @property
    def dtype(self) -> torch.dtype:
        """The number format that it computes in."""
        return self.model.dtype

    @property
    def fingerprint(self) -> str:
        """Hash of weights, configuration, vocabulary and end-of-turn tokens: the model's identity.

        Taken anew each time, since weights may have been edited in place, which leaves no trace that is sure: an edit
        through `.data`, or through NumPy, moves no version counter of PyTorch. Only within `weights_unchanged` once.
        """
        if (taken := _FINGERPRINTS.get()) is None:
            return self._hash()
        if self not in taken:
            taken[self] = self._hash()
        return taken[self]

    def _hash(self) -> str:
        """The fingerprint, from every weight as it is now."""
        return fingerprint(self.model, self.encoder.tokenizer, self.encoder.stop_ids)

    def key(self, version: int, **settings: Any) -> dict[str, Any]:
        """What a stage's results on this model depend on besides their items.

        Args:
            version: the stage's own, raised whenever it computes anything else.
            settings: all that the stage was told.

        Returns:
            Version, model, dtype, kind of device and settings, to be hashed by the cache.

        Raises:
            ValueError: while neurons are scaled, or any hook hangs on the model that did not when it was loaded, or it
                is in training mode: what it does then is not what this key stands for.
        """
        require_reading_mode(self.model, self.name)
        if self.live_hooks() != self.own_hooks:
            raise ValueError(
                f"{self.name} has live hooks (is this inside `with scaled(...)`?), and what is kept on disk is the "
                "untouched model's: leave the block first. Replies of scaled neurons are what replies_at keeps"
            )
        return super().key(version, **settings)

    # --- running -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def hooked(
        self,
        post: PostHook | None = None,
        mlp_out: Callable[[int, Tensor], None] | None = None,
        resid_post: StreamHook | None = None,
    ) -> Iterator[None]:
        """Within the block call functions on what neurons, MLPs and layers give; the hooks go when it ends, however it
        ends.

        Args:
            post: called as `post(layer, z)` on the activations of a layer's neurons, the input of its down projection,
                [batch, pos, neuron]; what it returns, unless None, takes their place.
            mlp_out: called as `mlp_out(layer, h)` on the layer's MLP output, before any norm behind it,
                [batch, pos, d_model].
            resid_post: called as `resid_post(layer, x)` on the residual stream behind a layer, [batch, pos, d_model];
                what it returns, unless None, takes its place.
        """
        hooks = []
        for layer in range(self.n_layers):
            if post is not None:
                hooks.append((f"blocks.{layer}.mlp.out.hook_in", lambda z, layer=layer, **_: post(layer, z)))
            if mlp_out is not None:
                hooks.append((f"blocks.{layer}.mlp.hook_out", lambda h, layer=layer, **_: mlp_out(layer, h)))
            if resid_post is not None:
                hooks.append((f"blocks.{layer}.hook_resid_post", lambda x, layer=layer, **_: resid_post(layer, x)))
        with self.bridge.hooks(fwd_hooks=hooks):
            yield

    @contextlib.contextmanager
    def watched(self, read: Callable[[int, Post, Tensor], None], layers: Iterable[int]) -> Iterator[None]:
        """Within the block call a function on what the MLPs of some layers take in and give, which it cannot change.

        A single hook of PyTorch's own on each down projection costs a tenth of the two that `hooked` hangs on a layer:
        it is for what is read while a model writes.

        Args:
            read: called as `read(layer, z, h)` on activations, [batch, pos, neuron], and MLP output,
                [batch, pos, d_model], as in `hooked`.
            layers: their numbers, from 0.
        """
        with contextlib.ExitStack() as hooks:
            for layer in layers:

                def look(_: torch.nn.Module, given: tuple[Tensor, ...], out: Tensor, layer: int = layer) -> None:
                    read(layer, given[0], out)

                hooks.callback(self.down_projection(layer).register_forward_hook(look).remove)
            yield

    def live_hooks(self) -> set[tuple[int, int]]:
        """Every hook that now hangs on any module: whatever may change what the model does."""
        return {(id(m), hook) for m in self.bridge.modules() for hook in (*m._forward_hooks, *m._forward_pre_hooks)}

    def run_layers(self, **inputs: Any) -> Any:
        """One pass through all layers, without the cost of the unembedding.

        Attention patterns are not kept: they are what takes most memory, and no one looks at them.

        Args:
            inputs: those of the model of Transformers, such as `input_ids`, `attention_mask`, `past_key_values`.

        Returns:
            Its output, such as `last_hidden_state` [batch, pos, d_model] behind the final norm.

        Raises:
            ValueError: if the model is in training mode.
        """
        require_reading_mode(self.model, self.name)
        self._positions = inputs.get("position_ids")
        try:
            return self.model.base_model(**inputs, output_attentions=False)
        finally:
            self._positions = None

    @torch.inference_mode()
    def final_hidden(
        self, ids: Int[Tensor, "batch pos"], mask: Int[Tensor, "batch pos"]
    ) -> Float[Tensor, "batch pos d_model"]:
        """Final hidden states of right-padded rows, all read at once.

        Args:
            ids: token ids.
            mask: 1 where a token stands, 0 on padding.

        Returns:
            Hidden states behind the final norm; those of padding mean nothing.

        Raises:
            ValueError: if the model is in training mode.
        """
        return self.run_layers(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state

    @torch.inference_mode()
    def logits(self, hidden: Float[Tensor, "*pos d_model"]) -> Float[Tensor, "*pos vocab"]:
        """Unembed final hidden states.

        Args:
            hidden: hidden states behind the final norm.

        Returns:
            Logits in float32, scaled and capped as the model itself does.
        """
        config = self.model.config.get_text_config()
        logits = cast(torch.nn.Module, self.model.get_output_embeddings())(hidden).float()
        logits = logits * getattr(config, "logit_scale", 1.0) / getattr(config, "logits_scaling", 1.0)
        cap = getattr(config, "final_logit_softcapping", None)
        return cap * torch.tanh(logits / cap) if cap else logits

    def pieces(self, rows: Sequence[Sequence[int]]) -> list[slice]:
        """Which neighbouring rows are read together, so that a layer's scores and activations find room.

        Args:
            rows: token ids of each row.

        Returns:
            Slices that together cover all rows, in order.
        """
        heads = self.model.config.get_text_config().num_attention_heads
        return pieces([len(row) for row in rows], LayerSize(heads, self.d_mlp))

    @contextlib.contextmanager
    def batch_holds(self, rows: slice | Int[Tensor, "batch"], n: int) -> Iterator[None]:
        """Within the block the batch holds some of the rows that were given, by which each gets its own dose.

        Args:
            rows: the given rows that the batch holds, in order: a piece of them, or the number of each.
            n: how many rows were given.
        """
        if isinstance(rows, slice):
            rows = torch.arange(rows.start, rows.stop, device=self.device)
        self.given_rows = GivenRows(rows, n)
        try:
            yield
        finally:
            self.given_rows = None

    def reorder_batch(self, rows: Int[Tensor, "batch"]) -> None:
        """Say that the batch goes on with these of its own rows, within `batch_holds`.

        Args:
            rows: for each row of the new batch the row of the old one that it continues.
        """
        row, n = cast(GivenRows, self.given_rows)
        self.given_rows = GivenRows(row[rows], n)  # [batch]

    @contextlib.contextmanager
    def prompts_end(self, lengths: Sequence[int]) -> Iterator[None]:
        """Within the block it is known where prompts end, so that doses may act in front of that place or behind it.

        `generate` says it of its prompts.

        Args:
            lengths: for each given row how many of its tokens are its prompt's.
        """
        before = self._prompt_lengths
        self._prompt_lengths = torch.tensor(list(lengths), device=self.device)
        try:
            yield
        finally:
            self._prompt_lengths = before

    def from_prompt_end(self, width: int) -> Int[Tensor, "batch pos"]:
        """Where the tokens that are being read stand, counted from the end of their prompts.

        Args:
            width: how many tokens of each row are being read.

        Returns:
            Places: -1 is a prompt's last token, 0 the first behind it. Those of padding mean nothing.

        Raises:
            ValueError: it is not known where prompts end, or of how many.
        """
        lengths = self._prompt_lengths
        if lengths is None:
            raise ValueError(
                "it is not known where prompts end: a dose at prompts or answers acts in what the model generates, or "
                "inside `with model.prompts_end(lengths)`"
            )
        if self.given_rows is not None:
            if self.given_rows.n != len(lengths):
                raise ValueError(
                    f"lengths of {len(lengths)} prompts do not fit {self.given_rows.n} rows: give each its own"
                )
            lengths = lengths[self.given_rows.row]
        positions = torch.arange(width, device=self.device)[None] if self._positions is None else self._positions
        return positions - lengths[:, None]  # [batch, pos]

    @contextlib.contextmanager
    def in_force(self, doses: Sequence[Dose], alone: bool) -> Iterator[None]:
        """Within the block it is known which rows are scaled alike.

        Args:
            doses: one for all rows, or one for each given row, whose hooks hang on the model already.
            alone: whether nothing else changed what the model does before.
        """
        before = self._in_force
        self._in_force = InForce(doses, self.live_hooks() if alone else set())
        try:
            yield
        finally:
            self._in_force = before

    @property
    def is_dosed(self) -> bool:
        """Whether neurons are being scaled."""
        return self._in_force is not None

    @property
    def hooks_are_known(self) -> bool:
        """Whether no hook hangs on the model but its own and those of the doses in force."""
        expected = self.own_hooks if self._in_force is None else self._in_force.hooks
        return self.live_hooks() == expected

    def rows_by_dose(self, piece: slice) -> tuple[Int[Tensor, "dose"], Int[Tensor, "row"]]:
        """Which of the given rows are scaled alike, where hooks are known.

        Args:
            piece: some of the given rows.

        Returns:
            The first given row of each dose among them, and for each row the place of its dose in these.
        """
        firsts: list[int] = []
        group: list[int] = []
        places: dict[Any, int] = {}  # by dose its place in `firsts`
        for row in range(piece.start, piece.stop):
            key = self._dose_key(row)
            if key not in places:
                places[key] = len(firsts)
                firsts.append(row)
            group.append(places[key])
        return torch.tensor(firsts, device=self.device), torch.tensor(group, device=self.device)

    def _dose_key(self, row: int) -> Any:
        """What tells a given row's dose apart; of one that acts at some tokens only, where its prompt ends as well."""
        doses = () if self._in_force is None else self._in_force.doses
        if not doses:
            return None
        dose = doses[row] if len(doses) > 1 else doses[0]
        around = None if dose.around is None else np.asarray(dose.around).tobytes()
        lengths = None if dose.at == "everywhere" else self._prompt_lengths
        ends = None if lengths is None else int(lengths[row])
        return dose.neurons.tobytes(), dose.alpha, dose.at, around, ends

    def scaled(
        self,
        neurons: Neurons,
        by: float | Sequence[float],
        *,
        at: At = "everywhere",
        around: Float[np.ndarray, "k"] | None = None,
    ) -> AbstractContextManager[None]:
        """Multiply what some neurons write while a `with` block runs. The weights are never touched.

        Args:
            neurons: a card, what `hn.find` returns, flat indices (layer * d_mlp + neuron), or pairs (layer, neuron).
            by: one number, or one for each row of the batch, each prompt of `generate`. 0 ablates, 1 changes nothing.
            at: `everywhere`; or at the tokens of the `prompt` alone, or of the `answer`, which are those behind it.
            around: one activation for each neuron, around which it is scaled; None for 0. Around its mean activation
                (`models.activations.mean_activations`) a `by` of 0 is mean ablation.

        Returns:
            A context manager; when its block ends, however it ends, the model is as it was.

        Raises:
            ValueError: for neurons of another model, a neuron that the model does not have, a `by` that is negative or
                not finite, an unknown `at`, or an `around` that does not fit the neurons.
        """
        flat = neuron_indices(neurons, self)
        return dosed(self, [Dose(flat, float(alpha), at, around) for alpha in np.atleast_1d(by)])

    @overload
    def ask(self, text: str, max_new_tokens: int = 64, watch: None = None) -> str: ...
    @overload
    def ask(self, text: str, max_new_tokens: int = 64, *, watch: Watch[_Seen]) -> _Seen: ...
    def ask(self, text: str, max_new_tokens: int = 64, watch: Watch[_Seen] | None = None) -> str | _Seen:
        """The likeliest reply to what a user says.

        Args:
            text: what the user says; a model without a chat template continues it as a base model, by the study's
                `base_prompt`.
            max_new_tokens: where a longer reply is cut.
            watch: what hn.calibrate returns, to score the reply while it is written.

        Returns:
            The reply's text; with `watch` its `Score`, which holds the text.

        Raises:
            ValueError: `watch` is another model's, or neurons are being scaled.
        """
        if self.encoder.has_template:
            prompt, stop = self.encoder.encode_questions([text])[0], ""
        else:
            prompt = self.encoder.encode_text(self.study.base_prompt.format(question=text))
            stop = self.study.base_stop
        settings = Sampling(n=1, temperature=0.0, max_new_tokens=max_new_tokens)
        if watch is not None:
            return watch.reply(self, prompt, settings, stop)
        ((reply,),) = generate(self, [prompt], settings, stop=stop)
        return reply.text.partition(stop)[0].strip() if stop else reply.text

    # --- weights ---------------------------------------------------------------------------------------------------

    def W_in(self, layer: int) -> Float[Tensor, "d_model neuron"]:
        """A layer's up projection in float32, in TransformerLens' orientation: a column a neuron.

        Args:
            layer: its number, from 0.

        Returns:
            The matrix; of a quantised model what its packed weights stand for.
        """
        return _dense(getattr(self.bridge.blocks[layer].mlp, "in").original_component).T  # [d_model, neuron]

    def W_gate(self, layer: int) -> Float[Tensor, "d_model neuron"]:
        """A layer's gate projection in float32, in TransformerLens' orientation: a column a neuron.

        Args:
            layer: its number, from 0.

        Returns:
            The matrix; of a quantised model what its packed weights stand for.
        """
        return _dense(self.bridge.blocks[layer].mlp.gate.original_component).T  # [d_model, neuron]

    def W_out(self, layer: int) -> Float[Tensor, "neuron d_model"]:
        """A layer's down projection in float32, in TransformerLens' orientation: a row a neuron, what it writes.

        The paper calls the same matrix upright W_down, where a neuron is a column.

        Args:
            layer: its number, from 0.

        Returns:
            The matrix; of a quantised model what its packed weights stand for.
        """
        return _dense(self.down_projection(layer)).T  # [neuron, d_model]

    def b_out(self, layer: int) -> Float[Tensor, "d_model"] | float:
        """What a layer's down projection adds to its neurons' writes, in float32; 0 for most models.

        Args:
            layer: its number, from 0.

        Returns:
            The bias, or the number 0 if there is none.
        """
        bias = getattr(self.down_projection(layer), "bias", None)
        return 0.0 if bias is None else bias.float()

    @torch.inference_mode()
    def direct_logit_effect(self, layer: int, neuron: int) -> Float[Tensor, "vocab"]:
        """What one neuron's write, taken alone, does to each token's logit.

        Its column of W_down goes through final norm and unembedding: the direct path alone. What later layers make of
        the write is not in it, nor, behind the norm, is its length.

        Args:
            layer: the neuron's layer.
            neuron: its number within the layer.

        Returns:
            Logits of all tokens; differences between tokens mean something, the level does not.
        """
        column = self.W_out(layer)[neuron].to(self.device, self.model.dtype)
        final = self.bridge.ln_final.original_component(column[None, None])  # [1, 1, d_model]
        return self.bridge.unembed.original_component(final)[0, 0].float()  # [vocab]

    @property
    def w_out_norm(self) -> Float[Tensor, "layer neuron"]:
        """How long a neuron's write is where it fires with 1: the length of its column of W_down.

        Taken anew each time, since weights may have been edited in place; packed ones, which take long to unpack, once.
        """
        return torch.stack([self.column_lengths(layer).to(self.device) for layer in range(self.n_layers)])

    def column_lengths(self, layer: int, neurons: Int[Tensor, "k"] | None = None) -> Float[Tensor, "neuron"]:
        """One layer of `w_out_norm`, or some neurons of it.

        Args:
            layer: its number, from 0.
            neurons: numbers within the layer, whose columns alone are read; None for all.

        Returns:
            Lengths, on the device where the layer's weights are.
        """
        weight = self.down_projection(layer).weight  # [d_model, neuron]
        every = slice(None) if neurons is None else neurons.to(weight.device)
        if weight.is_floating_point():
            return weight.detach()[:, every].float().norm(dim=0)
        if layer not in self._packed_norms:
            self._packed_norms[layer] = self.W_out(layer).norm(dim=1)
        return self._packed_norms[layer][every]

    def down_projection(self, layer: int) -> torch.nn.Linear:
        """The module that holds a layer's down projection, as the model itself has it: [d_model, neuron] upright."""
        return self.bridge.blocks[layer].mlp.out.original_component


@torch.inference_mode()
def _dense(linear: torch.nn.Module) -> Float[Tensor, "out in"]:
    """A linear layer's matrix in float32; that of a quantised one is read off what it does to unit vectors."""
    weight = cast(Tensor, linear.weight)
    if weight.is_floating_point():
        return weight.detach().float()
    units = torch.eye(cast(int, linear.in_features), device=weight.device)
    return (linear(units) - linear(torch.zeros_like(units[:1]))).float().T  # [out, in]
