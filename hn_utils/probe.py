"""A sparse probe over contributions: the L1 path with its certificate, the choice of C, and the H-Neurons it picks.

The objective is liblinear's, as in the official code: sum |w| + |b| + C * sum log(1 + exp(-y (x w + b))).
A solution is optimal exactly when, for every column j with gradient g_j = sum_i y_i x_ij / (1 + exp(y_i z_i)),
C |g_j| <= 1 where w_j = 0, and C g_j = sign(w_j) elsewhere. That can be checked on all columns with one product
X^T r, however the solution was found: it is the certificate reported with every fit.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from hn_utils.cache import cached_shards, digest
from hn_utils.contributions import Contributions
from hn_utils.controls import Estimate, accuracy, auroc, bootstrap

VERSION = 1
TOLERANCE = 1e-3  # largest violation of optimality that a fit may have
GRID_SPAN = 300.0  # the path runs from the C at which the first neuron enters to this many times it


@dataclass(frozen=True)
class Fit:
    """One point of the path: the neurons with a weight, flat indices, and how far from optimal the fit is."""

    C: float
    neurons: Int[np.ndarray, "k"]
    weights: Float[np.ndarray, "k"]
    intercept: float
    violation: float
    deviance_explained: float

    def score(self, X: Float[np.ndarray, "example neuron"]) -> Float[np.ndarray, "example"]:
        """Log-odds that the answer is hallucinated."""
        return X[:, self.neurons] @ self.weights + self.intercept

    @property
    def h_neurons(self) -> Int[np.ndarray, "h"]:
        """Neurons with a positive weight: more contribution, more hallucination."""
        return self.neurons[self.weights > 0]


def three_vs_one(
    contributions: Contributions, labels: np.ndarray, region: str = "answer"
) -> tuple[Float[np.ndarray, "row neuron"], Int[np.ndarray, "row"]]:
    """The paper's training rows: 1 for hallucinated answers; 0 for true answers and for all other tokens of both.

    Raises ValueError if the labels lack a class or do not fit the contributions.
    """
    labels = np.asarray(labels)
    check_labels(labels, len(contributions.values))
    read = contributions.at(region)
    rows = np.concatenate([read, contributions.at("other")])
    return rows, np.concatenate([labels, np.zeros_like(labels)])


def check_labels(labels: np.ndarray, n: int) -> None:
    if len(labels) != n:
        raise ValueError(f"{len(labels)} labels do not fit {n} examples")
    if set(np.unique(labels)) != {0, 1}:
        raise ValueError(f"labels hold only {sorted(set(np.unique(labels).tolist()))}: a probe needs both 0 and 1")


def gradient(X: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Minus the derivative of the summed log-loss by each weight; the last entry is the intercept's."""
    residual = (y / (1 + np.exp(np.clip(y * z, -500, 500)))).astype(X.dtype)
    return np.append(residual @ X, residual.sum()).astype(np.float64)


def violation_of(g: np.ndarray, w: np.ndarray, C: float) -> np.ndarray:
    """How far each column is from optimal, in units of its penalty."""
    return np.where(w == 0, np.maximum(0, C * np.abs(g) - 1), np.abs(C * g - np.sign(w)))


