"""Checks of the notebooks' exercises: an answer is tried on small cases, and the usual mistakes are named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hn_utils.controls import auroc

Mistakes = Sequence[tuple[str, Callable[..., Any]]]
YOUR_TURN = "not written yet: your turn"
NOT_UNDONE = "after the block the layer is not as it was"


class Mistake(AssertionError):
    """An answer is not right; the message says why, if the mistake is a known one."""

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows: the message, and no traceback through the checks."""
        return [f"Not yet: {self}"]


def check(name: str, answer: Any) -> str:
    """Try an answer to the exercise called `name`. Returns praise; raises Mistake with a diagnosis, ValueError if there
    is no such exercise."""
    if name not in CHECKS:
        raise ValueError(f"no exercise is called {name!r}: choose one of {', '.join(CHECKS)}")
    if answer is ...:
        raise Mistake(YOUR_TURN)
    try:
        CHECKS[name](tuple(map(returning, answer)) if isinstance(answer, tuple) else returning(answer))
    except NotImplementedError:
        raise Mistake(YOUR_TURN) from None
    return f"Right: {name}."


def returning(answer: Any) -> Any:
    """A function that complains if it returns nothing; anything else as it is."""
    if not callable(answer):
        return answer

    def called(*arguments: Any) -> Any:
        value = answer(*arguments)
        if value is None:
            raise Mistake("your function returns nothing: is there a `return`?")
        return value

    return called


def same(one: Any, other: Any) -> bool:
    """Equal numbers in equal shapes; anything that is no number differs."""
    try:
        one, other = np.asarray(one, float), np.asarray(other, float)
    except (TypeError, ValueError):
        return False
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=1e-4, atol=1e-8))


def compare(
    answer: Callable[..., Any],
    cases: Sequence[tuple[Any, ...]],
    right: Callable[..., Any],
    mistakes: Mistakes,
) -> None:
    """Raise Mistake unless `answer` does what `right` does on every case; named, if it does what a mistake would do."""
    given = [answer(*case) for case in cases]
    expected = [right(*case) for case in cases]
    if all(map(same, given, expected)):
        return
    for message, wrong in mistakes:
        if all(same(g, wrong(*case)) for g, case in zip(given, cases, strict=True)):
            raise Mistake(message)
    first = next(i for i in range(len(cases)) if not same(given[i], expected[i]))
    asked = ", ".join(shown(part) for part in cases[first])
    raise Mistake(f"for {asked} it gives {shown(given[first])} where {shown(expected[first])} is right")


def shown(value: Any) -> str:
    """A value in few words."""
    if isinstance(value, Tensor | np.ndarray):
        value = np.asarray(value).round(4)
        return f"an array of shape {value.shape}" if value.size > 12 else f"{value.tolist()}"
    return f"{value!r}"


# --- 1 collect ------------------------------------------------------------------------------------------------------


def check_cett(answer: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> None:
    """CETT of one neuron at one token, from z, its column of W_down, the layer's output h and the residual stream."""
    column, h, stream = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 2.0]), torch.tensor([6.0, 9.0])
    cases = [(torch.tensor(z), column, h, stream) for z in (0.5, -0.5, 0.0)]
    compare(
        answer,
        cases,
        lambda z, c, h, _: z.abs() * c.norm() / h.norm(),
        [
            (
                "you divided by the residual stream; the paper divides by the output of the layer's MLP",
                lambda z, c, _, x: z.abs() * c.norm() / x.norm(),
            ),
            ("a neuron that fires negatively writes as well: take |z|", lambda z, c, h, _: z * c.norm() / h.norm()),
            ("the length of the column is missing: how loudly can it say it?", lambda z, _, h, __: z.abs() / h.norm()),
            ("a length is the root of the sum of squares", lambda z, c, h, _: (z * c).pow(2).sum() / h.pow(2).sum()),
            ("that is the write's length alone; relative to what?", lambda z, c, *_: z.abs() * c.norm()),
            (
                "that is how far the write points along h; the paper's measure ignores direction",
                lambda z, c, h, _: (z * c) @ h / h.norm() ** 2,
            ),
        ],
    )


