"""Loading from a hub or a disk: what went wrong and what to do in one sentence, and retries in one as well."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, LocalEntryNotFoundError, RevisionNotFoundError

from hn_utils.storage.progress import tell

_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory", re.IGNORECASE)
_NO_ANSWER = re.compile(r"couldn't connect|connection|offline mode|timed? ?out|name resolution", re.IGNORECASE)
_CUT_SHORT = re.compile(r"consistency check failed|should be of size|peer closed|incomplete message", re.IGNORECASE)
_OWN_CODE = re.compile(r"custom code|trust_remote_code", re.IGNORECASE)
_UNKNOWN_FAMILY = re.compile(r"supported architecture|does not recognize this architecture|unrecognized model", re.I)
_NO_TOKENIZER = re.compile(r"tokenizer", re.IGNORECASE)
WHOLE = "give the model that it was made from, as save_pretrained or the hub has it"
_SENTENCE_END = re.compile(r"(?<=[a-z)'`][.!?]) (?=[A-Z])")
LONGEST = 160  # characters of a library's own words that are passed on
_LOADING = logging.getLogger("transformers.modeling_utils")
RETRYING = logging.getLogger("huggingface_hub.utils._http")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it was raised from, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def remedy(error: BaseException) -> str:
    """What to do about an error of loading a model or a data set."""
    chain = list(_causes(error))
    statuses = {getattr(getattr(one, "response", None), "status_code", None) for one in chain}
    if any(isinstance(one, MemoryError) or _OUT_OF_MEMORY.search(str(one)) for one in chain):
        return "it does not fit into memory: choose a smaller model, dtype bfloat16, bits 8 or 4, or device several"
    if any(isinstance(one, OSError) and one.errno == errno.ENOSPC for one in chain):
        return "the disk is full: make room, or set HF_HOME to a folder on a larger one"
    if any(_CUT_SHORT.search(str(one)) for one in chain):
        return "a file arrived cut short: load it again"
    if any(isinstance(one, GatedRepoError) for one in chain) or statuses & {401, 403}:
        return "the hub wants to know who asks: accept the licence on its page there, then run `hf auth login`"
    if any(isinstance(one, LocalEntryNotFoundError | ConnectionError) or _NO_ANSWER.search(str(one)) for one in chain):
        return "the hub does not answer: check your network, or give the folder of a copy"
    if any(isinstance(one, RevisionNotFoundError | EntryNotFoundError) for one in chain) or 404 in statuses:
        return (
            "the hub holds no such thing: check the name and the revision (an adapter is no model; a GGUF file is "
            "named owner/repository/file.gguf)"
        )
    if any(isinstance(one, ImportError) for one in chain):
        return f"install that package, or {WHOLE}"
    if any(_OWN_CODE.search(str(one)) for one in chain):
        return "code that comes with a model is not run here: choose a model that Transformers knows itself"
    if any(_UNKNOWN_FAMILY.search(str(one)) for one in chain):
        return "no model of this family can be wrapped: choose one of a family that TransformerLens knows"
    if any(isinstance(one, ValueError) and _NO_TOKENIZER.search(str(one)) for one in chain):
        return "its tokenizer cannot be read: put that of the model it was trained from beside it (save_pretrained)"
    return "check the name and its files"


def explained(error: BaseException) -> str:
    """An error's kind, its first sentence, which may be long, and what to do."""
    line = str(error).partition("\n")[0]
    sentence = _SENTENCE_END.split(line)[0].rstrip(".: ")
    return f"({type(error).__name__}: {shorten(sentence, LONGEST, placeholder=' …')}): {remedy(error)}"


def _is_as_named(blob: Path) -> bool:
    """Has a downloaded file the hash that it is named after: SHA-256 of a large one, git's of a small one?"""
    if len(blob.name) == 64:
        with blob.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == blob.name
    if len(blob.name) == 40:
        content = blob.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == blob.name
    return True  # the hub told no hash


def damaged(place: str, revision: str) -> str:
    """Removes the files of a downloaded model that are not what the hub has, and says so; empty if all are.

    The hub's client checks their length alone. Takes a second for a gigabyte or two.
    """
    config = None if Path(place).exists() else try_to_load_from_cache(place, "config.json", revision=revision or None)
    if not isinstance(config, str):
        return ""
    wrong = [
        file for file in sorted(Path(config).parent.rglob("*")) if file.is_file() and not _is_as_named(file.resolve())
    ]
    for file in wrong:
        file.resolve().unlink()
        file.unlink()
    names = ", ".join(file.name for file in wrong)
    return f"({names} did not arrive as the hub has it): it was removed, load it again" if wrong else ""


@contextlib.contextmanager
def every_weight() -> Iterator[None]:
    """While a model is loaded, heed what Transformers only warns of, and TransformerLens silences: weights that none of
    its files holds, which are drawn at random. Raises ValueError that names some."""
    missing: list[str] = []

    def heed(record: logging.LogRecord) -> bool:
        lines = re.sub(r"\x1b\[[0-9;]*m", "", record.getMessage()).splitlines()
        missing.extend(line.split("|")[0].strip() for line in lines if re.search(r"\|\s*MISSING\s*\|", line))
        return record.levelno >= logging.ERROR

    before = _LOADING.level
    _LOADING.setLevel(logging.WARNING)
    _LOADING.addFilter(heed)
    try:
        yield
    finally:
        _LOADING.removeFilter(heed)
        _LOADING.setLevel(before)
    if missing:
        raise ValueError(f"none of its files holds the weights {', '.join(missing[:3])}")


@contextlib.contextmanager
def patient_downloads() -> Iterator[None]:
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
