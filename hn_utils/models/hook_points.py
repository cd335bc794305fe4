"""Places inside a forward pass, besides what neurons write, at which analyses read, change or silence what passes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel

Change = Callable[[int, Tensor], Tensor | None]


class Point(StrEnum):
    """A place in every layer, or one before or behind all layers, by TransformerLens' name of it."""

    EMBEDDINGS = "embed.hook_out"  # [batch, pos, d_model]
    HEADS = "blocks.{layer}.attn.o.hook_in"  # [batch, pos, head, d_head], what the heads gathered
    UP = "blocks.{layer}.mlp.in.hook_out"  # [batch, pos, neuron], before it is multiplied by the gate
    NEURONS = "blocks.{layer}.mlp.out.hook_in"  # [batch, pos, neuron], behind the gate
    MLP_OUT = "blocks.{layer}.mlp.hook_out"  # [batch, pos, d_model], before any norm behind it
    FINAL = "ln_final.hook_in"  # [batch, pos, d_model], the residual stream behind the last layer


class Units(NamedTuple):
    """Parts of a model that can be silenced, numbered layer by layer: layer * per_layer + unit."""

    name: str
    point: Point
    n_layers: int
    per_layer: int

    @property
    def n(self) -> int:
        """How many there are in all layers."""
        return self.n_layers * self.per_layer

    def apart(self, values: Tensor) -> Float[Tensor, "batch pos unit size"]:
        """What passes at the point in one layer, unit by unit.

        Args:
            values: as a hook sees them, [batch, pos, ...], whether heads are apart already or not.

        Returns:
            The same numbers in another shape.
        """
        return values.reshape(*values.shape[:2], self.per_layer, -1)


@contextlib.contextmanager
def hooked_at(model: HookedModel, point: Point, change: Change) -> Iterator[None]:
    """Within the block a function reads or changes what passes at a point; the hooks go when it ends, however it ends.

    Args:
        model: the model.
        point: the place, in every layer that has it.
        change: called as `change(layer, values)`; what it returns, unless None, takes the place of the values. At a
            point before or behind all layers, `layer` is 0.
    """
    layers = range(model.n_layers) if "{layer}" in point else range(1)
    hooks = [(point.format(layer=layer), lambda x, layer=layer, **_: change(layer, x)) for layer in layers]
    with model.bridge.hooks(fwd_hooks=hooks):
        yield


def neurons_of(model: HookedModel) -> Units:
    """The neurons of a model's MLPs.

    Args:
        model: the model.

    Returns:
        All of them, numbered as everywhere in this package.
    """
    return Units("MLP neuron", Point.NEURONS, model.n_layers, model.d_mlp)


def channels_of(model: HookedModel) -> Units:
    """The output channels of a model's down projections: coordinates of the residual stream, no neurons.

    Args:
        model: the model.

    Returns:
        All of them, d_model in each layer.
    """
    width = model.model.config.get_text_config().hidden_size
    return Units("residual channel", Point.MLP_OUT, model.n_layers, width)


def heads_of(model: HookedModel) -> Units:
    """The attention heads of a model.

    Args:
        model: the model.

    Returns:
        All of them, as many in each layer.
    """
    heads = model.model.config.get_text_config().num_attention_heads
    return Units("attention head", Point.HEADS, model.n_layers, heads)


@contextlib.contextmanager
def silenced(model: HookedModel, units: Units, which: Int[np.ndarray, "some"]) -> Iterator[None]:
    """Within the block some units give 0 at every token. The weights are never touched.

    Args:
        model: the model.
        units: of what kind they are.
        which: their numbers, layer * per_layer + unit.

    Raises:
        ValueError: a number is not that of a unit.
    """
    which = np.asarray(which, int)
    outside = which[(which < 0) | (which >= units.n)]
    if len(outside):
        raise ValueError(f"{units.name} {outside[0]} is out of range: {model.name} has {units.n}, numbered from 0")

    def silence(layer: int, values: Tensor) -> Tensor | None:
        own = which[which // units.per_layer == layer] % units.per_layer
        if not len(own):
            return None
        by_unit = units.apart(values).clone()
        by_unit[:, :, own] = 0
        return by_unit.reshape(values.shape)

    with hooked_at(model, units.point, silence):
        yield
