"""A sweep on a Ray cluster of several nodes on this machine ends with the bytes of one without Ray, whatever dies."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from killing import STUDY
from test_sweep import left_by, sweep_file

from hn_utils.__main__ import main
from hn_utils.sweeps.ray_cluster import connected
from hn_utils.sweeps.running import run_sweep
from hn_utils.sweeps.sweep_file import read_sweep

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'hn-utils[cluster]' (it is not locked)")
cluster_utils = pytest.importorskip("ray.cluster_utils")
PATIENCE = 500.0  # seconds; a busy machine takes ten times as long as an idle one
TRIES = 3
# A task each, and none of the processes that watch: fewer start within the 15 seconds that Ray gives its own.
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_log_monitor": False, "no_monitor": True}
HOG = 4 * 2**30  # bytes that Ray is told the machine may still take
MORE = 2**29  # bytes beyond that


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """The folder of the sweep as it ends in this process."""
    return ended_here(sweep_file(tmp_path_factory.mktemp("alone")))


def ended_here(path: Path) -> Path:
    """The folder of a sweep that is run in this process, beside its file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HN_RUNS", str(path.parent / "runs"))
        patch.setenv("HN_CACHE", str(path.parent / "cache"))
        return run_sweep(read_sweep(path)).parent


def ended(made) -> None:
    """Shut a cluster down, also one that has not quite started: that may complain."""
    with contextlib.suppress(Exception):
        made.shutdown()


@pytest.fixture
def cluster(monkeypatch) -> Iterator[Callable[..., object]]:
    """Starts a head that takes no task, and two nodes that take one each."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # by default workers give way to everything else
    started = []

    def start(**settings: object):
        head = {**NODE, "num_cpus": 0, "include_dashboard": False, "_system_config": settings or None}
        for _ in range(TRIES):
            made = cluster_utils.Cluster()
            started.append(made)
            try:
                made.add_node(**head)
                return made, [made.add_node(**NODE) for _ in range(2)]
            except Exception:  # Ray has no other
                ended(made)
        pytest.skip(f"Ray's own processes did not start in time, {TRIES} times: the machine is too busy")

    yield start
    for made in started:
        ended(made)


class Sweeping:
    """The sweep in a process of its own on a cluster, with an empty cache."""

    def __init__(self, folder: Path, path: Path, address: str) -> None:
        self.folder, self.log = folder, folder / "said.txt"
        places = {"HN_RUNS": str(folder / "runs"), "HN_CACHE": str(folder / "cache"), "TQDM_DISABLE": "1"}
        command = [sys.executable, "-m", "hn_utils", "sweep", str(path), "--address", address]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env={**os.environ, **places}, stdout=log, stderr=log)

    def said(self) -> str:
        return self.log.read_text()

    def wait_for(self, there: Callable[[], object], what: str) -> None:
        until = time.monotonic() + PATIENCE
        while not there():
            assert time.monotonic() < until, f"{what} did not come"
            assert self.process.poll() is None, self.said()
            time.sleep(0.05)

    def at_work(self) -> None:
        """Wait until both tasks have kept some answers."""
        self.wait_for(lambda: len(list(self.folder.glob("cache/responses/*/*.parquet"))) >= 4, "answers")

    def end(self) -> str:
        """What it said."""
        assert self.process.wait(PATIENCE) == 0, self.said()
        return self.said()


def workers() -> list[psutil.Process]:
    """The processes that carry out a task now."""
    return [p for p in psutil.process_iter(["cmdline"]) if "ray::carry_out" in " ".join(p.info["cmdline"] or [])]


def test_several_nodes_end_with_the_same_bytes(cluster, alone, tmp_path):
    made, _ = cluster()
    sweep = Sweeping(tmp_path, alone.parents[1] / "both.json", made.address)
    said = sweep.end()
    assert re.search(r"the others run on the Ray cluster .*, with 1 thread each", said)
    assert re.search(r"2 of 2 small-seed-[01]: \d+ H-Neurons, AUROC", said)
    assert left_by(tmp_path / "runs" / "both") == left_by(alone)


def test_a_node_that_is_killed_in_mid_sweep_loses_nothing(cluster, alone, tmp_path):
    made, nodes = cluster()
    sweep = Sweeping(tmp_path, alone.parents[1] / "both.json", made.address)
    sweep.at_work()
    made.remove_node(nodes[0], allow_graceful=False)
    said = sweep.end()
    assert re.search(r"small-seed-[01] (was lost with its node|lost its worker); it is begun again .1 of 3.", said)
    assert left_by(tmp_path / "runs" / "both") == left_by(alone)


def test_a_worker_that_the_system_kills_is_begun_again(cluster, alone, tmp_path):
    made, _ = cluster()
    sweep = Sweeping(tmp_path, alone.parents[1] / "both.json", made.address)
    sweep.at_work()
    workers()[0].kill()  # as the kernel does when memory runs out
    said = sweep.end()
    assert said.count("lost its worker; it is begun again (1 of 3)") == 1
    assert left_by(tmp_path / "runs" / "both") == left_by(alone)


@pytest.mark.skipif("HN_ALONE" not in os.environ, reason="fills the memory of a machine that must be idle: HN_ALONE=1")
def test_a_worker_that_runs_out_of_memory_is_begun_again(cluster, tmp_path):
    memory = psutil.virtual_memory()
    if memory.available < 2 * HOG:
        pytest.skip(f"needs {2 * HOG / 1e9:.0f} GB of free memory to fill half of it")
    full = memory.total - memory.available + HOG
    (tmp_path / "here").mkdir()
    path, taken = sweep_file(tmp_path / "here"), []
    (path.parent / "small.json").write_text(json.dumps({**STUDY, "n_questions": 1_000}))  # long enough for Ray to look
    expected = left_by(ended_here(path))

    def fill(upto: float) -> None:
        """Take memory until the machine holds so much of it."""
        there = psutil.virtual_memory()
        lacking = int(upto) - (there.total - there.available)
        if 0 < lacking < there.available - HOG:
            taken.append(np.ones(lacking // 8))

    made, _ = cluster(memory_usage_threshold=full / memory.total, memory_monitor_refresh_ms=100)
    sweep = Sweeping(tmp_path, path, made.address)
    fill(full - HOG / 2)  # the tasks need the rest
    sweep.at_work()

    def died() -> bool:
        fill(full + MORE)  # again, if others give memory back
        return "ran out of memory" in sweep.said()

    sweep.wait_for(died, "a death")
    taken.clear()
    said = sweep.end()
    assert re.search(r"small-seed-[01] ran out of memory; it is begun again", said)
    assert left_by(tmp_path / "runs" / "both") == expected


def test_what_no_node_can_take_is_told_before_it_is_waited_for(cluster, tmp_path, monkeypatch):
    made, _ = cluster()
    path = sweep_file(tmp_path, resources={"num_gpus": 8})
    with pytest.raises(SystemExit, match="error: resources=.*num_gpus=8.* fit on no node of the cluster, which have"):
        main(["sweep", str(path), "--address", made.address])


def test_a_cluster_that_does_not_answer_is_one_sentence():
    with pytest.raises(OSError, match="address='127.0.0.1:1': no Ray cluster answers there .*leave it out"):
        connected("127.0.0.1:1")
