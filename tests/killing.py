"""Runs of a very small study, each in a process of its own, which is killed or interrupted where it is told to be.

As a script this kills runs and compares all that they leave behind with what an undisturbed run leaves: at random
points (`make soak`), or at a few chosen ones (`--quick`, for tests/storage/test_killed.py, which reads what it
prints). It imports the package once and forks a process for each run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

STUDY = {
    "like": "organism",
    "n_questions": 40,
    "n_control_sets": 1,
    "n_items": 3,
    "alphas": [0, 1, 3],
    "n_grid": 5,
    "sampling": {"n": 3, "max_new_tokens": 4},
    "batch_rows": 60,
    "checkpoints": [],
}
STEPS = {
    "responses": "collect",
    "contributions": "capture",
    "paths": "probe",
    "refits": "probe",
    "selected": "probe",
    "readings": "probe",
    "replies": "intervene",
    "own-likelihood": "intervene",
    "likelihood": "intervene",
    "log-odds": "intervene",
    "text-loss": "intervene",
}
SECRET = "sk-sentinel-of-the-tests"
FEWER = {"N_SELECTED": 3, "N_RANDOM_PROBES": 5, "N_PERMUTATIONS": 50, "N_SIMULATED": 200}  # constants of the package
MOMENTS = ("computing", "writing", "renaming", "renamed")


@dataclass(frozen=True)
class Place:
    """Folders of one chain of runs, and a log of what was computed in all of them."""

    folder: Path

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def left(self) -> dict[str, bytes]:
        """Everything a user would find afterwards: results and shards, without what a killed run abandoned."""
        files = [*self.out.rglob("*"), *self.cache.rglob("*")]
        kept = [file for file in files if file.is_file() and not file.name.startswith(".partial-")]
        return {str(file.relative_to(self.folder)): file.read_bytes() for file in kept}

    def events(self) -> list[tuple[str, str]]:
        """(what, which batch) in order: `began` and `kept`, and `started` for each run."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [(what, batch) for what, batch in (line.split(" ", 1) for line in lines)]

    def repeated(self) -> int:
        """How many batches were begun more than once."""
        return sum(n - 1 for n in Counter(batch for what, batch in self.events() if what == "began").values())

    def kept_twice(self) -> int:
        """How many batches were computed again although they had been kept."""
        return sum(n - 1 for n in Counter(batch for what, batch in self.events() if what == "kept").values())


@dataclass
class Trap:
    """Where a run is to end: at the `at`-th batch (of a stage, if one is named), at one of MOMENTS."""

    at: int
    moment: str
    stage: str = ""
    does: Callable[[], None] = field(default=lambda: os.kill(os.getpid(), signal.SIGKILL))
    passed: int = 0

    def springs(self, moment: str, stage: str) -> bool:
        here = moment == self.moment and self.stage in ("", stage)
        self.passed += here
        return here and self.passed == self.at


