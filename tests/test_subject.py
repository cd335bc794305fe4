"""The wrapped model is the model: generation, log-probabilities and padding agree with plain transformers."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    GPTNeoXConfig,
    Lfm2Config,
    MixtralConfig,
    PreTrainedTokenizerFast,
)

from hn_utils.analyses.positions import read_rows
from hn_utils.answers.examples import Example
from hn_utils.contributions.cett import mean_contributions, token_contributions
from hn_utils.models.booting import read_tokenizer
from hn_utils.models.hooked_model import Subject, weights_at_rest
from hn_utils.models.inspection import inspect
from hn_utils.models.weightless import Absent
from hn_utils.questions.question import Question
from hn_utils.study import Sampling

SMALL = {"hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 2, "num_attention_heads": 4}
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


def test_a_draw_depends_on_its_own_prompt_and_not_on_the_others(subject):
    sampling = Sampling(n=4, max_new_tokens=6)
    together = subject.generate(PROMPTS, sampling, seed=9)
    for prompt, drawn in zip(PROMPTS, together, strict=True):
        (alone,) = subject.generate([prompt], sampling, seed=9)
        assert [r.ids for r in alone] == [r.ids for r in drawn]
    (few,) = subject.generate(PROMPTS[:1], replace(sampling, n=2), seed=9)
    assert [r.ids for r in few] == [r.ids for r in together[0][:2]]


def test_draws_that_begin_alike_share_a_row_and_those_that_have_ended_have_none(subject):
    rows: list[int] = []
    hook = subject.model.base_model.register_forward_pre_hook(
        lambda _, __, given: rows.append(len(given["input_ids"])), with_kwargs=True
    )
    drawn = subject.generate(PROMPTS, Sampling(n=20, max_new_tokens=12), seed=3)
    hook.remove()
    ids = [[tuple(r.ids) for r in some] for some in drawn]
    begun = [sum(len({d[:k] for d in some if len(d) > k}) for some in ids) for k in range(1, 12)]
    assert rows == [len(PROMPTS), *(n for n in begun if n)]
    assert max(begun) < 20 * len(PROMPTS)


def test_tokens_are_drawn_as_often_as_temperature_top_k_and_top_p_say(subject, study):
    sampling = Sampling(n=4_000, temperature=1.3, top_k=6, top_p=0.8, max_new_tokens=1)
    drawn = [r.ids[0] for r in subject.generate([PROMPTS[1]], sampling, seed=2)[0]]
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


@pytest.mark.parametrize("edit", ["in place", "through .data", "two rows swapped"])
def test_a_weight_edited_after_the_first_look_changes_fingerprint_and_norms(study, edit):
    edited = Subject.load(study.instruct, study)
    before, norms = edited.fingerprint, edited.w_out_norm
    weight = edited.model.model.layers[2].mlp.down_proj.weight
    with torch.no_grad():
        if edit == "in place":
            weight[:, 5].mul_(2)
        elif edit == "through .data":
            weight.data[:, 5] *= 2
        else:
            weight[:, [5, 6]] = weight[:, [6, 5]]
    assert edited.fingerprint != before
    changed = torch.nonzero(edited.w_out_norm != norms).tolist()
    assert changed == ([[2, 5], [2, 6]] if edit == "two rows swapped" else [[2, 5]])


def test_weights_are_read_once_where_they_are_at_rest_and_each_time_elsewhere(study, monkeypatch):
    edited, read, hashed = Subject.load(study.instruct, study), [], Subject.hashed
    monkeypatch.setattr(Subject, "hashed", lambda self: read.append(self) or hashed(self))
    with weights_at_rest():
        before = edited.key(1)
        assert edited.key(1) == before
        assert Subject.load(study.base, study).fingerprint != edited.fingerprint
        assert len(read) == 2  # each model once
    assert edited.key(1) == before
    edited.model.model.layers[2].mlp.down_proj.weight.detach().numpy()[:, 5] *= 2  # leaves no trace but the numbers
    assert edited.key(1) != before
    assert len(read) == 4


def test_a_model_that_is_being_changed_has_no_key(subject):
    clean = subject.key(1)
    with pytest.raises(ValueError, match=r"live hooks .*scaled"), subject.scaled(np.array([3]), by=2.0):
        subject.key(1)
    handle = subject.model.model.layers[0].register_forward_hook(lambda *_: None)  # one of the user's own
    try:
        with pytest.raises(ValueError, match="live hooks"):
            subject.key(1)
    finally:
        handle.remove()
    assert subject.key(1) == clean


def test_logits_are_held_for_few_positions_at_a_time(subject, monkeypatch):
    rows, seen = [[1, 9, 12, 40, 33, 7, 21], [1, 5, 6], [1, 50, 60, 70, 80]], []
    whole, plain = subject.logprobs(rows), Subject.logits
    monkeypatch.setattr("hn_utils.models.hooked_model.LOGITS", 4 * len(subject.tokenizer))
    monkeypatch.setattr(Subject, "logits", lambda self, h: seen.append(len(h)) or plain(self, h))
    for a, b in zip(whole, subject.logprobs(rows), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert seen == [4, 4, 4]  # of 6 + 2 + 4 tokens that are predicted, none of padding


def test_a_weight_that_is_not_what_the_layer_does_is_refused(study):
    honest = Subject.load(study.instruct, study)
    layer = honest.model.model.layers[1].mlp.down_proj
    layer.register_forward_hook(
        lambda _module, _inputs, output: 1.5 * output
    )  # as a scale kept beside the weight would
    with pytest.raises(ValueError, match="layer 1's MLP output is off by .* stored W_down"):
        inspect(honest)


def test_a_text_begins_as_the_tokenizer_begins_it(tmp_path, study, subject):
    assert subject.text("Where") == [subject.tokenizer.bos_token_id, *subject.tokenizer("Where")["input_ids"][1:]]
    folder = shutil.copytree(study.base, tmp_path / "no-begin")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    tokenizer.save_pretrained(folder)
    without = Subject.load(str(folder), study)
    assert without.tokenizer.bos_token_id is not None
    assert without.text("Where") == subject.text("Where")[1:]


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
    ids = dated.tokenizer("2024-07-26 Where")["input_ids"]  # begun as the tokenizer begins every text
    assert dated.chat([{"role": "user", "content": "Where"}]) == ids


def test_nothing_is_installed_behind_the_user_s_back():
    from transformer_lens.model_bridge.sources.transformers import helpers

    assert helpers._ensure_torchvision() is False


def test_a_chat_prompt_begins_once_and_ends_where_the_assistant_speaks(subject):
    ids = subject.chat([{"role": "user", "content": "Where was Kriskel Govstad born?"}])
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


@pytest.mark.parametrize("config", [MixtralConfig(**SMALL, num_local_experts=4), GPTNeoXConfig(**SMALL)])
def test_a_model_without_one_gated_mlp_a_layer_is_refused(tmp_path, study, subject, config):
    config.vocab_size = len(subject.tokenizer)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    subject.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"layers \[0, 1\] have no gated MLP"):
        Subject.load(str(tmp_path), study)


def test_a_model_whose_layers_choose_their_own_width_is_said_to_do_so(tmp_path, study, subject):
    size = SMALL | {"num_key_value_heads": 2, "layer_types": ["conv", "full_attention"]}
    config = Lfm2Config(**size, vocab_size=len(subject.tokenizer), block_multiple_of=16)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    subject.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"layers \[0, 1\] have 48 neurons, not the 56 that its configuration names"):
        Subject.load(str(tmp_path), study)


def test_what_overflows_later_is_no_answer(study):
    broken = Subject.load(study.instruct, study)
    row = broken.asked(["Where?"])[0]
    for layer in broken.model.model.layers:
        layer.mlp.down_proj.weight.data *= 1e38
    greedy = Sampling(n=1, temperature=0.0, max_new_tokens=3)
    for reading in (
        lambda: broken.logprobs([row]),
        lambda: broken.generate([row], greedy),
        lambda: broken.generate([row], replace(greedy, temperature=1.0)),
        lambda: next(broken.predictions([row], [[1]])),
    ):
        with pytest.raises(ValueError, match=r"what it predicts is not a number \(NaN\) in float32"):
            reading()
    example = Example(Question("q", "t", ("a",), "e"), row[:-1], row[-1:], "", 1, [len(row) - 1], 0.0)
    with pytest.raises(ValueError, match=r"what layer \d's neurons contribute is not finite"):
        mean_contributions(broken, [example])


def test_a_reply_ends_where_the_template_ends_a_turn(tmp_path, study, subject):
    folder = shutil.copytree(study.instruct, tmp_path / "other-end")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = tokenizer.chat_template.replace("{{ eos_token }}", "<|end|>")
    tokenizer.eos_token = "<|pad|>"
    tokenizer.save_pretrained(folder)
    GenerationConfig(eos_token_id=tokenizer.eos_token_id).save_pretrained(folder)
    model = Subject.load(str(folder), study)
    assert model.stop_ids == Absent(str(folder), study).stop_ids == {subject.tokenizer.eos_token_id, 2}
    assert "a turn ends with '<|end|>', which no eos_token_id names" in model.checked[-1]
    asked, greedy = ["Answer only: Where was Kriskel Govstad born?"], Sampling(n=1, temperature=0.0)
    assert (
        model.generate(model.asked(asked), greedy)[0][0].ids == subject.generate(subject.asked(asked), greedy)[0][0].ids
    )


def test_norms_of_one_layer_are_taken_at_that_layer(subject, monkeypatch):
    taken, plain = [], Subject.column_lengths
    monkeypatch.setattr(Subject, "column_lengths", lambda self, layer: taken.append(layer) or plain(self, layer))
    token_contributions(subject, PROMPTS, np.array([3, 5, 3 * subject.d_mlp]))
    assert taken == [0, 3]
    taken.clear()
    read_rows(subject, PROMPTS, np.array([1, 1, 1]))
    assert taken == list(range(subject.n_layers))


def test_a_tokenizer_that_transformers_flags_as_wrong_is_mended(tmp_path, study):
    wrong = Tokenizer(models.WordLevel({"?": 0} | {f"w{i}": i + 1 for i in range(100_001)}, unk_token="?"))
    wrong.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\s"), behavior="isolated")])
    PreTrainedTokenizerFast(tokenizer_object=wrong, unk_token="?").save_pretrained(tmp_path)
    said = {"model_type": "mistral", "transformers_version": "4.50.0"}  # what such files say of themselves
    (tmp_path / "config.json").write_text(json.dumps(said))
    assert r"\p{Lu}" not in str(AutoTokenizer.from_pretrained(tmp_path).backend_tokenizer.pre_tokenizer)
    assert r"\p{Lu}" in str(read_tokenizer(str(tmp_path), {}).backend_tokenizer.pre_tokenizer)
    own = AutoTokenizer.from_pretrained(study.instruct).backend_tokenizer
    assert read_tokenizer(study.instruct, {}).backend_tokenizer.to_str() == own.to_str()


def test_a_model_without_template_cannot_chat(tmp_path, study):
    shutil.copytree(study.base, tmp_path / "bare")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "bare")
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path / "bare")
    (tmp_path / "bare" / "chat_template.jinja").unlink(missing_ok=True)
    with pytest.raises(ValueError, match="has no chat template"):
        Subject.load(str(tmp_path / "bare"), study).chat([{"role": "user", "content": "hello"}])
