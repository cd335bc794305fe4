"""Results on disk, under a key of everything that determines them: the second time takes seconds, a stale result is
impossible, a killed run resumes.

A stage is a folder `<stage>/<hash of its key>` of shards. A shard's file name carries the hash of its own bytes, so
damage is noticed when it is read, named, and repaired by computing that shard again. Files appear under their name
only when complete; two processes that compute the same shard write the same file.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import safe_open
from safetensors.numpy import save_file
from tqdm.auto import tqdm
from xxhash import xxh3_128, xxh3_128_hexdigest

from hn_utils.study import DATA

T = TypeVar("T")
Arrays = dict[str, np.ndarray]
Records = list[dict[str, Any]]


def cache_root() -> Path:
    """The folder named by HN_CACHE, else data/cache in the project."""
    return Path(os.environ.get("HN_CACHE", DATA / "cache"))


def digest(content: bytes) -> str:
    """A hash that notices accidents, at the speed of memory; it is no seal against forgery."""
    return xxh3_128_hexdigest(content)


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxh3_128).hexdigest()


def mapped(path: Path) -> Arrays:
    """The arrays of a safetensors file, as they lie there: pages are read when they are looked at."""
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118 (it is no dict)


def key_hash(key: Mapping[str, Any]) -> str:
    """Hash of a key: JSON with sorted names; dataclasses count with all their fields."""

    def plain(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return {"type": type(value).__name__, **asdict(value)}
        raise TypeError(f"a cache key cannot hold {type(value).__name__}: {value!r}")

    return digest(json.dumps(key, sort_keys=True, default=plain).encode())


class Stage:
    """One stage's shards; arrays come back mapped from their file.

    Raises OSError, before any work, if the folder cannot be written.
    """

    def __init__(self, name: str, key: Mapping[str, Any]) -> None:
        self.name, self.key = name, key
        self.folder = cache_root() / name / key_hash(key)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise OSError(
                f"cache folder {self.folder} is not writable ({error.strerror}): set HN_CACHE to a folder that is"
            ) from error

    def shard(self, index: int) -> Path | None:
        return next(iter(sorted(self.folder.glob(f"{index:05d}.*"))), None)

    def read(self, index: int) -> Arrays | Records | None:
        """A shard's content, or None if it is missing or damaged; a damaged file is named and removed."""
        path = self.shard(index)
        if path is None:
            return None
        _, written_digest, kind = path.name.split(".")
        if file_digest(path) != written_digest:
            tqdm.write(f"cache: {path} is damaged and will be computed again")
            path.unlink(missing_ok=True)
            return None
        return mapped(path) if kind == "safetensors" else pq.read_table(path).to_pylist()

    def save(self, index: int, result: Arrays | Records) -> Arrays | Records:
        """Write a shard and return it as it lies there: arrays mapped, so that memory does not grow with shards."""
        header = {"header": json.dumps({"stage": self.name, "shard": index, "key": key_hash(self.key)})}
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".partial-", delete=False) as file:
            if isinstance(result, dict):
                save_file(result, file.name, header)
            else:
                pq.write_table(pa.Table.from_pylist(result).replace_schema_metadata(header), file.name)
            os.fsync(file.fileno())
        kind = "safetensors" if isinstance(result, dict) else "parquet"
        path = self.folder / f"{index:05d}.{file_digest(Path(file.name))}.{kind}"
        os.replace(file.name, path)
        return mapped(path) if isinstance(result, dict) else result


def cached_shards(
    name: str,
    key: Mapping[str, Any],
    items: Sequence[T],
    compute: Callable[[int, Sequence[T]], Arrays | Records],
    shard_size: int,
) -> list[Any]:
    """Results of `compute(shard index, its items)` for consecutive groups of `shard_size` items, in order.

    Shards on disk are read, missing ones computed and written one by one, so an interrupted run keeps what it did.
    `compute` must depend on nothing but its arguments and what `key` names.
    """
    stage = Stage(name, {**key, "shard_size": shard_size, "n_items": len(items)})
    results: list[Any] = []
    starts = range(0, len(items), shard_size)
    missing = tqdm(total=len(starts), desc=name, leave=False)
    for index, start in enumerate(starts):
        result = stage.read(index)
        if result is None:
            result = stage.save(index, compute(index, items[start : start + shard_size]))
        results.append(result)
        missing.update()
    missing.close()
    return results


class Ledger:
    """Replies that cost something, kept one by one as they arrive: no interruption loses what was paid for.

    A small SQLite table under the cache folder; several processes may use it at once. Raises OSError if the folder
    cannot be written.
    """

    def __init__(self, name: str) -> None:
        self.path = cache_root() / f"{name}.sqlite"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.table = sqlite3.connect(self.path, timeout=60)
            with self.table:
                self.table.execute("create table if not exists replies (key text primary key, reply text)")
        except (OSError, sqlite3.Error) as error:
            raise OSError(
                f"cache file {self.path} is not writable ({error}): set HN_CACHE to a folder that is"
            ) from error

    def get(self, key: str) -> str | None:
        found = self.table.execute("select reply from replies where key = ?", (key,)).fetchone()
        return found[0] if found else None

    def put(self, key: str, reply: str) -> None:
        with self.table:
            self.table.execute("insert or replace into replies values (?, ?)", (key, reply))

    def close(self) -> None:
        self.table.close()