def start(place: Place, trap: Trap | None = None) -> int:
    """Fork a process that runs the study; returns its id. What it prints goes to `said` in the place's folder."""
    place.folder.mkdir(parents=True, exist_ok=True)
    study = place.folder.parent / "tiny.json"
    if not study.exists():
        study.write_text(json.dumps(STUDY))
    if child := os.fork():
        return child
    try:
        said = os.open(place.folder / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.environ["HN_CACHE"] = str(place.cache)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        watched(place, trap)
        from hn_utils.__main__ import main

        main(["run", "--study", str(study), "--out", str(place.out)])
        code = 0
    except SystemExit as ended:
        print(ended)
        code = 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 2
    sys.stdout.flush()
    os._exit(code)


def watched(place: Place, trap: Trap | None) -> None:
    """Log each batch, and spring the trap. A batch is what one shard holds."""
    from hn_utils.storage import cache

    log = os.open(place.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(log, b"started run\n")
    original, save, replace = cache.cached, cache.Stage.save, os.replace

    def reached(moment: str) -> None:
        if trap is not None and trap.springs(moment, stages[-1]):
            trap.does()

    def cached(name, settings, keys, compute, shard_size, lengths=()):
        def compute_and_tell(some: list[int]):
            batch = f"{name}/{cache.key_hash([settings, [keys[i] for i in some]])}"
            stages.append(name)
            os.write(log, f"began {batch}\n".encode())
            reached("computing")
            result = compute(some)
            pending.append(batch)
            return result

        return original(name, settings, keys, compute_and_tell, shard_size, lengths)

    pending: list[str] = []
    stages = [""]

    def saving(self, items, result):
        kept = save(self, items, result)
        if pending:
            os.write(log, f"kept {pending.pop()}\n".encode())
        return kept

    def replacing(source, target) -> None:
        if trap is not None and trap.springs("writing", stages[-1]):
            os.truncate(source, os.path.getsize(source) // 2)
            trap.does()
        reached("renaming")
        replace(source, target)
        reached("renamed")

    for module in [module for name, module in sys.modules.items() if name.startswith("hn_utils")]:
        if getattr(module, "cached", None) is original:
            module.cached = cached  # type: ignore[attr-defined]
        for constant in FEWER.keys() & vars(module).keys():
            setattr(module, constant, FEWER[constant])
    cache.Stage.save = saving
    os.replace = replacing


def ended(child: int, patience: float = 3_600) -> int:
    """How a run ended: its exit status, or minus the signal that killed it."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise TimeoutError(f"a run did not end within {patience} seconds")


def undisturbed(folder: Path) -> tuple[Place, float]:
    """A run to compare with, and how long it took in seconds."""
    place, begin = Place(folder / "undisturbed"), time.monotonic()
    code = ended(start(place))
    assert code == 0, (place.folder / "said").read_text()
    return place, time.monotonic() - begin


def chain(place: Place, n_kills: int, seconds: float, rng: random.Random) -> list[str]:
    """Kill up to `n_kills` runs of one study, one after another, and then let it end; returns where each was killed."""
    where = []
    for _ in range(n_kills):
        trap = None if rng.random() < 0.5 else Trap(rng.randint(1, 6), rng.choice(MOMENTS))
        child = start(place, trap)
        if trap is None:
            time.sleep(rng.uniform(0, seconds))
            os.kill(child, signal.SIGKILL)
        code = ended(child)
        if code == 0:
            return where
        assert code == -signal.SIGKILL, (place.folder / "said").read_text()
        where.append(f"{where_killed(place)}, {trap.moment if trap else 'at any time'}")
    assert ended(start(place)) == 0, (place.folder / "said").read_text()
    return where


def where_killed(place: Place) -> str:
    """The step at which the last run was; at `start` it loads, and reads what is there."""
    events = place.events()
    what, batch = events[-1] if events else ("started", "run")
    if what == "started":
        return "start"
    stage, intervened = batch.split("/")[0], any(batch.startswith("text-loss/") for _, batch in events)
    return "look back" if intervened and stage in ("responses", "contributions") else STEPS[stage]


def quick() -> None:
    """Print, as JSON, what came of a study whose runs were killed at chosen points, and interrupted once."""
    folder = Path(tempfile.mkdtemp(prefix="killing-"))
    whole, _ = undisturbed(folder)
    place, steps = Place(folder / "killed"), []
    traps = [
        Trap(1, "writing", "responses"),
        Trap(2, "renaming", "responses"),
        Trap(1, "renaming", "responses"),  # of the same shard again
        Trap(1, "computing", "paths"),
        Trap(1, "renamed", "replies"),
    ]
    for trap in traps:
        assert ended(start(place, trap)) == -signal.SIGKILL, (place.folder / "said").read_text()
        steps.append(where_killed(place))
    interrupted = ended(start(place, Trap(1, "computing", "text-loss", lambda: os.kill(os.getpid(), signal.SIGINT))))
    told = (place.folder / "said").read_text().splitlines()
    code = ended(start(place))
    said = {
        "steps": steps,
        "interrupted": [interrupted, told[-1]],
        "code": code,
        "files": len(whole.left()),
        "same": place.left() == whole.left(),
        "repeated": place.repeated(),
        "kept_twice": place.kept_twice(),
        "traceback": any("Traceback" in line for line in told),
        "secret": any(SECRET.encode() in file.read_bytes() for file in folder.rglob("*") if file.is_file()),
    }
    shutil.rmtree(folder)
    print(json.dumps(said))


def soak(n: int, seed: int) -> None:
    rng, folder = random.Random(seed), Path(tempfile.mkdtemp(prefix="soak-"))
    whole, seconds = undisturbed(folder)
    pair = Place(folder / "pair")
    assert [ended(child) for child in [start(pair), start(pair)]] == [0, 0]
    assert pair.left() == whole.left(), "two processes at once left other bytes"
    tried: Counter[str] = Counter()
    lost = repeated = chains = 0
    while tried.total() < n:
        chains += 1
        place = Place(folder / f"chain-{chains}")
        where = chain(place, min(10, n - tried.total()), seconds, rng)
        tried.update(where)
        lost += place.left() != whole.left()
        assert place.repeated() <= len(where), "more than one batch was repeated for a kill"
        repeated += place.repeated()
        assert not place.kept_twice()
        print(f"{tried.total()} of {n} kills, {chains} studies ended, {lost} of them with other bytes", flush=True)
        shutil.rmtree(place.folder)
    print("\n| killed while | times |\n|---|---|")
    for place_of_death, times in sorted(tried.items()):
        print(f"| {place_of_death} | {times} |")
    print(
        f"\n{tried.total()} kills in {chains} studies: {lost} ended with other bytes; {repeated} batches computed again"
    )
    shutil.rmtree(folder)
    sys.exit(bool(lost))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    os.environ.update(TQDM_DISABLE="1", OPENAI_API_KEY=SECRET, HN_KEY_LOCALHOST_8000=SECRET)
    import hn_utils.__main__  # noqa: F401 (once, for all forks; nothing is computed in this process)

    quick() if options.quick else soak(options.kills, options.seed)
