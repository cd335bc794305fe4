"""p(True): the model is shown its own answer and asked whether it is true."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from hn_utils.answers.asking import as_base
from hn_utils.models.likelihoods import ending_logprobs
from hn_utils.storage.cache import cached
from hn_utils.storage.stages import register_stage

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.models.prompt_encoder import PromptEncoder
    from hn_utils.study import Study

VERSION = register_stage("p-true", 1)
ORDERS = (("True", "False"), ("False", "True"))  # what A and B stand for
_ASKED = (
    "Question: {question}\nPossible answer: {answer}\n"
    "Is the possible answer:\n(A) {a}\n(B) {b}\nThe possible answer is:"
)
_REPLIES = ("(A", "(B")


def endings(encoder: PromptEncoder) -> tuple[list[int], list[int], list[int]]:
    """How a reply of A and one of B begin alike, and how each goes on.

    Args:
        encoder: of the model that is asked.

    Returns:
        Token ids that both share, those of A and those of B.

    Raises:
        ValueError: the vocabulary cannot tell A from B.
    """
    blank = " " if as_base(encoder, False) else ""
    a, b = encoder.tokenize([blank + reply for reply in _REPLIES])
    if a == b:
        raise ValueError("the model's vocabulary has no tokens that tell (A from (B, with which p(True) is asked")
    same = next((n for n, pair in enumerate(zip(a, b, strict=False)) if pair[0] != pair[1]), min(len(a), len(b)))
    return a[:same], a[same:], b[same:]


def p_true(
    subject: HookedModel, questions: Sequence[str], answers: Sequence[str], study: Study
) -> Float[np.ndarray, "answer order"]:
    """Ask a model, in either order of the options, whether an answer is true. Kept on disk.

    Nothing is written: the log-probabilities of a reply (A and of one (B are compared. No examples stand before.

    Args:
        subject: the model; one without a chat template continues the same text.
        questions: what was asked, [answer].
        answers: the answer to each, [answer].
        study: how many rows are read at once.

    Returns:
        The probability of True among the two, [answer, order], in the orders of ORDERS. The mean of both is free of a
        preference for the letter A, or for what stands first.

    Raises:
        ValueError: the vocabulary cannot tell A from B.

    Source:
        Kadavath et al. 2022, without examples; its words as in technion-cs-nlp/LLMsKnow, which asks in one order.
    """
    shared, a, b = endings(subject.encoder)
    texts = [
        _ASKED.format(question=question, answer=answer, a=first, b=second)
        for question, answer in zip(questions, answers, strict=True)
        for first, second in ORDERS
    ]
    asked = subject.encoder.encode_texts if as_base(subject.encoder, False) else subject.encoder.encode_questions
    prompts = [prompt + shared for prompt in asked(texts)]

    def compute(some: list[int]) -> dict[str, np.ndarray]:
        read = ending_logprobs(subject, [prompts[i] for i in some], [(a, b)] * len(some))
        return {"odds": (read[:, 0] - read[:, 1]).numpy()}

    keys = [(prompt, a, b) for prompt in prompts]
    kept = cached("p-true", subject.key(VERSION), keys, compute, study.batch_rows, [len(prompt) for prompt in prompts])
    odds = kept.array("odds").reshape(len(answers), len(ORDERS))  # [answer, order], of A against B
    return expit(odds * [1, -1])
