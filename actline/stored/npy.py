"""NumPy `.npy` files, whose headers are checked against the file before it is read."""

import math
import os
import sys
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actline.errors import ActlineError
from actline.stored.text import reason, refuse_pipe

_HEADER_BYTES = 1 << 16


class NpyHeader(NamedTuple):
    """The header of a `.npy` array."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Size of its values in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


class NpyError(Exception):
    """The bytes are not an array of plain values; the message follows the file's name."""


_DAMAGED = "is not a whole .npy file of numbers; copy it again"
_STRUCTURES = "holds structured records, not a plain array; save the array alone"
_CHARACTERS = "contains invalid Unicode characters; write it again"
_OBJECTS = "holds Python objects, which may run code, and is not loaded; save the array alone"


def open_npy(path: Path, *, error: type[ActlineError], what: str) -> NDArray[Any]:
    """The array in a `.npy` file, memory-mapped and read-only; pickles are never read.

    Raises:
        ActlineError: of kind `error`: it is missing, damaged, or holds Python objects.
    """
    try:
        refuse_pipe(path, error=error, what=what)
        with path.open("rb") as file:
            header = read_npy_header(file)
            start, size = file.tell(), os.fstat(file.fileno()).st_size
            if start + header.nbytes != size:
                raise NpyError(_DAMAGED)
            if not header.nbytes:
                return np.empty(header.shape, header.dtype)
            order = "F" if header.fortran else "C"
            return np.memmap(file, header.dtype, "r", start, header.shape, order)
    except NpyError as wrong:
        raise error(f"{path} {wrong}") from wrong
    except FileNotFoundError as missing:
        raise error(f"no {what} at {path}; check the path") from missing
    except OSError as failure:
        raise error(f"cannot read {path}: {reason(failure)}; check the path") from failure


def read_npy_header(file: IO[bytes]) -> NpyHeader:
    """Read a header; the file is then positioned at the values.

    Raises:
        NpyError: the header is damaged, or the array holds Python objects.
    """
    try:
        version = np.lib.format.read_magic(file)
        # Version 3 is version 2 with field names in UTF-8, which plain numbers do not have.
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        header = NpyHeader(*read_header(file, max_header_size=_HEADER_BYTES))
    # The header is parsed as a Python literal, which may raise almost any exception.
    except Exception as failure:
        raise NpyError(_DAMAGED) from failure
    if header.dtype.hasobject:
        raise NpyError(_OBJECTS)
    if header.dtype.kind == "V":
        raise NpyError(_STRUCTURES)
    if any(size < 0 for size in header.shape):
        raise NpyError(_DAMAGED)
    return header


def check_text(values: NDArray[Any]) -> None:
    """Check that text has valid characters only: from others NumPy makes broken Python strings.

    Raises:
        NpyError: an array of text contains a code point beyond the last one of Unicode.
    """
    if values.dtype.kind != "U" or not values.size:
        return
    numbers = np.frombuffer(values.tobytes(), np.dtype("u4").newbyteorder(values.dtype.byteorder))
    if numbers.size and numbers.max() > sys.maxunicode:
        raise NpyError(_CHARACTERS)
