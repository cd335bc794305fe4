"""The second step: the probe, its H-Neurons, control probes trained the same way, and what they detect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hn_utils.collecting import Collected, later
from hn_utils.controls import (
    Estimate,
    Match,
    accuracy,
    auroc,
    auroc_difference,
    average_precision,
    beyond_random,
    bootstrap,
    random_sets,
    shuffled,
    spread,
)
from hn_utils.l1_path import Fit, cached_l1_path
from hn_utils.probe import (
    Detection,
    HNeurons,
    Probe,
    detect,
    detection_table,
    fit_probe,
    h_neurons,
    refit,
    refits,
    three_vs_one,
)
from hn_utils.study import Study, check_given
from hn_utils.subject import Subject
from hn_utils.tabled import Tabled
from hn_utils.tall_matrix import TallMatrix

if TYPE_CHECKING:
    import plotly.graph_objects as go

N_RANDOM_PROBES = 100
N_SHUFFLED = 20
RANDOM_NAMES = {
    "none": "random neurons",
    "layer": "random, same layers",
    "magnitude": "random, same layers and loudness",
}


@dataclass(frozen=True, repr=False)
class Found(Tabled):
    """The probe, its H-Neurons, control probes trained the same way, and what they detect.

    `random` holds refitted random sets by how they match the H-Neurons: none, layer, magnitude (layer and mean
    contribution). `magnitude` is that mean contribution, on training answers. `card` is the portable table of the
    H-Neurons, which saves and reads itself as JSON.
    """

    collected: Collected
    probe: Probe
    card: HNeurons
    refitted: Fit
    random: dict[str, list[Fit]]
    shuffled: list[Fit]
    magnitude: np.ndarray

    @property
    def subject(self) -> Subject:
        return self.collected.subject

    @property
    def study(self) -> Study:
        return self.collected.study

    @property
    def neurons(self) -> Int[np.ndarray, "h"]:
        """The H-Neurons, heaviest first, as flat indices: layer * d_mlp + neuron."""
        return self.card.flat

    @cached_property
    def detections(self) -> list[Detection]:
        """Every detector on every test set that has right and wrong answers."""
        rows = []
        for part, title in self.collected.parts.items():
            rows += detections_on(self, part, title)
        return rows

    @cached_property
    def beyond(self) -> dict[str, Estimate]:
        """What the H-Neurons detect on the standard test set beyond each of their controls."""
        return beyond_controls(self.collected, self, self.collected.test_rows("standard"))

    def refit_on(self, neurons: Int[np.ndarray, "k"]) -> Fit:
        """A probe on any set of neurons (flat), trained as the one on the H-Neurons alone is."""
        self.subject.require_neurons(neurons)
        train = self.collected.training_rows()
        contributions, labels = self.collected.contributions[train], self.collected.labels[train]
        return refit(*three_vs_one(contributions, labels, self.probe.region, self.probe.other), np.sort(neurons))

    def auroc_of(self, neurons: Int[np.ndarray, "k"]) -> Estimate:
        """What any set of neurons (flat) detects on the standard test set, refitted as the H-Neurons are."""
        read = self.collected.labelled(self.collected.test_rows("standard"), self.probe.region)
        return bootstrap(auroc, read.labels, self.refit_on(neurons).score(read.X), groups=read.groups)

    @property
    def headline(self) -> str:
        return (
            f"{self.card.headline}, AUROC {self.detections[1].auroc}: {self.beyond['random']} beyond random neurons, "
            f"{self.beyond['confidence']} beyond confidence; {self.read_on}"
        )

    @property
    def read_on(self) -> str:
        """How many right and wrong answers the probe was trained, chosen and tested on."""
        collected, told = self.collected, []
        for work, rows in (
            ("trained", collected.training_rows()),
            ("chosen", collected.rows("validation")),
            ("tested", collected.test_rows("standard")),
        ):
            right, wrong = (int((collected.labels[rows] == label).sum()) for label in (0, 1))
            told.append(f"{work} on {right} right and {wrong} wrong")
        return f"{', '.join(told)} answers"

    @property
    def table(self) -> pd.DataFrame:
        """AUROC on every test set, accuracy and AUPRC on the first, of H-Neurons and controls."""
        return detection_table(self.detections)

    def plot(self) -> go.Figure:
        """The same as a figure."""
        from hn_utils.shown.plots import detection

        return detection(self, self.detections)


def find(answers: Collected, region: str = "answer", other: str | None = "other", **settings: Any) -> Found:
    """Fit the probe on train, choose C on validation, read every test set; the same for random sets of neurons and for
    shuffled labels.

    `region` is read at answers, `other` against them (None: right against wrong answers alone); see
    `hn_utils.contributions.Contributions` for their names. Settings are those of `Study`, such as `n_grid` or `seed`.
    Raises ValueError, before anything is fitted, if train, validation or test lack right or wrong answers; NoHNeurons
    if no neuron gets a positive weight.

    >>> import hn_utils as hn
    >>> model = hn.load("organism")
    >>> found = hn.find(hn.collect(model, n_questions=120, sampling={"n": 2}), n_grid=8)
    >>> bool((found.neurons < model.n_layers * model.d_mlp).all())
    True
    """
    check_given("answers", answers, Collected, "what hn.collect returns")
    collected = replace(answers, study=later(answers.study, settings))
    study, subject = collected.study, collected.subject
    require_both_kinds(collected)
    train = collected.training_rows()
    probe = fit_on(collected, train, collected.rows("validation"), region, other)
    shape = (subject.n_layers, subject.d_mlp)
    card = h_neurons(probe, subject, study)
    X, y = three_vs_one(collected.contributions[train], collected.labels[train], region, other)
    magnitude = collected.contributions[train].at(region).mean()
    random = {}
    for match in RANDOM_NAMES:
        sets = random_sets(card.flat, shape, N_RANDOM_PROBES, Match(match, magnitude), study.seed)
        random[match] = refits(X, y, sets)
    noise = [shuffled_fit(X, collected.labels[train], probe.fit.C, seed) for seed in range(N_SHUFFLED)]
    return Found(collected, probe, card, refit(X, y, card.flat), random, noise, magnitude)


def require_both_kinds(collected: Collected) -> None:
    """Raises ValueError if a split lacks right or wrong answers to the standard questions."""
    for split in ("train", "validation", "test"):
        labels = collected.labels[collected.rows(split)]
        n_wrong = int(labels.sum())
        n_right = len(labels) - n_wrong
        if not (n_right and n_wrong):
            raise ValueError(
                f"of the consistent {split} answers {n_right} are right and {n_wrong} made up, and a probe needs both: "
                f"ask more questions, or {'easier' if n_wrong else 'harder'} ones"
            )


def fit_on(
    collected: Collected,
    train: np.ndarray,
    validation: np.ndarray,
    region: str = "answer",
    other: str | None = "other",
) -> Probe:
    """A probe on some of the examples, its C chosen on others."""
    there = collected.labelled(validation, region)
    rows, labels = collected.contributions[train], collected.labels[train]
    return fit_probe(rows, labels, there, collected.study.n_grid, region, other)


def shuffled_fit(X: TallMatrix, labels: np.ndarray, C: float, seed: int) -> Fit:
    """The probe at the chosen C after right and wrong were shuffled among the training answers, the first rows of X."""
    y = np.zeros(len(X), labels.dtype)
    y[: len(labels)] = shuffled(labels, seed)
    return cached_l1_path(X, y, np.array([C]))[0]


def over_sets(name: str, title: str, fits: Sequence[Fit], X: TallMatrix, labels: np.ndarray) -> Detection:
    """Mean AUROC, AUPRC and accuracy of control probes; the ranges hold 95 % of them."""
    size = int(np.mean([len(f.neurons) for f in fits]))
    columns, spreads = scores_of(fits, X).T, []
    for measure in (auroc, average_precision, accuracy):
        spreads.append(spread(np.array([measure(labels, column) for column in columns]), len(labels)))
    return Detection(name, title, size, *spreads)


def detections_on(found: Found, part: str, title: str) -> list[Detection]:
    """Every detector on one test set; empty if it lacks right or wrong answers."""
    collected, rows = found.collected, found.collected.test_rows(part)
    if len(set(collected.labels[rows])) < 2:
        return []
    read = collected.labelled(rows, found.probe.region)
    fit, k = found.probe.fit, len(found.card.rows)
    return [
        detect("L1 probe, all its neurons", title, read, fit.score(read.X), len(fit.neurons)),
        detect("H-Neurons alone, refitted", title, read, found.refitted.score(read.X), k),
        *(over_sets(name, title, found.random[match], read.X, read.labels) for match, name in RANDOM_NAMES.items()),
        over_sets("L1 probe on shuffled labels", title, found.shuffled, read.X, read.labels),
        detect("plain confidence (log-probability)", title, read, -collected.confidence[rows]),
    ]


def beyond_controls(collected: Collected, found: Found, rows: np.ndarray) -> dict[str, Estimate]:
    """Paired differences of AUROC on some answers: H-Neurons minus the mean of the random sets matched in magnitude,
    and minus confidence. Both are read on the same resampled questions."""
    X, labels, groups = collected.labelled(rows, found.probe.region)
    own, sure = found.refitted.score(X), collected.confidence[rows]
    return {
        "random": beyond_sets(collected, found, rows),
        "confidence": auroc_difference(labels, own, -sure, groups),
    }


def beyond_sets(collected: Collected, found: Found, rows: np.ndarray) -> Estimate:
    """AUROC of the H-Neurons on some answers minus the mean of the random sets matched in loudness."""
    X, labels, groups = collected.labelled(rows, found.probe.region)
    own, random = found.refitted.score(X), scores_of(found.random["magnitude"], X)
    return beyond_random(auroc, own, random, groups, labels)


def scores_of(fits: Sequence[Fit], X: TallMatrix) -> Float[np.ndarray, "example set"]:
    """What each fit says; a column that several of them need is read once."""
    needed = np.unique(np.concatenate([fit.neurons for fit in fits]))
    read = X.columns(needed)
    return np.stack([read[:, np.searchsorted(needed, fit.neurons)] @ fit.weights + fit.intercept for fit in fits], 1)
