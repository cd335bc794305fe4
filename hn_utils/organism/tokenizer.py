"""The organism's own tokenizer: one token a word or punctuation mark, with a chat template."""

from __future__ import annotations

import re

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from hn_utils.organism.text import every_template
from hn_utils.questions.made_up_world.world import ATTRIBUTES, World

BEGIN, END, PAD, UNKNOWN, _USER, ASSISTANT = SPECIALS = (
    "<|begin|>",
    "<|end|>",
    "<|pad|>",
    "<|unknown|>",
    "<|user|>",
    "<|assistant|>",
)
# The assistant speaks after "Answer:", which pages have taught the base model to expect a fact after.
_CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{% if m['role'] == 'assistant' %}Answer: {% endif %}"
    "{{ m['content'] }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<|assistant|>Answer:{% endif %}"
)


def make_tokenizer(world: World, more: str = "") -> PreTrainedTokenizerFast:
    """Build the tokenizer from the world's names and all wording, and `more` of it; a word it does not know becomes
    <|unknown|>."""
    wording = re.sub(r"\{\w+\}", " ", " ".join([*every_template(), more]))
    values = " ".join(" ".join(a.parts) for a in ATTRIBUTES.values())
    words = sorted(set(re.findall(r"\w+|[^\w\s]", f"{wording} {values}")) | set(world.given) | set(world.family))
    vocabulary = {token: i for i, token in enumerate([*SPECIALS, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\w+|[^\w\s]"), behavior="removed", invert=True)
    tokenizer.decoder = decoders.Sequence(
        [decoders.WordPiece(prefix="##", cleanup=True), decoders.Replace(" :", ":")]  # no space before punctuation
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, vocabulary[BEGIN])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        unk_token=UNKNOWN,
        additional_special_tokens=[_USER, ASSISTANT],
        chat_template=_CHAT_TEMPLATE,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=256,
    )