def solve_on(X: np.ndarray, y: np.ndarray, columns: np.ndarray, C: float) -> np.ndarray:
    """liblinear, tightly converged, on few columns and the penalised intercept (the last entry)."""
    design = np.column_stack([X[:, columns].astype(np.float64), np.ones(len(X))])
    solver = LogisticRegression(
        C=C, l1_ratio=1, solver="liblinear", fit_intercept=False, tol=1e-7, max_iter=5_000, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the certificate says it better
        return solver.fit(design, y).coef_[0]


def l1_path(X: Float[np.ndarray, "row neuron"], labels: np.ndarray, grid: Sequence[float] | np.ndarray) -> list[Fit]:
    """Fit every C of the grid, smallest first, each starting from the columns that the one before makes likely.

    Only columns that can matter are handed to liblinear (the strong rule: |g_j| >= 2/C - 1/C_before); then all columns
    are checked, offenders added, and the fit repeated until none is left. Raises ValueError for one-class labels.
    """
    labels = np.asarray(labels)
    check_labels(labels, len(X))
    y = np.where(labels == 1, 1.0, -1.0)
    null = np.log1p(np.exp(-y * np.log(labels.mean() / (1 - labels.mean())))).sum()
    w, path, C_before = np.zeros(X.shape[1] + 1), [], grid[0]
    g = gradient(X, y, np.zeros(len(X)))
    for C in sorted(grid):
        working = (np.abs(g[:-1]) >= 2 / C - 1 / C_before) | (w[:-1] != 0)
        while True:
            columns = np.flatnonzero(working)
            solved = solve_on(X, y, columns, C)
            w = np.zeros_like(w)
            w[columns], w[-1] = solved[:-1], solved[-1]
            z = X[:, columns] @ solved[:-1] + solved[-1]
            g = gradient(X, y, z)
            worst = violation_of(g, w, C)
            offenders = (worst[:-1] > TOLERANCE) & ~working
            if not offenders.any():
                break
            working |= offenders
        kept, loss = np.flatnonzero(w[:-1]), np.logaddexp(0, -y * z).sum()
        path.append(Fit(C, kept, w[kept], float(w[-1]), float(worst.max()), float(1 - loss / null)))
        C_before = C
    return path


def path_on_disk(X: Float[np.ndarray, "row neuron"], labels: np.ndarray, grid: np.ndarray) -> list[Fit]:
    """`l1_path`, read from the cache if these very rows, labels and grid were fitted before."""

    def compute(_: int, cs: Sequence[float]) -> dict[str, np.ndarray]:
        fits = l1_path(X, labels, cs)
        scalars = [[f.C, f.intercept, f.violation, f.deviance_explained] for f in fits]
        split = {f"neurons_{i}": f.neurons for i, f in enumerate(fits)} | {
            f"weights_{i}": f.weights for i, f in enumerate(fits)
        }
        return {"scalars": np.array(scalars), **split}

    key = {
        "version": VERSION,
        "rows": digest(np.ascontiguousarray(X).data),
        "labels": np.asarray(labels).tolist(),
        "grid": grid.tolist(),
    }
    (kept,) = cached_shards("paths", key, grid.tolist(), compute, len(grid))
    return [
        Fit(C, kept[f"neurons_{i}"], kept[f"weights_{i}"], intercept, violation, explained)
        for i, (C, intercept, violation, explained) in enumerate(kept["scalars"].tolist())
    ]


def c_grid(X: np.ndarray, labels: np.ndarray, n: int) -> np.ndarray:
    """`n` values of C, evenly spaced in the logarithm, from where the first neuron enters."""
    y, share = np.where(np.asarray(labels) == 1, 1.0, -1.0), np.mean(labels)
    alone = np.full(len(X), np.log(share / (1 - share)))  # what the intercept says before any neuron speaks
    first = 1 / np.abs(gradient(X, y, alone)[:-1]).max()
    return np.geomspace(first, first * GRID_SPAN, n)


@dataclass(frozen=True)
class Probe:
    """The whole path, the chosen point and why: validation AUROC of each fit with its bootstrap interval."""

    path: list[Fit]
    validation: list[Estimate]
    chosen: int
    reason: str
    region: str

    @property
    def fit(self) -> Fit:
        return self.path[self.chosen]


def choose(path: Sequence[Fit], validation: Sequence[Estimate]) -> tuple[int, str]:
    """The sparsest fit whose AUROC on validation is within one standard error of the best (Breiman's rule).

    Only fits that kept their certificate and have H-Neurons count. Raises ValueError if there is none.
    """
    able = [i for i, fit in enumerate(path) if fit.violation <= TOLERANCE and len(fit.h_neurons)]
    if not able:
        raise ValueError(f"no fit of {len(path)} on the path has a positive weight: no H-Neurons were found")
    best = max(able, key=lambda i: validation[i].value)
    error = (validation[best].high - validation[best].low) / (2 * 1.96)
    chosen = next(i for i in able if validation[i].value >= validation[best].value - error)
    return chosen, (
        f"sparsest fit within one standard error ({error:.3f}) of the best validation AUROC "
        f"({validation[best].value:.3f})"
    )


def fit_probe(
    train: Contributions,
    train_labels: np.ndarray,
    validation: Contributions,
    validation_labels: np.ndarray,
    groups: Sequence[str] | np.ndarray | None = None,
    n_grid: int = 20,
    region: str = "answer",
) -> Probe:
    """Train the path on 3-vs-1 rows and choose C on the validation answers; `groups` are validation entities.

    Raises ValueError if either set lacks a class, the region is unknown, or no fit has a positive weight.
    """
    X, y = three_vs_one(train, train_labels, region)
    check_labels(np.asarray(validation_labels), len(validation.values))
    path, read = path_on_disk(X, y, c_grid(X, y, n_grid)), validation.at(region)
    scores = [bootstrap(auroc, validation_labels, fit.score(read), groups=groups, n=400) for fit in path]
    chosen, reason = choose(path, scores)
    return Probe(path, scores, chosen, reason, region)


def refit(X: np.ndarray, labels: np.ndarray, neurons: np.ndarray) -> Fit:
    """Logistic regression with next to no penalty on a given set of neurons: what a control set gets."""
    scale = X[:, neurons].std(0) + 1e-8
    model = LogisticRegression(C=100.0, max_iter=1_000).fit(X[:, neurons] / scale, labels)
    return Fit(float("inf"), np.asarray(neurons), model.coef_[0] / scale, float(model.intercept_[0]), 0.0, 0.0)


@dataclass(frozen=True)
class Detection:
    """One way of telling hallucinations: AUROC and balanced accuracy with intervals over entities."""

    name: str
    test_set: str
    n_neurons: int | None
    auroc: Estimate
    accuracy: Estimate | None


def detect(
    name: str,
    test_set: str,
    labels: np.ndarray,
    scores: np.ndarray,
    groups: Sequence[str] | np.ndarray,
    n_neurons: int | None = None,
) -> Detection:
    """Score one detector on one test set. Scores without a natural zero (n_neurons None) get no accuracy."""
    at_zero = None if n_neurons is None else bootstrap(accuracy, labels, scores, groups=groups)
    return Detection(name, test_set, n_neurons, bootstrap(auroc, labels, scores, groups=groups), at_zero)


@dataclass(frozen=True)
class HNeurons:
    """The found neurons as a small portable table, a row a neuron, with what identifies their origin."""

    model: str
    fingerprint: str
    study: str
    region: str
    C: float
    intercept: float
    d_mlp: int
    n_layers: int
    rows: list[dict[str, float]]

    @property
    def flat(self) -> Int[np.ndarray, "h"]:
        """Flat indices, layer * d_mlp + neuron."""
        return np.array([int(r["layer"]) * self.d_mlp + int(r["neuron"]) for r in self.rows], dtype=int)

    @property
    def per_mille(self) -> float:
        """Share of all neurons, in thousandths: the paper's unit."""
        return 1_000 * len(self.rows) / (self.n_layers * self.d_mlp)

    def save(self, path: Path) -> None:
        """Write the card as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> HNeurons:
        """Read a card. Raises ValueError if it is not one, or names a neuron outside the model."""
        try:
            card = cls(**json.loads(Path(path).read_text()))
            inside = all(0 <= r["layer"] < card.n_layers and 0 <= r["neuron"] < card.d_mlp for r in card.rows)
        except (TypeError, KeyError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is not a card of H-Neurons: {error}") from error
        if not inside:
            raise ValueError(f"{path} names a neuron outside {card.n_layers} layers of {card.d_mlp}")
        return card


def h_neurons(probe: Probe, model: str, fingerprint: str, study: str, n_layers: int, d_mlp: int) -> HNeurons:
    """The chosen fit's positive neurons, heaviest first."""
    fit = probe.fit
    weight = dict(zip(fit.neurons.tolist(), fit.weights.tolist(), strict=True))
    order = sorted(fit.h_neurons.tolist(), key=lambda j: -weight[j])
    rows = [{"layer": j // d_mlp, "neuron": j % d_mlp, "weight": weight[j]} for j in order]
    return HNeurons(model, fingerprint, study, probe.region, fit.C, fit.intercept, d_mlp, n_layers, rows)
