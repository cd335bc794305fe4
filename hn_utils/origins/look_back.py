"""The fourth step: were the H-Neurons there before tuning?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Int

from hn_utils.answers.examples import NothingConsistent
from hn_utils.contributions.collect import ask_base
from hn_utils.contributions.collected import Collected
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.studied_model import LOADED
from hn_utils.origins.transfer import Drift, Transfer, drift, require_same_shape, transfer
from hn_utils.probing.find import Found
from hn_utils.probing.given_neurons import ABSENT, BESIDE_LOUD, given_neurons, require_no_answers
from hn_utils.stats.drawn import figure_of
from hn_utils.stats.tables import Tabled
from hn_utils.storage.progress import tell_once
from hn_utils.study import BUNDLED, Study, check_given, given_settings, names_its_settings, with_later_settings

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from hn_utils.models.neurons import Neurons
    from hn_utils.probing.against_random import AgainstRandom
    from hn_utils.probing.l1_path import Fit
    from hn_utils.stats.bootstrap import Estimate
_N_LOUD = 100  # random sets beside neurons that were named


@dataclass(frozen=True, repr=False)
class Origins(Tabled):
    """The three looks back: transfer to the base model, drift of the weights, and the timeline over checkpoints.

    Attributes:
        base: what the instruct model's fits detect in the base model's own answers.
        base_collected: these answers.
        drift: how far tuning moved the neurons' weights.
        timeline: the same as `base` for each checkpoint, the base model last.
        beyond: the AUROC of the neurons in the base model minus the mean of their control, as `Found.beyond` has it at
            home; None where there are too few answers.
        was_picked: whether the procedure that picked the neurons is known: if so, their control is what it picks on
            shuffled labels, if not, random sets that are as loud.
    """

    base: Transfer
    base_collected: Collected
    drift: Drift
    timeline: list[Transfer]
    beyond: Estimate | None
    was_picked: bool = True

    @property
    def headline(self) -> str:
        """What the neurons detect in the base model, and how far tuning moved them."""
        return f"{self.transferred}; {self.drift.told}"

    @property
    def transferred(self) -> str:
        """Whether what they detect is there in the base model, beside their control."""
        base = self.base
        if self.beyond is None:
            return f"{base.model} gives too few consistent answers to say: {base.n_right} right, {base.n_wrong} wrong"
        told = {1: "detect more than", -1: "detect less than", 0: "are not told apart from"}[self.beyond.direction()]
        whose = "H-Neurons" if self.was_picked else "neurons"
        control = "what shuffled labels pick" if self.was_picked else BESIDE_LOUD
        return (
            f"In {base.model} the {whose} {told} {control}: AUROC {base.h_neurons}, {self.beyond} "
            f"beyond it (n = {self.beyond.n} answers)"
        )

    @property
    def table(self) -> pd.DataFrame:
        """A row a checkpoint, the base model last: its answers, and what the instruct model's probe detects in them."""
        whose = "H-Neurons" if self.was_picked else "neurons"
        control = "picked on shuffled labels" if self.was_picked else "random, as loud"
        absent = {} if self.was_picked else {"picked on shuffled labels": ABSENT}
        return pd.DataFrame(
            [
                {
                    "checkpoint": t.model,
                    "right": t.n_right,
                    "wrong": t.n_wrong,
                    whose: t.h_neurons or "too few",
                    control: t.random_spread or "",
                    **absent,
                    "confidence": t.confidence or "",
                }
                for t in self.timeline
            ]
        )

    def plot(self) -> go.Figure:
        """The timeline, with the control and confidence beside the neurons."""
        if self.was_picked:
            return figure_of("timeline", self.timeline)
        return figure_of("timeline", self.timeline, BESIDE_LOUD, "neurons")


