"""The texts hold together: pages of the site are there, links lead somewhere, the door is described; modules,
functions, files and targets of make that a text names are there. Builds no site."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

import hn_utils
from hn_utils.study import settings_table

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FOLDERS = (DOCS, ROOT, ROOT / "notebooks", ROOT / "bench")
PAGES = [page for folder in FOLDERS for page in sorted(folder.glob("*.md"))]
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
DOTTED = re.compile(r"(?<![\w./-])(?:hn|hn_utils)(?:\.[A-Za-z_]\w*)+(?!/)")
PLACED = re.compile(r"(?<![\w./<-])(?:hn_utils|tests|docs|bench|data|notebooks|figures)/[\w./-]*\w")
BARE = re.compile(r"`(\w+\.py)`")
IN_FILE = re.compile(r"`(\w+)`\s+in\s+`([\w/]+/\w+\.py)`")
TARGET = re.compile(r"(?:`|^|\b[A-Z_]+=\S+ )make\s+([a-z][a-z-]*)", re.MULTILINE)
TO_BE_WRITTEN = {"hn_utils/analyses/by_confidence.py", "hn_utils.analyses.by_confidence"}  # what CONTRIBUTING.md adds
NOT_KEPT = {"data/cache"}  # there once something has been computed
LINK = re.compile(r"\]\((?![a-z]+:)([^)\s#]*)(?:#([^)\s]*))?\)")


def anchors(page: Path) -> set[str]:
    """What a page's headings are called in links."""
    found = re.findall(r"^#+ (.+)$", CODE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in found}


def named(nav: object) -> list[str]:
    """Every page that a navigation names."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [page for part in parts for page in named(part)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    for target, anchor in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), f"{target} is not there"
        if anchor:
            assert anchor in anchors(there), f"{target} has no heading #{anchor}"


def test_every_page_of_the_site_is_there_and_each_is_in_its_navigation():
    nav = named(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert [page for page in nav if not (DOCS / page).exists() and not (ROOT / page).exists()] == []
    assert {page.name for page in DOCS.glob("*.md")} <= set(nav)
    assert len(nav) == len(set(nav))


def test_the_readme_is_short():
    words = re.sub(r"```.*?```", "", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL).split()
    assert len(words) <= 900


@pytest.mark.parametrize("name", hn_utils.__all__)
def test_every_name_of_the_door_is_described(name):
    thing = getattr(hn_utils, name)
    assert thing.__doc__
    assert not thing.__doc__.startswith(f"{name}("), "this is what a dataclass writes for itself"
    assert inspect.getdoc(thing)


@pytest.mark.parametrize("text", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_room_has_a_line(text):
    rooms = {path.parent.name for path in (ROOT / "hn_utils").glob("*/__init__.py")}
    lines = (ROOT / text).read_text(encoding="utf-8").splitlines()
    first = [line.split("|")[1] for line in lines if line.startswith("| `")]
    assert rooms <= {name for cell in first for name in re.findall(r"`(\w+)`", cell)}


def is_there(name: str) -> bool:
    """Does a dotted name lead to a module, or to something in one?"""
    thing = hn_utils
    parts = name.split(".")[1:]
    for place, part in enumerate(parts, 1):
        if not hasattr(thing, part):
            try:
                import_module(".".join(["hn_utils", *parts[:place]]))  # which hangs it on its package
            except ModuleNotFoundError:
                return False
        thing = getattr(thing, part)
    return True


@pytest.mark.parametrize("page", [*PAGES, DOCS / "hooks.py"], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_text_names_is_there(page):
    text = page.read_text(encoding="utf-8")
    assert [name for name in DOTTED.findall(text) if name not in TO_BE_WRITTEN and not is_there(name)] == []
    places = set(PLACED.findall(text)) - TO_BE_WRITTEN - NOT_KEPT
    assert [place for place in sorted(places) if not (ROOT / place).exists()] == []
    files = {path.name for folder in ("hn_utils", "tests", "bench", "docs") for path in (ROOT / folder).rglob("*.py")}
    assert set(BARE.findall(text)) <= files
    for name, place in IN_FILE.findall(text):
        assert re.search(rf"\b{name}\b", (ROOT / place).read_text(encoding="utf-8")), f"{place} has no {name}"
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(TARGET.findall(text)) <= set(targets)


def test_what_the_settings_name_is_there():
    names = re.findall(r"`((?:\w+\.)+\w+)`", settings_table())
    rooms = {path.parent.name for path in (ROOT / "hn_utils").glob("*/__init__.py")}
    assert [name for name in names if name.split(".")[0] in rooms and not is_there(f"hn_utils.{name}")] == []


def test_what_contributing_changes_stands_in_the_code():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    code = {
        line
        for folder in ("hn_utils", "tests")
        for path in (ROOT / folder).rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
    }
    for diff in re.findall(r"^```diff\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        lines = diff.splitlines()
        for line, following in zip(lines, [*lines[1:], ""], strict=True):
            if line.startswith(" "):
                assert line[1:] in code
            elif line.startswith("-"):  # or else what takes its place, once somebody has done as the page says
                assert {line[1:], following[1:]} & code
