"""One look at a model when it is loaded or wrapped: what could silently be wrong, and what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from hn_utils.models import templates
from hn_utils.models.checks import (
    require_finite,
    require_finite_weights,
    require_gated,
    require_near,
    require_reading_mode,
    require_same_twice,
    require_weights_here,
    require_width,
)

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel, Post


@torch.inference_mode()
def inspect(subject: HookedModel) -> list[str]:
    """Look once at what could silently be wrong, and say what was found. Raises ValueError if something is."""
    require_weights_here(subject.model, subject.name)
    require_reading_mode(subject.model, subject.name)
    require_gated(subject.bridge.blocks, subject.name)
    require_finite_weights(subject.model, subject.name)
    template = _template(subject)
    row = subject.encoder.encode_text("Who wrote the first page, and when?")
    alone = _writes(subject, row)
    ids, mask = subject.encoder.pad([row], "right", subject.device)
    require_same_twice(alone, subject.final_hidden(ids, mask)[0, -1], subject.name)
    whole = subject.model(input_ids=ids, use_cache=False).logits[0, -1]
    require_finite(whole, subject.name, "what it predicts")
    require_near(
        subject.logits(alone),
        whole,
        _rounding(subject, alone.dtype),
        lambda off: f"{subject.name}: its logits are off by {off} from what unembedding its last layer gives",
    )
    off = _padding(subject, row, alone)
    return [
        f"{type(subject.model).__name__}, {subject.n_layers} layers of {subject.d_mlp} gated neurons each",
        f"{alone.dtype} on {subject.device}, MLP output taken where the down projection writes it",
        f"a row padded on the left differs by {off:.1e}",
        template,
    ]


def _rounding(subject: HookedModel, dtype: torch.dtype) -> float:
    """How far two ways to compute the same may be apart. Two readings in the same way may not at all."""
    exact = dtype == torch.float32 and not getattr(subject.model, "is_quantized", False)
    return 1e-3 if exact else 0.05


def _all_layers(
    subject: HookedModel, row: list[int]
) -> tuple[Float[Tensor, "d_model"], dict[int, Post], dict[int, Float[Tensor, "batch pos d_model"]]]:
    """The last token's final hidden state, and what each layer's neurons did and its MLP wrote, all finite."""
    posts: dict[int, Tensor] = {}
    outs: dict[int, Tensor] = {}
    ids, mask = subject.encoder.pad([row], "right", subject.device)
    with subject.hooked(post=posts.__setitem__, mlp_out=outs.__setitem__):
        final = subject.final_hidden(ids, mask)[0, -1]  # [d_model]
    for layer in sorted(posts):
        require_finite(posts[layer], subject.name, f"what layer {layer}'s neurons compute")
        require_finite(outs[layer], subject.name, f"what layer {layer}'s MLP writes")
    require_finite(final, subject.name, "what its last layer gives")
    return final, posts, outs


def _writes(subject: HookedModel, row: list[int]) -> Float[Tensor, "d_model"]:
    """Is every layer's MLP output what its neurons write? Returns the last token's final hidden state."""
    alone, posts, outs = _all_layers(subject, row)
    require_width(posts, subject.n_layers, subject.d_mlp, subject.name)
    for layer in range(subject.n_layers):
        require_near(
            posts[layer].float() @ subject.W_out(layer) + subject.b_out(layer),
            outs[layer],
            _rounding(subject, alone.dtype),
            lambda off, layer=layer: (
                f"{subject.name}: layer {layer}'s MLP output is off by {off} from what its neurons write by the "
                "stored W_down: contributions would be wrong; merge an adapter on its MLP first (merge_and_unload)"
            ),
        )
    return alone


def _padding(subject: HookedModel, row: list[int], alone: Float[Tensor, "d_model"]) -> float:
    """How far a row's final hidden state is off when it is padded on the left."""
    ids, mask = subject.encoder.pad([row, row + row], "left", subject.device)
    places = (mask.cumsum(1) - 1).clamp(min=0)
    padded = subject.run_layers(input_ids=ids, attention_mask=mask, position_ids=places, use_cache=False)
    return require_near(
        padded.last_hidden_state[0, -1],
        alone,
        _rounding(subject, alone.dtype),
        lambda off: f"{subject.name}: a row padded on the left changes by {off}: padding is not masked",
    )


def _template(subject: HookedModel) -> str:
    """Where the chat template begins and ends a prompt and a reply, and whether the model can read what it writes."""
    encoder = subject.encoder
    found = templates.template_summary(encoder.tokenizer, encoder.configured_ends, subject.name)
    if encoder.has_template:
        (prompt,) = encoder.encode_questions(["a"])
        if beyond := [token for token in prompt if token >= encoder.vocabulary_size]:
            text = encoder.tokenizer.decode(beyond[:1])
            raise ValueError(
                f"{subject.name}: its chat template writes {text!r}, token {beyond[0]}, and the model knows "
                f"{encoder.vocabulary_size}: give the model's own tokenizer, or resize its embedding"
            )
        _all_layers(subject, prompt)
    return found
