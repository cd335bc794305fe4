"""What all prompts of a batch begin with is read once, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hn_utils.answers.examples import Example
from hn_utils.contributions import cett
from hn_utils.models import kv_cache
from hn_utils.models.generation import generate
from hn_utils.models.kv_cache import shared_length
from hn_utils.models.likelihoods import ending_logprobs
from hn_utils.models.scaling import Dose, dosed
from hn_utils.questions.question import Question
from hn_utils.study import Sampling

SHARED = [1, 9, 12, 40, 33, 7, 21, 5, 6, 50, 60, 70, 80, 11, 13, 17, 19, 23, 29, 31]
ROWS = [[*SHARED, 44], [*SHARED, 3, 8, 51, 52], [*SHARED, 3, 90]]


@pytest.fixture
def apart(monkeypatch):
    """Read every prompt by itself from now on."""
    return lambda: monkeypatch.setattr(kv_cache, "_WORTHWHILE", 10**6)


def tokens_read(subject) -> tuple[list[int], torch.utils.hooks.RemovableHandle]:
    """How many tokens each pass through the layers reads, from now on."""
    counts: list[int] = []
    hook = subject.model.base_model.register_forward_pre_hook(
        lambda _, __, given: counts.append(given["input_ids"].numel()), with_kwargs=True
    )
    return counts, hook


def test_what_all_begin_with_ends_where_two_rows_differ_or_the_shortest_has_one_token_left(subject):
    assert shared_length(subject, ROWS) == 20
    assert shared_length(subject, [SHARED, [*SHARED, 4]]) == 19
    assert shared_length(subject, [[*SHARED[:18], 2, 2], [*SHARED[:18], 2, 3]]) == 19
    assert shared_length(subject, [[2, *SHARED], [3, *SHARED]]) == 0
    assert shared_length(subject, [SHARED[:12], [*SHARED[:11], 2]]) == 0  # too little to be worth a pass
    assert shared_length(subject, ROWS[:1]) == 0


def test_the_shared_beginning_is_read_once_for_all_and_once_for_each_dose(subject):
    doses = [Dose(np.array([3, 900]), 0.0), Dose(np.array([3, 900]), 2.0), Dose(np.array([3, 900]), 0.0)]
    # A hook of the test's own would hide what all share: it is taken for the model's.
    counts, hook = tokens_read(subject)
    own, subject.own_hooks = subject.own_hooks, subject.live_hooks()
    try:
        generate(subject, ROWS, Sampling(n=1, temperature=0.0, max_new_tokens=1))
        with dosed(subject, doses):
            generate(subject, ROWS, Sampling(n=1, temperature=0.0, max_new_tokens=1))
    finally:
        hook.remove()
        subject.own_hooks = own
    assert counts == [20, 3 * 4, 2 * 20, 3 * 4]


@pytest.mark.parametrize("which", ["subject", "stories"])
def test_replies_are_those_of_prompts_read_apart(which, request, apart):
    subject = request.getfixturevalue(which)
    neurons = np.arange(0, 200, 3)
    doses = [Dose(neurons, alpha) for alpha in (0.0, 3.0, 0.0)]
    greedy = Sampling(n=2, temperature=0.0, max_new_tokens=6)

    def replies() -> list:
        with dosed(subject, doses):
            scaled = generate(subject, ROWS, greedy)
        return [*generate(subject, ROWS, greedy), *scaled]

    together = replies()
    apart()
    assert shared_length(subject, ROWS) == 0
    for some, others in zip(together, replies(), strict=True):
        for one, other in zip(some, others, strict=True):
            assert one.ids == other.ids
            np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-3)


def test_endings_and_contributions_are_those_of_rows_read_apart(subject, apart):
    question = Question("q", "Who?", ("a",), "a")
    examples = [Example(question, row[:-1], row[-1:], "a", 0, [len(row) - 1], -1.0) for row in ROWS]
    endings = [[[4, 5], [6]], [[4], [7, 8]], [[9], [10]]]
    together = ending_logprobs(subject, ROWS, endings), cett.mean_contributions(subject, examples)
    apart()
    alone = ending_logprobs(subject, ROWS, endings), cett.mean_contributions(subject, examples)
    torch.testing.assert_close(together[0], alone[0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(together[1], alone[1], rtol=1e-3, atol=1e-5)


def test_where_somebody_looks_at_the_model_every_row_is_read_whole(subject):
    with subject.hooked(post=lambda *_: None):
        assert shared_length(subject, ROWS) == 0
        with subject.scaled([(0, 3)], 2.0):  # these doses are not all that happens
            assert shared_length(subject, ROWS) == 0
    with subject.scaled([(0, 3)], 2.0):
        assert shared_length(subject, ROWS) == 20
        with subject.scaled([(1, 3)], 2.0):
            assert shared_length(subject, ROWS) == 0
        assert shared_length(subject, ROWS) == 20
    assert shared_length(subject, ROWS) == 20


def test_where_attention_does_not_reach_over_the_row_nothing_is_read_apart(subject, monkeypatch):
    monkeypatch.setattr(subject.model.config, "sliding_window", 24, raising=False)
    assert shared_length(subject, ROWS) == 0  # the longest row has 24 tokens
    monkeypatch.setattr(subject.model.config, "sliding_window", 25, raising=False)
    assert shared_length(subject, ROWS) == 20
