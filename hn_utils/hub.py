"""Loading from a hub or a disk: what went wrong and what to do in one sentence, and retries in one as well."""

from __future__ import annotations

import contextlib
import errno
import logging
import re
from collections.abc import Iterator

from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, LocalEntryNotFoundError, RevisionNotFoundError

from hn_utils.progress import tell

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
