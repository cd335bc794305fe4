"""What else tells made-up answers from true ones: what a claim about H-Neurons has to beat, or add to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hn_utils.cache import cached_shards
from hn_utils.controls import Estimate, auroc, bootstrap
from hn_utils.responses import Example
from hn_utils.study import Study
from hn_utils.subject import Subject

VERSION = 1
STRENGTHS = (0.001, 0.01, 0.1, 1.0)  # C of an L2 probe, chosen on validation
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


def read(subject: Subject, examples: Sequence[Example], study: Study) -> Readings:
    """One forward pass over every kept example, from disk where it was already made."""

    def compute(_: int, group: Sequence[Example]) -> dict[str, np.ndarray]:
        streams, logprobs = subject.streams([e.ids for e in group])
        rows = {"residual": [], "entropy": [], "margin": []}
        for example, stream, row in zip(group, streams, logprobs, strict=True):
            predicted = row[[p - 1 for p in example.answer]].float()
            best = predicted.topk(2, dim=-1).values
            rows["residual"].append(stream[:, example.answer].float().mean(1).cpu().numpy())
            rows["entropy"].append(float(-(predicted.exp() * predicted).sum(-1).mean()))
            rows["margin"].append(float((best[:, 0] - best[:, 1]).mean()))
        return {name: np.array(values, np.float32) for name, values in rows.items()}

    key = {
        "version": VERSION,
        "model": subject.fingerprint,
        "dtype": study.dtype,
        "device": subject.device.type,
        "examples": [(e.ids, e.answer) for e in examples],
    }
    shards = cached_shards("readings", key, examples, compute, min(256, study.batch_rows))
    joined = {name: np.concatenate([s[name] for s in shards]) for name in shards[0]}
    return Readings(**joined, length=np.array([len(e.answer) for e in examples], float))


Score = Callable[[np.ndarray], np.ndarray]


def l2_probe(
    X: np.ndarray, labels: np.ndarray, validation: np.ndarray, validation_labels: np.ndarray
) -> tuple[float, Score]:
    """A dense linear probe, its strength chosen on validation: (validation AUROC, log-odds of a hallucination)."""
    best: tuple[float, Score] | None = None
    for C in STRENGTHS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=300)).fit(X, labels)
        value = auroc(validation_labels, model.decision_function(validation))
        if best is None or value > best[0]:
            best = value, model.decision_function
    assert best is not None
    return best


def residual_probe(
    residual: np.ndarray, labels: np.ndarray, train: np.ndarray, validation: np.ndarray
) -> tuple[int, Score]:
    """The residual-stream probe of the layer best on validation: (layer, score of [example, layer, d_model])."""
    probes = [
        l2_probe(residual[train, layer], labels[train], residual[validation, layer], labels[validation])
        for layer in range(residual.shape[1])
    ]
    layer = int(np.argmax([value for value, _ in probes]))
    return layer, lambda streams: probes[layer][1](streams[:, layer])


@dataclass(frozen=True)
class Added:
    """Do the H-Neurons say anything that confidence does not?

    `beyond` is the AUROC of both together minus that of confidence alone, the two fitted on validation and read on the
    test set. `matched` is the AUROC of the H-Neurons alone on pairs of a true and a made-up answer that were given with
    about the same confidence, None if there are fewer than 20 such pairs; `n_pairs` counts them.
    """

    beyond: Estimate
    matched: Estimate | None
    n_pairs: int


def added(
    own: np.ndarray,
    sure: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> Added:
    """Compare nested models; `own` and `sure` are scores and log-probabilities of the test set, `validation` the same
    and the labels of the validation set."""
    own_before, sure_before, labels_before = validation
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0))
    model.fit(np.column_stack([own_before, sure_before]), labels_before)
    both = model.decision_function(np.column_stack([own, sure]))
    beyond = bootstrap(lambda y, a, b: auroc(y, a) - auroc(y, b), labels, both, -sure, groups=groups)
    pairs = matched_pairs(sure, labels)
    chosen = np.array([i for pair in pairs for i in pair], dtype=int)
    matched = None
    if len(pairs) >= 20:
        matched = bootstrap(auroc, labels[chosen], own[chosen], groups=groups[chosen])
    return Added(beyond, matched, len(pairs))


def matched_pairs(sure: np.ndarray, labels: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (true answer, made-up answer) of about equal confidence, each answer used at most once, closest first."""
    right, wrong = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)
    gaps = np.abs(sure[right][:, None] - sure[wrong][None])
    pairs, free_right, free_wrong = [], set(range(len(right))), set(range(len(wrong)))
    for flat in np.argsort(gaps, axis=None):
        i, j = divmod(int(flat), len(wrong))
        if gaps[i, j] > CALIPER * sure.std():
            break
        if i in free_right and j in free_wrong:
            pairs.append((int(right[i]), int(wrong[j])))
            free_right.discard(i)
            free_wrong.discard(j)
    return pairs
