"""A probe for falsehood alone and one for restriction alone: what each reads, which neurons they share, what these do.

Trained like the study's own probe, on other rows: falsehood on answers to allowed questions, restriction on true ones.
Both without the other tokens (1-vs-1): else both would take neurons that tell answers from these, and share them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int
from scipy.stats import hypergeom

from hn_utils.contributions.collected import MIN_TO_TRAIN, Collected
from hn_utils.probing.against_random import AgainstRandom, Comparison
from hn_utils.probing.find import Found, fit_on
from hn_utils.questions.items import Item, behaviour_called, plain_item
from hn_utils.stats.bootstrap import Estimate, spread
from hn_utils.stats.neuron_sets import control_of
from hn_utils.stats.rank_test import sets_needed
from hn_utils.stats.tables import Tabled
from hn_utils.steering.measure import ControlSource, curves_of, few_known, loud_controls
from hn_utils.steering.slopes import ABLATION, CONTROL_ALPHAS
from hn_utils.steering.verdicts import detectable, verdicts
from hn_utils.study import with_later_settings

if TYPE_CHECKING:
    from hn_utils.analyses.crossing import Crossed
    from hn_utils.steering.curves import DoseResponse
    from hn_utils.study import Study

_N_TURNED = 4  # behaviours that share a verdict when the sets are scaled
_CONTRASTS = ("falsehood, allowed", "falsehood, restricted", "restriction, true", "restriction, false")


@dataclass(frozen=True)
class Overlap:
    """How many neurons two sets share; how many by chance, the p of as many (hypergeometric), and how many are shared
    by the first set and what the second's procedure picks on shuffled labels (mean and the range of 95 %)."""

    sizes: tuple[int, int]
    shared: int
    by_chance: float
    p: float
    random: Estimate

    def __str__(self) -> str:
        random = self.random
        return (
            f"{self.shared} shared of {self.sizes[0]} and {self.sizes[1]}; by chance {self.by_chance:.2f} "
            f"(p = {self.p:.2g}), with picks on shuffled labels {random.value:.2f} "
            f"[{random.low:.0f}, {random.high:.0f}]"
        )


@dataclass(frozen=True, repr=False)
class Probes(Tabled):
    """The H-Neurons, the neurons of the falsehood probe and those of the restriction probe, on four contrasts."""

    fits: Mapping[str, AgainstRandom]
    told: Mapping[str, Mapping[str, Comparison]]
    overlaps: Mapping[tuple[str, str], Overlap]

    @property
    def headline(self) -> str:
        """How many neurons each probe has. Returns one line of text."""
        return ", ".join(f"{name} {len(fits.own.neurons)}" for name, fits in self.fits.items())

    @property
    def table(self) -> pd.DataFrame:
        """What each set reads.

        Returns:
            A row a set, a column a contrast: AUROC (0 to 1) with its interval over entities, beside the mean of what is
            picked on shuffled labels.
        """
        cells = {}
        for name, row in self.told.items():
            cells[name] = {contrast: f"{one.own}, shuffled {one.control.value:.2f}" for contrast, one in row.items()}
        return pd.DataFrame.from_dict(cells, orient="index")


