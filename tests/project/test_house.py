"""The house in numbers: what is counted, on small packages made up here, and the limits that ours keeps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "house.py"


def contract(*layers: str, **settings: list[str]) -> str:
    """pyproject.toml with these floors, the highest first, as import-linter reads them."""
    lines = ["[tool.importlinter]", 'root_package = "made"', "[[tool.importlinter.contracts]]", 'type = "layers"']
    lines += [f"{name} = {json.dumps(value)}" for name, value in {"layers": layers, **settings}.items()]
    return "\n".join([*lines, 'name = "floors"', ""])


def measured(checkout: Path | None = None, *options: str) -> dict[str, Any]:
    """What the script writes of the package `made` in a checkout, or of our own."""
    of = ["--of", str(checkout), "made"] if checkout else []
    command = [sys.executable, str(SCRIPT), "--json", *of, *options]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def made(checkout: Path, **files: str) -> Path:
    """A checkout with a package of these modules; `IN` in a name stands for a folder's end."""
    for name, text in {"__init__": "", **files}.items():
        place = checkout / "made" / f"{name.replace('IN', '/')}.py"
        for folder in (checkout / "made", place.parent):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "__init__.py").touch()
        place.write_text(text)
    return checkout


def chain(found: dict[str, Any]) -> list[str]:
    return [" = ".join(module.removeprefix("made.") for module in link) for link in found["longest chain"]]


def test_entries_are_modules_and_folders_with_code(tmp_path):
    made(tmp_path, one="x = 1\n\n", roomINtwo="# a comment\n", testsINtest_one="y = 2\n", __main__="")
    (tmp_path / "made" / "data").mkdir()
    found = measured(tmp_path)
    assert found["entries"] == ["one", "room"]
    assert (found["modules"], found["lines"]) == (5, 3)  # made, made.__main__, made.one, made.room, made.room.two


def test_the_package_may_lie_in_src(tmp_path):
    made(tmp_path / "src", one="")
    assert measured(tmp_path)["entries"] == ["one"]


# --- imports ---------------------------------------------------------------------------------------------------------


def test_a_chain_runs_through_functions_and_not_through_lines_for_types(tmp_path):
    lazy = "def f():\n    from made.c import z\n    return z\n"
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from made.d import D\nz = 1\n"
    made(tmp_path, a="from made import b\nb.f()\n", b=lazy, c=typed, d="class D: ...\n")
    assert chain(measured(tmp_path)) == ["a", "b", "c"]


def test_what_runs_instead_of_types_counts(tmp_path):
    typed = "import typing\nif typing.TYPE_CHECKING:\n    from made.d import x\nelse:\n    from made.b import x\n"
    made(tmp_path, a=typed, b="from made.c import x\n", c="x = 1\n", d="from made.b import x\n")
    assert chain(measured(tmp_path)) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "used",
    [
        "from made.room.deep import x\n",
        "from .room.deep import x\n",
        "from made.room import x\n",
        "from made.room import y\n",
        "from made import room\nroom.x\n",
        "from . import room as chamber\nchamber.y\n",
        "import made.room as chamber\nchamber.x\n",
        "import made.room\nmade.room.x\n",
        "from made import passed_on\n",
        "import made\nmade.passed_on\n",
        "from importlib import import_module\nimport_module('made.room.deep')\n",
    ],
)
def test_a_name_that_is_passed_on_leads_to_where_it_lives(tmp_path, used):
    passing = "from made.room.other import z\nfrom made.room.deep import x\nfrom .deep import *\n"
    made(tmp_path, a=used, roomINdeep="x = 1\ny = 2\n", roomINother="z = 1\n", roomIN__init__=passing)
    made(tmp_path, __init__="from made.room import x as passed_on\n")
    (tmp_path / "pyproject.toml").write_text(contract("made.room", "made.a"))
    assert measured(tmp_path)["arrows back"] == [["made.a", "made.room.deep"]]


