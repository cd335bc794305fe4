"""Who imports whom in a package, read from its source: nothing of it is run. `house.py` measures with it."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

Arrows = dict[str, set[str]]  # module -> modules that it imports


class Source:
    """The modules of a package by their full names, parsed. Folders named `tests` are left out."""

    def __init__(self, folder: Path) -> None:
        self.package = folder.name
        self.paths = modules_in(folder)
        self.texts = {name: path.read_text(encoding="utf-8") for name, path in self.paths.items()}
        self.trees = {name: ast.parse(text) for name, text in self.texts.items()}

    def is_package(self, name: str) -> bool:
        return self.paths[name].name == "__init__.py"


def modules_in(folder: Path) -> dict[str, Path]:
    """Each module of a package under its full name; a sub-package stands for its `__init__`."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder).with_suffix("").parts
        if "tests" not in inside[:-1]:
            parts = inside[:-1] if inside[-1] == "__init__" else inside
            found[".".join([folder.name, *parts])] = path
    return found


# --- what is imported when the code runs -----------------------------------------------------------------------------


def only_for_types(node: ast.AST) -> bool:
    """Is this `if TYPE_CHECKING:`, whose lines never run?"""
    return isinstance(node, ast.If) and ast.unparse(node.test).split(".")[-1] == "TYPE_CHECKING"


def running(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all in it that may run, also inside functions."""
    yield node
    inside = node.orelse if isinstance(node, ast.If) and only_for_types(node) else ast.iter_child_nodes(node)
    for child in inside:
        yield from running(child)


def named_from(source: Source, module: str, node: ast.ImportFrom) -> str:
    """The full name of the module after `from`; dots in front lead up from the importing module's package."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    up = node.level - 1 if source.is_package(module) else node.level
    kept = parts[: len(parts) - up]
    return ".".join([*kept, node.module] if node.module else kept)


def defines(source: Source, module: str, name: str) -> bool:
    """Does a module give this name a value of its own, at its top?"""
    for node in source.trees[module].body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
            return True
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                return True
    return False


def home(source: Source, module: str, name: str, passed: frozenset[tuple[str, str]] = frozenset()) -> str:
    """The module in which `name` lives that is imported from `module`.

    A name that a package's `__init__` only passes on is followed to where it comes from, also through lines for types,
    where a lazy `__init__` says what it has.
    """
    if not source.is_package(module) or defines(source, module, name) or (module, name) in passed:
        return module
    passed = passed | {(module, name)}
    for node in ast.walk(source.trees[module]):
        if not isinstance(node, ast.ImportFrom):
            continue
        origin = named_from(source, module, node)
        if origin not in source.paths or origin == module:
            continue
        for alias in node.names:
            if (alias.asname or alias.name) == name:
                return home(source, origin, alias.name, passed)
            if alias.name == "*" and defines(source, origin, name):
                return home(source, origin, name, passed)
    inside = f"{module}.{name}"
    return inside if inside in source.paths else module


def read_of(source: Source, module: str, local: str) -> set[str]:
    """What a module reads of a thing that it calls `local`: `b` in `local.b`."""
    read = set()
    for node in running(source.trees[module]):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == local:
            read.add(node.attr)
    return read


def reached(source: Source, module: str, target: str, local: str) -> Iterator[str]:
    """The modules that `module` uses through `target`, which it calls `local`: of a package those in which the names
    live that it reads, or its `__init__` if it reads none."""
    names = read_of(source, module, local) if source.is_package(target) else set()
    if not names:
        yield target
    for name in sorted(names):
        place = home(source, target, name)
        if place == target or place != f"{target}.{name}":
            yield place
        else:
            yield from reached(source, module, place, f"{local}.{name}")


def imported_names(source: Source, module: str) -> Iterator[tuple[str, str, str]]:
    """What a module imports of the package when it runs: a module, the name that is taken from it, and what either is
    called here. The name is empty where the module itself is meant."""
    for node in running(source.trees[module]):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in source.paths:
                    yield alias.name, "", alias.asname or alias.name
        if isinstance(node, ast.ImportFrom):
            origin = named_from(source, module, node)
            for alias in node.names if origin in source.paths else ():
                local = alias.asname or alias.name
                inside = f"{origin}.{alias.name}"
                if home(source, origin, alias.name) == inside:
                    yield inside, "", local
                else:
                    yield origin, alias.name, local
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "import_module":
            said = [argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant)]
            if said and said[0] in source.paths:
                yield str(said[0]), "", ""


