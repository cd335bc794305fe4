"""Confidence regulation (Stolfo et al. 2024): neurons of the last layer that change how sure a model is, and not what
it says.

An *entropy neuron* writes into directions of the residual stream that the unembedding hardly reads. What it writes
moves no token against another; but it makes the residual stream longer, the final norm divides by that length, and all
logits shrink together. So it has a large norm, a small variance over the logits, a large share (rho) in the
unembedding's bottom singular directions, and its effect vanishes once the final scale is held still. A *token-frequency
neuron* moves predictions towards, or away from, how frequent each token is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import Embedding

from hn_utils.models.checks import require_reading_mode
from hn_utils.models.hook_points import Point, hooked_at
from hn_utils.stats.bootstrap import Estimate, spread
from hn_utils.stats.drawn import figure_of
from hn_utils.stats.rank_test import tail_p
from hn_utils.stats.tables import Tabled, counted

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from hn_utils.models.hooked_model import HookedModel

_N_CHOSEN = 6  # neurons that are ablated, and as many random ones beside them
_N_RANDOM_LAYERS = 1_000  # layers of random vectors, of each of which the largest share is taken
_FIRST = 3  # tokens of each text that are not predicted: what stands there is odd in many models


class Weights(NamedTuple):
    """What the weights of the last layer's neurons say, one number a neuron."""

    norm: Float[np.ndarray, "neuron"]
    logit_variance: Float[np.ndarray, "neuron"]
    rho: Float[np.ndarray, "neuron"]


class Ablation(NamedTuple):
    """What mean ablation of one neuron changes, on average over tokens.

    `total` and `direct` are changes of the loss (nats), `direct` with the final scale as it was. `frequency_total` and
    `frequency_direct` are changes of the divergence of the predictions from the tokens' frequencies (nats), the latter
    with the logits' part along the frequencies as it was. `entropy` is the change of the predictions' entropy (nats,
    with its sign).
    """

    total: float
    direct: float
    frequency_total: float
    frequency_direct: float
    entropy: float

    @property
    def mediated(self) -> float:
        """Share of the effect on the loss that passes through the final scale; nan without any effect."""
        return 1 - self.direct / self.total if self.total else float("nan")

    @property
    def by_frequency(self) -> float:
        """Share of the effect on the divergence that passes through the frequencies; nan without any effect."""
        return 1 - self.frequency_direct / self.frequency_total if self.frequency_total else float("nan")


@dataclass(frozen=True, repr=False)
class ConfidenceRegulation(Tabled):
    """Is any neuron of the last layer an entropy neuron, or a token-frequency neuron?

    Attributes:
        weights: norm, variance over the logits and share in the bottom directions of every neuron of the last layer.
        k: how many bottom directions.
        singular_values: of the unembedding with the final norm's gain folded in, in falling order.
        random_rho: the largest share among as many random vectors, in each of many draws.
        neurons: those with the largest share, flat indices, the largest first; an entropy neuron is moreover long and
            of little variance.
        ablations: what ablating each of them does.
        others: what ablating as many random neurons of the layer does.
        d_mlp: neurons in a layer.
    """

    weights: Weights
    k: int
    singular_values: Float[np.ndarray, "direction"]
    random_rho: Float[np.ndarray, "draw"]
    neurons: Int[np.ndarray, "chosen"]
    ablations: list[Ablation]
    others: list[Ablation]
    d_mlp: int

    @property
    def largest(self) -> Estimate:
        """The largest share among as many random vectors: its mean and the range of 95 % of the draws."""
        return spread(self.random_rho, len(self.random_rho))

    @property
    def p(self) -> float:
        """How often random vectors have a share as large as the largest one here."""
        return tail_p(float(self.weights.rho.max()), self.random_rho)

    @property
    def drop(self) -> float:
        """The smallest singular value over the median one: far below 1 where the unembedding has a null space."""
        return float(self.singular_values[-1] / np.median(self.singular_values))

    @property
    def headline(self) -> str:
        """The largest share beside that of random vectors, and how much of the effects the final scale carries."""
        return (
            f"Largest share in the {counted(self.k, 'bottom direction')} of the unembedding "
            f"{self.weights.rho.max():.2f}, of as many random vectors {self.largest} (p = {self.p:.3f}); smallest "
            f"singular value {self.drop:.2f} of the median; through the final scale passes of the effect of "
            f"{counted(len(self.neurons), 'neuron')} with the largest share {_median_and_most(self.ablations)}, of "
            f"random ones' {_median_and_most(self.others)}"
        )

    @property
    def table(self) -> pd.DataFrame:
        """A row a candidate; norm and variance as percentiles within the layer, effects in thousandths of a nat."""
        rows = []
        for flat, ablation in zip(self.neurons.tolist(), self.ablations, strict=True):
            j = flat % self.d_mlp
            rows.append(
                {
                    "layer": flat // self.d_mlp,
                    "neuron": j,
                    "norm (percentile)": _percentile(self.weights.norm, j),
                    "LogitVar (percentile)": _percentile(self.weights.logit_variance, j),
                    "rho": self.weights.rho[j],
                    "total effect (mnat)": 1_000 * ablation.total,
                    "direct effect (mnat)": 1_000 * ablation.direct,
                    "through the final scale": ablation.mediated,
                    "entropy (mnat)": 1_000 * ablation.entropy,
                    "through token frequency": ablation.by_frequency,
                }
            )
        return pd.DataFrame(rows)

    def plot(self) -> go.Figure:
        """Every neuron's norm against its share in the bottom directions, with that of random vectors."""
        return figure_of("confidence_regulation", self)


