"""What breaks first as the H-Neurons are turned up far beyond the paper's strengths?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from hn_utils.models.scaling import Dose
from hn_utils.questions.question_sets import load_items, question_set
from hn_utils.stats.bootstrap import Estimate, bootstrap
from hn_utils.stats.metrics import mean
from hn_utils.stats.neuron_sets import loud_sets
from hn_utils.steering.measure import few_known
from hn_utils.steering.outcomes import outcomes
from hn_utils.steering.replies import replies_at, text_loss

if TYPE_CHECKING:
    from hn_utils.probing.find import Found

_BREAKING = (1.0, 3.0, 5.0, 10.0, 20.0, 40.0)
_N_BREAKING_SETS = 5


@dataclass(frozen=True)
class Breaking:
    """What is left at strengths far beyond the paper's.

    `recall` is the share of known facts still stated, `loss` that of ordinary text above its value at alpha 1 (nats
    per token), by alpha; `control_recall` and `control_loss` [set, alpha] are the same for random sets. Without any
    text `loss` is empty.
    """

    alphas: tuple[float, ...]
    recall: list[Estimate]
    control_recall: Float[np.ndarray, "set alpha"]
    loss: list[Estimate]
    control_loss: Float[np.ndarray, "set alpha"]


def until_it_breaks(found: Found) -> Breaking:
    """Turn the H-Neurons, and random sets of the same layers that are as loud together, up until the model breaks.

    Args:
        found: the H-Neurons of a study that has items of the behaviour `recall`.

    Returns:
        Share of known facts still stated and loss of ordinary text above that at alpha 1 (nats per token), each by
        alpha from 1 to 40, with intervals over entities; for random sets the same as [set, alpha], without intervals.
        Without any text the loss is empty.

    Raises:
        ValueError: as `hn_utils.questions.question_sets.load_items` does, for items of one's own that are of no use.

    Source:
        The scaling is that of Gao et al. 2025, section 3, where alpha is at most 3. What lies beyond is this project's
        own.

    That known facts are lost does not show which neurons held them: at such strengths any set breaks the model.
    """
    study = found.study
    subject = found.subject
    items = few_known(study, subject, [i for i in load_items(study) if i.behaviour == "recall"])
    texts = question_set(study).texts(study)
    loud = loud_sets(found.neurons, found.card.shape, found.magnitude, _N_BREAKING_SETS, study.seed + 1)
    sets = [found.neurons, *loud]
    doses = [Dose(neurons, alpha) for neurons, alpha in product(sets, _BREAKING)]  # [set, alpha], flat
    shape = (-1, len(sets), len(_BREAKING))
    told = outcomes(items, replies_at(subject, items, doses, study), study)
    right = (told == "complied").reshape(shape)  # [item, set, alpha]
    people = [item.entity for item in items]
    recall = [bootstrap(mean, column, groups=people) for column in right[:, 0].astype(float).T]
    if not texts:
        return Breaking(_BREAKING, recall, right[:, 1:].mean(0), [], np.empty((0, len(_BREAKING))))
    loss = text_loss(subject, [text.text for text in texts], doses, study)
    above = (loss - loss[:, :1]).reshape(shape)  # [text, set, alpha]; at alpha 1 all sets are alike
    about = [text.entity for text in texts]
    lost = [bootstrap(mean, column, groups=about) for column in above[:, 0].T]
    return Breaking(_BREAKING, recall, right[:, 1:].mean(0), lost, above[:, 1:].mean(0))
