"""NumPy's arrays as files, whose headers are compared with what there is before it is read."""

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
    """What an array is made of."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Bytes of its values."""
        return math.prod(self.shape) * self.dtype.itemsize


class NpyError(Exception):
    """The bytes are not those of an array of plain values; the message ends an error's line."""


_DAMAGED = "is not a whole .npy file of numbers; copy it again"
_STRUCTURES = "holds records of several values, not an array of one kind; save the array alone"
_CHARACTERS = "holds text of characters that do not exist; write it again"
_OBJECTS = "holds Python objects, which may run code, and is not loaded; save the array alone"


def open_npy(path: Path, *, error: type[ActlineError], what: str) -> NDArray[Any]:
    """An array of a `.npy` file, mapped into memory and read-only; pickles are never read.

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
    """Read a header; the file then stands at the values.

    Raises:
        NpyError: it is damaged, or of Python objects.
    """
    try:
        version = np.lib.format.read_magic(file)
        # The third is the second with names in UTF-8, which numbers do not have.
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        header = NpyHeader(*read_header(file, max_header_size=_HEADER_BYTES))
    # A header is parsed as Python's literals are, and fails in as many ways.
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
    """Compare text with the characters that exist: of others NumPy makes broken objects of Python.

    Raises:
        NpyError: an array of text holds numbers beyond the last character.
    """
    if values.dtype.kind != "U" or not values.size:
        return
    numbers = np.frombuffer(values.tobytes(), np.dtype("u4").newbyteorder(values.dtype.byteorder))
    if numbers.size and numbers.max() > sys.maxunicode:
        raise NpyError(_CHARACTERS)
