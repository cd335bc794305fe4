"""Exercises of notebook 3: scaling and undoing it, random sets of neurons, a rate with its interval."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import nn

from hn_utils.course.mistakes import Mistake, shown
from hn_utils.stats.bootstrap import bootstrap
from hn_utils.stats.metrics import mean
from hn_utils.stats.neuron_sets import Match, random_sets

_NOT_UNDONE = "after the block the layer is not as it was"


def check_scaling(answer: Callable[[nn.Module, list[int], float], AbstractContextManager]) -> None:
    """A context manager that scales inputs of a down projection and undoes it, whatever happens inside."""
    dice = torch.Generator().manual_seed(0)
    down, neurons, alpha = nn.Linear(6, 40, bias=False).double(), [1, 4], 0.7
    nn.init.normal_(down.weight, generator=dice)
    z = torch.randn(2, 5, 6, generator=dice).double()
    kept, weights, before = z.clone(), down.weight.detach().clone(), down(z).detach().clone()
    chosen = torch.eye(6).double()[neurons].sum(0)  # 1 at these neurons
    turned = z.clone()
    turned[..., neurons] *= alpha
    expected = turned @ weights.T
    with answer(down, neurons, alpha):
        inside = down(z).detach().clone()
    if not torch.equal(z, kept):
        raise Mistake("the caller's own z was changed: clone it first, or the scaling stays for whoever reads it next")
    if torch.equal(inside, before):
        raise Mistake("inside the block nothing changed: is the hook registered, and does it return the new input?")
    if not torch.allclose(inside, expected):
        along_tokens = z.clone()
        along_tokens[:, neurons] *= alpha
        unchanged = ((inside - before).abs().sum(-1) == 0).any()
        for message, found in (
            ("the whole layer was scaled: only these neurons", torch.allclose(inside, alpha * before)),
            ("alpha was added; it multiplies", torch.allclose(inside, (z + alpha * chosen) @ weights.T)),
            (
                "whole tokens were scaled: neurons are the last axis, z[..., neurons]",
                torch.allclose(inside, along_tokens @ weights.T),
            ),
            ("some positions were not scaled: a neuron is turned up at every token", unchanged),
        ):
            if found:
                raise Mistake(message)
        raise Mistake("inside the block the output is not that of the scaled neurons")
    if not torch.equal(down.weight, weights):
        raise Mistake(f"{_NOT_UNDONE}: the weights differ in their last bits. A hook leaves them alone")
    if not torch.equal(down(z), before):
        raise Mistake(f"{_NOT_UNDONE}: the hook still hangs there. Remove its handle")
    _check_undoing(answer(down, neurons, alpha), lambda: torch.equal(down(z), before))


def _check_undoing(block: AbstractContextManager, as_before: Callable[[], bool]) -> None:
    """Does a block leave all as it was if an error is raised inside, and let the error pass?"""
    passed = False
    try:
        with block:
            raise ZeroDivisionError
    except ZeroDivisionError:
        passed = True
    if not as_before():
        raise Mistake(f"{_NOT_UNDONE} if an error is raised inside: put the undoing into `finally`")
    if not passed:
        raise Mistake("an error that was raised inside the block vanished: undo in `finally`, and let it pass")


def package_rate(outcomes: np.ndarray, people: np.ndarray, seed: int) -> tuple[float, float, float]:
    estimate = bootstrap(mean, (outcomes == "complied").astype(float), groups=people, seed=seed)
    return estimate.value, estimate.low, estimate.high


def check_rate(answer: Callable[[np.ndarray, np.ndarray, int], tuple[float, float, float]]) -> None:
    """Outcomes and people to the share that complied and its 95 % bootstrap interval over people."""
    people = np.repeat(np.arange(60), 4)
    complied = np.repeat(np.random.default_rng(1).random(60) < 0.4, 4)  # who complies once complies always
    outcomes = np.where(complied, "complied", np.where(np.arange(240) % 2 == 0, "resisted", "neither"))
    share = float(complied.mean())
    given = answer(outcomes, people, 0)
    try:
        value, low, high = map(float, given)
    except (TypeError, ValueError):
        raise Mistake(f"expected three numbers, the share and the ends of its interval, got {given!r}") from None
    if np.isclose(value, 100 * share):
        raise Mistake("that is in percent; the notebooks' rates are shares between 0 and 1")
    if np.isclose(value, complied.sum() / (outcomes != "neither").sum()):
        raise Mistake("replies that are neither count as well: without them a model that babbles looks compliant")
    if not np.isclose(value, share):
        raise Mistake(f"{complied.sum()} of 240 replies complied, which is {share:.3f}; you gave {value:.3f}")
    _check_interval(value, low, high)


def _check_interval(share: float, low: float, high: float) -> None:
    """Is it as wide as sixty people make it, each of whom always replies alike, four times?"""
    deviation = np.sqrt(share * (1 - share))
    wide, narrow = 2 * 1.96 * deviation / np.sqrt(60), 2 * 1.96 * deviation / np.sqrt(240)
    width = high - low
    if low == high:
        raise Mistake("the interval has no width: people are drawn *with* replacement, or every draw is the same")
    if high < share:
        raise Mistake("the whole interval lies below the rate: np.percentile counts to 100, so 2.5 and 97.5")
    if not low < share < high:
        raise Mistake(f"the interval [{low:.2f}, {high:.2f}] does not hold the rate {share:.2f}")
    if width < 1.25 * narrow:
        raise Mistake(
            f"the interval is too narrow ({width:.2f}, not about {wide:.2f}): each person was asked four times and "
            "always replied alike: that is sixty observations, not 240. Resample people with all their replies"
        )
    if width < 0.9 * wide:
        raise Mistake(
            f"the interval is too narrow ({width:.2f}, not about {wide:.2f}): it ends at percentiles 2.5 and 97.5, and "
            "a person who is drawn twice counts twice"
        )
    if width > 1.2 * wide:
        raise Mistake(
            f"the interval is too wide ({width:.2f}, not about {wide:.2f}): draw as many people as there are, and end "
            "at percentiles 2.5 and 97.5"
        )


def package_random_set(h_neurons: np.ndarray, d_mlp: int, seed: int) -> np.ndarray:
    n_layers = int(h_neurons.max()) // d_mlp + 1
    return random_sets(h_neurons, (n_layers, d_mlp), 1, Match("layer"), seed)[0]


def check_random_set(answer: Callable[[np.ndarray, int, int], np.ndarray]) -> None:
    """H-Neurons (flat), neurons a layer and a seed, to as many random neurons of the same layers."""
    d_mlp, h_neurons = 20, np.array([0, 3, 7, 12, 15, 45, 47, 50, 58])  # nine in layers 0 and 2
    drawn = [np.asarray(answer(h_neurons, d_mlp, seed)) for seed in range(60)]
    for one in drawn:
        if one.ndim != 1 or not np.issubdtype(one.dtype, np.integer):
            raise Mistake(f"expected one whole number a neuron, got {shown(one)}")
        if len(one) != len(h_neurons):
            raise Mistake(
                f"{len(one)} neurons for {len(h_neurons)} H-Neurons: a bigger set would detect more by itself"
            )
    if all(one.max() < d_mlp for one in drawn):
        raise Mistake("all lie in layer 0: a flat number is layer times d_mlp plus the place in the layer")
    if any(len(set(one.tolist())) < len(one) for one in drawn):
        raise Mistake("a neuron was drawn twice: draw without replacement")
    layers = np.bincount(h_neurons // d_mlp, minlength=3)
    if any((one < 0).any() or (np.bincount(one // d_mlp, minlength=3).tolist() != layers.tolist()) for one in drawn):
        raise Mistake(
            "the layers differ: contributions differ from layer to layer, so draw as many in each as H-Neurons"
        )
    if any(np.isin(one, h_neurons).any() for one in drawn):
        raise Mistake("an H-Neuron is among them: a control that holds the treatment makes the difference smaller")
    if not np.array_equal(drawn[0], np.asarray(answer(h_neurons, d_mlp, 0))):
        raise Mistake("the same seed gives another set: a control has to come out the same when it is run again")
    if len({tuple(sorted(one.tolist())) for one in drawn}) < 50:
        raise Mistake("different seeds give the same set: one draw says nothing about the spread")
    if len(set(np.concatenate(drawn).tolist())) < 2 * d_mlp - len(h_neurons):
        raise Mistake("some neurons of these layers are never drawn")
