"""`python -m hn_utils cache`: what has been computed, what of it is damaged or outdated; and it removes that."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hn_utils.storage.cache import header_of, is_intact
from hn_utils.storage.files import is_readable
from hn_utils.storage.ledger import Ledger, key_in, whole_lines
from hn_utils.storage.paths import ROOT, cache_root, runs_root
from hn_utils.storage.progress import progress
from hn_utils.storage.stages import stage_versions

_OUTDATED = "outdated"
_ABANDONED = 3_600  # seconds after which nobody is still writing a file


@dataclass(frozen=True)
class Entry:
    """One line of the list: a stage under one set of settings, or a ledger. Items that stand in several shards count
    each time; those of damaged ones do not."""

    stage: str
    model: str
    items: int
    size: int
    outdated: bool = False


@dataclass(frozen=True)
class Fault:
    """A file that is of no use, and why. Of a ledger only some lines are."""

    path: Path
    reason: str
    size: int


def _folders() -> list[Path]:
    """Folders of shards, `<stage>/<hash of settings>`."""
    return sorted(folder for folder in cache_root().glob("*/" + "[0-9a-f]" * 32) if folder.is_dir())


def shards(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.*.*") if is_readable(file))


def _ledgers() -> list[Path]:
    return sorted(file for file in cache_root().glob("*.ledger") if is_readable(file))


def _headers(folder: Path) -> list[dict[str, Any]]:
    """Headers of the shards that can be read."""
    found = []
    for file in shards(folder):
        try:
            found.append(header_of(file))
        except Exception:  # whatever a damaged header makes a reader raise; --verify names the file
            continue
    return found


def _settings_in(found: list[dict[str, Any]]) -> dict[str, Any]:
    return next((json.loads(header["settings"]) for header in found if header["settings"]), {})


def _is_outdated(stage: str, settings: dict[str, Any]) -> bool:
    """Did another version of this stage compute it? A stage that is not known here is nobody's to judge."""
    current = stage_versions().get(stage)
    return current is not None and settings.get("version", current) != current


def _model_names() -> dict[str, str]:
    """Names of models by fingerprint, from the cards of all studies' results."""
    names = {}
    for card in [ROOT / "figures" / "h_neurons.json", *runs_root().glob("*/h_neurons.json")]:
        try:
            found = json.loads(card.read_text(encoding="utf-8"))
            names[found["fingerprint"]] = f"{found['model']} of {found['study']}"
        except (OSError, ValueError, KeyError, TypeError):  # no card, or a damaged one
            continue
    return names


def entries() -> list[Entry]:
    """Everything in the cache, the largest last."""
    names, made = _model_names(), []
    for folder in _folders():
        found = _headers(folder)
        settings = _settings_in(found)
        model = settings.get("model", "")
        parts = (names.get(model, model[:8]), settings.get("dtype", ""), settings.get("device", ""))
        size = sum(file.stat().st_size for file in folder.iterdir())
        stage, items = folder.parent.name, sum(len(header["items"]) for header in found)
        made.append(Entry(stage, " ".join(filter(None, parts)), items, size, _is_outdated(stage, settings)))
    for file in _ledgers():
        keys = {key_in(line) for _, line in whole_lines(file)} - {None}
        made.append(Entry(file.stem, "", len(keys), file.stat().st_size))
    return sorted(made, key=lambda entry: entry.size)


def faults() -> Iterator[Fault]:
    """Reads everything, and finds what is damaged, of another version of its stage, or left behind by a killed run."""
    for folder in progress("cache", len(_folders()), _folders()):
        outdated = _is_outdated(folder.parent.name, _settings_in(_headers(folder)))
        for file in shards(folder):
            size = file.stat().st_size
            if outdated:
                yield Fault(file, _OUTDATED, size)
            elif not is_intact(file):
                yield Fault(file, "damaged", size)
        for file in folder.glob(".partial-*"):
            if time.time() - file.stat().st_mtime > _ABANDONED:
                yield Fault(file, "left by a killed run", file.stat().st_size)
    for file in _ledgers():
        bad = [len(line) for _, line in whole_lines(file) if line.strip() and key_in(line) is None]
        if bad:
            yield Fault(file, f"{len(bad)} lines damaged", sum(bad))


def remove(fault: Fault) -> None:
    """Away with a file; of a ledger, with its damaged lines alone."""
    if fault.path.suffix == ".ledger":
        Ledger(fault.path.stem).close()
        return
    fault.path.unlink(missing_ok=True)
    if fault.reason == _OUTDATED and not any(fault.path.parent.iterdir()):  # nobody is at work there
        fault.path.parent.rmdir()


def listing() -> Iterator[str]:
    """What is there: stage, model, items, size."""
    made = entries()
    for entry in made:
        note = ", outdated" * entry.outdated
        yield f"{entry.stage:14} {entry.items:>10,} items {_readable(entry.size):>9}  {entry.model}{note}"
    yield f"{cache_root()}: {len(made)} entries, {_readable(sum(entry.size for entry in made))}"


def checking(prune: bool) -> Iterator[str]:
    """What is of no use, one file a line; and with `prune` it is removed."""
    n = size = 0
    for fault in faults():
        if prune:
            remove(fault)
        n, size = n + 1, size + fault.size
        yield f"{fault.reason}{', removed' * prune}: {fault.path}"
    if not n:
        yield f"{cache_root()}: every file is as it was written"
    else:
        yield f"{n} files, {_readable(size)}: " + ("removed" if prune else "`cache --prune` removes them")


def _readable(size: float) -> str:
    """Bytes in the largest unit that they fill."""
    for unit in ("B", "kB", "MB"):
        if size < 1_000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1_000
    return f"{size:.1f} GB"
