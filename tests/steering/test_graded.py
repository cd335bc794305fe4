"""Log-odds of claim and truth against Transformers' own, and what scaling does to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from families import make_checkpoint
from transformers import AutoModelForCausalLM

from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.likelihoods import token_logprobs
from hn_utils.models.scaling import UNSCALED, Dose
from hn_utils.questions.items import Item
from hn_utils.questions.made_up_world.asking import items
from hn_utils.stats.neuron_sets import random_sets
from hn_utils.steering.graded import log_odds
from hn_utils.steering.measure import known_items
from hn_utils.steering.outcomes import outcomes
from hn_utils.steering.replies import replies_at
from hn_utils.study import Study

ITEM = Item("1", "pressure", ("Where was the otter born?",), "", "Old Essel", "Great Corin Gate")


@pytest.fixture(scope="module", params=["llama", "gemma2"])
def folder(request, tmp_path_factory):
    return make_checkpoint(request.param, tmp_path_factory.mktemp("graded") / "model")


@pytest.fixture(scope="module")
def tiny(folder) -> HookedModel:
    return HookedModel.load(
        str(folder), Study(name="test", instruct="", base="", questions="published", device="cpu", dtype="float32")
    )


def by_hand(folder, prompt: list[int], ids: list[int], neurons=(), by: float = 1.0, d_mlp: int = 56) -> float:
    """Summed log-probability of tokens after a prompt; neurons are scaled by editing their columns of W_down."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    with torch.inference_mode():
        for flat in neurons:
            model.model.layers[flat // d_mlp].mlp.down_proj.weight[:, flat % d_mlp] *= by
        logprobs = model(input_ids=torch.tensor([prompt + ids])).logits[0].log_softmax(-1)
    return sum(float(logprobs[len(prompt) - 1 + i, token]) for i, token in enumerate(ids))


def test_log_odds_are_those_of_the_two_strings(folder, tiny):
    """A random model names neither, so that both stand alone; rows of different length share a batch."""
    others = [replace(ITEM, turns=("What is it?",), truth="golden harp", claim="lute"), ITEM]
    neurons = np.arange(0, 168, 5)
    found = log_odds(tiny, others, [UNSCALED, Dose(neurons, 3.0), Dose(neurons, 1.0)], tiny.study)
    for item, row in zip(others, found, strict=True):
        (prompt,) = tiny.encoder.encode_questions([item.turns[0]])
        claim, truth = tiny.encoder.tokenize([item.claim, item.truth])
        plain = by_hand(folder, prompt, claim) - by_hand(folder, prompt, truth)
        scaled = by_hand(folder, prompt, claim, neurons, 3.0) - by_hand(folder, prompt, truth, neurons, 3.0)
        assert row == pytest.approx([plain, scaled, plain], abs=2e-3)
        assert abs(scaled - plain) > 0.1


def test_a_claim_that_the_truth_begins_with_is_likelier_by_the_rest(folder, tiny):
    item = replace(ITEM, truth="Old Essel Gate", claim="Old Essel")
    (prompt,) = tiny.encoder.encode_questions([item.turns[0]])
    claim, truth = tiny.encoder.tokenize([item.claim, item.truth])
    rest = by_hand(folder, prompt + claim, truth[len(claim) :])
    assert log_odds(tiny, [item], [UNSCALED], tiny.study)[0, 0] == pytest.approx(-rest, abs=2e-3)


def test_without_claim_or_truth_there_are_none(tiny):
    without = [replace(ITEM, claim=None), replace(ITEM, truth="")]
    assert np.isnan(log_odds(tiny, without, [UNSCALED], tiny.study)).all()
    assert np.isnan(log_odds(tiny, [without[0], ITEM], [UNSCALED], tiny.study)).tolist() == [[True], [False]]


@pytest.fixture(scope="module")
def pressed(subject, study):
    return known_items(subject, [i for i in items(study) if i.behaviour == "misleading_context"][:150], study)


def test_they_go_with_what_the_model_replies(subject, study, pressed):
    """Who takes the claim over finds it the likelier; who states the truth, the truth: by far most of the time."""
    odds = log_odds(subject, pressed, [UNSCALED], study)[:, 0]
    words = outcomes(pressed, replies_at(subject, pressed, [UNSCALED], study), study)[:, 0]
    assert (odds[words == "complied"] > 0).mean() > 0.8
    assert (odds[words == "complied"].mean()) > odds[words == "resisted"].mean() + 1


def test_doses_along_the_batch_give_what_each_gives_alone(subject, study, pressed, tmp_path, monkeypatch):
    few = pressed[:5]
    sets = random_sets(np.arange(100), (subject.n_layers, subject.d_mlp), 2)
    doses = [Dose(s, a) for s in sets for a in (0.0, 3.0)]
    together = log_odds(subject, few, doses, replace(study, batch_rows=7))
    monkeypatch.setenv("HN_CACHE", str(tmp_path))  # else what was computed together is read
    alone = np.concatenate([log_odds(subject, few, [dose], study) for dose in doses], axis=1)
    assert together == pytest.approx(alone, abs=1e-3)


def test_both_begin_as_the_model_s_own_reply(subject, study):
    """Its replies to a false premise are sentences, and end in the claim or the truth."""
    asked = [i for i in items(study) if i.behaviour == "false_premise"][:60]
    known = known_items(subject, asked, study)
    for item, (reply,) in zip(known, replies_at(subject, known, [UNSCALED], study), strict=True):
        if item.claim in reply.text:
            break
    (prompt,) = subject.encoder.encode_questions([item.turns[0]])
    begun = reply.text[: reply.text.index(item.claim)]
    assert begun
    values = []
    for name in (item.claim, item.truth):
        row = prompt + subject.encoder.tokenize([begun + name])[0]
        values.append(float(token_logprobs(subject, [row])[0][len(prompt) - 1 :].sum()))
    assert log_odds(subject, [item], [UNSCALED], study)[0, 0] == pytest.approx(values[0] - values[1], abs=1e-3)
