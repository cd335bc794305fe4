"""Since when do these neurons detect, would others have been found before, and what did the model know at that time?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hn_utils.answers.examples import NothingConsistent
from hn_utils.contributions.collect import gathered
from hn_utils.contributions.collected import Collected, trainable
from hn_utils.origins.look_back import scored_by
from hn_utils.probing.find import Found, find
from hn_utils.probing.probe import NoHNeurons
from hn_utils.questions.question import STANDARD_TITLE

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.origins.transfer import Transfer
    from hn_utils.stats.bootstrap import Estimate


@dataclass(frozen=True)
class Anew:
    """H-Neurons that the unchanged road finds in a checkpoint: how many, how many of them are the final model's, and
    their AUROC beyond what shuffled labels pick there."""

    n: int
    shared: int
    beyond: Estimate


N_GROUPS = 6  # of facts by how often they are stated


class Exposed(NamedTuple):
    """Questions about facts that pre-training states about as often: how often in all of it, on average; the share of
    draws that are wrong; how many questions."""

    exposure: float
    hallucinated: float
    n: int


@dataclass(frozen=True)
class Moment:
    """One checkpoint, on its own answers to the standard questions; what is tested is tested on test entities.

    `recall` is the share of all test draws that are right. `final` scores the final model's probe unchanged, `beyond`
    is its AUROC minus the mean of its control sets; None where fewer than 20 answers of a class are consistent.
    `relative_mean_contribution` is the mean contribution of the final H-Neurons at an answer over that of as many
    random neurons of the same layers. `anew` is None where there are too few answers to train on, or no neuron is kept.
    `exposed` tells how often it makes answers up by how often facts are stated, of all standard questions; it is empty
    where that is not known. None of this says that a neuron causes anything.
    """

    model: str
    recall: float
    final: Transfer
    beyond: Estimate | None
    relative_mean_contribution: float
    anew: Anew | None
    exposed: list[Exposed]

    @property
    def row(self) -> dict[str, Any]:
        """Its numbers, ready for JSON.

        Returns:
            By name: shares from 0 to 1, AUROC estimates as dicts of value, low, high and n; None for what is not known.
        """
        return {
            "model": self.model,
            "recall": self.recall,
            "right": self.final.n_right,
            "wrong": self.final.n_wrong,
            "beyond": self.beyond and asdict(self.beyond),
            "confidence": self.final.confidence and asdict(self.final.confidence),
            "loud": self.relative_mean_contribution,  # this and "made_up" are the names in runs that were saved before
            "anew": self.anew and asdict(self.anew),
            "exposed": [{"exposure": g.exposure, "made_up": g.hallucinated, "n": g.n} for g in self.exposed],
        }


def emergence(found: Found, models: Iterable[HookedModel], base: bool = True) -> list[Moment]:
    """Ask each checkpoint the standard questions, as a base model or as a chat model, and look at it in both ways: with
    the final model's H-Neurons, and with its own.

    Args:
        found: the final model's H-Neurons.
        models: checkpoints, used one after another: give a generator, and one is in memory at a time.
        base: whether they are asked as base models are (a prompt to continue) or as chat models.

    Returns:
        What there is at each, in the same order. One that answers no test question consistently is left out.

    Source:
        The look at one checkpoint is the backward transfer of Gao et al. 2025, section 4; they have the base model
        alone.

    It does not show that a neuron causes anything, at any checkpoint.
    """
    moments = (_moment(found, model, base) for model in models)
    return [one for one in moments if one is not None]


def _moment(found: Found, model: HookedModel, base: bool) -> Moment | None:
    """What is there at one checkpoint; None if it answers no test question consistently."""
    questions = [q for q in found.collected.questions if q.part == "standard"]
    try:
        asked = gathered(model, found.study, questions, {"standard": STANDARD_TITLE}, base)
    except NothingConsistent:
        return None
    test = asked.rows("test")
    if not len(test):
        return None
    final = scored_by(found, asked, test)
    return Moment(
        model.short_name,
        recall(asked),
        final,
        None if final.h_neurons is None else found.against("any").on(asked.labelled(test, found.probe.region)).beyond,
        relative_mean_contribution(found, asked, test),
        _found_anew(found, asked),
        _by_exposure(asked),
    )


def recall(asked: Collected) -> float:
    """Share of the draws to test questions that are right.

    Args:
        asked: questions and all draws, consistent or not.

    Returns:
        From 0 to 1.
    """
    right = []
    for question, drawn in zip(asked.questions, asked.responses, strict=True):
        if question.split == "test":
            right += [response.verdict == "right" for response in drawn]
    return float(np.mean(right))


def _by_exposure(asked: Collected) -> list[Exposed]:
    """How often answers are wrong, in groups of about as many questions; facts that are never stated are one of their
    own."""
    stated = [q.strata.get("exposure") for q in asked.questions]
    if None in stated:
        return []
    exposure = np.array(stated, float)
    wrong = np.zeros(len(exposure))
    for place, drawn in enumerate(asked.responses):
        wrong[place] = np.mean([response.verdict == "wrong" for response in drawn])
    order = np.argsort(exposure, kind="stable")
    never = order[exposure[order] == 0]
    groups = [never, *np.array_split(order[len(never) :], N_GROUPS)]
    return [Exposed(float(exposure[g].mean()), float(wrong[g].mean()), len(g)) for g in groups if len(g)]


def relative_mean_contribution(found: Found, asked: Collected, rows: np.ndarray) -> float:
    """Mean contribution of the final H-Neurons at some answers, over that of random neurons of the same layers.

    Args:
        found: the final model's H-Neurons and its random sets.
        asked: a checkpoint's answers.
        rows: which of the kept ones, as [row].

    Returns:
        A ratio without unit; 1 if they contribute as much as random neurons do.

    Source:
        A neuron's contribution (CETT) is that of Gao et al. 2025, section 2; the ratio is this project's own.

    It is a size: it says nothing of what is true or false.
    """
    at = asked.contributions[rows].at(found.probe.region)
    others = np.unique(np.concatenate([fit.neurons for fit in found.random["layer"]]))
    return float(at.columns(found.neurons).mean() / at.columns(others).mean())


def _found_anew(found: Found, asked: Collected) -> Anew | None:
    """The road on a checkpoint's own answers; None if there are too few, or the probe keeps no neuron."""
    if not trainable(asked):
        return None
    try:
        own = find(asked)
    except NoHNeurons:
        return None
    return Anew(len(own.neurons), len(np.intersect1d(own.neurons, found.neurons)), own.beyond["any"])
