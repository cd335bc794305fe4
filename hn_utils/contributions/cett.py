"""CETT: how much of a layer's MLP output one neuron writes, averaged over the tokens of a region (Gao et al., 6.1)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hn_utils.contributions.tall_matrix import TallMatrix
from hn_utils.models.checks import require_finite
from hn_utils.models.kv_cache import cache_behind, extend, shared_length
from hn_utils.storage.cache import cached
from hn_utils.storage.stages import register_stage

if TYPE_CHECKING:
    from hn_utils.answers.examples import Example
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.study import Study

VERSION = register_stage("contributions", 3)
_EPSILON = 1e-8
REGIONS = ("answer", "other", "before", "body")
EXAMPLES_PER_SHARD = 64


@dataclass(frozen=True)
class Contributions:
    """Mean contributions by region, rows of [example, layer * neuron], layer-major as in the paper; float16 on disk.

    Regions: `answer`, the answer tokens; `other`, every other position, template included; `before`, the one position
    that predicts the first answer token; `body`, `other` without the first position, where a begin token stands.
    """

    regions: Mapping[str, TallMatrix]
    n_layers: int
    d_mlp: int

    def __len__(self) -> int:
        return len(self.regions["answer"])

    def __getitem__(self, rows: np.ndarray) -> Contributions:
        """Some of the examples, by index or mask."""
        return Contributions({region: read[rows] for region, read in self.regions.items()}, self.n_layers, self.d_mlp)

    def at(self, region: str) -> TallMatrix:
        """The mean contributions at one region.

        Args:
            region: `answer`, `other`, `before` or `body`.

        Returns:
            Rows, [example, layer * neuron], without unit.

        Raises:
            ValueError: there is no such region.
        """
        if region not in self.regions:
            raise ValueError(f"unknown region {region!r}: choose one of {', '.join(self.regions)}")
        return self.regions[region]


class Labelled(NamedTuple):
    """Answers ready to be scored: contributions at one region, labels (1 for made up), and the entities that the
    answers are about."""

    X: TallMatrix
    labels: np.ndarray
    groups: np.ndarray


def by_region(
    arrays: Sequence[Float[np.ndarray, "example region layer_neuron"]],
    where: Int[np.ndarray, "example 2"] | None = None,
) -> dict[str, TallMatrix]:
    """The rows of each region, from arrays that hold all regions.

    Args:
        arrays: contributions, [example, region, layer * neuron] each, without unit.
        where: array and place in it of each example, [example, 2], as for `TallMatrix`; None for all in order.

    Returns:
        By region, rows [example, layer * neuron], not copied.

    Raises:
        ValueError: the arrays differ in width.
    """
    return {region: TallMatrix([a[:, place] for a in arrays], where) for place, region in enumerate(REGIONS)}


def contribution(
    post: Float[Tensor, "*pos neuron"],
    w_out_norm: Float[Tensor, "neuron"],
    mlp_out: Float[Tensor, "*pos d_model"],
) -> Float[Tensor, "*pos neuron"]:
    """CETT: the length of one neuron's write relative to the length of its layer's whole output.

    Args:
        post: each neuron's activation, the input of the down projection, [..., pos, neuron].
        w_out_norm: length of the neuron's column of W_down, [neuron].
        mlp_out: the layer's whole output, before any post-norm, [..., pos, d_model].

    Returns:
        Contributions, [..., pos, neuron]: sizes without unit, 0 or more. The sum over neurons exceeds 1, since writes
        cancel. It is not a direction and not an effect on the answer.

    Source:
        Gao et al., arXiv 2512.01797, section 6.1. A small number is added to the layer's length, against division by 0.
    """
    return relative_write(post, w_out_norm, mlp_out.float().norm(dim=-1, keepdim=True))


def relative_write(
    post: Float[Tensor, "*pos neuron"], w_out_norm: Float[Tensor, "neuron"], length: Float[Tensor, "*pos 1"]
) -> Float[Tensor, "*pos neuron"]:
    """`contribution` where the length of the layer's whole output is known.

    Args:
        post: each neuron's activation, [..., pos, neuron].
        w_out_norm: length of the neuron's column of W_down, [neuron].
        length: of the layer's whole output, [..., pos, 1].

    Returns:
        Contributions, [..., pos, neuron], without unit.
    """
    return post.float().abs() * w_out_norm / (length + _EPSILON)


def token_contributions(
    subject: HookedModel, rows: Sequence[Sequence[int]], neurons: Int[np.ndarray, "k"]
) -> list[Float[np.ndarray, "pos k"]]:
    """Contribution of some neurons at every token of each row, without pooling.

    Args:
        subject: the model.
        rows: token ids of each text, [pos] each.
        neurons: flat indices, layer * d_mlp + neuron, [k].

    Returns:
        For each row, contributions without unit, [pos, k], in float32.

    Raises:
        ValueError: the model has no such neuron.

    Source:
        Gao et al., arXiv 2512.01797, section 6.1.
    """
    subject.require_neurons(neurons)
    found: list[np.ndarray] = []
    for piece in subject.pieces(rows):
        with subject.batch_holds(piece, len(rows)):
            found += _read_tokens(subject, rows[piece], np.asarray(neurons))
    return found


def _read_tokens(
    subject: HookedModel, rows: Sequence[Sequence[int]], neurons: Int[np.ndarray, "k"]
) -> list[Float[np.ndarray, "pos k"]]:
    """`token_contributions` of rows that are read at once."""
    ids, mask = subject.encoder.pad(rows, "right", subject.device)
    layers, places = np.divmod(neurons, subject.d_mlp)  # [k], [k]
    values = np.zeros((*ids.shape, len(layers)), np.float32)
    activations: dict[int, Tensor] = {}

    def weigh(layer: int, mlp_out: Tensor) -> None:
        post = activations.pop(layer)  # [row, pos, neuron]
        mine = layers == layer  # [k]
        if not mine.any():
            return
        columns = torch.as_tensor(places[mine], device=mlp_out.device)
        norms = subject.column_lengths(layer, columns).to(mlp_out.device)
        values[..., mine] = contribution(post[..., columns], norms, mlp_out).cpu().numpy()  # [row, pos, mine]

    with subject.hooked(post=activations.__setitem__, mlp_out=weigh):
        subject.final_hidden(ids, mask)
    return [values[i, : len(row)] for i, row in enumerate(rows)]


def _region_weights(examples: Sequence[Example], width: int) -> Float[Tensor, "batch region pos"]:
    """Averaging weights: 1 / (tokens in the region) on the region's positions, 0 elsewhere."""
    weights = torch.zeros(len(examples), len(REGIONS), width)
    for i, example in enumerate(examples):
        weights[i, 0, example.answer] = 1
        weights[i, 1, : len(example.ids)] = 1
        weights[i, 1, example.answer] = 0
        weights[i, 2, example.answer[0] - 1] = 1
        weights[i, 3, 1:] = weights[i, 1, 1:]
    return weights / weights.sum(-1, keepdim=True).clamp(min=1)


