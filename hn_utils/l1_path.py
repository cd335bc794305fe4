"""The L1 path of a sparse logistic probe over any number of neurons, each point with a certificate that it is optimal.

The objective is liblinear's, as in the official code: sum |w| + |b| + C * sum log(1 + exp(-y (x w + b))).

**The certificate.** Let r_i = y_i / (1 + exp(y_i z_i)), by how much example i still pulls, and g_j = sum_i r_i x_ij,
how hard all of them pull at the weight of neuron j. The penalty holds every weight with force 1. So a solution is
optimal exactly when C |g_j| <= 1 for each neuron without a weight, and C g_j = sign(w_j) for each neuron with one. The
objective is convex: whoever passes this test on *all* neurons cannot be improved, however the solution was found. One
product, X^T r, tests them all.

**The search** lives off that. Nearly all neurons will have no weight, so a few hundred columns are guessed and the path
is solved on them alone, as far as they suffice. One pass over the data then tests every neuron at every C so solved,
and those that pull hardest join the guess. A handful of passes does it, and little else grows with the number of
neurons.

**On few columns** each fit is Newton's method. As long as no weight changes its sign the penalty is linear, and a step
is a linear solve; weights that it would drive through zero become zero, and the others are solved for again. The same
curvature then serves for more steps while it brings the fit nearer. Where this gets nowhere, a weighted lasso finds out
which weights are zero (Friedman, Hastie & Tibshirani 2010; the lasso is scikit-learn's). Each fit starts from its
neighbours on the path.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lasso_path
from threadpoolctl import ThreadpoolController

from hn_utils.cache import cached_whole
from hn_utils.tall_matrix import TallMatrix

VERSION = 5
TOLERANCE = 1e-4  # largest violation of optimality that a fit may have
EXACT = 1e-7  # what is aimed at on the few columns,
ROUGH = 0.1  # and first, to see whether they suffice
GRID_SPAN = 300.0  # the path runs from the C at which the first neuron enters to this many times it
SWEEPS = 20  # of coordinate descent, between two looks at the loss
FIRST_GUESS = 400  # columns
CROWDED = 1 / 3  # share of the guessed columns with a weight, beyond which more are brought in first:
WIDER = 1  # times as many
EXPLAINED = 0.99  # of the deviance: beyond it the path only makes certain answers more certain


@dataclass(frozen=True)
class Fit:
    """One point of the path: the neurons with a weight, flat indices, and how far from optimal the fit is."""

    C: float
    neurons: Int[np.ndarray, "k"]
    weights: Float[np.ndarray, "k"]
    intercept: float
    violation: float
    deviance_explained: float

    def score(self, X: TallMatrix) -> Float[np.ndarray, "example"]:
        """Log-odds that the answer is hallucinated."""
        return X.columns(self.neurons) @ self.weights + self.intercept

    @property
    def h_neurons(self) -> Int[np.ndarray, "h"]:
        """Neurons with a positive weight: more contribution, more hallucination."""
        return self.neurons[self.weights > 0]


def check_labels(labels: np.ndarray, n: int) -> None:
    if len(labels) != n:
        raise ValueError(f"{len(labels)} labels do not fit {n} examples")
    if set(np.unique(labels)) != {0, 1}:
        raise ValueError(f"labels hold only {sorted(set(np.unique(labels).tolist()))}: a probe needs both 0 and 1")


def before_any(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """y, which is 1 or -1, and z: what the intercept gives before any neuron adds to it."""
    share = labels.mean()
    return np.where(labels == 1, 1.0, -1.0), np.full(len(labels), np.log(share / (1 - share)))


def pull(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """r: minus the derivative of each example's log-loss by its z."""
    return y * expit(-y * z)


def curvature(y: np.ndarray, z: np.ndarray, C: float) -> np.ndarray:
    """The second derivative of each example's log-loss by its z, times C."""
    return C * np.maximum(expit(y * z) * expit(-y * z), 1e-10)


def violation_of(g: np.ndarray, w: np.ndarray, C: float) -> np.ndarray:
    """How far each column is from optimal, in units of its penalty."""
    return np.where(w == 0, np.maximum(0, C * np.abs(g) - 1), np.abs(C * g - np.sign(w)))


def objective(w: np.ndarray, z: np.ndarray, y: np.ndarray, C: float) -> float:
    return float(np.abs(w).sum() + C * np.logaddexp(0, -y * z).sum())


def towards(aim: np.ndarray, w: np.ndarray, A: np.ndarray, y: np.ndarray, C: float) -> np.ndarray:
    """From `w` as far towards `aim` as makes the objective smaller: all the way, half, a quarter..."""
    z, dz, step = A @ w, A @ (aim - w), 1.0
    before = objective(w, z, y, C)
    while step > 1e-9:
        taken = aim if step == 1.0 else w + step * (aim - w)
        if objective(taken, z + step * dz, y, C) < before:
            return taken
        step /= 2
    return w


