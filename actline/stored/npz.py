"""NumPy `.npz` archives, checked before anything in them is unpacked."""

import math
import zipfile
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actline.errors import ActlineError
from actline.stored.limits import lifted, limits
from actline.stored.npy import NpyError, check_text, read_npy_header
from actline.stored.text import reason, refuse_pipe


def read_npz(
    path: Path,
    *,
    error: type[ActlineError],
    what: str,
    only: Container[str] | None = None,
) -> dict[str, NDArray[Any]]:
    """The arrays of a `.npz` file; pickled objects are never read.

    Args:
        error: what to raise.
        what: what the file should hold, such as "predictions".
        only: names of the arrays to read, if present; None reads all.

    Raises:
        ActlineError: of kind `error`: it is missing, damaged, holds objects, or would take more
            memory than the limit.
    """
    most = limits()
    try:
        refuse_pipe(path, error=error, what=what)
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if one.filename.endswith(".npy")]
            size = sum(one.file_size for one in members)
            if size > most.array_mib << 20 or len(members) > most.members:
                name = "members" if len(members) > most.members else "array_mib"
                raise error(
                    f"{path} would take {size >> 20} MiB in {len(members)} arrays, too much; "
                    f"{lifted(name)}"
                )
            names = [one.filename for one in members]
            if len(set(names)) < len(names):
                raise error(f"{path} has two arrays with the same name; write it again")
            return {
                one.filename.removesuffix(".npy"): _array(archive, one, path, error)
                for one in members
                if only is None or one.filename.removesuffix(".npy") in only
            }
    except ActlineError:
        raise
    except FileNotFoundError as missing:
        raise error(f"no {what} at {path}; check the path") from missing
    except OSError as failure:
        raise error(f"cannot read {path}: {reason(failure)}; check the path") from failure
    # A damaged archive, or a header parsed as a Python literal, may raise almost any exception.
    except Exception as failure:
        raise error(f"{path} is not a whole .npz file; write it again") from failure


def _array(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, error: type[ActlineError]
) -> NDArray[Any]:
    with archive.open(member) as file:
        name = member.filename
        try:
            header = read_npy_header(file)
        except NpyError as wrong:
            raise error(f"{path}: {name} {wrong}") from wrong
        if not header.dtype.itemsize and math.prod(header.shape):
            raise error(f"{path}: {name} has entries of zero size; write it again")
        # The size in the header must equal the actual size, so that neither a small file makes a
        # large array nor a large file hides behind a small header.
        if file.tell() + header.nbytes != member.file_size:
            raise error(f"{path}: {name} is incomplete; write it again")
        values = np.empty(math.prod(header.shape), header.dtype)
        if header.nbytes:
            values.view(np.uint8)[:] = np.frombuffer(file.read(), np.uint8)
        try:
            check_text(values)
        except NpyError as wrong:
            raise error(f"{path}: {name} {wrong}") from wrong
    return values.reshape(header.shape, order="F" if header.fortran else "C")
