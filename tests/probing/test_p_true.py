"""p(True) and streams against plain transformers, on a tiny model of random weights that knows the letters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

import hn_utils as hn
from hn_utils.probing.p_true import endings, p_true
from hn_utils.probing.streams import streams_at
from hn_utils.study import ORGANISM

ASKED = ["Where was Kriskel Govstad born?", "What did Kriskel Govstad do?"]
ANSWERS = ["Corin", "Great Quillon Bridge"]


def tiny(words: list[str]):
    """The bundled tokenizer with further words, and a model of random weights that has a token for each."""
    tokenizer = AutoTokenizer.from_pretrained(ORGANISM / "instruct")
    tokenizer.add_tokens(words)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=56,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).eval(), tokenizer


@pytest.fixture(scope="module")
def lettered():
    model, tokenizer = tiny(["(A", "(B", "True", "False"])
    return hn.wrap(model, tokenizer, name="tiny"), tokenizer


def by_hand(model, tokenizer, question: str, answer: str, a: str, b: str) -> float:
    """Softmax over the logits of the two letters, as plain transformers gives them."""
    text = (
        f"Question: {question}\nPossible answer: {answer}\nIs the possible answer:\n(A) {a}\n(B) {b}\n"
        "The possible answer is:"
    )
    turns = [{"role": "user", "content": text}]
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=False)
    with torch.no_grad():
        logits = model(ids).logits[0, -1]
    letters = torch.stack([logits[tokenizer.convert_tokens_to_ids(letter)] for letter in ("(A", "(B")])
    return float(letters.softmax(0)[0 if a == "True" else 1])


def test_p_true_is_that_of_plain_transformers_in_both_orders(lettered):
    subject, tokenizer = lettered
    ours = p_true(subject, ASKED, ANSWERS, subject.study)
    expected = [
        [by_hand(subject.model, tokenizer, q, answer, *order) for order in (("True", "False"), ("False", "True"))]
        for q, answer in zip(ASKED, ANSWERS, strict=True)
    ]
    np.testing.assert_allclose(ours, expected, rtol=1e-4)
    assert np.abs(ours - 0.5).max() > 0.01  # random weights prefer a letter: both orders are needed


def test_a_vocabulary_without_the_letters_is_refused():
    model, tokenizer = tiny([])
    subject = hn.wrap(model, tokenizer, name="tiny")
    with pytest.raises(ValueError, match=r"no tokens that tell \(A from \(B"):
        p_true(subject, ASKED, ANSWERS, subject.study)


def test_what_both_replies_share_is_read_before_them():
    model, tokenizer = tiny(["(", "A", "B"])
    shared, a, b = endings(hn.wrap(model, tokenizer, name="tiny").encoder)
    assert [tokenizer.convert_ids_to_tokens(ids) for ids in (shared, a, b)] == [["("], ["A"], ["B"]]


def test_a_stream_is_the_hidden_state_of_plain_transformers(lettered):
    subject, _ = lettered
    rows = [[1, 9, 12, 40, 33], [1, 5, 6, 7, 8, 9, 10]]
    at = [2, 6]
    ours = streams_at(subject, rows, at, [1, 2], subject.study)
    for row, place, read in zip(rows, at, ours, strict=True):
        with torch.no_grad():
            states = subject.model(torch.tensor([row]), output_hidden_states=True).hidden_states
        for stream, layer in zip(read, (1, 2), strict=True):
            np.testing.assert_allclose(stream, states[layer + 1][0, place], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="no place in a row of 5 tokens"):
        streams_at(subject, rows, [5, 0], [1], subject.study)
    with pytest.raises(ValueError, match="must lie from 0 to 2"):
        streams_at(subject, rows, at, [3], subject.study)
