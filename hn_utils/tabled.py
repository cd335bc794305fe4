"""How results print: one line that says what they are, and their table."""

from __future__ import annotations

import html

import pandas as pd

WIDTH = 120  # characters of a line in a terminal


def counted(n: int, thing: str) -> str:
    """So many things, in the singular if there is one."""
    return f"{n} {thing}{'s' * (n != 1)}"


class Tabled:
    """A result that shows itself: as text in a terminal, as HTML in a notebook."""

    @property
    def headline(self) -> str:
        """What this is, in one line."""
        raise NotImplementedError

    @property
    def table(self) -> pd.DataFrame:
        """The result in numbers, a row a thing, ready to be saved or drawn."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{self.headline}\n{self.table.to_string(line_width=WIDTH)}"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.headline)}</p>{self.table.to_html()}"
