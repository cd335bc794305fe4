"""Results on disk, each under a key of everything that determines it: the second time takes seconds, a stale result is
impossible, a killed run resumes, and a question more draws no other again.

A stage is a folder `<stage>/<hash of its settings>` of shards. A shard holds the results of items that were computed
together; its header holds the settings, and the hash of each item's own key. Its file name carries a hash of the items
and one of its bytes, so damage is noticed when it is read, named, and repaired by computing those items again. Files
appear under their name only when complete; two processes that compute the same items write the same file.
"""

from __future__ import annotations

import gc
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int
from safetensors import safe_open
from safetensors.numpy import save_file

from hn_utils.storage.files import digest, file_digest, is_readable, writing_to
from hn_utils.storage.paths import cache_root
from hn_utils.storage.progress import progress, tell

Arrays = dict[str, np.ndarray]
Records = list[dict[str, Any]]


def mapped(path: Path) -> Arrays:
    """The arrays of a safetensors file, as they lie there: pages are read when they are looked at."""
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118 (it is no dict)


def key_text(key: Any) -> str:
    """A key as JSON with sorted names; dataclasses count with all their fields."""

    def plain(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return {"type": type(value).__name__, **asdict(value)}
        raise TypeError(f"a cache key cannot hold {type(value).__name__}: {value!r}")

    return json.dumps(key, sort_keys=True, default=plain)


def key_hash(key: Any) -> str:
    return digest(key_text(key).encode())


@cache  # a file's name carries the hash of its bytes
def header_of(path: Path) -> dict[str, Any]:
    """What a shard says about itself: hashes of its `items`, and its stage's `settings` as JSON (None in old files).

    Raises ValueError if that is not what file and folder are named after, or whatever a damaged file makes a reader
    raise.
    """
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            header = file.metadata()
    else:
        header = {k.decode(): v.decode() for k, v in pq.read_schema(path).metadata.items()}
    about = json.loads(header["about"]) if "about" in header else {"items": json.loads(header["items"])}
    items, settings = about["items"], about.get("settings")
    if key_hash(items) != path.name.split(".")[0]:
        raise ValueError(f"{path} holds other items than its name says")
    if settings is not None and digest(settings.encode()) != path.parent.name:
        raise ValueError(f"{path} belongs to other settings than its folder's")
    return {"items": items, "settings": settings}


def is_intact(path: Path) -> bool:
    """Are these the very bytes, and this the very place, that the file was written with?"""
    try:
        return file_digest(path) == path.name.split(".")[1] and bool(header_of(path)["items"])
    except Exception:  # whatever a damaged file makes a reader raise
        return False


class NotKept(LookupError):
    """What is asked for would have to be computed: `missing` are the indices of the items that are not on disk, one of
    each that are equal; `kept` counts those that are."""

    def __init__(self, stage: str, missing: Sequence[int], kept: int) -> None:
        super().__init__(f"{stage}: {len(missing)} items are not kept")
        self.stage, self.missing, self.kept = stage, missing, kept


@contextmanager
def gc_paused() -> Iterator[None]:
    """Within the block, or a function so decorated, Python looks for no cycles. Where many small objects are made to
    stay it would look again and again, each time through all that PyTorch imported, and take as long as the work."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


LOOKING = ContextVar("looking", default=False)


@contextmanager
def only_looking() -> Iterator[None]:
    """Within the block nothing is computed: `cached` raises NotKept instead. Shards are taken to be undamaged."""
    before = LOOKING.set(True)
    try:
        yield
    finally:
        LOOKING.reset(before)


class Stage:
    """One stage's shards under one set of settings; arrays come back mapped from their file.

    Raises OSError, before any work, if the folder cannot be written.
    """

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        self.settings = key_text(settings)
        self.folder = cache_root() / name / digest(self.settings.encode())
        with writing_to(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass

    def holding(self, wanted: set[str]) -> dict[Path, list[str]]:
        """Shards that hold wanted items, each with the hashes of all that it holds. A shard whose header cannot be
        read is named and removed."""
        found = {}
        for path in sorted(self.folder.glob("*.*.*")):
            if not is_readable(path):
                continue
            try:
                items = header_of(path)["items"]
            except Exception:  # whatever a damaged header makes a reader raise
                self.remove(path)
                continue
            if not wanted.isdisjoint(items):
                found[path] = items
                wanted = wanted - set(items)
        return found

    def read(self, path: Path) -> Arrays | Records | None:
        """A shard's content, or None if it is damaged; then it is named and removed."""
        if not LOOKING.get() and not is_intact(path):
            self.remove(path)
            return None
        return mapped(path) if path.suffix == ".safetensors" else pq.read_table(path).to_pylist()

    def remove(self, path: Path) -> None:
        if path.exists():
            tell(f"cache: {path} is damaged and will be computed again")
        path.unlink(missing_ok=True)

    def save(self, items: Sequence[str], result: Arrays | Records) -> Any:
        """Write a shard and return it as it lies there: arrays mapped, so that memory does not grow with shards."""
        # in one entry: safetensors writes several in any order
        header = {"about": json.dumps({"items": list(items), "settings": self.settings})}
        kind = "safetensors" if isinstance(result, dict) else "parquet"
        part = self.folder / f".partial-{uuid4().hex}"
        try:
            with writing_to(self.folder):
                if isinstance(result, dict):
                    save_file(result, part, header)
                else:
                    pq.write_table(pa.Table.from_pylist(result).replace_schema_metadata(header), part)
                with part.open("rb") as file:
                    os.fsync(file.fileno())
                path = self.folder / f"{key_hash(list(items))}.{file_digest(part)}.{kind}"
                os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        return mapped(path) if isinstance(result, dict) else result


@dataclass(frozen=True)
class Kept:
    """Results of many items: the shards they lie in, and the place of each item, its shard and its row there."""

    shards: list[Any]
    where: Int[np.ndarray, "item 2"]

    def array(self, name: str) -> np.ndarray:
        """One array of all items, copied, in their order."""
        return np.stack([self.shards[shard][name][row] for shard, row in self.where])

    def records(self) -> Records:
        """The record of each item, in their order."""
        return [self.shards[shard][row] for shard, row in self.where]


def cached(
    name: str,
    settings: Mapping[str, Any],
    keys: Sequence[Any],
    compute: Callable[[list[int]], Arrays | Records],
    shard_size: int,
    lengths: Sequence[int] = (),
) -> Kept:
    """The result of each item, read where it is on disk and computed where it is not.

    `keys[i]` holds all that determines item i besides the settings; equal items are computed once. `compute` takes the
    indices of at most `shard_size` items and returns a row for each, as arrays or as records; a shard is written at
    once, so an interrupted run keeps what it did. `compute` must depend on nothing but settings and keys. With
    `lengths` the longest items come first: what does not fit into memory fails at once, and little is padded.
    """
    stage, hashes = Stage(name, settings), [key_hash(key) for key in keys]
    shards: list[Any] = []
    places: dict[str, tuple[int, int]] = {}

    def add(content: Arrays | Records, items: Sequence[str]) -> None:
        for row, item in enumerate(items):
            places.setdefault(item, (len(shards), row))
        shards.append(content)

    with gc_paused():
        for path, items in stage.holding(set(hashes)).items():
            content = stage.read(path)
            if content is not None:
                add(content, items)
    missing = list({item: i for i, item in enumerate(hashes) if item not in places}.values())
    if missing and LOOKING.get():
        raise NotKept(name, missing, sum(item in places for item in hashes))
    if len(lengths):
        missing.sort(key=lambda i: -lengths[i])
    with progress(name, len(missing)) as bar:
        for start in range(0, len(missing), shard_size):
            group = missing[start : start + shard_size]
            items = [hashes[i] for i in group]
            add(stage.save(items, compute(group)), items)
            bar.update(len(group))
    return Kept(shards, np.array([places[item] for item in hashes], dtype=int).reshape(-1, 2))


def cached_whole(name: str, settings: Mapping[str, Any], compute: Callable[[], Arrays]) -> Arrays:
    """Arrays that are computed in one piece and have no items."""
    return cached(name, settings, ["whole"], lambda _: compute(), 1).shards[0]
