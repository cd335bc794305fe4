"""Chat templates as they are published, and as they go wrong: their begin, the end of a turn, and thoughts."""

from __future__ import annotations

import pytest
from families import GEMMA, LLAMA, MARKS, MISTRAL, QWEN
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from hn_utils.models import templates
from hn_utils.study import ORGANISM

ASKED = [{"role": "user", "content": "Where was Kriskel Govstad born?"}]
PHI = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
REASONER = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{{ eos_token }}{% endfor %}<assistant>"


def tokenizer(template, eos: str = "<|end|>", begins: bool = True):
    """The bundled tokenizer with the marks of other families, another template, and another end token."""
    made = AutoTokenizer.from_pretrained(ORGANISM / "instruct")
    made.add_tokens([*MARKS, "<think>", "</think>"])
    made.chat_template, made.eos_token = template, eos
    if not begins:
        made.backend_tokenizer.post_processor = TemplateProcessing(single="$A", special_tokens=[])
    return made


@pytest.mark.parametrize(
    ("template", "eos", "end"),
    [
        (LLAMA, "<|pad|>", "<|eot_id|>"),
        (MISTRAL, "<|end|>", "<|end|>"),
        (QWEN, "<|pad|>", "<|im_end|>"),
        (GEMMA, "<|pad|>", "<end_of_turn>"),
        (PHI, "<|pad|>", "<|end|>"),
    ],
)
def test_the_token_that_ends_a_turn_stops_a_reply_whether_or_not_it_is_configured(template, eos, end):
    made = tokenizer(template, eos)
    (written,) = made.convert_tokens_to_ids([end])
    assert templates.turn_end(made) == written
    assert templates.stops(made, [7]) == {7, made.eos_token_id, written}
    told = templates.template_summary(made, None, "m")
    assert ("no eos_token_id names" in told) == (end != eos)
    assert "no eos_token_id names" not in templates.template_summary(made, written, "m")


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:",  # ends with a line
        "{% if messages[-1]['role'] != 'user' %}{{ raise_exception('no') }}{% endif %}{{ messages[-1]['content'] }}",
        "{{ messages[0]['content'] }}",  # leaves the assistant's turn out
        "{% for m in messages %}{{ bos_token }}{{ m['content'] }}{% endfor %}{{ bos_token }}",  # begins the next turn
    ],
)
def test_a_template_that_ends_a_turn_with_no_special_token_adds_no_stop(template):
    made = tokenizer(template)
    assert templates.turn_end(made) is None
    assert templates.stops(made, None) == {made.eos_token_id}
    assert "no special token ends a turn" in templates.template_summary(made, None, "m")


def test_a_prompt_begins_as_the_tokenizer_begins_texts():
    begin = "<|begin|>"
    for template in (PHI, GEMMA, "\n" + MISTRAL):
        text = templates.prompted(tokenizer(template), ASKED)
        assert text.count(begin) == 1
        assert text.lstrip().startswith(begin)
    assert begin not in templates.prompted(tokenizer(PHI, begins=False), ASKED)
    assert "was put there" in templates.template_summary(tokenizer(PHI), None, "m")
    assert "was put there" not in templates.template_summary(tokenizer(GEMMA), None, "m")
    with pytest.raises(ValueError, match="m: its chat template begins a prompt twice"):
        templates.template_summary(tokenizer("{{ bos_token }}" + GEMMA), None, "m")


@pytest.mark.parametrize(
    ("opens", "closes"),
    [("<think>\n", "</think>"), ("<think>", "</think>"), ("<thought>\n", "</thought>"), ("[THINK]", "[/THINK]")],
)
def test_a_thought_that_a_prompt_opens_is_ended_before_the_answer(opens, closes):
    made = tokenizer(REASONER + opens)
    text = templates.prompted(made, ASKED)
    assert text.endswith(f"<assistant>{opens.strip()}\n\n{closes}\n\n")
    assert f"a prompt opens a thought, which is ended, empty, with '{closes}'" in templates.template_summary(
        made, None, "m"
    )


def test_a_thought_that_is_ended_already_and_a_question_about_one_are_left_alone():
    switched = tokenizer(QWEN, eos="<|im_end|>")
    assert templates.prompted(switched, ASKED).endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert "thought" not in templates.template_summary(switched, None, "m")
    asked = [{"role": "user", "content": "What does <think> mean?"}]
    assert templates.prompted(tokenizer(PHI), asked).endswith("What does <think> mean?<|end|>\n<|assistant|>\n")


def test_a_template_that_opens_no_turn_behind_the_end_of_one_is_refused():
    with pytest.raises(ValueError, match=r"m: its chat template ends a prompt with '<\|end\|>' and opens no turn"):
        templates.template_summary(tokenizer(PHI.partition("{% if add")[0]), None, "m")
    assert "once" in templates.template_summary(tokenizer(MISTRAL), None, "m")  # [/INST] opens it


def test_of_several_templates_the_default_one_is_taken():
    both = {"tool_use": "tools!", "default": PHI}
    plain = templates.prompted(tokenizer(PHI), ASKED)
    assert templates.prompted(tokenizer(both), ASKED) == plain
    as_listed = [{"name": name, "template": text} for name, text in both.items()]
    assert templates.template_of(type("T", (), {"chat_template": as_listed})) == PHI
    with pytest.raises(ValueError, match="chat templates called rag, tool_use and none called default"):
        templates.template_summary(tokenizer({"tool_use": PHI, "rag": PHI}), None, "m")
    assert templates.template_of(tokenizer(None)) == ""
    assert templates.template_summary(tokenizer(None), None, "m") == "no chat template: asked as a base model"