def test_a_lazy_init_says_in_its_lines_for_types_where_a_name_lives(tmp_path):
    lazy = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from made.b import x\n"
    made(tmp_path, __init__=lazy, a="import made\nmade.x()\n", b="def x(): ...\n")
    assert chain(measured(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("used", ["from made.room import OWN\n", "from made import room\nSETS = [room]\n"])
def test_an_init_counts_if_it_is_used_itself(tmp_path, used):
    made(tmp_path, a=used, roomINb="x = 1\n", roomIN__init__="from made.room.b import x\nOWN = x\n")
    assert chain(measured(tmp_path)) == ["a", "room", "room.b"]


def test_a_circle_is_one_link(tmp_path):
    circle = {"b": "from made.c import x\n", "c": "from made.d import x\n", "d": "def f():\n    import made.b\nx = 1\n"}
    made(tmp_path, a="import made.b\n", **circle, e="import made.a\n")
    found = measured(tmp_path)
    assert found["circles"] == [["made.b", "made.c", "made.d"]]
    assert chain(found) == ["e", "a", "b = c = d"]


def test_arrows_that_lead_up_or_across_floors_of_the_contract(tmp_path):
    made(
        tmp_path,
        upperINa="from made.left import x\nfrom made.cellar import x\n",
        left="from made.right import x\nx = 1\n",
        right="from made.low import x\n",
        low="from made.lower import x\n",
        lower="from made.low import y\nx = 1\n",
        cellar="def f():\n    from made.upper.a import x\nx = 1\n",
        elsewhere="from made.upper.a import x\n",
    )
    floors = contract("upper", "left | right", "low : lower", "(cellar)", containers=["made"])
    (tmp_path / "pyproject.toml").write_text(floors)
    assert measured(tmp_path)["arrows back"] == [["made.cellar", "made.upper.a"], ["made.left", "made.right"]]


def test_floors_may_be_named_in_full(tmp_path):
    made(tmp_path, high="x = 1\n", low="from made.high import x\n")
    (tmp_path / "pyproject.toml").write_text(contract("made.high", "made.low"))
    assert measured(tmp_path)["arrows back"] == [["made.low", "made.high"]]


def test_without_a_contract_no_arrow_is_judged(tmp_path):
    assert measured(made(tmp_path))["arrows back"] is None


# --- functions and docstrings ----------------------------------------------------------------------------------------


def test_private_functions_and_bare_words(tmp_path):
    text = "def _a(): ...\ndef told(): ...\ndef read_it(): ...\nasync def later(): ...\ndef __getattr__(name): ...\n"
    found = measured(made(tmp_path, a=text, b="class C:\n    def _m(self): ...\n    def n(self): ...\n"))
    assert (found["functions"], found["public"]) == (4, 3)
    assert found["private"] == 1 / 4
    assert found["bare words"] == ["later", "told"]


def documented(tmp_path: Path, text: str, arguments: str = "a", body: str = "return a") -> dict[str, Any]:
    """The shares of one function with this docstring."""
    made(tmp_path, a=f'def f({arguments}):\n    """{text}"""\n    {body}\n')
    return measured(tmp_path)["docstrings"]["package"]


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("F.\n\n    Args:\n        a: a number\n    ", "Args"),
        ("F.\n\n    Parameters\n    ----------\n    a : int\n    ", "Args"),
        ("F.\n\n    :param a: a number\n    ", "Args"),
        ("F.\n\n    Returns:\n        a number\n    ", "Returns"),
        ("F. Returns a number.", "Returns"),
        ("F.\n\n    Yields: numbers\n    ", "Returns"),
        ("F.\n\n    Raises:\n        ValueError: if not\n    ", "Raises"),
        ("F, or so. Raises ValueError if not.", "Raises"),
        ("Numbers of this shape.", "shape"),
        ("Numbers [batch, pos].", "shape"),
        ("A number for each neuron ([neuron]).", "shape"),
        ("F.\n\n    Source: the paper, section 3\n    ", "Source"),
        ("F.\n\n    References\n    ----------\n    The paper\n    ", "Source"),
    ],
)
def test_what_a_docstring_has(tmp_path, text, column):
    found = documented(tmp_path, text)
    assert found.pop("functions") == 1
    assert {name for name, value in found.items() if value} == {"documented", column}


@pytest.mark.parametrize("text", ["Args and kwargs.", "What it returns.", "list[int], see [1].", "It raises doubts."])
def test_what_only_looks_like_it(tmp_path, text):
    assert {name for name, value in documented(tmp_path, text).items() if value} == {"functions", "documented"}


def test_shares_are_of_those_that_could_have_it(tmp_path):
    found = documented(tmp_path, "F.", arguments="", body="return None")
    assert (found["documented"], found["Args"], found["Returns"]) == (1, None, None)
    assert documented(tmp_path, "F.", arguments="*, a", body="yield a")["Args"] == 0
    assert documented(tmp_path, "F.", body="yield a")["Returns"] == 0
    assert documented(tmp_path, "F.", body="def g():\n        return a")["Returns"] is None


