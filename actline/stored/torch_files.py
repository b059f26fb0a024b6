"""PyTorch's own files: tensors and plain values, read without running any code in them.

Read here rather than by PyTorch, which trusts the sizes stated in a file and does not bound
references. Both formats are read: an archive (since 1.6), and a sequence of pickles.
"""

import sys
import zipfile
from collections.abc import Mapping
from io import SEEK_CUR, SEEK_END, BytesIO
from pathlib import Path
from typing import IO, Any, BinaryIO

import torch

from actline.errors import ActlineError
from actline.files import written_whole
from actline.stored.limits import lifted, limits
from actline.stored.pickle_objects import (
    DamagedError,
    LimitedError,
    OddTensorError,
    RefusedError,
    Storage,
    StorageType,
)
from actline.stored.pickles import Pickle
from actline.stored.text import reason, refuse_pipe

_ARCHIVE_MAGIC = b"PK\x03\x04"
_OLDER_MAGIC, _OLDER_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def load_torch(path: Path, *, error: type[ActlineError], unsafe: str, damaged: str) -> Any:
    """The content of a file of `torch.save`, on the CPU, if it is tensors and plain values.

    An archive's checksums are verified.

    Args:
        error: what to raise.
        unsafe: the error message if the file holds anything but tensors and plain values.
        damaged: the error message for a damaged file.

    Raises:
        ActlineError: of kind `error`: as above, or the file would take too much memory.
    """
    try:
        refuse_pipe(path, error=error, what="tensors")
        with path.open("rb") as file:
            archived = file.read(len(_ARCHIVE_MAGIC)) == _ARCHIVE_MAGIC
            return _load_archive(file) if archived else load_older(file)
    except OSError as failure:
        raise error(f"cannot read {path}: {reason(failure)}; check the path") from failure
    except OddTensorError as odd:
        raise error(f"{path} holds {odd}; save plain tensors") from odd
    except RefusedError as refused:
        raise error(unsafe) from refused
    except (DamagedError, MemoryError) as failure:
        raise error(damaged) from failure
    except LimitedError as limited:
        raise error(f"{path} holds {limited}; {lifted(limited.limit)}") from limited


def save_torch(path: Path, content: Any) -> None:
    """Write tensors and plain values, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    with written_whole(path) as aside, aside.open("wb") as file:
        watched = _Watched(file)
        try:
            torch.save(content, watched)  # type: ignore[arg-type] - needs `write` and `flush`
        except Exception as failure:
            # torch's writer reports the failure in its own words, or reports a different one.
            if watched.failure is None:
                raise
            raise watched.failure from failure


class _Watched:
    """A file that remembers the first write that failed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self._file.write(data)
        except OSError as failure:
            self.failure = self.failure or failure
            raise

    def flush(self) -> None:
        self._file.flush()


def load_older(file: IO[bytes]) -> Any:
    """The content of a file of `torch.save` before 1.6: pickles, then the numbers of each storage.

    Raises:
        RefusedError, DamagedError, LimitedError: as `Pickle.load`.
    """
    file.seek(0)
    if _plain_pickle(file) != _OLDER_MAGIC or _plain_pickle(file) != _OLDER_PROTOCOL:
        raise DamagedError("no magic number")
    system = _plain_pickle(file)
    if not isinstance(system, Mapping) or system.get("little_endian") is not True:
        raise DamagedError("another byte order")
    rest = file.seek(0, SEEK_CUR)
    size = file.seek(0, SEEK_END) - rest
    file.seek(rest)
    storages: dict[str, Storage] = {}

    def outside(described: object) -> Storage:
        dtype, key, count = _storage_of(described)
        if key not in storages:
            held = sum(one.values.nbytes for one in storages.values())
            if held + count * dtype.itemsize > size:
                raise DamagedError("fewer numbers than stated")
            storages[key] = Storage(torch.empty(count, dtype=dtype))
        found = storages[key].values
        if found.dtype != dtype or found.numel() != count:
            raise DamagedError("a storage of two kinds")
        return storages[key]

    content = Pickle(file, persistent=outside).load()
    keys = _plain_pickle(file)
    if not isinstance(keys, list) or {str(key) for key in keys} != storages.keys():
        raise DamagedError("other storages than stated")
    for key in keys:
        values = storages[str(key)].values
        count = int.from_bytes(file.read(8), sys.byteorder)
        raw = values.view(torch.uint8).numpy() if values.numel() else None
        if count != values.numel() or (raw is not None and file.readinto(raw) != raw.nbytes):  # type: ignore[attr-defined]
            raise DamagedError("fewer numbers than stated")
    return content


def _load_archive(file: IO[bytes]) -> Any:
    try:
        archive = zipfile.ZipFile(file)
        members = {one.filename: one for one in archive.infolist()}
    # A damaged archive may raise any exception.
    except Exception as failure:
        raise DamagedError("not an archive") from failure
    most = limits()
    size = sum(one.file_size for one in members.values())
    if size > most.array_mib << 20 or len(members) > most.members:
        limit = "members" if len(members) > most.members else "array_mib"
        raise LimitedError(f"{size >> 20} MiB in {len(members)} parts, too much", limit)
    pickles = [name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise DamagedError("no content")
    folder = pickles[0].removesuffix("data.pkl")
    order = members.get(f"{folder}byteorder")
    if order is not None and _unpacked(archive, order) != sys.byteorder.encode():
        raise DamagedError("another byte order")
    storages: dict[str, Storage] = {}

    def outside(described: object) -> Storage:
        dtype, key, count = _storage_of(described)
        if key not in storages:
            member = members.get(f"{folder}data/{key}")
            if member is None or member.file_size != count * dtype.itemsize:
                raise DamagedError("other numbers than stated")
            raw = bytearray(_unpacked(archive, member))
            values = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
            storages[key] = Storage(values)
        found = storages[key].values
        if found.dtype != dtype or found.numel() != count:
            raise DamagedError("a storage of two kinds")
        return storages[key]

    content = _unpacked(archive, members[pickles[0]])
    return Pickle(BytesIO(content), persistent=outside).load()


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A member's bytes, verified by its checksum."""
    try:
        return archive.read(member)
    except Exception as failure:  # as for the archive itself
        raise DamagedError("a damaged part") from failure


def _plain_pickle(file: IO[bytes]) -> Any:
    return Pickle(file).load()


def _storage_of(described: object) -> tuple[torch.dtype, str, int]:
    """Type, name and length of a storage."""
    match described:
        case ("storage", StorageType(dtype=dtype), str(key), str(), int(count), *rest):
            # Storages of older files may be views of others.
            if count >= 0 and rest in ([], [None]):
                return dtype, key, count
    raise RefusedError("an object stored outside it")