def lasso_step(A: np.ndarray, y: np.ndarray, C: float, w: np.ndarray) -> np.ndarray:
    """Newton: the loss's second-order expansion at `w` is a least-squares problem, so with the penalty it is a lasso.

    A few rounds of coordinate descent: enough to see which weights are zero.
    """
    z = A @ w
    bend = curvature(y, z, C)
    design = np.asfortranarray(A * np.sqrt(bend)[:, None])
    target = np.sqrt(bend) * (z + C * pull(y, z) / bend)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the certificate says it better
        _, path, _ = lasso_path(
            design,
            target,
            alphas=[1 / len(y)],  # type: ignore[arg-type]
            coef_init=w.copy(),
            precompute=True,  # type: ignore[arg-type]
            Xy=design.T @ target,
            tol=1e-10,
            max_iter=SWEEPS,
            copy_X=False,
        )
    return towards(path[:, 0], w, A, y, C)


def gram(M: np.ndarray) -> np.ndarray:
    """M^T M. M is no longer held when it returns."""
    return M.T @ M


def signed_step(A: np.ndarray, y: np.ndarray, C: float, w: np.ndarray, violation: float) -> np.ndarray:
    """Newton with each weight's sign held, a zero's as it is pulled, until `violation` or as long as one curvature
    serves."""
    z = A @ w
    g = C * (A.T @ pull(y, z))
    signs = np.where(w != 0, np.sign(w), np.sign(g))
    H = gram(A * np.sqrt(curvature(y, z, C))[:, None])
    H[np.diag_indices_from(H)] *= 1 + 1e-10
    force, free = H @ w + g - signs, np.arange(len(w))
    while True:
        factor = cho_factor(H[np.ix_(free, free)], overwrite_a=True, check_finite=False)
        aim = np.zeros_like(w)
        aim[free] = cho_solve(factor, force[free], check_finite=False)
        kept = np.sign(aim[free]) == signs[free]
        if kept.all():
            break
        free = free[kept]
    w = towards(aim, w, A, y, C)
    before = np.inf
    while w is aim:  # the step was taken whole
        rest = C * (A.T @ pull(y, A @ w))[free] - signs[free]
        off = np.abs(rest).max(initial=0)
        ahead = w[free] + cho_solve(factor, rest, check_finite=False)
        if off <= violation or off > before / 4 or np.any(np.sign(ahead) != signs[free]):
            break
        aim[free], before = ahead, off
    return w


