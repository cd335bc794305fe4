"""What a model is, as one hash: everything in memory that decides what it computes, and how text becomes tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from xxhash import xxh3_128

# Attributes of modules that say where a model came from, or what happened to be read last, not what it computes.
_INCIDENTAL = {"name_or_path", "gradient_checkpointing", "hf_device_map"}
_SWITCHES = ("_active_adapter", "_disable_adapters")  # of adapters, by the names that PEFT keeps them under
_CHANGING = ("dynamic", "longrope")  # kinds of rotary embedding whose frequencies follow the text that is read
_PACKING = ("SCB", "CB", "absmax", "offset", "code")  # what unpacks an 8- or 4-bit weight, by bitsandbytes' names


def fingerprint(model: PreTrainedModel, tokenizer: Any, stop_ids: set[int]) -> str:
    """Hash of weights, buffers, adapters and their switches, mode, configuration, vocabulary, template, special tokens
    and end-of-turn tokens."""
    digest, config = xxh3_128(), json.loads(model.config.to_json_string())
    config.pop("output_attentions", None)  # set where a model is loaded here: how one is run is not what it is
    digest.update(json.dumps(config, sort_keys=True).encode())
    digest.update(tokenizer.backend_tokenizer.to_str().encode())
    special = sorted((name, str(token)) for name, token in tokenizer.special_tokens_map.items())
    digest.update(str((tokenizer.chat_template, special, sorted(stop_ids))).encode())
    for name, weight in sorted(model.named_parameters()):  # state_dict() would unpack 4-bit weights for good
        digest.update(name.encode())
        for part in (*packing(weight), weight):
            digest.update(raw(part))
    for name, module in sorted(model.named_modules()):
        digest.update(str((name, settings(module))).encode())
        for part in packing(module):
            digest.update(raw(part))
        for own, buffer in sorted(_lasting_buffers(module)):
            digest.update(own.encode())
            digest.update(raw(buffer))
    return digest.hexdigest()


def raw(tensor: Tensor) -> memoryview:
    """Its bytes, in order."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def packing(packed: Any) -> Iterator[Tensor]:
    """The tensors beside a packed weight that say which numbers it stands for, those that are packed themselves too.

    Those of 8 bits lie on the weight until it is first used, then in the `state` of its module.
    """
    state = getattr(packed, "quant_state", None) or getattr(packed, "state", None)
    for holder in (packed, state, getattr(state, "state2", None)):
        for name in _PACKING:
            if isinstance(found := vars(holder).get(name) if hasattr(holder, "__dict__") else None, Tensor):
                yield found


def _lasting_buffers(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """A module's own buffers, saved with it or not, but those that follow the text that was read last."""
    changing = _follows_text(module)
    for name, buffer in module._buffers.items():
        follows = changing and name.endswith("inv_freq") and not name.endswith("original_inv_freq")
        if buffer is not None and not follows:
            yield name, buffer


def _follows_text(module: nn.Module) -> bool:
    kind = getattr(module, "rope_type", None)
    kinds = kind.values() if isinstance(kind, dict) else [kind]
    return any(one in _CHANGING for one in kinds)


def settings(module: nn.Module) -> list[tuple[str, str]]:
    """The numbers and switches that a module keeps beside its tensors: mode, scales, active adapters."""
    if type(module).__module__.startswith("transformer_lens."):  # around the model's own modules; it changes nothing
        return [("training", str(module.training))]
    last_read = ("max_seq_len_cached", "attention_scaling") if _follows_text(module) else ()
    found = {
        name: value
        for name, value in vars(module).items()
        if (name in _SWITCHES or not name.startswith("_"))
        and _is_plain(value)
        and name not in _INCIDENTAL
        and not name.endswith(last_read)
    }
    return sorted((name, _ordered(value)) for name, value in found.items())


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(one) for pair in value.items() for one in pair)
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _ordered(value: Any) -> str:
    """A plain value as text, the same whatever order a set keeps its members in."""
    if isinstance(value, set | frozenset):
        return str(sorted(map(_ordered, value)))
    if isinstance(value, dict):
        return str({key: _ordered(one) for key, one in value.items()})
    return str(value)
