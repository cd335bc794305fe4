"""Does what is learnt on one kind of fact hold on another?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from hn_utils.contributions.collected import MIN_TO_TRAIN, Collected, balanced
from hn_utils.probing.against_random import AgainstRandom
from hn_utils.probing.find import fit_on
from hn_utils.probing.probe import NoHNeurons

if TYPE_CHECKING:
    from hn_utils.stats.bootstrap import Estimate


@dataclass(frozen=True)
class Domains:
    """A probe for each domain, tested on all: AUROC of its H-Neurons [trained on, tested on], refitted on the training
    domain, and the mean of as many neurons that the same procedure picks there on shuffled labels (`control`). `sets`
    are the H-Neurons.

    `union` is of the neurons in any of the sets, `intersection` of those in all (None if there are none): refitted on
    all the domains' training answers and tested on all their test answers, each with the mean of as many neurons that
    the procedure picks on all these answers together, their labels shuffled.
    """

    names: list[str]
    sets: dict[str, np.ndarray]
    auroc: list[list[Estimate]]
    control: Float[np.ndarray, "trained tested"]
    union: tuple[Estimate, float]
    intersection: tuple[Estimate, float] | None

    def mean(self, within: bool) -> tuple[float, float]:
        """Mean AUROC of H-Neurons and of their control, trained and tested on the same domain or on different ones.

        Args:
            within: True for the diagonal, False for all that is off it.

        Returns:
            AUROC (0 to 1) of H-Neurons, and that of control sets.
        """
        chosen = np.eye(len(self.names), dtype=bool) == within
        own = np.zeros(chosen.shape)  # [trained, tested]
        for place, row in enumerate(self.auroc):
            own[place] = [estimate.value for estimate in row]
        return float(own[chosen].mean()), float(self.control[chosen].mean())


class _DomainRows(NamedTuple):
    """Which answers a domain has to train on (as many right as wrong), to choose C on, and to be tested on."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def across_domains(collected: Collected, n_sets: int = 20) -> Domains | None:
    """Train on one kind of fact (`attribute`), test on every other, among the standard questions.

    Args:
        collected: judged answers to questions with the stratum `attribute`.
        n_sets: control sets for each domain, picked on shuffled labels.

    Returns:
        AUROC (0 to 1) as [trained on, tested on], intervals over entities, beside the mean of the control sets. Domains
        with fewer than MIN_TO_TRAIN right or wrong answers to train or test on, or none to choose C on, are left out,
        and those where no neuron has a positive weight. None if fewer than two are left.

    Source:
        The question is that of arXiv 2604.19765, where AUROC is .783 within and .563 across domains; the control sets
        are this project's own.

    It does not show why transfer fails: other neurons, other thresholds and other wording look alike here.
    """
    rows = _rows_by_domain(collected)
    sets = {}
    for name, (train, validation, _) in rows.items():
        try:
            sets[name] = fit_on(collected, train, validation).fit.h_neurons
        except NoHNeurons:
            continue
    if len(sets) < 2:
        return None
    fits = {}
    for name, neurons in sets.items():
        fits[name] = AgainstRandom.fit(collected, rows[name].train, neurons, n_sets)
    estimates = []
    control = np.zeros((len(sets), len(sets)))  # [trained, tested]
    for i, trained in enumerate(sets):
        cells = [fits[trained].on(collected.labelled(rows[other].test, "answer")) for other in sets]
        estimates.append([cell.own for cell in cells])
        control[i] = [float(np.mean(cell.sets)) for cell in cells]
    train = np.concatenate([rows[name].train for name in sets])
    test = np.concatenate([rows[name].test for name in sets])

    def together(neurons: Int[np.ndarray, "k"]) -> tuple[Estimate, float]:
        """AUROC of one set on all domains' answers together, and the mean of its control sets."""
        compared = AgainstRandom.fit(collected, train, neurons, n_sets).on(collected.labelled(test, "answer"))
        return compared.own, float(np.mean(compared.sets))

    union = reduce(np.union1d, sets.values())
    shared = reduce(np.intersect1d, sets.values())
    return Domains(list(sets), sets, estimates, control, together(union), together(shared) if len(shared) else None)


def _rows_by_domain(collected: Collected) -> dict[str, _DomainRows]:
    """The rows of every domain that has enough of them."""
    domain = np.array([str(e.question.strata.get("attribute")) for e in collected.kept])
    labels = collected.labels
    found = {}
    train, validation, test = (collected.rows(split) for split in ("train", "validation", "test"))
    for name in sorted(set(domain[train])):
        even = balanced(train[domain[train] == name], labels, collected.study.seed)
        rows = _DomainRows(even, validation[domain[validation] == name], test[domain[test] == name])
        n_train, n_validation, n_test = (min(np.bincount(labels[some], minlength=2)) for some in rows)
        if min(n_train, n_test) >= MIN_TO_TRAIN and n_validation:
            found[name] = rows
    return found