@names_its_settings
def look_back(
    neurons: Found | Neurons,
    base: str | Path | HookedModel = "",
    *,
    answers: Collected | None = None,
    base_prompt: str | None = None,
    base_stop: str | None = None,
    checkpoints: Sequence[str] | None = None,
    seed: int | None = None,
    batch_rows: int | None = None,
) -> Origins:
    """Score a base model, and earlier checkpoints, on the standard test questions, and measure how far tuning moved the
    neurons' weights.

    The fits stay those of the instruct model. What was found stands beside what the same procedure picks on shuffled
    labels; neurons that were named by hand, or by a card, are refitted on `answers` and stand beside random sets that
    are as loud. A setting that is not given is as the study says.

    Args:
        neurons: what `hn.find` returns; or a card, flat indices (layer * d_mlp + neuron), or pairs (layer, neuron).
        base: a hub name, a folder or a model from `hn.wrap`; without it the study's.
        answers: with neurons that were named, the instruct model's answers, on which they are refitted.
        base_prompt: how a base model is asked, with `{question}` in it.
        base_stop: the text at which its answer ends.
        checkpoints: checkpoints of its training, hub names or folders, from early to late.
        seed: of what is drawn, and of the random sets.
        batch_rows: rows that a forward pass or a generation holds at most.

    Returns:
        AUROC in the base model and the checkpoints, and the rank of the neurons' drift among all (0: moved most).

    Raises:
        ValueError: before anything is asked: the neurons are no neurons of the model, no base model is named, it is
            the studied model itself or differs in shape, or a setting is unknown, of no use or too late.
        NothingConsistent: the base model answers nothing consistently.

    Source:
        The paper's sections 4 and 6.3. The control with shuffled labels is not in it.

    Example:
        >>> import hn_utils as hn
        >>> model = hn.load("organism")
        >>> found = hn.find(hn.collect(model, n_questions=120, sampling={"n": 2}), n_grid=8)
        >>> hn.look_back(found, checkpoints=()).table["checkpoint"].tolist()
        ['organism/base']
    """
    check_given("base", base, (str, Path, HookedModel), f"a hub name, a folder, or {LOADED}")
    settings = given_settings(
        base_prompt=base_prompt,
        base_stop=base_stop,
        checkpoints=checkpoints,
        seed=seed,
        batch_rows=batch_rows,
    )
    looked = _looked_for(neurons, answers)
    study = with_later_settings(looked.collected.study, settings)
    subject = looked.collected.subject
    if isinstance(base, str | Path):
        name = str(base) if base else study.base
        if not name:
            raise ValueError(f"the study {study.name} names no base model: give base='hub/name' or a folder")
        base = HookedModel.load(name, replace(study, base=name))
    if base.fingerprint == subject.fingerprint:
        raise ValueError(f"base={base.name!r} is the very model that was studied: name the one that it was tuned from")
    require_same_shape(base, subject)
    tell_of_left_out(study)
    collected = replace(looked.collected, study=study)
    asked = ask_base(base, collected)
    scored = [t for name in study.checkpoints if (t := _score_checkpoint(name, collected, looked)) is not None]
    own = looked.scored_by(asked)
    picks = [fit.neurons for fit in looked.against.control] if looked.probe else []
    moved = drift(base, subject, looked.neurons, picks, study.seed)
    read = asked.labelled(np.arange(len(asked.kept)), looked.region)
    beyond = None if own.h_neurons is None else looked.against.on(read).beyond
    return Origins(own, asked, moved, [*scored, own], beyond, looked.probe is not None)


@dataclass(frozen=True)
class _LookedFor:
    """Neurons that are looked for in other models, refitted at home beside their control; `probe` is what picked them,
    None if that is not known."""

    neurons: Int[np.ndarray, "k"]
    collected: Collected
    region: str
    against: AgainstRandom
    probe: Fit | None

    def scored_by(self, collected: Collected, rows: Int[np.ndarray, "row"] | None = None) -> Transfer:
        """The fits on another model's own answers, or on some `rows` of them."""
        some = np.arange(len(collected.kept)) if rows is None else rows
        read = collected.labelled(some, self.region)
        return transfer(collected.subject.short_name, read, collected.confidence[some], self.probe, self.against)


def _looked_for(neurons: Found | Neurons, answers: Collected | None) -> _LookedFor:
    """Raises ValueError if these are no neurons of the answers' model, or answers are missing or one too many."""
    if isinstance(neurons, Found):
        require_no_answers(answers)
        fit, region = neurons.probe.fit, neurons.probe.region
        return _LookedFor(neurons.neurons, neurons.collected, region, neurons.against("any"), fit)
    if answers is None:
        raise ValueError(
            "answers is missing: give what hn.find returns, or with other neurons answers=hn.collect(model)"
        )
    check_given("answers", answers, Collected, "what hn.collect returns")
    given = given_neurons(neurons, answers, answers.subject)
    return _LookedFor(given.neurons, answers, given.region, given.against_loud(_N_LOUD), None)


def tell_of_left_out(study: Study) -> None:
    """Say so if the bundled model is looked back at as a wheel holds it: without its earlier checkpoints."""
    if study.instruct == BUNDLED.instruct and not BUNDLED.checkpoints:
        tell_once(
            "the bundled model's earlier checkpoints are not part of the installed package, and the timeline is the "
            "base model alone: clone the project for them"
        )


def _score_checkpoint(name: str, collected: Collected, looked: _LookedFor) -> Transfer | None:
    """The fits on a checkpoint's own answers; None if it answers nothing consistently. The model is let go again."""
    try:
        return looked.scored_by(ask_base(HookedModel.load(name, collected.study), collected))
    except NothingConsistent:
        return None


def scored_by(found: Found, collected: Collected, rows: Int[np.ndarray, "row"] | None = None) -> Transfer:
    """Score another model's own answers with what was found.

    Args:
        found: the probe, the H-Neurons and their control, all of the instruct model.
        collected: the other model's answers.
        rows: some of the kept ones; None for all.

    Returns:
        What each detects.
    """
    return _looked_for(found, None).scored_by(collected, rows)