def check_pooling(answer: Callable[[Tensor, list[int]], tuple[Tensor, Tensor]]) -> None:
    """Contributions [pos, neuron] to the mean over answer positions and the mean over all others."""
    values = torch.tensor([[1.0, 0.0], [2.0, 6.0], [4.0, 0.0], [8.0, 2.0], [16.0, 4.0]])

    def others(answer: Sequence[int]) -> list[int]:
        return [i for i in range(len(values)) if i not in answer]

    def right(v: Tensor, at: list[int]) -> np.ndarray:
        return np.stack([v[at].mean(0), v[others(at)].mean(0)])

    compare(
        lambda v, at: two_means(*answer(v, at)),
        [(values, [3, 4]), (values, [2])],
        right,
        [
            (
                "the other tokens include the answer's: leave those out",
                lambda v, at: np.stack([v[at].mean(0), v.mean(0)]),
            ),
            (
                "you added up; the paper averages, or longer answers would count for more",
                lambda v, at: np.stack([v[at].sum(0), v[others(at)].sum(0)]),
            ),
            (
                "you took the largest; the paper averages over tokens",
                lambda v, at: np.stack([v[at].amax(0), v[others(at)].amax(0)]),
            ),
            (
                "you read one position early: those are the places that predict the answer, not the answer's own",
                lambda v, at: np.stack([v[[i - 1 for i in at]].mean(0), v[others([i - 1 for i in at])].mean(0)]),
            ),
            ("the two are swapped: first the answer, then the rest", lambda v, at: right(v, at)[::-1]),
        ],
    )


def two_means(*given: Any) -> np.ndarray:
    """Both means under each other. Raises Mistake if they are not two, of a number a neuron."""
    parts = [np.asarray(part, float) for part in given]
    shapes = [part.shape for part in parts]
    if shapes != [(2,), (2,)]:
        raise Mistake(f"expected two means, a number a neuron, got shapes {shapes}: average over the first axis")
    return np.stack(parts)


# --- 2 probe --------------------------------------------------------------------------------------------------------


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


def check_choice(answer: Callable[[Sequence[float], float], int]) -> None:
    """Validation AUROC along the path, sparsest first, and its standard error, to the place of the chosen probe."""
    cases = [
        ([0.50, 0.61, 0.66, 0.68, 0.70, 0.69], 0.025),
        ([0.50, 0.70, 0.55, 0.72, 0.71, 0.60], 0.03),
        ([0.50, 0.52, 0.80, 0.60, 0.79, 0.52], 0.001),
        ([0.50, 0.69, 0.67, 0.70], 0.04),
    ]

    def within(aurocs: Sequence[float], error: float) -> list[int]:
        return [i for i, value in enumerate(aurocs) if value >= max(aurocs) - error]

    compare(
        answer,
        cases,
        lambda a, e: within(a, e)[0],
        [
            (
                "that is the best one; the rule takes the sparsest that is hardly worse",
                lambda a, _: int(np.argmax(a)),
            ),
            (
                "that is the one nearest the bar; the sparsest above it is wanted, however far above",
                lambda a, e: min(within(a, e), key=lambda i: a[i]),
            ),
            ("that is the densest within one standard error; we want few neurons", lambda a, e: within(a, e)[-1]),
            (
                "that is the first within one standard error of 0.5, not of the best",
                lambda a, e: next(i for i, v in enumerate(a) if v >= 0.5 + e),
            ),
            (
                "count from 0, and from the sparse end: the list is sorted by C",
                lambda a, e: len(a) - 1 - within(a, e)[0],
            ),
        ],
    )


