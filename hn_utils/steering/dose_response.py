"""The third step: turn the H-Neurons up and down, and random ones beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from hn_utils.contributions.collected import later
from hn_utils.models.scaling import Dose
from hn_utils.models.studied_model import LOADED, StudiedModel
from hn_utils.probing.find import Found
from hn_utils.questions.items import CAPABILITY, behaviour_called, own_items
from hn_utils.questions.question_sets import load_items, question_set
from hn_utils.stats.drawn import figure_of
from hn_utils.stats.rank_test import sets_needed
from hn_utils.stats.tables import Tabled, counted
from hn_utils.steering.measure import (
    ControlSource,
    curves_of,
    few_known,
    graded_curves_of,
    loud_controls,
    selected_controls,
)
from hn_utils.steering.replies import text_loss
from hn_utils.steering.slopes import CONTROL_ALPHAS
from hn_utils.steering.verdicts import verdicts
from hn_utils.study import Study, check_given

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.probing.probe import HNeurons
    from hn_utils.questions.question import Text
    from hn_utils.steering.curves import DoseResponse, GradedResponse

N_TEXT_SETS = 20  # control sets with which ordinary text is read


@dataclass(frozen=True)
class TextCost:
    """What scaling does to ordinary text, in nats per token, beside control sets; `entities` are what the texts are
    about."""

    loss: Float[np.ndarray, "text alpha"]
    control_loss: Float[np.ndarray, "set text control_alpha"]
    entities: list[str]


@dataclass(frozen=True, repr=False)
class Intervened(Tabled):
    """Dose-response of over-compliance behaviours and of capability checks, the graded outcome of the former, and what
    scaling does to ordinary text (None where the user gave items, or questions without any text)."""

    card: HNeurons
    behaviours: dict[str, DoseResponse]
    capability: dict[str, DoseResponse]
    graded: dict[str, GradedResponse]
    text: TextCost | None

    @property
    def curves(self) -> dict[str, DoseResponse]:
        """The behaviours; the capability checks, if there is nothing else."""
        return self.behaviours or self.capability

    @property
    def headline(self) -> str:
        told: dict[str, list[str]] = {}
        for name, verdict in verdicts(self.curves).items():
            slope = f"{behaviour_called(name).title.lower()} {self.curves[name].slope_beyond_control()}"
            told.setdefault(verdict.word, []).append(slope)
        words = "; ".join(f"{', '.join(slopes)} ({word})" for word, slopes in told.items())
        scaled = f"{counted(len(self.card.rows), 'H-Neuron')} of {self.card.model} scaled"
        return f"{scaled}, points per alpha beyond what shuffled labels pick instead: {words}"

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
            rows.append(
                {
                    "behaviour": behaviour_called(name).title,
                    "items": len(curve.items),
                    "complied at alpha 1": (curve.at(1) == "complied").mean(),
                    "slope, H-Neurons": curve.slope(),
                    **beside(curve, "picked on shuffled labels instead"),
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
        rows = []
        for name, curve in self.graded.items():
            rows.append(
                {
                    "behaviour": behaviour_called(name).title,
                    "items": len(curve.items),
                    "slope, H-Neurons": curve.slope(),
                    "slope beyond picked on shuffled labels instead": curve.slope_beyond_control(),
                    "sets": len(curve.control_values),
                    "corrected p": np.nan if told[name].p is None else told[name].p,
                    "verdict": told[name].word,
                }
            )
        return pd.DataFrame(rows)

    def plot(self) -> go.Figure:
        """The curves, each with those of random sets beside it."""
        return figure_of("dose_response", self.curves, self.card)


def dose_response(
    model: HookedModel,
    found: Found,
    items: Sequence[Mapping[str, Any]] | pd.DataFrame | None = None,
    **settings: Any,
) -> Intervened:
    """Scale the H-Neurons while the model is pressed, and beside them control sets that disturb as much: what the same
    procedure picks on shuffled labels, and random sets of the same layers that are as loud together.

    `items` are dicts with `turns` (what the user says, one text or several), `truth` and `claim` (see
    `questions.items.own_items`); all of those whose fact the model knows are put. Without them the study's own are, at
    most `n_items` of each behaviour, and ordinary text is read as well if their question set has any. Settings are
    those of `Study`, such as `alphas`, `n_control_sets` or `n_items`. Raises ValueError, before anything is asked, for
    items of no use or if the H-Neurons are another model's; and if the model knows none of the facts.

    >>> import hn_utils as hn
    >>> model = hn.load("organism")
    >>> found = hn.find(hn.collect(model, n_questions=120, sampling={"n": 2}), n_grid=8)
    >>> item = {"turns": "Note: Kriskel Govstad was born in Corin. Where?", "claim": "Corin"}
    >>> item |= {"question": "Where was Kriskel Govstad born?", "truth": "Great Quillon Bridge"}
    >>> hn.dose_response(model, found, [item], n_control_sets=2, alphas=(0.0, 1.0, 3.0)).table["items"].tolist()
    [1]
    """
    check_given("model", model, StudiedModel, LOADED)  # a plan looks up with one that has no weights
    check_given("found", found, Found, "what hn.find returns")
    found.card.require(model)
    study = later(found.study, settings)
    if items is None:
        known = few_known(study, model, load_items(study))
        text = _text_cost(study, model, found, question_set(study).texts(study))
    else:
        given = own_items(items, study)
        study = replace(study, n_items=settings.get("n_items", len(given)))
        known, text = few_known(study, model, given), None
    pressed = [item for item in known if item.behaviour not in CAPABILITY]
    checks = [item for item in known if item.behaviour in CAPABILITY]
    few = replace(study, n_control_sets=min(study.n_control_sets, sets_needed(len(CAPABILITY))))
    controls = [_controls_of(found, some) for some in (study, few)]
    behaviours = curves_of(model, pressed, found.neurons, study, *controls[0])
    capability = curves_of(model, checks, found.neurons, study, *controls[1])
    some = replace(study, n_control_sets=min(study.n_control_sets, study.n_graded_sets))
    graded = graded_curves_of(model, pressed, found.neurons, study, *_controls_of(found, some))
    return Intervened(found.card, behaviours, capability, graded, text)


def _controls_of(found: Found, study: Study) -> tuple[ControlSource, ControlSource]:
    """Both kinds of control of the H-Neurons."""
    return selected_controls(found, study), loud_controls(found, study, found.neurons)


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


def _text_cost(study: Study, subject: HookedModel, found: Found, texts: Sequence[Text]) -> TextCost | None:
    """Loss of ordinary text with the H-Neurons scaled, and with the first control sets; None if there is no text."""
    if not texts:
        return None
    words, entities = [text.text for text in texts], [text.entity for text in texts]
    controls = selected_controls(found, study).draw(0, min(N_TEXT_SETS, study.n_control_sets))
    loss = text_loss(subject, words, [Dose(found.neurons, alpha) for alpha in study.alphas], study)
    doses = [Dose(control.neurons, control.alpha(alpha)) for control in controls for alpha in CONTROL_ALPHAS]
    others = text_loss(subject, words, doses, study)
    by_set = others.reshape(len(words), len(controls), len(CONTROL_ALPHAS)).swapaxes(0, 1)
    return TextCost(loss, by_set, entities)
