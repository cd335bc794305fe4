"""Too Big to Fail (arXiv 2406.02830): how large a share of a model can be silenced before it breaks?

Importance is the size of the gradient of the loss with respect to a factor of 1 on a unit's output. Three things differ
from the public code: the gradient starts from zero at every text, so that none is counted twice; the share at which the
model breaks is read on other text than the ranking; and a share of nothing silences nothing. Only the paper's claim was
found (the larger the model, the larger the share), not its numbers, so none can be reproduced here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hn_utils.analyses.neighbours.masking import N_LISTED, Masked, cost_of_silence, mask_until
from hn_utils.models.checks import require_reading_mode
from hn_utils.models.hook_points import Point, Units, heads_of, hooked_at, neurons_of
from hn_utils.stats.drawn import figure_of
from hn_utils.stats.tables import Tabled

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from hn_utils.models.hooked_model import HookedModel

_N_RANDOM = 3
KINDS = {"heads": heads_of, "neurons": neurons_of}


@dataclass(frozen=True, repr=False)
class TooBigToFail(Tabled):
    """How large a share of its units a model can lose.

    Attributes:
        units: of what kind they are.
        importance: size of the loss's gradient with respect to a factor on each unit, summed over texts, [unit].
        orders: what silencing ever more units costs, by order: `most important first`, `least important first`.
        random: the same along random orders.
    """

    units: Units
    importance: Float[np.ndarray, "unit"]
    orders: dict[str, Masked]
    random: list[Masked]

    @property
    def most_important(self) -> Int[np.ndarray, "some"]:
        """The units that take the model down, the most important first; none if all of them do not."""
        order = np.argsort(-self.importance, kind="stable")
        return order[: self.orders[MOST].smallest or 0]

    @property
    def neurons(self) -> Int[np.ndarray, "some"]:
        """The first of these, a list short enough to be set beside others: flat indices; none of heads."""
        return self.most_important[:N_LISTED] if self.units.point == Point.NEURONS else self.most_important[:0]

    @property
    def headline(self) -> str:
        """The share of units it takes, by order."""
        told = [f"{name} {self._share(masked)}" for name, masked in self.orders.items()]
        others = ", ".join(self._share(masked) for masked in self.random)
        return f"Share of {self.units.n:,} {self.units.name}s without which perplexity rises tenfold: " + "; ".join(
            [*told, f"random {others}"]
        )

    @property
    def table(self) -> pd.DataFrame:
        """A row an order: how many units, and what share of all, until perplexity has risen tenfold."""
        named = {**self.orders, **{f"random {i + 1}": masked for i, masked in enumerate(self.random)}}
        smallest = [masked.smallest or np.nan for masked in named.values()]
        return pd.DataFrame(
            {
                "order": list(named),
                f"{self.units.name}s until tenfold": smallest,
                "share of all": np.array(smallest) / self.units.n,
                "decades without all tried": [masked.decades[-1] for masked in named.values()],
            }
        )

    def plot(self) -> go.Figure:
        """Decades of perplexity against the number of silenced units."""
        return figure_of("masking", self.orders, self.random, self.units)

    def _share(self, masked: Masked) -> str:
        return f"{masked.smallest / self.units.n:.1%}" if masked.smallest else "never"


MOST, LEAST = "most important first", "least important first"


def mask_by_importance(
    model: HookedModel,
    ranked_on: Sequence[Sequence[int]],
    tested_on: Sequence[Sequence[int]],
    kind: Literal["heads", "neurons"] = "heads",
    *,
    seed: int = 0,
) -> TooBigToFail:
    """Rank units by what the loss leans on, and silence ever more of them until the model breaks.

    Args:
        model: the model.
        ranked_on: token ids of the texts on which units are ranked.
        tested_on: token ids of other texts, whose perplexity is measured.
        kind: attention `heads`, or `neurons` of the MLPs.
        seed: of the random orders.

    Returns:
        The ranking, and the cost along it, against it and along random orders.

    Raises:
        ValueError: `kind` is unknown, or there is no text.

    Source:
        arXiv 2406.02830, from its public code, written anew; the importance is Michel et al.
        2019's.

    A share that can be silenced is not useless: the texts may not need it, and what is silenced first decides.
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} must be one of {', '.join(KINDS)}")
    units = KINDS[kind](model)
    importance = loss_gradient(model, ranked_on, units)
    order = np.argsort(-importance, kind="stable")
    cost = cost_of_silence(model, tested_on, units)
    rng = np.random.default_rng(seed)
    random = [mask_until(rng.permutation(units.n), cost) for _ in range(_N_RANDOM)]
    orders = {MOST: mask_until(order, cost), LEAST: mask_until(order[::-1], cost)}
    return TooBigToFail(units, importance, orders, random)


def loss_gradient(model: HookedModel, rows: Sequence[Sequence[int]], units: Units) -> Float[np.ndarray, "unit"]:
    """How much the loss of each text leans on each unit.

    Args:
        model: the model.
        rows: token ids of texts.
        units: whose outputs are multiplied by a factor, which is 1.

    Returns:
        Size of the gradient of a text's mean loss with respect to the factor, summed over texts, in nats, [unit].

    Raises:
        ValueError: there are no rows, or the model is in training mode.

    Source:
        Michel, Levy & Neubig 2019, section 4.
    """
    require_reading_mode(model.model, model.name)
    if not len(rows):
        raise ValueError("rows=[] hold no text to rank on: give token ids of some")
    importance = torch.zeros(units.n_layers, units.per_layer, dtype=torch.float64)
    for piece in model.pieces(rows):
        ids, mask = model.encoder.pad(rows[piece], "right", model.device)
        shape = (len(ids), units.n_layers, units.per_layer)
        factor = torch.ones(shape, device=model.device, dtype=model.dtype, requires_grad=True)

        def multiply(layer: int, values: Tensor, factor: Tensor = factor) -> Tensor:
            own = factor[:, layer, None, :, None].to(values.device)  # [batch, 1, unit, 1]
            return (units.apart(values) * own).reshape(values.shape)

        with hooked_at(model, units.point, multiply):
            losses = row_losses(model, ids, mask)
        (gradient,) = torch.autograd.grad(losses.sum(), factor)  # each row's loss hangs on its own factors alone
        importance += gradient.double().abs().sum(0).cpu()
    return importance.flatten().numpy()


def row_losses(model: HookedModel, ids: Tensor, mask: Tensor) -> Float[Tensor, "batch"]:
    """Mean loss of each of some right-padded rows, through which gradients flow.

    Args:
        model: the model.
        ids: token ids, [batch, pos].
        mask: 1 where a token stands, 0 on padding, [batch, pos].

    Returns:
        Losses, in nats.
    """
    logits = model.model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
    of_tokens = -logits.log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]  # [batch, pos - 1]
    there = mask[:, 1:]
    return (of_tokens * there).sum(1) / there.sum(1)
