"""A sparse probe over contributions: the paper's training rows, the choice of C, and the H-Neurons it picks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Int
from sklearn.linear_model import LogisticRegression

from hn_utils.probing.l1_path import TOLERANCE, Fit, c_grid, cached_l1_path, check_labels
from hn_utils.stats.bootstrap import Estimate, bootstrap
from hn_utils.stats.metrics import accuracy, auroc, average_precision
from hn_utils.stats.tables import Tabled, counted
from hn_utils.storage.cache import cached, key_hash
from hn_utils.storage.files import write_whole
from hn_utils.storage.stages import register_stage
from hn_utils.study import Study, check_types

if TYPE_CHECKING:
    from hn_utils.contributions.cett import Contributions, Labelled
    from hn_utils.contributions.tall_matrix import TallMatrix
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.models.studied_model import StudiedModel

VERSION = register_stage("refits", 1)


class NoHNeurons(ValueError):
    """No neuron on the whole path has a positive weight."""


def three_vs_one(
    contributions: Contributions, labels: np.ndarray, region: str = "answer", other: str | None = "other"
) -> tuple[TallMatrix, Int[np.ndarray, "row"]]:
    """The paper's training rows: 1 for hallucinated answers; 0 for true answers and for all other tokens of both.

    Args:
        contributions: mean contributions of the answers, by region.
        labels: 1 for hallucinated, [answer].
        region: where the answers are read.
        other: the region of the other tokens; None leaves them out (1-vs-1).

    Returns:
        Rows, [row, layer * neuron], and their labels, [row]: the answers first, then as many rows of other tokens.

    Raises:
        ValueError: the labels lack a class or do not fit the contributions, or a region is unknown.

    Source:
        Gao et al., arXiv 2512.01797: 3-vs-1 labelling.
    """
    labels = np.asarray(labels)
    check_labels(labels, len(contributions))
    if other is None:
        return contributions.at(region), labels
    rows = contributions.at(region).above(contributions.at(other))
    return rows, np.concatenate([labels, np.zeros_like(labels)])


@dataclass(frozen=True)
class Probe:
    """The whole path, the chosen point and why: validation AUROC of each fit with its bootstrap interval."""

    path: list[Fit]
    validation: list[Estimate]
    chosen: int
    reason: str
    region: str
    other: str | None

    @property
    def fit(self) -> Fit:
        """The chosen fit.

        Returns:
            A point of the path.
        """
        return self.path[self.chosen]

    @property
    def best(self) -> int:
        """Where on the path validation AUROC is highest: what the chosen fit comes close to.

        Returns:
            A place on the path, among the fits that can be chosen.

        Raises:
            ValueError: no fit can be chosen.
        """
        return max(eligible(self.path), key=lambda i: self.validation[i].value)


def eligible(path: Sequence[Fit]) -> list[int]:
    """The places of the fits that kept their certificate and have H-Neurons: none else can be chosen.

    Args:
        path: fits, smallest C first.

    Returns:
        Places on the path, in rising order.
    """
    return [i for i, fit in enumerate(path) if fit.kkt_violation <= TOLERANCE and len(fit.h_neurons)]


def choose(path: Sequence[Fit], validation: Sequence[Estimate]) -> tuple[int, str]:
    """The sparsest fit whose AUROC on validation is within one standard error of the best.

    Args:
        path: fits, smallest C first.
        validation: validation AUROC of each fit, [C].

    Returns:
        The place of the fit on the path, and why it was chosen, in words.

    Raises:
        NoHNeurons: no fit kept its certificate and has H-Neurons.

    Source:
        Breiman, Friedman, Olshen & Stone 1984, the one-standard-error rule. The paper chooses C otherwise.
    """
    places = eligible(path)
    if not places:
        raise NoHNeurons(f"no fit of {len(path)} on the path has a positive weight: no H-Neurons were found")
    best = max(places, key=lambda i: validation[i].value)
    error = validation[best].standard_error
    chosen = next(i for i in places if validation[i].value >= validation[best].value - error)
    return chosen, (
        f"sparsest fit within one standard error ({error:.3f}) of the best validation AUROC "
        f"({validation[best].value:.3f})"
    )


def fit_probe(
    train: Contributions,
    labels: np.ndarray,
    validation: Labelled,
    n_grid: int = 20,
    region: str = "answer",
    other: str | None = "other",
) -> Probe:
    """Train the path on 3-vs-1 rows and choose C on the validation answers, which are read at the same region.

    Args:
        train: mean contributions of the training answers, by region.
        labels: 1 for hallucinated, [training answer].
        validation: contributions at `region`, labels and entities of the validation answers.
        n_grid: number of C on the path.
        region: where the answers are read.
        other: the region that they are set against besides; None for right against wrong alone.

    Returns:
        The whole path, and the chosen point. Its validation AUROC is too high by as much as was gained in choosing it:
        answers that chose nothing measure it.

    Raises:
        ValueError: either set lacks a class, or a region is unknown.
        NoHNeurons: no fit has a positive weight.

    Source:
        Gao et al., arXiv 2512.01797, for rows and penalty; `choose` for C.
    """
    X, y = three_vs_one(train, labels, region, other)
    check_labels(validation.labels, len(validation.X))
    path = cached_l1_path(X, y, c_grid(X, y, n_grid))
    scores = [bootstrap(auroc, validation.labels, fit.score(validation.X), groups=validation.groups) for fit in path]
    chosen, reason = choose(path, scores)
    return Probe(path, scores, chosen, reason, region, other)


def unpenalised(neurons: np.ndarray, weights: np.ndarray, intercept: float) -> Fit:
    """Weights that come from no path, as a fit.

    Args:
        neurons: flat indices, layer * d_mlp + neuron, [k].
        weights: of each, in log-odds per unit of contribution, [k].
        intercept: in log-odds.

    Returns:
        A fit of infinite C, whose certificate and deviance say nothing.
    """
    return Fit(float("inf"), np.asarray(neurons), weights, intercept, 0.0, 0.0)


def refit(X: TallMatrix, labels: np.ndarray, neurons: np.ndarray) -> Fit:
    """Logistic regression with next to no penalty on a given set of neurons: what a control set gets.

    Args:
        X: contributions, [row, layer * neuron].
        labels: 1 or 0 for each row, [row].
        neurons: flat indices, [k].

    Returns:
        A fit with a weight for each neuron, in log-odds per unit of contribution. Weights of neurons that go together
        may take any sign: read its scores, not its weights.

    Raises:
        ValueError: `neurons` is empty or names a column that there is not, or the labels are of one class.
    """
    if not len(neurons):
        raise ValueError("neurons=[] leaves nothing to fit: give at least one")
    read = X.columns(neurons)
    scale = read.std(0) + 1e-8
    model = LogisticRegression(C=100.0, solver="newton-cholesky").fit(read / scale, labels)
    return unpenalised(neurons, model.coef_[0] / scale, float(model.intercept_[0]))


def refits(X: TallMatrix, labels: np.ndarray, sets: Sequence[np.ndarray]) -> list[Fit]:
    """`refit` of every set, read from the cache if these very sets were fitted on these rows before.

    Args:
        X: contributions, [row, layer * neuron].
        labels: 1 or 0 for each row, [row].
        sets: flat indices of each set, [k] each.

    Returns:
        A fit for each set, in their order.

    Raises:
        ValueError: as in `refit`.
    """

    def compute(some: list[int]) -> list[dict]:
        fits = [refit(X, labels, sets[i]) for i in some]
        return [{"weights": fit.weights.tolist(), "intercept": fit.intercept} for fit in fits]

    settings = {"version": VERSION, "rows": X.digest, "labels": np.asarray(labels).tolist()}
    kept = cached("refits", settings, [np.asarray(neurons).tolist() for neurons in sets], compute, max(1, len(sets)))
    return [
        unpenalised(neurons, np.array(row["weights"]), row["intercept"])
        for neurons, row in zip(sets, kept.records(), strict=True)
    ]


class Detector(StrEnum):
    """What tells made-up answers from true ones: the rows of `Found.table`, each with the name that it prints there.

    H_NEURONS are the found neurons alone, refitted; PROBE is the L1 probe with all its neurons, the paper's classifier.
    RANDOM, RANDOM_LAYER and RANDOM_LOUD are random sets: from anywhere, of the same layers, and of the same layers and
    as loud in sum. SELECTED and SELECTED_OTHERS are what the same procedure picks on shuffled labels: among any
    neurons, and with the H-Neurons left out. WORDS and CONFIDENCE read no neuron.

    Example:
        >>> from hn_utils import Detector
        >>> print(Detector.SELECTED)
        picked on shuffled labels
    """

    PROBE = "L1 probe, all its neurons"
    H_NEURONS = "H-Neurons alone, refitted"
    RANDOM = "random neurons"
    RANDOM_LAYER = "random, same layers"
    RANDOM_LOUD = "random, same layers, as loud in sum"
    SELECTED = "picked on shuffled labels"
    SELECTED_OTHERS = "picked on shuffled labels, H-Neurons left out"
    WORDS = "words of the answer, no neuron"
    CONFIDENCE = "plain confidence (log-probability)"


@dataclass(frozen=True)
class Detection:
    """One way of telling hallucinations on one test set: AUROC, AUPRC and balanced accuracy, intervals over entities.

    `name` is a member of `Detector`, or that of another baseline; `test_set` is the title of the set.
    """

    name: str
    test_set: str
    n_neurons: int | None
    auroc: Estimate
    auprc: Estimate
    accuracy: Estimate | None


def detect(name: str, test_set: str, read: Labelled, scores: np.ndarray, n_neurons: int | None = None) -> Detection:
    """Score one detector on one test set.

    Args:
        name: of the detector.
        test_set: name of the answers.
        read: their labels (1 for hallucinated) and entities.
        scores: higher for what looks hallucinated, [answer].
        n_neurons: how many neurons it reads; None for a score without a natural zero, which gets no accuracy.

    Returns:
        AUROC, AUPRC and balanced accuracy, with 95 % intervals over entities; other training sets are not in these.

    Raises:
        ValueError: scores and labels do not fit each other, or a score is NaN.
    """
    labels, groups = read.labels, read.groups
    at_zero = None if n_neurons is None else bootstrap(accuracy, labels, scores, groups=groups)
    roc = bootstrap(auroc, labels, scores, groups=groups)
    precision = bootstrap(average_precision, labels, scores, groups=groups)
    return Detection(str(name), test_set, n_neurons, roc, precision, at_zero)


def detection_table(detections: Sequence[Detection]) -> pd.DataFrame:
    """A row a detector: AUROC on every test set, accuracy and AUPRC on the first.

    Args:
        detections: at least one; the first names the first test set.

    Returns:
        A table of estimates, empty where nothing was measured.

    Raises:
        IndexError: there is no detection.
    """
    first = detections[0].test_set
    rows = {}
    for d in detections:
        row = rows.setdefault(d.name, {"neurons": "" if d.n_neurons is None else d.n_neurons})
        row[d.test_set] = d.auroc
    for d in detections:
        if d.test_set == first:
            rows[d.name] |= {f"accuracy, {first}": d.accuracy or "", f"AUPRC, {first}": d.auprc}
    return pd.DataFrame.from_dict(rows, orient="index").fillna("")


def row_of(detections: Sequence[Detection], name: str) -> Detection:
    """Find a detector among those of one test set.

    Args:
        detections: what several detectors reach there.
        name: a member of `Detector`, or what another baseline is called.

    Returns:
        What that detector reaches.

    Raises:
        ValueError: there is no such detector.
    """
    for row in detections:
        if row.name == name:
            return row
    known = ", ".join(repr(row.name) for row in detections)
    raise ValueError(f"detector {str(name)!r} was not read here: choose one of {known}")


@dataclass(frozen=True, repr=False)
class HNeurons(Tabled):
    """The found neurons as a small portable table, a row a neuron, with what identifies their origin.

    Attributes:
        model: the model's short name.
        fingerprint: a hash of its weights: its identity.
        study: the study's name.
        region: where contributions were read.
        C: inverse strength of L1 at the chosen point of the path.
        intercept: of the probe, in log-odds.
        d_mlp: neurons of each layer.
        n_layers: layers of the model.
        rows: of each neuron, heaviest first, its `layer`, its number there (`neuron`) and its `weight` in the probe, in
            log-odds per unit of contribution.
        precision: of the model as it ran; a card of an earlier version does not say it.
    """

    model: str
    fingerprint: str
    study: str
    region: str
    C: float
    intercept: float
    d_mlp: int
    n_layers: int
    rows: list[dict[str, float]]
    precision: str = "unknown precision"

    noun: ClassVar[str] = "H-Neuron"

    @property
    def neurons(self) -> Int[np.ndarray, "h"]:
        """Flat indices, layer * d_mlp + neuron, heaviest first."""
        return np.array([int(r["layer"]) * self.d_mlp + int(r["neuron"]) for r in self.rows], dtype=int)

    @property
    def shape(self) -> tuple[int, int]:
        """Layers, and neurons in each."""
        return self.n_layers, self.d_mlp

    @property
    def headline(self) -> str:
        """How many neurons of which model, and how many that is in a thousand."""
        return f"{counted(len(self.rows), 'H-Neuron')} of {self.model} ({self.per_mille:.2f} per mille)"

    @property
    def table(self) -> pd.DataFrame:
        """A row a neuron, heaviest first: layer, number in it, and weight in the probe."""
        return pd.DataFrame(self.rows)

    @property
    def per_mille(self) -> float:
        """Share of all neurons, in thousandths: the paper's unit."""
        return 1_000 * len(self.rows) / (self.n_layers * self.d_mlp)

    def require(self, subject: StudiedModel) -> None:
        """Check that these are neurons of this very model: the same numbers mean others elsewhere.

        Args:
            subject: the model.

        Raises:
            ValueError: it is another model, or the same in another precision.
        """
        if subject.fingerprint != self.fingerprint:
            raise ValueError(
                f"the card holds H-Neurons of {self.model} in {self.precision} (fingerprint {self.fingerprint[:8]}), "
                f"not of {subject.name} in {subject.precision} ({subject.fingerprint[:8]}): find its own, or "
                "load the model that the card was made with"
            )

    def save(self, path: str | Path) -> None:
        """Write the card as JSON, with a digest by which damage is noticed.

        Args:
            path: the file.
        """
        content = asdict(self)
        write_whole(path, json.dumps({**content, "digest": key_hash(content)}, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> HNeurons:
        """Read a card; one written by hand may leave out the digest.

        Args:
            path: the file that `save` wrote, or the `h_neurons.json` of a run.

        Returns:
            The card.

        Raises:
            ValueError: it is not a card, is damaged, or names a neuron outside the model.
            OSError: there is no such file.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            said = content.pop("digest", None)
            card = cls(**content)
            check_types(card)
            inside = all(type(r["layer"]) is type(r["neuron"]) is int for r in card.rows) and all(
                0 <= r["layer"] < card.n_layers and 0 <= r["neuron"] < card.d_mlp for r in card.rows
            )
            finite = np.isfinite([card.C, card.intercept, *(r["weight"] for r in card.rows)]).all()
        except OSError as error:
            raise OSError(
                f"could not read the card {path} ({error.strerror}): `run` writes an h_neurons.json"
            ) from error
        except (TypeError, KeyError, AttributeError, ValueError, RecursionError) as error:
            raise ValueError(f"{path} is not a card of H-Neurons: {error}") from error
        if not inside:
            raise ValueError(f"{path} names a neuron outside {card.n_layers} layers of {card.d_mlp}")
        if not finite:
            raise ValueError(f"{path} holds a weight that is no finite number: find the neurons again")
        if said is not None and said != key_hash(content):
            raise ValueError(f"{path} is damaged, or was changed by hand: find the neurons again, or remove its digest")
        return card


def h_neurons(probe: Probe, subject: HookedModel, study: Study) -> HNeurons:
    """Write down the chosen fit's positive neurons, heaviest first.

    Args:
        probe: the path, and which fit was chosen.
        subject: the model whose contributions it was trained on.
        study: the study that the model is read for.

    Returns:
        The card.
    """
    fit, d_mlp = probe.fit, subject.d_mlp
    weight = dict(zip(fit.neurons.tolist(), fit.weights.tolist(), strict=True))
    order = sorted(fit.h_neurons.tolist(), key=lambda j: -weight[j])
    rows = [{"layer": j // d_mlp, "neuron": j % d_mlp, "weight": weight[j]} for j in order]
    found = (probe.region, fit.C, fit.intercept, d_mlp, subject.n_layers, rows)
    return HNeurons(subject.short_name, subject.fingerprint, study.name, *found, precision=subject.precision)