def logit_variance(
    w_out: Float[Tensor, "neuron d_model"], unembedding: Float[Tensor, "d_model vocab"]
) -> Float[Tensor, "neuron"]:
    """How unevenly a neuron writes to the logits, apart from lengths.

    Args:
        w_out: what each neuron writes where it fires with 1.
        unembedding: a column a token, with the final norm's gain folded in.

    Returns:
        Variance over tokens of the cosine between the neuron's write and the token's column.

    Source:
        Stolfo et al. 2024, section 3 (LogitVar).
    """
    writes = w_out / w_out.norm(dim=1, keepdim=True)
    columns = unembedding / unembedding.norm(dim=0, keepdim=True)
    return (writes @ columns).var(dim=1, unbiased=False)


def bottom_share(
    w_out: Float[Tensor, "neuron d_model"], unembedding: Float[Tensor, "d_model vocab"], k: int
) -> tuple[Float[Tensor, "neuron"], Float[Tensor, "direction"]]:
    """How much of a neuron's write lies where the unembedding hardly reads.

    Args:
        w_out: what each neuron writes where it fires with 1.
        unembedding: a column a token, with the final norm's gain folded in.
        k: how many of the unembedding's bottom singular directions.

    Returns:
        Rho, the length of the write within these directions over its length, 0 to 1; and all singular values, in
        falling order.

    Raises:
        ValueError: there are not so many directions.

    Source:
        Stolfo et al. 2024, section 3.
    """
    if not 0 < k < len(unembedding):
        raise ValueError(f"k={k} must lie between 1 and {len(unembedding) - 1}, since w_out is so wide")
    directions, values, _ = torch.linalg.svd(unembedding @ unembedding.T)  # [d_model, d_model]; squares of the values
    inside = w_out @ directions[:, -k:]  # [neuron, k]
    return inside.norm(dim=1) / w_out.norm(dim=1), values.clamp(min=0).sqrt()


def random_largest(d_model: int, k: int, n_neurons: int, n_draws: int, seed: int) -> Float[np.ndarray, "draw"]:
    """The largest share among random vectors, many times: what the largest of a layer has to be held against.

    Args:
        d_model: length of a vector.
        k: how many directions the share is of.
        n_neurons: how many vectors the largest is taken of.
        n_draws: how many times.
        seed: of the draws.

    Returns:
        Shares, [draw]. Those of vectors of independent normal numbers, whose square has a Beta distribution; the mean
        share, about the root of k / d_model, would be far too easy a control.
    """
    rng = np.random.default_rng(seed)
    squares = rng.beta(k / 2, (d_model - k) / 2, (n_draws, n_neurons))
    return np.sqrt(squares.max(axis=1))


def final_gain(model: HookedModel) -> Float[Tensor, "d_model"]:
    """What the final norm multiplies each channel by, read off what it makes of ones (for Gemma that is 1 + g).

    Args:
        model: a model whose final norm divides by the root mean square.

    Returns:
        The gain.

    Raises:
        ValueError: the norm subtracts the mean first, so that of ones nothing is left.
    """
    width = model.model.config.get_text_config().hidden_size
    ones = torch.ones(1, 1, width, device=model.device, dtype=model.dtype)
    with torch.inference_mode():
        gain = model.bridge.ln_final.original_component(ones)[0, 0].float()
    if not gain.any():
        raise ValueError(f"{model.name}: its final norm subtracts the mean; this method is for root-mean-square norms")
    return gain


def folded_unembedding(model: HookedModel) -> Float[Tensor, "d_model vocab"]:
    """The unembedding with the final norm's gain folded in: what turns a direction of the residual stream into logits.

    Args:
        model: the model.

    Returns:
        The matrix in float32, a column a token.

    Raises:
        ValueError: as `final_gain` does.
    """
    embeddings = cast(Embedding, model.model.get_output_embeddings())
    unembedding = embeddings.weight.detach().float()  # [vocab, d_model]
    return (unembedding * final_gain(model)).T  # [d_model, vocab]


