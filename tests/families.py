"""Tiny random checkpoints of the model families that the paper and its replications use, with their chat templates."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
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

from hn_utils.study import Study
from hn_utils.subject import Subject

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


def make_checkpoint(family: str, tokenizer_folder: Path, folder: Path, seed: int = 0, **size: int) -> Path:
    """A random model of the family in Hugging Face format, with a real tokenizer and the family's chat template.

    For a name that is no family, the tokenizer's own pretrained model with a chat template.
    """
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    config_of, tokenizer.chat_template = FAMILIES.get(family, (None, LLAMA))
    if config_of is None:  # the tokenizer's own model: real, trained weights
        shutil.copytree(tokenizer_folder, folder)
        tokenizer.save_pretrained(folder)
        return folder
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


def published_files(model: Subject, study: Study, folder: Path) -> dict[str, str]:
    """Rows in the published formats. Every other question accepts what this model answers, the rest accept nothing."""
    things = [
        f"{a} {b}" for a in ("red", "big", "old", "sad", "tall") for b in ("dog", "cat", "tree", "ball", "hat", "car")
    ]
    texts = [f"What does the {thing} like {when}?" for thing in things for when in ("best", "most", "now", "here")]
    prompts = [model.chat([{"role": "user", "content": study.chat_prompt.format(question=t)}]) for t in texts]
    said = [drawn[0].text for drawn in model.generate(prompts, study.sampling)]
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
                "context": f"The {thing} is blue.",
                "answerKey": "B",
                "choices": {"label": ["A", "B"], "text": ["red", "blue"]},
            }
            for i, thing in enumerate(things[:6])
        ],
        "wikitext": [{"text": f"Once upon a time there was a {thing}. " * 15} for thing in things[:5]],
    }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return {name: str(folder / f"{name}.json") for name in files}
