"""How well a model predicts the answers that it gave itself, while neurons are scaled. Cached, dose by dose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from hn_utils.models.likelihoods import token_logprobs
from hn_utils.models.scaling import Dose, dosed
from hn_utils.steering.replies import by_dose
from hn_utils.storage.cache import cached
from hn_utils.storage.stages import register_stage

if TYPE_CHECKING:
    from hn_utils.answers.examples import Example
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.study import Study

VERSION = register_stage("answer-loss", 1)


def answer_loss(
    subject: HookedModel, examples: Sequence[Example], doses: Sequence[Dose], study: Study
) -> Float[np.ndarray, "example dose"]:
    """Mean loss of each answer's tokens, read behind its own prompt.

    Args:
        subject: the model that gave the answers.
        examples: answers with their tokens, and the places of the answer among them.
        doses: what is done to neurons, at all tokens.
        study: how many rows are read at once.

    Returns:
        Nats per token of the answer. A loss that rises says that this answer became less likely, not which other one
        became likelier.

    Raises:
        ValueError: the model has no such neuron, or neurons are being scaled already.
    """
    cells = [(example, dose) for example in examples for dose in doses]

    def compute(some: list[int]) -> dict[str, np.ndarray]:
        with dosed(subject, [cells[i][1] for i in some]):
            read = token_logprobs(subject, [cells[i][0].ids for i in some])
        losses = []
        for i, logprobs in zip(some, read, strict=True):
            before = np.array(cells[i][0].answer) - 1  # the first token has no log-probability
            losses.append(-float(logprobs[before].mean()))
        return {"loss": np.array(losses)}

    keys = by_dose([(example.ids, example.answer) for example in examples], doses)
    lengths = [len(example.ids) for example, _ in cells]
    kept = cached("answer-loss", subject.key(VERSION), keys, compute, study.batch_rows, lengths)
    return kept.array("loss").reshape(len(examples), len(doses))
