"""What breaks first as the H-Neurons are turned up far beyond the paper's strengths?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from hn_utils.controls import Estimate, bootstrap, mean
from hn_utils.finding import Found
from hn_utils.intervene import Dose
from hn_utils.intervening import control_sets, few_known
from hn_utils.items import outcomes
from hn_utils.question_sets import question_set
from hn_utils.replies import replies_at, text_loss

BREAKING = (1.0, 3.0, 5.0, 10.0, 20.0, 40.0)
N_BREAKING_SETS = 5


@dataclass(frozen=True)
class Breaking:
    """What is left at strengths far beyond the paper's.

    `recall` is the share of known facts still stated, `loss` that of ordinary text above its value at alpha 1 (nats
    per token), by alpha; `control_recall` and `control_loss` [set, alpha] are the same for random sets.
    """

    alphas: tuple[float, ...]
    recall: list[Estimate]
    control_recall: Float[np.ndarray, "set alpha"]
    loss: list[Estimate]
    control_loss: Float[np.ndarray, "set alpha"]


def until_it_breaks(found: Found) -> Breaking:
    """Turn the H-Neurons, and random sets of the same layers and loudness, up until the model breaks."""
    study, subject, source = found.study, found.subject, question_set(found.study)
    items = few_known(study, subject, [i for i in source.items(study) if i.behaviour == "recall"])
    texts = source.texts(study)
    sets = [found.neurons, *control_sets(study, found, N_BREAKING_SETS)]
    doses = [Dose(neurons, alpha) for neurons in sets for alpha in BREAKING]
    shape = (-1, len(sets), len(BREAKING))
    right = (outcomes(items, replies_at(subject, items, doses, study), study) == "complied").reshape(shape)
    loss = text_loss(subject, [text.text for text in texts], doses, study)
    above = (loss - loss[:, :1]).reshape(shape)  # at alpha 1 every set is the same
    people, about = [item.entity for item in items], [text.entity for text in texts]
    return Breaking(
        BREAKING,
        [bootstrap(mean, column, groups=people) for column in right[:, 0].astype(float).T],
        right[:, 1:].mean(0),
        [bootstrap(mean, column, groups=about) for column in above[:, 0].T],
        above[:, 1:].mean(0),
    )
