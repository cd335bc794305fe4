"""Where H-Neurons come from: does the probe work on the base model, did these weights move, and since when?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata, zscore
from torch import Tensor
from torch.nn.functional import cosine_similarity

from hn_utils.stats.bootstrap import Estimate, bootstrap, spread
from hn_utils.stats.metrics import auroc
from hn_utils.stats.neuron_sets import Match, random_sets
from hn_utils.stats.rank_test import LEVEL

if TYPE_CHECKING:
    from hn_utils.contributions.cett import Labelled
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.probing.against_random import AgainstRandom
    from hn_utils.probing.l1_path import Fit

N_PERMUTATIONS = 2_000
_MIN_PER_CLASS = 20
TOO_FEW = "too few answers"  # where an AUROC would stand
CONTROLS = {  # of drift, by how they are matched
    "none": "random neurons",
    "layer": "random neurons of the same layers",
    "magnitude": "random neurons of the same layers and lengths of weights",
    "shuffled": "what the probe picks on shuffled labels",
}


_SINGLE = 1e-14  # 1 - cosine by which a vector turns where every weight is off by a rounding of single precision
DID_NOT_MOVE = (
    "tuning did not move the H-Neurons, nor any other neuron: all W_up and W_down are those of the base model, up to "
    "rounding"
)


@dataclass(frozen=True)
class Transfer:
    """The instruct model's weights, unchanged, on another model's own answers.

    `probe` is the paper's classifier, None for neurons that no probe picked; `h_neurons` its H-Neurons alone and
    `random` the control sets, all refitted on the instruct model; `confidence` uses no neuron. All are None, or empty,
    where fewer than 20 answers of a class make an AUROC meaningless. AUROC only, since the scale of contributions
    shifts between models.
    """

    model: str
    n_right: int
    n_wrong: int
    probe: Estimate | None
    h_neurons: Estimate | None
    confidence: Estimate | None
    random: Float[np.ndarray, "set"]

    def __str__(self) -> str:
        return TOO_FEW if self.h_neurons is None else f"AUROC {self.h_neurons}  confidence {self.confidence}"

    @property
    def random_spread(self) -> Estimate | None:
        """Mean of the random sets, and the range that holds 95 % of them."""
        if not len(self.random):
            return None
        return spread(self.random, self.n_right + self.n_wrong)


def transfer(
    model: str, read: Labelled, confidence: np.ndarray, probe: Fit | None, h_neurons: AgainstRandom
) -> Transfer:
    """Score another model's answers with the instruct model's fits, the H-Neurons beside their control; `confidence` is
    aligned with the answers."""
    X, labels, groups = read
    n_wrong = int(labels.sum())
    n_right = len(labels) - n_wrong
    if min(n_right, n_wrong) < _MIN_PER_CLASS:
        return Transfer(model, n_right, n_wrong, None, None, None, np.array([]))
    compared = h_neurons.on(read)
    return Transfer(
        model,
        n_right,
        n_wrong,
        None if probe is None else bootstrap(auroc, labels, probe.score(X), groups=groups),
        compared.own,
        bootstrap(auroc, labels, -np.asarray(confidence), groups=groups),
        compared.sets,
    )


@dataclass(frozen=True)
class Drift:
    """How far every neuron moved from base to instruct, and where the H-Neurons stand among all.

    `score` [layer * neuron] is the paper's: 1 - cosine of the W_up row and of the W_down column, each z-scored, then
    averaged. `rank` runs from 0 (moved most) to 1 (moved least), `rank_within` the same among neurons of one layer.
    `random` are mean ranks of random sets from anywhere, from the same layers, and from the same layers with weights of
    about the same length (equal steps turn a long vector less); `p` are two-sided permutation p-values of the
    H-Neurons' mean rank against them. `shuffled` are mean ranks of the sets that the same probe picks when right and
    wrong are shuffled, and p["shuffled"] how often these moved as little (one-sided): what marks all that L1 picks
    marks no hallucination. `by_layer` asks each layer that has H-Neurons alone. Where tuning turned no weights there
    are no ranks: these and `p` are NaN, and `random`, `shuffled` and `by_layer` are empty.
    """

    score: Float[np.ndarray, "layer_neuron"]
    rank: Float[np.ndarray, "layer_neuron"]
    rank_within: Float[np.ndarray, "layer_neuron"]
    mean_rank: float
    mean_rank_within: float
    p: dict[str, float]
    random: dict[str, Float[np.ndarray, "set"]]
    shuffled: Float[np.ndarray, "set"]
    by_layer: list[LayerDrift]

    @property
    def anything_moved(self) -> bool:
        """Did tuning turn the weights of any neuron?"""
        return not np.isnan(self.mean_rank)

    @property
    def told(self) -> str:
        """Which way tuning moved them, and whether the control that comes nearest is told apart. What shuffled labels
        pick is asked for little movement alone."""
        if not self.anything_moved:
            return DID_NOT_MOVE
        little = self.mean_rank >= 0.5
        against = self.p if little else {match: p for match, p in self.p.items() if match != "shuffled"}
        nearest = max(against, key=lambda match: against[match])
        share = min(max(self.mean_rank, 1 - self.mean_rank), 0.99)  # nobody moves less than all, itself included
        moved = f"{'less' if little else 'more'} than {share:.0%} of all neurons on average"
        verdict = "told apart" if against[nearest] <= LEVEL else "not told apart"
        return f"tuning moved the H-Neurons {moved}; {verdict} from {CONTROLS[nearest]} (p = {against[nearest]:.4f})"


@dataclass(frozen=True)
class LayerDrift:
    """One layer's H-Neurons among that layer's neurons: how many, their mean rank, and its permutation p."""

    layer: int
    n: int
    mean_rank: float
    p: float


def moved(base: HookedModel, instruct: HookedModel, name: str) -> Float[np.ndarray, "layer_neuron"]:
    """1 - cosine between base and instruct weights of each neuron; `name` is up, gate or down.

    In double precision, since tuning turns a weight vector by little; on the CPU, since some accelerators have none;
    and a layer at a time, since two whole models would not fit. Exactly 0 where rounding accounts for all of it.
    """

    def of(layer: int) -> np.ndarray:
        before, after = (_neuron_weights(model, layer, name).cpu().double() for model in (base, instruct))
        angle = 1 - cosine_similarity(before, after, dim=1)
        return angle.masked_fill(_same_but_for_rounding(before, after) | (angle < _SINGLE), 0).numpy()

    return np.concatenate([of(layer) for layer in range(instruct.n_layers)])


def _neuron_weights(model: HookedModel, layer: int, name: str) -> Float[Tensor, "neuron d_model"]:
    """A layer's up, gate or down weights, a row a neuron."""
    if name == "down":
        return model.W_out(layer)
    return {"up": model.W_in, "gate": model.W_gate}[name](layer).T  # [neuron, d_model]


