"""Achilles' heel (arXiv 2510.10238, ICLR 2026): which few units, once silenced, take the whole model down?

Importance is how much a unit's activation moves when noise is added to the embeddings; then the most important ones are
silenced until perplexity has risen tenfold. Four things differ from the public code. Its noise is five standard normal
numbers a channel, far beyond a typical embedding; here `sigma` is relative to the embeddings' own spread. Its
"neurons" are outputs of any linear layer, so mostly channels of the residual stream; here channels and MLP neurons are
ranked apart. It ranks a channel at each position and then silences it at all of them; here a unit stands once. And it
ranks and tests on one text; here on two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy.stats import spearmanr
from torch import Tensor

from hn_utils.analyses.neighbours.masking import N_LISTED, Masked, cost_of_silence, mask_until
from hn_utils.models.checks import require_reading_mode
from hn_utils.models.hook_points import Point, Units, channels_of, hooked_at, neurons_of
from hn_utils.stats.drawn import figure_of
from hn_utils.stats.tables import Tabled, counted

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from hn_utils.models.hooked_model import HookedModel

_N_NOISES = 5
_N_RANDOM = 3  # random orders, each of which is silenced like the important one
KINDS = {"neurons": neurons_of, "channels": channels_of}


@dataclass(frozen=True, repr=False)
class Achilles(Tabled):
    """How few units take the model down.

    Attributes:
        units: of what kind they are.
        sigma: of the noise, in standard deviations of the embeddings.
        importance: mean size of the change that noise makes to a unit's activation, [unit].
        size: mean size of the activation itself, [unit].
        order: units, the most important first, [unit].
        ranked: what silencing the most important ones costs on held-out text.
        random: the same along random orders.
    """

    units: Units
    sigma: float
    importance: Float[np.ndarray, "unit"]
    size: Float[np.ndarray, "unit"]
    order: Int[np.ndarray, "unit"]
    ranked: Masked
    random: list[Masked]

    @property
    def heel(self) -> Int[np.ndarray, "some"]:
        """The units that take the model down; none if all of them do not."""
        return self.order[: self.ranked.smallest or 0]

    @property
    def neurons(self) -> Int[np.ndarray, "some"]:
        """The first of the heel, a list short enough to be set beside others: flat indices; none of channels."""
        return self.heel[:N_LISTED] if self.units.point == Point.NEURONS else self.heel[:0]

    @property
    def is_size(self) -> float:
        """Rank correlation of importance with the activation's own size: near 1, noise finds what is large."""
        r, _ = spearmanr(self.importance, self.size)
        return float(cast(float, r))

    @property
    def headline(self) -> str:
        """How many of the most important units it takes, and how many random ones."""
        found = f"{self.ranked.smallest:,}" if self.ranked.smallest else "more than there are"
        others = ", ".join(f"{m.smallest:,}" if m.smallest else "never" for m in self.random)
        return (
            f"Perplexity rises tenfold without {found} of {counted(self.units.n, self.units.name)}, those that noise "
            f"moves most; random ones: {others}; importance follows the activation's size at {self.is_size:.2f} (rank "
            "correlation)"
        )

    @property
    def table(self) -> pd.DataFrame:
        """A row a number of silenced units: decades of perplexity, of the important ones and of random ones."""
        counts = self.ranked.counts
        others = np.array([[masked.at(n) for n in counts.tolist()] for masked in self.random])
        return pd.DataFrame(
            {
                f"silenced {self.units.name}s": counts,
                "share of all": counts / self.units.n,
                "decades of perplexity": self.ranked.decades,
                "random, mean": others.mean(0),
                "random, largest": others.max(0),
            }
        )

    def plot(self) -> go.Figure:
        """Decades of perplexity against the number of silenced units."""
        return figure_of("masking", {"what noise moves most": self.ranked}, self.random, self.units)


