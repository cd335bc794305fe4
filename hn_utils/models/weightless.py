"""A model that is not there: its shape and its tokenizer, without its weights."""

from __future__ import annotations

from copy import deepcopy
from functools import cached_property
from typing import Any

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    GenerationConfig,
    PretrainedConfig,
)
from transformers.initialization import no_init_weights

from hn_utils.models.booting import best_device, read_tokenizer
from hn_utils.models.hooked_model import Subject
from hn_utils.models.hub import check_folder, explained, known_fingerprint, patience, place_of
from hn_utils.study import Study


class Absent(Subject):
    """A model's name, shape and tokenizer without its weights: enough to put questions, and to look up what is kept."""

    def __init__(self, name: str, study: Study) -> None:
        """Raises OSError if configuration or tokenizer cannot be read, ValueError if the model has no gated MLPs."""
        place, revision = place_of(name)
        check_folder(place)
        options: dict[str, Any] = {"revision": revision} if revision else {}
        try:
            with patience():
                self.config: PretrainedConfig = AutoConfig.from_pretrained(place, trust_remote_code=False, **options)
                self.tokenizer = read_tokenizer(place, options)
        except Exception as error:
            raise OSError(f"could not read the configuration of {name!r} {explained(error)}") from error
        self.name, self.study, self.text_config = name, study, self.config.get_text_config()
        if not hasattr(self.text_config, "intermediate_size"):
            raise ValueError(f"{name} has no intermediate_size in its configuration: only gated MLPs are studied")
        self.n_layers, self.d_mlp = self.text_config.num_hidden_layers, self.text_config.intermediate_size
        self.heads = self.text_config.num_attention_heads
        self.device = torch.device(best_device() if study.device in ("auto", "several") else study.device)
        try:
            self.ends = GenerationConfig.from_pretrained(place, **options).eos_token_id
        except OSError:  # many models have no such file
            self.ends = self.text_config.eos_token_id

    @property
    def fingerprint(self) -> str:
        return known_fingerprint(self.name, self.config, self.study) or "never loaded here"

    def key(self, version: int, **settings: Any) -> dict[str, Any]:
        own = {"model": self.fingerprint, "dtype": self.study.dtype, "device": self.device.type}
        return {"version": version, **own, **settings}

    @property
    def configured_ends(self) -> int | list[int] | None:
        return self.ends

    @cached_property
    def weights(self) -> float:
        """Bytes of all parameters, exactly: the model is built without memory. Quantised are the layers alone."""
        kind = AutoModelForCausalLM if self.text_config is self.config else AutoModelForImageTextToText
        with torch.device("meta"):
            model = kind.from_config(self.config)
        size = dtype_of(self.study).itemsize
        layers = sum(p.numel() for name, p in model.named_parameters() if ".layers." in name)
        rest = sum(p.numel() for p in model.parameters()) - layers
        return rest * size + layers * (self.study.bits / 8 if self.study.bits else size)

    def shallow(self, depth: int) -> Subject:
        """The same shape with few layers, whose weights are all alike: as fast as any others."""
        config = deepcopy(self.text_config)
        config.num_hidden_layers = depth
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:depth]
        with torch.device(self.device), no_init_weights():
            model = AutoModelForCausalLM.from_config(config, dtype=dtype_of(self.study))
        model.tie_weights()
        model.config.architectures = [
            type(model).__name__
        ]  # by which TransformerLens knows the text part of a larger one
        for weight in model.parameters():
            weight.data.fill_(0.02)
        bridge = TransformerBridge.boot_transformers(
            self.name, hf_model=model.eval(), tokenizer=self.tokenizer, device=str(self.device), dtype=model.dtype
        )
        return Subject(bridge, self.tokenizer, self.name, self.study)


def dtype_of(study: Study) -> torch.dtype:
    return getattr(torch, study.dtype)
