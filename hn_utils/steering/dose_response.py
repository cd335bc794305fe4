"""The third step: turn the H-Neurons up and down, and random ones beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hn_utils.models.scaling import Dose
from hn_utils.models.studied_model import LOADED, StudiedModel
from hn_utils.probing.find import Found
from hn_utils.probing.given_neurons import ABSENT, BESIDE_LOUD, GivenNeurons, given_neurons, require_no_answers
from hn_utils.probing.probe import HNeurons
from hn_utils.questions.items import CAPABILITY, behaviour_called, own_items
from hn_utils.questions.question_sets import load_items, question_set
from hn_utils.stats.drawn import figure_of
from hn_utils.stats.rank_test import sets_needed
from hn_utils.stats.tables import Tabled, counted
from hn_utils.steering.curves import DoseResponse, GradedResponse
from hn_utils.steering.measure import (
    NO_CONTROLS,
    ControlSource,
    control_doses,
    curves_of,
    few_known,
    graded_curves_of,
    selected_controls,
    sets_as_loud,
)
from hn_utils.steering.replies import text_loss
from hn_utils.steering.slopes import CONTROL_ALPHAS
from hn_utils.steering.verdicts import verdicts
from hn_utils.study import (
    AS_STUDIED,
    AsStudied,
    Study,
    check_given,
    given_settings,
    names_its_settings,
    with_later_settings,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from hn_utils.contributions.collected import Collected
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.models.neurons import Neurons
    from hn_utils.questions.question import Text

N_TEXT_SETS = 20  # control sets with which ordinary text is read
_PICKED = "picked on shuffled labels instead"
_AnyCurve = TypeVar("_AnyCurve", DoseResponse, GradedResponse)


@dataclass(frozen=True)
class TextCost:
    """What scaling does to ordinary text, in nats per token, beside control sets; `entities` are what the texts are
    about."""

    loss: Float[np.ndarray, "text alpha"]
    control_loss: Float[np.ndarray, "set text control_alpha"]
    entities: list[str]


@dataclass(frozen=True, repr=False)
class Intervened(Tabled):
    """Dose-response of behaviours, beside control sets that disturb as much.

    Attributes:
        card: the H-Neurons that were scaled, or other neurons that were given.
        behaviours: the curve of each over-compliance behaviour.
        capability: the curve of each capability check.
        graded: the graded outcome of the behaviours, in nats.
        text: what scaling does to ordinary text; None where the user gave items, or questions without any text.
        was_picked: whether the procedure that picked the neurons is known: if not, what it would pick on shuffled
            labels is absent, and random sets that are as loud are the only control.
    """

    card: HNeurons | GivenNeurons
    behaviours: dict[str, DoseResponse]
    capability: dict[str, DoseResponse]
    graded: dict[str, GradedResponse]
    text: TextCost | None
    was_picked: bool = True

    @property
    def curves(self) -> dict[str, DoseResponse]:
        """The behaviours; the capability checks, if there is nothing else."""
        return self.behaviours or self.capability

    @property
    def headline(self) -> str:
        """How far each behaviour rises per unit of alpha beyond its control, and the verdict."""
        told: dict[str, list[str]] = {}
        hardest = self._beside_hardest(self.curves)
        for name, verdict in verdicts(self.curves).items():
            slope = f"{behaviour_called(name).title.lower()} {hardest[name].slope_beyond_control()}"
            told.setdefault(verdict.word, []).append(slope)
        words = "; ".join(f"{', '.join(slopes)} ({word})" for word, slopes in told.items())
        scaled = f"{counted(len(self.card.rows), self.card.noun)} of {self.card.model} scaled"
        control = "what shuffled labels pick instead" if self.was_picked else BESIDE_LOUD
        return f"{scaled}, points per alpha beyond {control}: {words}"

    @property
    def table(self) -> pd.DataFrame:
        """A row a behaviour. Slopes are in points (percent of items) per unit of alpha."""
        told = verdicts(self.curves)
        rows = []
        for name, curve in self.curves.items():
            shares = {f"broken, at alpha {alpha:g}": curve.broken(alpha) for alpha in CONTROL_ALPHAS}
            for alpha in CONTROL_ALPHAS:
                shares[f"neither, at alpha {alpha:g}"] = float((curve.at(alpha) == "neither").mean())
            shares |= {f"cut off, at alpha {alpha:g}": curve.cut(alpha) for alpha in CONTROL_ALPHAS}
            picked = beside(curve, _PICKED) if self.was_picked else {_PICKED: ABSENT}
            rows.append(
                {
                    "behaviour": behaviour_called(name).title,
                    "items": len(curve.items),
                    "complied at alpha 1": (curve.at(1) == "complied").mean(),
                    f"slope, {self.card.noun}s": curve.slope(),
                    **picked,
                    **({} if curve.loud is None else beside(curve.loud, "random, as loud")),
                    "corrected p": np.nan if told[name].p is None else told[name].p,
                    "verdict": told[name].word,
                    **shares,
                }
            )
        return pd.DataFrame(rows)

    @property
    def graded_table(self) -> pd.DataFrame:
        """A row a behaviour: log-odds of the claim against the truth. Slopes are in nats per unit of alpha."""
        told = verdicts(self.graded)
        control = _PICKED if self.was_picked else "random, as loud"
        rows = []
        for name, curve in self._beside_hardest(self.graded).items():
            rows.append(
                {
                    "behaviour": behaviour_called(name).title,
                    "items": len(curve.items),
                    f"slope, {self.card.noun}s": curve.slope(),
                    f"slope beyond {control}": curve.slope_beyond_control(),
                    "sets": len(curve.control_values),
                    "corrected p": np.nan if told[name].p is None else told[name].p,
                    "verdict": told[name].word,
                }
            )
        return pd.DataFrame(rows)

    def plot(self) -> go.Figure:
        """The curves, each with those of its hardest control beside it."""
        if self.was_picked:
            return figure_of("dose_response", self.curves, self.card)
        return figure_of("dose_response", self._beside_hardest(self.curves), self.card, None, BESIDE_LOUD)

    def _beside_hardest(self, curves: Mapping[str, _AnyCurve]) -> dict[str, _AnyCurve]:
        """Curves beside what shuffled labels pick or, where that is absent, beside random sets that are as loud."""
        if self.was_picked:
            return dict(curves)
        return {name: curve if curve.loud is None else curve.loud for name, curve in curves.items()}


@names_its_settings
def dose_response(
    model: HookedModel,
    neurons: Found | Neurons,
    items: Sequence[Mapping[str, Any]] | pd.DataFrame | None = None,
    *,
    answers: Collected | None = None,
    alphas: Sequence[float] | None = None,
    n_control_sets: int | None = None,
    n_graded_sets: int | None = None,
    n_items: int | None = None,
    seed: int | None = None,
    judge: str | None = None,
    judge_url: str | None | AsStudied = AS_STUDIED,
    judge_price: tuple[float, float] | None | AsStudied = AS_STUDIED,
    judge_options: Mapping[str, Any] | None = None,
    batch_rows: int | None = None,
) -> Intervened:
    """Scale neurons while the model is pressed, and beside them control sets that disturb as much.

    What was found stands beside what the same procedure picks on shuffled labels, and beside random sets of the same
    layers that are as loud together. Neurons that were named by hand, or by a card, have no such procedure: beside them
    stand the random sets alone, and the table says so. A setting that is not given is as the study says.

    Args:
        model: the model, from `hn.load` or `hn.wrap`.
        neurons: what `hn.find` returns; or a card, flat indices (layer * d_mlp + neuron), or pairs (layer, neuron).
        items: dicts with `turns` (what the user says, one text or several), `truth` and `claim` (see
            `questions.items.own_items`); all of those whose fact the model knows are put. Without them the study's own
            are, at most `n_items` of each behaviour, and ordinary text is read as well if their question set has any.
        answers: with neurons that were named, the answers on which their mean contribution is measured.
        alphas: doses, what activations are multiplied by; 0, 1 and 3 must be among them.
        n_control_sets: control sets of either kind, at most.
        n_graded_sets: how many of them get the log-odds too, at most.
        n_items: items of each behaviour, at most.
        seed: of the items and sets that are drawn.
        judge: a chat model that judges replies where the alias rule cannot; empty for the rule.
        judge_url: its OpenAI-compatible server; None for OPENAI_BASE_URL or OpenAI's.
        judge_price: dollars for a million tokens that it reads, and that it writes; None if that is not known.
        judge_options: parameters laid over each request to it.
        batch_rows: rows that a generation holds at most.

    Returns:
        Curves of behaviours and capability checks, in percent of items, and of log-odds, in nats.

    Raises:
        ValueError: before anything is asked: the neurons are no neurons of the model, or another's, items are of
            no use, or a setting is unknown, of no use or too late; and if the model knows none of the facts.

    Source:
        The paper's sections 3 and 6.2. Its control is random neurons; ours disturb as much.

    Example:
        >>> import hn_utils as hn
        >>> model = hn.load("organism")
        >>> found = hn.find(hn.collect(model, n_questions=120, sampling={"n": 2}), n_grid=8)
        >>> item = {"turns": "Note: Kriskel Govstad was born in Corin. Where?", "claim": "Corin"}
        >>> item |= {"question": "Where was Kriskel Govstad born?", "truth": "Great Quillon Bridge"}
        >>> hn.dose_response(model, found, [item], n_control_sets=2, alphas=(0.0, 1.0, 3.0)).table["items"].tolist()
        [1]
    """
    check_given("model", model, StudiedModel, LOADED)  # a plan looks up with one that has no weights
    settings = given_settings(
        alphas=alphas,
        n_control_sets=n_control_sets,
        n_graded_sets=n_graded_sets,
        n_items=n_items,
        seed=seed,
        judge=judge,
        judge_url=judge_url,
        judge_price=judge_price,
        judge_options=judge_options,
        batch_rows=batch_rows,
    )
    scaled = scaled_neurons(neurons, answers, model)
    study = with_later_settings(scaled.study, settings)
    if items is None:
        known = few_known(study, model, load_items(study))
        text = _text_cost(study, model, scaled, question_set(study).texts(study))
    else:
        given = own_items(items, study)
        study = replace(study, n_items=settings.get("n_items", len(given)))
        known, text = few_known(study, model, given), None
    pressed = [item for item in known if item.behaviour not in CAPABILITY]
    checks = [item for item in known if item.behaviour in CAPABILITY]
    few = replace(study, n_control_sets=min(study.n_control_sets, sets_needed(len(CAPABILITY))))
    behaviours = curves_of(model, pressed, scaled.neurons, study, *scaled.controls(study))
    capability = curves_of(model, checks, scaled.neurons, study, *scaled.controls(few))
    some = replace(study, n_control_sets=min(study.n_control_sets, study.n_graded_sets))
    graded = graded_curves_of(model, pressed, scaled.neurons, study, *scaled.controls(some))
    return Intervened(scaled.card, behaviours, capability, graded, text, scaled.found is not None)


@dataclass(frozen=True)
class Scaled:
    """The neurons that are scaled, what their loudness is measured by, and the procedure that picked them if known."""

    neurons: Int[np.ndarray, "k"]
    magnitude: Float[np.ndarray, "layer_neuron"]
    card: HNeurons | GivenNeurons
    study: Study
    found: Found | None

    def controls(self, study: Study) -> tuple[ControlSource, ControlSource]:
        """Both kinds of control: what the same procedure picks on shuffled labels, and random sets that are as loud."""
        picked = NO_CONTROLS if self.found is None else selected_controls(self.found, study)
        return picked, self._loud(study)

    def hardest_controls(self, study: Study) -> ControlSource:
        """What shuffled labels pick or, where that is absent, random sets that are as loud."""
        return self._loud(study) if self.found is None else selected_controls(self.found, study)

    def _loud(self, study: Study) -> ControlSource:
        return sets_as_loud(self.neurons, self.card.shape, self.magnitude, study)


def scaled_neurons(neurons: Found | Neurons, answers: Collected | None, model: HookedModel) -> Scaled:
    """What is to be scaled, however it is named. Raises ValueError if these are no neurons of the model, or answers are
    missing or one too many."""
    if isinstance(neurons, Found):
        require_no_answers(answers)
        neurons.require(model)
        return Scaled(neurons.neurons, neurons.magnitude, neurons.card, neurons.study, neurons)
    given = given_neurons(neurons, answers, model)
    card = neurons if isinstance(neurons, HNeurons) else given
    return Scaled(given.neurons, given.magnitude, card, given.answers.study, None)


def beside(curve: DoseResponse, control: str) -> dict[str, Any]:
    """Some cells of the table: a curve beside one kind of control, with how loud that is and how much it disturbs, over
    the H-Neurons."""
    return {
        f"slope, {control} (mean)": curve.control_slopes().mean() if len(curve.controls) else np.nan,
        f"slope beyond {control}": curve.slope_beyond_control(),
        f"sets, {control}": len(curve.controls),
        f"different sets, {control}": curve.n_different,
        f"loudness, {control}": curve.loudness,
        f"disturbance at alpha 3, {control}": curve.disturbance(3.0),
        f"broken at alpha 3, {control}": curve.control_broken[:, -1].mean() if len(curve.controls) else np.nan,
        f"disturbance at alpha 0, {control}": curve.disturbance(0.0),
    }


def _text_cost(study: Study, subject: HookedModel, scaled: Scaled, texts: Sequence[Text]) -> TextCost | None:
    """Loss of ordinary text with the neurons scaled, and with the first control sets; None if there is no text."""
    if not texts:
        return None
    words, entities = [text.text for text in texts], [text.entity for text in texts]
    controls = scaled.hardest_controls(study).draw(0, min(N_TEXT_SETS, study.n_control_sets))
    loss = text_loss(subject, words, [Dose(scaled.neurons, alpha) for alpha in study.alphas], study)
    others = text_loss(subject, words, control_doses(controls), study)
    by_set = others.reshape(len(words), len(controls), len(CONTROL_ALPHAS)).swapaxes(0, 1)
    return TextCost(loss, by_set, entities)
