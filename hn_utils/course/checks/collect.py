"""Exercises of notebook 1: a contribution, its mean over the answer, the consistency filter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hn_utils.contributions.cett import contribution
from hn_utils.course.mistakes import Mistake, compare


def package_cett(z: Tensor, column: Tensor, h: Tensor, _: Tensor | None) -> Tensor:
    return contribution(z.reshape(1), column.norm().reshape(1), h)[0]


def check_cett(answer: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> None:
    """CETT of one neuron at one token, from z, its column of W_down, the layer's output h and the residual stream."""
    column, h, stream = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 2.0]), torch.tensor([6.0, 9.0])
    cases = [(torch.tensor(z), column, h, stream) for z in (0.5, -0.5, 0.0)]
    compare(
        answer,
        cases,
        package_cett,
        [
            (
                "you divided by the residual stream; the paper divides by the output of the layer's MLP",
                lambda z, c, _, x: z.abs() * c.norm() / x.norm(),
            ),
            ("a neuron that fires negatively writes as well: take |z|", lambda z, c, h, _: z * c.norm() / h.norm()),
            (
                "the length of the column is missing: how much does it write where z is 1?",
                lambda z, _, h, __: z.abs() / h.norm(),
            ),
            ("a length is the root of the sum of squares", lambda z, c, h, _: (z * c).pow(2).sum() / h.pow(2).sum()),
            ("that is the write's length alone; relative to what?", lambda z, c, *_: z.abs() * c.norm()),
            (
                "that is how far the write points along h; the paper's measure ignores direction",
                lambda z, c, h, _: (z * c) @ h / h.norm() ** 2,
            ),
        ],
    )


def package_pooled(values: Tensor, answer: Sequence[int]) -> tuple[Tensor, Tensor]:
    return values[list(answer)].mean(0), values[others(values, answer)].mean(0)


def others(values: Tensor, answer: Sequence[int]) -> list[int]:
    return [i for i in range(len(values)) if i not in answer]


def check_pooling(answer: Callable[[Tensor, list[int]], tuple[Tensor, Tensor]]) -> None:
    """Contributions [pos, neuron] to the mean over answer positions and the mean over all others."""
    values = torch.tensor([[1.0, 0.0], [2.0, 6.0], [4.0, 0.0], [8.0, 2.0], [16.0, 4.0]])

    def right(v: Tensor, at: list[int]) -> np.ndarray:
        return np.stack(package_pooled(v, at))

    compare(
        lambda v, at: _two_means(*answer(v, at)),
        [(values, [3, 4]), (values, [2])],
        right,
        [
            (
                "the other tokens include the answer's: leave those out",
                lambda v, at: np.stack([v[at].mean(0), v.mean(0)]),
            ),
            (
                "you added up; the paper averages, or longer answers would count for more",
                lambda v, at: np.stack([v[at].sum(0), v[others(v, at)].sum(0)]),
            ),
            (
                "you took the largest; the paper averages over tokens",
                lambda v, at: np.stack([v[at].amax(0), v[others(v, at)].amax(0)]),
            ),
            (
                "you read one position early: those are the places that predict the answer, not the answer's own",
                lambda v, at: np.stack([v[[i - 1 for i in at]].mean(0), v[others(v, [i - 1 for i in at])].mean(0)]),
            ),
            ("the two are swapped: first the answer, then the rest", lambda v, at: right(v, at)[::-1]),
        ],
    )


def _two_means(*given: Any) -> np.ndarray:
    """Both means under each other. Raises Mistake if they are not two, of a number a neuron."""
    parts = [np.asarray(part, float) for part in given]
    shapes = [part.shape for part in parts]
    if shapes != [(2,), (2,)]:
        raise Mistake(f"expected two means, a number a neuron, got shapes {shapes}: average over the first axis")
    return np.stack(parts)


_LABELS = {"right": 0, "wrong": 1}


def package_consistent(verdicts: Sequence[Sequence[str]]) -> dict[int, int]:
    return _labelled_by(only, verdicts)


def only(draws: Sequence[str]) -> str:
    """The word of all these draws; none if they differ."""
    return draws[0] if len(set(draws)) == 1 else ""


def _labelled_by(word: Callable[[Sequence[str]], str], verdicts: Sequence[Sequence[str]]) -> dict[int, int]:
    """Labels of the questions whose draws are told in a word that has one."""
    return {i: _LABELS[word(draws)] for i, draws in enumerate(verdicts) if word(draws) in _LABELS}


def check_consistent(answer: Callable[[Sequence[Sequence[str]]], dict[int, int]]) -> None:
    """Verdicts on the draws of each question to the label of each that is kept, by its place."""
    verdicts = [
        ["wrong"] * 10,
        ["right"] * 10,
        ["abstained"] * 10,
        ["right"] * 9 + ["wrong"],
        ["right"] + ["wrong"] * 9,
        ["wrong"] * 9 + ["abstained"],
        ["abstained"] + ["right"] * 9,
        ["right"] * 10,
    ]

    def by(word: Callable[[Sequence[str]], str]) -> Callable[[Sequence[Sequence[str]]], np.ndarray]:
        return lambda rows: _by_place(_labelled_by(word, rows))

    compare(
        lambda rows: _by_place(answer(rows)),
        [*(([draws],) for draws in verdicts), (verdicts,)],
        lambda rows: _by_place(package_consistent(rows)),
        [
            (
                "all labels are swapped: 1 means made up",
                lambda rows: _by_place({i: 1 - label for i, label in package_consistent(rows).items()}),
            ),
            (
                "a draw that abstained drops its question, even if the other nine agree",
                by(lambda draws: only([word for word in draws if word != "abstained"])),
            ),
            (
                "ten abstentions agree, but nothing was made up: that question is dropped",
                by(lambda draws: only(draws).replace("abstained", "wrong")),
            ),
            (
                "to abstain is not to be wrong: of a question that is kept all draws are right, or all are wrong",
                by(lambda draws: only(draws) if "right" in draws else "wrong"),
            ),
            (
                "that is what most draws say; the filter wants all of them",
                by(lambda draws: max(draws, key=draws.count)),
            ),
            ("you read the first draw alone; the filter wants all of them", by(lambda draws: draws[0])),
            (
                "one wrong draw is no consistent error: all ten have to be wrong",
                by(lambda draws: "wrong" if "wrong" in draws else only(draws)),
            ),
        ],
    )


def _by_place(kept: Any) -> np.ndarray:
    """Places and labels under each other. Raises Mistake if this is no dict of them."""
    if not isinstance(kept, dict):
        raise Mistake(f"expected a dict with the label of each question that is kept, by its place, got {kept!r}")
    return np.array(sorted(kept.items()), float).reshape(-1, 2)
