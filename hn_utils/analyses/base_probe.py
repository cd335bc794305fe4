"""What could one hope for in the base model? A probe trained on its own answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hn_utils.answers.examples import NothingConsistent
from hn_utils.contributions.collect import ask_base
from hn_utils.contributions.collected import trainable
from hn_utils.probing.find import Found, fit_on
from hn_utils.probing.probe import NoHNeurons, Probe, refit, three_vs_one
from hn_utils.questions.question import SPLITS
from hn_utils.stats.bootstrap import Estimate, bootstrap
from hn_utils.stats.metrics import auroc

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel


@dataclass(frozen=True)
class OnBase:
    """A probe trained on the base model's own answers: what one could hope for there. `shared` of its H-Neurons are
    also the instruct model's."""

    probe: Probe
    h_neurons: Estimate
    shared: int


def retrained_on_base(found: Found, base: HookedModel) -> OnBase | None:
    """Train a probe on the base model's own answers, as the instruct model's was trained on its own.

    Args:
        found: the instruct model's H-Neurons, with the questions they were found on.
        base: the base model, which is asked the same standard questions of all splits.

    Returns:
        The probe, the AUROC of its H-Neurons, refitted, on the base model's test answers (0 to 1, interval over
        entities), and how many neurons both models' sets share. None if the base model gives too few consistent
        answers, or no neuron a positive weight.

    Source:
        This project's own. Gao et al. 2025, section 4, carry the instruct model's classifier over unchanged; this is
        what one could hope for at best.

    A large AUROC does not say that both models use the same neurons: for that see `shared`, and by chance some are.
    """
    try:
        own = ask_base(base, found.collected, tuple(SPLITS))
    except NothingConsistent:
        return None
    if not trainable(own):
        return None
    train = own.training_rows()
    try:
        probe = fit_on(own, train, own.rows("validation"))
    except NoHNeurons:
        return None
    X, y = three_vs_one(own.contributions[train], own.labels[train])
    test = own.labelled(own.rows("test"), "answer")
    scores = refit(X, y, probe.fit.h_neurons).score(test.X)
    shared = len(set(probe.fit.h_neurons) & set(found.neurons))
    return OnBase(probe, bootstrap(auroc, test.labels, scores, groups=test.groups), shared)
