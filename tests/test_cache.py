"""A killed run resumes, damage is noticed and named, nothing stale is ever returned, two processes may run at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hn_utils.cache import Stage, cached_shards, key_hash
from hn_utils.study import load_study

SLOW = """
import sys, time
import numpy as np
from hn_utils.cache import cached_shards

def compute(shard, items):
    time.sleep(0.3)
    print("computed", shard, flush=True)
    return {"x": np.random.default_rng(shard).normal(size=(len(items), 5))}

cached_shards("slow", {"v": 1}, range(20), compute, 2)
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


def test_killed_run_resumes_bit_identical(tmp_path):
    whole = start(tmp_path / "whole")
    assert whole.communicate(timeout=60)[0].count("computed") == 10
    broken = start(tmp_path / "broken")
    assert broken.stdout is not None
    for _ in range(4):
        broken.stdout.readline()
    broken.send_signal(signal.SIGKILL)
    broken.communicate()
    again = start(tmp_path / "broken").communicate(timeout=60)[0]
    assert 5 <= again.count("computed") <= 7  # what was finished before the kill is not computed again
    assert files(tmp_path / "broken") == files(tmp_path / "whole")


def test_two_processes_at_once(tmp_path):
    pair = [start(tmp_path / "both"), start(tmp_path / "both")]
    assert all(p.wait(timeout=60) == 0 for p in pair)
    start(tmp_path / "alone").wait(timeout=60)
    assert files(tmp_path / "both") == files(tmp_path / "alone")


def numbers(shard: int, items) -> dict[str, np.ndarray]:
    return {"x": np.array(items, dtype=np.float32)}


def test_second_time_reads(root):
    calls = []

    def compute(shard, items):
        calls.append(shard)
        return numbers(shard, items)

    first = cached_shards("s", {"a": 1}, range(5), compute, 2)
    second = cached_shards("s", {"a": 1}, range(5), compute, 2)
    assert calls == [0, 1, 2]
    assert all(np.array_equal(a["x"], b["x"]) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("kind", ["arrays", "records"])
def test_damage_is_named_and_repaired(root, kind, capsys):
    def compute(shard, items):
        return numbers(shard, items) if kind == "arrays" else [{"i": i, "text": "ü"} for i in items]

    before = repr(cached_shards("s", {"a": 1}, range(4), compute, 2))  # mapped: would change with the file
    victim = next(root.rglob("00001.*"))
    content = bytearray(victim.read_bytes())
    content[-3] ^= 0xFF
    victim.write_bytes(bytes(content))
    after = cached_shards("s", {"a": 1}, range(4), compute, 2)
    printed = capsys.readouterr()
    assert str(victim) in printed.out + printed.err
    assert before == repr(after)


def test_a_truncated_file_is_damage_too(root):
    cached_shards("s", {"a": 1}, range(4), numbers, 2)
    victim = next(root.rglob("00000.*"))
    victim.write_bytes(victim.read_bytes()[:10])
    assert Stage("s", {"a": 1, "shard_size": 2, "n_items": 4}).read(0) is None


def test_keys_do_not_depend_on_order_and_refuse_what_they_cannot_hold():
    assert key_hash({"a": 1, "b": 2}) == key_hash({"b": 2, "a": 1})
    with pytest.raises(TypeError, match="cannot hold object"):
        key_hash({"a": object()})


def test_a_changed_weight_changes_the_key(subject):
    from hn_utils.subject import Subject

    study = load_study("organism")
    other = Subject.load(study.instruct, study)
    assert other.fingerprint == subject.fingerprint
    third = Subject.load(study.instruct, study)
    next(third.model.parameters()).data[0, 0] += 1e-3
    assert third.fingerprint != subject.fingerprint


def test_unwritable_cache_says_so_before_work(monkeypatch):
    monkeypatch.setenv("HN_CACHE", "/proc/nowhere")
    with pytest.raises(OSError, match="is not writable .*: set HN_CACHE"):
        cached_shards("s", {"a": 1}, range(4), numbers, 2)


def test_interrupted_write_leaves_no_shard(root, monkeypatch):
    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(KeyboardInterrupt):
        cached_shards("s", {"a": 1}, range(2), numbers, 2)
    monkeypatch.undo()
    monkeypatch.setenv("HN_CACHE", str(root))
    assert cached_shards("s", {"a": 1}, range(2), numbers, 2)[0]["x"].tolist() == [0, 1]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_does_not_grow_with_what_is_computed():
    def held() -> float:
        """Megabytes of this process that no file holds."""
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("RssAnon"))

    def compute(index, _):
        return {"values": np.full((1_000, 2_000), index, np.float32)}  # 8 MB

    cached_shards("memory", {"run": "warm"}, [0], compute, 1)
    before = held()
    shards = cached_shards("memory", {"run": "long"}, list(range(30)), compute, 1)
    assert held() - before < 100  # of 240
    assert [int(shard["values"][0, 0]) for shard in shards] == list(range(30))