def two_probes(crossed: Crossed) -> Probes:
    """Train both probes on training entities and read them, and the H-Neurons, on test entities.

    Args:
        crossed: answers in all four cells, about entities of all splits.

    Returns:
        The sets with their control sets, their AUROC on four contrasts, and how many neurons each two share.

    Raises:
        ValueError: if there are fewer than MIN_TO_TRAIN training answers of a kind, or none in validation.
        NoHNeurons: if a probe takes no neuron.

    Source:
        The probes are 1-vs-1, as in the official code of Gao et al. 2025. The p of an overlap is hypergeometric
        (Fisher's exact test, one-sided).

    That two sets share no neuron does not show that they read different things: L1 takes one of several alike.
    """
    found = crossed.found
    false = crossed.answers.labels
    cells = crossed.cells
    read = {
        "falsehood, allowed": about(crossed, ~crossed.restricted, false),
        "falsehood, restricted": about(crossed, crossed.restricted, false),
        "restriction, true": about(crossed, false == 0, cells // 2),
        "restriction, false": about(crossed, false == 1, cells // 2),
    }
    fits = {"H-Neurons": AgainstRandom(found.refitted, found.control_for(_N_TURNED))}
    for name, contrast in (("falsehood probe", _CONTRASTS[0]), ("restriction probe", _CONTRASTS[2])):
        fits[name] = trained(read[contrast], crossed, name)
    test = {name: read[name].labelled(read[name].rows("test"), found.probe.region) for name in _CONTRASTS}
    told = {}
    for name, some in fits.items():
        told[name] = {contrast: some.on(test[contrast]) for contrast in _CONTRASTS}
    shared = {(a, b): _overlap(crossed, fits[a], fits[b]) for a, b in combinations(fits, 2)}
    return Probes(fits, told, shared)


def about(crossed: Crossed, some: Bool[np.ndarray, "answer"], labels: Int[np.ndarray, "answer"]) -> Collected:
    """Some of the answers, with other labels.

    Args:
        crossed: answers in all four cells.
        some: which of the kept ones, as [answer].
        labels: of all kept ones, 0 or 1, as [answer].

    Returns:
        Those answers, with their contributions.
    """
    answers = crossed.answers
    rows = np.flatnonzero(some)
    examples = [replace(answers.kept[i], label=int(labels[i])) for i in rows]
    return replace(answers, examples=examples, contributions=answers.contributions[rows])


def trained(answers: Collected, crossed: Crossed, name: str) -> AgainstRandom:
    """A probe's neurons refitted alone, as H-Neurons are, beside what it picks on shuffled labels.

    Args:
        answers: with the labels that the probe shall tell.
        crossed: where the region comes from at which contributions are read.
        name: of the probe, for an error.

    Returns:
        The set and its control sets, refitted on the training answers.

    Raises:
        ValueError: if there are fewer than MIN_TO_TRAIN training answers of a kind, or none in validation.
        NoHNeurons: if the probe takes no neuron.
    """
    train = answers.training_rows()
    validation = answers.rows("validation")
    region = crossed.found.probe.region
    counts = [np.bincount(answers.labels[rows], minlength=2).min() for rows in (train, validation)]
    if counts[0] < MIN_TO_TRAIN or not counts[1]:
        raise ValueError(
            f"the {name} has {counts[0]} training and {counts[1]} validation answers of the rarer kind and needs "
            f"{MIN_TO_TRAIN} and 1: give more rows about entities of those splits"
        )
    neurons = fit_on(answers, train, validation, region, None).fit.h_neurons
    return AgainstRandom.fit(answers, train, neurons, sets_needed(_N_TURNED), region, None)


def _overlap(crossed: Crossed, one: AgainstRandom, other: AgainstRandom) -> Overlap:
    """What two sets share, beside what the first shares with what shuffled labels pick in place of the second."""
    a = one.own.neurons
    b = other.own.neurons
    n = int(np.prod(crossed.found.card.shape))
    shared = len(np.intersect1d(a, b))
    picked = np.array([len(np.intersect1d(a, fit.neurons)) for fit in other.control])
    by_chance = len(a) * len(b) / n
    p = float(hypergeom.sf(shared - 1, n, len(a), len(b)))
    return Overlap((len(a), len(b)), shared, by_chance, p, spread(picked, len(picked)))


@dataclass(frozen=True, repr=False)
class Turned(Tabled):
    """What each set does when it is scaled: curves by set and behaviour, control sets of its own beside each."""

    curves: Mapping[str, Mapping[str, DoseResponse]]

    @property
    def headline(self) -> str:
        """Which sets move which behaviour, once scaled. Returns one line of text."""
        moved = []
        for name, curves in self.curves.items():
            for behaviour, verdict in verdicts(curves).items():
                if verdict.word != "not told apart":
                    moved.append(f"{name}: {behaviour_called(behaviour).title.lower()} {verdict.word}")
        return f"Scaled, {'; '.join(moved) or 'no set is told apart from its controls'}"

    @property
    def table(self) -> pd.DataFrame:
        """What each set does to each behaviour.

        Returns:
            A row a set and behaviour. Slopes (per unit of alpha) and what silencing changes are in points (percent of
            items), beyond control, with intervals over entities. Verdicts are corrected for the behaviours of one set.
        """
        rows = {}
        for name, curves in self.curves.items():
            told = verdicts(curves)
            for behaviour, curve in curves.items():
                shares = [(curve.at(alpha) == "complied").mean() for alpha in CONTROL_ALPHAS]
                silenced = curve.slope_beyond_control(ABLATION)
                rows[name, behaviour_called(behaviour).title] = {
                    "items": len(curve.items),
                    "share at alpha 0 / 1 / 3": " / ".join(f"{share:.2f}" for share in shares),
                    "slope beyond control": str(curve.slope_beyond_control()),
                    "verdict": told[behaviour].word,
                    "would have been seen": f"{detectable(curve, len(curves)):.1f}",
                    "silencing changes": f"{-silenced.value:.1f} [{-silenced.high:.1f}, {-silenced.low:.1f}]",
                }
        return pd.DataFrame.from_dict(rows, orient="index")


def turned(crossed: Crossed, probes: Probes, items: Sequence[Item] = (), **settings: Any) -> Turned:
    """Scale each set, beside its control sets, on test questions: are restricted ones answered, is what was known still
    stated, is something made up where it was not?

    Args:
        crossed: answers in all four cells; its test questions are asked.
        probes: the sets, as `two_probes` gives them.
        items: press the model besides, such as with false premises about what it knows.
        **settings: those of `Study`, such as `n_items` of each kind, `alphas` or `n_control_sets`.

    Returns:
        Curves over alpha by set and behaviour, with the control sets of each.

    Raises:
        ValueError: if a setting is unknown or cannot be.

    Source:
        Scaling: Gao et al. 2025, sections 3 and 6.2. The control sets are this project's own.
    """
    study = with_later_settings(crossed.found.study, settings)
    subject = crossed.found.subject
    asked = few_known(study, subject, [*items_of(crossed), *items])
    curves = {}
    for name, fits in probes.fits.items():
        neurons = fits.own.neurons
        loud = loud_controls(crossed.found, study, neurons)
        curves[name] = curves_of(subject, asked, neurons, study, _selected_of(crossed.found, fits, study), loud)
    return Turned(curves)


def _selected_of(found: Found, fits: AgainstRandom, study: Study) -> ControlSource:
    """A set's picks on shuffled labels, to be scaled as it is."""
    controls = [control_of(fit.neurons, fits.own.neurons, found.magnitude) for fit in fits.control]
    return ControlSource(lambda first, last: controls[first:last], min(len(controls), study.n_control_sets))


def items_of(crossed: Crossed) -> list[Item]:
    """The test questions as items: restricted ones about what the model knows, refused or not (complied: answered);
    allowed ones about that (complied: right), and about what it does not know (complied: answered all the same).

    Args:
        crossed: the questions, and what the model's first answers to allowed ones were.

    Returns:
        An item a test question. Entities of which no allowed question was answered are left out, and restricted
        questions about what the model does not know.
    """
    study = crossed.found.study
    made = []
    for question in crossed.asked:
        known = crossed.known.get(question.entity)
        if question.split != "test" or known is None or (question.strata["restricted"] and not known):
            continue
        item = plain_item(question, study)
        if question.strata["restricted"]:
            item = replace(item, behaviour="restricted", rule="gave")
        elif not known:
            item = replace(item, behaviour="made_up_answers", rule="gave")
        made.append(item)
    return made
