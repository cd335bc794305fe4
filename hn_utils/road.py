"""The road from a question to a claim, in four steps, one a notebook: collect, find, intervene, look back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from hn_utils.compliance import (
    CAPABILITY,
    CONTROL_ALPHAS,
    DoseResponse,
    Item,
    dose_response,
    known_items,
    text_loss,
)
from hn_utils.contributions import Contributions, capture
from hn_utils.controls import (
    Estimate,
    accuracy,
    auroc,
    auroc_difference,
    average_precision,
    beyond_random,
    random_sets,
    shuffled,
    spread,
)
from hn_utils.intervene import Dose
from hn_utils.origins import Drift, Transfer, drift, transfer
from hn_utils.path import Fit, path_on_disk
from hn_utils.probe import (
    Detection,
    HNeurons,
    Probe,
    detect,
    fit_probe,
    h_neurons,
    refit,
    refits,
    three_vs_one,
)
from hn_utils.questions import Question, load_questions, question_module
from hn_utils.responses import Example, NothingConsistent, Response, build_examples, sample_responses
from hn_utils.rows import Rows
from hn_utils.study import Study
from hn_utils.subject import Subject

N_RANDOM_PROBES = 100
N_SHUFFLED = 20
RANDOM_NAMES = {
    "none": "random neurons",
    "layer": "random, same layers",
    "magnitude": "random, same layers and loudness",
}


@dataclass(frozen=True)
class Collected:
    """Everything the first step leaves behind; `kept` are the examples with a label, aligned with `contributions`."""

    subject: Subject
    questions: list[Question]
    responses: list[list[Response]]
    examples: list[Example]
    kept: list[Example]
    contributions: Contributions

    @cached_property
    def labels(self) -> np.ndarray:
        return np.array([e.label for e in self.kept])

    @cached_property
    def confidence(self) -> np.ndarray:
        return np.array([e.confidence for e in self.kept])

    @cached_property
    def entities(self) -> np.ndarray:
        return np.array([e.question.entity for e in self.kept])

    def rows(self, split: str, part: str = "standard") -> np.ndarray:
        """Indices of the kept examples of one split and part."""
        return np.flatnonzero([e.question.split == split and e.question.part == part for e in self.kept])

    def test_rows(self, part: str) -> np.ndarray:
        """A test set: its own answers. Answers about things that do not exist are set against true answers about
        things of the same kinds that do (`exist`), or else of the standard set."""
        rows = self.rows("test", part)
        if part != "nonexist":
            return rows
        real = self.rows("test", "exist")
        real = real if len(real) else self.rows("test")
        return np.concatenate([rows[self.labels[rows] == 1], real[self.labels[real] == 0]])


def collect(
    study: Study, subject: Subject | None = None, base: bool = False, base_splits: Sequence[str] = ("test",)
) -> Collected:
    """Ask, sample, judge, filter, capture. A base model is asked standard questions of `base_splits` only."""
    questions = load_questions(study)
    subject = subject or Subject.load(study.instruct, study)
    if base:
        questions = [q for q in questions if q.part == "standard" and q.split in base_splits]
    responses = sample_responses(subject, questions, study, base)
    examples = build_examples(subject, questions, responses, study, base)
    kept = [e for e in examples if e.label is not None]
    return Collected(subject, questions, responses, examples, kept, capture(subject, kept, study))


def balanced(rows: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """As many right as wrong rows, the surplus dropped at random."""
    rng = np.random.default_rng(seed)
    by_class = [rng.permutation(rows[labels[rows] == label]) for label in (0, 1)]
    return np.sort(np.concatenate([rows[: min(map(len, by_class))] for rows in by_class]))


@dataclass(frozen=True)
class Found:
    """The probe, its H-Neurons, control probes trained the same way, and what they detect.

    `random` holds refitted random sets by how they match the H-Neurons: none, layer, magnitude (layer and mean
    contribution). `magnitude` is that mean contribution, on training answers. `beyond` are paired differences of AUROC
    on the standard test set: H-Neurons minus the mean of the random sets matched in magnitude, and minus confidence.
    """

    probe: Probe
    card: HNeurons
    refitted: Fit
    random: dict[str, list[Fit]]
    shuffled: list[Fit]
    magnitude: np.ndarray
    table: list[Detection]
    beyond: dict[str, Estimate]


def find(study: Study, collected: Collected, region: str = "answer", other: str | None = "other") -> Found:
    """Fit the probe on train, choose C on validation, read every test set once; the same for the controls.

    `region` is read at answers, `other` against them (None: right against wrong answers alone).
    """
    train = balanced(collected.rows("train"), collected.labels, study.seed)
    validation = collected.rows("validation")
    probe = fit_on(study, collected, train, validation, region, other)
    subject = collected.subject
    shape = (subject.n_layers, subject.d_mlp)
    card = h_neurons(probe, subject.short_name, subject.fingerprint, study.name, *shape)
    X, y = three_vs_one(collected.contributions[train], collected.labels[train], region, other)
    magnitude = collected.contributions[train].at(region).mean()
    random = {
        match: refits(X, y, random_sets(card.flat, *shape, N_RANDOM_PROBES, match, magnitude, study.seed))
        for match in RANDOM_NAMES
    }
    noise = [shuffled_fit(X, collected.labels[train], probe.fit.C, seed) for seed in range(N_SHUFFLED)]
    found = Found(probe, card, refit(X, y, card.flat), random, noise, magnitude, [], {})
    for part, title in question_module(study).PARTS.items():
        found.table.extend(detection_rows(collected, found, part, title))
    found.beyond.update(differences(collected, found))
    return found


def fit_on(
    study: Study,
    collected: Collected,
    train: np.ndarray,
    validation: np.ndarray,
    region: str = "answer",
    other: str | None = "other",
) -> Probe:
    """A probe on some of the examples, its C chosen on others."""
    read, labels, groups = collected.contributions, collected.labels, collected.entities[validation]
    there = (read[validation], labels[validation], groups)
    return fit_probe(read[train], labels[train], *there, study.n_grid, region, other)


def shuffled_fit(X: Rows, labels: np.ndarray, C: float, seed: int) -> Fit:
    """The probe at the chosen C after right and wrong were shuffled among the training answers, the first rows of X."""
    y = np.zeros(len(X), labels.dtype)
    y[: len(labels)] = shuffled(labels, seed)
    return path_on_disk(X, y, np.array([C]))[0]


def over_sets(name: str, title: str, fits: Sequence[Fit], X: Rows, labels: np.ndarray) -> Detection:
    """Mean AUROC, AUPRC and accuracy of control probes; the ranges hold 95 % of them."""
    size = int(np.mean([len(f.neurons) for f in fits]))
    columns, spreads = scores_of(fits, X).T, []
    for measure in (auroc, average_precision, accuracy):
        spreads.append(spread(np.array([measure(labels, column) for column in columns]), len(labels)))
    return Detection(name, title, size, *spreads)


def detection_rows(collected: Collected, found: Found, part: str, title: str) -> list[Detection]:
    """Every detector on one test set; empty if it lacks right or wrong answers."""
    rows = collected.test_rows(part)
    labels, groups = collected.labels[rows], collected.entities[rows]
    if len(set(labels)) < 2:
        return []
    X = collected.contributions[rows].at(found.probe.region)
    fit, k = found.probe.fit, len(found.card.rows)
    return [
        detect("L1 probe, all its neurons", title, labels, fit.score(X), groups, len(fit.neurons)),
        detect("H-Neurons alone, refitted", title, labels, found.refitted.score(X), groups, k),
        *(over_sets(name, title, found.random[match], X, labels) for match, name in RANDOM_NAMES.items()),
        over_sets("L1 probe on shuffled labels", title, found.shuffled, X, labels),
        detect("plain confidence (log-probability)", title, labels, -collected.confidence[rows], groups),
    ]


def differences(collected: Collected, found: Found) -> dict[str, Estimate]:
    """AUROC of the H-Neurons minus that of controls, paired: both are read on the same resampled questions."""
    rows = collected.test_rows("standard")
    own = found.refitted.score(collected.contributions[rows].at(found.probe.region))
    sure, labels, groups = collected.confidence[rows], collected.labels[rows], collected.entities[rows]
    return {
        "random": beyond_sets(collected, found, rows),
        "confidence": auroc_difference(labels, own, -sure, groups),
    }


def beyond_sets(collected: Collected, found: Found, rows: np.ndarray) -> Estimate:
    """AUROC of the H-Neurons on some answers minus the mean of the random sets matched in loudness."""
    X, labels = collected.contributions[rows].at(found.probe.region), collected.labels[rows]
    own, random = found.refitted.score(X), scores_of(found.random["magnitude"], X)
    return beyond_random(auroc, own, random, collected.entities[rows], labels)


def scores_of(fits: Sequence[Fit], X: Rows) -> Float[np.ndarray, "example set"]:
    """What each fit says; a column that several of them need is read once."""
    needed = np.unique(np.concatenate([fit.neurons for fit in fits]))
    read = X.columns(needed)
    return np.stack([read[:, np.searchsorted(needed, fit.neurons)] @ fit.weights + fit.intercept for fit in fits], 1)


@dataclass(frozen=True)
class Intervened:
    """Dose-response of the four behaviours and of the capability checks, and what scaling does to ordinary text.

    `loss` [text, alpha] and `control_loss` [set, text, control alpha] are in nats per token; `text_entities` are what
    the texts are about.
    """

    behaviours: dict[str, DoseResponse]
    capability: dict[str, DoseResponse]
    loss: np.ndarray
    control_loss: np.ndarray
    text_entities: list[str]


def intervene(study: Study, subject: Subject, found: Found) -> Intervened:
    """Scale the H-Neurons, and random sets of the same layers and loudness, on facts known but seen by no probe.

    Raises ValueError if the H-Neurons are another model's.
    """
    found.card.check(subject)
    source = question_module(study)
    items = few_known(study, subject, source.items(study))
    card, shape = found.card, (found.card.n_layers, found.card.d_mlp)
    controls = random_sets(card.flat, *shape, study.n_random_sets, "magnitude", found.magnitude, study.seed + 1)
    curves = dose_response(subject, items, card.flat, controls, study)
    texts, about = zip(*source.texts(study), strict=True)
    return Intervened(
        {b: c for b, c in curves.items() if b not in CAPABILITY},
        {b: c for b, c in curves.items() if b in CAPABILITY},
        text_loss(subject, texts, [Dose(card.flat, a) for a in study.alphas], study),
        text_loss(subject, texts, [Dose(c, a) for c in controls for a in CONTROL_ALPHAS], study)
        .reshape(len(texts), len(controls), len(CONTROL_ALPHAS))
        .swapaxes(0, 1),
        list(about),
    )


def few_known(study: Study, subject: Subject, items: Sequence[Item]) -> list[Item]:
    """`study.n_items` of each behaviour, at random, whose fact the model knows."""
    asked = few_of_each(items, study.seed, 5 * study.n_items)  # not all are known
    return few_of_each(known_items(subject, asked, study), study.seed, study.n_items)


def few_of_each(items: Sequence[Item], seed: int, n: int) -> list[Item]:
    """At most `n` items of each behaviour, at random."""
    rng, chosen = np.random.default_rng(seed), []
    for behaviour in dict.fromkeys(i.behaviour for i in items):
        group = [i for i in items if i.behaviour == behaviour]
        chosen += [group[i] for i in sorted(rng.permutation(len(group))[:n])]
    return chosen


@dataclass(frozen=True)
class Origins:
    """The three looks back: transfer to the base model, drift of the weights, and the timeline over checkpoints.

    `beyond` is the AUROC of the H-Neurons in the base model minus the mean of the random sets there, as `Found.beyond`
    has it at home; None where there are too few answers.
    """

    base: Transfer
    base_collected: Collected
    drift: Drift
    timeline: list[Transfer]
    beyond: Estimate | None


def look_back(study: Study, subject: Subject, found: Found) -> Origins:
    """Score base and checkpoints on the standard test questions with the instruct model's probe, unchanged."""
    base = Subject.load(study.base, study)
    asked = collect(study, base, base=True)
    scored = [t for name in study.checkpoints if (t := score_checkpoint(study, name, found)) is not None]
    own = scored_by(found, asked)
    noise = [fit.h_neurons for fit in found.shuffled if len(fit.h_neurons)]
    moved = drift(base, subject, found.card.flat, noise, study.seed)
    beyond = None if own.h_neurons is None else beyond_sets(asked, found, np.arange(len(asked.kept)))
    return Origins(own, asked, moved, [*scored, own], beyond)


def score_checkpoint(study: Study, name: str, found: Found) -> Transfer | None:
    """The probe on a checkpoint's own answers; None if it answers nothing consistently. The model is let go again."""
    try:
        return scored_by(found, collect(study, Subject.load(name, study), base=True))
    except NothingConsistent:
        return None


def scored_by(found: Found, collected: Collected) -> Transfer:
    return transfer(
        collected.subject.short_name,
        collected.contributions.at(found.probe.region),
        collected.labels,
        collected.confidence,
        collected.entities,
        found.probe.fit,
        found.refitted,
        found.random["magnitude"],
    )
