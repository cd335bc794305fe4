"""What several runs found, side by side: from their summaries to a table, a file of numbers, and a page.

Runs that share questions or a model are not independent, and nothing here is corrected for how many there are.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hn_utils.questions.items import CAPABILITY, behaviour_called
from hn_utils.questions.question import STANDARD_TITLE
from hn_utils.report.gallery import plotly_js
from hn_utils.report.measures import AGAINST_RANDOM, BEYOND, DETECTORS, SLOPE, Measure
from hn_utils.storage.files import write_whole
from hn_utils.storage.progress import visible


def estimated(estimate: Mapping[str, Any], **more: Any) -> Measure:
    """An estimate of a summary."""
    return Measure(**estimate, **more)


def read_summary(folder: Path) -> dict[str, Any]:
    """What a run wrote last into its folder. Raises OSError if it holds no summary.json."""
    path = folder / "summary.json"
    if not path.exists():
        raise OSError(f"{folder} holds no summary.json: `python -m hn_utils run --out {folder}` writes one")
    return json.loads(path.read_text(encoding="utf-8"))


def standard_aurocs(summary: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The AUROC of each detector on the standard test set, as the summary holds it."""
    return {row["detector"]: row["auroc"] for row in summary["detection"] if row["test_set"] == STANDARD_TITLE}


def measures(summary: Mapping[str, Any]) -> dict[str, Measure]:
    """What one run found, a line a finding; a finding that it could not make is left out."""
    read = standard_aurocs(summary)
    lines = {"H-Neurons": Measure(summary["h_neurons"], digits=0)}
    lines |= {line: estimated(read[name]) for line, name in DETECTORS.items() if name in read}
    lines[BEYOND] = estimated(summary["beyond"]["any"])
    for name, slope in summary["slopes"].items():
        if name not in CAPABILITY:
            about = {"p": slope["p"], "verdict": slope["verdict"], "digits": 1}
            lines[SLOPE + behaviour_called(name).title.lower()] = estimated(slope["beyond"], **about)
    return lines | _origin_measures(summary)


def _origin_measures(summary: Mapping[str, Any]) -> dict[str, Measure]:
    """What one run found in the base model, if it has one."""
    lines, drift = {}, summary["drift"]
    if drift is None:
        return lines
    if (there := summary["transfer"][-1]["h_neurons"]) is not None:
        lines["AUROC of the H-Neurons in the base model"] = estimated(there)
    if (beyond := summary["transfer_beyond"]) is not None:
        lines["beyond what shuffled labels pick, there"] = estimated(beyond)
    if not drift["p"]:
        return lines
    largest = max(drift["p"][kind] for kind in AGAINST_RANDOM)
    lines["drift: mean rank, largest of three p against random neurons"] = Measure(
        drift["mean_rank"], p=largest, p_digits=4
    )
    if "shuffled" in drift["p"]:
        lines["drift: p against what shuffled labels pick"] = Measure(drift["p"]["shuffled"])
    return lines


def side_by_side(summaries: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """A column for each run as text, empty where it made no such finding."""
    columns = {name: {k: str(m) for k, m in measures(found).items()} for name, found in summaries.items()}
    lines = list(dict.fromkeys(line for column in columns.values() for line in column))
    return pd.DataFrame(columns, index=lines).fillna("")


def numbers(summaries: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """A row for each run, its findings in columns, each with its interval, p and n in columns of their own."""
    rows = [
        {line + end: value for line, m in measures(found).items() for end, value in m.columns.items()}
        for found in summaries.values()
    ]
    return pd.DataFrame(rows, index=pd.Index(summaries, name="task"))


_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>H-Neurons: sweep {name}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body{{font:16px/1.5 system-ui,sans-serif;max-width:1180px;margin:2rem auto;padding:0 1rem;color:#222}}
.frame{{overflow-x:auto}}.frame>div{{min-width:{width}px}}
table{{border-collapse:collapse;font-size:.9rem}}th,td{{border:1px solid #ddd;padding:.3rem .6rem;text-align:left}}
</style></head><body><h1>Sweep {name}</h1>
<p>{n} runs side by side, each with its intervals (95 %, over entities) beside its control. Runs that share questions or
a model are not independent, and nothing is corrected for how many there are. <a href="results.csv">The same in
numbers</a>.</p>
{figures}
<h2>All findings</h2>
<div class="frame">{table}</div>
{failed}</body></html>
"""
_PANEL = 800  # pixels that a figure needs at least; on a phone it scrolls in its frame


def write_page(folder: Path, summaries: Mapping[str, Mapping[str, Any]], failed: Mapping[str, str]) -> Path:
    """index.html of a folder that holds a folder for each run: figures, all findings, links to each run's report, and
    why other runs failed."""
    from hn_utils.report.plots.comparison import detection_of_runs, slopes_of_runs

    found = {name: measures(summary) for name, summary in summaries.items()}
    drawn = [detection_of_runs(found), slopes_of_runs(found)] if found else []
    config = {"displaylogo": False, "responsive": True}
    plots = [
        f.to_html(full_html=False, include_plotlyjs="directory", config=config, div_id=f"f{i}")
        for i, f in enumerate(drawn)
    ]
    told = [f"<li>{html.escape(visible(f'{name}: {why}'))}</li>" for name, why in failed.items()]
    path = folder / "index.html"
    write_whole(
        path,
        _PAGE.format(
            name=html.escape(folder.name),
            n=len(summaries),
            width=_PANEL,
            figures="\n".join(f'<div class="frame"><div>{plot}</div></div>' for plot in plots),
            table=_html_table(side_by_side(summaries)),
            failed=f"<h2>Failed</h2><ul>{''.join(told)}</ul>" if told else "",
        ),
    )
    plotly_js(folder)
    return path


def _html_table(table: pd.DataFrame) -> str:
    """The table, each run's name a link to its report."""
    names = [html.escape(name) for name in table.columns]
    heads = "".join(f'<th><a href="{name}/report.md">{name}</a></th>' for name in names)
    rows = [
        f"<tr><th>{html.escape(line)}</th>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"
        for line, *cells in table.itertuples()
    ]
    return f"<table><tr><th></th>{heads}</tr>{''.join(rows)}</table>"