def imported_by(source: Source, module: str) -> set[str]:
    """The modules of the package that this one uses through its imports."""
    found: set[str] = set()
    for origin, name, local in imported_names(source, module):
        if name:
            found.add(home(source, origin, name))
        else:
            found.update(reached(source, module, origin, local))
    return found - {module}


def arrows_of(source: Source) -> Arrows:
    """All arrows of a package, each from the module that imports to the one that is imported."""
    return {module: imported_by(source, module) for module in source.paths}


# --- chains and circles ----------------------------------------------------------------------------------------------


def components(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """Strongly connected components, each after all those that it leads to (Tarjan 1972)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    waiting: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        waiting.append(module)
        for other in sorted(arrows[module]):
            if other not in number:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in waiting:
                lowest[module] = min(lowest[module], number[other])
        if lowest[module] == number[module]:
            start = waiting.index(module)
            found.append(sorted(waiting[start:]))
            del waiting[start:]

    for module in sorted(arrows):
        if module not in number:
            visit(module)
    return found


def circles(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """Modules that import each other, directly or through others."""
    return [group for group in components(arrows) if len(group) > 1]


def longest_chain(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """The links of the longest chain, from the module that imports to the last one imported. A link is a module, or a
    circle: its modules have no order, so that all of them count as one."""
    longest: dict[str, list[list[str]]] = {}
    for group in components(arrows):
        outside = {other for module in group for other in arrows[module]}.difference(group)
        rest = max((longest[other] for other in sorted(outside)), key=len, default=[])
        for module in group:
            longest[module] = [group, *rest]
    return max(longest.values(), key=len, default=[])


# --- floors ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Floors:
    """Rooms by their full names, each with its floor; 0 is the highest. Rooms of one floor may import each other if the
    contract lists them with a colon between them, not if it does so with a bar."""

    level: dict[str, int]
    apart: frozenset[int]

    def room(self, module: str) -> str | None:
        """The room in which a module stands; None if the contract does not name it."""
        rooms = [room for room in self.level if module == room or module.startswith(f"{room}.")]
        return max(rooms, key=len, default=None)

    def forbid(self, module: str, imported: str) -> bool:
        """Does this import lead back up, or across a floor whose rooms are to stand apart?"""
        start = self.room(module)
        end = self.room(imported)
        if start is None or end is None or start == end:
            return False
        if self.level[start] == self.level[end]:
            return self.level[start] in self.apart
        return self.level[end] < self.level[start]


def read_floors(checkout: Path) -> Floors | None:
    """The floors of import-linter's first contract of type `layers` in pyproject.toml; None if there is none."""
    file = checkout / "pyproject.toml"
    settings = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    contracts = settings.get("tool", {}).get("importlinter", {}).get("contracts", [])
    layers = [contract for contract in contracts if contract.get("type") == "layers"]
    if not layers:
        return None
    inside = [f"{container}." for container in layers[0].get("containers", [])] or [""]
    level: dict[str, int] = {}
    apart = set()
    for floor, line in enumerate(layers[0]["layers"]):
        if "|" in line:
            apart.add(floor)
        for name in line.replace("|", ":").split(":"):
            for container in inside:
                level[container + name.strip().strip("()")] = floor
    return Floors(level, frozenset(apart))


def arrows_back(arrows: Mapping[str, set[str]], floors: Floors) -> list[tuple[str, str]]:
    """The arrows that lead from a lower floor to a higher one, or across one whose rooms stand apart."""
    return [(start, end) for start in sorted(arrows) for end in sorted(arrows[start]) if floors.forbid(start, end)]