def solve_on(A: np.ndarray, y: np.ndarray, C: float, w: np.ndarray, violation: float) -> np.ndarray:
    """The optimum on few columns, from `w`: Newton on those with a weight and those whose certificate fails most."""
    stuck = False
    for _ in range(200):
        worst = violation_of(A.T @ pull(y, A @ w), w, C)
        if worst.max() <= violation:
            break
        on, missing = np.flatnonzero(w), np.flatnonzero((w == 0) & (worst > violation))
        active = np.concatenate([on, missing[np.argsort(-worst[missing])[: max(20, len(on) // 2)]]])
        B, moved = A[:, active], w.copy()
        start = lasso_step(B, y, C, w[active]) if stuck else w[active]
        moved[active] = signed_step(B, y, C, start, violation)
        if stuck and np.array_equal(moved, w):
            break
        w, stuck = moved, np.array_equal(moved, w)
    return w


def beside(A: np.ndarray, more: np.ndarray) -> np.ndarray:
    """The columns of both, in double precision; columns lie together in memory, and nothing is held twice."""
    both = np.empty((len(A), A.shape[1] + more.shape[1]), order="F")
    both[:, : A.shape[1]], both[:, A.shape[1] :] = A, more
    return both


def onwards(w: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """Where the path goes next, if weights move on as from the last C to this one, and none changes its sign."""
    if len(earlier) != len(w):
        return w
    ahead = 2 * w - earlier
    return np.where((earlier != 0) & (np.sign(ahead) == np.sign(w)), ahead, w)


def first_forces(X: TallMatrix, y: np.ndarray, alone: np.ndarray) -> Float[np.ndarray, "column"]:
    """How hard the examples pull at each weight while none has one.

    Raises ValueError if a value is not finite, since no search would end, or if nothing pulls at all.
    """
    force = np.abs(X.times_transposed(pull(y, alone)[:, None])[0])
    if not np.isfinite(force).all():
        raise ValueError(
            f"column {int(np.flatnonzero(~np.isfinite(force))[0])} of the contributions holds NaN or infinity: leave "
            "out the examples that have them"
        )
    if not force.any():
        raise ValueError("no contribution differs between the two labels: there is nothing to fit")
    return force


class Search:
    """The path so far, and the columns on which it is solved.

    `A` holds these columns, the first of them the intercept's; `crowded` says that the last solution used too large a
    share of them to be trusted.
    """

    def __init__(self, X: TallMatrix, y: np.ndarray, alone: np.ndarray) -> None:
        self.X, self.y = X, y
        self.null = np.logaddexp(0, -y * alone).sum()
        self.columns, self.A, self.w = np.array([], dtype=int), np.ones((len(X), 1)), np.zeros(1)
        self.guesses: dict[float, np.ndarray] = {}
        self.path: list[Fit] = []
        self.crowded = False

    def bring_in(self, force: np.ndarray, n: int) -> None:
        """Add the `n` columns that pull hardest."""
        wanted = np.argsort(-force, kind="stable")[: min(n, self.X.shape[1] - len(self.columns))]
        self.columns, self.A = np.append(self.columns, wanted), beside(self.A, self.X.columns(wanted))

    def explained(self, w: np.ndarray) -> float:
        return float(1 - np.logaddexp(0, -self.y * (self.A @ w)).sum() / self.null)

    def solve(self, grid: Sequence[float]) -> list[np.ndarray]:
        """Solutions on these columns for the first C of the grid, as far along it as they can be trusted."""
        tried, earlier = [], np.zeros(0)
        for C in grid:
            start = self.guesses.get(C, onwards(self.w, earlier))
            earlier = self.w
            w = solve_on(self.A, self.y, C, np.pad(start, (0, self.A.shape[1] - len(start))), ROUGH)
            few, all_in = len(self.columns), len(self.columns) == self.X.shape[1]
            self.crowded = np.count_nonzero(w) > CROWDED * few and not all_in
            self.w = self.guesses[C] = w if self.crowded else solve_on(self.A, self.y, C, w, EXACT)
            tried.append(self.w)
            if self.crowded or self.explained(self.w) > EXPLAINED:
                break
        return tried

    def accept(self, grid: Sequence[float], tried: Sequence[np.ndarray]) -> Float[np.ndarray, "column"]:
        """Test all columns at the C of each solution and keep those that pass, up to the first that does not. Returns
        how hard every column that is not brought in yet pulls, in units of its penalty: the most, over these C."""
        residuals = pull(self.y[:, None], self.A @ np.column_stack(tried))
        forces = self.X.times_transposed(residuals)
        np.abs(forces, out=forces)
        forces *= np.array(grid)[:, None].astype(forces.dtype)
        forces[:, self.columns] = 0
        for C, w, r, outside in zip(grid, tried, residuals.T, forces.max(1), strict=True):
            if outside > 1 + TOLERANCE or (self.crowded and w is tried[-1]):
                break
            violation = max(outside - 1, violation_of(self.A.T @ r, w, C).max())
            kept = np.flatnonzero(w[1:])
            kept = kept[np.argsort(self.columns[kept])]
            neurons, weights = self.columns[kept], w[1:][kept]
            self.path.append(Fit(C, neurons, weights, float(w[0]), float(violation), self.explained(w)))
            if self.path[-1].deviance_explained > EXPLAINED:
                break
        return forces.max(0)


@ThreadpoolController().wrap(limits=1, user_api="blas")  # several libraries' threads would wait for each other, busily
def l1_path(X: TallMatrix, labels: np.ndarray, grid: Sequence[float] | np.ndarray) -> list[Fit]:
    """Fit every C of the grid, smallest first. The path ends early where the deviance is all but explained.

    Raises ValueError for one-class labels, values that are not finite, or a C that is not above 0.
    """
    labels = np.asarray(labels)
    check_labels(labels, len(X))
    if not len(grid) or not all(0 < C < np.inf for C in grid):
        raise ValueError(f"grid={list(grid)} must hold values of C above 0, and finite")
    y, alone = before_any(labels)
    every, search = sorted(float(C) for C in grid), Search(X, y, alone)
    force, n_wanted = first_forces(X, y, alone), FIRST_GUESS
    while len(search.path) < len(every):
        search.bring_in(force, n_wanted)
        ahead = every[len(search.path) :]
        tried = search.solve(ahead)
        force = search.accept(ahead[: len(tried)], tried)
        if search.path and search.path[-1].deviance_explained > EXPLAINED:
            break
        n_wanted = WIDER * len(search.columns) if search.crowded else int(np.count_nonzero(force > 1 + TOLERANCE))
    return search.path


def cached_l1_path(X: TallMatrix, labels: np.ndarray, grid: np.ndarray) -> list[Fit]:
    """`l1_path`, read from the cache if these very rows, labels and grid were fitted before."""

    def compute() -> dict[str, np.ndarray]:
        fits = l1_path(X, labels, grid)
        scalars = [[f.C, f.intercept, f.violation, f.deviance_explained] for f in fits]
        split = {f"neurons_{i}": f.neurons for i, f in enumerate(fits)} | {
            f"weights_{i}": f.weights for i, f in enumerate(fits)
        }
        return {"scalars": np.array(scalars), **split}

    key = {"version": VERSION, "rows": X.digest, "labels": np.asarray(labels).tolist(), "grid": grid.tolist()}
    kept = cached_whole("paths", key, compute)
    return [
        Fit(C, kept[f"neurons_{i}"], kept[f"weights_{i}"], intercept, violation, explained)
        for i, (C, intercept, violation, explained) in enumerate(kept["scalars"].tolist())
    ]


def c_grid(X: TallMatrix, labels: np.ndarray, n: int) -> np.ndarray:
    """`n` values of C, evenly spaced in the logarithm, from where the first neuron enters."""
    first = 1 / first_forces(X, *before_any(np.asarray(labels))).max()
    return np.geomspace(first, first * GRID_SPAN, n)
