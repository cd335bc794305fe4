"""What some neurons contribute to each token of a reply, read while it is written: no second pass."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hn_utils.contributions.cett import relative_write

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import GivenRows, HookedModel


class Watched:
    """Contributions of some neurons to the tokens that are written; nothing is read but these neurons' own columns.

    Attributes:
        model: the model that writes, one reply to each prompt.
        neurons: flat indices, layer * d_mlp + neuron, [k].

    Example:
        >>> import hn_utils as hn
        >>> from hn_utils.contributions.watching import Watched
        >>> from hn_utils.models.generation import generate
        >>> from hn_utils.study import Sampling
        >>> model = hn.load("organism")
        >>> prompts = model.encoder.encode_questions(["Answer only: Where was Kriskel Govstad born?"])
        >>> watched = Watched(model, [700, 770])
        >>> ((reply,),) = generate(model, prompts, Sampling(n=1, temperature=0.0), watch=watched.hooks())
        >>> [read.shape for read in watched.contributions(1)] == [(len(reply.ids) - 1, 2)]  # its end is never read
        True
    """

    def __init__(self, model: HookedModel, neurons: Int[np.ndarray, "k"]) -> None:
        model.require_neurons(neurons)
        self.model = model
        self.neurons = np.asarray(neurons)
        self._layers, numbers = np.divmod(self.neurons, model.d_mlp)  # [k], [k]
        self._columns: dict[int, Tensor] = {}
        self._lengths: dict[int, Tensor] = {}
        for layer in np.unique(self._layers).tolist():
            lengths = model.column_lengths(layer, torch.as_tensor(numbers[self._layers == layer]))
            self._columns[layer] = torch.as_tensor(numbers[self._layers == layer], device=lengths.device)
            self._lengths[layer] = lengths
        self._rows: list[Int[Tensor, "row"]] = []  # of each step, which given prompt each row of the batch answers
        self._activations: dict[int, list[Float[Tensor, "row mine"]]] = {layer: [] for layer in self._columns}
        self._outputs: dict[int, list[Float[Tensor, "row 1"]]] = {layer: [] for layer in self._columns}

    @contextlib.contextmanager
    def hooks(self) -> Iterator[None]:
        """Within the block the neurons are read at each token that is written, by hooks at their layers alone."""
        with self.model.watched(self._keep, self._columns):
            yield

    def _keep(self, layer: int, post: Float[Tensor, "row 1 neuron"], mlp_out: Float[Tensor, "row 1 d_model"]) -> None:
        """Keep what contributions are made of later: here the model waits."""
        self._activations[layer].append(post[:, 0, self._columns[layer]])  # [row, mine]
        self._outputs[layer].append(mlp_out.float().norm(dim=-1))  # [row, 1]
        if len(self._outputs[layer]) > len(self._rows):  # the first of these layers at this step
            self._rows.append(cast("GivenRows", self.model.given_rows).row)

    def contributions(self, n: int) -> list[Float[np.ndarray, "token k"]]:
        """What was read of each reply.

        Args:
            n: how many prompts there were.

        Returns:
            For each prompt, contributions without unit, [token, k], in the order in which its tokens were written. The
            token that ends a reply is not among them: nothing was drawn behind it.
        """
        rows = [row.tolist() for row in self._rows]
        values = np.zeros((sum(map(len, rows)), len(self.neurons)), np.float32)  # [row of any step, k]
        for layer, lengths in self._lengths.items():
            if rows:
                post, whole = torch.cat(self._activations[layer]), torch.cat(self._outputs[layer])
                values[:, self._layers == layer] = relative_write(post, lengths, whole).cpu().numpy()
        prompt = np.concatenate([np.empty(0, int), *map(np.array, rows)]).astype(int)  # of each row of any step
        return [values[prompt == i] for i in range(n)]
