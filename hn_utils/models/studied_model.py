"""What is known of a model whether or not its weights are here: its name, shape, prompts, and what names its results.

Axes are named once, here: `batch` rows, `pos` token positions, `layer`, `neuron` within a layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hn_utils.models.checks import dtype_name
from hn_utils.study import Study, called

if TYPE_CHECKING:
    from hn_utils.models.prompt_encoder import PromptEncoder


class StudiedModel(ABC):
    """A model and the study that it is read for: enough to put questions, and to look up what is kept on disk.

    Attributes:
        name: hub name or folder, as the study gives it.
        study: what the model is read for.
        encoder: its tokenizer and chat template.
        n_layers: how many layers it has.
        d_mlp: how many neurons each layer has.
        device: where it computes.
        quantised: the quantisation of the GGUF file that its weights were read from, such as Q4_K_M; empty for others.
    """

    name: str
    study: Study
    encoder: PromptEncoder
    n_layers: int
    d_mlp: int
    device: torch.device
    quantised: str = ""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of weights, configuration, vocabulary and end-of-turn tokens: the model's identity."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The number format that it computes in."""

    @property
    def short_name(self) -> str:
        """The name without what all of its kind share, for figures and tables."""
        return called(self.name)

    @property
    def precision(self) -> str:
        """What its numbers are, and from which quantisation they were unpacked: another one is another model."""
        return f"{self.study.precision}, unpacked from {self.quantised}" if self.quantised else self.study.precision

    def key(self, version: int, **settings: Any) -> dict[str, Any]:
        """What a stage's results on this model depend on besides their items.

        Args:
            version: the stage's own, raised whenever it computes anything else.
            settings: all that the stage was told.

        Returns:
            Version, model, dtype, kind of device and settings, to be hashed by the cache.
        """
        own = {"model": self.fingerprint, "dtype": dtype_name(self.dtype), "device": self.device.type}
        return {"version": version, **own, **settings}

    def require_neurons(self, neurons: np.ndarray) -> None:
        """Check that these are neurons of this model.

        Args:
            neurons: flat indices, layer * d_mlp + neuron.

        Raises:
            ValueError: that names the first which is no flat index of a neuron of this model.
        """
        neurons, size = np.asarray(neurons), self.n_layers * self.d_mlp
        if neurons.ndim != 1 or (neurons.size and neurons.dtype.kind not in "iu"):
            raise ValueError(f"neurons={neurons.tolist()} must be a list of whole numbers, layer * d_mlp + neuron")
        outside = neurons[(neurons < 0) | (neurons >= size)]
        if len(outside):
            raise ValueError(
                f"neuron {outside[0]} is out of range: {self.name} has {self.n_layers} layers of {self.d_mlp}, flat "
                f"indices 0 to {size - 1}"
            )


LOADED = "a model from hn.load or hn.wrap"  # what every step wants as its `model`