def weights_of(model: HookedModel, k: int) -> tuple[Weights, Float[np.ndarray, "direction"]]:
    """Read the last layer's weights.

    Args:
        model: the model.
        k: how many bottom directions.

    Returns:
        Norm, variance over the logits and share of every neuron; and the unembedding's singular values.

    Raises:
        ValueError: as `bottom_share` and `final_gain` do.
    """
    unembedding = folded_unembedding(model)
    w_out = model.W_out(model.n_layers - 1).to(unembedding.device)
    rho, values = bottom_share(w_out, unembedding, k)
    parts = (w_out.norm(dim=1), logit_variance(w_out, unembedding), rho)
    return Weights(*(part.cpu().numpy() for part in parts)), values.cpu().numpy()


def find_entropy_neurons(
    model: HookedModel, rows: Sequence[Sequence[int]], *, n: int = _N_CHOSEN, k: int | None = None, seed: int = 0
) -> ConfidenceRegulation:
    """Look for entropy neurons and token-frequency neurons in the last layer.

    Args:
        model: the model.
        rows: token ids of ordinary text, on which neurons are ablated and tokens are counted.
        n: how many neurons are ablated, those with the largest share, and as many random ones beside them.
        k: how many bottom directions; None for a hundredth of the residual stream's width, as in the paper.
        seed: of the random vectors and neurons.

    Returns:
        What the weights say, and what ablation does. A share beside random vectors is a statement on weights; only the
        share of the effect that the final scale carries says that a neuron regulates confidence.

    Raises:
        ValueError: there is no text to predict, `k` is out of range, or the final norm is of another kind.

    Source:
        Stolfo et al. 2024 (arXiv 2406.16254), sections 3 and 5, from its public code; written anew. Positions and texts
        are ours.
    """
    width = model.model.config.get_text_config().hidden_size
    k = max(1, round(width / 100)) if k is None else k
    weights, values = weights_of(model, k)
    chosen = np.argsort(-weights.rho, kind="stable")[:n]
    rng = np.random.default_rng(seed)
    others = rng.choice(np.setdiff1d(np.arange(model.d_mlp), chosen), len(chosen), replace=False)
    ablated = ablations(model, rows, np.concatenate([chosen, others]))
    largest = random_largest(width, k, model.d_mlp, _N_RANDOM_LAYERS, seed)
    flat = (model.n_layers - 1) * model.d_mlp + chosen
    return ConfidenceRegulation(
        weights, k, values, largest, flat, ablated[: len(chosen)], ablated[len(chosen) :], model.d_mlp
    )


# --- ablation ---------------------------------------------------------------------------------------------------------


class _Read(NamedTuple):
    """Some rows read once: their final residual streams, scales, logits, next tokens, and the last layer's neurons."""

    slots: Int[Tensor, "batch pos"]  # 1 where a next token is predicted
    residual: Float[Tensor, "token d_model"]
    scale: Float[Tensor, "token"]
    logits: Float[Tensor, "token vocab"]
    following: Int[Tensor, "token"]
    post: Float[Tensor, "batch pos neuron"]


@torch.inference_mode()
def ablations(model: HookedModel, rows: Sequence[Sequence[int]], neurons: Int[np.ndarray, "some"]) -> list[Ablation]:
    """Set neurons of the last layer to their mean, one after another, and see what of that the final scale carries.

    Args:
        model: the model.
        rows: token ids of texts.
        neurons: numbers within the last layer.

    Returns:
        The effects of each neuron, on average over tokens. The first tokens of a text and special tokens are left out.

    Raises:
        ValueError: no token is left to be predicted, or the model is in training mode.

    Source:
        Stolfo et al. 2024, sections 3.2 and 5.2: total effect, direct effect with the scale frozen, and the effect with
        the logits' component along the token frequencies frozen.
    """
    require_reading_mode(model.model, model.name)
    frequency = log_frequencies(rows, model.encoder.vocabulary_size)
    special = set(model.encoder.tokenizer.all_special_ids)
    gain = final_gain(model)
    pieces = [_read(model, rows[piece], gain, special) for piece in model.pieces(rows)]
    n_tokens = sum(len(read.following) for read in pieces)
    if not n_tokens:
        raise ValueError(f"rows hold no token behind the first {_FIRST} that is no special one: give longer texts")
    n_read = sum(int(read.slots.sum()) for read in pieces)
    fired = torch.stack([read.post[read.slots.bool()].sum(0) for read in pieces]).sum(0) / n_read  # [neuron]
    effects = []
    for j in neurons.tolist():
        sums = torch.zeros(len(Ablation._fields), dtype=torch.float64)
        for piece, read in zip(model.pieces(rows), pieces, strict=True):
            sums += _ablated(model, rows[piece], read, j, fired[j], gain, frequency)
        effects.append(Ablation(*(sums / n_tokens).tolist()))
    return effects


