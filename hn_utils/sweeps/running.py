"""Run a sweep: one task after another in this process, or many at once on a cluster, with the same results.

A task ends with the bytes that it would have anywhere else: what determines it is its study, the code and the number of
its threads, which is fixed here for both ways. Its files are sent to whoever started the sweep and written there, last
of all `task.json`, which says what they were made from. A killed sweep begins again at the tasks without one.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from threadpoolctl import threadpool_limits

from hn_utils.models.places import copy_of
from hn_utils.models.weightless import WeightlessModel
from hn_utils.pipeline.beforehand import check_data, check_models
from hn_utils.report.comparison import measures, numbers, read_summary, write_page
from hn_utils.report.measures import AUROC, BEYOND
from hn_utils.stats.tables import counted
from hn_utils.storage.cache import key_text
from hn_utils.storage.files import digest, file_digest, write_whole
from hn_utils.storage.paths import PACKAGE, runs_root
from hn_utils.storage.progress import Screen, clock, visible
from hn_utils.study import OWN_FILES, Study, is_file
from hn_utils.study.run_folders import SETTINGS, SWEPT, require_own
from hn_utils.sweeps.ended import Ended

if TYPE_CHECKING:
    from hn_utils.sweeps.sweep_file import Sweep

_RECORD = "task.json"


def record_of(study: Study, num_cpus: int) -> dict[str, Any]:
    """All that determines a task's results: its settings, which copies of its models and files, threads, code.

    Raises OSError or ValueError if the configuration or tokenizer of a model cannot be read here. Of a set that is
    fetched without a revision a change at its home goes unnoticed.
    """
    models = {}
    for name in filter(None, (study.instruct, study.base, *study.checkpoints)):
        models[name] = copy_of(name, WeightlessModel(name, study).config, study)
    own = {**study.sources, **{name: getattr(study, name) for name in OWN_FILES}}
    sources = {name: file_digest(Path(where)) for name, where in own.items() if is_file(where)}
    made = {"study": study, "models": models, "sources": sources, "num_cpus": num_cpus, "code": code_version()}
    return json.loads(key_text(made))


def finished(folder: Path, record: Mapping[str, Any]) -> bool:
    """Did a task of this very record end here, and are its files as it left them?"""
    try:
        kept = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        files = kept.pop("files")
        return kept == record and all(file_digest(folder / name) == said for name, said in files.items())
    except (OSError, ValueError, KeyError, AttributeError):
        return False


def keep(folder: Path, record: Mapping[str, Any], ended: Ended) -> None:
    """Write a task's files, the record last; of one that failed only what it said."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _RECORD).unlink(missing_ok=True)  # of what stood here before
    write_whole(folder / "log.txt", ended.said)
    if ended.failure:
        return
    for name, text in ended.files.items():
        write_whole(folder / name, text)
    files = {name: digest(text.encode()) for name, text in ended.files.items()}
    write_whole(folder / _RECORD, json.dumps({**record, "files": files}, indent=1) + "\n")


@dataclass
class Running:
    """A sweep under way: its tasks with their records by name, how many have ended, and why some failed."""

    sweep: Sweep
    studies: dict[str, Study]
    records: dict[str, dict[str, Any]]
    ended: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    screen: Screen = field(default_factory=Screen)
    begun: float = field(default_factory=time.monotonic)

    @property
    def folder(self) -> Path:
        return runs_root() / self.sweep.name

    @property
    def place(self) -> str:
        return f"{self.ended} of {len(self.studies)}"

    @property
    def clock(self) -> str:
        return clock(time.monotonic() - self.begun)

    def left(self) -> list[Study]:
        """The tasks that have not ended, or ended on other settings, models or code."""
        return [s for name, s in self.studies.items() if not finished(self.folder / name, self.records[name])]

    def end(self, study: Study, ended: Ended) -> None:
        """Keep what a task left, and tell in one line what it found."""
        keep(self.folder / study.name, self.records[study.name], ended)
        self.ended += 1
        if ended.failure:
            self.failed[study.name] = ended.failure
            told = f"failed: {ended.failure}"
        else:
            found = measures(json.loads(ended.files["summary.json"]))
            told = f"{found['H-Neurons']} H-Neurons, AUROC {found[AUROC]}, beyond shuffled labels {found[BEYOND]}"
        self.screen.say(visible(f"{self.place} {study.name}: {told} ({self.clock})"))

    def lose(self, study: Study, why: str) -> None:
        """A task whose worker died too often."""
        self.end(study, Ended({}, "", why))


