"""What is read while a model writes is what a second pass would read, on every family, with no pass more."""

from __future__ import annotations

import numpy as np
import pytest
from families import FAMILIES, make_checkpoint

import hn_utils as hn
from hn_utils.contributions.cett import token_contributions
from hn_utils.contributions.watching import Watched
from hn_utils.models.generation import generate
from hn_utils.study import Sampling

TEXTS = ["Where was the otter born?", "What does the shy goose eat in the town?", "Which pet keeps the lazy heron?"]
NEURONS = np.array([120, 3, 57, 4])  # in no order; two of one layer
GREEDY = Sampling(n=1, temperature=0.0, max_new_tokens=6)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_equals_a_pass_over_the_finished_text(family, tmp_path):
    folder = make_checkpoint(family, tmp_path / family)
    model = hn.load(str(folder), dtype="float32", device="cpu")
    prompts = model.encoder.encode_questions(TEXTS)
    watched = Watched(model, NEURONS)
    replies = generate(model, prompts, GREEDY, watch=watched.hooks())
    assert replies == generate(model, prompts, GREEDY)
    for prompt, (reply,), read in zip(prompts, replies, watched.contributions(3), strict=True):
        (whole,) = token_contributions(model, [[*prompt, *reply.ids]], NEURONS)
        ended = reply.ids[-1] in model.encoder.stop_ids
        assert len(read) == len(reply.ids) - ended  # with the last token before the limit
        np.testing.assert_allclose(read, whole[len(prompt) : len(prompt) + len(read)], rtol=1e-3, atol=1e-5)
    assert model.live_hooks() == model.own_hooks


def test_a_beginning_that_prompts_share_is_still_read_once(subject, monkeypatch):
    shown = "Answer only: Where was Kriskel Govstad born? " * 4
    prompts = subject.encoder.encode_questions([shown + text for text in TEXTS])
    seen = []
    run = subject.run_layers
    monkeypatch.setattr(subject, "run_layers", lambda **given: seen.append(given["input_ids"].shape) or run(**given))
    plain = generate(subject, prompts, GREEDY)
    without = list(seen)
    seen.clear()
    watched = Watched(subject, np.array([700, 3]))
    assert generate(subject, prompts, GREEDY, watch=watched.hooks()) == plain
    assert without[0][0] == 1  # one row for all
    assert seen[: len(without)] == without
    at_limit = any(reply.ids[-1] not in subject.encoder.stop_ids for (reply,) in plain)
    assert len(seen) == len(without) + at_limit


def test_nothing_was_read_of_a_reply_that_ends_at_once_and_an_unknown_neuron_is_refused(subject):
    assert Watched(subject, np.array([3, 700])).contributions(2)[1].shape == (0, 2)
    with pytest.raises(ValueError, match="neuron 4608 is out of range"):
        Watched(subject, np.array([6 * 768]))
