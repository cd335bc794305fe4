"""How results print: one line that says what they are, and their table."""

from __future__ import annotations

import html

import numpy as np
import pandas as pd

from hn_utils.stats.bootstrap import Estimate

WIDTH = 120  # characters of a line in a terminal
_PRINTED = {"float_format": "{:.2f}".format, "na_rep": ""}
PARTS = {"": "value", " (low)": "low", " (high)": "high", " (n)": "n"}  # of an estimate, by the ending of their column


def counted(n: int, thing: str) -> str:
    """So many things, in the singular if there is one.

    Args:
        n: how many.
        thing: a noun that takes an s.

    Returns:
        Such as "1 neuron" or "2 neurons".
    """
    return f"{n} {thing}{'s' * (n != 1)}"


class Tabled:
    """A result that shows itself: as text in a terminal, as HTML in a notebook."""

    @property
    def headline(self) -> str:
        """What this is, in one line.

        Returns:
            A sentence, or a heading, without a full stop.
        """
        raise NotImplementedError

    @property
    def table(self) -> pd.DataFrame:
        """The result to be read, a row a thing; an estimate is one cell.

        Returns:
            A table whose columns name their units where they have one.
        """
        raise NotImplementedError

    @property
    def numbers(self) -> pd.DataFrame:
        """The table to be computed with, saved or drawn.

        Returns:
            The rows of `table`; an estimate's value, its 95 % interval and its n have a column each. What is not known
            is nan.
        """
        spread: dict[str, list] = {}
        for name, cells in self.table.items():
            if not any(isinstance(cell, Estimate) for cell in cells):
                spread[str(name)] = [np.nan if cell == "" else cell for cell in cells]
                continue
            for end, part in PARTS.items():
                spread[f"{name}{end}"] = [getattr(cell, part, np.nan) for cell in cells]
        return pd.DataFrame(spread, index=self.table.index)

    def __repr__(self) -> str:
        return f"{self.headline}\n{self.table.to_string(line_width=WIDTH, **_PRINTED)}"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.headline)}</p>{self.table.to_html(**_PRINTED)}"
