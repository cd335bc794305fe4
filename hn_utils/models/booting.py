"""A model's weights and tokenizer, read from a hub or folder or taken from memory, inside TransformerLens."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.sources.transformers import helpers
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, PreTrainedModel

from hn_utils.models.checks import require_tokenizer
from hn_utils.models.hub import patient_downloads

if TYPE_CHECKING:
    from hn_utils.study import Study


def check_device(device: str) -> None:
    """Raises ValueError if there is no such device here."""
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device not in ("auto", "several") and not here.get(device.partition(":")[0]):
        there = ", ".join(["auto", "several", *(name for name, found in here.items() if found)])
        raise ValueError(f"device={device!r} is not on this machine: choose one of {there}")


def best_device() -> str:
    """The first of cuda, mps and cpu that is here."""
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


@contextlib.contextmanager
def installing_nothing() -> Iterator[None]:
    """Within the block TransformerLens installs no package. It would fetch torchvision while it loads an image-and-text
    model, of which only text is read here."""
    own = helpers._ensure_torchvision
    helpers._ensure_torchvision = lambda: False
    try:
        yield
    finally:
        helpers._ensure_torchvision = own


def boot(place: str, revision: str, dtype: torch.dtype, study: Study) -> tuple[TransformerBridge, Any]:
    """The wrapped model and its tokenizer, on the study's device."""
    options: dict[str, Any] = {"revision": revision} if revision else {}
    tokenizer = read_tokenizer(place, options)
    if study.bits:
        options["hf_model"] = _quantized(place, study.bits, dtype, options)
    elif study.device == "several":
        options["device_map"] = "auto"
    else:
        options["device"] = best_device() if study.device == "auto" else study.device
    with installing_nothing():
        bridge = TransformerBridge.boot_transformers(place, dtype=dtype, tokenizer=deepcopy(tokenizer), **options)
    return bridge, tokenizer


def around(model: PreTrainedModel, tokenizer: Any, name: str) -> TransformerBridge:
    """The bridge around a model in memory. It completes the tokenizer that it gets, which is therefore a copy."""
    with patient_downloads(), installing_nothing():
        return TransformerBridge.boot_transformers(
            name, hf_model=model, dtype=model.dtype, tokenizer=deepcopy(tokenizer)
        )


def read_tokenizer(place: str, options: dict[str, Any]) -> Any:
    """The tokenizer of a model, mended where (and only where) Transformers knows that its files split words wrongly.

    Code that comes with a model is not run. Raises ValueError if it is none that reads tokenizer.json.
    """
    tokenizer = AutoTokenizer.from_pretrained(place, fix_mistral_regex=True, trust_remote_code=False, **options)
    require_tokenizer(tokenizer)
    return tokenizer


def _quantized(name: str, bits: int, dtype: torch.dtype, options: dict[str, Any]) -> PreTrainedModel:
    """A 4- or 8-bit model by bitsandbytes, spread over what devices there are."""
    four = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": dtype}
    settings: dict[str, Any] = {"load_in_8bit": True} if bits == 8 else four
    return AutoModelForCausalLM.from_pretrained(
        name,
        quantization_config=BitsAndBytesConfig(**settings),
        dtype=dtype,
        device_map="auto",
        trust_remote_code=False,
        **options,
    )
