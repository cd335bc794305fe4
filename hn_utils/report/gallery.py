"""Keep figures: interactive HTML that works offline, a PNG beside it, and an index page of them all."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from hn_utils.storage.files import digest
from hn_utils.study.planted import planted_in
from hn_utils.study.run_folders import own_home

if TYPE_CHECKING:
    from hn_utils.study import Study

NOTEBOOKS = {
    "01_collect": "Collect",
    "02_probe": "Probe",
    "03_intervene": "Intervene",
    "04_base_vs_instruct": "Base against instruct",
    "05_a_real_model": "A real model",
    "05_falsehood_or_permission": "Beyond: falsehood or permission?",
    "06_where_from": "Beyond: where do they come from?",
    "found_again": "Deeper: would the same neurons be found again?",
    "what_else": "Deeper: what else could it be, and where is it known?",
    "what_it_costs": "Deeper: what else does scaling do?",
    "session90": "Ninety minutes",
    "bench": "Speed and size",
}
PAPER = "04_base_vs_instruct"  # the notebook that sets the report beside the paper


@dataclass(frozen=True, repr=False)
class Published:
    """A kept figure, shown interactively where JavaScript runs and, if it has been drawn, as an image elsewhere."""

    name: str
    figure: go.Figure
    png: bytes | None

    def __repr__(self) -> str:
        return f"Figure: {title_of(self.figure)}"

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle: dict[str, Any] = {"application/vnd.plotly.v1+json": json.loads(str(self.figure.to_json()))}
        if self.png:
            bundle["image/png"] = base64.b64encode(self.png).decode()
        return bundle, {"figure": self.name}


def title_of(figure: go.Figure) -> str:
    return plain(figure.layout.title.text)  # type: ignore[union-attr]


def caption_of(figure: go.Figure) -> str:
    """The numbers below the title."""
    return plain(figure.layout.title.subtitle.text or "")  # type: ignore[union-attr]


def plain(text: str) -> str:
    """A figure's text without the markup that breaks and weighs its lines."""
    return html.unescape(re.sub("</?b>", "", text.replace("<br>", " ")))


