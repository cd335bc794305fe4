"""What else tells made-up answers from true ones: what a claim about H-Neurons has to beat, or add to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hn_utils.models.likelihoods import residuals_and_logprobs
from hn_utils.questions.reading.same_answer import words
from hn_utils.stats.bootstrap import Estimate, auroc_difference, bootstrap
from hn_utils.stats.metrics import auroc, mean
from hn_utils.storage.cache import cached
from hn_utils.storage.stages import register_stage

if TYPE_CHECKING:
    from hn_utils.answers.examples import Example
    from hn_utils.contributions.tall_matrix import TallMatrix
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.study import Study

VERSION = register_stage("readings", 2)
_STRENGTHS = (0.001, 0.01, 0.1, 1.0)  # C of an L2 probe, chosen on validation
BLOCK = 2**23  # numbers of a block of columns: 32 MB in float32
CALIPER = 0.1  # of the standard deviation of confidence, within which two answers count as equally sure


@dataclass(frozen=True)
class Readings:
    """What the model gives away about each answer besides its neurons.

    `residual` is the stream after each layer, averaged over the answer tokens; `entropy` (nats) and `margin` (the log
    ratio of the two likeliest tokens) are those of the predictions of the answer tokens, averaged; `length` is in
    tokens.
    """

    residual: Float[np.ndarray, "example layer d_model"]
    entropy: Float[np.ndarray, "example"]
    margin: Float[np.ndarray, "example"]
    length: Float[np.ndarray, "example"]


def read(subject: HookedModel, examples: Sequence[Example], study: Study) -> Readings:
    """One forward pass over every kept example, from disk where it was already made.

    Args:
        subject: the model.
        examples: answers with their tokens.
        study: how many rows are read at once.

    Returns:
        Residual streams, entropy (nats), margin (nats) and length (tokens) of each answer.

    Raises:
        ValueError: there is no example, or a value is not finite.
    """

    def compute(some: list[int]) -> dict[str, np.ndarray]:
        group = [examples[i] for i in some]
        predicting = [[place - 1 for place in e.answer] for e in group]
        rows = {"residual": [], "entropy": [], "margin": []}
        for example, (stream, predicted) in zip(
            group, residuals_and_logprobs(subject, [e.ids for e in group], predicting), strict=True
        ):
            best = predicted.topk(2, dim=-1).values
            rows["residual"].append(stream[:, example.answer].float().mean(1).cpu().numpy())
            rows["entropy"].append(float(-(predicted.exp() * predicted).sum(-1).mean()))
            rows["margin"].append(float((best[:, 0] - best[:, 1]).mean()))
        return {name: np.array(values, np.float32) for name, values in rows.items()}

    keys = [(e.ids, e.answer) for e in examples]
    lengths = [len(e.ids) for e in examples]
    kept = cached("readings", subject.key(VERSION), keys, compute, min(256, study.batch_rows), lengths)
    length = np.array([len(e.answer) for e in examples], float)
    return Readings(kept.array("residual"), kept.array("entropy"), kept.array("margin"), length)


def _standardized(
    values: Float[np.ndarray, "example column"], train: np.ndarray
) -> Float[np.ndarray, "example column"]:
    """Columns of mean 0 and variance 1 over the training rows; a constant one becomes 0."""
    spread = values[train].std(0)
    return (values - values[train].mean(0)) / np.where(spread == 0, 1, spread)


def coordinates(X: TallMatrix, train: np.ndarray) -> Float[np.ndarray, "example train"]:
    """Rows of any width in as many numbers as there are training rows, without loss for a dense probe.

    A probe with an L2 penalty sees only inner products, and never weighs a direction in which no training row lies. So
    the inner products of all rows with the training rows say it all; they are added up over blocks of standardised
    columns.

    Args:
        X: rows of any width, [example, column].
        train: numbers of the training rows, [train].

    Returns:
        Coordinates, [example, axis], without unit; there are at most as many axes as training rows.

    Source:
        The representer theorem (Kimeldorf & Wahba 1971), with a linear kernel.
    """
    products = np.zeros((len(X), len(train)))  # [example, train]
    height = max(1, BLOCK // len(X))
    for start in range(0, X.shape[1], height):
        block = _standardized(X.columns(np.arange(start, min(start + height, X.shape[1]))), train)
        products += block @ block[train].T  # [example, train]
    size, axes = np.linalg.eigh(products[train])
    spanned = size > 1e-8 * size[-1]
    return products @ (axes[:, spanned] / np.sqrt(size[spanned]))  # [example, axis]


def l2_probe(
    features: Float[np.ndarray, "example feature"], labels: np.ndarray, train: np.ndarray, validation: np.ndarray
) -> tuple[float, Float[np.ndarray, "example"]]:
    """A dense linear probe, its strength chosen on validation.

    Args:
        features: [example, feature], best of equal variance, since one penalty serves all.
        labels: 1 for hallucinated, [example].
        train: numbers of the examples to fit on, [train].
        validation: numbers of the examples to choose on, [validation].

    Returns:
        Validation AUROC, and log-odds of a hallucination of every example, [example], in nats. The AUROC is that of the
        best of several: too high by what was gained in choosing.

    Raises:
        ValueError: the training examples are of one class.
    """
    best = (-1.0, np.empty(0))
    for C in _STRENGTHS:
        model = LogisticRegression(C=C, solver="newton-cg", max_iter=300).fit(features[train], labels[train])
        scores = model.decision_function(features)
        best = max(best, (auroc(labels[validation], scores[validation]), scores), key=lambda pair: pair[0])
    return best


def words_probe(
    texts: Sequence[str], labels: np.ndarray, train: np.ndarray, validation: np.ndarray
) -> Float[np.ndarray, "example"]:
    """What the words of an answer tell, without any neuron: a dense linear probe on which words stand in it.

    Words are those of training answers, each in the one spelling in which answers are compared; its strength is chosen
    on validation.

    Args:
        texts: the answers, [example].
        labels: 1 for hallucinated, [example].
        train: numbers of the examples to fit on, [train].
        validation: numbers of the examples to choose on, [validation].

    Returns:
        Log-odds that each answer is made up, [example], in nats; all 0 if there is no word in any training answer.

    Raises:
        ValueError: the training examples are of one class.
    """
    counter = CountVectorizer(binary=True, analyzer=words)  # type: ignore[arg-type]
    try:
        counter.fit([texts[i] for i in train])
    except ValueError:  # not one word in any answer
        return np.zeros(len(texts))
    present = counter.transform(texts).toarray().astype(float)
    return l2_probe(present, labels, train, validation)[1]


def residual_probe(
    residual: Float[np.ndarray, "example layer d_model"], labels: np.ndarray, train: np.ndarray, validation: np.ndarray
) -> tuple[int, Float[np.ndarray, "example"]]:
    """The residual-stream probe of the layer best on validation.

    Args:
        residual: stream after each layer, averaged over the answer, [example, layer, d_model].
        labels: 1 for hallucinated, [example].
        train: numbers of the examples to fit on, [train].
        validation: numbers of the examples to choose on, [validation].

    Returns:
        The layer, and log-odds of a hallucination of every example, [example], in nats.

    Raises:
        ValueError: the training examples are of one class.
    """
    by_layer = residual.swapaxes(0, 1)  # [layer, example, d_model]
    streams = [_standardized(stream, train) for stream in by_layer]
    probes = [l2_probe(stream, labels, train, validation) for stream in streams]
    layer = int(np.argmax([value for value, _ in probes]))
    return layer, probes[layer][1]


def share_by_kind(texts: Sequence[str], labels: np.ndarray, train: np.ndarray) -> Float[np.ndarray, "example"]:
    """What the kind of an answer (with digits, of one word, of several) tells.

    Args:
        texts: the answers, [example].
        labels: 1 for hallucinated, [example].
        train: numbers of the training examples, [train].

    Returns:
        The share of training answers of that kind that are made up, [example]; of a kind that is not among them, the
        share of all.
    """
    kinds = np.array(["digits" if re.search(r"\d", t) else "word" if len(t.split()) == 1 else "words" for t in texts])
    shares = {kind: labels[train][kinds[train] == kind].mean() for kind in set(kinds[train])}
    return np.array([shares.get(kind, labels[train].mean()) for kind in kinds])


@dataclass(frozen=True)
class Added:
    """Do the H-Neurons say anything that confidence does not?

    `beyond` is the AUROC of both together minus that of confidence alone, the two fitted on validation and read on the
    test set. `matched` is about pairs of a true and a made-up answer that were given with about the same confidence: in
    which share of them do the H-Neurons score the made-up one higher (ties count half)? `matched_control` is the
    mean of that share over sets picked on shuffled labels. None if there are fewer than 20 such pairs; `n_pairs` counts
    them.
    """

    beyond: Estimate
    matched: Estimate | None
    matched_control: float | None
    n_pairs: int

    def __str__(self) -> str:
        if self.matched is None:
            return f"{self.n_pairs} pairs of equal confidence are too few to say whether H-Neurons add to it"
        told = {1: "more than", -1: "less than", 0: "not told apart from"}[self.matched.direction(0.5)]
        return (
            f"of {self.n_pairs} pairs of equal confidence the H-Neurons order {self.matched} rightly, picks on "
            f"shuffled labels {self.matched_control:.2f}: {told} one half"
        )


class Scored(NamedTuple):
    """Some answers: the H-Neurons' scores, the answers' confidence, labels (1 for made up), and entities."""

    own: np.ndarray
    confidence: np.ndarray
    labels: np.ndarray
    groups: np.ndarray


def added(validation: Scored, test: Scored, control: Float[np.ndarray, "example set"]) -> Added:
    """Do the H-Neurons add to confidence? Nested models are compared, and pairs of equal confidence.

    Args:
        validation: answers to fit on.
        test: answers to read on.
        control: scores of control sets on the test answers, [test answer, set].

    Returns:
        AUROC of both minus that of confidence alone, and the share of pairs that are ordered rightly, with 95 %
        intervals over entities. Confidence enters as it is: what a curve of it would say counts as added.

    Raises:
        ValueError: the validation answers are of one class, or a score is NaN.
    """
    both = combined(
        np.column_stack([validation.own, validation.confidence]),
        validation.labels,
        np.column_stack([test.own, test.confidence]),
    )
    beyond = auroc_difference(test.labels, both, -test.confidence, test.groups)
    pairs = matched_pairs(test.confidence, test.labels, test.groups)
    if len(pairs) < 20:
        return Added(beyond, None, None, len(pairs))
    right, wrong = np.array(pairs).T
    wins = [(np.sign(scores[wrong] - scores[right]) + 1) / 2 for scores in (test.own, *control.T)]
    return Added(beyond, bootstrap(mean, wins[0]), float(np.mean(wins[1:])), len(pairs))


def combined(
    before: Float[np.ndarray, "validation score"], labels: np.ndarray, after: Float[np.ndarray, "test score"]
) -> Float[np.ndarray, "test"]:
    """Several scores as one: a logistic regression on them, each as it is.

    Args:
        before: scores of the answers to fit on, [validation, score].
        labels: of these, 1 for hallucinated, [validation].
        after: scores of the answers to read, [test, score].

    Returns:
        Log-odds of a hallucination, [test], in nats. A curve of a score is not in it.

    Raises:
        ValueError: the labels are of one class, or a score is NaN.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0))
    return model.fit(before, labels).decision_function(after)


