"""Keep figures: interactive HTML that works offline, a PNG beside it, and an index page of them all."""

from __future__ import annotations

import atexit
import base64
import html
import json
import os
import shutil
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from hn_utils.study import DATA

FIGURES = Path(os.environ.get("HN_FIGURES", DATA.parent / "figures"))
NOTEBOOKS = {
    "01_collect": "Collect",
    "02_probe": "Probe",
    "03_intervene": "Intervene",
    "04_base_vs_instruct": "Base against instruct",
    "bench": "Speed and size",
}


@dataclass(frozen=True, repr=False)
class Published:
    """A kept figure, shown interactively where JavaScript runs and as an image elsewhere."""

    figure: go.Figure
    png: bytes | None

    def __repr__(self) -> str:
        return f"Figure: {title_of(self.figure)}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = {"application/vnd.plotly.v1+json": json.loads(str(self.figure.to_json()))}
        if self.png:
            bundle["image/png"] = base64.b64encode(self.png).decode()
        return bundle


def title_of(figure: go.Figure) -> str:
    return html.unescape(figure.layout.title.text.replace("<br>", " "))  # type: ignore[union-attr]


def image(figure: go.Figure, height: int) -> bytes:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The kopts argument is ignored")  # plotly's own call, harmless
        return figure.to_image(format="png", width=900, height=height)


@cache
def image_server() -> bool:
    """Start the image exporter once. False, with one warning, where no Chromium is found: figures stay interactive."""
    try:
        import kaleido

        kaleido.start_sync_server(silence_warnings=True)
        atexit.register(kaleido.stop_sync_server, silence_warnings=True)
        image(go.Figure(), 10)
    except Exception as error:
        warnings.warn(f"no PNG images, since no Chromium could be started ({type(error).__name__})", stacklevel=2)
        return False
    return True


def show(figure: go.Figure) -> Published:
    """Return the figure for display: interactive where JavaScript runs, an image elsewhere."""
    if not image_server():
        return Published(figure, None)
    try:
        return Published(figure, image(figure, figure.layout.height))  # type: ignore[union-attr]
    except Exception as error:  # whatever the browser dislikes: the figure itself is there
        warnings.warn(f"no PNG of this figure ({type(error).__name__}: {error})", stacklevel=2)
        return Published(figure, None)


FIGURE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="figure" content="{meta}"><style>
body{{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:1180px;margin:1rem auto;padding:0 1rem}}
.frame{{overflow-x:auto}}.frame>div{{min-width:{width}px}}
</style></head><body><p>{title}</p><div class="frame"><div>{plot}</div></div></body></html>
"""
PANEL = 300  # pixels that a panel needs at least; on a phone a wide figure scrolls in its frame


def publish(figure: go.Figure, name: str, notebook: str) -> Published:
    """Write figures/html/<name>.html and figures/png/<name>.png, and return the figure for display.

    The page has the title as text above the figure, where it wraps on any screen.
    """
    for folder in ("html", "png"):
        (FIGURES / folder).mkdir(parents=True, exist_ok=True)
    title, layout = title_of(figure), figure.layout
    bare = go.Figure(figure).update_layout(title=None, margin_t=60, height=layout.height - layout.margin.t + 60)  # type: ignore[union-attr]
    table = any(isinstance(trace, go.Table) for trace in figure.data)
    content = FIGURE.format(
        name=html.escape(name),
        title=html.escape(title),
        meta=html.escape(json.dumps({"title": title, "notebook": notebook}), quote=True),
        width=PANEL * (3 if table else len([axis for axis in layout.to_plotly_json() if axis.startswith("xaxis")])),  # type: ignore[union-attr]
        plot=bare.to_html(
            full_html=False,
            include_plotlyjs="directory",
            div_id=name,
            config={"displaylogo": False, "responsive": True},
        ),
    )
    (FIGURES / "html" / f"{name}.html").write_text(content)
    plotly_js()
    published = show(figure)
    if published.png:
        (FIGURES / "png" / f"{name}.png").write_bytes(published.png)
    return published


def plotly_js() -> None:
    """The one shared script that all figures load from beside them."""
    import plotly

    target = FIGURES / "html" / "plotly.min.js"
    if not target.exists():
        shutil.copy(Path(plotly.__file__).parent / "package_data" / "plotly.min.js", target)


def read_meta(page: Path) -> dict[str, str]:
    """What `publish` wrote about a figure into its page's head."""
    text = page.read_text()
    start = text.index('name="figure" content="') + len('name="figure" content="')
    return json.loads(html.unescape(text[start : text.index('">', start)]))


CARD = """<article><a href="html/{name}.html"><img src="png/{name}.png" alt="{title}" loading="lazy"></a>
<p>{title}</p>
<p class="from"><a href="html/{name}.html">Open the interactive figure</a>, from {source}</p></article>"""
EXPLORER = """<p><a href="explorer.html"><strong>The explorer</strong></a>: answers token by token, the neurons that
speak there, and what the model says when they are turned up.</p>"""
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>H-Neurons: the figures</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body{{font:16px/1.5 system-ui,sans-serif;max-width:1180px;margin:2rem auto;padding:0 1rem;color:#222}}
main{{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,520px),1fr));gap:1.5rem}}
article{{border:1px solid #ddd;border-radius:8px;padding:1rem}}
img{{width:100%;height:auto}}.from{{color:#666;font-size:.9rem}}h2{{grid-column:1/-1;margin:1rem 0 0}}
</style></head><body><h1>H-Neurons: the figures</h1>
<p>Each figure states its finding, with intervals and beside its control. Click one to explore it; all work offline.</p>
{explorer}
<main>{cards}</main></body></html>
"""


def keep_page(page: str, name: str) -> Path:
    """Write a self-contained page to figures/<name>.html, where the index links it."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    path = FIGURES / f"{name}.html"
    path.write_text(page)
    return path


def build_index() -> Path:
    """Write figures/index.html from the figures that are there, a section a notebook."""
    pages = {page.stem: read_meta(page) for page in sorted((FIGURES / "html").glob("*.html"))}
    cards = []
    for notebook, heading in NOTEBOOKS.items():
        mine = {name: meta for name, meta in pages.items() if meta["notebook"] == notebook}
        source = "<code>make bench</code>" if notebook == "bench" else f"notebook {notebook}"
        if mine:
            cards.append(f"<h2>{heading}</h2>")
        cards += [CARD.format(name=n, title=html.escape(m["title"]), source=source) for n, m in mine.items()]
    index = FIGURES / "index.html"
    explorer = EXPLORER if (FIGURES / "explorer.html").exists() else ""
    index.write_text(PAGE.format(cards="\n".join(cards), explorer=explorer))
    return index
