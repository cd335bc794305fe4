"""What the site shows besides its own pages: notebooks as they are committed, figures, data cards, the table of
settings, and the API, a page a room. MkDocs calls each function named `on_…` at its step of a build.

Links in docs/ and elsewhere are written as they hold in the repository. In the site docs/ is the root, and everything
else lies at its own path; here the links are rewritten, and one that leads nowhere is a warning, which ends the build.
"""

from __future__ import annotations

import ast
import json
import logging
import posixpath
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

from hn_utils.study import settings_table

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "hn_utils"
OVERVIEW = "docs/notebooks.md"  # where a link to a folder of notebooks leads
SHOWN = (  # what is shown at its own path, beside docs/
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "CITATION.cff",
    "bench/README.md",
    "data/*/README.md",
    "figures/*.*",
    "figures/html/*",
    "figures/png/*",
    "notebooks/**/*.md",
    "notebooks/**/*.ipynb",
)
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?\)")
CODE = re.compile(r"(```.*?```|`[^`\n]+`)", re.DOTALL)
MATHS = re.compile(r"\$\$(?P<block>.+?)\$\$|(?<![\\$])\$(?P<inline>[^$\n]+?)\$", re.DOTALL)
FETCHES = re.compile(r"<script[^>]*>(?:(?!</script>).)*https://cdnjs(?:(?!</script>).)*</script>", re.DOTALL)
REWRITTEN = tempfile.TemporaryDirectory(prefix="site-")  # notebooks: mkdocs-jupyter reads them from a disk
log = logging.getLogger("mkdocs.hooks.site")


def on_config(config: Any) -> Any:
    """Add the API to the end of the navigation."""
    config.nav.append({"API": [{title: page} for page, title, _ in api_pages()]})
    return config


@event_priority(100)  # before mkdocs-jupyter looks for notebooks
def on_files(files: Files, config: Any) -> Files:
    """Add what lies outside docs/, and the pages of the API."""
    rewritten = Path(REWRITTEN.name)
    for place in shown():
        if place.endswith(".ipynb"):
            copy_notebook(place, rewritten)
            files.append(File(place, str(rewritten), config.site_dir, config.use_directory_urls))
        elif place.endswith(".md"):
            text = (ROOT / place).read_text(encoding="utf-8")
            files.append(File.generated(config, place, content=text))
        else:
            files.append(File(place, str(ROOT), config.site_dir, config.use_directory_urls))
    for page, _, text in api_pages():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links as they hold in the site, mathematics, and the table of settings where its mark stands."""
    uri = page.file.src_uri
    place = uri if uri in shown() else f"docs/{uri}"
    if place.endswith(".ipynb") or uri.startswith("api/"):
        return markdown
    if place.startswith("notebooks/"):
        markdown = in_text(with_maths, markdown)
    if "<!-- settings -->" in markdown:
        markdown = markdown.replace("<!-- settings -->", settings())
    return in_text(lambda text: relinked(text, place, lambda target: target), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Notebooks without the scripts that would fetch something."""
    return FETCHES.sub("", html)


def on_post_build(config: Any) -> None:
    """The gallery links the report as the file that it is."""
    shutil.copy(ROOT / "figures" / "report.md", Path(config.site_dir) / "figures")


# Links


def shown() -> list[str]:
    """Paths in the repository of all that is shown at its own path."""
    return sorted({found.relative_to(ROOT).as_posix() for pattern in SHOWN for found in ROOT.glob(pattern)})


def in_text(change: Callable[[str], str], markdown: str) -> str:
    """Change what is no code."""
    parts = CODE.split(markdown)
    return "".join(part if place % 2 else change(part) for place, part in enumerate(parts))


