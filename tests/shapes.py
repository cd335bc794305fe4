"""A model of which nothing runs, for tests on made-up contributions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """All that is asked of a model when nothing runs."""

    n_layers: int = 2
    d_mlp: int = 100
    short_name: str = "planted"
    fingerprint: str = "planted"
    precision: str = "float32"