def check_random_set(answer: Callable[[np.ndarray, int, int], np.ndarray]) -> None:
    """H-Neurons (flat), neurons a layer and a seed, to as many random neurons of the same layers."""
    d_mlp, h_neurons = 20, np.array([0, 3, 7, 12, 15, 45, 47, 50, 58])  # nine in layers 0 and 2
    drawn = [np.asarray(answer(h_neurons, d_mlp, seed)) for seed in range(60)]
    for one in drawn:
        if one.ndim != 1 or not np.issubdtype(one.dtype, np.integer):
            raise Mistake(f"expected one whole number a neuron, got {shown(one)}")
        if len(one) != len(h_neurons):
            raise Mistake(
                f"{len(one)} neurons for {len(h_neurons)} H-Neurons: a bigger set would detect more by itself"
            )
    if all(one.max() < d_mlp for one in drawn):
        raise Mistake("all lie in layer 0: a flat number is layer times d_mlp plus the place in the layer")
    if any(len(set(one.tolist())) < len(one) for one in drawn):
        raise Mistake("a neuron was drawn twice: draw without replacement")
    layers = np.bincount(h_neurons // d_mlp, minlength=3)
    if any((one < 0).any() or (np.bincount(one // d_mlp, minlength=3).tolist() != layers.tolist()) for one in drawn):
        raise Mistake(
            "the layers differ: contributions differ from layer to layer, so draw as many in each as H-Neurons"
        )
    if any(np.isin(one, h_neurons).any() for one in drawn):
        raise Mistake("an H-Neuron is among them: a control that holds the treatment makes the difference smaller")
    if not np.array_equal(drawn[0], np.asarray(answer(h_neurons, d_mlp, 0))):
        raise Mistake("the same seed gives another set: a control has to come out the same when it is run again")
    if len({tuple(sorted(one.tolist())) for one in drawn}) < 50:
        raise Mistake("different seeds give the same set: one draw says nothing about the spread")
    if len(set(np.concatenate(drawn).tolist())) < 2 * d_mlp - len(h_neurons):
        raise Mistake("some neurons of these layers are never drawn")


def stratified() -> dict[str, np.ndarray]:
    """Four thousand answers and a detector that sees only how long they are, and the hour of the day, which has nothing
    to do with truth. Made-up answers are more often long, and more often about towns, which the score does not see."""
    rng, n = np.random.default_rng(7), 4_000
    labels = rng.permutation(np.repeat([0, 1], n // 2))
    long, town = (rng.random(n) < np.where(labels == 1, 0.8, 0.2) for _ in range(2))
    late = rng.random(n) < 0.5
    score = 2.0 * long + 1.0 * late + rng.normal(size=n)
    return {"labels": labels, "score": score, "length": 1 + long, "topic": 1 * town, "time of day": 1 * late}


def auroc_within(labels: np.ndarray, score: np.ndarray, stratum: np.ndarray) -> float:
    """AUROC among pairs of one true and one made-up answer of the same stratum; every pair counts alike."""
    pairs = areas = 0.0
    for value in np.unique(stratum):
        own = labels[stratum == value]
        weight = float(own.sum()) * float((1 - own).sum())
        if weight:
            areas += weight * auroc(own, score[stratum == value])
            pairs += weight
    return areas / pairs


def check_confound(answer: tuple[Callable[..., float], str]) -> None:
    """(AUROC within strata, name of the variable that explains the detector away)."""
    within, name = answer
    if within is ... or name is ...:
        raise Mistake(YOUR_TURN)
    check_within(within)
    because = {
        "topic": "that differs between true and made-up answers, but the score does not see it: within topics the "
        "detector does as well as before",
        "time of day": "that moves the score, but is the same for true and made-up answers: a nuisance, no confound",
    }
    if name in because:
        raise Mistake(because[name])
    if name != "length":
        raise Mistake(f"{name!r} is none of the suspects: length, topic, time of day")


def check_within(answer: Callable[..., float]) -> None:
    """Labels, scores and strata to the AUROC within strata."""
    data = stratified()
    labels, score = np.array([1, 0, 0, 0, 1, 1, 0, 0, 1, 0]), np.array([5.0, 6, 1, 2, 3, 4, 0, 3.5, 1, 2])
    stratum = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2])  # 3, 4 and 1 pairs

    def plain_mean(y: np.ndarray, s: np.ndarray, g: np.ndarray) -> float:
        return float(np.mean([auroc(y[g == v], s[g == v]) for v in np.unique(g)]))

    def by_size(y: np.ndarray, s: np.ndarray, g: np.ndarray) -> float:
        values, sizes = np.unique(g, return_counts=True)
        return float(np.average([auroc(y[g == v], s[g == v]) for v in values], weights=sizes))

    compare(
        answer,
        [(data["labels"], data["score"], data["length"]), (labels, score, stratum)],
        auroc_within,
        [
            (
                "that is the AUROC of all answers together: compare only answers of the same stratum",
                lambda y, s, _: auroc(y, s),
            ),
            ("that is the AUROC of the stratum itself, not of the score within it", lambda y, _, g: auroc(y, g)),
            (
                "weigh a stratum by its pairs of a true and a made-up answer, (made up) x (true), not by its size",
                by_size,
            ),
            ("strata with more pairs say more: weigh each by (made up) x (true)", plain_mean),
        ],
    )


# --- 3 intervene ----------------------------------------------------------------------------------------------------


def check_scaling(answer: Callable[[nn.Module, list[int], float], AbstractContextManager]) -> None:
    """A context manager that scales inputs of a down projection and undoes it, whatever happens inside."""
    dice = torch.Generator().manual_seed(0)
    down, neurons, alpha = nn.Linear(6, 40, bias=False).double(), [1, 4], 0.7
    nn.init.normal_(down.weight, generator=dice)
    z = torch.randn(2, 5, 6, generator=dice).double()
    kept, weights, before = z.clone(), down.weight.detach().clone(), down(z).detach().clone()
    chosen = torch.eye(6).double()[neurons].sum(0)  # 1 at these neurons
    turned = z.clone()
    turned[..., neurons] *= alpha
    expected = turned @ weights.T
    with answer(down, neurons, alpha):
        inside = down(z).detach().clone()
    if not torch.equal(z, kept):
        raise Mistake("the caller's own z was changed: clone it first, or the scaling stays for whoever reads it next")
    if torch.equal(inside, before):
        raise Mistake("inside the block nothing changed: is the hook registered, and does it return the new input?")
    if not torch.allclose(inside, expected):
        along_tokens = z.clone()
        along_tokens[:, neurons] *= alpha
        unchanged = ((inside - before).abs().sum(-1) == 0).any()
        for message, found in (
            ("the whole layer was scaled: only these neurons", torch.allclose(inside, alpha * before)),
            ("alpha was added; it multiplies", torch.allclose(inside, (z + alpha * chosen) @ weights.T)),
            (
                "whole tokens were scaled: neurons are the last axis, z[..., neurons]",
                torch.allclose(inside, along_tokens @ weights.T),
            ),
            ("some positions were not scaled: a neuron is turned up at every token", unchanged),
        ):
            if found:
                raise Mistake(message)
        raise Mistake("inside the block the output is not that of the scaled neurons")
    if not torch.equal(down.weight, weights):
        raise Mistake(f"{NOT_UNDONE}: the weights differ in their last bits. A hook leaves them alone")
    if not torch.equal(down(z), before):
        raise Mistake(f"{NOT_UNDONE}: the hook still hangs there. Remove its handle")
    check_undoing(answer(down, neurons, alpha), lambda: torch.equal(down(z), before))


def check_undoing(block: AbstractContextManager, as_before: Callable[[], bool]) -> None:
    """Does a block leave all as it was if an error is raised inside, and let the error pass?"""
    passed = False
    try:
        with block:
            raise ZeroDivisionError
    except ZeroDivisionError:
        passed = True
    if not as_before():
        raise Mistake(f"{NOT_UNDONE} if an error is raised inside: put the undoing into `finally`")
    if not passed:
        raise Mistake("an error that was raised inside the block vanished: undo in `finally`, and let it pass")


def check_rate(answer: Callable[[np.ndarray, np.ndarray, int], tuple[float, float, float]]) -> None:
    """Outcomes and people to the share that complied and its 95 % bootstrap interval over people."""
    people = np.repeat(np.arange(60), 4)
    complied = np.repeat(np.random.default_rng(1).random(60) < 0.4, 4)  # who complies once complies always
    outcomes = np.where(complied, "complied", np.where(np.arange(240) % 2 == 0, "resisted", "neither"))
    share = float(complied.mean())
    given = answer(outcomes, people, 0)
    try:
        value, low, high = map(float, given)
    except (TypeError, ValueError):
        raise Mistake(f"expected three numbers, the share and the ends of its interval, got {given!r}") from None
    if np.isclose(value, 100 * share):
        raise Mistake("that is in percent; the notebooks' rates are shares between 0 and 1")
    if np.isclose(value, complied.sum() / (outcomes != "neither").sum()):
        raise Mistake("replies that are neither count as well: without them a model that babbles looks compliant")
    if not np.isclose(value, share):
        raise Mistake(f"{complied.sum()} of 240 replies complied, which is {share:.3f}; you gave {value:.3f}")
    check_interval(value, low, high)


def check_interval(share: float, low: float, high: float) -> None:
    """Is it as wide as sixty people make it, each of whom always replies alike, four times?"""
    deviation = np.sqrt(share * (1 - share))
    wide, narrow = 2 * 1.96 * deviation / np.sqrt(60), 2 * 1.96 * deviation / np.sqrt(240)
    width = high - low
    if low == high:
        raise Mistake("the interval has no width: people are drawn *with* replacement, or every draw is the same")
    if high < share:
        raise Mistake("the whole interval lies below the rate: np.percentile counts to 100, so 2.5 and 97.5")
    if not low < share < high:
        raise Mistake(f"the interval [{low:.2f}, {high:.2f}] does not hold the rate {share:.2f}")
    if width < 1.25 * narrow:
        raise Mistake(
            f"the interval is too narrow ({width:.2f}, not about {wide:.2f}): each person was asked four times and "
            "always replied alike: that is sixty observations, not 240. Resample people with all their replies"
        )
    if width < 0.9 * wide:
        raise Mistake(
            f"the interval is too narrow ({width:.2f}, not about {wide:.2f}): it ends at percentiles 2.5 and 97.5, and "
            "a person who is drawn twice counts twice"
        )
    if width > 1.2 * wide:
        raise Mistake(
            f"the interval is too wide ({width:.2f}, not about {wide:.2f}): draw as many people as there are, and end "
            "at percentiles 2.5 and 97.5"
        )


# --- 4 base against instruct ----------------------------------------------------------------------------------------


def check_transfer(answer: Callable[[np.ndarray, np.ndarray, np.ndarray, float], float]) -> None:
    """Contributions in the base model, its labels and the instruct model's weights to what the probe detects there."""
    rng = np.random.default_rng(3)
    labels, weights, intercept = np.repeat([0, 1], 100), np.array([4.0, -2.0, 0.0]), -6.0
    X = rng.lognormal(size=(200, 3))
    X[:, 0] *= np.exp(0.5 * labels)
    X *= 0.3  # the base model speaks more softly

    def refitted(X: np.ndarray, y: np.ndarray, _: np.ndarray, __: float) -> float:
        from sklearn.linear_model import LogisticRegression

        return auroc(y, LogisticRegression(C=100.0).fit(X, y).decision_function(X))

    cases = [(X, labels, weights, intercept), (X[20:], labels[20:], weights[::-1].copy(), intercept)]
    compare(
        answer,
        cases,
        lambda X, y, w, b: auroc(y, X @ w + b),
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


# --- 5 falsehood or permission --------------------------------------------------------------------------------------


def check_effects(answer: Callable[[np.ndarray], tuple[float, float, float]]) -> None:
    """Means of the four cells, [allowed or restricted, true or false], to two main effects and their interaction."""
    cases = [(np.array([[1.0, 2.0], [4.0, 9.0]]),), (np.array([[0.5, 0.0], [0.25, 2.0]]),)]
    compare(
        answer,
        cases,
        lambda m: ((m[:, 1] - m[:, 0]).mean(), (m[1] - m[0]).mean(), m[1, 1] - m[1, 0] - m[0, 1] + m[0, 0]),
        [
            (
                "falsehood and restriction are swapped: rows are allowed and restricted, columns true and false",
                lambda m: ((m[1] - m[0]).mean(), (m[:, 1] - m[:, 0]).mean(), m[1, 1] - m[1, 0] - m[0, 1] + m[0, 0]),
            ),
            (
                "a main effect is the *mean* of two differences: you added them up",
                lambda m: ((m[:, 1] - m[:, 0]).sum(), (m[1] - m[0]).sum(), m[1, 1] - m[1, 0] - m[0, 1] + m[0, 0]),
            ),
            (
                "those are differences from the cell of true, allowed answers alone: a main effect is over both rows, "
                "or both columns",
                lambda m: (m[0, 1] - m[0, 0], m[1, 0] - m[0, 0], m[1, 1] - m[1, 0] - m[0, 1] + m[0, 0]),
            ),
            (
                "the interaction has the wrong sign: it is what falsehood does among restricted answers minus what it "
                "does among allowed ones",
                lambda m: ((m[:, 1] - m[:, 0]).mean(), (m[1] - m[0]).mean(), m[0, 1] - m[0, 0] - m[1, 1] + m[1, 0]),
            ),
        ],
    )


CHECKS: dict[str, Callable[[Any], None]] = {
    "CETT": check_cett,
    "pooling over the answer": check_pooling,
    "3-vs-1 rows": check_three_vs_one,
    "reading the path": check_choice,
    "a fair random baseline": check_random_set,
    "spot the confound": check_confound,
    "scaling and undoing it": check_scaling,
    "compliance rate with interval": check_rate,
    "base transfer": check_transfer,
    "two effects and their interaction": check_effects,
}
