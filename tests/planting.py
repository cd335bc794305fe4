"""Contributions made up for tests, of which it is known which neurons tell made-up answers and which fire at any."""

from __future__ import annotations

import numpy as np
from shapes import Shape

from hn_utils.answers.examples import Example
from hn_utils.contributions.cett import Contributions, by_region
from hn_utils.contributions.collected import Collected
from hn_utils.questions.question import Question
from hn_utils.study import load_study


def planted(knows: list[int], marks: list[int], n: int = 450, said: int = 10**6) -> Collected:
    """Answers, half of them made up, of 200 neurons: eight times louder are `marks` at every answer and `knows` at
    those that are made up, beside other tokens. `said` is how many different texts the answers have."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(n) % 2)
    values = 0.01 * rng.lognormal(0, 0.5, (n, 4, 200))
    values[:, 0, marks] *= 8
    values[:, 0, knows] *= np.where(labels, 8, 1)[:, None]
    kept = []
    for i, label in enumerate(labels.tolist()):
        split = ("train", "validation", "test")[i % 3]
        question = Question(str(i), "?", ("a",), f"e{i}", "standard", split)
        kept.append(Example(question, [1, 2], [3], f"Answer {i % said}", label, [2], -rng.random()))
    read = Contributions(by_region([values.astype(np.float16)]), 2, 100)
    return Collected(Shape(), load_study("organism"), [e.question for e in kept], [], kept, read)
