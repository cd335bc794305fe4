"""What could silently be wrong with a model, looked at once: each check raises ValueError in one sentence, and what is
not a number passes none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

_WIDE = (torch.float32, torch.float64, torch.bfloat16, torch.float16)  # dtypes that can be searched as they are


def dtype_name(dtype: torch.dtype) -> str:
    """A dtype as a study names it, such as `float32`."""
    return str(dtype).removeprefix("torch.")


def relative(value: Tensor, expected: Tensor) -> float:
    """How far a tensor is off, relative to the size of what was expected: NaN where either is not finite."""
    off = (value.float() - expected.float()).norm()
    return 0.0 if off == 0 else float(off / expected.float().norm())


def require_near(value: Tensor, expected: Tensor, bound: float, failed: Callable[[str], str]) -> float:
    """How far `value` is off. Raises ValueError, worded by `failed`, if not at most `bound`, or not a number."""
    off = relative(value, expected)
    if not off <= bound:
        raise ValueError(failed(f"{off:.1%}" if off < 10 else "more than tenfold"))
    return off


def _is_finite(value: Tensor) -> bool:
    """Are all its numbers finite? Without a copy of the tensor."""
    if value.dtype not in _WIDE or not value.numel():
        return True
    low, high = value.detach().aminmax()
    return bool(torch.isfinite(low) & torch.isfinite(high))


def require_finite_weights(model: torch.nn.Module, name: str) -> None:
    for weight_name, weight in model.named_parameters():
        if not _is_finite(weight):
            raise ValueError(
                f"{name}: its weight {plain_name(weight_name)} holds numbers that are not finite (NaN or infinite): "
                "the copy is damaged, or was trained until it broke"
            )


def require_finite(value: Tensor, name: str, where: str) -> None:
    """Raises ValueError if something that the model computed is not finite."""
    if not _is_finite(value):
        raise ValueError(f"{name}: {where} is not finite (NaN or infinite) in {_remedied(value.dtype)}")


def require_numbers(logprobs: Tensor, name: str, dtype: torch.dtype) -> None:
    """Raises ValueError if a log-probability is NaN, which a model of this `dtype` gave."""
    if torch.isnan(logprobs).any():
        raise ValueError(f"{name}: what it predicts is not a number (NaN) in {_remedied(dtype)}")


def _remedied(dtype: torch.dtype) -> str:
    """A dtype in which something overflowed, and what to do."""
    if dtype == torch.float16:
        return "float16: choose dtype='bfloat16' or 'float32', whose range is wider"
    called = dtype_name(dtype)
    return f"{called}, though its weights are finite: load it anew, and compare it with a copy that works"


def require_same_twice(first: Tensor, again: Tensor, name: str) -> None:
    if not torch.equal(first, again):
        raise ValueError(
            f"{name}: two readings of one text differ by {relative(again, first):.1e}: something in it is drawn at "
            "random, such as dropout; switch it off"
        )


def require_reading_mode(model: torch.nn.Module, name: str) -> None:
    """Raises ValueError if some part of the model is in training mode, where dropout changes every reading."""
    training = [part for part, module in model.named_modules() if module.training]
    if training:
        raise ValueError(
            f"{name} is in training mode ({len(training)} of its modules are, such as "
            f"{plain_name(training[0]) or 'the model itself'}), where dropout changes every reading: call "
            "model.eval() first"
        )


def require_weights_here(model: torch.nn.Module, name: str) -> None:
    """Raises ValueError if weights lie on the disk, or in another memory than that they are used in."""
    away = [weight_name for weight_name, weight in model.named_parameters() if weight.is_meta]
    if away:
        raise ValueError(
            f"{name}: {len(away)} of its weights, such as {plain_name(away[0])}, do not fit into memory and were left "
            "on disk, where they cannot be read: choose a smaller model, dtype='bfloat16', or bits=8 or 4"
        )


def require_gated(blocks: Any, name: str) -> None:
    """Raises ValueError if a layer has no MLP of gate, up and down projection."""
    parts = ("gate", "in", "out")
    wrong = [i for i, block in enumerate(blocks) if not all(hasattr(getattr(block, "mlp", None), p) for p in parts)]
    if wrong:
        raise ValueError(
            f"{name}: layers {wrong} have no gated MLP (a mixture of experts has many); only models with one "
            "gated MLP in every layer are studied"
        )


def require_width(posts: Mapping[int, Tensor], n_layers: int, d_mlp: int, name: str) -> None:
    """Raises ValueError if a layer does not show as many neurons as the model's configuration says."""
    widths = {layer: posts[layer].shape[-1] for layer in posts}
    wrong = [layer for layer in range(n_layers) if widths.get(layer) != d_mlp]
    others = sorted({widths[layer] for layer in wrong if layer in widths})
    if wrong and others:
        raise ValueError(
            f"{name}: layers {wrong} have {' or '.join(map(str, others))} neurons, not the {d_mlp} that its "
            "configuration names as intermediate_size: models whose layers choose their own width are not studied"
        )
    if wrong:
        raise ValueError(
            f"{name}: layers {wrong} were read without a look at their neurons: how this family computes its MLP is "
            "not known here"
        )


def require_model(model: Any) -> None:
    """Raises ValueError if this is no model of Transformers, but one with something around it, or none at all."""
    if isinstance(model, PreTrainedModel):
        return
    inner = "a model of Transformers in memory, or its name or folder to hn.load"
    if hasattr(model, "merge_and_unload"):
        inner = "what model.merge_and_unload() returns, the model with the adapter in its weights"
    elif hasattr(model, "_orig_mod"):
        inner = "the model that was compiled, model._orig_mod"
    raise ValueError(f"model is of type {type(model).__name__}: give {inner}")


def require_tokenizer(tokenizer: Any) -> None:
    """Raises ValueError if this is no fast tokenizer of Transformers."""
    inner = getattr(tokenizer, "tokenizer", None)
    if isinstance(inner, PreTrainedTokenizerBase):
        raise ValueError(f"tokenizer is a {type(tokenizer).__name__}: give its tokenizer, processor.tokenizer")
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise ValueError(
            f"tokenizer is of type {type(tokenizer).__name__}: give what AutoTokenizer.from_pretrained returns for the "
            "model"
        )
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise ValueError(
            f"tokenizer is a {type(tokenizer).__name__}, not one that reads tokenizer.json: give "
            "PreTrainedTokenizerFast.from_pretrained(folder), or uninstall mistral-common"
        )


def plain_name(module_name: str) -> str:
    """A module's or weight's name without what TransformerLens writes between its parts."""
    return module_name.replace("_original_component.", "").removesuffix("._original_component")
