"""Do two runs of the bundled study say the same? Words and sources have to be equal, numbers within rounding.

What may differ is said here and nowhere else. Processors round differently, so that fits differ in their sixth digit.
In 112,000 answers drawn with other instructions of one processor not one token differed; a reply can still tip.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np
from nbformat import NotebookNode

_UNITS, _SHARE = 2, 0.01  # a printed number may differ by two units of its last digit, a count by one in a hundred
_DRAWN = 0.02  # a number of a figure, by two in a hundred of the largest beside it: that much cannot be seen
NOISE = 1e-6  # what is smaller is rounding itself
_FLIPS, _FLIPPED = 3, 0.005  # strings in a figure's lists, which may be replies: so many, or that share of all
PLOTLY = "application/vnd.plotly.v1+json"
# A number of prose and tables; digits in a name, as in L2.N39, belong to the name.
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?%?", re.IGNORECASE)


@dataclass
class Comparison:
    """What differs, what is let pass as tipped by rounding, and how much was compared."""

    differences: list[str] = field(default_factory=list)
    tipped: list[str] = field(default_factory=list)
    n_numbers: int = 0

    def notebooks(self, committed: NotebookNode, run: NotebookNode, name: str) -> None:
        """Cells' sources, and all outputs but images."""
        if [c.source for c in committed.cells] != [c.source for c in run.cells]:
            self.differences.append(f"{name}: the sources differ{_first_other_cell(committed, run)}")
            return
        for place, (ours, theirs) in enumerate(zip(committed.cells, run.cells, strict=True)):
            before, after = _shown_by(ours), _shown_by(theirs)
            where = f"{name}, cell {place}"
            if [kind for kind, _ in before] != [kind for kind, _ in after]:
                self.differences.append(
                    f"{where}: shows {_kinds_of(before)} as committed, {_kinds_of(after)} in the run"
                )
                continue
            for (kind, mine), (_, other) in zip(before, after, strict=True):
                self.shown(kind, mine, other, where)

    def shown(self, kind: str, committed: Any, run: Any, where: str) -> None:
        if kind == PLOTLY:
            self.data(committed, run, where)
        elif "srcdoc=" in committed:
            self.page(html.unescape(committed), html.unescape(run), where)
        else:
            self.text(committed, run, where)

    def page(self, committed: str, run: str, where: str) -> None:
        """A page with a figure or an explorer: the data in it, and the rest as text."""
        before, after = _parts_of(committed), _parts_of(run)
        self.text(before.rest, after.rest, where)
        self.data(before.data, after.data, where)

    def text(self, committed: str, run: str, where: str) -> None:
        """Equal words, and numbers within rounding."""
        before, after = Text(committed), Text(run)
        if before.words != after.words:
            self.differences.append(f"{where}: {_first_other(before.words, after.words)}")
            return
        self.n_numbers += len(before.numbers)
        for place, (ours, theirs) in enumerate(zip(before.numbers, after.numbers, strict=True)):
            if not near(ours, theirs):
                context = " # ".join(before.words[max(place - 1, 0) : place + 1])[-60:]
                self.differences.append(f"{where}: {ours} as committed, {theirs} in the run, after {context!r}")

    def data(self, committed: Any, run: Any, where: str) -> None:
        """JSON: equal keys, lengths and words, numbers within `_DRAWN`; of strings in lists a few may have tipped."""
        found = Data()
        found.compare(committed, run, "")
        self.n_numbers += found.n_numbers
        self.differences += [f"{where}, {told}" for told in found.differences]
        few = len(found.flips) <= max(_FLIPS, _FLIPPED * found.n_strings)
        (self.tipped if few else self.differences).extend(f"{where}, {told}" for told in found.flips)


class Text:
    """A text as its numbers, and the words between them; white space aligns columns and says nothing."""

    def __init__(self, text: str) -> None:
        plain = html.unescape(re.sub(r"<style.*?</style>|<[^>]*>", " ", text, flags=re.DOTALL)).replace("\u2212", "-")
        self.numbers = _NUMBER.findall(plain)
        self.words = [" ".join(words.split()) for words in _NUMBER.split(plain)]


def near(ours: str, theirs: str) -> bool:
    """Are two printed numbers the same within rounding? Counts below a hundred have to be equal. Of very small numbers,
    printed with an exponent, the order of magnitude has to agree: most are errors of rounding themselves."""
    a, b = (float(number.replace(",", "").rstrip("%")) for number in (ours, theirs))
    largest = max(abs(a), abs(b))
    if "e" in (ours + theirs).lower():
        return largest < NOISE or (a * b > 0 and largest <= 10 * min(abs(a), abs(b)))
    digits = min(len(number.rstrip("%").partition(".")[2]) for number in (ours, theirs))
    count = digits == 0 and not ours.endswith("%")
    units = 0.0 if count else _UNITS * 10.0**-digits
    return abs(a - b) <= max(units, _SHARE * largest) * (1 + 1e-9)


