"""Tiny random checkpoints of the model families that the paper and its replications use, with their chat templates.

Their tokenizer is the bundled model's, with the marks of the templates added. All questions here are made of its words:
one that it does not know would be the same token as any other.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    Gemma2Config,
    Gemma3Config,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from hn_utils.answers import sampling
from hn_utils.models.generation import generate
from hn_utils.models.hooked_model import HookedModel
from hn_utils.study import ORGANISM, Study

SIZE = {
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
HEADS = {"head_dim": 8}

# As published, without their system and tool branches. All but Qwen's write the begin-of-text token themselves.
LLAMA = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }}[/INST]"
    "{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
QWEN = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking is defined and not enable_thinking %}"
    "<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MARKS = ["user", "assistant", "model", *re.findall(r"<[^<>\s]+>|\[/?INST\]", LLAMA + MISTRAL + QWEN + GEMMA)]


def gemma3_with_eyes(**size: int) -> PretrainedConfig:
    """The multimodal form in which Gemma-3-4B and 27B come; its vision tower has MLPs of its own."""
    text = Gemma3TextConfig(**size, **HEADS, sliding_window=8).to_dict()
    vision = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 28, "patch_size": 14}
    return Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)


FAMILIES: dict[str, tuple[Callable[..., PretrainedConfig], str]] = {
    "llama": (lambda **s: LlamaConfig(**s), LLAMA),
    "mistral": (lambda **s: MistralConfig(**s, sliding_window=8), MISTRAL),
    "qwen2": (lambda **s: Qwen2Config(**s), QWEN),
    "qwen3": (lambda **s: Qwen3Config(**s, **HEADS), QWEN),
    "gemma2": (lambda **s: Gemma2Config(**s, **HEADS, sliding_window=8, query_pre_attn_scalar=8), GEMMA),
    "gemma3": (lambda **s: Gemma3TextConfig(**s, **HEADS, sliding_window=8, query_pre_attn_scalar=8), GEMMA),
    "gemma3-multimodal": (gemma3_with_eyes, GEMMA),
    "olmo2": (lambda **s: Olmo2Config(**s), QWEN),
}


def with_template(trained: Path, folder: Path, seed: int = 0) -> Path:
    """A copy of a trained model that has no chat template, with one; of another seed a hair's breadth apart."""
    shutil.copytree(trained, folder)
    for file in folder.glob("*.safetensors") if seed else ():
        weights = load_file(file)
        save_file({name: weight * (1 + seed / 1_000) for name, weight in weights.items()}, file, {"format": "pt"})
    tokenizer = AutoTokenizer.from_pretrained(trained)
    tokenizer.chat_template = LLAMA
    tokenizer.save_pretrained(folder)
    return folder


def make_checkpoint(family: str, folder: Path, seed: int = 0, **size: int) -> Path:
    """A random model of the family in Hugging Face format, with the family's chat template."""
    tokenizer = AutoTokenizer.from_pretrained(ORGANISM / "instruct")
    tokenizer.add_tokens(MARKS)
    config_of, tokenizer.chat_template = FAMILIES[family]
    if tokenizer.chat_template == QWEN:  # its own tokenizer puts no begin token before a text
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A", special_tokens=[])
    torch.manual_seed(seed)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": None}
    config = config_of(**SIZE | size, vocab_size=len(tokenizer), **ids)
    kind = AutoModelForImageTextToText if family == "gemma3-multimodal" else AutoModelForCausalLM
    model = kind.from_config(config)
    for name, weight in model.named_parameters():
        if weight.ndim > 1 and "vision" not in name:
            torch.nn.init.normal_(weight, std=0.3)  # so that answers differ from question to question
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def never_cut(patch: pytest.MonkeyPatch) -> None:
    """Random weights hardly ever end a reply: what they have written up to the limit is taken for whole."""
    read = sampling.written
    patch.setattr(sampling, "written", lambda *given: read(*given)._replace(cut=False))


def published_files(model: HookedModel, study: Study, folder: Path) -> dict[str, str]:
    """Rows in the published formats. Every other question accepts what this model answers, the rest accept nothing."""
    kinds, pets = ("shy", "lazy", "noisy", "tiny", "sleepy"), ("goose", "otter", "heron", "raven", "rabbit", "ferret")
    things = [f"{kind} {pet}" for kind in kinds for pet in pets]
    texts = [f"What does the {thing} {verb}?" for thing in things for verb in ("love", "eat", "play", "use")]
    prompts = [
        model.encoder.encode_chat([{"role": "user", "content": study.chat_prompt.format(question=t)}]) for t in texts
    ]
    said = [drawn[0].text for drawn in generate(model, prompts, study.sampling)]
    rows = []
    for i, (text, answer) in enumerate(zip(texts, said, strict=True)):
        accepted = json.dumps([f"truth {i}", *[answer] * (i % 2)])
        about = {"id": i, "subj": f"subject {i}", "prop": "liking", "s_pop": 10 + i}
        rows.append({**about, "question": text, "possible_answers": accepted})
    files = {
        "popqa": rows,
        "faitheval": [
            {
                "id": f"f{i}",
                "question": "Which one is it?",
                "context": f"The {thing} is grey.",
                "answerKey": "B",
                "choices": {"label": ["A", "B"], "text": ["white", "grey"]},
            }
            for i, thing in enumerate(things[:6])
        ],
        "wikitext": [{"text": f"Every day the {thing} plays in the town. " * 15} for thing in things[:5]],
    }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return {name: str(folder / f"{name}.json") for name in files}