def matched_pairs(confidence: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (true answer, made-up answer) of about equal confidence, closest first.

    Each entity is in one pair at most: so pairs are independent, and to draw pairs again is to draw entities again.

    Args:
        confidence: of each answer, [answer], in any unit.
        labels: 1 for hallucinated, [answer].
        groups: the entity that each answer is about, [answer].

    Returns:
        Pairs of places among the answers, no wider apart than CALIPER standard deviations of confidence. Answers
        without a partner are left out, so that pairs stand for those alone whose confidence both kinds have.

    Source:
        Rosenbaum & Rubin 1985: matching within a caliper, greedily and without replacement.
    """
    right = np.flatnonzero(labels == 0)
    wrong = np.flatnonzero(labels == 1)
    gaps = np.abs(confidence[right][:, None] - confidence[wrong][None])  # [right, wrong]
    widest = CALIPER * confidence.std()
    pairs: list[tuple[int, int]] = []
    taken: set = set()
    for flat in np.argsort(gaps, axis=None):
        i, j = divmod(int(flat), len(wrong))
        if gaps[i, j] > widest:
            break
        pair = int(right[i]), int(wrong[j])
        if taken.isdisjoint(groups[list(pair)]):
            pairs.append(pair)
            taken.update(groups[list(pair)])
    return pairs
