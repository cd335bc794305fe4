"""A model without its weights: its shape, its tokenizer and its name, as far as questions and plans need them."""

from __future__ import annotations

from copy import deepcopy
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    GenerationConfig,
    PretrainedConfig,
)
from transformers.initialization import no_init_weights

from hn_utils.models.batches import LayerSize
from hn_utils.models.booting import around, best_device, read_tokenizer
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.hub import explained, patient_downloads
from hn_utils.models.places import known_fingerprint, shape_at
from hn_utils.models.prompt_encoder import PromptEncoder
from hn_utils.models.studied_model import StudiedModel

if TYPE_CHECKING:
    from hn_utils.study import Study


class WeightlessModel(StudiedModel):
    """A model's name, shape and tokenizer: enough to put questions, and to look up what is kept on disk.

    Attributes:
        config: its whole configuration.
        text_config: that of its text part, the same for most models.
        heads: how many attention heads a layer has.
        layer_size: the same with its neurons, by which batches are cut.
    """

    def __init__(self, name: str, study: Study) -> None:
        """Read configuration and tokenizer.

        Args:
            name: a Hugging Face name (`name@revision` for a branch), a local folder or a GGUF file.
            study: what the model would be read for.

        Raises:
            OSError: if configuration or tokenizer cannot be read.
            ValueError: if the model has no gated MLPs.
        """
        place, options = shape_at(name, study.dtype)
        try:
            with patient_downloads():
                self.config: PretrainedConfig = AutoConfig.from_pretrained(place, trust_remote_code=False, **options)
                tokenizer = read_tokenizer(place, options)
        except Exception as error:
            raise OSError(f"could not read the configuration of {name!r} {explained(error)}") from error
        self.name = name
        self.study = study
        self.text_config = self.config.get_text_config()
        if not hasattr(self.text_config, "intermediate_size"):
            raise ValueError(f"{name} has no intermediate_size in its configuration: only gated MLPs are studied")
        self.n_layers = self.text_config.num_hidden_layers
        self.d_mlp = self.text_config.intermediate_size
        self.heads = self.text_config.num_attention_heads
        self.layer_size = LayerSize(self.heads, self.d_mlp)
        self.device = torch.device(best_device() if study.device in ("auto", "several") else study.device)
        self.encoder = PromptEncoder(tokenizer, name, self.config, self._configured_ends(place, options))

    def _configured_ends(self, place: str, options: dict[str, Any]) -> int | list[int] | None:
        """What the model's files name as ends of its turn."""
        try:
            return GenerationConfig.from_pretrained(place, **options).eos_token_id
        except OSError:  # many models have no such file
            return self.text_config.eos_token_id

    @property
    def fingerprint(self) -> str:
        """The fingerprint that it had when it was last loaded here, or words that no kept result bears."""
        return known_fingerprint(self.name, self.config, self.study) or "never loaded here"

    @property
    def dtype(self) -> torch.dtype:
        """The number format that it would be loaded in."""
        return dtype_of(self.study)

    @cached_property
    def weight_bytes(self) -> float:
        """Bytes of all parameters, exactly: the model is built without memory. Quantised are the layers alone."""
        kind = AutoModelForCausalLM if self.text_config is self.config else AutoModelForImageTextToText
        with torch.device("meta"):
            model = kind.from_config(self.config)
        size = self.dtype.itemsize
        layers = sum(p.numel() for name, p in model.named_parameters() if ".layers." in name)
        rest = sum(p.numel() for p in model.parameters()) - layers
        return rest * size + layers * (self.study.bits / 8 if self.study.bits else size)

    def shallow(self, depth: int) -> HookedModel:
        """A model of the same shape with few layers, whose weights are all alike: as fast as any others.

        Args:
            depth: how many layers.

        Returns:
            A model that can be run, to be timed; what it writes means nothing.

        Raises:
            RuntimeError: if it finds no room in memory.
        """
        config = deepcopy(self.text_config)
        config.num_hidden_layers = depth
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:depth]
        with torch.device(self.device), no_init_weights():
            model = AutoModelForCausalLM.from_config(config, dtype=self.dtype)
        model.tie_weights()
        kind = type(model).__name__
        model.config.architectures = [kind]  # by which TransformerLens knows the text part of a larger one
        for weight in model.parameters():
            weight.data.fill_(0.02)
        tokenizer = self.encoder.tokenizer
        return HookedModel(around(model.eval(), tokenizer, self.name), tokenizer, self.name, self.study)


def dtype_of(study: Study) -> torch.dtype:
    """The dtype that a study names, such as torch.bfloat16."""
    return getattr(torch, study.dtype)
