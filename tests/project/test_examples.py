"""Every example in a docstring of the package runs, and comes out as it says."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "hn_utils"


def with_examples() -> list[str]:
    names = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            names.append(".".join(part for part in parts if part != "__init__"))
    return names


@pytest.mark.slow
@pytest.mark.parametrize("name", with_examples())
def test_examples_run(name, monkeypatch):
    monkeypatch.chdir(PACKAGE.parent)  # one reads a file of the bundled model
    failed, tried = doctest.testmod(import_module(name))
    assert (failed, tried > 0) == (0, True)
