"""Exercises of notebook 4: a probe in another model, a permutation p, a sentence that one could defend."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from hn_utils.course.mistakes import Mistake, compare
from hn_utils.origins.transfer import two_sided
from hn_utils.stats.metrics import auroc


def package_carried_over(X_base: np.ndarray, made_up: np.ndarray, weights: np.ndarray, intercept: float) -> float:
    return auroc(made_up, X_base @ weights + intercept)


def check_transfer(answer: Callable[[np.ndarray, np.ndarray, np.ndarray, float], float]) -> None:
    """Contributions in the base model, its labels and the instruct model's weights to what the probe detects there."""
    rng = np.random.default_rng(3)
    labels, weights, intercept = np.repeat([0, 1], 100), np.array([4.0, -2.0, 0.0]), -6.0
    X = rng.lognormal(size=(200, 3))
    X[:, 0] *= np.exp(0.5 * labels)
    X *= 0.3  # the base model contributes less

    def refitted(X: np.ndarray, y: np.ndarray, _: np.ndarray, __: float) -> float:
        from sklearn.linear_model import LogisticRegression

        return auroc(y, LogisticRegression(C=100.0).fit(X, y).decision_function(X))

    cases = [(X, labels, weights, intercept), (X[20:], labels[20:], weights[::-1].copy(), intercept)]
    compare(
        answer,
        cases,
        package_carried_over,
        [
            (
                "that is accuracy at score 0: in the base model contributions have another scale, and 0 no meaning",
                lambda X, y, w, b: float(np.mean((X @ w + b > 0) == y)),
            ),
            ("you fitted anew on the base model; the question is whether the *unchanged* weights work there", refitted),
            (
                "below 0.5 is above 0.5 the other way round: made-up answers should score high",
                lambda X, y, w, b: 1 - auroc(y, X @ w + b),
            ),
            ("a weight's sign matters: take the weights as they are", lambda X, y, w, b: auroc(y, X @ np.abs(w) + b)),
        ],
    )


def check_permutation(answer: Callable[[float, np.ndarray], float]) -> None:
    """A set's mean rank and those of random sets, to its two-sided permutation p."""
    null = np.random.default_rng(2).normal(0.45, 0.1, 99)

    def away(value: float, null: np.ndarray) -> np.ndarray:
        return np.abs(null - null.mean()) >= abs(value - null.mean())

    compare(
        answer,
        [(value, null) for value in (0.55, 0.36, 0.9)] + [(float(null.max()), null)],
        two_sided,
        [
            (
                "p is 0 where no random set lies as far: of 99 draws none can show that. Count the set itself as one "
                "more, above and below: (1 + how many) / (1 + 99)",
                lambda v, null: float(away(v, null).mean()),
            ),
            (
                "the set itself is one more draw below the line as well: divide by 1 + 99",
                lambda v, null: (1 + away(v, null).sum()) / len(null),
            ),
            (
                "that is one side: a mean rank may be unusually small, too. How far is it from the random sets' mean?",
                lambda v, null: (1 + (null >= v).sum()) / (1 + len(null)),
            ),
            (
                "that is the distance from 0.5; the random sets have a mean of their own",
                lambda v, null: (1 + (np.abs(null - 0.5) >= abs(v - 0.5)).sum()) / (1 + len(null)),
            ),
            (
                "that is how often random sets lie *nearer*; p is how often they lie at least as far",
                lambda v, null: (1 + (~away(v, null)).sum()) / (1 + len(null)),
            ),
            (
                "a random set that lies exactly as far counts as well: >=",
                lambda v, null: (1 + (np.abs(null - null.mean()) > abs(v - null.mean())).sum()) / (1 + len(null)),
            ),
        ],
    )


_PARTS = {
    "an interval: a number without one says nothing of other people. Such as 0.78 [0.75, 0.81]": (
        r"\[\s*[-+\d.]+\s*,\s*[-+\d.]+\s*\]|\d to [-+\d]"
    ),
    "a control: compared with what? Random neurons, shuffled labels, confidence": r"random|shuffled|confiden",
    "the population: how many answers, about which people, questions or items?": (
        r"\b(people|persons?|questions?|items?|entities)\b|n = \d|\d [-\w ]*\b(answers|replies|requests)\b"
    ),
    "a verb for what was measured, such as detect, order, reach, move, rise": (
        r"\b(detect|tell|told|order|rank|scor|reach|predict|separat|distinguish|move|turned|ris|rose|rais|fall|fell|"
        r"chang|contribut|fire|activat|write|compl)\w*"
    ),
}
_OVERCLAIMS = (
    r"\b(proves?|proven|caus\w+|because|knows?|understand\w*|responsible|explain\w*|encod\w+|believ\w+|intend\w*|"
    r"the hallucination neurons|(?:all|every|any|large) language models?|LLMs)\b"
)


def check_sentence(sentence: str) -> None:
    """A sentence that claims something: does it say how sure, compared with what, of whom, and no more than that? Only
    words are looked at: whether it is true is for its readers to say."""
    if not isinstance(sentence, str):
        raise Mistake(f"expected a sentence, got {sentence!r}")
    missing = [part for part, words in _PARTS.items() if not re.search(words, sentence, re.IGNORECASE)]
    if too_much := re.search(_OVERCLAIMS, sentence, re.IGNORECASE):
        missing.append(f"a smaller verb than “{too_much[0]}”: that was not measured")
    if missing:
        raise Mistake("it lacks " + "; and ".join(missing))
