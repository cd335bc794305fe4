"""A model of the user's in memory: put inside TransformerLens once, and left as it was if it cannot be studied."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from copy import copy
from typing import Any

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import PretrainedConfig, PreTrainedModel

_KEPT_ON = "_hn_utils_wrapped"  # the attribute of a wrapped model that holds its Wrapped


class Wrapped:
    """What a model is wrapped in, and the hooks that were on it then: a later wrap takes the same."""

    def __init__(self, bridge: TransformerBridge, hooks: set[tuple[int, int]]) -> None:
        self.bridge, self.hooks = bridge, hooks


def wrapped_before(model: PreTrainedModel) -> Wrapped | None:
    return vars(model).get(_KEPT_ON)


def remember(model: PreTrainedModel, wrapped: Wrapped) -> None:
    """Keep it on the model, so that both go together; past nn.Module, which would count it as a part."""
    vars(model)[_KEPT_ON] = wrapped


@contextlib.contextmanager
def as_it_was(model: PreTrainedModel) -> Iterator[None]:
    """Whatever the block raises, the model then has the modules, hooks, mode and configuration that it had before."""
    modules = [(module, _one_level(vars(module))) for module in model.modules()]
    configs = [(config, _one_level(vars(config))) for config in configurations(model)]
    try:
        yield
    except BaseException:
        for owner, before in (*modules, *configs):
            vars(owner).clear()
            vars(owner).update(before)
        raise


def _one_level(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes as they are now, with their dictionaries, lists and sets copied: hooks and submodules lie in these."""
    kinds = dict | list | set
    return {name: copy(value) if isinstance(value, kinds) else value for name, value in attributes.items()}


def configurations(model: PreTrainedModel) -> list[PretrainedConfig]:
    """Every configuration that a module of the model reads, and those inside of it, each once."""
    found: dict[int, PretrainedConfig] = {}
    waiting: list[Any] = [getattr(module, "config", None) for module in model.modules()]
    while waiting:
        config = waiting.pop()
        if isinstance(config, PretrainedConfig) and id(config) not in found:
            found[id(config)] = config
            waiting += vars(config).values()
    return list(found.values())


def foreign_hooks(model: torch.nn.Module, known: Collection[tuple[int, int]] = ()) -> list[str]:
    """Hooks on a model's modules that are neither known nor of Transformers itself, which records hidden states so."""
    found = []
    for name, module in model.named_modules():
        for number, hook in (*module._forward_hooks.items(), *module._forward_pre_hooks.items()):
            own = str(getattr(hook, "__module__", "")).startswith("transformers.")
            if not own and (id(module), number) not in known:
                found.append(f"{getattr(hook, '__name__', hook)} on {name or 'the model'}")
    return found
