"""Tiny GGUF files of known weights: a Llama drawn at random here, or one from a folder, written as llama.cpp does."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import LlamaConfig, LlamaForCausalLM

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(ByteLevel.alphabet()), "th", "he"]
N_LAYERS, D_MLP = 2, 128
_OF_LAYER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_OTHERS = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def tiny_llama(seed: int = 0) -> LlamaForCausalLM:
    """A Llama of two layers, whose weights can be packed in blocks of 32."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=64,
        intermediate_size=D_MLP,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config).eval()


def gguf_name(name: str) -> str:
    """What llama.cpp calls a weight of Transformers' Llama."""
    stem, _, kind = name.rpartition(".")
    if stem in _OTHERS:
        return f"{_OTHERS[stem]}.{kind}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{_OF_LAYER[part]}.{kind}"


def _turned(weight: np.ndarray, name: str, config: LlamaConfig) -> np.ndarray:
    """Query and key with each head's rows in the order in which llama.cpp rotates them."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
    if heads is None:
        return weight
    rows = weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2)  # [head, half, row, d_model] -> rows first
    return rows.reshape(weight.shape)


def write_llama(
    file: Path,
    model: LlamaForCausalLM,
    kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    file_type: gguf.LlamaFileType | None = gguf.LlamaFileType.ALL_F32,
    architecture: str = "llama",
    template: str = CHATML,
    tokenizer: dict | None = None,
) -> Path:
    """Write a model with a tokenizer of bytes, matrices packed as `kind`."""
    config = model.config
    out = gguf.GGUFWriter(file, architecture)
    out.add_name("tiny")
    out.add_context_length(config.max_position_embeddings)
    out.add_embedding_length(config.hidden_size)
    out.add_block_count(config.num_hidden_layers)
    out.add_feed_forward_length(config.intermediate_size)
    out.add_head_count(config.num_attention_heads)
    out.add_head_count_kv(config.num_key_value_heads)
    out.add_layer_norm_rms_eps(config.rms_norm_eps)
    out.add_rope_freq_base(config.rope_parameters["rope_theta"])
    out.add_vocab_size(config.vocab_size)
    if file_type is not None:
        out.add_file_type(file_type)
    if tokenizer is None:
        _add_bytes(out, template)
    else:
        _add_pieces(out, **tokenizer)
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = _turned(weight.float().numpy(), name, config)
        packed = kind if values.ndim == 2 else gguf.GGMLQuantizationType.F32
        out.add_tensor(gguf_name(name), gguf.quantize(values, packed), raw_dtype=packed)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return file


def _add_bytes(out: gguf.GGUFWriter, template: str) -> None:
    """A tokenizer of single bytes and two pairs."""
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(TOKENS)
    out.add_token_types([3, 3, 3] + [1] * (len(TOKENS) - 3))
    out.add_token_merges(["t h", "h e"])
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_pad_token_id(0)
    out.add_add_bos_token(False)
    if template:
        out.add_chat_template(template)


def _add_pieces(out: gguf.GGUFWriter, pieces: list[str], scores: list[float], kinds: list[int]) -> None:
    """A tokenizer of SentencePiece, as Llama 2 has it."""
    out.add_tokenizer_model("llama")
    out.add_token_list(pieces)
    out.add_token_scores(scores)
    out.add_token_types(kinds)
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_unk_token_id(0)
    out.add_add_bos_token(True)
