"""Since when do these neurons detect, would others have been found before, and what did the model know at that time?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from hn_utils.analyses.base_probe import trainable
from hn_utils.collecting import Collected, gathered
from hn_utils.controls import Estimate
from hn_utils.finding import Found, beyond_sets, find
from hn_utils.looking_back import scored_by
from hn_utils.origins import Transfer
from hn_utils.probe import NoHNeurons
from hn_utils.questions import STANDARD_TITLE
from hn_utils.responses import NothingConsistent
from hn_utils.subject import Subject


@dataclass(frozen=True)
class Anew:
    """H-Neurons that the unchanged road finds in a checkpoint: how many, how many of them are the final model's, and
    their AUROC beyond random sets of their own."""

    n: int
    shared: int
    beyond: Estimate


@dataclass(frozen=True)
class Moment:
    """One checkpoint, on its own answers to the standard questions; what is tested is tested on test entities.

    `recall` is the share of all test draws that are right. `final` scores the final model's probe unchanged, `beyond`
    is its AUROC minus the mean of its random sets; None where fewer than 20 answers of a class are consistent. `loud`
    is the mean contribution of the final H-Neurons at an answer over that of as many random neurons of the same layers.
    `anew` is None where there are too few answers to train on, or no neuron is kept. None of this says that a neuron
    causes anything.
    """

    model: str
    recall: float
    final: Transfer
    beyond: Estimate | None
    loud: float
    anew: Anew | None

    @property
    def row(self) -> dict[str, Any]:
        """Its numbers, ready for JSON."""
        return {
            "model": self.model,
            "recall": self.recall,
            "right": self.final.n_right,
            "wrong": self.final.n_wrong,
            "beyond": self.beyond and asdict(self.beyond),
            "confidence": self.final.confidence and asdict(self.final.confidence),
            "loud": self.loud,
            "anew": self.anew and asdict(self.anew),
        }


def emergence(found: Found, models: Iterable[Subject], base: bool = True) -> list[Moment]:
    """Ask each checkpoint the standard questions, as a base model or as a chat model, and look at it in both ways: with
    the final model's H-Neurons, and with its own. One that answers no test
    question consistently is left out.

    Models are used one after another: give a generator, and one is in memory at a time.
    """
    moments = (moment(found, model, base) for model in models)
    return [one for one in moments if one is not None]


def moment(found: Found, model: Subject, base: bool) -> Moment | None:
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
        None if final.h_neurons is None else beyond_sets(asked, found, test),
        loudness(found, asked, test),
        found_anew(found, asked),
    )


def recall(asked: Collected) -> float:
    """Share of the draws to test questions that are right."""
    pairs = zip(asked.questions, asked.responses, strict=True)
    return float(np.mean([r.verdict == "right" for q, drawn in pairs if q.split == "test" for r in drawn]))


def loudness(found: Found, asked: Collected, rows: np.ndarray) -> float:
    """Mean contribution of the final H-Neurons at some answers, over that of random neurons of the same layers."""
    at = asked.contributions[rows].at(found.probe.region)
    others = np.unique(np.concatenate([fit.neurons for fit in found.random["layer"]]))
    return float(at.columns(found.neurons).mean() / at.columns(others).mean())


def found_anew(found: Found, asked: Collected) -> Anew | None:
    """The road on a checkpoint's own answers; None if there are too few, or the probe keeps no neuron."""
    if not trainable(asked):
        return None
    try:
        own = find(asked)
    except NoHNeurons:
        return None
    return Anew(len(own.neurons), len(np.intersect1d(own.neurons, found.neurons)), own.beyond["random"])


def told(moments: Iterable[Moment]) -> pd.DataFrame:
    """A row a checkpoint, for the eye."""
    return pd.DataFrame(
        [
            {
                "checkpoint": one.model,
                "draws that are right": f"{one.recall:.2f}",
                "right, wrong": f"{one.final.n_right}, {one.final.n_wrong}",
                "final H-Neurons, beyond random": str(one.beyond or "too few answers"),
                "found anew, beyond random": str(one.anew.beyond) if one.anew else "none",
                "of these the final ones": f"{one.anew.shared} of {one.anew.n}" if one.anew else "",
                "confidence": str(one.final.confidence or ""),
            }
            for one in moments
        ]
    )
