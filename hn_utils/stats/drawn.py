"""Results draw themselves, yet know nothing of figures: the package's door says where these are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

_FIGURES: dict[str, Callable[[], Any]] = {}


def draw_with(figures: Callable[[], Any]) -> None:
    """Name what draws.

    Args:
        figures: gives the module of figures; it is called when the first figure is drawn, since that module takes
            long to import.
    """
    _FIGURES["of results"] = figures


def figure_of(name: str, *results: Any) -> go.Figure:
    """Draw a result.

    Args:
        name: of a function in the module of figures.
        results: what it is given.

    Returns:
        A plotly figure.
    """
    figures = _FIGURES["of results"]()
    return getattr(figures, name)(*results)