def find_heel(
    model: HookedModel,
    ranked_on: Sequence[Sequence[int]],
    tested_on: Sequence[Sequence[int]],
    kind: Literal["neurons", "channels"] = "neurons",
    *,
    sigma: float = 1.0,
    n_noises: int = _N_NOISES,
    seed: int = 0,
) -> Achilles:
    """Rank units by what noise in the embeddings does to them, and silence the first of them until the model breaks.

    Args:
        model: the model.
        ranked_on: token ids of the texts on which units are ranked.
        tested_on: token ids of other texts, whose perplexity is measured.
        kind: `neurons` of the MLPs, or `channels` of what their down projections write.
        sigma: of the noise, in standard deviations of the embeddings of `ranked_on`.
        n_noises: how many draws of noise.
        seed: of noise and random orders.

    Returns:
        The ranking, and the cost along it and along random orders.

    Raises:
        ValueError: `kind` is unknown, `sigma` is not above 0, or there is no text.

    Source:
        arXiv 2510.10238, from its public code, written anew; what differs is told above.

    A unit without which nothing works need not be about anything: it may carry a large constant (a "massive
    activation") on which the norms behind it rely.
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} must be one of {', '.join(KINDS)}")
    if not sigma > 0:
        raise ValueError(f"sigma={sigma} must be above 0: it is how large the noise is")
    units = KINDS[kind](model)
    importance, size = perturbation(model, ranked_on, units, sigma, n_noises, seed)
    order = np.argsort(-importance, kind="stable")
    cost = cost_of_silence(model, tested_on, units)
    rng = np.random.default_rng(seed)
    random = [mask_until(rng.permutation(units.n), cost) for _ in range(_N_RANDOM)]
    return Achilles(units, sigma, importance, size, order, mask_until(order, cost), random)


@torch.inference_mode()
def perturbation(
    model: HookedModel, rows: Sequence[Sequence[int]], units: Units, sigma: float, n_noises: int, seed: int
) -> tuple[Float[np.ndarray, "unit"], Float[np.ndarray, "unit"]]:
    """How much each unit's activation moves when noise is added to the embeddings.

    Args:
        model: the model.
        rows: token ids of texts.
        units: whose activations are read, at their point.
        sigma: of the noise, in standard deviations of the embeddings.
        n_noises: how many draws of noise.
        seed: of the draws.

    Returns:
        Mean over draws and tokens of |clean - noised| [unit], and of |clean| [unit].

    Raises:
        ValueError: there are no rows, or the model is in training mode.
    """
    require_reading_mode(model.model, model.name)
    if not len(rows):
        raise ValueError("rows=[] hold no text to rank on: give token ids of some")
    generator = torch.Generator().manual_seed(seed)
    moved = torch.zeros(units.n_layers, units.per_layer, dtype=torch.float64)
    size = torch.zeros_like(moved)
    n_tokens = 0
    for piece in model.pieces(rows):
        ids, mask = model.encoder.pad(rows[piece], "right", model.device)
        there = mask.bool()
        n_tokens += int(mask.sum())
        clean, embedded = _activations(model, ids, mask, units, None)
        spread = embedded[there].float().std()
        for layer, values in clean.items():
            size[layer] += values[there].abs().sum(0).double().cpu()
        for _ in range(n_noises):
            noise = torch.randn(embedded.shape, generator=generator).to(embedded) * (sigma * spread).to(embedded)
            noised, _ = _activations(model, ids, mask, units, noise)
            for layer, values in noised.items():
                moved[layer] += (values - clean[layer])[there].abs().sum(0).double().cpu()
    return (moved / (n_tokens * n_noises)).flatten().numpy(), (size / n_tokens).flatten().numpy()


def _activations(
    model: HookedModel, ids: Tensor, mask: Tensor, units: Units, noise: Tensor | None
) -> tuple[dict[int, Float[Tensor, "batch pos unit"]], Float[Tensor, "batch pos d_model"]]:
    """What passes at the units' point of each layer, and the embeddings before any noise is added to them."""
    seen: dict[int, Tensor] = {}
    embedded: list[Tensor] = []

    def add(_: int, values: Tensor) -> Tensor | None:
        embedded.append(values)
        return None if noise is None else values + noise

    def keep(layer: int, values: Tensor) -> None:
        seen[layer] = values.float()

    with hooked_at(model, Point.EMBEDDINGS, add), hooked_at(model, units.point, keep):
        model.final_hidden(ids, mask)
    return seen, embedded[0]
