"""Run the notebooks from top to bottom, tell how far they are, and leave the same bytes behind every time.

They are written into the folder of the study's results. Images of figures are drawn here, after each notebook: none
waits for a browser.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import contextlib
import json
import os
import re
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from hn_utils.course.alike import PLOTLY
from hn_utils.report.gallery import Gallery
from hn_utils.report.pictures import NO_BROWSER, draw
from hn_utils.storage.files import digest
from hn_utils.storage.paths import NOTEBOOKS, expanded, folder_of, set_to
from hn_utils.storage.progress import Screen, clock, visible
from hn_utils.study import Study, load_study
from hn_utils.study.run_folders import own_home

MAIN_LINE = ("01_collect", "02_probe", "03_intervene", "04_base_vs_instruct")
BEYOND = ("05_falsehood_or_permission", "06_where_from")
SESSION = ("session90",)  # ninety minutes for a class, from shipped answers
REAL = ("05_a_real_model",)  # on a model that is fetched
DEEPER = ("deeper/found_again", "deeper/what_else", "deeper/what_it_costs")
# Run when a kernel starts; it leaves no name behind.
_KEEP_FREED_MEMORY = "from hn_utils.models import allocation; allocation.keep_freed_memory(); del allocation"
_STARTUP = 600  # seconds: the very first import on a machine compiles all that it reads
_OURS = ("ValueError", "OSError", "NothingConsistent", "NoHNeurons")  # errors that say what to do, in one sentence


class _Interrupted(Exception):
    """Ctrl-C, or a signal to end, with where it happened."""


def cell_id(place: int, source: str) -> str:
    """A name for a cell that is the same whenever its place and content are."""
    return digest(f"{place}\n{source}".encode())[:8]


def read_source(path: Path) -> NotebookNode:
    """A notebook from its percent-format source, without outputs."""
    notebook = jupytext.read(path)
    for place, cell in enumerate(notebook.cells):
        cell.id = cell_id(place, cell.source)
    return notebook


class Run:
    """One notebook in a process of its own: `told` is the folder in which that process says how far it is."""

    def __init__(self, source: Path, told: Path) -> None:
        self.notebook, self.told = read_source(source), told
        self.cell, self.n_heard, self.interrupted = 0, 0, False
        self.n_cells = sum(cell.cell_type == "code" for cell in self.notebook.cells)
        self.kernel = AsyncKernelManager(
            kernel_name="python3",
            transport="ipc" if os.name == "posix" else "tcp",  # sockets that only this user can reach
            connection_file=str(told / "kernel.json"),
        )
        self.client = NotebookClient(
            self.notebook,
            km=self.kernel,
            resources={"metadata": {"path": source.parent}},
            record_timing=False,
            coalesce_streams=True,  # or where printed text is cut would hang on the clock
            extra_arguments=[f"--IPKernelApp.exec_lines={[_KEEP_FREED_MEMORY]}"],
            startup_timeout=_STARTUP,
            shutdown_kernel="immediate",  # whatever is kept has been written
            on_cell_start=self.started,
        )

    def started(self, cell: NotebookNode, **_: Any) -> None:
        self.cell += cell.cell_type == "code"

    async def execute(self, screen: Screen, title: str) -> None:
        """Run all cells. Raises what went wrong; Interrupted at Ctrl-C."""
        start = time.monotonic()
        with (self.told / "kernel.log").open("w") as log:  # what a kernel says of itself is for nobody
            environ = os.environ | environment(self.told)
            work = asyncio.create_task(self.client.async_execute(cleanup_kc=True, env=environ, stdout=log, stderr=log))
            try:
                await asyncio.sleep(0)  # by now nbclient has set its own way to end at a signal
                with contextlib.suppress(NotImplementedError):  # Windows: asyncio cancels us by itself
                    for number in (signal.SIGINT, signal.SIGTERM):
                        asyncio.get_running_loop().add_signal_handler(number, self.interrupt, work)
                while not work.done():
                    await asyncio.wait([work], timeout=0.3)
                    self.pass_on_remarks(screen)
                    screen.show(f"{title} · {self.step()} · {clock(time.monotonic() - start)}")
                work.result()
            except (Exception, asyncio.CancelledError) as error:
                raise self.explained(error, title) from None
            finally:
                await self.end(work)
        screen.say(f"{title}: {clock(time.monotonic() - start)}")

    def interrupt(self, work: asyncio.Task) -> None:
        self.interrupted = True
        work.cancel()

    def explained(self, error: BaseException, title: str) -> BaseException:
        """What ended the work: nbclient takes work that is cancelled for a process that died."""
        if self.interrupted or isinstance(error, asyncio.CancelledError):
            return _Interrupted(f"{title}, cell {self.cell} of {self.n_cells}")
        died = type(error) is RuntimeError and "Kernel died" in str(error)  # while it started
        return DeadKernelError(str(error)) if died else error

    async def end(self, work: asyncio.Task) -> None:
        """Leave no process behind, wherever the work was, even if it had only begun to start one."""
        work.cancel()
        await asyncio.wait([work])
        if self.kernel.has_kernel:
            await self.kernel.shutdown_kernel(now=True)
        atexit.unregister(self.client._cleanup_kernel)  # nbclient leaves it there if a process ends while it starts

    def pass_on_remarks(self, screen: Screen) -> None:
        """Say what the notebook's process has told the user since the last time."""
        notes = self.told / "notes.txt"
        lines = notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []
        for line in lines[self.n_heard :]:
            screen.say(f"  {line}")
        self.n_heard = len(lines)

    def step(self) -> str:
        """The cell, and the step that it is at."""
        at = f"cell {self.cell} of {self.n_cells}"
        try:
            state = json.loads((self.told / "progress.json").read_text())
        except (OSError, ValueError):
            return at
        left = "" if state["left"] is None else f", {clock(state['left'])} left"
        return f"{at} · {state['step']} {state['done']} of {state['total']}{left}"


