"""Exercises of the ninety-minute session: read a hook point, AUROC by hand, a hook that scales."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hn_utils.course.mistakes import Mistake, compare, same
from hn_utils.stats.metrics import auroc

_POINTS = ("hook_pre", "hook_pre_linear", "hook_post", "hook_out")  # of an MLP, as TransformerLens names them


class _Bridge:
    """Two layers of a TransformerBridge that knows one text: what `run_with_cache` and `run_with_hooks` read there."""

    ids = (5, 2, 9)
    d_mlp = 4

    def __init__(self) -> None:
        dice = torch.Generator().manual_seed(0)
        names = [f"blocks.{layer}.mlp.{point}" for layer in (0, 1) for point in _POINTS]
        self.seen = {name: torch.randn(1, len(self.ids), self.d_mlp, generator=dice) for name in names}

    def run_with_cache(self, ids: Any, **_: Any) -> tuple[None, Mapping[str, Tensor]]:
        self._require(ids)
        return None, self.seen

    def run_with_hooks(self, ids: Any, fwd_hooks: Sequence[tuple[str, Callable[..., Any]]] = (), **_: Any) -> None:
        self._require(ids)
        for name, hook in fwd_hooks:
            hook(self.seen[name], hook=name)

    def _require(self, ids: Any) -> None:
        """Raises Mistake unless this is the text, alone or as a batch of one."""
        if not isinstance(ids, Tensor):
            raise Mistake("the model reads a tensor, in which each row is a text: torch.tensor([ids])")
        if tuple(ids.flatten().tolist()) != self.ids:
            raise Mistake(f"the model was given the tokens {ids.tolist()}, and not `ids`")


def package_captured(bridge: Any, ids: Sequence[int], layer: int) -> Tensor:
    with torch.inference_mode():
        _, cache = bridge.run_with_cache(torch.tensor([list(ids)]))
    return cache[f"blocks.{layer}.mlp.hook_post"][0]


def check_captured(answer: Callable[[Any, list[int], int], Tensor]) -> None:
    """A bridge, token ids and a layer to the activations of this layer's neurons, [pos, neuron]."""
    bridge = _Bridge()
    for layer in (1, 0):
        given = answer(bridge, list(bridge.ids), layer)
        if not isinstance(given, Tensor):
            raise Mistake(f"expected a tensor [position, neuron], got {type(given).__name__}")
        right = bridge.seen[f"blocks.{layer}.mlp.hook_post"][0]  # [pos, neuron]
        if not same(given, right):
            raise Mistake(_read_instead(given, layer, bridge.seen, right))


def _read_instead(given: Tensor, layer: int, seen: Mapping[str, Tensor], right: Tensor) -> str:
    """What was captured in place of the layer's neurons."""
    if given.ndim == 3:
        return "that is [batch, position, neuron]: of a batch of one text take the first, [0]"
    for name, values in seen.items():
        if same(given, values[0]):
            wanted = f"blocks.{layer}.mlp.hook_post"
            return f"you read {name}; the neurons of layer {layer} fire at {wanted}"
    if any(same(given, row) for row in right):
        return "that is one token: keep all positions"
    if same(given, right.T):
        return "the axes are swapped: positions come first, then neurons"
    return f"shape {tuple(given.shape)}, where {tuple(right.shape)} is right, or other values than the hook point's"


def package_pairs(made_up: np.ndarray, true: np.ndarray) -> float:
    labels = np.repeat([1, 0], [len(made_up), len(true)])
    return float(auroc(labels, np.concatenate([made_up, true])))


def check_pairs(answer: Callable[[np.ndarray, np.ndarray], float]) -> None:
    """A neuron's contributions to made-up and to true answers, to its AUROC."""

    def pairs(made_up: np.ndarray, true: np.ndarray, of_a_tie: float) -> float:
        apart = made_up[:, None] - true[None, :]  # [made up, true]
        return float(((apart > 0) + of_a_tie * (apart == 0)).mean())

    compare(
        answer,
        [
            (np.array([3.0, 1.0, 2.0]), np.array([1.0, 0.0])),
            (np.array([1.0, 1.0, 5.0, 0.0]), np.array([2.0, 1.0, 4.0])),
            (np.array([2.0, 2.0]), np.array([2.0, 2.0, 2.0])),
        ],
        package_pairs,
        [
            ("a tie counts as half a pair, not as nothing", lambda m, t: pairs(m, t, 0.0)),
            ("a tie counts as half a pair, not as a whole one", lambda m, t: pairs(m, t, 1.0)),
            ("that is the share of pairs in which the *true* answer is larger", lambda m, t: pairs(t, m, 0.5)),
            ("that is how many pairs; AUROC is a share of all pairs", lambda m, t: m.size * t.size * pairs(m, t, 0.5)),
            ("that is a difference of means: compare every made-up answer with every true one", _mean_difference),
        ],
    )


def _mean_difference(made_up: np.ndarray, true: np.ndarray) -> float:
    return float(made_up.mean() - true.mean())


def package_scaling(neurons: Sequence[int], alpha: float) -> Callable[..., Tensor]:
    def hook(z: Tensor, hook: Any) -> Tensor:  # noqa: ARG001 (TransformerLens gives it by name)
        z = z.clone()
        z[..., neurons] *= alpha  # [batch, pos, neuron]
        return z

    return hook


def check_hook(answer: Callable[[list[int], float], Callable[..., Tensor]]) -> None:
    """Neurons of a layer and alpha, to a hook that multiplies their activations, at every token of every text."""
    dice = torch.Generator().manual_seed(1)
    z, neurons, alpha = torch.randn(2, 3, 6, generator=dice), [1, 4], 0.7
    kept = z.clone()
    hook = answer(neurons, alpha)
    if not callable(hook):
        raise Mistake(f"expected a function, a hook, got {type(hook).__name__}: return it, do not call it")
    try:
        given = hook(z, hook="blocks.3.mlp.hook_post")
    except TypeError as error:
        if "argument" not in str(error):
            raise
        told = "TransformerLens calls it as f(z, hook=...): it takes two arguments, the second named hook"
        raise Mistake(told) from None
    if not torch.equal(z, kept):
        raise Mistake("z itself was changed, which others may read as well: clone it first")
    if given is None:
        raise Mistake("the hook returns nothing, so that nothing changes: is there a `return`?")
    at = torch.zeros(6)
    at[neurons] = 1.0
    if not same(given, torch.where(at > 0, alpha * kept, kept)):
        raise Mistake(_done_instead(given, kept, at, alpha))


def _done_instead(given: Tensor, z: Tensor, at: Tensor, alpha: float) -> str:
    """What a hook did in place of the scaling."""
    first = z.clone()
    first[:, 0] = torch.where(at > 0, alpha * z[:, 0], z[:, 0])
    mistakes = [
        ("nothing changed: multiply the neurons by alpha", z),
        ("all neurons were scaled: `z[..., neurons]` are yours", alpha * z),
        ("you added alpha; multiply by it", z + alpha * at),
        ("you put alpha in their place; multiply by it", torch.where(at > 0, torch.full_like(z, alpha), z)),
        ("only the first token was scaled: neurons are the last axis, `z[..., neurons]`", first),
        ("the other neurons were scaled", torch.where(at > 0, z, alpha * z)),
    ]
    for message, wrong in mistakes:
        if same(given, wrong):
            return message
    return "the neurons are the last axis, `z[..., neurons]`; everything else stays as it is"
