"""Judged responses, and the consistency filter that makes an example of each question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hn_utils.answers.judges import Verdict
    from hn_utils.questions.question import Question


class NothingConsistent(ValueError):
    """A model answered no question all right or all wrong, so there is nothing to capture."""


@dataclass(frozen=True)
class Response:
    """One sampled answer: ids and log-probabilities (nats) as generated, text, and verdict.

    The first `thought` of the tokens are what the model thought before it answered; the text is what follows.
    """

    question_id: str
    ids: list[int]
    logprobs: list[float]
    text: str
    verdict: Verdict = "unjudged"
    thought: int = 0


@dataclass(frozen=True)
class Example:
    """A question's representative answer, ready to be captured, or the reason why it was dropped.

    `label` is 1 for a consistent hallucination, 0 for a consistent truth. `answer` are positions in
    `prompt_ids + response_ids`. `confidence` is the mean log-probability of the answer tokens (nats).
    """

    question: Question
    prompt_ids: list[int]
    response_ids: list[int]
    text: str
    label: int | None
    answer: list[int]
    confidence: float
    dropped: str | None = None

    @cached_property
    def ids(self) -> list[int]:
        return self.prompt_ids + self.response_ids


def representative(responses: Sequence[Response]) -> Response:
    """The first response with the most frequent text."""
    commonest = Counter(r.text for r in responses).most_common(1)[0][0]
    return next(r for r in responses if r.text == commonest)


def build_example(
    question: Question, prompt: list[int], responses: Sequence[Response], within: Sequence[int]
) -> Example:
    """The paper's consistency filter: all right or all wrong, none cut off or abstaining; else dropped with its reason.

    `within` are the tokens that state the answer, by their places in the representative response.
    """
    verdicts, chosen = Counter(r.verdict for r in responses), representative(responses)
    dropped = None
    if verdicts["unjudged"]:
        dropped = "the judge gave no verdict"
    elif verdicts["cut"]:
        dropped = "cut off before it ended"
    elif verdicts["abstained"]:
        dropped = "abstained at least once"
    elif len(verdicts) > 1:
        dropped = "sometimes right, sometimes wrong"
    elif not within:
        dropped = "no answer tokens"
    confidence = sum(chosen.logprobs[i] for i in within) / max(1, len(within))
    label = None if dropped else int(chosen.verdict == "wrong")
    answer = [len(prompt) + i for i in within]
    return Example(question, prompt, chosen.ids, chosen.text, label, answer, confidence, dropped)


def drop_counts(examples: Sequence[Example]) -> Counter:
    """How many questions were kept as right or wrong, or dropped and why."""
    return Counter(e.dropped or ("consistently wrong" if e.label else "consistently right") for e in examples)
