"""The fourth step: were the H-Neurons there before tuning?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hn_utils.answers.examples import NothingConsistent
from hn_utils.contributions.collect import ask_base
from hn_utils.contributions.collected import Collected, later
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.studied_model import LOADED
from hn_utils.origins.transfer import Drift, Transfer, drift, require_same_shape, transfer
from hn_utils.probing.find import Found
from hn_utils.stats.drawn import figure_of
from hn_utils.stats.tables import Tabled
from hn_utils.storage.progress import tell_once
from hn_utils.study import BUNDLED, Study, check_given

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from hn_utils.stats.bootstrap import Estimate


@dataclass(frozen=True, repr=False)
class Origins(Tabled):
    """The three looks back: transfer to the base model, drift of the weights, and the timeline over checkpoints, of
    which the base model is the last.

    `beyond` is the AUROC of the H-Neurons in the base model minus the mean of what shuffled labels pick, as
    `Found.beyond` has it at home; None where there are too few answers.
    """

    base: Transfer
    base_collected: Collected
    drift: Drift
    timeline: list[Transfer]
    beyond: Estimate | None

    @property
    def headline(self) -> str:
        return f"{self.transferred}; {self.drift.told}"

    @property
    def transferred(self) -> str:
        """Whether what they detect is there in the base model, beside what shuffled labels pick."""
        base = self.base
        if self.beyond is None:
            return f"{base.model} gives too few consistent answers to say: {base.n_right} right, {base.n_wrong} wrong"
        told = {1: "detect more than", -1: "detect less than", 0: "are not told apart from"}[self.beyond.direction()]
        return (
            f"In {base.model} the H-Neurons {told} what shuffled labels pick: AUROC {base.h_neurons}, {self.beyond} "
            f"beyond it (n = {self.beyond.n} answers)"
        )

    @property
    def table(self) -> pd.DataFrame:
        """A row a checkpoint, the base model last: its answers, and what the instruct model's probe detects in them."""
        return pd.DataFrame(
            [
                {
                    "checkpoint": t.model,
                    "right": t.n_right,
                    "wrong": t.n_wrong,
                    "H-Neurons": t.h_neurons or "too few",
                    "picked on shuffled labels": t.random_spread or "",
                    "confidence": t.confidence or "",
                }
                for t in self.timeline
            ]
        )

    def plot(self) -> go.Figure:
        """The timeline, with picks on shuffled labels and confidence beside the H-Neurons."""
        return figure_of("timeline", self.timeline)


def look_back(found: Found, base: str | Path | HookedModel = "", **settings: Any) -> Origins:
    """Score a base model, and earlier checkpoints, on the standard test questions with the probe unchanged, and measure
    how far tuning moved the H-Neurons' weights.

    `base` is a hub name, a folder or a model from `hn.wrap`; without it the study's. Settings are those of `Study`,
    such as `base_prompt`, `base_stop` or `checkpoints`. Raises ValueError, before anything is asked, if no base model
    is named, it is the studied model itself or differs in shape; NothingConsistent if it answers nothing consistently.

    >>> import hn_utils as hn
    >>> model = hn.load("organism")
    >>> found = hn.find(hn.collect(model, n_questions=120, sampling={"n": 2}), n_grid=8)
    >>> hn.look_back(found, checkpoints=()).table["checkpoint"].tolist()
    ['organism/base']
    """
    check_given("found", found, Found, "what hn.find returns")
    check_given("base", base, (str, Path, HookedModel), f"a hub name, a folder, or {LOADED}")
    study = later(found.study, settings)
    if isinstance(base, str | Path):
        name = str(base) if base else study.base
        if not name:
            raise ValueError(f"the study {study.name} names no base model: give base='hub/name' or a folder")
        base = HookedModel.load(name, replace(study, base=name))
    if base.fingerprint == found.card.fingerprint:
        raise ValueError(f"base={base.name!r} is the very model that was studied: name the one that it was tuned from")
    require_same_shape(base, found.subject)
    tell_of_left_out(study)
    collected = replace(found.collected, study=study)
    asked = ask_base(base, collected)
    scored = [t for name in study.checkpoints if (t := _score_checkpoint(name, collected, found)) is not None]
    own = scored_by(found, asked)
    noise = [fit.neurons for fit in found.control]
    moved = drift(base, found.subject, found.neurons, noise, study.seed)
    read = asked.labelled(np.arange(len(asked.kept)), found.probe.region)
    beyond = None if own.h_neurons is None else found.against("any").on(read).beyond
    return Origins(own, asked, moved, [*scored, own], beyond)


def tell_of_left_out(study: Study) -> None:
    """Say so if the bundled model is looked back at as a wheel holds it: without its earlier checkpoints."""
    if study.instruct == BUNDLED.instruct and not BUNDLED.checkpoints:
        tell_once(
            "the bundled model's earlier checkpoints are not part of the installed package, and the timeline is the "
            "base model alone: clone the project for them"
        )


def _score_checkpoint(name: str, collected: Collected, found: Found) -> Transfer | None:
    """The probe on a checkpoint's own answers; None if it answers nothing consistently. The model is let go again."""
    try:
        return scored_by(found, ask_base(HookedModel.load(name, collected.study), collected))
    except NothingConsistent:
        return None


def scored_by(found: Found, collected: Collected, rows: np.ndarray | None = None) -> Transfer:
    """What was found, on another model's own answers, or on some `rows` of them."""
    some = np.arange(len(collected.kept)) if rows is None else rows
    return transfer(
        collected.subject.short_name,
        collected.labelled(some, found.probe.region),
        collected.confidence[some],
        found.probe.fit,
        found.against("any"),
    )