def test_which_functions_ought_to_be_documented(tmp_path):
    text = """
from typing import overload
@overload
def f(a: int) -> int: ...
def f(a):
    def inner(): ...
def _g(): ...
class C:
    def __init__(self): ...
    @property
    def p(self): ...
    @p.setter
    def p(self, value): ...
    def m(self): ...
    def _n(self): ...
class _D:
    def m(self): ...
"""
    assert (
        measured(made(tmp_path, a=text, _b="def h(): ...\n"))["docstrings"]["package"]["functions"] == 3
    )  # f, C.p, C.m


def test_rooms_and_the_door_are_counted_apart(tmp_path):
    good, bad = 'def f():\n    """F."""\n', "def g(): ...\nclass C:\n    def m(self): ...\n"
    door = "from made.stats.a import f\nfrom made.stats.b import C\n__all__ = ['C', 'f', 'VERSION']\nVERSION = 1\n"
    made(tmp_path, __init__=door, statsINa=good, statsINb=bad, statistics=bad)
    found = measured(tmp_path)["docstrings"]
    assert {room: (shares["functions"], shares["documented"]) for room, shares in found.items()} == {
        "package": (5, 1 / 5),
        "stats": (3, 1 / 3),
        "door": (2, 1 / 2),
    }
    assert "statistics" in measured(tmp_path, "--rooms", "statistics")["docstrings"]


# --- how it is written -----------------------------------------------------------------------------------------------


def test_comprehensions_and_tuples_in_a_thousand_lines(tmp_path):
    lines = [
        "a = [x for x in y]",
        "b = {x: 1 for x in y if x}",
        "c = sum(x for x in y)",
        "d = {x + z for x in y for z in y}",  # two loops
        "e = [[z for z in x] for x in y]",  # two loops, two comprehensions
        "f, g = 1, 2",
        "(h, i) = j = (a, b)",
        "k, m = divmod(5, 2)",
        "n = 1, 2",
        "for o, p in q: pass",
    ]
    found = measured(made(tmp_path, a="\n".join(lines)))
    assert found["comprehensions"] == 6 * 1000 / 10
    assert found["tuple to tuple"] == 2 * 1000 / 10
    assert found["two loops"] == 2


def test_the_length_of_functions(tmp_path):
    text = '''
def one(): ...
def two():
    """This is
    not counted."""
    return 1
class C:
    @property
    def eleven(self):
        def inner():
            return 1
'''
    found = measured(made(tmp_path, a=text + "        x = 1\n" * 8))
    assert (found["median length"], found["90th percentile"]) == (2, 11)


def test_private_names_that_others_import(tmp_path):
    reads = "from made.b import _x, y\nfrom made import b, _c\nb._z\nb.y\n_c._w\nb.__name__\n"
    made(tmp_path, a=reads, b="import made.a as a\n_x = _z = y = 1\n_x\na.b\n", _c="from os import _exit\n_w = 1\n")
    assert measured(tmp_path)["private imports"] == ["made.a: made._c._w", "made.a: made.b._x", "made.a: made.b._z"]


def test_words_of_the_readme_without_code(tmp_path):
    text = """# Two words
<!-- a comment of six words -->
```python
print("not this")
```
One [link to](https://example.org/a/b "there") a thing - and `code`.

    ~~~
    nor this
    ~~~
| a | b |
|---|---|
<img src="x.png" alt="none of these">
"""
    made(tmp_path)
    assert measured(tmp_path)["README words"] is None
    (tmp_path / "README.md").write_text(text)
    assert measured(tmp_path)["README words"] == 2 + 7 + 2  # title, line, table


def test_it_prints_a_table_and_the_chain(tmp_path):
    made(tmp_path, a="import made.b\n", b="")
    command = [sys.executable, str(SCRIPT), "--of", str(tmp_path), "made"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert "| entries at the top | 2 |" in lines
    assert "| arrows back up | - |" in lines
    assert "| package | 0 | - | - | - | - | - | - |" in lines
    assert lines[-1] == "longest chain: made.a > made.b"


def test_a_package_that_is_not_there_is_named(tmp_path):
    command = [sys.executable, str(SCRIPT), "--of", str(tmp_path), "made"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"error: PATH={str(tmp_path)!r} holds no package 'made': name the folder in which it lies\n"


# --- ours ------------------------------------------------------------------------------------------------------------


def test_the_house():
    found = measured()
    assert len(found["longest chain"]) <= 10, found["longest chain"]
    assert found["circles"] == []
    assert found["arrows back"] == []
    assert len(found["entries"]) <= 16, found["entries"]
    assert found["README words"] <= 900
    told = found["docstrings"]
    for room in ("analyses", "stats", "contributions", "probing", "door"):
        assert told[room]["Args"] >= 0.8, room
