"""How many rows are read together: as many as one layer's attention scores and activations leave room for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# Bytes of each score, one a (row, head, query, key), while a layer is read: 9 in float32 and 17 in bfloat16 were
# measured on Llama and Qwen, 30 where scores are soft-capped (Gemma 2).
SCORE = 30
# Bytes that a neuron takes at each position, while its layer is read: 22 in bfloat16 were measured on Qwen (activations
# of gate, up and their product, what hooks keep of them, the residual stream beside them).
ACTIVATION = 24
# Bytes that the scores of one layer may take, and its activations as well; a single row is read however long it is.
ROOM = 2**32


class LayerSize(NamedTuple):
    """What decides how much room a layer takes while it is read: attention heads, and neurons of its MLP."""

    heads: int
    d_mlp: int


def pieces(lengths: Sequence[int], layer: LayerSize) -> list[slice]:
    """Runs of neighbouring rows, as long as rows times heads times width² scores fit into `ROOM`, and rows times width
    times neurons; the width is that of the longest row of the run."""
    most_scores = ROOM // (SCORE * layer.heads)
    most_positions = ROOM // (ACTIVATION * layer.d_mlp)
    found: list[slice] = []
    start, width = 0, 0
    for row, length in enumerate(lengths):
        wider = max(width, length)
        rows = row + 1 - start
        if row > start and (rows * wider**2 > most_scores or rows * wider > most_positions):
            found.append(slice(start, row))
            start, wider = row, length
        width = wider
    if len(lengths):
        found.append(slice(start, len(lengths)))
    return found