@torch.inference_mode()
def mean_contributions(subject: HookedModel, examples: Sequence[Example]) -> Float[Tensor, "batch region layer neuron"]:
    """Contributions of one batch, averaged over each region inside the forward pass.

    Memory does not grow with the text, but for the scores of attention, for which a batch is read in pieces. The mean
    of |z| |w| / |h| over a region is |w| times a matrix product of (weights / |h|) with |z|.

    Args:
        subject: the model.
        examples: answers with their tokens and the places of the answer among them.

    Returns:
        Mean contributions, [batch, region, layer, neuron], without unit, regions in the order of REGIONS.

    Raises:
        ValueError: a contribution is not finite.

    Source:
        Gao et al., arXiv 2512.01797, section 6.1; regions `before` and `body` are ours.
    """
    pooled: list[Tensor] = []
    for piece in subject.pieces([e.ids for e in examples]):
        with subject.batch_holds(piece, len(examples)):
            pooled.append(_pooled_together(subject, examples[piece]))
    values = torch.cat(pooled) * subject.w_out_norm
    for layer in range(subject.n_layers):
        require_finite(values[:, :, layer], subject.name, f"what layer {layer}'s neurons contribute")
    return values


def _pooled_together(subject: HookedModel, examples: Sequence[Example]) -> Float[Tensor, "batch region layer neuron"]:
    """Mean of |z| / |h| of examples that are read at once; what all begin with is read once."""
    rows = [e.ids for e in examples]
    n_shared = 0 if subject.is_dosed else shared_length(subject, rows)
    rest, mask = subject.encoder.pad([row[n_shared:] for row in rows], "right", subject.device)
    mask = torch.cat([mask.new_ones(len(mask), n_shared), mask], 1)  # [batch, pos]
    weights = _region_weights(examples, mask.shape[1]).to(subject.device)
    pooled = torch.zeros(len(examples), len(REGIONS), subject.n_layers, subject.d_mlp, device=subject.device)
    with _pooling(subject, weights[..., :n_shared], pooled):
        cache = cache_behind(subject, rows[0][:n_shared], slice(0, len(rows)), len(rows))
    with _pooling(subject, weights[..., n_shared:], pooled):
        extend(subject, rest, mask, cache)
    return pooled


