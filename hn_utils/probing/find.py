"""The second step: the probe, its H-Neurons, control probes trained the same way, and what they detect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hn_utils.contributions.collected import Collected
from hn_utils.models.neurons import Neurons, neuron_indices
from hn_utils.probing.against_random import AgainstRandom, scores_of
from hn_utils.probing.baselines import words_probe
from hn_utils.probing.probe import (
    Detection,
    Detector,
    HNeurons,
    Probe,
    detect,
    detection_table,
    fit_probe,
    h_neurons,
    refit,
    refits,
    row_of,
    three_vs_one,
)
from hn_utils.probing.saved import CARD, answers_digest, read_found, write_found
from hn_utils.probing.selected_null import Selection
from hn_utils.questions.reading.same_answer import normalise
from hn_utils.stats.bootstrap import Estimate, auroc_difference, bootstrap, spread
from hn_utils.stats.drawn import figure_of
from hn_utils.stats.metrics import accuracy, auroc, average_precision
from hn_utils.stats.neuron_sets import Match, loud_sets, random_sets
from hn_utils.stats.rank_test import sets_needed
from hn_utils.stats.tables import Tabled
from hn_utils.study import Study, check_given, given_settings, names_its_settings, with_later_settings

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from hn_utils.contributions.cett import Labelled
    from hn_utils.contributions.tall_matrix import TallMatrix
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.models.studied_model import StudiedModel
    from hn_utils.probing.l1_path import Fit

N_RANDOM_PROBES = 100
N_SELECTED = 100  # shuffles of the labels, in either form
RANDOM_NAMES = {  # the easy controls, by how they are matched
    "none": Detector.RANDOM,
    "layer": Detector.RANDOM_LAYER,
    "loud": Detector.RANDOM_LOUD,
}
SELECTED_NAMES = {  # the hardest control, in its two forms
    "any": Detector.SELECTED,
    "others": Detector.SELECTED_OTHERS,
}
_KINDS = {"random": RANDOM_NAMES, "selected": SELECTED_NAMES}
UNSEEN = "answers not given in training"
_UNSEEN_PART = "unseen"  # what these are called among the parts


@dataclass(frozen=True, repr=False)
class Found(Tabled):
    """The probe, its H-Neurons, control probes trained the same way, and what they detect.

    Attributes:
        collected: the answers.
        probe: the L1 path, and which fit was chosen.
        card: the portable table of the H-Neurons, which saves and loads itself as JSON.
        refitted: a probe on the H-Neurons alone.
        random: refitted random sets by how they match the H-Neurons: none, layer, loud (same layers, and more neurons,
            so that their summed mean contribution is the same).
        selected: the hardest control, what the same procedure picks on shuffled labels, refitted on the true ones:
            among any neurons, and with the H-Neurons left out (others).
        magnitude: every neuron's mean contribution on training answers, a share of its layer's output, [layer_neuron].
    """

    collected: Collected
    probe: Probe
    card: HNeurons
    refitted: Fit
    random: dict[str, list[Fit]]
    selected: dict[str, list[Fit]]
    magnitude: np.ndarray

    @property
    def subject(self) -> HookedModel:
        """The model that was studied."""
        return self.collected.subject

    @property
    def study(self) -> Study:
        """All settings, those of this step among them."""
        return self.collected.study

    @property
    def control(self) -> list[Fit]:
        """The hardest control: what the same procedure picks on shuffled labels, among any neurons."""
        return self.selected["any"]

    def against(self, kind: str) -> AgainstRandom:
        """Set the H-Neurons beside one kind of control.

        Args:
            kind: a key of `random` or `selected`.

        Returns:
            Both, to be read on any answers.
        """
        return AgainstRandom(self.refitted, {**self.random, **self.selected}[kind])

    def control_for(self, n_tests: int) -> list[Fit]:
        """Draw the hardest control from as many shuffles as a rank needs.

        Args:
            n_tests: for how many tests it is to be corrected.

        Returns:
            Refitted sets.
        """
        n = max(N_SELECTED, sets_needed(n_tests))
        return refits(*self.training_data, self.selection("any").sets(0, n))

    @property
    def neurons(self) -> Int[np.ndarray, "h"]:
        """The H-Neurons, heaviest first, as flat indices: layer * d_mlp + neuron."""
        return self.card.neurons

    def require(self, subject: StudiedModel) -> None:
        """Check that these are neurons of this very model.

        Args:
            subject: the model.

        Raises:
            ValueError: it is another model, or the same in another precision.
        """
        self.card.require(subject)

    @cached_property
    def training_data(self) -> tuple[TallMatrix, np.ndarray]:
        """The rows that the probe was trained on, and their labels."""
        train = self.collected.training_rows()
        read, labels = self.collected.contributions[train], self.collected.labels[train]
        return three_vs_one(read, labels, self.probe.region, self.probe.other)

    def selection(self, form: str, size: int | None = None) -> Selection:
        """Repeat the procedure that picked the H-Neurons on shuffled labels.

        Args:
            form: `any`, or `others` with the H-Neurons left out.
            size: how many neurons it picks; None for as many as there are H-Neurons.

        Returns:
            The procedure, which draws sets.
        """
        X, _ = self.training_data
        labels = self.collected.labels[self.collected.training_rows()]
        never = {"any": self.neurons[:0], "others": np.sort(self.neurons)}[form]
        return Selection(X, labels, self.study.n_grid, size or len(self.neurons), self.study.seed, never)

    @cached_property
    def test_sets(self) -> dict[str, np.ndarray]:
        """Rows of each test set, by its title: one for each part, and the standard answers that nobody gave in
        training. Those that lack right or wrong answers are left out."""
        collected = self.collected
        sets = {title: collected.test_rows(part) for part, title in collected.parts.items()}
        sets[UNSEEN] = unseen(collected)
        return {title: rows for title, rows in sets.items() if len(set(collected.labels[rows])) == 2}

    @cached_property
    def detections(self) -> list[Detection]:
        """Every detector on every test set."""
        return [row for title, rows in self.test_sets.items() for row in _detections_on(self, rows, title)]

    def detection(self, detector: str, part: str = "standard") -> Detection:
        """Find what one detector reaches on one test set.

        Args:
            detector: a member of `Detector`.
            part: a part of the questions (a key of `collected.parts`), or `unseen` for the standard answers that
                nobody gave in training.

        Returns:
            AUROC, AUPRC and balanced accuracy, with their intervals.

        Raises:
            ValueError: there is no such detector or part, or the part lacks right or wrong answers.

        Example:
            >>> import hn_utils as hn
            >>> found = hn.find(hn.collect(hn.load("organism"), n_questions=120, sampling={"n": 2}), n_grid=8)
            >>> found.detection(hn.Detector.H_NEURONS).name
            'H-Neurons alone, refitted'
        """
        titles = {**self.collected.parts, _UNSEEN_PART: UNSEEN}
        able = [name for name, title in titles.items() if title in self.test_sets]
        if part not in able:
            raise ValueError(f"part={part!r} has no test set with right and wrong answers: choose {', '.join(able)}")
        return row_of([row for row in self.detections if row.test_set == titles[part]], detector)

    @cached_property
    def words(self) -> Float[np.ndarray, "example"]:
        """What the words of each kept answer tell, without any neuron: log-odds that it is made up."""
        collected = self.collected
        train, validation = collected.training_rows(), collected.rows("validation")
        return words_probe([e.text for e in collected.kept], collected.labels, train, validation)

    @cached_property
    def beyond(self) -> dict[str, Estimate]:
        """What the H-Neurons detect on the standard test set beyond each of their controls."""
        return beyond_controls(self.collected, self, self.collected.test_rows("standard"))

    @cached_property
    def p(self) -> dict[str, float]:
        """Two-sided rank p of the H-Neurons' AUROC on the standard test set among both forms of the selected null."""
        read = self.collected.labelled(self.collected.test_rows("standard"), self.probe.region)
        return {form: self.against(form).on(read).rank_p for form in self.selected}

    def refit_on(self, neurons: Neurons) -> Fit:
        """Fit a probe on any set of neurons, trained as the one on the H-Neurons alone is.

        Args:
            neurons: a card, flat indices, or pairs (layer, neuron).

        Returns:
            The fit, its neurons in rising order.

        Raises:
            ValueError: the model has no such neuron, or none is given.
        """
        return refit(*self.training_data, np.sort(neuron_indices(neurons, self.subject)))

    def auroc_of(self, neurons: Neurons) -> Estimate:
        """Measure what any set of neurons detects on the standard test set, refitted as the H-Neurons are.

        Args:
            neurons: a card, flat indices, or pairs (layer, neuron).

        Returns:
            AUROC with its interval over entities.

        Raises:
            ValueError: the model has no such neuron, or none is given.
        """
        read = self.collected.labelled(self.collected.test_rows("standard"), self.probe.region)
        return bootstrap(auroc, read.labels, self.refit_on(neurons).score(read.X), groups=read.groups)

    @property
    def headline(self) -> str:
        """How many there are, what they detect, and by how much more than their controls."""
        auroc = self.detection(Detector.H_NEURONS).auroc
        return (
            f"{self.card.headline}, AUROC {auroc}: {self.beyond['any']} beyond what shuffled labels "
            f"pick (p = {self.p['any']:.3f}), {self.beyond['confidence']} beyond confidence; {self.read_on}"
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
        """Returns the same as a figure."""
        return figure_of("detection", self, self.detections)

    def save(self, path: str | Path) -> None:
        """Write the card, the probe's path and all refits to a folder; `load` reads them.

        Answers are not in it: `Collected.save` keeps these.

        Args:
            path: the folder; it is made if it is not there.
        """
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        self.card.save(folder / CARD)
        settings = {"n_grid": self.study.n_grid, "seed": self.study.seed}
        about = {"answers": answers_digest(self.collected), **settings}
        fits = {"refitted": [self.refitted]}
        fits |= {f"random {match}": some for match, some in self.random.items()}
        fits |= {f"selected {form}": some for form, some in self.selected.items()}
        write_found(folder, about, self.probe, fits, self.magnitude)

    @classmethod
    def load(cls, path: str | Path, answers: Collected) -> Found:
        """Read what `save` wrote.

        Args:
            path: the folder.
            answers: the answers that `hn.find` was given.

        Returns:
            What was found, with the grid and the seed with which it was.

        Raises:
            ValueError: the answers are another model's or others, or are split in another way, or a file is damaged.
            OSError: there is no such folder.
        """
        check_given("answers", answers, Collected, "what hn.collect returns")
        about, probe, fits, magnitude = read_found(Path(path))
        card = HNeurons.load(Path(path) / CARD)
        card.require(answers.subject)
        if about.get("answers") != answers_digest(answers):
            raise ValueError(
                f"{path} was found in other answers, or in another split of these: give the answers that hn.find was "
                "given, or find again"
            )
        study = replace(answers.study, n_grid=about["n_grid"], seed=about["seed"])
        kinds = {kind: {name: fits[f"{kind} {name}"] for name in names} for kind, names in _KINDS.items()}
        return cls(replace(answers, study=study), probe, card, fits["refitted"][0], **kinds, magnitude=magnitude)


@names_its_settings
def find(
    answers: Collected,
    region: str = "answer",
    other: str | None = "other",
    *,
    n_grid: int | None = None,
    seed: int | None = None,
) -> Found:
    """Fit the probe on train, choose C on validation, read every test set.

    The same is done for random sets of neurons, and for what the procedure picks on shuffled labels. A setting that is
    not given is as the answers' study says.

    Args:
        answers: judged answers with the neurons' contributions.
        region: where answers are read; `contributions.cett.Contributions` names the regions.
        other: what they are read against besides, the paper's 3-vs-1; None for right against wrong answers alone.
        n_grid: values of C, the inverse strength of L1, on the probe's path.
        seed: of the balanced training rows, the shuffles and the random sets.

    Returns:
        The probe, its H-Neurons and their controls.

    Raises:
        ValueError: before anything is fitted: train, validation or test lack right or wrong answers, or a setting is
            unknown, of no use or too late.
        NoHNeurons: no neuron gets a positive weight.

    Source:
        The paper's sections 2 and 6.1. The control with shuffled labels is not in it.

    Example:
        >>> import hn_utils as hn
        >>> model = hn.load("organism")
        >>> found = hn.find(hn.collect(model, n_questions=120, sampling={"n": 2}), n_grid=8)
        >>> bool((found.neurons < model.n_layers * model.d_mlp).all())
        True
    """
    check_given("answers", answers, Collected, "what hn.collect returns")
    settings = given_settings(n_grid=n_grid, seed=seed)
    collected = replace(answers, study=with_later_settings(answers.study, settings))
    study, subject = collected.study, collected.subject
    _require_both_kinds(collected)
    train = collected.training_rows()
    probe = fit_on(collected, train, collected.rows("validation"), region, other)
    card = h_neurons(probe, subject, study)
    X, y = three_vs_one(collected.contributions[train], collected.labels[train], region, other)
    magnitude = collected.contributions[train].at(region).mean()
    random = {match: refits(X, y, _random_like(card, match, magnitude, study.seed)) for match in RANDOM_NAMES}
    found = Found(collected, probe, card, refit(X, y, card.neurons), random, {}, magnitude)
    selected = {form: refits(X, y, found.selection(form).sets(0, N_SELECTED)) for form in SELECTED_NAMES}
    return replace(found, selected=selected)


def _random_like(card: HNeurons, match: str, magnitude: np.ndarray, seed: int) -> list[Int[np.ndarray, "m"]]:
    """Random sets beside the H-Neurons, by one of RANDOM_NAMES."""
    if match == "loud":
        return loud_sets(card.neurons, card.shape, magnitude, N_RANDOM_PROBES, seed)
    return random_sets(card.neurons, card.shape, N_RANDOM_PROBES, Match(match), seed)


def unseen(collected: Collected) -> np.ndarray:
    """Find the standard test answers whose text no training answer has.

    Args:
        collected: judged answers.

    Returns:
        Indices of kept examples. What a probe knows of these is not the answer itself.
    """
    given = {normalise(collected.kept[i].text) for i in collected.training_rows()}
    return np.array([i for i in collected.test_rows("standard") if normalise(collected.kept[i].text) not in given], int)


def _require_both_kinds(collected: Collected) -> None:
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
    """Fit a probe on some of the examples, its C chosen on others.

    Args:
        collected: judged answers with their contributions.
        train: which of the kept ones to fit on, [row].
        validation: which of them to choose C on, [row].
        region: where contributions are read.
        other: what answers are set against besides; None for right against wrong alone.

    Returns:
        The probe, with its path over C.

    Raises:
        NoHNeurons: no neuron gets a positive weight.
    """
    there = collected.labelled(validation, region)
    rows, labels = collected.contributions[train], collected.labels[train]
    return fit_probe(rows, labels, there, collected.study.n_grid, region, other)


def _over_sets(name: str, title: str, fits: Sequence[Fit], X: TallMatrix, labels: np.ndarray) -> Detection:
    """Mean AUROC, AUPRC and accuracy of control probes; the ranges hold 95 % of them."""
    size = int(np.mean([len(f.neurons) for f in fits]))
    columns, spreads = scores_of(fits, X).T, []
    for measure in (auroc, average_precision, accuracy):
        spreads.append(spread(np.array([measure(labels, column) for column in columns]), len(labels)))
    return Detection(str(name), title, size, *spreads)


def _detections_on(found: Found, rows: np.ndarray, title: str) -> list[Detection]:
    """Every detector on one test set, some of the kept answers."""
    collected = found.collected
    read = collected.labelled(rows, found.probe.region)
    return [
        *probe_rows(found, read, title),
        detect(Detector.WORDS, title, read, found.words[rows]),
        detect(Detector.CONFIDENCE, title, read, -collected.confidence[rows]),
    ]


def probe_rows(found: Found, read: Labelled, title: str) -> list[Detection]:
    """Read the probe, its H-Neurons and their controls on any answers.

    Args:
        found: the probe.
        read: contributions, labels and entities of the answers.
        title: of the test set, for the table.

    Returns:
        A row a detector: AUROC, AUPRC and balanced accuracy, with 95 % intervals over entities.
    """
    fit = found.probe.fit
    controls = {name: found.random[match] for match, name in RANDOM_NAMES.items()}
    controls |= {name: found.selected[form] for form, name in SELECTED_NAMES.items()}
    return [
        detect(Detector.PROBE, title, read, fit.score(read.X), len(fit.neurons)),
        detect(Detector.H_NEURONS, title, read, found.refitted.score(read.X), len(found.neurons)),
        *(_over_sets(name, title, fits, read.X, read.labels) for name, fits in controls.items()),
    ]


def beyond_controls(collected: Collected, found: Found, rows: np.ndarray) -> dict[str, Estimate]:
    """Compare the AUROC of the H-Neurons with that of each control, on the same resampled entities.

    Args:
        collected: judged answers.
        found: the H-Neurons and their controls.
        rows: which of the kept answers to read, [row].

    Returns:
        The AUROC of the H-Neurons minus the mean of each kind of control set, by the names of RANDOM_NAMES and
        SELECTED_NAMES, and minus that of confidence.
    """
    read = collected.labelled(rows, found.probe.region)
    own, confidence = found.refitted.score(read.X), collected.confidence[rows]
    return {
        **{name: found.against(name).on(read).beyond for name in (*found.selected, *found.random)},
        "confidence": auroc_difference(read.labels, own, -confidence, read.groups),
    }