def _same_but_for_rounding(
    before: Float[Tensor, "neuron d_model"], after: Float[Tensor, "neuron d_model"]
) -> Bool[Tensor, "neuron"]:
    """Which neurons' weights are equal once both are stored in 16 bits, as one of the two models may have been."""
    same = torch.zeros(len(before), dtype=torch.bool)
    for dtype in (torch.bfloat16, torch.float16):
        same |= (before.to(dtype) == after.to(dtype)).all(1)
    return same


def _standardised(values: np.ndarray) -> np.ndarray:
    """z-scores; 0 for all where they are all the same."""
    return np.asarray(zscore(values)) if np.ptp(values) > 0 else np.zeros_like(values)


def least_moved_rank(score: np.ndarray) -> np.ndarray:
    """Rank scaled to 0 (largest score) .. 1 (smallest); neurons that moved alike share their mean rank."""
    return (rankdata(-score) - 1) / max(1, len(score) - 1)


def require_same_shape(base: HookedModel, instruct: HookedModel) -> None:
    """Raises ValueError if a neuron's number does not mean the same place in both models."""
    if (base.n_layers, base.d_mlp) != (instruct.n_layers, instruct.d_mlp):
        raise ValueError(f"{base.name} and {instruct.name} differ in shape: drift needs the same architecture")


def drift(
    base: HookedModel,
    instruct: HookedModel,
    neurons: Int[np.ndarray, "k"],
    noise: Sequence[Int[np.ndarray, "m"]] = (),
    seed: int = 0,
) -> Drift:
    """The paper's drift analysis, with controls that the paper lacks: the same layers, the same lengths of weights, and
    the neurons (`noise`) that probes with shuffled labels pick.

    Where tuning left all these weights as they were, up to rounding, nothing is ranked. Raises ValueError if the two
    models differ in shape.
    """
    require_same_shape(base, instruct)
    up, down = (moved(base, instruct, name) for name in ("up", "down"))
    if not up.any() and not down.any():
        return nowhere(len(up))
    score = (_standardised(up) + _standardised(down)) / 2
    rank = least_moved_rank(score)
    within = np.concatenate([least_moved_rank(s) for s in score.reshape(instruct.n_layers, -1)])
    length = np.concatenate([lengths(base, layer) for layer in range(base.n_layers)])
    shape = (instruct.n_layers, instruct.d_mlp)
    sets = {
        match: random_sets(neurons, shape, N_PERMUTATIONS, Match(match, length), seed)
        for match in ("none", "layer", "magnitude")
    }
    value, shuffled = float(rank[neurons].mean()), np.array([rank[s].mean() for s in noise])
    random = {match: np.array([rank[s].mean() for s in drawn]) for match, drawn in sets.items()}
    p = {match: two_sided(value, means) for match, means in random.items()}
    if len(shuffled):
        p["shuffled"] = float((1 + (shuffled >= value).sum()) / (1 + len(shuffled)))
    by_layer = []
    for layer in np.unique(neurons // instruct.d_mlp).tolist():
        own, *others = (within[s[s // instruct.d_mlp == layer]] for s in (neurons, *sets["layer"]))
        mean = float(own.mean())
        by_layer.append(LayerDrift(layer, len(own), mean, two_sided(mean, np.array([o.mean() for o in others]))))
    return Drift(score, rank, within, value, float(within[neurons].mean()), p, random, shuffled, by_layer)


def nowhere(n: int) -> Drift:
    """What is told of `n` neurons of which tuning moved none."""
    unranked, no_set = np.full(n, np.nan), np.array([])
    p = {match: float("nan") for match in CONTROLS if match != "shuffled"}
    return Drift(np.zeros(n), unranked, unranked, np.nan, np.nan, p, {}, no_set, [])


def lengths(base: HookedModel, layer: int) -> Float[np.ndarray, "neuron"]:
    """Geometric mean of the lengths of each neuron's W_up row and W_down column."""
    up, down = (_neuron_weights(base, layer, name).norm(dim=1).cpu().numpy() for name in ("up", "down"))
    return np.sqrt(up * down)


def two_sided(value: float, null: np.ndarray) -> float:
    """Permutation p: how often the null lies at least as far from its own mean."""
    centre = null.mean()
    return float((1 + (np.abs(null - centre) >= abs(value - centre)).sum()) / (1 + len(null)))