def log_frequencies(rows: Sequence[Sequence[int]], n_tokens: int) -> Float[Tensor, "vocab"]:
    """How frequent each token is in some text.

    Args:
        rows: token ids of texts.
        n_tokens: size of the vocabulary.

    Returns:
        Log-probabilities (nats), each token counted once more than it occurs.
    """
    counts = torch.ones(n_tokens)
    for row in rows:
        counts += torch.bincount(torch.tensor(row), minlength=n_tokens)
    return (counts / counts.sum()).log()


def _run(
    model: HookedModel, rows: Sequence[Sequence[int]], j: int | None, value: Tensor | float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Ids, mask, final hidden states, the residual stream before the final norm, and the last layer's neurons, with
    neuron `j` of the last layer set to a value."""
    ids, mask = model.encoder.pad(rows, "right", model.device)
    seen: dict[str, Tensor] = {}

    def set_one(layer: int, post: Tensor) -> Tensor | None:
        if layer < model.n_layers - 1:
            return None
        seen["post"] = post
        if j is None:
            return None
        changed = post.clone()
        changed[..., j] = value
        return changed

    with model.hooked(post=set_one), hooked_at(model, Point.FINAL, lambda _, x: seen.update(residual=x)):
        hidden = model.final_hidden(ids, mask)
    return ids, mask, hidden, seen["residual"], seen["post"]


def _read(
    model: HookedModel, rows: Sequence[Sequence[int]], gain: Float[Tensor, "d_model"], special: set[int]
) -> _Read:
    """Rows as they are, at the positions after which a token is predicted that counts."""
    ids, mask, hidden, residual, post = _run(model, rows, None, 0.0)
    slots = mask.clone()
    slots[:, : _FIRST - 1] = 0
    slots[:, :-1] *= mask[:, 1:]
    slots[:, -1] = 0
    ordinary = torch.tensor([[token not in special for token in row] for row in ids.tolist()], device=ids.device)
    slots[:, :-1] *= ordinary[:, 1:]
    at = slots.bool()
    following = ids.roll(-1, dims=1)[at]  # [token]
    here = residual[at].float()  # [token, d_model]
    scale = (here * gain).norm(dim=1) / hidden[at].float().norm(dim=1)  # [token]
    return _Read(slots, here, scale, model.logits(hidden[at]), following, post)


def _ablated(
    model: HookedModel,
    rows: Sequence[Sequence[int]],
    read: _Read,
    j: int,
    value: Tensor,
    gain: Float[Tensor, "d_model"],
    frequency: Float[Tensor, "vocab"],
) -> Float[Tensor, "effect"]:
    """Sums over the tokens of some rows of what an ablation changes, in the order of `Ablation`."""
    _, _, hidden, residual, _ = _run(model, rows, j, value)
    at = read.slots.bool()
    clean = read.logits.log_softmax(-1)  # [token, vocab]
    logits = model.logits(hidden[at])
    changed = logits.log_softmax(-1)
    held = (residual[at].float() * gain / read.scale[:, None]).to(hidden.dtype)  # the final scale as it was
    direct = model.logits(held).log_softmax(-1)

    frequency = frequency.to(logits.device)
    share = frequency.exp()
    along = frequency - frequency.mean()
    along = along / along.norm()
    moved = (logits - read.logits) @ along  # [token]
    reset = (logits - moved[:, None] * along).log_softmax(-1)

    def loss(logprobs: Tensor) -> Float[Tensor, "token"]:
        return -logprobs.gather(1, read.following[:, None])[:, 0]

    def entropy(logprobs: Tensor) -> Float[Tensor, "token"]:
        return -(logprobs.exp() * logprobs).sum(-1)

    effects = torch.stack(
        [
            (loss(changed) - loss(clean)).abs().sum(),
            (loss(direct) - loss(clean)).abs().sum(),
            ((changed - clean) @ share).abs().sum(),  # the divergences differ by this: the entropies of `share` cancel
            ((reset - clean) @ share).abs().sum(),
            (entropy(changed) - entropy(clean)).sum(),
        ]
    )
    return effects.double().cpu()


def _median_and_most(ablations: Sequence[Ablation]) -> str:
    """The median share that the final scale carries, and the largest."""
    shares = [ablation.mediated for ablation in ablations]
    return f"{np.nanmedian(shares):.0%}, at most {np.nanmax(shares):.0%}"


def _percentile(values: Float[np.ndarray, "neuron"], j: int) -> float:
    """Where one value lies among all, from 0 to 100."""
    return float(100 * (values < values[j]).mean())