def begin(sweep: Sweep) -> Running:
    """Check every task before the first begins. Raises OSError or ValueError, in one sentence, for what cannot run."""
    studies = {study.name: study for study in sweep.tasks()}
    records = {name: record_of(study, sweep.resources.num_cpus) for name, study in studies.items()}
    running = Running(sweep, studies, records)
    if (running.folder / SETTINGS).exists():
        raise OSError(f"{running.folder} holds the results of a study: give the sweep a name of its own")
    for name, study in studies.items():
        require_own(running.folder / name, study)
    for study in {key_text(replace(one, name="any", seed=0)): one for one in studies.values()}.values():
        check_models(study)
        check_data(study)
    if bare := [name for name, study in studies.items() if not study.base]:
        running.screen.say(
            f"{counted(len(bare), 'task')} of {len(studies)}, such as {bare[0]}, without a base model: where their "
            "H-Neurons come from is not asked; bases names one for a model"
        )
    return running


def _one_by_one(running: Running, left: list[Study]) -> None:
    """Run the tasks in this process, one after another."""
    for study in left:
        running.screen.show(f"{running.place} · {study.name} · {running.clock}")
        running.end(study, carry_out(study, running.sweep.resources.num_cpus, code_version()))


def run_sweep(sweep: Sweep, address: str | None = None) -> Path:
    """Run what is left of a sweep and compare its runs; returns the page that does.

    `address` is that of a Ray cluster (`auto` for the one that this machine belongs to, `local` for one that is started
    here and ends with the sweep); without it the tasks run in this process. Raises OSError or ValueError before any
    work for what cannot run, and OSError at the end if a task failed; the page compares the others.
    """
    running = begin(sweep)
    left, cpus = running.left(), sweep.resources.num_cpus
    running.ended = len(running.studies) - len(left)
    where = f"on the Ray cluster {address}" if address else "in this process, one after another"
    running.screen.say(
        f"sweep {sweep.name}: {running.place} tasks have ended before; the others run {where}, with "
        f"{counted(cpus, 'thread')} each"
    )
    if left and address:
        from hn_utils.sweeps.ray_cluster import on_cluster  # Ray is not needed for the rest

        on_cluster(running, left, address, carry_out, code_version())
    elif left:
        _one_by_one(running, left)
    return compare(running)


def compare(running: Running) -> Path:
    """Write results.csv and index.html from the tasks that have ended. Raises OSError that names those that failed."""
    able = {name: study for name, study in running.studies.items() if name not in running.failed}
    summaries = {name: read_summary(running.folder / name) for name in able}
    table = numbers(summaries)
    table.insert(0, "model", [study.instruct for study in able.values()])
    table.insert(1, "seed", [study.seed for study in able.values()])
    write_whole(running.folder / SWEPT, table.to_csv())
    path = write_page(running.folder, summaries, running.failed)
    if running.failed:
        first, why = next(iter(running.failed.items()))
        raise OSError(
            f"{len(running.failed)} of {len(running.studies)} tasks failed, such as {first}: {why} (what each said "
            f"stands in its log.txt); {path} compares the others, and the same command tries these again"
        )
    return path


@cache
def code_version() -> str:
    """A hash of the package's own sources: whatever runs a task must be the very same."""
    files = sorted(PACKAGE.rglob("*.py"))
    return digest("".join(f"{file.relative_to(PACKAGE)} {file_digest(file)}\n" for file in files).encode())


@contextlib.contextmanager
def threads(n: int) -> Iterator[None]:
    """Within the block PyTorch and the libraries of linear algebra use n threads. Sums are taken in another order with
    another number, so that results would differ in their last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        with threadpool_limits(n):
            yield
    finally:
        torch.set_num_threads(before)


def carry_out(study: Study, num_cpus: int, code: str) -> Ended:
    """One task, here: what `python -m hn_utils run` does, with its files as text. An error of the task is what it ended
    with, and not raised: other tasks go on."""
    from hn_utils.pipeline.steps import run

    said = io.StringIO()
    try:
        if code != code_version():
            raise OSError(
                "another version of hn_utils is installed on this node: install the one that starts the sweep"
            )
        with tempfile.TemporaryDirectory() as out, threads(num_cpus), contextlib.redirect_stdout(said):
            run(study, Path(out))
            files = {file.name: file.read_text(encoding="utf-8") for file in Path(out).iterdir()}
        return Ended(files, said.getvalue())
    except Exception as error:
        why = str(error) if isinstance(error, (OSError, ValueError)) else f"{type(error).__name__}: {error}"
        return Ended({}, f"{said.getvalue()}\n{traceback.format_exc()}", why.partition("\n")[0])
