"""The texts hold together: pages of the site are there, links lead somewhere, the door is described. Builds no site."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import yaml

import hn_utils

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), *sorted(ROOT.glob("*.md")), ROOT / "bench" / "README.md"]
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
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
    if "storage" not in rooms:
        pytest.skip("the rooms are not built yet")
    lines = (ROOT / text).read_text(encoding="utf-8").splitlines()
    first = [line.split("|")[1] for line in lines if line.startswith("| `")]
    assert rooms <= {name for cell in first for name in re.findall(r"`(\w+)`", cell)}
