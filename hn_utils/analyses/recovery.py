"""Where it is known which neurons cause it: does the unchanged road find them, and does what it finds do the same?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from hn_utils.questions.items import behaviour_called
from hn_utils.stats.bootstrap import Estimate, bootstrap
from hn_utils.stats.metrics import Weights, auroc, mean
from hn_utils.steering.measure import curves_of, loud_controls
from hn_utils.study.planted import planted_in

if TYPE_CHECKING:
    from hn_utils.contributions.tall_matrix import TallMatrix
    from hn_utils.probing.find import Found
    from hn_utils.steering.curves import DoseResponse
    from hn_utils.steering.dose_response import Intervened

_N_CARRIED_SETS = 20  # random sets beside the planted neurons: enough for an interval, too few for a verdict


@dataclass(frozen=True)
class Recovery:
    """The planted neurons beside the found ones, both flat.

    `auroc` is that of the planted neurons' mean contribution at the answer, on the standard test set: whether there was
    anything to detect by.
    """

    planted: Int[np.ndarray, "p"]
    found: Int[np.ndarray, "h"]
    n_neurons: int
    auroc: Estimate

    @property
    def both(self) -> Int[np.ndarray, "b"]:
        """The neurons that are planted and found. Returns flat indices, as [neuron]."""
        return np.intersect1d(self.planted, self.found)

    @property
    def precision(self) -> float:
        """Share of the found neurons that are planted. Returns a number from 0 to 1."""
        return len(self.both) / len(self.found)

    @property
    def recall(self) -> float:
        """Share of the planted neurons that are found. Returns a number from 0 to 1."""
        return len(self.both) / len(self.planted)

    @property
    def by_chance(self) -> float:
        """How many of as many random neurons would be planted ones. Returns a mean number of neurons."""
        return len(self.found) * len(self.planted) / self.n_neurons

    def __str__(self) -> str:
        return (
            f"{len(self.both)} of {len(self.planted)} planted neurons are among the {len(self.found)} H-Neurons (by "
            f"chance {self.by_chance:.2f}); the planted ones' mean contribution at the answer has AUROC {self.auroc}"
        )


@dataclass(frozen=True)
class Carried:
    """What the planted neurons do, and how much of it the found ones do.

    `curves` are those of the planted neurons, on the items of the found ones' curves, beside random sets that are as
    loud together; `share` is the found neurons' slope beyond such sets of their own as a share of the planted ones', by
    behaviour.
    """

    curves: dict[str, DoseResponse]
    share: dict[str, Estimate]

    def __str__(self) -> str:
        return "\n".join(self.told(behaviour) for behaviour in self.curves)

    def told(self, behaviour: str) -> str:
        """One behaviour in one sentence.

        Args:
            behaviour: a key of `curves`.

        Returns:
            A sentence with the planted neurons' slope, and what share of it the found ones have. Of a slope that may be
            0 there is no share to tell.

        Raises:
            KeyError: if no curve of that behaviour was drawn.
        """
        title = behaviour_called(behaviour).title
        slope = self.curves[behaviour].slope_beyond_control()
        share = f"the found ones do {self.share[behaviour]} of it" if slope.low > 0 else "nothing to have a share of"
        return f"{title}: the planted neurons {slope} points per alpha beyond random neurons as loud; {share}"


def _planted_or_refuse(found: Found) -> Int[np.ndarray, "p"]:
    """The planted neurons (flat). Raises ValueError if there are none."""
    planted = planted_in(found.study)
    if planted is None:
        raise ValueError(f"nothing is planted in {found.subject.name}: only a planted model's neurons can be recovered")
    return planted


def mean_contribution(X: TallMatrix, neurons: Int[np.ndarray, "k"]) -> Float[np.ndarray, "row"]:
    """What some neurons contribute to each row, on average over these neurons.

    Args:
        X: contributions as [row, layer_neuron], without unit.
        neurons: flat indices [neuron], layer * d_mlp + neuron.

    Returns:
        Their mean as [row].
    """
    return X.columns(np.sort(neurons)).mean(1)


def recover(found: Found) -> Recovery:
    """Set the found neurons beside those that were planted.

    Args:
        found: the H-Neurons of a model in which neurons were planted.

    Returns:
        Both sets as flat indices [neuron], and the AUROC of the planted ones' mean contribution (0 to 1, over
        entities).

    Raises:
        ValueError: if nothing is planted in the model.

    Source:
        This project's own; the road from answers to H-Neurons is that of Gao et al. 2025, sections 2 and 6.1.

    A neuron that is found and not planted may still tell: another can carry what the planted ones wrote.
    """
    planted = _planted_or_refuse(found)
    X, labels, groups = found.collected.labelled(found.collected.test_rows("standard"), "answer")
    read = bootstrap(auroc, labels, mean_contribution(X, planted), groups=groups)
    return Recovery(planted, found.neurons, int(np.prod(found.card.shape)), read)


def carried(found: Found, intervened: Intervened) -> Carried:
    """Scale the planted neurons on the very items on which the found ones were scaled, beside random sets that are as
    loud together.

    Args:
        found: the H-Neurons of a model in which neurons were planted.
        intervened: what `hn.dose_response` found for these.

    Returns:
        The planted neurons' curves by behaviour, and the found neurons' slope as a share of theirs (no unit).

    Raises:
        ValueError: if nothing is planted in the model, or if a curve was drawn without random sets as loud.

    Source:
        Scaling: Gao et al. 2025, sections 3 and 6.2. The share is this project's own.
    """
    planted = _planted_or_refuse(found)
    study = replace(found.study, n_control_sets=min(_N_CARRIED_SETS, found.study.n_control_sets))
    items = []
    for curve in intervened.behaviours.values():
        items += curve.items
    curves = curves_of(found.subject, items, planted, study, loud=loud_controls(found, study, planted))
    planted_curves = {name: beside_loud(curve) for name, curve in curves.items()}
    found_curves = {name: beside_loud(curve) for name, curve in intervened.behaviours.items()}
    shares = {name: _share_of(curve, planted_curves[name]) for name, curve in found_curves.items()}
    return Carried(planted_curves, shares)


def beside_loud(curve: DoseResponse) -> DoseResponse:
    """A curve beside random sets that are as loud together.

    Args:
        curve: of one behaviour.

    Returns:
        The same replies, with these sets as controls.

    Raises:
        ValueError: if it was drawn without any.
    """
    if curve.loud is None:
        raise ValueError(f"{curve.behaviour} has no random sets beside it: draw its curve with `loud` controls")
    return curve.loud


def _share_of(part: DoseResponse, whole: DoseResponse) -> Estimate:
    """Slope beyond random of one set over that of another on the same items, with an interval over people."""
    return bootstrap(ratio, beyond(part), beyond(whole), groups=part.entities)


def beyond(curve: DoseResponse) -> Float[np.ndarray, "item"]:
    """Each item's slope minus the mean slope of the random sets on it.

    Args:
        curve: of one behaviour, with at least one random set.

    Returns:
        Differences as [item], in complied replies per unit of alpha.
    """
    own, random = curve.item_slopes()
    return own - random.mean(1)


def ratio(part: np.ndarray, whole: np.ndarray, weights: Weights | None = None) -> Any:
    """Mean of one column over the mean of another.

    Args:
        part: as [item], in the same unit as `whole`.
        whole: as [item].
        weights: how often each item was drawn, as [draw, item]; without them each counts once.

    Returns:
        A share without unit, or one a draw as [draw]; not a number, or infinite, where the mean of `whole` is 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.true_divide(mean(part, weights), mean(whole, weights))
