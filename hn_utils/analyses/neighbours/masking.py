"""Silence ever more of a model until it breaks: how many units of an order does it take?

Shared by two neighbours: Achilles' heel, whose order is what noise moves, and Too Big to Fail, whose order is what the
loss leans on. *Broken* means in both that the perplexity of ordinary text has risen tenfold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int

from hn_utils.models.hook_points import Units, silenced
from hn_utils.models.likelihoods import token_logprobs
from hn_utils.questions.question_sets import question_set

if TYPE_CHECKING:
    from hn_utils.contributions.collected import Collected
    from hn_utils.models.hooked_model import HookedModel

TENFOLD = 1.0  # decades of perplexity
N_LISTED = 10  # units of an order that are set beside other methods' lists, where a heel is longer
_MOST_ROWS = 60  # of ordinary text, in each half


@dataclass(frozen=True)
class Masked:
    """What silencing the first n units of an order costs.

    Attributes:
        counts: numbers of silenced units that were tried, in rising order, [count].
        decades: how far the perplexity of held-out text rises then, in powers of ten, [count].
        smallest: the smallest number tried at which it has risen tenfold, to within a twentieth; None if it never has.
            Where the cost does not rise steadily, a smaller one might do.
    """

    counts: Int[np.ndarray, "count"]
    decades: Float[np.ndarray, "count"]
    smallest: int | None

    def at(self, n: int) -> float:
        """What the first n units cost, between the numbers that were tried on a straight line.

        Args:
            n: how many units are silenced; beyond the largest number tried the last cost is told.

        Returns:
            Decades of perplexity.
        """
        return float(np.interp(n, np.append(0, self.counts), np.append(0.0, self.decades)))


def mask_until(order: Int[np.ndarray, "unit"], cost: Callable[[Int[np.ndarray, "some"]], float]) -> Masked:
    """Silence the first units of an order, ever more of them, until the cost is tenfold; then close in on the number.

    Args:
        order: numbers of units, [unit], those that are silenced first in front.
        cost: decades of perplexity that silencing some units costs.

    Returns:
        The costs along steps that grow by a half, and the number at which tenfold is reached, found to within a
        twentieth by bisection of the last step.
    """
    told: dict[int, float] = {}

    def reaches(n: int) -> bool:
        told[n] = cost(order[:n])
        return told[n] >= TENFOLD

    below, n = 0, 1
    while not reaches(n) and n < len(order):
        below, n = n, min(len(order), max(n + 1, n * 3 // 2))
    broken = told[n] >= TENFOLD
    while broken and n - below > max(1, n // 20):
        middle = (below + n) // 2
        if reaches(middle):
            n = middle
        else:
            below = middle
    counts = np.array(sorted(told))
    return Masked(counts, np.array([told[count] for count in counts.tolist()]), n if broken else None)


def mean_loss(model: HookedModel, rows: Sequence[Sequence[int]]) -> float:
    """How badly a model predicts text: the natural logarithm of its perplexity.

    Args:
        model: the model, with whatever is silenced.
        rows: token ids of each text.

    Returns:
        Mean loss of all tokens but each text's first, in nats.

    Raises:
        ValueError: no text has two tokens.
    """
    read = torch.cat(token_logprobs(model, rows))
    if not len(read):
        raise ValueError("rows hold no token that another predicts: give texts of two tokens or more")
    return -float(read.mean())


def cost_of_silence(
    model: HookedModel, rows: Sequence[Sequence[int]], units: Units
) -> Callable[[Int[np.ndarray, "some"]], float]:
    """How far the perplexity of some text rises when units are silenced.

    Args:
        model: the model.
        rows: token ids of each text.
        units: of what kind the silenced units are.

    Returns:
        A function of the units' numbers that gives log10 of perplexity with them silenced over that of the whole model.

    Raises:
        ValueError: as `mean_loss` does.
    """
    whole = mean_loss(model, rows)

    def cost(which: Int[np.ndarray, "some"]) -> float:
        with silenced(model, units, which):
            return (mean_loss(model, rows) - whole) / log(10)

    return cost


def text_halves(collected: Collected) -> tuple[list[list[int]], list[list[int]]]:
    """Ordinary text in two halves that are about different things: one to rank on, one to test on.

    Args:
        collected: answers of a study; its question set's texts are read, or, where it has none, the questions with the
            answers to them.

    Returns:
        Token ids of each text, of either half.

    Raises:
        ValueError: there are texts about one thing alone.
    """
    texts = question_set(collected.study).texts(collected.study)
    if texts:
        rows = collected.subject.encoder.encode_texts([text.text for text in texts])
        entities = [text.entity for text in texts]
    else:
        rows = [example.ids for example in collected.kept]
        entities = collected.entities.tolist()
    names = sorted(set(entities))
    if len(names) < 2:
        raise ValueError(f"texts about {len(names)} thing give no two halves: give texts about several")
    order = np.random.default_rng(collected.study.seed).permutation(len(names))
    ranked = {names[i] for i in order[: len(names) // 2].tolist()}
    halves: tuple[list[list[int]], list[list[int]]] = ([], [])
    for row, entity in zip(rows, entities, strict=True):
        if len(row) > 1:
            halves[entity not in ranked].append(row)
    return halves[0][:_MOST_ROWS], halves[1][:_MOST_ROWS]
