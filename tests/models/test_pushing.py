"""The stream is moved by what was said, and by nothing once the block has ended; planted truth in a model whose reply
hangs on one direction."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from hn_utils.models.pushing import ablated, pushed

ROWS = [[1, 9, 12, 40, 33, 7, 21], [1, 5, 6, 7]]


def read(subject, ids: list[int]) -> list[torch.Tensor]:
    """The residual stream behind every layer, [pos, d_model] each."""
    streams = {}
    with subject.hooked(resid_post=lambda layer, x: streams.update({layer: x[0].clone()})), torch.no_grad():
        subject.model(torch.tensor([ids]))
    return [streams[layer] for layer in range(subject.n_layers)]


def logits(subject, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return subject.model(torch.tensor([ids])).logits[0]


def test_the_hook_sees_the_hidden_states_of_plain_transformers(subject):
    streams = read(subject, ROWS[0])
    with torch.no_grad():
        states = subject.model(torch.tensor([ROWS[0]]), output_hidden_states=True).hidden_states
    for stream, state in zip(streams[:-1], states[1:-1], strict=True):  # theirs of the last layer is behind the norm
        torch.testing.assert_close(stream, state[0])


@pytest.fixture(scope="module")
def plain(study):
    """The same model in transformers alone."""
    return AutoModelForCausalLM.from_pretrained(study.instruct, dtype=torch.float32)


def changed_by_hand(model, layers: list[int], change) -> torch.Tensor:
    """Logits where a function of the stream takes its place behind some decoder layers."""

    def hook(module, inputs, output):
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    handles = [model.model.layers[layer].register_forward_hook(hook) for layer in layers]
    with torch.no_grad():
        found = model(torch.tensor([ROWS[0]])).logits[0]
    for handle in handles:
        handle.remove()
    return found


def test_a_vector_is_added_behind_one_layer_and_leaves_no_trace(subject, plain):
    before = read(subject, ROWS[0])
    vector = torch.randn(1, before[0].shape[1], generator=torch.Generator().manual_seed(0))
    untouched = logits(subject, ROWS[0])
    hooks = subject.live_hooks()
    with pushed(subject, 2, vector):
        streams = read(subject, ROWS[0])
        moved = logits(subject, ROWS[0])
    torch.testing.assert_close(streams[1], before[1])
    torch.testing.assert_close(streams[2], before[2] + vector)
    torch.testing.assert_close(moved, changed_by_hand(plain, [2], lambda x: x + vector), rtol=1e-3, atol=1e-3)
    assert (moved - untouched).abs().mean() > 0.1
    assert subject.live_hooks() == hooks
    torch.testing.assert_close(logits(subject, ROWS[0]), untouched, rtol=0, atol=0)
    with pushed(subject, 2, 0 * vector):
        torch.testing.assert_close(logits(subject, ROWS[0]), untouched, rtol=0, atol=0)


def test_each_row_gets_its_own_vector(subject):
    width = read(subject, ROWS[0])[0].shape[1]
    vectors = torch.randn(2, width, generator=torch.Generator().manual_seed(1))
    ids, mask = subject.encoder.pad(ROWS, "right")
    with pushed(subject, 1, vectors):
        together = subject.final_hidden(ids, mask)
    for i, row in enumerate(ROWS):
        with pushed(subject, 1, vectors[[i]]):
            alone = subject.final_hidden(*subject.encoder.pad([row], "right"))
        torch.testing.assert_close(together[i, : len(row)], alone[0], rtol=1e-4, atol=1e-4)


def test_the_hooks_go_when_the_block_fails(subject):
    hooks = subject.live_hooks()
    with pytest.raises(RuntimeError, match="in the block"), ablated(subject, torch.ones(128)):
        raise RuntimeError("in the block")
    assert subject.live_hooks() == hooks


def test_ablation_undoes_a_planted_direction_and_a_random_one_does_not(subject):
    """What is planted: a vector behind layer 1, far longer than the stream, which turns the predictions. Taking its
    direction out brings them nearer to those of the model without both the vector and the direction: to them exactly,
    since the stream behind layer 1 is then the same."""
    width = read(subject, ROWS[0])[0].shape[1]
    planted, random = torch.randn(2, width, generator=torch.Generator().manual_seed(2))
    with ablated(subject, planted):
        without = logits(subject, ROWS[0])
    with pushed(subject, 1, 3 * planted[None]):
        turned = logits(subject, ROWS[0])
        with ablated(subject, planted):
            undone = logits(subject, ROWS[0])
        with ablated(subject, random):
            not_undone = logits(subject, ROWS[0])
    torch.testing.assert_close(undone, without, rtol=1e-3, atol=1e-3)
    assert (turned - without).abs().mean() > 0.1
    assert (not_undone - without).abs().mean() > 0.5 * (turned - without).abs().mean()


def test_nothing_is_left_along_the_direction(subject, plain):
    direction = torch.randn(128, generator=torch.Generator().manual_seed(3))
    unit = direction / direction.norm()
    with ablated(subject, 7 * direction):
        streams = read(subject, ROWS[0])
        found = logits(subject, ROWS[0])
    assert max(float((stream @ unit).abs().max()) for stream in streams) < 1e-4
    by_hand = changed_by_hand(plain, list(range(6)), lambda x: x - torch.outer(x[0] @ unit, unit))
    torch.testing.assert_close(found, by_hand, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("layer", "vectors", "told"),
    [
        (6, torch.zeros(1, 128), "layer=6 must lie from 0 to 5"),
        (0, torch.full((1, 128), float("nan")), "not finite"),
        (0, torch.zeros(1, 7), "do not fit 1 rows of width 128"),
        (0, torch.zeros(3, 128), "do not fit 1 rows of width 128"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(subject, layer, vectors, told):
    with pytest.raises(ValueError, match=told), pushed(subject, layer, vectors):
        logits(subject, ROWS[0])
    with pytest.raises(ValueError, match="points nowhere"), ablated(subject, torch.zeros(128)):
        pass
