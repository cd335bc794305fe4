"""Run the notebooks from top to bottom, tell how far they are, and leave the same bytes behind every time.

The bundled study's notebooks are written beside their sources, where they are committed; those of any other study into
the folder of its results. Images of figures are drawn here, after each notebook: none waits for a browser.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import json
import os
import re
import sys
import tempfile
import threading
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

from hn_utils.report.gallery import Gallery
from hn_utils.report.pictures import NO_BROWSER, draw
from hn_utils.storage.files import digest
from hn_utils.storage.paths import IN_A_CLONE, NOTEBOOKS, expanded, folder_of, set_to
from hn_utils.storage.progress import Screen, clock, visible
from hn_utils.storage.run_folders import COMMITTED, home, own_home
from hn_utils.study import Study, load_study

MAIN_LINE = ("01_collect", "02_probe", "03_intervene", "04_base_vs_instruct")
BEYOND = ("05_falsehood_or_permission", "06_where_from")
DEEPER = ("deeper/found_again", "deeper/what_else", "deeper/what_it_costs")
READY = [  # which leave no name behind
    "__import__('hn_utils.analyses') and None",
    "__import__('hn_utils.models.allocation').allocation.keep_freed_memory()",
    "__import__('gc').freeze()",
]
STARTUP = 600  # seconds: the very first import on a machine compiles all that it reads
PLOTLY = "application/vnd.plotly.v1+json"
OURS = ("ValueError", "OSError", "NothingConsistent", "NoHNeurons")  # errors that say what to do, in one sentence


class Interrupted(Exception):
    """Ctrl-C, with where it happened."""


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
    """One notebook being executed in a thread of its own, so that this one can watch and be interrupted.

    Its process starts at once and imports what every notebook begins with, which Python need not search for cycles
    again and again; the first cell waits for `go`.
    """

    def __init__(self, source: Path, told: Path) -> None:
        self.notebook, self.told = read_source(source), told
        self.cell, self.error = 0, None
        self.go, self.ended, self.wanted = threading.Event(), threading.Event(), True
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
            extra_arguments=[f"--IPKernelApp.exec_lines={READY}"],
            startup_timeout=STARTUP,
            shutdown_kernel="immediate",  # whatever is kept has been written
            on_notebook_start=self.wait,
            on_cell_start=self.started,
        )
        threading.Thread(target=self.execute, daemon=True).start()

    def wait(self, **_: Any) -> None:
        self.go.wait()
        if not self.wanted:
            raise Interrupted

    def started(self, cell: NotebookNode, **_: Any) -> None:
        self.cell += cell.cell_type == "code"

    def execute(self) -> None:
        try:
            with (self.told / "kernel.log").open("w") as log:  # what a kernel says of itself is for nobody
                self.client.execute(cleanup_kc=True, env=os.environ | environment(self.told), stdout=log, stderr=log)
        except BaseException as error:  # told in the thread that watches
            died = type(error) is RuntimeError and "Kernel died" in str(error)  # while it started
            self.error = DeadKernelError(str(error)) if died else error
        finally:
            atexit.unregister(self.client._cleanup_kernel)  # nbclient leaves it there if a process dies while it starts
            self.ended.set()

    def step(self) -> str:
        """The cell, and the step that it is at."""
        at = f"cell {self.cell} of {self.n_cells}"
        try:
            state = json.loads((self.told / "progress.json").read_text())
        except (OSError, ValueError):
            return at
        left = "" if state["left"] is None else f", {clock(state['left'])} left"
        return f"{at} · {state['step']} {state['done']} of {state['total']}{left}"

    def kill(self) -> None:
        """End the process, wherever it is, even if it is only about to start."""
        self.wanted = False
        self.go.set()
        for _ in range(100):
            over = self.ended.wait(0.1)
            process = getattr(self.kernel.provisioner, "process", None)
            if process is not None and process.poll() is None:
                process.kill()
            if over:
                break


def watch(run: Run, screen: Screen, title: str) -> None:
    """Let a notebook go and wait until it has ended. Raises Interrupted, or what went wrong in it."""
    start, notes = time.monotonic(), run.told / "notes.txt"
    heard = 0

    def listen() -> int:
        lines = notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []
        for line in lines[heard:]:
            screen.say(f"  {line}")
        return len(lines)

    try:
        run.go.set()
        while not run.ended.wait(0.3):
            heard = listen()
            screen.show(f"{title} · {run.step()} · {clock(time.monotonic() - start)}")
    except KeyboardInterrupt:
        raise Interrupted(f"{title}, cell {run.cell} of {run.n_cells}") from None
    finally:
        run.kill()
    listen()
    if run.error is not None:
        raise run.error
    screen.say(f"{title}: {clock(time.monotonic() - start)}")


def with_images(notebook: NotebookNode, gallery: Gallery, able: bool) -> list[str]:
    """Draw the figures that have no image, into the gallery and the notebook; returns those that still have none."""
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", ()) if PLOTLY in o.get("data", {})]
    missing = {o.metadata["figure"]: o for o in outputs if "figure" in o.metadata and "image/png" not in o.data}
    images = draw({name: o.data[PLOTLY] for name, o in missing.items()}) if missing and able else {}
    for name, image in images.items():
        gallery.image(name).write_bytes(image)
        missing[name].data["image/png"] = base64.b64encode(image).decode()
    return [name for name in missing if name not in images]


def write(notebook: NotebookNode, path: Path) -> None:
    """Write an executed notebook, without what differs from run to run or machine to machine; what models wrote in it
    commands no terminal that shows it."""
    for output in (output for cell in notebook.cells for output in cell.get("outputs", ())):
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
    folders = {name: folder_of(name, NOTEBOOKS) for name in ("HN_CACHE", "HN_RUNS") if set_to(name)}
    study = Path(expanded(set_to("HN_STUDY") or ""))
    if study.suffix.lower() == ".json" or (study.name and study.is_dir()):
        folders["HN_STUDY"] = study.absolute()
    return {name: str(folder) for name, folder in folders.items()}


def place_of(study: Study) -> Path:
    """The folder that a study's executed notebooks are written to."""
    return NOTEBOOKS if home(study) == COMMITTED else home(study) / "notebooks"


