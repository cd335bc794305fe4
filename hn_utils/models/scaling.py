"""Turn neurons up and down, and leave no trace: z_j <- alpha * z_j at every token, inside a `with` block.

A dose may act at the tokens of the prompt alone, or at those behind it, and may scale around another value than 0:
around a neuron's mean, alpha 0 is mean ablation. `patched` puts activations of another run in the place of a run's own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel

At = Literal["everywhere", "prompt", "answer"]


class Dose(NamedTuple):
    """Neurons, and how their activations are changed: z_j <- c_j + alpha * (z_j - c_j).

    Attributes:
        neurons: flat indices, layer * d_mlp + neuron.
        alpha: 0 ablates, 1 changes nothing.
        at: at which tokens: `everywhere`, at those of the `prompt`, or at those of the `answer`, all behind the prompt.
            The token that stands last in the prompt predicts the first of the answer, and belongs to the prompt.
        around: c_j, in the unit of activations; None for 0, the paper's scaling.
    """

    neurons: Int[np.ndarray, "k"]
    alpha: float
    at: At = "everywhere"
    around: Float[np.ndarray, "k"] | None = None


UNSCALED = Dose(np.array([], dtype=int), 1.0)


class _Change(NamedTuple):
    """What doses do to one layer: to which columns, by which factor, around which value."""

    columns: Int[Tensor, "column"]
    factor: Float[Tensor, "dose column"]
    around: Float[Tensor, "dose column"]


@contextlib.contextmanager
def dosed(subject: HookedModel, doses: Sequence[Dose]) -> Iterator[None]:
    """Give each row of the batch its own dose while the block runs, so that one batch holds many curves and controls.

    One dose serves all rows; of several, what is generated from a prompt has that prompt's. The weights are never
    touched; the effect is that of scaling columns of W_down. Raises ValueError for a neuron the model does not have, an
    alpha that is negative or not finite, a batch that the doses do not fit, or a dose at prompts or answers where it is
    not known where prompts end.
    """
    if not doses:
        raise ValueError("doses=[] scales nothing: give one dose for all rows, or one for each")
    for dose in doses:
        require_possible(subject, dose)
    changes = _changes(subject, doses)
    somewhere = any(dose.at != "everywhere" for dose in doses)

    def turn(layer: int, post: Tensor) -> Tensor | None:
        if layer not in changes:
            return None
        columns, factor, around = (part.to(post.device) for part in changes[layer])
        dose = _dose_of_rows(subject, len(doses), len(post)).to(post.device)  # [batch], or [1]
        factor = factor[dose, None].to(post.dtype)  # [batch, 1, column]
        own = post[..., columns]  # [batch, pos, column]
        turned = own * factor + (1 - factor) * around[dose, None].to(post.dtype)
        if somewhere:
            acts = _acts_at(subject, [doses[place].at for place in dose.tolist()], post.shape[1])  # [batch, pos]
            turned = torch.where(acts.to(post.device)[..., None], turned, own)
        post = post.clone()
        post[..., columns] = turned
        return post

    alone = subject.hooks_are_known and not subject.is_dosed
    with subject.hooked(post=turn), subject.in_force(doses, alone):
        yield


def _changes(subject: HookedModel, doses: Sequence[Dose]) -> dict[int, _Change]:
    """What the doses do, layer by layer."""
    layers = [dose.neurons // subject.d_mlp for dose in doses]
    changes: dict[int, _Change] = {}
    for layer in np.unique(np.concatenate(layers)).tolist():
        here = [at == layer for at in layers]  # [dose][k]
        columns = np.unique(
            np.concatenate([d.neurons[mine] % subject.d_mlp for d, mine in zip(doses, here, strict=True)])
        )
        factor = np.ones((len(doses), len(columns)), np.float32)
        around = np.zeros((len(doses), len(columns)), np.float32)
        for row, (dose, mine) in enumerate(zip(doses, here, strict=True)):
            places = np.searchsorted(columns, dose.neurons[mine] % subject.d_mlp)
            factor[row, places] = dose.alpha
            if dose.around is not None:
                around[row, places] = dose.around[mine]
        changes[layer] = _Change(torch.as_tensor(columns), torch.as_tensor(factor), torch.as_tensor(around))
    return changes


def _dose_of_rows(subject: HookedModel, n_doses: int, n_rows: int) -> Int[Tensor, "batch"]:
    """Which dose each row of the batch has. Raises ValueError if the doses do not fit the rows that were given."""
    given = subject.given_rows
    n = n_rows if given is None else given.n
    if n_doses not in (1, n):
        raise ValueError(f"{n_doses} alphas do not fit a batch of {n} rows: give one, or one for each")
    if n_doses == 1:
        return torch.zeros(1, dtype=torch.long)
    return torch.arange(n_rows) if given is None else given.row


def _acts_at(subject: HookedModel, at: Sequence[At], width: int) -> Bool[Tensor, "batch pos"]:
    """At which of the tokens that are being read each row's dose acts; one for all rows has one entry in `at`."""
    in_prompt = subject.from_prompt_end(width) < 0  # [batch, pos]
    at_prompt = torch.tensor([place != "answer" for place in at], device=in_prompt.device)[:, None]
    at_answer = torch.tensor([place != "prompt" for place in at], device=in_prompt.device)[:, None]
    return torch.where(in_prompt, at_prompt, at_answer)


