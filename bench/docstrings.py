"""What the docstrings of a package tell. `house.py` measures with it.

They are those of public functions, and of public methods of public classes, in modules that are public themselves: no
part of whose name begins with an underscore. Methods between double underscores, overloads and setters do not count.
Each share has a base of its own:

| column | share | of |
|---|---|---|
| documented | have a docstring | all |
| Args | have a section `Args`, `Arguments` or `Parameters`, or `:param` | those with arguments, but self and cls |
| Returns | have a section `Returns` or `Yields`, `:return`, or a sentence that begins so | those that return or yield |
| Raises | have a section `Raises`, `:raises`, or a sentence that begins so | all |
| shape | say `shape` or name axes in square brackets, as in `[batch, pos]` | all |
| Source | have a section `Source`, `Sources` or `References` | all |

They are given for the package, for some rooms, and for the door: functions, and methods of classes, that the package's
`__all__` names.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from imports import Source, home

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Documented:
    """A public function or method, with the module in which it stands and the name at that module's top."""

    module: str
    top: str
    node: Function

    @property
    def text(self) -> str:
        return ast.get_docstring(self.node) or ""


def is_public(name: str) -> bool:
    return not name.startswith("_")


def repeats(function: Function) -> bool:
    """Is this an overload or a setter: a second definition of what is documented elsewhere?"""
    ways = {ast.unparse(decorator).split(".")[-1] for decorator in function.decorator_list}
    return bool(ways & {"overload", "setter", "deleter"})


def documented_ones(source: Source) -> list[Documented]:
    """All functions and methods that ought to have a docstring."""
    found = []
    for module, tree in source.trees.items():
        if not all(is_public(part) or part == "__main__" for part in module.split(".")):
            continue
        for node in tree.body:
            inside = node.body if isinstance(node, ast.ClassDef) and is_public(node.name) else [node]
            for function in inside:
                if isinstance(function, Function) and is_public(function.name) and not repeats(function):
                    found.append(Documented(module, getattr(node, "name", ""), function))
    return found


def own_nodes(function: Function) -> Iterator[ast.AST]:
    """What stands in a function, but not in functions and classes inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))


def takes_arguments(function: Function) -> bool:
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return bool(given.vararg or given.kwarg or [name for name in names if name not in ("self", "cls")])


def gives_back(function: Function) -> bool:
    """Does it return a value, or yield?"""
    return any(
        isinstance(node, ast.Yield | ast.YieldFrom)
        or (isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None")
        for node in own_nodes(function)
    )


def section(*titles: str) -> str:
    """A line that opens a section: `Args:` with or without text behind it, or `Parameters` over a line of dashes."""
    either = "|".join(titles)
    return rf"^\s*(?:{either})(?::|[ \t]*\n\s*-{{3,}})"


SENTENCE = r"(?:\A|[.;:!?)][ \n]\s*|\n\s*)"  # where a sentence, or a line, begins
AXES = r"(?<![\w\])])\[\s*(?!optional|default)\*?[a-z_]\w*(?:[ ,]+[\w*.+-]+)*\s*\]"
SAYS: dict[str, str] = {
    "Args": rf"{section('Args', 'Arguments', 'Parameters')}|^\s*:param\b",
    "Returns": rf"{section('Returns', 'Yields')}|^\s*:returns?\b|{SENTENCE}(?:Returns|Yields)\b",
    "Raises": rf"{section('Raises')}|^\s*:raises?\b|{SENTENCE}Raises\b",
    "shape": rf"\b[Ss]hapes?\b|{AXES}",
    "Source": section("Sources?", "References?"),
}
EXPECTED: dict[str, Callable[[Function], bool]] = {"Args": takes_arguments, "Returns": gives_back}


def share(true: Sequence[bool]) -> float | None:
    """Which share is true; None of nothing."""
    return sum(true) / len(true) if true else None


def docstrings(functions: Sequence[Documented]) -> dict[str, Any]:
    """How many functions there are, and the shares of the table above."""
    shares: dict[str, Any] = {"functions": len(functions), "documented": share([bool(f.text) for f in functions])}
    for name, pattern in SAYS.items():
        expected = EXPECTED.get(name, lambda _: True)
        asked = [function for function in functions if expected(function.node)]
        shares[name] = share([bool(re.search(pattern, function.text, re.MULTILINE)) for function in asked])
    return shares


def names_at_the_door(source: Source) -> list[str]:
    """What the package's `__all__` lists."""
    for node in source.trees[source.package].body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            said = [item.value for item in ast.walk(node.value) if isinstance(item, ast.Constant)]
            return [name for name in said if isinstance(name, str)]
    return []


def by_room(source: Source, rooms: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The docstrings of the package, of each of these rooms that it has, and of its door."""
    functions = documented_ones(source)
    shares = {"package": docstrings(functions)}
    for room in rooms:
        name = f"{source.package}.{room}"
        inside = [f for f in functions if f.module == name or f.module.startswith(f"{name}.")]
        if inside:
            shares[room] = docstrings(inside)
    at_the_door = {(home(source, source.package, name), name) for name in names_at_the_door(source)}
    shares["door"] = docstrings([f for f in functions if (f.module, f.top) in at_the_door])
    return shares
