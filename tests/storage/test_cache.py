"""A killed run resumes, damage is noticed and named, nothing stale is ever returned, two processes may run at once, and
one item more computes nothing again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hn_utils.storage.cache import cached, header_of, key_hash

SLOW = """
import sys, time
import numpy as np
from hn_utils.storage.cache import cached

def compute(some):
    time.sleep(0.3)
    print("computed", some, flush=True)
    return {"x": np.array([np.random.default_rng(i).normal(size=5) for i in some])}

cached("slow", {"v": 1}, list(range(20)), compute, 2)
"""


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HN_CACHE", str(tmp_path))
    return tmp_path


def files(root: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file() and not p.name.startswith(".")}


def start(root: Path) -> subprocess.Popen:
    environment = {**os.environ, "HN_CACHE": str(root), "TQDM_DISABLE": "1"}
    return subprocess.Popen([sys.executable, "-c", SLOW], env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_killed_run_resumes_bit_identical(tmp_path):
    whole = start(tmp_path / "whole")
    assert whole.communicate(timeout=300)[0].count("computed") == 10
    broken = start(tmp_path / "broken")
    assert broken.stdout is not None
    for _ in range(4):
        broken.stdout.readline()
    broken.send_signal(signal.SIGKILL)
    broken.communicate()
    again = start(tmp_path / "broken").communicate(timeout=300)[0]
    assert 5 <= again.count("computed") <= 7  # what was finished before the kill is not computed again
    assert files(tmp_path / "broken") == files(tmp_path / "whole")


@pytest.mark.slow
def test_two_processes_at_once(tmp_path):
    pair = [start(tmp_path / "both"), start(tmp_path / "both")]
    assert all(p.wait(timeout=300) == 0 for p in pair)
    start(tmp_path / "alone").wait(timeout=300)
    assert files(tmp_path / "both") == files(tmp_path / "alone")


class Squares:
    """Squares numbers, and remembers which it was asked for."""

    def __init__(self, kind: str = "arrays") -> None:
        self.kind, self.asked = kind, []

    def of(self, numbers: list[int], shard_size: int = 2):
        def compute(some: list[int]):
            mine = [numbers[i] for i in some]
            self.asked.append(mine)
            if self.kind == "arrays":
                return {"x": np.array([n * n for n in mine], np.float32)}
            return [{"x": float(n * n), "text": "ü"} for n in mine]

        kept = cached("squares", {"kind": self.kind}, numbers, compute, shard_size)
        return kept.array("x").tolist() if self.kind == "arrays" else [row["x"] for row in kept.records()]


@pytest.mark.parametrize("kind", ["arrays", "records"])
def test_each_item_is_computed_once_whatever_stands_beside_it(root, kind):
    squares = Squares(kind)
    assert squares.of([1, 2, 3, 4, 5]) == [1, 4, 9, 16, 25]
    assert squares.asked == [[1, 2], [3, 4], [5]]
    assert squares.of([5, 9, 1, 2, 9, 3], shard_size=7) == [25, 81, 1, 4, 81, 9]  # a new one, in another order, twice
    assert squares.asked[3:] == [[9]]
    assert squares.of([9, 4]) == [81, 16]
    assert len(squares.asked) == 4


@pytest.mark.parametrize("kind", ["arrays", "records"])
@pytest.mark.parametrize("place", [3, 0.5, -3], ids=["header", "middle", "end"])
def test_damage_is_named_and_only_that_shard_computed_again(root, kind, place, capsys):
    squares = Squares(kind)
    squares.of([1, 2, 3, 4])
    victim = max(root.rglob("*.*.*"))
    content = bytearray(victim.read_bytes())
    content[int(place * len(content)) if isinstance(place, float) else place] ^= 0xFF
    victim.write_bytes(bytes(content))
    header_of.cache_clear()  # as in a new process
    assert squares.of([1, 2, 3, 4]) == [1, 4, 9, 16]
    printed = capsys.readouterr()
    assert str(victim) in printed.out + printed.err
    assert len(squares.asked) == 3


def test_a_truncated_file_is_damage_too(root):
    squares = Squares()
    squares.of([1, 2])
    (victim,) = root.rglob("*.*.*")
    victim.write_bytes(victim.read_bytes()[:10])
    assert squares.of([1, 2]) == [1, 4]
    assert len(squares.asked) == 2


def test_keys_do_not_depend_on_order_and_refuse_what_they_cannot_hold():
    assert key_hash({"a": 1, "b": 2}) == key_hash({"b": 2, "a": 1})
    with pytest.raises(TypeError, match="cannot hold object"):
        key_hash({"a": object()})


def test_unwritable_cache_says_so_before_work(monkeypatch):
    monkeypatch.setenv("HN_CACHE", "/proc/nowhere")
    with pytest.raises(OSError, match="is not writable .*: set HN_CACHE"):
        Squares().of([1, 2])


def test_interrupted_write_leaves_no_shard(root, monkeypatch):
    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(KeyboardInterrupt):
        Squares().of([1, 2])
    monkeypatch.undo()
    monkeypatch.setenv("HN_CACHE", str(root))
    assert Squares().of([1, 2]) == [1, 4]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_does_not_grow_with_what_is_computed():
    def held() -> float:
        """Megabytes of this process that no file holds."""
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("RssAnon"))

    def compute(some):
        return {"values": np.full((1, 1_000, 2_000), some[0], np.float32)}  # 8 MB

    cached("memory", {"run": "warm"}, [0], compute, 1)
    before = held()
    kept = cached("memory", {"run": "long"}, list(range(30)), compute, 1)
    assert held() - before < 100  # of 240
    assert [int(kept.shards[shard]["values"][row, 0, 0]) for shard, row in kept.where] == list(range(30))
