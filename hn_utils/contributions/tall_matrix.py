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
from xxhash import xxh3_64_intdigest

from hn_utils.storage.files import digest

HEIGHT, WIDTH = 128, 2**12  # rows and columns of a tile, which is held in float32: 2 MB, so that it stays near the core


class TallMatrix:
    """Rows [row, column] of any float type, spread over one or more arrays that may be mapped from files.

    Raises ValueError if the parts differ in width.
    """

    def __init__(self, parts: Sequence[np.ndarray], where: Int[np.ndarray, "row 2"] | None = None) -> None:
        if len({part.shape[1] for part in parts}) != 1:
            raise ValueError(f"rows of different widths: {sorted({part.shape[1] for part in parts})}")
        self.parts = tuple(parts)
        if where is None:
            sizes = [len(part) for part in parts]
            part = np.repeat(np.arange(len(parts)), sizes)
            place = np.concatenate([np.arange(size) for size in sizes])
            where = np.column_stack([part, place])  # [row, 2]
        self.where = where  # of each row: its part, its place there

    def __len__(self) -> int:
        return len(self.where)

    @property
    def shape(self) -> tuple[int, int]:
        """How many rows and columns there are.

        Returns:
            Rows, and columns.
        """
        return len(self), self.parts[0].shape[1]

    def __getitem__(self, rows: np.ndarray) -> TallMatrix:
        """Some of the rows, by index or mask."""
        return TallMatrix(self.parts, self.where[rows])

    def above(self, other: TallMatrix) -> TallMatrix:
        """These rows, then the other's.

        Args:
            other: rows as wide as these.

        Returns:
            Both, [row + other row, column]; nothing is copied.

        Raises:
            ValueError: the rows differ in width.
        """
        moved = other.where + [len(self.parts), 0]
        return TallMatrix((*self.parts, *other.parts), np.concatenate([self.where, moved]))

    def columns(self, chosen: Int[np.ndarray, "k"]) -> Float[np.ndarray, "row k"]:
        """A few columns, in float32.

        Args:
            chosen: numbers of the columns, [k].

        Returns:
            Their values, [row, k].

        Raises:
            ValueError: there is no such column.
        """
        chosen = np.asarray(chosen)
        if len(chosen) and not 0 <= chosen.min() <= chosen.max() < self.shape[1]:
            raise ValueError(f"columns {chosen.min()} to {chosen.max()} are asked of rows that have {self.shape[1]}")
        out = np.empty((len(self), len(chosen)), np.float32)
        for rows, places, part in self.by_part():
            out[rows] = part[places[:, None], chosen]  # [some, k]
        return out

    def by_part(self) -> Iterator[tuple[Int[np.ndarray, "some"], Int[np.ndarray, "some"], np.ndarray]]:
        """The rows, part by part.

        Yields:
            The numbers of the rows that one part holds, [some], their places in it, [some], and the part.
        """
        for part in np.unique(self.where[:, 0]):
            rows = np.flatnonzero(self.where[:, 0] == part)
            yield rows, self.where[rows, 1], self.parts[part]

    def pieces(self) -> Iterator[tuple[Int[np.ndarray, "some"], np.ndarray]]:
        """All rows, a few at a time and in no order, as they are stored: not copied where they lie together.

        Yields:
            The numbers of some rows, [some], and these rows, [some, column].
        """
        for rows, places, part in self.by_part():
            for start in range(0, len(rows), HEIGHT):
                some = rows[start : start + HEIGHT]
                there = places[start : start + HEIGHT]
                together = np.all(np.diff(there) == 1)
                yield some, part[there[0] : there[-1] + 1] if together else part[there]

    def tiles(self) -> Iterator[tuple[Int[np.ndarray, "some"], slice, Float[np.ndarray, "some part"]]]:
        """All rows and columns, a tile at a time, in float32. A tile is overwritten by the next.

        Yields:
            The numbers of some rows, [some], which columns, and the values, [some, part].
        """
        room = torch.empty(HEIGHT, WIDTH)
        for rows, stored in self.pieces():
            for start in range(0, self.shape[1], WIDTH):
                columns = slice(start, min(start + WIDTH, self.shape[1]))
                tile = room[: len(rows), : columns.stop - start]
                tile.copy_(torch.from_numpy(stored[:, columns]))  # converts several times faster than numpy
                yield rows, columns, tile.numpy()

    def times_transposed(self, vectors: Float[np.ndarray, "row k"]) -> Float[np.ndarray, "k column"]:
        """`vectors.T @ rows`, in float32.

        Args:
            vectors: a few, as long as there are rows, [row, k].

        Returns:
            Products, [k, column], summed in no fixed order of rows.

        Raises:
            IndexError: a vector is shorter than there are rows.
        """
        each = torch.from_numpy(np.ascontiguousarray(vectors.T, np.float32))
        out = torch.zeros(len(each), self.shape[1])
        for rows, columns, tile in self.tiles():
            out[:, columns].addmm_(each[:, rows], torch.from_numpy(tile))
        return out.numpy()

    def mean(self) -> Float[np.ndarray, "column"]:
        """The mean of each column.

        Returns:
            Means, [column], in float32.

        Raises:
            ZeroDivisionError: there is no row.
        """
        return self.times_transposed(np.full((len(self), 1), 1 / len(self)))[0]

    def std(self) -> Float[np.ndarray, "column"]:
        """The standard deviation of each column, over rows as they are (divided by their number).

        Returns:
            Deviations, [column], in float32.

        Raises:
            ZeroDivisionError: there is no row.
        """
        mean = self.mean()
        squares = np.zeros(self.shape[1], np.float64)
        for _, columns, tile in self.tiles():
            squares[columns] += np.square(tile - mean[columns]).sum(0)
        return np.sqrt(squares / len(self)).astype(np.float32)

    @cached_property
    def digest(self) -> str:
        """Hash of the content, whatever file it lies in.

        Returns:
            Hexadecimal digits, the same for the same rows in the same order and type.
        """
        each = np.empty(len(self), np.uint64)
        for rows, stored in self.pieces():
            each[rows] = [xxh3_64_intdigest(row.tobytes()) for row in stored]
        return digest(each.tobytes())
