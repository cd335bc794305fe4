"""Compositional explanations (Mu & Andreas 2020): which formula over known concepts says best where a neuron fires?

A formula joins concepts by OR, AND and AND NOT. It is good if the answers for which it holds are those at which the
neuron contributes most: their overlap over their union (IoU). A beam keeps the best formulas of each length and
lengthens them by one concept. Two things make the search look better than it is. It keeps the shorter formulas, so on
the answers it searched in the IoU never falls with length: here it is read on the answers of other entities. And with
many concepts some formula fits anything: beside it stands the same search for a neuron whose answers are shuffled.

Where the paper's neurons fire or do not, those of gated MLPs are dense and have a sign: here a neuron is on at the
answers of its largest contributions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from hn_utils.models.neurons import neuron_indices
from hn_utils.stats.bootstrap import spread
from hn_utils.stats.rank_test import tail_p
from hn_utils.stats.tables import Tabled, counted

if TYPE_CHECKING:
    from hn_utils.contributions.collected import Collected
    from hn_utils.models.neurons import Neurons

JOINS = ("OR", "AND", "AND NOT")
BEAM = 10  # formulas kept of each length
LENGTH = 3  # concepts in a formula
TOP = 0.2  # share of the answers at which a neuron is taken to be on
_N_SHUFFLES = 20
_MOST_VALUES = 8  # of a property whose values become concepts; numbers are split at their median
HALLUCINATED = "hallucinated"


@dataclass(frozen=True)
class Formula:
    """Concepts joined from the left: ((first join second) join third). `joins` has one entry fewer than `concepts`."""

    concepts: tuple[str, ...]
    joins: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = self.concepts[0]
        for place, (join, concept) in enumerate(zip(self.joins, self.concepts[1:], strict=True)):
            text = f"({text}) {join} {concept}" if place else f"{text} {join} {concept}"
        return text

    def holds(self, known: Mapping[str, Bool[np.ndarray, "answer"]]) -> Bool[np.ndarray, "answer"]:
        """Where the formula holds.

        Args:
            known: where each concept does, by name.

        Returns:
            True where it holds, [answer].
        """
        where = known[self.concepts[0]]
        for join, concept in zip(self.joins, self.concepts[1:], strict=True):
            where = joined(where, join, known[concept])
        return where


class Scored(NamedTuple):
    """A formula, where it holds, and its IoU there."""

    formula: Formula
    where: Bool[np.ndarray, "answer"]
    iou: float


@dataclass(frozen=True)
class Explained:
    """The best formula of one neuron.

    Attributes:
        neuron: its flat index.
        formula: found on training answers.
        searched: IoU on those.
        held_out: IoU on answers about other entities.
        single: the held-out IoU of the best single concept.
        shuffled: the held-out IoU of the formulas found for shuffled answers, [shuffle].
    """

    neuron: int
    formula: Formula
    searched: float
    held_out: float
    single: float
    shuffled: Float[np.ndarray, "shuffle"]

    @property
    def p(self) -> float:
        """How often the search fits shuffled answers as well; uncorrected."""
        return tail_p(self.held_out, self.shuffled)


@dataclass(frozen=True, repr=False)
class Compositional(Tabled):
    """What formulas over known concepts say of some neurons, on answers that the search did not see.

    Attributes:
        explained: one entry a neuron.
        concepts: names of the concepts.
        n_answers: how many training and test answers there were.
        shape: layers of the model, and neurons in each.
    """

    explained: list[Explained]
    concepts: list[str]
    n_answers: tuple[int, int]
    shape: tuple[int, int]

    @property
    def headline(self) -> str:
        """Mean held-out IoU beside that of shuffled answers, and for how many neurons length pays."""
        own = np.mean([one.held_out for one in self.explained])
        chance = np.mean([one.shuffled.mean() for one in self.explained])
        longer = sum(one.held_out > one.single for one in self.explained)
        return (
            f"Held-out IoU of formulas over {counted(len(self.concepts), 'concept')}: {own:.2f} on average of "
            f"{counted(len(self.explained), 'neuron')}, {chance:.2f} for shuffled answers; a formula beats its best "
            f"single concept for {longer} of them"
        )

    @property
    def table(self) -> pd.DataFrame:
        """A row a neuron: its formula, IoU where it was searched and held out, and what the search fits by chance."""
        rows = []
        for one in self.explained:
            rows.append(
                {
                    "layer": one.neuron // self.shape[1],
                    "neuron": one.neuron % self.shape[1],
                    "formula": str(one.formula),
                    "IoU, searched": one.searched,
                    "IoU, held out": one.held_out,
                    "best single concept": one.single,
                    "shuffled answers": spread(one.shuffled, self.n_answers[1]),
                    "p": one.p,
                }
            )
        return pd.DataFrame(rows)


def joined(
    one: Bool[np.ndarray, "*any answer"], join: str, other: Bool[np.ndarray, "*any answer"]
) -> Bool[np.ndarray, "*any answer"]:
    """Join two sets of answers.

    Args:
        one: True where the first holds.
        join: one of JOINS.
        other: True where the second holds.

    Returns:
        True where both together hold.

    Raises:
        ValueError: there is no such join.
    """
    if join == "OR":
        return one | other
    if join == "AND":
        return one & other
    if join == "AND NOT":
        return one & ~other
    raise ValueError(f"join={join!r} must be one of {', '.join(JOINS)}")


def iou(on: Bool[np.ndarray, "answer"], where: Bool[np.ndarray, "*any answer"]) -> Float[np.ndarray, "*any"]:
    """Intersection over union of where a neuron is on and where formulas hold.

    Args:
        on: True where the neuron is on.
        where: True where each formula holds, [..., answer].

    Returns:
        Shares, 0 to 1, [...]; 0 where both are empty.
    """
    both = (on & where).sum(-1)
    either = (on | where).sum(-1)
    return np.where(either > 0, both / np.maximum(either, 1), 0.0)


def best_formula(
    on: Bool[np.ndarray, "answer"],
    known: Mapping[str, Bool[np.ndarray, "answer"]],
    length: int = LENGTH,
    beam: int = BEAM,
) -> Scored:
    """Search the formula that says best where a neuron is on.

    Args:
        on: True where the neuron is on.
        known: where each concept holds, by name.
        length: concepts in a formula, at most.
        beam: formulas that are kept of each length.

    Returns:
        The best of all lengths; of equally good ones the shortest.

    Raises:
        ValueError: there is no concept, or `length` or `beam` is below 1.

    Source:
        Mu & Andreas 2020 (arXiv 2006.14032), section 3, from its public code; written anew. The penalty of length is
        left out, since the IoU is read on other answers.
    """
    if not known or length < 1 or beam < 1:
        raise ValueError(f"known={list(known)}, length={length} and beam={beam} must all be at least one")
    names = list(known)
    leaves = np.stack([known[name] for name in names])  # [concept, answer]
    kept = _best([Formula((name,)) for name in names], leaves, on, beam)
    best = kept[0]
    for _ in range(length - 1):
        formulas: list[Formula] = []
        where: list[np.ndarray] = []
        for parent in kept:
            for join in JOINS:
                formulas += [lengthened(parent.formula, join, name) for name in names]
                where.append(joined(parent.where, join, leaves))  # [concept, answer]
        kept = _best(formulas, np.concatenate(where), on, beam)
        if kept[0].iou > best.iou:
            best = kept[0]
    return best


def lengthened(formula: Formula, join: str, concept: str) -> Formula:
    """Lengthen a formula by one concept.

    Args:
        formula: what it begins with.
        join: one of JOINS.
        concept: what is joined to it.

    Returns:
        The longer formula.
    """
    return replace(formula, concepts=(*formula.concepts, concept), joins=(*formula.joins, join))


def _best(
    formulas: Sequence[Formula], where: Bool[np.ndarray, "formula answer"], on: Bool[np.ndarray, "answer"], beam: int
) -> list[Scored]:
    """The best formulas, of those that hold for the very same answers only the first."""
    scores = iou(on, where)
    kept: list[Scored] = []
    seen: set[bytes] = set()
    for i in np.argsort(-scores, kind="stable").tolist():
        if (same := where[i].tobytes()) not in seen:
            seen.add(same)
            kept.append(Scored(formulas[i], where[i], float(scores[i])))
        if len(kept) == beam:
            break
    return kept


def concepts_of(collected: Collected) -> dict[str, Bool[np.ndarray, "answer"]]:
    """What is known of each kept answer, as concepts that hold or do not.

    Args:
        collected: the answers. What their questions' strata say becomes concepts, a value each; a number, such as how
            often a fact stood in training text, becomes "above the median" and "0". Whether the answer is made up is
            one more.

    Returns:
        Where each holds among the kept answers, [answer], by name; those that hold for all or none are left out.
    """
    found = {HALLUCINATED: collected.labels == 1}
    strata = [example.question.strata for example in collected.kept]
    for name in dict.fromkeys(key for one in strata for key in one):
        values = [one.get(name) for one in strata]
        present = [value for value in values if value is not None]
        different = set(present)
        if len(different) <= _MOST_VALUES:
            for value in sorted(different, key=str):
                found[f"{name} {value}"] = np.array([one == value for one in values])
        elif all(isinstance(value, int | float) for value in present):
            numbers = np.array([np.nan if value is None else value for value in values], float)
            found[f"{name} above its median"] = numbers > np.nanmedian(numbers)
            found[f"{name} 0"] = numbers == 0
    return {name: where for name, where in found.items() if where.any() and not where.all()}


def explain(
    collected: Collected,
    neurons: Neurons,
    *,
    top: float = TOP,
    length: int = LENGTH,
    n_shuffles: int = _N_SHUFFLES,
) -> Compositional:
    """Explain neurons by formulas over what is known of the answers, and test them on other answers.

    Args:
        collected: the answers; formulas are searched in the standard part's training answers, tested on its test ones.
        neurons: those that are explained: a card, what `hn.find` returns, flat indices, or pairs (layer, neuron).
        top: share of the answers at which a neuron is taken to be on, those of its largest contributions. The
            threshold is that of the training answers.
        length: concepts in a formula, at most.
        n_shuffles: how often each neuron's training answers are shuffled for the control.

    Returns:
        A formula for each neuron, with its held-out IoU beside that of formulas found for shuffled answers.

    Raises:
        ValueError: `top` is no share between 0 and 1, a neuron is unknown, or there are no training or test answers.

    Source:
        Mu & Andreas 2020 (arXiv 2006.14032), with the differences told above; per answer, not per token.

    A formula that holds where a neuron is on describes it on these answers; it does not say that the neuron computes
    it, nor that anything reads it.
    """
    if not 0 < top < 1:
        raise ValueError(f"top={top} must lie between 0 and 1: it is the share of answers at which a neuron is on")
    flat = neuron_indices(neurons, collected.subject)
    train, test = collected.rows("train"), collected.rows("test")
    if not len(train) or not len(test):
        raise ValueError(f"{len(train)} training and {len(test)} test answers: both are needed; ask more questions")
    known = concepts_of(collected)
    searched = {name: where[train] for name, where in known.items()}
    tested = {name: where[test] for name, where in known.items()}
    order = np.argsort(flat)
    columns = np.empty_like(flat)
    columns[order] = np.arange(len(flat))
    values = collected.contributions.at("answer").columns(flat[order])  # [answer, neuron], by rising number
    explained = []
    for neuron, column in zip(flat.tolist(), columns.tolist(), strict=True):
        threshold = np.quantile(values[train, column], 1 - top)
        on = values[:, column] > threshold
        explained.append(_explain(neuron, on[train], on[test], searched, tested, length, n_shuffles))
    shape = collected.subject.n_layers, collected.subject.d_mlp
    return Compositional(explained, list(known), (len(train), len(test)), shape)


def _explain(
    neuron: int,
    on: Bool[np.ndarray, "train"],
    on_tested: Bool[np.ndarray, "test"],
    searched: Mapping[str, Bool[np.ndarray, "train"]],
    tested: Mapping[str, Bool[np.ndarray, "test"]],
    length: int,
    n_shuffles: int,
) -> Explained:
    """One neuron's formula; and those of shuffled training answers, read on the same test answers."""

    def held_out(formula: Formula) -> float:
        return float(iou(on_tested, formula.holds(tested)))

    best = best_formula(on, searched, length)
    rng = np.random.default_rng(neuron)
    by_chance = [held_out(best_formula(rng.permutation(on), searched, length).formula) for _ in range(n_shuffles)]
    single = best_formula(on, searched, 1).formula
    return Explained(neuron, best.formula, best.iou, held_out(best.formula), held_out(single), np.array(by_chance))
