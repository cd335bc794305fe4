"""The house in numbers, read from a package's source: `.venv/bin/python bench/house.py`.

`--of PATH PACKAGE` measures another package in a checkout (in PATH, PATH/src or PATH/python), `--json` writes all
numbers with the names behind them. Nothing of the package is run. Folders named `tests` are left out.

| row | what is counted |
|---|---|
| entries at the top | modules and sub-packages in the package's folder, without files such as `__init__.py` |
| modules, lines | Python files, and all their lines, blank ones and comments among them |
| longest chain of imports | modules from the first that imports to the last imported; a circle counts as one |
| circles | groups of modules that import each other, directly or through others |
| arrows back up | imports against the order of floors in the `layers` contract of import-linter in pyproject.toml |
| private functions | share of functions that begin with one underscore; functions at the top of a module, no methods |
| public, a single bare word | public functions at the top of a module in whose name there is no underscore |
| comprehensions | of lists, sets and dicts, and generators, in 1,000 lines |
| tuple to tuple | assignments such as `a, b = x, y`, in 1,000 lines |
| comprehensions of two loops | with two `for`, or with another comprehension as their element |
| function length | lines of functions and methods without their docstring; nested ones belong to theirs |
| private names imported | names, not modules, that begin with one underscore and come from another module |
| README words | without blocks of code, comments and the targets of links |

What counts as an import: all that may run, also inside functions; nothing under `if TYPE_CHECKING`, and no module whose
name the code makes up. A name that an `__init__` only passes on leads to the module in which it lives.

What a docstring is, and what its shares are shares of, stands in `docstrings.py`.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

from docstrings import SAYS, Function, by_room, is_public, share
from imports import Source, arrows_back, arrows_of, circles, imported_names, longest_chain, read_floors, read_of

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("analyses", "stats", "contributions", "probing")  # whose docstrings are counted one by one
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def top_functions(source: Source) -> list[Function]:
    """The functions at the top of modules, but those between double underscores."""
    functions = [node for tree in source.trees.values() for node in tree.body if isinstance(node, Function)]
    return [node for node in functions if not node.name.startswith("__")]


def all_nodes(source: Source) -> Iterator[ast.AST]:
    for tree in source.trees.values():
        yield from ast.walk(tree)


def is_tuple_to_tuple(node: ast.AST) -> bool:
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Tuple):
        return False
    return any(isinstance(target, ast.Tuple) for target in node.targets)


def has_two_loops(node: ast.AST) -> bool:
    """Does a comprehension run two loops: one after the other, or one for each element?"""
    if not isinstance(node, Comprehension):
        return False
    elements = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    return len(node.generators) > 1 or any(isinstance(element, Comprehension) for element in elements)


def outermost_functions(node: ast.AST) -> Iterator[Function]:
    """Functions and methods, but those inside another function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield child
        else:
            yield from outermost_functions(child)


def length(function: Function) -> int:
    """Lines of a function without its docstring."""
    first = function.body[0]
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is None:
        return lines
    return lines - ((first.end_lineno or first.lineno) - first.lineno + 1)


