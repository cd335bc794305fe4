"""What a detector costs for each answer: passes by count, milliseconds by the clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

import torch

from hn_utils.contributions.cett import mean_contributions
from hn_utils.models.generation import generate
from hn_utils.models.likelihoods import residuals_and_logprobs

if TYPE_CHECKING:
    from hn_utils.analyses.baselines.pool import Pool

_N_TIMED = 8  # answers that are read against the clock
_REPEATS = 3  # of which the fastest counts


class Passes(NamedTuple):
    """Forward passes that a detector needs besides the one that wrote the answer.

    To draw an answer is one pass, since each of its tokens is read once: `draws`. `readings` read an answer again, or
    a draw; `hooked` read it with every neuron's contribution; `questions` read a question about the answer.
    """

    draws: int = 0
    readings: int = 0
    hooked: int = 0
    questions: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self)


def counted_passes(passes: Passes) -> str:
    """How many further passes, in words.

    Args:
        passes: of each kind.

    Returns:
        Such as "no further pass", "1 further pass" or "9 further passes".
    """
    n = passes.total
    return f"{n or 'no'} further pass{'es' * (n > 1)}"


@dataclass(frozen=True)
class Pace:
    """Milliseconds that one pass of each kind took for one answer, where and when this was computed."""

    draw: float
    reading: float
    hooked: float

    def milliseconds(self, passes: Passes) -> float:
        """What some passes take for one answer.

        Args:
            passes: how many of each kind. A question is counted as a reading, which it is.

        Returns:
            Milliseconds; what is computed from the passes is not in it.
        """
        read_again = passes.readings + passes.questions
        return passes.draws * self.draw + read_again * self.reading + passes.hooked * self.hooked


def measured_pace(pool: Pool) -> Pace:
    """Time each kind of pass on a few everyday answers that are read at once.

    Args:
        pool: the answers.

    Returns:
        Milliseconds for an answer. Another machine, or a busier one, gives others. Draws that write the same share
        their reading, so that one of many takes less than one alone.
    """
    subject = pool.everyday.subject
    study = pool.everyday.study
    examples = pool.everyday.kept[:_N_TIMED]
    rows = [example.ids for example in examples]
    places = [[example.answer[-1]] for example in examples]
    prompts = [example.prompt_ids for example in examples]
    drawn = _fastest(lambda: generate(subject, prompts, study.sampling, study.seed))
    reading = _fastest(lambda: list(residuals_and_logprobs(subject, rows, places)))
    hooked = _fastest(lambda: mean_contributions(subject, examples))
    n = len(examples)
    return Pace(drawn / n / study.sampling.n, reading / n, hooked / n)


def _fastest(work: Callable[[], object]) -> float:
    """Milliseconds of the fastest of a few runs."""
    taken = []
    for _ in range(_REPEATS):
        _wait_for_device()
        begun = perf_counter()
        work()
        _wait_for_device()
        taken.append(1_000 * (perf_counter() - begun))
    return min(taken)


def _wait_for_device() -> None:
    """Let what was queued on a GPU come to its end."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
