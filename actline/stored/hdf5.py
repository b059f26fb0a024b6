"""HDF5 files: only data stored in the file itself is read, never links or fill values."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from actline.errors import ActlineError
from actline.stored.limits import lifted, limits
from actline.stored.text import refuse_pipe

T = TypeVar("T")


@contextmanager
def open_hdf5(path: Path, *, error: type[ActlineError]) -> Iterator["Hdf5Group"]:
    """The root group of an HDF5 file.

    Raises:
        ActlineError: of kind `error`: the file is missing or damaged; also within the block, for
            reads from the group.
    """
    refuse_pipe(path, error=error, what="features")
    reading = _Reading(path, error)
    file = reading.asked(lambda: h5py.File(path, "r"))
    try:
        yield Hdf5Group(file, reading, above=())
    finally:
        # With a damaged file closing may fail too, and nothing is lost by that.
        with suppress(Exception):
            file.close()


class Hdf5Group:
    """A group whose content is read only on request."""

    def __init__(self, group: h5py.Group, reading: "_Reading", above: tuple[int, ...]) -> None:
        self._group, self._reading = group, reading
        # Its address in the file: a group may contain itself.
        own = reading.asked(lambda: int(h5py.h5o.get_info(group.id).addr))  # type: ignore[attr-defined]
        if own in above:
            raise reading.error(f"{reading.path}: a group contains itself; copy the data itself")
        self._above = (*above, own)
        if len(self._above) > limits().depth:
            raise reading.error(
                f"{reading.path} has groups nested more than {limits().depth} levels deep; "
                f"{lifted('depth')}"
            )

    def __len__(self) -> int:
        return self._reading.asked(lambda: len(self._group))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._reading.asked(lambda: name in self._group)

    def names(self) -> list[str]:
        """The names of its members."""
        most = limits().members
        if len(self) > most:
            raise self._reading.error(
                f"{self._reading.path} holds more than {most} names in one group; "
                f"{lifted('members')}"
            )
        return self._reading.asked(lambda: [str(name) for name in self._group])

    def open(self, name: str) -> "Hdf5Group | Hdf5Array":
        """Open a member: a group or an array.

        Raises:
            ActlineError: it is neither, or a link to somewhere else.
        """
        reading, group = self._reading, self._group
        # A link may lead to any other file on this machine.
        link = reading.asked(lambda: group.get(name, getlink=True))
        if not isinstance(link, h5py.HardLink):
            raise reading.error(
                f'{reading.path}: "{name}" is a link, not data; copy the data itself'
            )
        found = reading.asked(lambda: group[name])
        if isinstance(found, h5py.Group):
            return Hdf5Group(found, reading, self._above)
        if not isinstance(found, h5py.Dataset):
            raise reading.error(
                f'{reading.path}: "{name}" is not a dataset; give the dataset of a video'
            )
        return Hdf5Array(found, name, reading)


class Hdf5Array:
    """A dataset; `load` reads it."""

    def __init__(self, dataset: h5py.Dataset, name: str, reading: "_Reading") -> None:
        self._dataset, self._name, self._reading = dataset, name, reading
        shape = reading.asked(lambda: dataset.shape)
        self.shape: tuple[int, ...] = () if shape is None else tuple(int(size) for size in shape)
        self._empty = shape is None

    def load(self) -> NDArray[Any]:
        """Read its numbers.

        Raises:
            ActlineError: its values are not numbers, are stored in other files, are more than the
                file stores, or exceed the limit.
        """
        dataset, reading = self._dataset, self._reading
        where = f'{reading.path}: "{self._name}"'
        if reading.asked(lambda: dataset.is_virtual or dataset.external):
            raise reading.error(f"{where} is stored in other files; copy the data itself")
        dtype = reading.asked(lambda: dataset.dtype)
        if dtype.kind not in "fiu" or self._empty:
            raise reading.error(f"{reading.path} holds {dtype}, not numbers; give features")
        size, most = math.prod(self.shape) * dtype.itemsize, limits().array_mib
        if size > most << 20:
            raise reading.error(
                f"{where} is {size / 2**30:.1f} GiB, more than {most / 1024:g}; "
                f"give the features of one video, or {lifted('array_mib')}"
            )
        if not reading.asked(lambda: _all_stored(dataset, size)):
            raise reading.error(f"{where} is larger than the data stored for it; copy it again")
        return reading.asked(lambda: np.asarray(dataset[()]))


class _Reading:
    """The file being read, and the error to raise."""

    def __init__(self, path: Path, error: type[ActlineError]) -> None:
        self.path, self.error = path, error

    def asked(self, call: Callable[[], T]) -> T:
        """Call the library and return its result.

        Raises:
            ActlineError: the call fails; a damaged file may raise any exception.
        """
        try:
            return call()
        except Exception as failure:
            raise self.error(f"{self.path} is not a whole HDF5 file; copy it again") from failure


def _all_stored(dataset: h5py.Dataset, size: int) -> bool:
    """Whether all values are stored in the file, compressed or not, without fill values."""
    if dataset.chunks is None:
        return dataset.id.get_storage_size() >= size
    chunks = math.prod(
        -(-length // chunk) for length, chunk in zip(dataset.shape, dataset.chunks, strict=True)
    )
    return dataset.id.get_num_chunks() >= chunks
