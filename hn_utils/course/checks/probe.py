"""Exercises of notebook 2: the probe's rows, an L1 fit, the choice of C, planted neurons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hn_utils.contributions.cett import Contributions
from hn_utils.contributions.tall_matrix import TallMatrix
from hn_utils.course.mistakes import Mistake, compare
from hn_utils.probing.l1_path import kkt_violation, l1_path, loss_gradient
from hn_utils.probing.probe import three_vs_one
from hn_utils.stats.metrics import auroc


def package_rows(at_answer: np.ndarray, elsewhere: np.ndarray, made_up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    regions = {"answer": TallMatrix([at_answer]), "other": TallMatrix([elsewhere])}
    X, y = three_vs_one(Contributions(regions, 1, at_answer.shape[1]), made_up)
    return X.columns(np.arange(X.shape[1])), y


def check_three_vs_one(answer: Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> None:
    """Means at the answer and elsewhere, and who is made up, to the probe's rows and labels, in any order of rows."""
    at_answer, elsewhere = np.array([[1.0], [2.0], [3.0]]), np.array([[4.0], [5.0], [6.0]])
    made_up = np.array([1, 0, 1])

    def rows(X: Any, y: Any) -> list[tuple[float, ...]]:
        X, y = np.asarray(X, float), np.asarray(y, float)
        if X.ndim != 2 or y.shape != X.shape[:1]:
            raise Mistake(f"expected rows [row, neuron] and one label a row, got shapes {X.shape} and {y.shape}")
        return sorted((*row, label) for row, label in zip(X.tolist(), y.tolist(), strict=True))

    both = np.concatenate([at_answer, elsewhere])
    wrong = {
        "all rows of a made-up answer got a 1: its other tokens are no hallucination, they get a 0": (
            both,
            np.concatenate([made_up, made_up]),
        ),
        "1 means made up, 0 true: yours is the other way round": (both, np.concatenate([1 - made_up, [0, 0, 0]])),
        "only the answers' rows are there: against what is the probe to tell that it is an answer at all?": (
            at_answer,
            made_up,
        ),
        "other tokens of made-up answers are missing: there are four kinds of rows": (
            np.concatenate([at_answer, elsewhere[made_up == 0]]),
            np.concatenate([made_up, [0]]),
        ),
    }
    given = rows(*answer(at_answer, elsewhere, made_up))
    if given == rows(both, np.concatenate([made_up, [0, 0, 0]])):
        return
    for message, pair in wrong.items():
        if given == rows(*pair):
            raise Mistake(message)
    raise Mistake(f"of three answers, two of them made up, come six rows, two of them with label 1; yours are {given}")


def package_l1_fit(X: np.ndarray, y: np.ndarray, C: float) -> np.ndarray:
    """`l1_path` at one C; the first column of X is 1 everywhere, which is the intercept's."""
    (fit,) = l1_path(TallMatrix([X[:, 1:]]), (y > 0).astype(int), [C])
    w = np.zeros(X.shape[1])
    w[0], w[1 + fit.neurons] = fit.intercept, fit.weights
    return w


def certificate(w: np.ndarray, X: np.ndarray, y: np.ndarray, C: float) -> float:
    """By how much the worst column fails the test of an optimum: `violation` in `hn_utils.probing.l1_path`."""
    return float(kkt_violation(X.T @ loss_gradient(y, X @ w), w, C).max())


def check_l1_fit(answer: Callable[[np.ndarray, np.ndarray, float], np.ndarray]) -> None:
    """Rows, labels of 1 or -1 and C to the weights of the L1 probe, whose certificate has to hold."""
    rng = np.random.default_rng(5)
    X = np.column_stack([np.ones(80), rng.normal(size=(80, 6))])
    y = np.where(2 * X[:, 1] - X[:, 2] + 0.6 + rng.normal(size=80) > 0, 1.0, -1.0)
    for C in (0.15, 0.6):
        w = np.asarray(answer(X.copy(), y.copy(), C))
        if w.shape != (7,):
            raise Mistake(f"expected a weight for each of 7 columns, got shape {w.shape}")
        if not np.isfinite(w).all():
            raise Mistake("the weights grow without end: a smaller step, such as 4 / (C * np.linalg.norm(X, 2) ** 2)")
        if certificate(w, X, y, C) > 1e-3:
            raise Mistake(_other_problem(w, X, y, C))


def _other_problem(w: np.ndarray, X: np.ndarray, y: np.ndarray, C: float) -> str:
    """What weights without a certificate are the answer to instead."""
    on, g = w != 0, X.T @ loss_gradient(y, X @ w)
    if not on.any():
        return "all weights are 0: is the pull g a sum over rows (no mean), and does C multiply it?"
    if w @ g < 0:
        return "the weights go against the examples' pull: w + step * C * g, with g = X.T @ (y / (1 + exp(y z)))"
    if np.abs(C * g).max() < 1e-2:
        return "that is the fit without a penalty: after each step pull every weight towards 0, by the step's length"
    if kkt_violation(g[1:], w[1:], C).max() < 1e-2 and abs(C * g[0]) < 1e-2:
        return "the column of ones is penalised as well here, as in the paper's code"
    strength = C * np.abs(g[on]).mean()  # of the penalty that these weights are balanced against
    if certificate(w, X, y, C / strength) < 1e-2:
        if np.isclose(strength, C, rtol=0.02):
            return "that is the optimum for C = 1: C multiplies the pull of the examples"
        return (
            f"that is the optimum for a penalty of {strength:.3g} instead of 1: shorten weights by the very step that "
            "multiplies C * g"
        )
    if np.allclose(C * g, (C * g @ w) / (w @ w) * w, atol=1e-2):
        return (
            "weights are shortened in proportion, which is an L2 penalty: take the same length off each, and stop at 0"
        )
    if on.all():
        return (
            "no weight is exactly 0: a step along the slope of |w| jumps over 0 and back. Shorten every weight by the "
            "step instead, and stop at 0: np.sign(w) * np.maximum(np.abs(w) - step, 0)"
        )
    return f"the certificate fails by {certificate(w, X, y, C):.2g}: not there yet. More steps, or longer ones"