@contextlib.contextmanager
def _pooling(
    subject: HookedModel,
    weights: Float[Tensor, "batch region pos"],
    pooled: Float[Tensor, "batch region layer neuron"],
) -> Iterator[None]:
    """While some positions are read, add each one's |z| / |h| to `pooled` by its weight. One row may be read for all of
    the batch."""
    activations: dict[int, Tensor] = {}

    def weigh(layer: int, mlp_out: Tensor) -> None:
        per_token = weights.to(mlp_out.device) / (mlp_out.float().norm(dim=-1)[:, None] + _EPSILON)
        size = activations.pop(layer).float().abs()  # [batch or 1, pos, neuron]
        pooled[:, :, layer] += torch.matmul(per_token, size).to(pooled.device)  # [batch, region, neuron]

    with subject.hooked(post=activations.__setitem__, mlp_out=weigh):
        yield


def capture(subject: HookedModel, examples: Sequence[Example], study: Study) -> Contributions:
    """Contributions of every example, from disk where they already are.

    Args:
        subject: the model.
        examples: answers with a label, none of them dropped.
        study: how many rows are read at once.

    Returns:
        Mean contributions of every neuron, by region, [example, layer * neuron], in float16 and without unit.

    Raises:
        ValueError: there is no example, one was dropped, its answer lies outside its tokens, or a contribution is not
            finite.

    Source:
        Gao et al., arXiv 2512.01797, section 6.1.
    """
    if not examples or any(e.label is None for e in examples):
        raise ValueError("capture needs examples with a label: leave out the dropped ones first")
    for example in examples:
        if not example.answer or not all(0 < place < len(example.ids) for place in example.answer):
            raise ValueError(
                f"question {example.question.id!r}: answer={example.answer} must be places of tokens behind the first "
                f"of {len(example.ids)}"
            )

    def compute(some: list[int]) -> dict[str, np.ndarray]:
        batches = [some[start : start + study.batch_rows] for start in range(0, len(some), study.batch_rows)]
        pooled = (mean_contributions(subject, [examples[i] for i in batch]).flatten(2) for batch in batches)
        return {"values": np.concatenate([values.cpu().numpy().astype(np.float16) for values in pooled])}

    keys = [(e.ids, e.answer) for e in examples]
    lengths = [len(e.ids) for e in examples]
    kept = cached("contributions", subject.key(VERSION), keys, compute, EXAMPLES_PER_SHARD, lengths)
    regions = by_region([shard["values"] for shard in kept.shards], kept.where)
    return Contributions(regions, subject.n_layers, subject.d_mlp)