@dataclass
class Data:
    """The comparison of one figure's or page's data."""

    differences: list[str] = field(default_factory=list)
    flips: list[str] = field(default_factory=list)
    n_numbers: int = 0
    n_strings: int = 0

    def compare(self, ours: Any, theirs: Any, where: str) -> None:
        ours, theirs = plain(ours), plain(theirs)
        if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
            self.mappings(ours, theirs, where)
        elif isinstance(ours, list) and isinstance(theirs, list):
            self.lists(ours, theirs, where)
        elif isinstance(ours, str) and isinstance(theirs, str):
            told = Comparison()
            told.text(ours, theirs, where.lstrip("."))
            self.differences += told.differences
        elif isinstance(ours, float) and isinstance(theirs, float):
            self.numbers([ours], [theirs], where)
        elif ours != theirs:  # a count or a place that stands for itself
            self.other(ours, theirs, where)

    def mappings(self, ours: Mapping[str, Any], theirs: Mapping[str, Any], where: str) -> None:
        if ours.keys() != theirs.keys():
            self.other(sorted(ours), sorted(theirs), where)
            return
        for key in ours:
            self.compare(ours[key], theirs[key], f"{where}.{key}")

    def lists(self, ours: list[Any], theirs: list[Any], where: str) -> None:
        if len(ours) != len(theirs):
            self.other(f"{len(ours)} values", f"{len(theirs)} values", where)
            return
        numeric = [place for place, value in enumerate(ours) if _is_number(value) and _is_number(theirs[place])]
        self.numbers([ours[i] for i in numeric], [theirs[i] for i in numeric], where)
        for place in sorted(set(range(len(ours))) - set(numeric)):
            mine, other = ours[place], theirs[place]
            if isinstance(mine, str) and isinstance(other, str):
                self.n_strings += 1
                if Text(mine).words != Text(other).words:
                    self.flips.append(f"{where.lstrip('.')}[{place}]: {mine!r} as committed, {other!r} in the run")
                    continue
            self.compare(mine, other, f"{where}[{place}]")

    def numbers(self, ours: list[float], theirs: list[float], where: str) -> None:
        """Values that stand side by side: each within a share of the largest of them."""
        self.n_numbers += len(ours)
        a, b = np.array(ours, dtype=float), np.array(theirs, dtype=float)
        room = max(_DRAWN * np.abs([a, b]).max(initial=0, where=np.isfinite([a, b])), NOISE)
        wrong = np.flatnonzero(~np.isclose(a, b, rtol=0, atol=room, equal_nan=True))
        if len(wrong):
            at = wrong[0]
            more = f" (and {len(wrong) - 1} more of {len(a)})" if len(wrong) > 1 else ""
            self.other(ours[at], theirs[at], where, more)

    def other(self, ours: Any, theirs: Any, where: str, more: str = "") -> None:
        self.differences.append(f"{where.lstrip('.')}: {ours} as committed, {theirs} in the run{more}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def plain(value: Any) -> Any:
    """An array that plotly has packed, as the list that it is."""
    if isinstance(value, Mapping) and "bdata" in value:
        packed = np.frombuffer(base64.b64decode(value["bdata"]), dtype=value["dtype"])
        shape = [int(n) for n in str(value.get("shape", len(packed))).split(",")]
        return packed.reshape(shape).tolist()
    return value


@dataclass(frozen=True)
class _Parts:
    data: Any
    rest: str


def _parts_of(page: str) -> _Parts:
    """The data in a page: what it hands to plotly, or the explorer's states; and what remains without it. The digest in
    a figure's head hangs on every last digit."""
    page = re.sub(r'digest&quot;: &quot;\w+|digest": "\w+', "", page)
    start = re.search(r'id="states">|Plotly\.newPlot\(\s*"[^"]+",\s*', page)
    if start is None:
        return _Parts(None, page)
    values, end = [], start.end()
    while page[end] in "[{":
        value, end = json.JSONDecoder().raw_decode(page, end)
        values.append(value)
        end = re.compile(r"[\s,]*").match(page, end).end()  # type: ignore[union-attr]
    data = values[0] if len(values) == 1 else dict(zip(("data", "layout", "config"), values, strict=True))
    return _Parts(data, page[: start.end()] + page[end:])


def _shown_by(cell: NotebookNode) -> list[tuple[str, Any]]:
    """What a cell shows, by kind. Of a table the HTML: where its plain text is broken hangs on how wide numbers are."""
    shown = []
    for output in cell.get("outputs", ()):
        if output.output_type == "stream":
            shown.append(("text", output.text))
        data = {kind: value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")}
        if "text/html" in data:
            data.pop("text/plain", None)
        shown += sorted(data.items(), key=lambda item: item[0])
    return shown


def _kinds_of(shown: Sequence[tuple[str, Any]]) -> str:
    return ", ".join(kind for kind, _ in shown) or "nothing"


def _first_other_cell(committed: NotebookNode, run: NotebookNode) -> str:
    pairs = zip_longest((c.source for c in committed.cells), (c.source for c in run.cells))
    return f", first in cell {next(place for place, (ours, theirs) in enumerate(pairs) if ours != theirs)}"


def _first_other(ours: Sequence[str], theirs: Sequence[str]) -> str:
    """The first words that differ, of two texts."""
    before, after = next(pair for pair in zip_longest(ours, theirs, fillvalue="(nothing)") if pair[0] != pair[1])
    alike = 0
    while alike < min(len(before), len(after)) and before[alike] == after[alike]:
        alike += 1
    start = max(alike - 30, 0)
    return f"{before[start : alike + 50]!r} as committed, {after[start : alike + 50]!r} in the run"
