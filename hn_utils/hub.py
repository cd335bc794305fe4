"""Loading from a hub or a disk: what went wrong and what to do in one sentence, and retries in one as well."""

from __future__ import annotations

import contextlib
import errno
import logging
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, LocalEntryNotFoundError, RevisionNotFoundError

from hn_utils.cache import Ledger
from hn_utils.progress import tell
from hn_utils.study import Study

OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory", re.IGNORECASE)
NO_ANSWER = re.compile(r"couldn't connect|connection|offline mode|timed? ?out|name resolution", re.IGNORECASE)
RETRYING = logging.getLogger("huggingface_hub.utils._http")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it was raised from, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def remedy(error: BaseException) -> str:
    """What to do about an error of loading a model or a data set."""
    chain = list(causes(error))
    statuses = {getattr(getattr(one, "response", None), "status_code", None) for one in chain}
    if any(isinstance(one, MemoryError) or OUT_OF_MEMORY.search(str(one)) for one in chain):
        return "it does not fit into memory: choose a smaller model, dtype bfloat16, bits 8 or 4, or device several"
    if any(isinstance(one, OSError) and one.errno == errno.ENOSPC for one in chain):
        return "the disk is full: make room, or set HF_HOME to a folder on a larger one"
    if any(isinstance(one, GatedRepoError) for one in chain) or statuses & {401, 403}:
        return "the hub wants to know who asks: accept the licence on its page there, then run `hf auth login`"
    if any(isinstance(one, LocalEntryNotFoundError | ConnectionError) or NO_ANSWER.search(str(one)) for one in chain):
        return "the hub does not answer: check your network, or give the folder of a copy"
    if any(isinstance(one, RevisionNotFoundError | EntryNotFoundError) for one in chain) or 404 in statuses:
        return "the hub holds no such thing: check the name and the revision"
    return "check the name and its files"


def explained(error: BaseException) -> str:
    """An error's first line, its kind, and what to do."""
    return f"({type(error).__name__}: {str(error).partition(chr(10))[0]}): {remedy(error)}"


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """While something is loaded, tell once that the hub is asked again, instead of twice for each of many retries."""
    told = False

    def once(record: logging.LogRecord) -> bool:
        nonlocal told
        again = "Retrying in" in record.getMessage() or "thrown while requesting" in record.getMessage()
        if again and not told:
            told = True
            tell("the hub does not answer; it is asked again for up to a minute")
        return not again

    RETRYING.addFilter(once)
    try:
        yield
    finally:
        RETRYING.removeFilter(once)


def copy_of(name: str, config: Any, study: Study) -> str:
    """What tells a copy of a model from another without a look at its weights: the hub's commit, or names, sizes and
    times of a folder's files; and how it is loaded."""
    folder, what = Path(name), str(getattr(config, "_commit_hash", None))
    if folder.is_dir():
        stats = [(path.name, path.stat()) for path in sorted(folder.iterdir())]
        name, what = str(folder.resolve()), str([(file, s.st_size, s.st_mtime_ns) for file, s in stats])
    return f"{name} {what} {study.dtype} {study.bits}"


def remember_fingerprint(name: str, config: Any, study: Study, fingerprint: str) -> None:
    """Note the fingerprint of a model as it was loaded, so that what is kept of it can be found without its weights."""
    with closing(Ledger("fingerprints")) as ledger:
        ledger.put(copy_of(name, config, study), fingerprint)


def known_fingerprint(name: str, config: Any, study: Study) -> str | None:
    """The fingerprint of a model that was loaded here before, None for any other."""
    with closing(Ledger("fingerprints")) as ledger:
        return ledger.get(copy_of(name, config, study))
