"""Killed anywhere, nothing is lost; two processes share; a full disk or a lost permission ends in one sentence, and the
cache is as valid as before. The full form is `make soak`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hn_utils.storage.cache import cached, is_intact
from hn_utils.storage.ledger import Ledger

ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def killed() -> dict:
    """What came of a study whose runs were killed at chosen points, and interrupted once: see tests/killing.py."""
    script = Path(__file__).resolve().parents[1] / "killing.py"
    done = subprocess.run([sys.executable, script, "--quick"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_killed_run_ends_with_the_bytes_of_an_undisturbed_one(killed):
    assert killed["code"] == 0
    assert killed["files"] > 40
    assert killed["same"]
    assert killed["steps"] == ["collect", "collect", "collect", "probe", "intervene"]


def test_a_kill_repeats_at_most_one_batch_and_none_that_was_kept(killed):
    assert killed["repeated"] <= len(killed["steps"]) + 1
    assert killed["kept_twice"] == 0


def test_ctrl_c_ends_tidily(killed):
    assert killed["interrupted"] == [1, "interrupted; what was computed is kept: the same command goes on there"]
    assert not killed["traceback"]


def test_no_key_stands_in_anything_that_was_written(killed):
    assert not killed["secret"]


# --- no room, no permission -----------------------------------------------------------------------------------------


def squares(n: int) -> np.ndarray:
    """Some arrays of 100 kB, one a shard."""
    kept = cached("squares", {"v": 1}, list(range(n)), lambda some: {"x": np.full((1, 12_500), some[0] ** 2.0)}, 1)
    return kept.array("x")[:, 0]


@pytest.fixture
def small_disk(tmp_path, monkeypatch) -> Iterator[Path]:
    """A disk of one megabyte, on which the cache lies."""
    place = tmp_path / "disk"
    place.mkdir()
    if not ROOT or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=False).returncode:
        pytest.skip("only root may mount a small disk, and not in every container")
    monkeypatch.setenv("HN_CACHE", str(place / "cache"))
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def remount(place: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", place], check=True)


def shards(place: Path) -> list[Path]:
    return sorted(place.rglob("*.safetensors"))


def test_a_full_disk_is_said_in_one_sentence_and_costs_one_batch(small_disk):
    with pytest.raises(OSError, match="not writable .its disk is full.: make room there, or set HN_CACHE.* is kept$"):
        squares(20)
    before = shards(small_disk)
    assert len(before) >= 7
    assert all(map(is_intact, before))
    assert not list(small_disk.rglob(".partial-*"))  # it gave back the room it could not use
    remount(small_disk, "size=4m")
    assert squares(20).tolist() == [i**2 for i in range(20)]
    assert set(before) < set(shards(small_disk))


def test_a_full_disk_loses_no_reply(small_disk):
    kept = Ledger("chat-replies")
    with pytest.raises(OSError, match="not writable .its disk is full.: make room there"):
        for i in range(100):
            kept.put(f"{i}/0", "x" * 50_000)
    kept.close()
    remount(small_disk, "size=4m")
    again = Ledger("chat-replies")
    n = next(i for i in range(100) if again.get(f"{i}/0") is None)
    assert n >= 15
    again.put(f"{n}/0", "more")
    assert [len(again.get(f"{i}/0") or "") for i in range(n + 1)] == [50_000] * n + [4]
    again.close()


def test_a_read_only_disk_is_said_before_any_work(small_disk):
    squares(3)
    before = shards(small_disk)
    remount(small_disk, "ro")
    try:
        with pytest.raises(OSError, match="not writable .Read-only file system.: set HN_CACHE to a folder that is"):
            squares(4)
        with pytest.raises(OSError, match="not writable .Read-only file system.: set HN_CACHE"):
            Ledger("chat-replies")
    finally:
        remount(small_disk, "rw")
    assert shards(small_disk) == before
    assert squares(4).tolist() == [0, 1, 4, 9]


def as_nobody(does: Callable[[], object]) -> str:
    """What an error says that is raised by a process without root's power."""
    reads, writes = os.pipe()
    if not (child := os.fork()):
        try:
            if ROOT:
                os.setgid(65534)
                os.setuid(65534)
            does()
            said = "nothing"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writes, said.encode())
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as file:
        said = file.read()
    os.waitpid(child, 0)
    return said


@pytest.fixture
def for_all(tmp_path, monkeypatch) -> Path:
    """A cache that every user may enter and write."""
    monkeypatch.setenv("HN_CACHE", str(tmp_path / "cache"))
    squares(3)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
    for path in tmp_path.rglob("*"):
        path.chmod(0o777)
    return tmp_path / "cache"


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_lost_permission_is_said_in_one_sentence_and_harms_nothing(for_all):
    before = {path: path.read_bytes() for path in shards(for_all)}
    assert as_nobody(lambda: squares(3)) == "nothing"
    victim = next(iter(before))
    victim.chmod(0)
    said = as_nobody(lambda: squares(3))
    assert said.startswith(f"OSError: cache file {victim} may not be read (Permission denied): give yourself")
    assert said.endswith("the file was left as it is")
    victim.chmod(0o644)
    victim.parent.chmod(0o555)
    said = as_nobody(lambda: squares(4))
    assert said.startswith(f"OSError: cache folder {victim.parent} is not writable (Permission denied): set HN_CACHE")
    victim.parent.chmod(0o777)
    assert {path: path.read_bytes() for path in shards(for_all)} == before
    assert squares(4).tolist() == [0, 1, 4, 9]


def test_ctrl_c_while_a_shard_is_written_leaves_none(tmp_path, monkeypatch):
    monkeypatch.setenv("HN_CACHE", str(tmp_path))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as later:
        later.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            squares(1)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert squares(1).tolist() == [0]
