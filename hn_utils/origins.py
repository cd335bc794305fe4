"""Where H-Neurons come from: does the probe work on the base model, did these weights move, and since when?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import zscore
from torch.nn.functional import cosine_similarity

from hn_utils.controls import Estimate, auroc, bootstrap
from hn_utils.probe import Fit
from hn_utils.subject import Subject

N_PERMUTATIONS = 10_000
MIN_PER_CLASS = 20


@dataclass(frozen=True)
class Transfer:
    """The instruct model's probe, unchanged, on another model's own answers; random sets and confidence beside it.

    `h_neurons` is None where fewer than 20 answers of a class make an AUROC meaningless. AUROC only, since the scale
    of contributions shifts between models.
    """

    model: str
    n_right: int
    n_wrong: int
    h_neurons: Estimate | None
    confidence: Estimate | None
    random: Float[np.ndarray, "set"]


def transfer(
    model: str,
    read: Float[np.ndarray, "example neuron"],
    labels: np.ndarray,
    confidence: np.ndarray,
    groups: Sequence[str] | np.ndarray,
    fit: Fit,
    random_fits: Sequence[Fit],
) -> Transfer:
    """Score another model's contributions with the instruct model's fits."""
    labels = np.asarray(labels)
    n_wrong = int(labels.sum())
    n_right = len(labels) - n_wrong
    if min(n_right, n_wrong) < MIN_PER_CLASS:
        return Transfer(model, n_right, n_wrong, None, None, np.array([]))
    return Transfer(
        model,
        n_right,
        n_wrong,
        bootstrap(auroc, labels, fit.score(read), groups=groups),
        bootstrap(auroc, labels, -np.asarray(confidence), groups=groups),
        np.array([auroc(labels, f.score(read)) for f in random_fits]),
    )


@dataclass(frozen=True)
class Drift:
    """How far every neuron moved from base to instruct, and where the H-Neurons stand among all.

    `score` [layer * neuron] is the paper's: 1 - cosine of the W_up row and of the W_down column, each z-scored, then
    averaged. `rank` runs from 0 (moved most) to 1 (moved least); `mean_rank` is the H-Neurons' mean, with its two-sided
    permutation p against all neurons (`p_global`) and against neurons of the same layers (`p_within`).
    """

    score: Float[np.ndarray, "layer_neuron"]
    rank: Float[np.ndarray, "layer_neuron"]
    rank_within: Float[np.ndarray, "layer_neuron"]
    mean_rank: float
    mean_rank_within: float
    p_global: float
    p_within: float


def moved(base: Subject, instruct: Subject, name: str) -> Float[np.ndarray, "layer_neuron"]:
    """1 - cosine between base and instruct weights of each neuron; `name` is up, gate or down."""
    layers = range(instruct.n_layers)
    pairs = [(base.weight(i, name).double(), instruct.weight(i, name).double()) for i in layers]
    return np.concatenate([1 - cosine_similarity(a, b, dim=1).cpu().numpy() for a, b in pairs])


def least_moved_rank(score: np.ndarray) -> np.ndarray:
    """Rank scaled to 0 (largest score) .. 1 (smallest)."""
    order = np.argsort(np.argsort(-score))
    return order / max(1, len(score) - 1)


def drift(base: Subject, instruct: Subject, neurons: Int[np.ndarray, "k"], seed: int = 0) -> Drift:
    """The paper's drift analysis, with a control the paper lacks: ranks within each neuron's own layer.

    Raises ValueError if the two models differ in shape.
    """
    if (base.n_layers, base.d_mlp) != (instruct.n_layers, instruct.d_mlp):
        raise ValueError(f"{base.name} and {instruct.name} differ in shape: drift needs the same architecture")
    up, down = (np.asarray(zscore(moved(base, instruct, name))) for name in ("up", "down"))
    score = (up + down) / 2
    rank = least_moved_rank(score)
    within = np.concatenate([least_moved_rank(s) for s in score.reshape(instruct.n_layers, -1)])
    rng = np.random.default_rng(seed)
    anywhere = np.array([rng.choice(rank, len(neurons), replace=False).mean() for _ in range(N_PERMUTATIONS)])
    same_layers = np.zeros(N_PERMUTATIONS)
    for layer, count in enumerate(np.bincount(neurons // instruct.d_mlp, minlength=instruct.n_layers)):
        part = within.reshape(instruct.n_layers, -1)[layer]
        same_layers += [rng.choice(part, count, replace=False).sum() for _ in range(N_PERMUTATIONS)]
    own, own_within = rank[neurons].mean(), within[neurons].mean()
    return Drift(
        score,
        rank,
        within,
        float(own),
        float(own_within),
        two_sided(own, anywhere),
        two_sided(own_within, same_layers / len(neurons)),
    )


def two_sided(value: float, null: np.ndarray) -> float:
    """Permutation p: how often the null lies at least as far from its own mean."""
    centre = null.mean()
    return float((1 + (np.abs(null - centre) >= abs(value - centre)).sum()) / (1 + len(null)))
