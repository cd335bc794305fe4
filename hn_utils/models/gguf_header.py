"""What a GGUF file says of itself before its weights begin: architecture, quantisation, and whether it is whole.

Read here, and not by the package `gguf`, which takes seconds for a vocabulary, so that a file that cannot be used is
refused at once. The layout is that of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import mmap
import struct
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9  # the kinds of value that have no fixed size
_FORMATS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_OTHER_FORM = "give the model as save_pretrained writes it"
_ALIGNMENT = 32  # of weights in the file, unless it says otherwise


@dataclass(frozen=True)
class Header:
    """What a GGUF file says of itself.

    Attributes:
        values: by key, what is said of the model; of lists their length.
        kinds: how many weights are stored in each quantisation, by its name, such as Q4_K.
        size: bytes that the whole file must have.
    """

    values: Mapping[str, Any]
    kinds: Mapping[str, int]
    size: int

    @property
    def architecture(self) -> str:
        """The model's family, in the words of llama.cpp."""
        return str(self.values.get("general.architecture", "unknown"))

    @property
    def n_weights(self) -> int:
        """How many numbers all weights have together."""
        return sum(self.kinds.values())

    @cached_property
    def quantised(self) -> str:
        """The quantisation by the name that files bear, such as Q4_K_M; if none is told, that of most weights."""
        from gguf import LlamaFileType

        try:
            told = LlamaFileType(self.values["general.file_type"]).name
        except (KeyError, ValueError):
            return max(self.kinds, key=lambda kind: self.kinds[kind])
        return told.removeprefix("MOSTLY_").removeprefix("ALL_")


def read_header(file: Path) -> Header:
    """Read what a GGUF file says of itself, and check that all of its weights are there.

    Args:
        file: the file.

    Returns:
        Its header.

    Raises:
        OSError: it is no GGUF file, is cut short, is one part of several, or stores weights in a way not known here;
            or the package `gguf` is missing.
    """
    _require_reader(file)
    size = file.stat().st_size
    with file.open("rb") as opened:
        if opened.read(len(_MAGIC)) != _MAGIC:
            raise OSError(f"{file} is no GGUF file, whatever its name says: {_OTHER_FORM}")
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            try:
                header = _parsed(content, file)
            except (struct.error, UnicodeDecodeError, OverflowError) as error:
                raise OSError(f"{file} is cut short or damaged ({size:,} bytes): fetch it again") from error
    if header.values.get("split.count", 0) > 1:
        raise OSError(f"{file} is one part of several: join them with `llama-gguf-split --merge`, and give the whole")
    if size < header.size:
        raise OSError(f"{file} is cut short ({size:,} of {header.size:,} bytes): fetch it again")
    return header


def _require_reader(file: Path) -> None:
    """Raises OSError if the package that knows the quantisations is not installed."""
    try:
        import gguf  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise OSError(f"{file} is a GGUF file, which needs the package gguf: `pip install 'hn-utils[gguf]'`") from None


class _Cursor:
    """A place in the file, which moves on as values are read. Raises struct.error behind the end."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content = content
        self.place = len(_MAGIC)

    def number(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self.content, self.place)
        self.place += struct.calcsize(form)
        return value

    def skip(self, size: int) -> None:
        self.place += size
        if self.place > len(self.content):
            raise struct.error("behind the end of the file")

    def string(self) -> str:
        size = self.number("<Q")
        start = self.place
        self.skip(size)
        return self.content[start : self.place].decode()

    def value(self, kind: int) -> Any:
        """One value; of a list its length."""
        if kind == _STRING:
            return self.string()
        return self.list_length() if kind == _ARRAY else self.number(_format_of(kind))

    def list_length(self) -> int:
        """Step over a list, and say how long it is."""
        kind, n = self.number("<I"), self.number("<Q")
        if kind != _STRING:
            self.skip(n * struct.calcsize(_format_of(kind)))
            return n
        for _ in range(n):
            self.skip(self.number("<Q"))
        return n


def _format_of(kind: int) -> str:
    if kind not in _FORMATS:
        raise struct.error(f"no kind of value has the number {kind}")
    return _FORMATS[kind]


def _parsed(content: mmap.mmap, file: Path) -> Header:
    cursor = _Cursor(content)
    version = cursor.number("<I")
    if version not in _VERSIONS:
        raise OSError(f"{file} is GGUF of version {version}, and 2 and 3 are read here: {_OTHER_FORM}")
    n_tensors, n_values = cursor.number("<Q"), cursor.number("<Q")
    values = {}
    for _ in range(n_values):
        key = cursor.string()
        values[key] = cursor.value(cursor.number("<I"))
    kinds: Counter[str] = Counter()
    end = 0  # of the last weights, from where all of them begin
    for _ in range(n_tensors):
        cursor.string()  # the name of the tensor
        shape = [cursor.number("<Q") for _ in range(cursor.number("<I"))]
        kind, n_bytes = _stored(cursor.number("<I"), prod(shape), file)
        kinds[kind] += prod(shape)
        end = max(end, cursor.number("<Q") + n_bytes)
    alignment = values.get("general.alignment", _ALIGNMENT)
    start = -(-cursor.place // alignment) * alignment
    return Header(values, dict(kinds), start + end)


def _stored(number: int, n: int, file: Path) -> tuple[str, int]:
    """The quantisation that has a number in the file, by name, and how many bytes `n` weights take in it."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        kind = GGMLQuantizationType(number)
    except ValueError:
        raise OSError(
            f"{file} stores weights in a way that is not known here (number {number}): update the package gguf, or "
            f"{_OTHER_FORM}"
        ) from None
    per_block, n_bytes = GGML_QUANT_SIZES[kind]
    return kind.name, n // per_block * n_bytes