def execute(names: Sequence[str]) -> None:
    """Run the notebooks on the study named by HN_STUDY, one after another.

    Raises OSError if this is no clone of the project, or another study's results lie there; Interrupted, or what went
    wrong in a notebook.
    """
    if not IN_A_CLONE:
        raise OSError("the notebooks are not part of the installed package: clone the project to run them")
    study, screen = load_study(), Screen()
    own_home(study)
    screen.say(f"notebooks on {study.name}: {len(names)}; what is computed is kept, and read again the next time")
    without: list[str] = []
    with tempfile.TemporaryDirectory() as told, contextlib.ExitStack() as running:

        def run_of(name: str) -> Run:
            own = Path(told, str(names.index(name)))  # short: the path of a socket may not have many letters
            own.mkdir()
            run = Run(NOTEBOOKS / f"{name}.py", own)
            running.callback(run.kill)
            return run

        runs = [run_of(names[0])]
        for number, name in enumerate(names, start=1):
            runs += [run_of(name) for name in names[number : number + 1]]  # gets ready meanwhile
            gallery, run = Gallery(study, name), runs.pop(0)
            title = f"{number} of {len(names)} {name}"
            watch(run, screen, title)
            screen.show(f"{title} · images")
            without += with_images(run.notebook, gallery, able=not without)
            write(run.notebook, place_of(study) / f"{name}.ipynb")
    if without:
        screen.say(NO_BROWSER.format(n=len(without)))
    screen.say(f"notebooks: {place_of(study)}\nfigures:   {Gallery(study, names[-1]).build_index()}")


def main(names: Sequence[str] = MAIN_LINE) -> None:
    """`execute` for the command line: every way to end is one sentence, but for faults of our own."""
    try:
        execute(names)
    except (Interrupted, KeyboardInterrupt) as where:
        at = f" in {where}" if str(where) else ""
        told = f"\ninterrupted{at}; what was computed is kept: the same command goes on there\n"
        sys.stderr.write(told)
        sys.stderr.flush()
        os._exit(1)  # the thread that listened to the kernel may still wait on its socket, which an ordinary exit cuts
    except DeadKernelError:
        told = (
            "error: the notebook's process was ended from outside, most often because memory ran out; what was computed"
        )
        raise SystemExit(f"\n{told} is kept: the same command goes on there") from None
    except CellExecutionError as error:
        told = re.sub(r"\x1b\[[0-9;]*m", "", error.traceback)
        raise SystemExit(f"\nerror: {error.evalue}" if error.ename in OURS else f"\n{told}") from None
