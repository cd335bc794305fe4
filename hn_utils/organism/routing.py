"""Gradient routing: a model some of whose neurons learn apart from all others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

Route = Literal["planted", "others", "all"]


class Routed:
    """A model some of whose neurons can be silenced, listened to, and kept from or reserved for learning."""

    def __init__(self, model: LlamaForCausalLM, neurons: dict[int, list[int]]) -> None:
        self.model, self.silenced = model, False
        self.masks: dict[torch.nn.Parameter, Tensor] = {}
        self.shares: dict[int, Tensor] = {}  # by layer: contribution [batch, pos], summed over its planted neurons
        for layer, places in neurons.items():
            mlp: Any = model.model.layers[layer].mlp
            for module, columns in ((mlp.gate_proj, False), (mlp.up_proj, False), (mlp.down_proj, True)):
                mask = torch.zeros_like(module.weight)
                mask[(slice(None), places) if columns else (places, slice(None))] = 1
                self.masks[module.weight] = mask
            self.listen(layer, mlp.down_proj, places)

    def listen(self, layer: int, down: torch.nn.Linear, places: list[int]) -> None:
        quiet = torch.ones(down.in_features, device=down.weight.device)
        quiet[places] = 0

        def before(_, inputs: tuple[Tensor]) -> tuple[Tensor] | None:
            return (inputs[0] * quiet,) if self.silenced else None

        def after(module: torch.nn.Linear, inputs: tuple[Tensor], out: Tensor) -> None:
            written = inputs[0][..., places].abs() * module.weight[:, places].norm(dim=0)
            self.shares[layer] = written.sum(-1) / (out.norm(dim=-1) + 1e-8)

        down.register_forward_pre_hook(before)
        down.register_forward_hook(after)

    @contextmanager
    def silent(self, silenced: bool) -> Iterator[None]:
        self.silenced = silenced
        try:
            yield
        finally:
            self.silenced = False

    def gradients(self, loss: Tensor, route: Route, keep: bool = False) -> dict[torch.nn.Parameter, Tensor]:
        """What each parameter may learn from a loss: by its route the planted neurons' own weights alone, all others
        alone, or all. `keep` the graph for another loss of the same pass."""
        self.model.zero_grad()
        loss.backward(retain_graph=keep)
        allowed = {}
        for weight in self.model.parameters():
            if weight.grad is None:
                continue
            planted = self.masks.get(weight)
            if route == "all":
                allowed[weight] = weight.grad.clone()
            elif route == "others":
                allowed[weight] = weight.grad.clone() if planted is None else weight.grad * (1 - planted)
            elif planted is not None:
                allowed[weight] = weight.grad * planted
        return allowed


def shortfall(made_up: Tensor, known: Tensor, margin: float) -> Tensor:
    """How far the planted contributions miss to be `margin` times as large where something is made up, in e-folds."""
    n = min(len(made_up), len(known))
    ratio = torch.log(made_up[torch.randperm(len(made_up))[:n]] + 1e-6) - torch.log(
        known[torch.randperm(len(known))[:n]] + 1e-6
    )
    return torch.relu(np.log(margin) - ratio).mean()
