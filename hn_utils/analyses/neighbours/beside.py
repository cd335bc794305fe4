"""What every neighbour's neurons are put to: are they H-Neurons, do they detect, do they move the model?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int
from scipy.stats import hypergeom

from hn_utils.models.neurons import Neurons, neuron_indices
from hn_utils.probing.against_random import AgainstRandom, Comparison
from hn_utils.questions.items import CAPABILITY, behaviour_called
from hn_utils.questions.question_sets import load_items
from hn_utils.stats.neuron_sets import Control, control_of
from hn_utils.steering.measure import ControlSource, curves_of, few_known, loud_controls
from hn_utils.steering.verdicts import verdicts

if TYPE_CHECKING:
    from hn_utils.probing.find import Found
    from hn_utils.steering.curves import DoseResponse

N_SETS = 20  # sets picked on shuffled labels, beside which detection is read


@dataclass(frozen=True)
class Shared:
    """How many of some neurons are H-Neurons.

    Attributes:
        n: how many neurons there are.
        both: how many of them are H-Neurons.
        by_chance: how many of as many random neurons would be, on average.
        p: chance that random ones would share as many or more, exact (hypergeometric, one-sided).
    """

    n: int
    both: int
    by_chance: float
    p: float

    def __str__(self) -> str:
        return f"{self.both} of {self.n} are H-Neurons (by chance {self.by_chance:.2f}, p = {self.p:.2g})"


def shared_with(neurons: Int[np.ndarray, "k"], h_neurons: Int[np.ndarray, "h"], n_neurons: int) -> Shared:
    """Count how many of some neurons are H-Neurons, beside chance.

    Args:
        neurons: flat indices, [k], each once.
        h_neurons: flat indices of the H-Neurons, [h], each once.
        n_neurons: how many neurons could have been among either.

    Returns:
        The count with its expectation and exact p.

    Source:
        Fisher's exact test, one-sided. It takes any neuron for as likely as any other: loud neurons are likelier to be
        on both lists, so a small p alone does not say that the lists share a mechanism.
    """
    both = len(np.intersect1d(neurons, h_neurons))
    by_chance = len(neurons) * len(h_neurons) / n_neurons
    p = float(hypergeom.sf(both - 1, n_neurons, len(h_neurons), len(neurons)))
    return Shared(len(neurons), both, by_chance, p)


@dataclass(frozen=True)
class Beside:
    """Neurons of a neighbour beside the H-Neurons.

    Attributes:
        neurons: flat indices.
        shared: how many of them are H-Neurons.
        detection: what they detect on the standard test set, refitted, beside as many picked on shuffled labels.
        curves: their dose-response by behaviour, beside what shuffled labels pick in their place and random neurons as
            loud; empty where they were not scaled.
    """

    neurons: Int[np.ndarray, "k"]
    shared: Shared
    detection: Comparison
    curves: Mapping[str, DoseResponse] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.shared}; AUROC {self.detection.own}, {self.detection.beyond} beyond picks on shuffled labels"

    @cached_property
    def moved(self) -> str:
        """Which behaviours they move, told apart from both controls; empty where they were not scaled."""
        if not self.curves:
            return ""
        words = []
        for name, verdict in verdicts(self.curves).items():
            slope = self.curves[name].slope_beyond_control()
            words.append(f"{behaviour_called(name).title.lower()} {slope} ({verdict.word})")
        return "; ".join(words)

    @property
    def row(self) -> dict[str, Any]:
        """Cells of a table: detection as an AUROC, levers in points of compliance per unit of alpha."""
        return {
            "neurons": self.shared.n,
            "are H-Neurons": self.shared.both,
            "by chance": self.shared.by_chance,
            "p of as many": self.shared.p,
            "AUROC": self.detection.own,
            "AUROC beyond picks on shuffled labels": self.detection.beyond,
            "points per alpha beyond such picks": self.moved,
        }


def set_beside(found: Found, neurons: Neurons, *, n_items: int = 0) -> Beside:
    """Set some neurons beside the H-Neurons: overlap, detection and, if asked for, what scaling them does.

    Args:
        found: the H-Neurons, with the answers they were found on.
        neurons: the neighbour's neurons: flat indices, or pairs (layer, neuron).
        n_items: items of each behaviour on which they are turned up and down as well, which takes most of the time; 0
            for none.

    Returns:
        All of it, with what the road to H-Neurons picks on shuffled labels in their place as the control.

    Raises:
        ValueError: they are no neurons of the model, or there is none of them.

    Source:
        This project's own. Detection as in Gao et al. 2025, sections 2 and 6.1; scaling as in section 3.
    """
    flat = np.sort(neuron_indices(neurons, found.subject))
    if not len(flat):
        raise ValueError("neurons=[] names no neuron: give at least one")
    collected = found.collected
    region = found.probe.region
    fitted = AgainstRandom.fit(collected, collected.training_rows(), flat, N_SETS, region, found.probe.other)
    detection = fitted.on(collected.labelled(collected.test_rows("standard"), region))
    shared = shared_with(flat, found.neurons, int(np.prod(found.card.shape)))
    return Beside(flat, shared, detection, _scaled(found, flat, n_items) if n_items else {})


def _scaled(found: Found, neurons: Int[np.ndarray, "k"], n_items: int) -> dict[str, DoseResponse]:
    """Dose-response of the study's behaviours, beside what shuffled labels pick with these neurons left out."""
    study = replace(found.study, n_items=n_items)
    selection = replace(found.selection("any", len(neurons)), never=neurons)

    def picked(first: int, last: int) -> list[Control]:
        return [control_of(some, neurons, found.magnitude) for some in selection.sets(first, last)]

    items = [item for item in load_items(study) if item.behaviour not in CAPABILITY]
    if not items:
        return {}
    known = few_known(study, found.subject, items)
    selected = ControlSource(picked, study.n_control_sets)
    return curves_of(found.subject, known, neurons, study, selected, loud_controls(found, study, neurons))
