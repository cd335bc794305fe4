"""For maintainers: what a finished run of the bundled study leaves in `runs/`, copied to where it is committed; and
whether what is committed there is what a run gives."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from hn_utils.course.alike import Comparison
from hn_utils.course.execute import BEYOND, DEEPER, MAIN_LINE, outputs_of, read_source
from hn_utils.report.gallery import PAPER, build_index, read_meta
from hn_utils.stats.tables import counted
from hn_utils.storage.paths import NOTEBOOKS, ROOT, runs_root
from hn_utils.study import BUNDLED
from hn_utils.study.run_folders import SETTINGS, require_own

FIGURES = ROOT / "figures"
_PAGES = ("explorer.html", "report.md", "h_neurons.json")  # beside the figures
_BY_HAND = "bench"  # figures that no notebook draws, but `make bench`: they stay until it draws them anew


@dataclass(frozen=True)
class Finished:
    """The notebooks of a run that have been executed, by name."""

    folder: Path
    notebooks: dict[str, NotebookNode]

    @property
    def figures(self) -> list[str]:
        """Names of the figures that they show."""
        return [name for name, _ in self.shown]

    @property
    def shown(self) -> list[tuple[str, NotebookNode]]:
        """The figures that they show: the name and the output of each."""
        outputs = [output for notebook in self.notebooks.values() for output in outputs_of(notebook)]
        return [(o.metadata["figure"], o) for o in outputs if "figure" in o.get("metadata", {})]


def finished(names: Sequence[str]) -> Finished:
    """Those notebooks of the bundled study that have been run here, of the sources as they are now.

    Raises OSError if another study's results lie there; ValueError if a source was changed since it was run.
    """
    folder = runs_root() / BUNDLED.name
    require_own(folder, BUNDLED)
    notebooks = {}
    for name in names:
        path = folder / "notebooks" / f"{name}.ipynb"
        if not path.exists():
            continue
        notebooks[name] = nbformat.read(path, as_version=4)
        source = read_source(NOTEBOOKS / f"{name}.py")
        if [c.source for c in notebooks[name].cells] != [c.source for c in source.cells]:
            raise ValueError(f"notebooks/{name}.py has changed since it was run: run it again ({_command_of(name)})")
    return Finished(folder, notebooks)


def _command_of(name: str) -> str:
    return "make notebooks" if name in MAIN_LINE else "make deeper" if name in DEEPER else "make beyond"


def _require_run(run: Finished, names: Sequence[str]) -> None:
    """Raises ValueError unless all these notebooks have been run."""
    missing = [name for name in names if name not in run.notebooks]
    if missing:
        commands = " && ".join(dict.fromkeys(map(_command_of, missing)))
        raise ValueError(f"{run.folder} lacks {', '.join(missing)}: first run them on the bundled study ({commands})")


def _require_complete(run: Finished) -> None:
    """Raises ValueError if a page or an image is missing."""
    lacking = [page for page in (SETTINGS, *_PAGES) if not (run.folder / page).exists()]
    if lacking:
        raise ValueError(f"{run.folder} lacks {', '.join(lacking)}: run make notebooks again")
    without = [
        name
        for name, output in dict(run.shown).items()
        if "image/png" not in output.data or not (run.folder / "png" / f"{name}.png").exists()
    ]
    if without:
        raise ValueError(
            f"{run.folder} lacks the images of {counted(len(without), 'figure')} ({without[0]}, for one): install "
            "Chromium or Chrome, and run the notebooks again"
        )


def publish() -> str:
    """Copy the run to notebooks/ and figures/, remove figures there that no notebook shows any more, and say what was
    copied. Raises ValueError if the run is not complete."""
    names = (*MAIN_LINE, *DEEPER, *BEYOND)
    run = finished(names)
    _require_run(run, names)
    _require_complete(run)
    for name in names:
        shutil.copyfile(run.folder / "notebooks" / f"{name}.ipynb", NOTEBOOKS / f"{name}.ipynb")
    for page in _PAGES:
        shutil.copyfile(run.folder / page, FIGURES / page)
    by_hand = [page.stem for page in (run.folder / "html").glob("*.html") if read_meta(page)["notebook"] == _BY_HAND]
    figures = [*run.figures, *(name for name in by_hand if (run.folder / "png" / f"{name}.png").exists())]
    _remove_others(figures)
    (FIGURES / "html").mkdir(parents=True, exist_ok=True)
    (FIGURES / "png").mkdir(exist_ok=True)
    shutil.copyfile(run.folder / "html" / "plotly.min.js", FIGURES / "html" / "plotly.min.js")
    for file in [f"{kind}/{name}.{kind}" for name in figures for kind in ("html", "png")]:
        shutil.copyfile(run.folder / file, FIGURES / file)
    build_index(FIGURES)
    return f"published: {counted(len(names), 'notebook')}, {counted(len(figures), 'figure')}, {', '.join(_PAGES)}"


def _remove_others(figures: Sequence[str]) -> None:
    """Remove the committed figures that notebooks once showed, and show no more."""
    for page in (FIGURES / "html").glob("*.html"):
        if page.stem not in figures and read_meta(page)["notebook"] != _BY_HAND:
            page.unlink()
            (FIGURES / "png" / f"{page.stem}.png").unlink(missing_ok=True)


def compare() -> tuple[Finished, Comparison]:
    """Set what is committed beside a run: the main line, and whatever else of the course has been run. The index is
    built from what is compared; images are not.

    Raises ValueError if the main line has not been run, or a source was changed since.
    """
    run, told = finished((*MAIN_LINE, *DEEPER, *BEYOND)), Comparison()
    _require_run(run, MAIN_LINE)
    for name, notebook in run.notebooks.items():
        told.notebooks(nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4), notebook, f"notebooks/{name}.ipynb")
    for file in [*(f"html/{name}.html" for name in run.figures), "explorer.html"]:
        if (FIGURES / file).exists():
            told.page(_text_in(FIGURES / file), _text_in(run.folder / file), f"figures/{file}")
        else:
            told.differences.append(f"figures/{file}: is not committed")
    card = "h_neurons.json"
    told.data(json.loads(_text_in(FIGURES / card)), json.loads(_text_in(run.folder / card)), f"figures/{card}")
    committed, written = (_report_parts(_text_in(folder / "report.md")) for folder in (FIGURES, run.folder))
    for part in written.keys() & {Path(name).name for name in run.notebooks}:
        told.text(committed.get(part, ""), written[part], f"figures/report.md, {part}")
    return run, told


def _text_in(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _report_parts(report: str) -> dict[str, str]:
    """The parts of a report, by the notebook that tells them."""
    paper, *others = re.split(r"^<!-- (\w+) -->\n", report, flags=re.MULTILINE)
    return {PAPER: paper, **dict(zip(others[::2], others[1::2], strict=True))}


def check() -> str:
    """Is what is committed current? Says what was compared. Raises ValueError that lists what differs."""
    run, told = compare()
    tipped = [f"\n  (let pass, as rounding may tip a reply) {line}" for line in told.tipped]
    if told.differences:
        lines = [f"\n  {line}" for line in told.differences]
        remedy = "`make publish` after `make notebooks deeper beyond` brings it up to date"
        n = counted(len(lines), "difference")
        raise ValueError(f"{n} between what is committed and {run.folder}; {remedy}:{''.join(lines + tipped)}")
    what = f"{counted(len(run.notebooks), 'notebook')}, {counted(len(run.figures), 'figure')} and {', '.join(_PAGES)}"
    return f"current: {what}; {told.n_numbers:,} numbers agree within rounding{''.join(tipped)}"