PLANTED = "<b>Planted model.</b>"
_FIGURE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="figure" content="{meta}"><style>
body{{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:1180px;margin:1rem auto;padding:0 1rem}}
.caption{{color:#555;font-size:.9rem}}.frame{{overflow-x:auto}}.frame>div{{min-width:{width}px}}
</style></head><body><p>{title}</p><p class="caption">{caption}</p>
<div class="frame"><div>{plot}</div></div></body></html>
"""
_PANEL = 300  # pixels that a panel needs at least; on a phone a wide figure scrolls in its frame
_ABOVE = 75  # pixels that the titles of panels need, three lines at most


_CARD = """<article>{shown}
<p class="from"><a href="html/{name}.html">Open the interactive figure</a>, from {source}</p></article>"""
_IMAGE = """<a href="html/{name}.html"><img src="png/{name}.png" alt="{title}" loading="lazy"></a>
<p>{title}</p>
<p class="from">{caption}</p>"""
_FRAME = """<iframe src="html/{name}.html" title="{title}" loading="lazy"></iframe>"""  # its page has title and caption
_WITHOUT = """<p>Where no image has been drawn, the interactive figure itself stands here. For images, which open
faster, install Chromium or Chrome (on Debian: <code>apt install chromium</code>) and run the notebooks again.</p>"""
_LINKS = {
    "explorer.html": "<strong>The explorer</strong></a>: answers token by token, the neurons that fire there, and what "
    "the model writes when they are turned up",
    "report.md": "The report</a>: which sentences of the paper hold on this model",
    "h_neurons.json": "The card</a>: the H-Neurons as a table, and the model they belong to",
}
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>H-Neurons: the figures</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body{{font:16px/1.5 system-ui,sans-serif;max-width:1180px;margin:2rem auto;padding:0 1rem;color:#222}}
main{{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,520px),1fr));gap:1.5rem}}
article{{border:1px solid #ddd;border-radius:8px;padding:1rem}}
img{{width:100%;height:auto}}iframe{{width:100%;height:680px;border:0}}
.from{{color:#666;font-size:.9rem}}h2{{grid-column:1/-1;margin:1rem 0 0}}
</style></head><body><h1>H-Neurons: the figures</h1>
<p>Each figure states its finding, with intervals and beside its control. Click one to explore it; all work offline.</p>
{without}{links}
<main>{cards}</main></body></html>
"""


def read_meta(page: Path) -> dict[str, str]:
    """What `publish` wrote about a figure into its page's head."""
    text = page.read_text(encoding="utf-8")
    start = text.index('name="figure" content="') + len('name="figure" content="')
    return json.loads(html.unescape(text[start : text.index('">', start)]))


@dataclass(frozen=True)
class Gallery:
    """Where one notebook keeps its figures: html/, png/ and index.html in the folder of the study's results."""

    study: Study
    notebook: str

    @property
    def folder(self) -> Path:
        return own_home(self.study)

    def publish(self, figure: go.Figure, name: str, about: Study | None = None) -> Published:
        """Write html/<name>.html and return the figure for display.

        The page has the title as text above the figure, where it wraps on any screen. An image that was drawn of this
        very figure is kept, one of another figure removed; images are drawn by whoever runs the notebooks. A figure
        `about` a planted model (by default the gallery's own study) says so.
        """
        if planted_in(about or self.study) is not None:
            figure = go.Figure(figure).update_layout(title_text=f"{PLANTED} {figure.layout.title.text}")  # type: ignore[union-attr]
        page, image = self.folder / "html" / f"{name}.html", self.image(name)
        for folder in (page.parent, image.parent):
            folder.mkdir(parents=True, exist_ok=True)
        meta = {
            "title": title_of(figure),
            "caption": caption_of(figure),
            "notebook": self.notebook,
            "digest": digest(str(figure.to_json()).encode()),
        }
        if image.exists() and not (page.exists() and read_meta(page).get("digest") == meta["digest"]):
            image.unlink()
        page.write_text(_figure_page(figure, name, meta), encoding="utf-8")
        plotly_js(page.parent)
        return Published(name, figure, image.read_bytes() if image.exists() else None)

    def image(self, name: str) -> Path:
        return self.folder / "png" / f"{name}.png"

    def keep_page(self, page: str, name: str) -> Path:
        """Write a self-contained page to <name>.html, where the index links it."""
        path = self.folder / f"{name}.html"
        path.write_text(page, encoding="utf-8")
        return path

    def tell(self, text: str) -> Path:
        """Write this notebook's part of report.md, in the order of the notebooks; the parts of others stay. Text that
        stands before all parts is the paper's, as `run` writes it, and gives way to this part alone."""
        path = self.folder / "report.md"
        written = path.read_text(encoding="utf-8") if path.exists() else ""
        paper, *others = re.split(r"^<!-- (\w+) -->\n", written, flags=re.MULTILINE)
        parts = {PAPER: paper, **dict(zip(others[::2], others[1::2], strict=True)), self.notebook: text}
        told = [f"<!-- {name} -->\n" * (name != PAPER) + parts[name].strip() for name in NOTEBOOKS if parts.get(name)]
        path.write_text("\n\n".join(told) + "\n", encoding="utf-8")
        return path

    def build_index(self) -> Path:
        """Write index.html from the figures that are there."""
        return build_index(self.folder)


def build_index(folder: Path) -> Path:
    """Write a folder's index.html, a section a notebook. A figure that has no image is shown itself, in a frame."""
    pages = {page.stem: read_meta(page) for page in sorted((folder / "html").glob("*.html"))}
    drawn = {image.stem for image in (folder / "png").glob("*.png")}
    cards = []
    for notebook, heading in NOTEBOOKS.items():
        mine = {name: meta for name, meta in pages.items() if meta["notebook"] == notebook}
        if mine:
            cards.append(f"<h2>{heading}</h2>")
        cards += [card(name, meta, name in drawn) for name, meta in mine.items()]
    links = [f'<li><a href="{file}">{text}.</li>' for file, text in _LINKS.items() if (folder / file).exists()]
    page = _PAGE.format(
        cards="\n".join(cards),
        links=f"<ul>{''.join(links)}</ul>" if links else "",
        without="" if pages.keys() <= drawn else f"{_WITHOUT}\n",
    )
    index = folder / "index.html"
    index.write_text(page, encoding="utf-8")
    return index


def card(name: str, meta: dict[str, str], drawn: bool) -> str:
    """A figure's place in the index."""
    title, caption = html.escape(meta["title"]), html.escape(meta.get("caption", ""))
    shown = (_IMAGE if drawn else _FRAME).format(name=name, title=title, caption=caption)
    source = "<code>make bench</code>" if meta["notebook"] == "bench" else f"notebook {meta['notebook']}"
    return _CARD.format(shown=shown, name=name, source=source)


def _figure_page(figure: go.Figure, name: str, meta: dict[str, str]) -> str:
    """A figure as a page of its own, its title as text above it."""
    layout = figure.layout
    height = layout.height - layout.margin.t + _ABOVE  # type: ignore[union-attr]
    bare = go.Figure(figure).update_layout(title=None, margin_t=_ABOVE, height=height)
    table = any(isinstance(trace, go.Table) for trace in figure.data)
    return _FIGURE.format(
        name=html.escape(name),
        title=html.escape(meta["title"]),
        caption=html.escape(meta["caption"]),
        meta=html.escape(json.dumps(meta), quote=True),
        width=_PANEL * (3 if table else len({axis.domain for axis in figure.select_xaxes()})),
        plot=bare.to_html(
            full_html=False,
            include_plotlyjs="directory",
            div_id=name,
            config={"displaylogo": False, "responsive": True},
        ),
    )


def plotly_js(folder: Path) -> None:
    """The one shared script that all figures load from beside them."""
    import plotly

    if not (folder / "plotly.min.js").exists():
        shutil.copy(Path(plotly.__file__).parent / "package_data" / "plotly.min.js", folder)