def relinked(markdown: str, place: str, address: Callable[[str], str]) -> str:
    """The links of what lies at a place in the repository, as they hold in the site, where each target has an
    address."""

    def link(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(place), found[1]))
        if (ROOT / target).is_dir():
            target = OVERVIEW
        if not target.startswith("docs/") and target not in shown():
            log.warning(f"{place} links to {found[1]}, which the site does not show")
        there = posixpath.relpath(address(in_site(target)), posixpath.dirname(in_site(place)) or ".")
        return f"]({there}{found[2] or ''})"

    return LINK.sub(link, markdown)


def in_site(place: str) -> str:
    """Where something in the repository lies in the site's sources."""
    return place.removeprefix("docs/")


def built(uri: str) -> str:
    """Where a source of the site is built."""
    path = re.sub(r"\.(md|ipynb)$", ".html", uri)
    return re.sub(r"README\.html$", "index.html", path)


# Notebooks


def copy_notebook(place: str, folder: Path) -> None:
    """A copy of a committed notebook whose text fits the site: mkdocs-jupyter passes it on as it stands."""
    notebook = json.loads((ROOT / place).read_text(encoding="utf-8"))
    notebook["cells"] = [cell for cell in notebook["cells"] if "".join(cell["source"]).strip()]
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = in_text(with_maths, "".join(cell["source"]))
            cell["source"] = in_text(lambda part: relinked(part, place, built), text)
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_text(json.dumps(notebook), encoding="utf-8")


def with_maths(text: str) -> str:
    """Formulas as MathML, which browsers draw by themselves: MathJax would have to be fetched."""

    def formula(found: re.Match[str]) -> str:
        if found["block"]:
            return convert(found["block"].strip(), display="block")
        return f"<span>{convert(found['inline'])}</span>"  # Markdown takes a line that begins with <math> for a block

    return MATHS.sub(formula, text)


# Settings


def settings() -> str:
    """The table of settings, as the package itself tells it."""
    return settings_table()


# API


def api_pages() -> list[tuple[str, str, str]]:
    """Path, title and text of each page of the API: the door, then a page a room, in the order of the floors."""
    names = exported(PACKAGE / "__init__.py")
    door = [f"hn_utils.{name}" for name in sorted(names, key=lambda name: name[0].isupper())]  # functions first
    pages = [api_page("hn_utils", "The door: `import hn_utils as hn`", door)]
    for room in rooms():
        modules = list(public_modules(room))
        pages.append(api_page(room.name, f"`hn_utils.{room.name}`", modules, summary(room / "__init__.py")))
    if flat := [module for module in public_modules(PACKAGE, deep=False) if module != "hn_utils"]:
        pages.append(api_page("package", "`hn_utils`: beside the rooms", flat))
    return pages


def api_page(name: str, title: str, documented: list[str], opening: str = "") -> tuple[str, str, str]:
    text = "\n\n".join([f"# {title}", opening, *(f"::: {path}" for path in documented)])
    return f"api/{name}.md", "hn (the door)" if name == "hn_utils" else name, text


def rooms() -> list[Path]:
    """The package's rooms, those first that the page on architecture names first."""
    table = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    found = [room.parent for room in PACKAGE.glob("*/__init__.py")]
    return sorted(found, key=lambda room: (named.index(room.name) if room.name in named else len(named), room.name))


def public_modules(folder: Path, deep: bool = True) -> Iterator[str]:
    """The modules of a folder that hold something and are not private, by their full names."""
    for path in sorted(folder.rglob("*.py") if deep else folder.glob("*.py")):
        parts = [part for part in path.relative_to(ROOT).with_suffix("").parts if part != "__init__"]
        if any(part.startswith("_") for part in parts) or not defines(path):
            continue
        yield ".".join(parts)


def defines(path: Path) -> bool:
    """Does a module define anything itself? One that only passes on what others hold needs no entry."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(isinstance(node, kinds) for node in ast.parse(path.read_text(encoding="utf-8")).body)


def summary(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def exported(path: Path) -> list[str]:
    """The names in a module's `__all__`, read without importing it."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "__all__" for t in node.targets):
            return list(ast.literal_eval(node.value))
    raise ValueError(f"{path} has no __all__: list the door's names there")
