"""Responses are drawn as Transformers draws them, in any batch, and text is scored as it was written."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
)

from hn_utils.models.generation import generate
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.likelihoods import token_logprobs
from hn_utils.models.weightless import WeightlessModel
from hn_utils.study import Sampling

PROMPTS = [[1, 9, 12, 40, 33, 7, 21], [1, 5, 6], [1, 50, 60, 70, 80]]


@pytest.mark.parametrize("which", ["subject", "stories"])
def test_greedy_generation_is_hugging_face_s_in_any_batch(which, request):
    subject = request.getfixturevalue(which)
    plain = AutoModelForCausalLM.from_pretrained(subject.name, dtype=torch.float32)
    together = generate(subject, PROMPTS, Sampling(n=2, temperature=0.0, max_new_tokens=8))
    for prompt, both in zip(PROMPTS, together, strict=True):
        ids = torch.tensor([prompt])
        expected = plain.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
        assert both[0].ids == both[1].ids == expected[0, len(prompt) :].tolist()[: len(both[0].ids)]


@pytest.mark.parametrize("which", ["subject", "stories"])
def test_recorded_logprobs_are_those_of_reading_the_text_again(which, request):
    subject = request.getfixturevalue(which)
    for prompt, drawn in zip(PROMPTS, generate(subject, PROMPTS, Sampling(n=3, max_new_tokens=6), seed=4), strict=True):
        for response in drawn:
            again = token_logprobs(subject, [prompt + response.ids])[0][len(prompt) - 1 :]
            torch.testing.assert_close(torch.tensor(response.logprobs), again, rtol=1e-4, atol=1e-4)


def test_sampling_is_repeatable_and_leaves_the_global_seed_alone(subject):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = generate(subject, PROMPTS, Sampling(n=4, max_new_tokens=6), seed=9)
    assert torch.equal(torch.rand(3), expected)
    assert generate(subject, PROMPTS, Sampling(n=4, max_new_tokens=6), seed=9) == first
    assert generate(subject, PROMPTS, Sampling(n=4, max_new_tokens=6), seed=10) != first


def test_a_draw_depends_on_its_own_prompt_and_not_on_the_others(subject):
    sampling = Sampling(n=4, max_new_tokens=6)
    together = generate(subject, PROMPTS, sampling, seed=9)
    for prompt, drawn in zip(PROMPTS, together, strict=True):
        (alone,) = generate(subject, [prompt], sampling, seed=9)
        assert [r.ids for r in alone] == [r.ids for r in drawn]
    (few,) = generate(subject, PROMPTS[:1], replace(sampling, n=2), seed=9)
    assert [r.ids for r in few] == [r.ids for r in together[0][:2]]


def test_draws_that_begin_alike_share_a_row_and_those_that_have_ended_have_none(subject):
    rows: list[int] = []
    hook = subject.model.base_model.register_forward_pre_hook(
        lambda _, __, given: rows.append(len(given["input_ids"])), with_kwargs=True
    )
    drawn = generate(subject, PROMPTS, Sampling(n=20, max_new_tokens=12), seed=3)
    hook.remove()
    ids = [[tuple(r.ids) for r in some] for some in drawn]
    begun = [sum(len({d[:k] for d in some if len(d) > k}) for some in ids) for k in range(1, 12)]
    assert rows == [len(PROMPTS), *(n for n in begun if n)]
    assert max(begun) < 20 * len(PROMPTS)


def test_tokens_are_drawn_as_often_as_temperature_top_k_and_top_p_say(subject, study):
    sampling = Sampling(n=4_000, temperature=1.3, top_k=6, top_p=0.8, max_new_tokens=1)
    drawn = [r.ids[0] for r in generate(subject, [PROMPTS[1]], sampling, seed=2)[0]]
    plain = AutoModelForCausalLM.from_pretrained(study.instruct, dtype=torch.float32)
    with torch.no_grad():
        logits = plain(torch.tensor([PROMPTS[1]])).logits[0, -1].double() / 1.3
    likeliest = logits.argsort(descending=True)[:6]
    p = logits[likeliest].softmax(0)
    kept = 1 + int((p.cumsum(0) < 0.8).sum())  # the fewest that together reach top-p
    expected = dict(zip(likeliest[:kept].tolist(), (p[:kept] / p[:kept].sum()).tolist(), strict=True))
    assert set(drawn) <= set(expected)
    assert len(expected) > 1
    for token, share in expected.items():
        error = (share * (1 - share) / len(drawn)) ** 0.5
        assert abs(drawn.count(token) / len(drawn) - share) < 4 * error


def test_penalties_that_a_model_ships_are_not_applied(tmp_path, subject, study):
    folder = shutil.copytree(study.instruct, tmp_path / "penalised")
    GenerationConfig(repetition_penalty=3.0, eos_token_id=subject.encoder.tokenizer.eos_token_id).save_pretrained(
        folder
    )
    greedy, sampled = Sampling(n=1, temperature=0.0, max_new_tokens=8), Sampling(n=3, max_new_tokens=8)
    penalised = HookedModel.load(str(folder), study)
    assert generate(penalised, PROMPTS, greedy) == generate(subject, PROMPTS, greedy)
    assert generate(penalised, PROMPTS, sampled, 3) == generate(subject, PROMPTS, sampled, 3)
    assert penalised.model.generation_config.repetition_penalty == 3.0


def test_a_reply_ends_where_the_template_ends_a_turn(tmp_path, study, subject):
    folder = shutil.copytree(study.instruct, tmp_path / "other-end")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = tokenizer.chat_template.replace("{{ eos_token }}", "<|end|>")
    tokenizer.eos_token = "<|pad|>"
    tokenizer.save_pretrained(folder)
    GenerationConfig(eos_token_id=tokenizer.eos_token_id).save_pretrained(folder)
    model = HookedModel.load(str(folder), study)
    ends = {subject.encoder.tokenizer.eos_token_id, 2}
    assert model.encoder.stop_ids == WeightlessModel(str(folder), study).encoder.stop_ids == ends
    assert "a turn ends with '<|end|>', which no eos_token_id names" in model.checked[-1]
    asked, greedy = ["Answer only: Where was Kriskel Govstad born?"], Sampling(n=1, temperature=0.0)
    both = (generate(one, one.encoder.encode_questions(asked), greedy)[0][0] for one in (model, subject))
    assert next(both).ids == next(both).ids


def test_logits_are_held_for_few_positions_at_a_time(subject, monkeypatch):
    rows, seen = [[1, 9, 12, 40, 33, 7, 21], [1, 5, 6], [1, 50, 60, 70, 80]], []
    whole, plain = token_logprobs(subject, rows), HookedModel.logits
    monkeypatch.setattr("hn_utils.models.likelihoods.LOGITS_AT_ONCE", 4 * len(subject.encoder.tokenizer))
    monkeypatch.setattr(HookedModel, "logits", lambda self, h: seen.append(len(h)) or plain(self, h))
    for a, b in zip(whole, token_logprobs(subject, rows), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert seen == [4, 4, 4]  # of 6 + 2 + 4 tokens that are predicted, none of padding
