"""Rows read together: no more than attention's scores leave room for, and nothing changes where there are pieces."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from families import make_checkpoint
from hypothesis import given
from hypothesis import strategies as st

from hn_utils.analyses.positions import read_rows
from hn_utils.answers.examples import Example
from hn_utils.contributions.cett import mean_contributions, token_contributions
from hn_utils.models import batches
from hn_utils.models.batches import LayerSize, pieces
from hn_utils.models.drawing import tokens_at
from hn_utils.models.generation import generate
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.likelihoods import residuals_and_logprobs, token_logprobs
from hn_utils.models.scaling import Dose, dosed
from hn_utils.pipeline.planning.work import reading, writing
from hn_utils.questions.question import Question
from hn_utils.study import Sampling, Study

HEADS = 4


@pytest.fixture(scope="module", params=["llama", "gemma3"])  # one with layers that look back over a window
def model(request, tmp_path_factory) -> HookedModel:
    folder = make_checkpoint(request.param, tmp_path_factory.mktemp("batched") / "m")
    return HookedModel.load(
        str(folder), Study(name="test", instruct="", base="", questions="published", device="cpu", dtype="float32")
    )


@pytest.fixture
def small(monkeypatch):
    """Room for the scores of 200 pairs of positions: two rows of ten."""
    monkeypatch.setattr(batches, "ROOM", 200 * HEADS * batches.SCORE)


def test_pieces_by_hand(small):
    layer = LayerSize(HEADS, 1)
    assert pieces([10, 10, 10, 4, 4], layer) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert pieces([50, 3, 3], layer) == [slice(0, 1), slice(1, 3)]  # a row that fits nowhere is read alone
    assert pieces([], layer) == []


def test_activations_of_a_wide_layer_need_room_as_well(monkeypatch):
    monkeypatch.setattr(batches, "ROOM", 25 * 100 * batches.ACTIVATION)  # 25 positions of 100 neurons
    assert pieces([10, 10, 10], LayerSize(1, 100)) == [slice(0, 2), slice(2, 3)]
    assert pieces([40, 5], LayerSize(1, 100)) == [slice(0, 1), slice(1, 2)]
    assert pieces([10, 10, 10], LayerSize(1, 10)) == [slice(0, 3)]


@given(st.lists(st.integers(1, 60), max_size=40), st.integers(1, 16))
def test_every_row_is_in_one_piece_and_a_piece_of_several_fits(lengths, heads):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "ROOM", 50_000 * batches.SCORE)
        found = pieces(lengths, LayerSize(heads, 1))
    assert [i for piece in found for i in range(piece.start, piece.stop)] == list(range(len(lengths)))
    for piece in found:
        rows = lengths[piece]
        assert len(rows) == 1 or len(rows) * max(rows) ** 2 * heads <= 50_000
    for one, other in pairwise(found):  # the next row would not have fitted
        rows = [*lengths[one], lengths[other.start]]
        assert len(rows) * max(rows) ** 2 * heads > 50_000


def test_what_is_read_in_pieces_is_what_is_read_at_once(model, monkeypatch):
    rng = np.random.default_rng(0)
    rows = [[1, *rng.integers(5, 90, size=n).tolist()] for n in (9, 9, 6, 12, 3, 9)]
    asked = [Example(Question("q", "t", ("a",), "e"), row[:-2], row[-2:], "", 1, [len(row) - 2], 0.0) for row in rows]
    neurons, at = np.array([3, 60, 130]), np.array([1, 2, 3, 4, 2, 1])
    doses = [Dose(neurons, alpha) for alpha in (0.0, 1.0, 2.0, 3.0, 5.0, 8.0)]
    passes: list[int] = []
    hook = model.model.base_model.register_forward_pre_hook(
        lambda _, __, given: passes.append(len(given["input_ids"])), with_kwargs=True
    )

    def read() -> list[np.ndarray]:
        with dosed(model, doses):
            scaled = token_logprobs(model, rows)
            written = generate(model, rows, Sampling(n=3, max_new_tokens=6), seed=2)
        flat = [draw.logprobs for drawn in written for draw in drawn]
        predicted = zip(residuals_and_logprobs(model, rows, [[1]] * 6), rows, strict=True)
        streams = [streams[:, : len(row)] for (streams, _), row in predicted]
        return [
            *(row.numpy() for row in scaled),
            *map(np.array, flat),
            *(stream.numpy() for stream in streams),
            *token_contributions(model, rows, neurons),
            mean_contributions(model, asked).numpy(),
            *(values.astype(np.float32) for values in read_rows(model, rows, at)),
        ]

    whole = read()
    assert max(passes) >= 6
    n_passes = len(passes)
    monkeypatch.setattr(batches, "ROOM", 200 * HEADS * batches.SCORE)
    parts = read()
    hook.remove()
    assert len(passes) > 2 * n_passes
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-4)


def test_doses_must_fit_the_rows_that_are_given_however_they_are_read(model, small):
    rows = [[1, *range(5, 14)]] * 5
    with dosed(model, [Dose(np.array([3]), 2.0)] * 4), pytest.raises(ValueError, match="4 alphas .* batch of 5 rows"):
        token_logprobs(model, rows)


def test_the_plan_counts_pieces_and_what_attention_takes(small):
    read = reading("contributions", [10] * 5, 64, 64, LayerSize(HEADS, 1))
    assert (read.reads, read.read, read.rows, read.pairs) == (3, 50, 2, 200)
    written = writing("answers", [10] * 3, 64, 5, 4, LayerSize(HEADS, 1))
    assert (written.reads, written.writes, written.rows, written.pairs) == (2, 3, 15, 200)


def test_attention_patterns_are_not_kept(model):
    out = model.run_layers(input_ids=torch.tensor([[1, 5, 6]]), use_cache=False)
    assert out.attentions is None


# --- where a random number falls -----------------------------------------------------------------------------------


def test_no_number_falls_between_tokens_where_sums_are_not_monotone():
    shares = torch.tensor([[0.5, 0.0, 0.25, 0.0, 0.25, 0.0]])
    up_to = torch.tensor([[0.5, 0.51, 0.75, 0.74, 0.99, 1.0]])  # rises where nothing is, falls by a rounding
    numbers = torch.tensor([0.0, 0.49, 0.51, 0.7, 0.755, 0.765, 0.995, 1 - 1e-6])  # of 0.99
    drawn = tokens_at(shares, up_to, torch.zeros(len(numbers), dtype=torch.long), numbers)
    assert drawn.tolist() == [0, 0, 2, 2, 2, 4, 4, 4]


def test_on_sums_that_rise_it_is_the_first_that_exceeds_the_number():
    generator = torch.Generator().manual_seed(0)
    shares = torch.rand(3, 50, generator=generator)
    shares[:, ::3] = 0
    shares /= shares.sum(-1, keepdim=True)
    row, numbers = torch.arange(300) % 3, torch.rand(300, generator=generator)
    drawn = tokens_at(shares, shares.cumsum(-1), row, numbers)
    for i, token in enumerate(drawn.tolist()):
        own = shares[row[i]].double()
        assert own[token] > 0
        assert own[:token].sum() <= numbers[i] * own.sum() + 1e-6 < own[: token + 1].sum() + 2e-6