def require_possible(subject: HookedModel, dose: Dose) -> None:
    """Raises ValueError for a neuron that the model does not have, an alpha that is negative or not finite, an unknown
    place, or values that do not fit the neurons."""
    subject.require_neurons(dose.neurons)
    if not np.isfinite(dose.alpha) or dose.alpha < 0:
        raise ValueError(f"alpha={dose.alpha} must be finite and not negative: 0 ablates, 1 changes nothing")
    if dose.at not in get_args(At):
        raise ValueError(f"at={dose.at!r}: choose one of {', '.join(get_args(At))}")
    if dose.around is None:
        return
    if np.shape(dose.around) != np.shape(dose.neurons) or not np.isfinite(dose.around).all():
        raise ValueError(
            f"around has shape {np.shape(dose.around)} for {len(dose.neurons)} neurons: give one finite activation for "
            "each, or None for 0"
        )


@contextlib.contextmanager
def patched(
    subject: HookedModel, neurons: Int[np.ndarray, "k"], values: Sequence[Float[np.ndarray, "end k"]]
) -> Iterator[None]:
    """Replace activations at the last tokens of each given row's prompt while the block runs: activation patching.

    Args:
        subject: the model, which must know where prompts end (`prompts_end`).
        neurons: flat indices, layer * d_mlp + neuron.
        values: for each given row the activations that are put in, for its last prompt tokens; how many tokens may
            differ between rows.

    Raises:
        ValueError: the model has no such neuron, or the values do not fit neurons or rows.
    """
    subject.require_neurons(neurons)
    layers, columns = np.divmod(np.asarray(neurons), subject.d_mlp)
    longest = max((len(each) for each in values), default=0)
    ends = np.zeros((len(values), longest, len(layers)), np.float32)
    there = np.zeros((len(values), longest), bool)
    for row, each in enumerate(values):
        if each.ndim != 2 or each.shape[1] != len(layers):
            raise ValueError(f"values[{row}] has shape {each.shape}: give [end, {len(layers)}], a column a neuron")
        ends[row, longest - len(each) :] = each
        there[row, longest - len(each) :] = True

    def put_in(layer: int, post: Tensor) -> Tensor | None:
        mine = np.flatnonzero(layers == layer)
        if not (longest and len(mine)):
            return None
        given = subject.given_rows
        n = len(post) if given is None else given.n
        if n != len(values):
            raise ValueError(f"{len(values)} values do not fit a batch of {n} rows: give one for each")
        row = (torch.arange(len(post)) if given is None else given.row.cpu())[:, None]  # [batch, 1]
        place = subject.from_prompt_end(post.shape[1]).cpu() + longest  # [batch, pos], from the first that is put in
        inside = (place >= 0) & (place < longest)
        place = place.clamp(0, longest - 1)
        acts = inside & torch.from_numpy(there)[row, place]  # [batch, pos]
        new = torch.from_numpy(ends[..., mine])[row, place].to(post.device, post.dtype)  # [batch, pos, mine]
        at = torch.as_tensor(columns[mine], device=post.device)
        post = post.clone()
        post[..., at] = torch.where(acts.to(post.device)[..., None], new, post[..., at])
        return post

    with subject.hooked(post=put_in):
        yield
