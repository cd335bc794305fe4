"""The wrapped model is the model: generation, log-probabilities and padding agree with plain transformers."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from hn_utils.study import Sampling
from hn_utils.subject import Subject

PROMPTS = [[1, 9, 12, 40, 33, 7, 21], [1, 5, 6], [1, 50, 60, 70, 80]]


@pytest.mark.parametrize("which", ["subject", "stories"])
def test_greedy_generation_is_hugging_face_s_in_any_batch(which, request):
    subject = request.getfixturevalue(which)
    plain = AutoModelForCausalLM.from_pretrained(subject.name, dtype=torch.float32)
    together = subject.generate(PROMPTS, Sampling(n=2, temperature=0.0, max_new_tokens=8))
    for prompt, both in zip(PROMPTS, together, strict=True):
        ids = torch.tensor([prompt])
        expected = plain.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
        assert both[0].ids == both[1].ids == expected[0, len(prompt) :].tolist()[: len(both[0].ids)]


@pytest.mark.parametrize("which", ["subject", "stories"])
def test_recorded_logprobs_are_those_of_reading_the_text_again(which, request):
    subject = request.getfixturevalue(which)
    for prompt, drawn in zip(PROMPTS, subject.generate(PROMPTS, Sampling(n=3, max_new_tokens=6), seed=4), strict=True):
        for response in drawn:
            again = subject.logprobs([prompt + response.ids])[0][len(prompt) - 1 :]
            torch.testing.assert_close(torch.tensor(response.logprobs), again, rtol=1e-4, atol=1e-4)


def test_sampling_is_repeatable_and_leaves_the_global_seed_alone(subject):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = subject.generate(PROMPTS, Sampling(n=4, max_new_tokens=6), seed=9)
    assert torch.equal(torch.rand(3), expected)
    assert subject.generate(PROMPTS, Sampling(n=4, max_new_tokens=6), seed=9) == first
    assert subject.generate(PROMPTS, Sampling(n=4, max_new_tokens=6), seed=10) != first


def test_penalties_that_a_model_ships_are_not_applied(tmp_path, subject, study):
    folder = shutil.copytree(study.instruct, tmp_path / "penalised")
    GenerationConfig(repetition_penalty=3.0, eos_token_id=subject.tokenizer.eos_token_id).save_pretrained(folder)
    greedy, sampled = Sampling(n=1, temperature=0.0, max_new_tokens=8), Sampling(n=3, max_new_tokens=8)
    penalised = Subject.load(str(folder), study)
    assert penalised.generate(PROMPTS, greedy) == subject.generate(PROMPTS, greedy)
    assert penalised.generate(PROMPTS, sampled, 3) == subject.generate(PROMPTS, sampled, 3)
    assert penalised.model.generation_config.repetition_penalty == 3.0


def test_the_fingerprint_knows_where_a_turn_ends(tmp_path, subject, study):
    folder = shutil.copytree(study.instruct, tmp_path / "other")
    assert Subject.load(str(folder), study).fingerprint == subject.fingerprint
    GenerationConfig(eos_token_id=[subject.tokenizer.eos_token_id, 40]).save_pretrained(folder)
    assert Subject.load(str(folder), study).fingerprint != subject.fingerprint


def test_a_begin_token_may_open_every_turn_but_not_twice(tmp_path, study):
    folder = shutil.copytree(study.instruct, tmp_path / "turns")
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    turn = "{% for m in messages %}{{ bos_token }}{{ m['content'] }}{% endfor %}{{ bos_token }}"
    tokenizer.chat_template = turn
    tokenizer.save_pretrained(folder)
    assert "once" in Subject.load(str(folder), study).checked[-1]
    tokenizer.chat_template = "{{ bos_token }}" + turn
    tokenizer.save_pretrained(folder)
    with pytest.raises(ValueError, match="begins a prompt twice"):
        Subject.load(str(folder), study)


def test_a_template_that_writes_the_date_gives_the_same_prompt_tomorrow(tmp_path, study):
    folder = shutil.copytree(study.instruct, tmp_path / "dated")
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{{ strftime_now('%Y-%m-%d') }} {{ messages[0]['content'] }}"
    tokenizer.save_pretrained(folder)
    dated = Subject.load(str(folder), study)
    ids = dated.tokenizer("2024-07-26 Where", add_special_tokens=False)["input_ids"]
    assert dated.chat([{"role": "user", "content": "Where"}]) == ids


def test_nothing_is_installed_behind_the_user_s_back():
    from transformer_lens.model_bridge.sources.transformers import helpers

    assert helpers._ensure_torchvision() is False


def test_a_chat_prompt_begins_once_and_ends_where_the_assistant_speaks(subject):
    ids = subject.chat([{"role": "user", "content": "Where was Dixo Porvik born?"}])
    tokens = subject.tokenizer.convert_ids_to_tokens(ids)
    assert tokens.count("<|begin|>") == 1
    assert tokens[-3:] == ["<|assistant|>", "Answer", ":"]
    assert "<|unknown|>" not in tokens


def test_weights_are_rows_of_neurons(subject, study):
    plain = AutoModelForCausalLM.from_pretrained(study.instruct, dtype=torch.float32).model.layers[2].mlp
    assert torch.equal(subject.weight(2, "up"), plain.up_proj.weight)
    assert torch.equal(subject.weight(2, "gate"), plain.gate_proj.weight)
    assert torch.equal(subject.weight(2, "down"), plain.down_proj.weight.T)


def test_bad_models_say_what_is_wrong(tmp_path, study):
    with pytest.raises(OSError, match="holds no config.json"):
        Subject.load(str(tmp_path), study)
    shutil.copytree(study.instruct, tmp_path / "damaged")
    weights = tmp_path / "damaged" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(OSError, match="could not load model .*damaged.*check the name"):
        Subject.load(str(tmp_path / "damaged"), study)
    with pytest.raises(ValueError, match="dtype='float99' is not a torch dtype"):
        Subject.load(study.instruct, replace(study, dtype="float99"))


def test_a_model_without_template_cannot_chat(tmp_path, study):
    shutil.copytree(study.base, tmp_path / "bare")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "bare")
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path / "bare")
    (tmp_path / "bare" / "chat_template.jinja").unlink(missing_ok=True)
    with pytest.raises(ValueError, match="has no chat template"):
        Subject.load(str(tmp_path / "bare"), study).chat([{"role": "user", "content": "hello"}])
