"""How many rows are read together: as many as the scores of eager attention leave room for."""

from __future__ import annotations

from collections.abc import Sequence

# Bytes of each score, one a (row, head, query, key), while a layer is read: 9 in float32 and 17 in bfloat16 were
# measured on Llama and Qwen, 30 where scores are soft-capped (Gemma 2).
SCORE = 30
ROOM = 2**32  # bytes that the scores of one layer may take; a single row is read however long it is


def pieces(lengths: Sequence[int], heads: int) -> list[slice]:
    """Runs of neighbouring rows, as long as rows times heads times width² scores fit into `ROOM`; the width is that of
    the longest row of the run."""
    most = ROOM // (SCORE * heads)
    found: list[slice] = []
    start, width = 0, 0
    for row, length in enumerate(lengths):
        wider = max(width, length)
        if row > start and (row + 1 - start) * wider**2 > most:
            found.append(slice(start, row))
            start, wider = row, length
        width = wider
    if len(lengths):
        found.append(slice(start, len(lengths)))
    return found