def executed(source: Path, screen: Screen, title: str) -> NotebookNode:
    """A notebook, run from top to bottom. Raises Interrupted, or what went wrong in it."""
    with tempfile.TemporaryDirectory() as told:  # short: the path of a socket may not have many letters
        run = Run(source, Path(told))
        asyncio.run(run.execute(screen, title))
        return run.notebook


def outputs_of(notebook: NotebookNode) -> list[NotebookNode]:
    """All outputs of a notebook's cells, in their order."""
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def _with_images(notebook: NotebookNode, gallery: Gallery, able: bool) -> list[str]:
    """Draw the figures that have no image, into the gallery and the notebook; returns those that still have none."""
    outputs = [o for o in outputs_of(notebook) if PLOTLY in o.get("data", {})]
    missing = {o.metadata["figure"]: o for o in outputs if "figure" in o.metadata and "image/png" not in o.data}
    images = draw({name: o.data[PLOTLY] for name, o in missing.items()}) if missing and able else {}
    for name, image in images.items():
        gallery.image(name).write_bytes(image)
        missing[name].data["image/png"] = base64.b64encode(image).decode()
    return [name for name in missing if name not in images]


def write(notebook: NotebookNode, path: Path) -> None:
    """Write an executed notebook, without what differs from run to run or machine to machine; what models wrote in it
    commands no terminal that shows it."""
    for output in outputs_of(notebook):
        if output.output_type == "stream":
            output.text = visible(output.text)
        elif "text/plain" in output.get("data", {}):
            output.data["text/plain"] = visible(output.data["text/plain"])
    notebook.metadata["language_info"] = {"name": "python"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def environment(told: Path) -> dict[str, str]:
    """What a kernel is told: where to write how far it is, to keep others' bars and warnings out of outputs, and the
    user's own paths in full, since it runs in the notebook's folder."""
    return full_paths() | {
        "HN_PROGRESS": str(told),
        "TQDM_DISABLE": "1",
        "PYTHONWARNINGS": "ignore:IProgress",
    }


def full_paths() -> dict[str, str]:
    """The environment variables that may hold a relative path, each with its full path."""
    folders = {name: folder_of(name, NOTEBOOKS) for name in ("HN_CACHE", "HN_MODELS", "HN_RUNS") if set_to(name)}
    study = Path(expanded(set_to("HN_STUDY") or ""))
    if study.suffix.lower() == ".json" or (study.name and study.exists()):
        folders["HN_STUDY"] = study.absolute()
    return {name: str(folder) for name, folder in folders.items()}


def place_of(study: Study) -> Path:
    """The folder that a study's executed notebooks are written to."""
    return own_home(study) / "notebooks"


def execute(names: Sequence[str]) -> None:
    """Run the notebooks on the study named by HN_STUDY, one after another.

    Raises OSError if another study's results lie there; Interrupted, or what went wrong in a notebook.
    """
    study, screen = load_study(), Screen()
    place = place_of(study)
    screen.say(f"notebooks on {study.name}: {len(names)}; what is computed is kept, and read again the next time")
    without: list[str] = []
    for number, name in enumerate(names, start=1):
        gallery, title = Gallery(study, name), f"{number} of {len(names)} {name}"
        notebook = executed(NOTEBOOKS / f"{name}.py", screen, title)
        screen.show(f"{title} · images")
        without += _with_images(notebook, gallery, able=not without)
        write(notebook, place / f"{name}.ipynb")
    if without:
        screen.say(NO_BROWSER.format(n=len(without)))
    screen.say(f"notebooks: {place}\nfigures:   {Gallery(study, names[-1]).build_index()}")


def main(names: Sequence[str] = MAIN_LINE) -> None:
    """`execute` for the command line: every way to end is one sentence, but for faults of our own."""
    try:
        execute(names)
    except (_Interrupted, KeyboardInterrupt) as where:
        at = f" in {where}" if str(where) else ""
        told = f"interrupted{at}; what was computed is kept: the same command goes on there"
        raise SystemExit(f"\n{told}") from None
    except DeadKernelError:
        told = (
            "error: the notebook's process was ended from outside, most often because memory ran out; what was computed"
        )
        raise SystemExit(f"\n{told} is kept: the same command goes on there") from None
    except CellExecutionError as error:
        told = re.sub(r"\x1b\[[0-9;]*m", "", error.traceback)
        raise SystemExit(f"\nerror: {error.evalue}" if error.ename in _OURS else f"\n{told}") from None
