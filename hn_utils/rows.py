"""A tall matrix as it lies on disk: half precision, mapped into memory, read block by block and never whole.

A model of 8 billion parameters has 459,000 neurons; 4,000 rows of them in float32 would fill a laptop. What the probes
need is little: some columns, and products with few vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int

from hn_utils.cache import hasher

BLOCK = 2**23  # numbers that are held in float32 at a time: 32 MB


class Rows:
    """Rows [row, column] of any float type, spread over one or more arrays that may be mapped from files.

    Raises ValueError if the parts differ in width.
    """

    def __init__(self, parts: Sequence[np.ndarray], where: Int[np.ndarray, "row 2"] | None = None) -> None:
        if len({part.shape[1] for part in parts}) != 1:
            raise ValueError(f"rows of different widths: {sorted({part.shape[1] for part in parts})}")
        self.parts = tuple(parts)
        if where is None:
            sizes = [len(part) for part in parts]
            where = np.column_stack([np.repeat(np.arange(len(parts)), sizes), np.concatenate([*map(np.arange, sizes)])])
        self.where = where  # of each row: its part, its place there

    def __len__(self) -> int:
        return len(self.where)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self.parts[0].shape[1]

    def __getitem__(self, rows: np.ndarray) -> Rows:
        """Some of the rows, by index or mask."""
        return Rows(self.parts, self.where[rows])

    def above(self, other: Rows) -> Rows:
        """These rows, then the other's."""
        moved = other.where + [len(self.parts), 0]
        return Rows((*self.parts, *other.parts), np.concatenate([self.where, moved]))

    def columns(self, chosen: Int[np.ndarray, "k"]) -> Float[np.ndarray, "row k"]:
        """A few columns, in float32."""
        out = np.empty((len(self), len(chosen)), np.float32)
        for part, mine in self.by_part(slice(None)):
            out[mine] = self.parts[part][self.where[mine, 1][:, None], chosen]
        return out

    def blocks(self) -> Iterator[tuple[slice, Float[np.ndarray, "some column"]]]:
        """All rows in order, a block at a time in float32. A block is overwritten by the next."""
        height = min(max(1, BLOCK // self.shape[1]), len(self))
        as_stored = np.empty((height, self.shape[1]), np.result_type(*self.parts))
        room = torch.empty(height, self.shape[1])
        for start in range(0, len(self), height):
            block = slice(start, min(start + height, len(self)))
            size = block.stop - start
            for part, mine in self.by_part(block):
                as_stored[mine - start] = self.parts[part][self.where[mine, 1]]
            room[:size] = torch.from_numpy(as_stored[:size])  # converts several times faster than numpy
            yield block, room[:size].numpy()

    def by_part(self, block: slice) -> Iterator[tuple[int, Int[np.ndarray, "some"]]]:
        """The parts that hold some of these rows, each with the numbers of those rows."""
        rows = np.arange(len(self))[block]
        for part in np.unique(self.where[rows, 0]):
            yield part, rows[self.where[rows, 0] == part]

    def times_transposed(self, vectors: Float[np.ndarray, "row k"]) -> Float[np.ndarray, "k column"]:
        """`vectors.T @ rows`, in float32."""
        vectors, out = vectors.astype(np.float32), np.zeros((vectors.shape[1], self.shape[1]), np.float32)
        for block, values in self.blocks():
            out += vectors[block].T @ values
        return out

    def mean(self) -> Float[np.ndarray, "column"]:
        return self.times_transposed(np.full((len(self), 1), 1 / len(self)))[0]

    def std(self) -> Float[np.ndarray, "column"]:
        mean, squares = self.mean(), np.zeros(self.shape[1], np.float64)
        for _, values in self.blocks():
            squares += np.square(values - mean).sum(0)
        return np.sqrt(squares / len(self)).astype(np.float32)

    @cached_property
    def digest(self) -> str:
        """Hash of the content, whatever file it lies in."""
        content = hasher()
        for _, values in self.blocks():
            content.update(values.data)
        return content.hexdigest()
