"""Text becomes the tokens that the tokenizer and the chat template make of it, begun once."""

from __future__ import annotations

import json
import shutil

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

from hn_utils.models.booting import read_tokenizer
from hn_utils.models.hooked_model import HookedModel


def test_a_text_begins_as_the_tokenizer_begins_it(tmp_path, study, subject):
    assert subject.encoder.encode_text("Where") == [
        subject.encoder.tokenizer.bos_token_id,
        *subject.encoder.tokenizer("Where")["input_ids"][1:],
    ]
    folder = shutil.copytree(study.base, tmp_path / "no-begin")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    tokenizer.save_pretrained(folder)
    without = HookedModel.load(str(folder), study)
    assert without.encoder.tokenizer.bos_token_id is not None
    assert without.encoder.encode_text("Where") == subject.encoder.encode_text("Where")[1:]


def test_a_begin_token_may_open_every_turn_but_not_twice(tmp_path, study):
    folder = shutil.copytree(study.instruct, tmp_path / "turns")
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    turn = "{% for m in messages %}{{ bos_token }}{{ m['content'] }}{% endfor %}{{ bos_token }}"
    tokenizer.chat_template = turn
    tokenizer.save_pretrained(folder)
    assert "once" in HookedModel.load(str(folder), study).checked[-1]
    tokenizer.chat_template = "{{ bos_token }}" + turn
    tokenizer.save_pretrained(folder)
    with pytest.raises(ValueError, match="begins a prompt twice"):
        HookedModel.load(str(folder), study)


def test_a_template_that_writes_the_date_gives_the_same_prompt_tomorrow(tmp_path, study):
    folder = shutil.copytree(study.instruct, tmp_path / "dated")
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{{ strftime_now('%Y-%m-%d') }} {{ messages[0]['content'] }}"
    tokenizer.save_pretrained(folder)
    dated = HookedModel.load(str(folder), study)
    ids = dated.encoder.tokenizer("2024-07-26 Where")["input_ids"]  # begun as the tokenizer begins every text
    assert dated.encoder.encode_chat([{"role": "user", "content": "Where"}]) == ids


def test_a_chat_prompt_begins_once_and_ends_where_the_assistant_speaks(subject):
    ids = subject.encoder.encode_chat([{"role": "user", "content": "Where was Kriskel Govstad born?"}])
    tokens = subject.encoder.tokenizer.convert_ids_to_tokens(ids)
    assert tokens.count("<|begin|>") == 1
    assert tokens[-3:] == ["<|assistant|>", "Answer", ":"]
    assert "<|unknown|>" not in tokens


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
        HookedModel.load(str(tmp_path / "bare"), study).encoder.encode_chat([{"role": "user", "content": "hello"}])
