"""A step of a study as a number of passes and tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hn_utils.models.batches import LayerSize, pieces


@dataclass(frozen=True)
class Work:
    """One step of a study, and what is left of it to do.

    `n` of its items have to be computed, `kept` are on disk. `reads` are forward passes over texts, of `read` token
    positions in all; `writes` are passes that write one token in each row of a batch, `written` in all. Padding counts.
    `new` is what a row of its largest batch writes, `width` what it reads, `rows` how many there are, and `pairs` how
    many pairs of positions attention scores at once in each head. `disk` is in bytes.
    """

    step: str
    n: int = 0
    kept: int = 0
    reads: int = 0
    read: int = 0
    writes: int = 0
    written: int = 0
    disk: int = 0
    rows: int = 0
    width: int = 0
    pairs: int = 0
    new: int = 0
    scaled: bool = False

    @property
    def passes(self) -> int:
        return self.reads + self.writes

    @property
    def tokens(self) -> int:
        return self.read + self.written

    def __add__(self, other: Work) -> Work:
        """Both under the name of the first, one after the other."""
        sums = {f: getattr(self, f) + getattr(other, f) for f in ("n", "kept", "reads", "read", "writes", "written")}
        most = {f: max(getattr(self, f), getattr(other, f)) for f in ("rows", "width", "pairs", "new")}
        return replace(self, **sums, **most, disk=self.disk + other.disk, scaled=self.scaled or other.scaled)


def _in_batches(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """From the longest to the shortest, as they are computed."""
    ordered = sorted(lengths, reverse=True)
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def reading(step: str, lengths: Sequence[int], shard: int, size: int, layer: LayerSize, shared: int = 0) -> Work:
    """Texts of these lengths read in shards, each in batches of `size`, by a model with such layers. The
    tokens with which all begin, `shared`, are read once a piece."""
    done = Work(step, n=len(lengths))
    for some in _in_batches(lengths, shard):
        for batch in _in_batches(some, size):
            for piece in pieces(batch, layer):
                rows, width = len(batch[piece]), max(batch[piece])
                read = shared + rows * (width - shared)
                done += Work("", reads=1 + bool(shared), read=read, rows=rows, width=width, pairs=rows * width**2)
    return done


def writing(
    step: str, prompts: Sequence[int], size: int, draws: int, new: int, layer: LayerSize, scaled: bool = False
) -> Work:
    """`draws` texts of `new` tokens after each prompt, no two of which begin alike: then they would share rows. The
    prompts of a batch are all padded to one width."""
    done = Work(step, n=len(prompts), scaled=scaled)
    for batch in _in_batches(prompts, size):
        rows, width = len(batch) * draws, max(batch)
        parts = [len(batch[piece]) for piece in pieces([width] * len(batch), layer)]
        once = Work("", reads=len(parts), read=len(batch) * width, writes=new - 1, written=(new - 1) * rows)
        done += replace(once, rows=rows, width=width, pairs=max(parts) * width**2, new=new)
    return done


def comparing(step: str, beginnings: Sequence[int], ending: int, size: int, layer: LayerSize) -> Work:
    """Two endings of at most so many tokens behind each beginning, which is read once for both."""
    done = Work(step, n=len(beginnings))
    for batch in _in_batches(beginnings, size):
        rows, width = len(batch), max(batch)
        parts = [len(batch[piece]) for piece in pieces([width] * rows, layer)]
        once = Work("", reads=len(parts) + (ending > 1), read=rows * width + 2 * rows * (ending - 1))
        done += replace(once, rows=2 * rows, width=width, pairs=max(parts) * width**2, new=ending)
    return done