def is_hidden(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_imports(source: Source) -> list[str]:
    """`importer: module.name` for each name with an underscore that a module takes from another."""
    found = set()
    for module in source.trees:
        for origin, name, local in imported_names(source, module):
            read = [name] if name else read_of(source, module, local)
            hidden = [f"{origin}.{name}" for name in read if is_hidden(name)]
            found.update(f"{module}: {name}" for name in hidden if name not in source.paths and origin != module)
    return sorted(found)


def words_of_readme(checkout: Path) -> int | None:
    """Words of README.md that a reader reads as prose; None if there is none."""
    file = checkout / "README.md"
    if not file.is_file():
        return None
    text = file.read_text(encoding="utf-8")
    text = re.sub(r"^[ \t]*(```+|~~~+)[^\n]*\n.*?^[ \t]*\1[ \t]*$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"<!--.*?-->|<[^<>\n]+>", " ", text, flags=re.DOTALL)
    text = re.sub(r"\]\([^()\s]*(?:\([^()]*\)[^()\s]*)*(?: \"[^\"]*\")?\)", "]", text)
    return sum(bool(re.search(r"\w", word)) for word in text.split())


def entries(folder: Path) -> list[str]:
    """Modules and sub-packages at the package's top."""
    modules = [path.stem for path in folder.glob("*.py") if not path.stem.startswith("__")]
    inside = [path for path in folder.iterdir() if path.is_dir() and path.name != "tests"]
    return sorted([*modules, *(path.name for path in inside if next(path.rglob("*.py"), None))])


def found_folder(checkout: Path, package: str) -> Path:
    """The folder of a package in a checkout. Raises SystemExit if there is none."""
    for place in (checkout, checkout / "src", checkout / "python"):
        if next((place / package).glob("*.py"), None):
            return place / package
    raise SystemExit(f"error: PATH={str(checkout)!r} holds no package {package!r}: name the folder in which it lies")


def measure(checkout: Path, package: str, rooms: Sequence[str] = ROOMS) -> dict[str, Any]:
    """All rows, with the names behind the counts."""
    folder = found_folder(checkout, package)
    source = Source(folder)
    arrows = arrows_of(source)
    floors = read_floors(checkout)
    n_lines = sum(len(text.splitlines()) for text in source.texts.values())
    functions = top_functions(source)
    public = [function.name for function in functions if is_public(function.name)]
    lengths = [length(function) for tree in source.trees.values() for function in outermost_functions(tree)]
    nodes = list(all_nodes(source))
    return {
        "package": package,
        "entries": entries(folder),
        "modules": len(source.paths),
        "lines": n_lines,
        "longest chain": longest_chain(arrows),
        "circles": circles(arrows),
        "arrows back": None if floors is None else arrows_back(arrows, floors),
        "functions": len(functions),
        "private": share([not is_public(function.name) for function in functions]),
        "bare words": sorted(name for name in public if "_" not in name),
        "public": len(public),
        "comprehensions": sum(isinstance(node, Comprehension) for node in nodes) * 1000 / max(n_lines, 1),
        "tuple to tuple": sum(map(is_tuple_to_tuple, nodes)) * 1000 / max(n_lines, 1),
        "two loops": sum(map(has_two_loops, nodes)),
        "median length": median(lengths or [0]),
        "90th percentile": sorted(lengths or [0])[ceil(0.9 * len(lengths or [0])) - 1],
        "private imports": private_imports(source),
        "README words": words_of_readme(checkout),
        "docstrings": by_room(source, rooms),
    }


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def count(value: Sequence[Any] | int | None) -> str:
    """A number, or how many names there are; `-` for what could not be counted."""
    if value is None:
        return "-"
    return f"{value if isinstance(value, int) else len(value):,}"


def table(found: Mapping[str, Any]) -> list[str]:
    """All rows but those of docstrings, as Markdown."""
    rows = [
        ("entries at the top", count(found["entries"])),
        ("modules", count(found["modules"])),
        ("lines", count(found["lines"])),
        ("longest chain of imports", count(found["longest chain"])),
        ("circles", count(found["circles"])),
        ("arrows back up", count(found["arrows back"])),
        ("private functions", f"{percent(found['private'])} of {found['functions']:,}"),
        ("public, a single bare word", f"{count(found['bare words'])} of {found['public']:,}"),
        ("comprehensions in 1,000 lines", f"{found['comprehensions']:.1f}"),
        ("tuple to tuple in 1,000 lines", f"{found['tuple to tuple']:.1f}"),
        ("comprehensions of two loops", count(found["two loops"])),
        ("function length, median; 90th percentile", f"{found['median length']:.0f}; {found['90th percentile']:.0f}"),
        ("private names imported", count(found["private imports"])),
        ("README words", count(found["README words"])),
    ]
    return [f"| {found['package']} | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]


def table_of_docstrings(found: Mapping[str, Any]) -> list[str]:
    """A row for the package, each room and the door."""
    columns = ["documented", *SAYS]
    lines = [f"| docstrings of | functions | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for room, shares in found["docstrings"].items():
        told = " | ".join(percent(shares[name]) for name in columns)
        lines.append(f"| {room} | {shares['functions']:,} | {told} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how a package is built, from its source alone.")
    parser.add_argument("--of", nargs=2, metavar=("PATH", "PACKAGE"), default=(str(ROOT), "hn_utils"))
    parser.add_argument("--rooms", nargs="*", default=ROOMS, help="sub-packages whose docstrings are counted apart")
    parser.add_argument("--json", action="store_true", help="all numbers, with the names behind them")
    options = parser.parse_args()
    path, package = options.of
    found = measure(Path(path), package, options.rooms)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    chain = " > ".join(" = ".join(link) for link in found["longest chain"])
    print("\n".join([*table(found), "", *table_of_docstrings(found), "", f"longest chain: {chain}"]))


if __name__ == "__main__":
    main()