def package_choose(aurocs: Sequence[float], standard_error: float) -> int:
    return above(aurocs, standard_error)[0]


def above(aurocs: Sequence[float], error: float) -> list[int]:
    """Places of all probes within one standard error of the best."""
    return [i for i, value in enumerate(aurocs) if value >= max(aurocs) - error]


def check_choice(answer: Callable[[Sequence[float], float], int]) -> None:
    """Validation AUROC along the path, sparsest first, and its standard error, to the place of the chosen probe."""
    cases = [
        ([0.50, 0.61, 0.66, 0.68, 0.70, 0.69], 0.025),
        ([0.50, 0.70, 0.55, 0.72, 0.71, 0.60], 0.03),
        ([0.50, 0.52, 0.80, 0.60, 0.79, 0.52], 0.001),
        ([0.50, 0.69, 0.67, 0.70], 0.04),
    ]

    compare(
        answer,
        cases,
        package_choose,
        [
            (
                "that is the best one; the rule takes the sparsest that is hardly worse",
                lambda a, _: int(np.argmax(a)),
            ),
            (
                "that is the one nearest the bar; the sparsest above it is wanted, however far above",
                lambda a, e: min(above(a, e), key=lambda i: a[i]),
            ),
            ("that is the densest within one standard error; we want few neurons", lambda a, e: above(a, e)[-1]),
            (
                "that is the first within one standard error of 0.5, not of the best",
                lambda a, e: next(i for i, v in enumerate(a) if v >= 0.5 + e),
            ),
            (
                "count from 0, and from the sparse end: the list is sorted by C",
                lambda a, e: len(a) - 1 - above(a, e)[0],
            ),
        ],
    )


def package_hunt(X: np.ndarray, made_up: np.ndarray, planted: np.ndarray, k: int) -> tuple[np.ndarray, float, float]:
    return _rated(np.argsort([auroc(made_up, column) for column in X.T])[-k:], planted)


def _rated(named: np.ndarray, planted: np.ndarray) -> tuple[np.ndarray, float, float]:
    """These neurons with their precision and recall."""
    hits = int(np.isin(named, planted).sum())
    return named, hits / len(named), hits / len(planted)


def check_hunt(answer: Callable[[np.ndarray, np.ndarray, np.ndarray, int], tuple[np.ndarray, float, float]]) -> None:
    """Contributions, who is made up, the planted neurons and k, to the k neurons that alone tell best, and their
    precision and recall."""
    rng, made_up, planted = np.random.default_rng(8), np.repeat([0, 1], 150), np.array([2, 5, 7, 9])
    X = rng.lognormal(sigma=0.5, size=(300, 12))
    for neuron, gap in ((2, 1.6), (5, 1.2), (3, 0.9), (7, 0.6), (6, 0.3), (1, -2.0)):  # 9 is planted, and tells nothing
        X[:, neuron] *= np.exp(gap * made_up)
    X[:, 0] *= 40  # loud
    X[made_up == 1, 4] += 90 * (rng.random(150) < 0.05)  # very loud, now and then

    def by(score: Callable[[np.ndarray, np.ndarray], float], last: bool = True) -> Callable[..., np.ndarray]:
        def named(X: np.ndarray, y: np.ndarray, planted: np.ndarray, k: int) -> np.ndarray:
            order = np.argsort([score(y, column) for column in X.T])
            return _in_order(_rated(order[-k:] if last else order[:k], planted))

        return named

    def difference(y: np.ndarray, x: np.ndarray) -> float:
        return x[y == 1].mean() - x[y == 0].mean()

    compare(
        lambda *case: _in_order(answer(*case)),
        [(X, made_up, planted, 5), (X, made_up, planted, 3)],
        lambda *case: _in_order(package_hunt(*case)),
        [
            ("those are the loudest neurons: how well does each tell made-up from true?", by(lambda _, x: x.mean())),
            (
                "a neuron that fires more in *true* answers is among them: it does not fire on what is made up",
                by(lambda y, x: abs(auroc(y, x) - 0.5)),
            ),
            ("those are the k that tell least: np.argsort puts the smallest first", by(auroc, last=False)),
            (
                "a few very loud answers make a great difference of means: let every pair count alike, by auroc",
                by(difference),
            ),
            (
                "precision and recall are swapped: the share of the named ones that is planted comes first",
                lambda *case: _in_order(package_hunt(*case))[[*range(case[-1]), -1, -2]],
            ),
            (
                "recall is a share of the planted neurons, precision one of the named ones",
                lambda *case: _in_order(package_hunt(*case))[[*range(case[-1]), -2, -2]],
            ),
        ],
    )


def _in_order(given: Any) -> np.ndarray:
    """Names, in rising order, and the two shares in a row. Raises Mistake if that is not what it is."""
    try:
        named, precision, recall = given
        return np.array([*sorted(int(neuron) for neuron in named), float(precision), float(recall)])
    except (TypeError, ValueError):
        raise Mistake(f"expected the neurons, their precision and their recall, got {given!r}") from None
