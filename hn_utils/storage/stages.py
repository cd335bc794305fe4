"""The stages whose results are kept, each registered where it is computed, with the version of its code."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_VERSIONS: dict[str, int | list[int]] = {}


def register_stage(name: str, version: int, *below: int) -> int:
    """Make a stage known to `python -m hn_utils cache`, which names what another version of it computed as outdated.

    Args:
        name: of the stage, which is that of its folder in the cache.
        version: of its code; one more whenever the same settings would give another result.
        below: versions of other stages' code that this one runs, if they are part of its key.

    Returns:
        The stage's own version.
    """
    _VERSIONS[name] = [version, *below] if below else version
    return version


def stage_versions() -> Mapping[str, int | list[int]]:
    """Returns the version of each stage whose module has been imported, by its name."""
    return MappingProxyType(_VERSIONS)
