"""Atomic file writing, locks on folders, and file identities.

A file is first written to its own temporary folder, `.actline-XXXX.part`, next to its target, and
then renamed, so that it appears whole or not at all. The writer holds a lock on that folder. The
system releases the lock when the writer dies, for any reason, so that a later command can tell
leftovers (which it removes) from files still being written. `Claims` keep processes that work on
one folder apart in the same way.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from actline.errors import OutputError

_PREFIX, _SUFFIX = ".actline-", ".part"
_LOCK = "lock"
CLAIMS = ".actline.lock"
# A folder this old without a lock: its writer died while making it, which takes milliseconds.
_STILL_MADE_SECONDS = 600
_END_BYTES = 1 << 16
# Folders this process has already swept for leftovers; once each is enough.
_swept: set[Path] = set()


@contextlib.contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path to write to; on success it is renamed onto `path`.

    It has the same name as `path`, in its own temporary folder, for writers that choose a format by
    the file's extension. When the block fails it is removed, so that an interrupted or failed write
    leaves the previous file untouched; what a killed process left is removed by the next process
    that writes into the folder.

    Raises:
        OutputError: the folder cannot be made or written to, or the disk is full.
    """
    target = Path(path)
    try:
        if "\0" in target.name:
            raise ValueError("its name contains a NUL character")
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(0, "a folder has that name")
        sweep_once(target.parent)
    except (OSError, ValueError) as error:  # ValueError: a NUL in a path
        raise OutputError(unwritable(target, error)) from error
    try:
        with _own_folder(target.parent) as folder:
            aside = folder / target.name
            # Created here, so that it has the usual permissions of a new file, whichever library
            # writes it.
            os.close(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            yield aside
            with aside.open("rb") as written:
                os.fsync(written.fileno())
            aside.replace(target)
    except OSError as error:
        raise OutputError(unwritable(target, error)) from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all.

    Raises:
        OutputError: as `written_whole`, or the text contains unpaired surrogates.
    """
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise OutputError(
            f"cannot write {path}: a name contains unpaired surrogates "
            f"({text[error.start : error.end][:10]}); rename it"
        ) from error
    with written_whole(path) as aside:
        aside.write_bytes(encoded)


def result_files(folder: Path, ending: str) -> list[Path]:
    """Result files of `actline detect` in a folder and, for videos in subfolders, below it.

    Hidden files are skipped, and so are subfolders that hold the results of another run.
    """
    found: list[Path] = []
    for path, folders, names in walk(folder):
        here = Path(path)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not (here / name / "detections.meta").exists()
        )
        found += [
            here / name for name in names if name.endswith(ending) and not name.startswith(".")
        ]
    return sorted(found)


def walk(folder: str | os.PathLike[str]) -> Iterator[tuple[str, list[str], list[str]]]:
    """`os.walk` for folders nested to any depth; up to Python 3.11, `os.walk` itself recurses."""
    waiting = [os.fspath(folder)]
    while waiting:
        level = next(os.walk(waiting.pop()), None)
        if level is not None:
            yield level
            path, folders, _ = level
            below = (os.path.join(path, name) for name in reversed(folders))  # noqa: PTH118
            waiting += [one for one in below if not os.path.islink(one)]  # noqa: PTH114


def identity(path: str | os.PathLike[str]) -> dict[str, str | int]:
    """What distinguishes a file from another one, and from a changed version of itself.

    Path (links followed), size in bytes, time of the last change in nanoseconds, and a digest of
    its beginning and end. For a folder: the total size and latest change of all files below it, and
    a digest of their names, sizes and times; their contents are not read.

    Raises:
        OSError: it does not exist, or cannot be accessed.
    """
    real = Path(os.path.realpath(path))
    about = real.stat()
    if not real.is_dir():
        if not real.is_file():  # reading a pipe would block
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        ends = _ends(real, about.st_size)
        return {"path": str(real), "size": about.st_size, "time": about.st_mtime_ns, "ends": ends}
    size = latest = 0
    digest = hashlib.sha256()
    for folder, folders, names in walk(real):
        folders.sort()
        for name in sorted(names):
            try:
                inside = os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118 - many files
            except OSError:  # a broken link
                inside = os.lstat(os.path.join(folder, name))  # noqa: PTH118
            size += inside.st_size
            latest = max(latest, inside.st_mtime_ns)
            below = os.path.relpath(os.path.join(folder, name), real)  # noqa: PTH118
            entry = f"{below}\0{inside.st_size}\0{inside.st_mtime_ns}\0"
            digest.update(entry.encode("utf-8", "surrogatepass"))
    return {"path": str(real), "size": size, "time": latest, "files": digest.hexdigest()}


def _ends(path: Path, size: int) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_END_BYTES))
        if size > _END_BYTES:
            file.seek(max(_END_BYTES, size - _END_BYTES))
            digest.update(file.read(_END_BYTES))
    return digest.hexdigest()[:32]


def reserve(path: Path, size: int) -> None:
    """Reserve `size` bytes of disk for a file that will be mapped into memory.

    Writing to a mapped file on a full disk kills the process (SIGBUS); reserving the bytes first
    raises an error instead.

    Raises:
        OSError: there is not enough space on the disk.
    """
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        elif shutil.disk_usage(path.parent).free < size:
            raise OSError(28, "No space left on device")
        else:
            file.truncate(size)


def sweep_once(folder: Path) -> None:
    """As `sweep`, but once per process: for commands that may have nothing to write."""
    if folder not in _swept:
        sweep(folder)
        _swept.add(folder)


def sweep(folder: Path) -> None:
    """Remove what dead processes left half-written in a folder; what live ones write stays."""
    with contextlib.suppress(OSError):
        for left in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
            if not left.is_dir() or left.is_symlink():
                continue
            if not (left / _LOCK).exists():
                if time.time() - left.stat().st_mtime > _STILL_MADE_SECONDS:
                    shutil.rmtree(left, ignore_errors=True)
                continue
            lock = FileLock(left / _LOCK)
            with contextlib.suppress(Timeout, OSError):
                lock.acquire(timeout=0)
                shutil.rmtree(left, ignore_errors=True)
            lock.release()


class Claims:
    """What this process works on in a folder, shown to others by locks on its `.actline.lock`.

    Each item worked on is one locked byte of that file: the file stays empty, and the system
    releases the locks of a process that dies. On file systems without locks (some network ones),
    every claim is granted.

    Raises:
        OutputError: the folder cannot be made, or nothing can be written there.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / CLAIMS
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        except (OSError, ValueError) as error:
            raise OutputError(unwritable(path, error)) from error

    def __enter__(self) -> "Claims":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release all claims."""
        os.close(self._file)

    def take(self, what: str, *, wait: bool = False) -> bool:
        """Claim an item and return whether this process now holds it.

        Args:
            wait: wait until any other process has released it.
        """
        while not _lock_byte(self._file, _place(what), wait=wait):
            if not wait:
                return False
        return True

    def release(self, what: str) -> None:
        """Release an item for other processes."""
        _unlock_byte(self._file, _place(what))


def _place(what: str) -> int:
    return int.from_bytes(hashlib.sha256(what.encode("utf-8", "surrogatepass")).digest()[:7], "big")


if sys.platform == "win32":
    import msvcrt

    def _lock_byte(file: int, place: int, *, wait: bool) -> bool:
        os.lseek(file, place, os.SEEK_SET)
        try:  # LK_LOCK gives up after ten seconds
            msvcrt.locking(file, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock_byte(file: int, place: int) -> None:
        os.lseek(file, place, os.SEEK_SET)
        with contextlib.suppress(OSError):
            msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock_byte(file: int, place: int, *, wait: bool) -> bool:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, place)
        except OSError as error:
            # Any other error: this file system has no locks.
            return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
        return True

    def _unlock_byte(file: int, place: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.lockf(file, fcntl.LOCK_UN, 1, place)


def unwritable(target: str | os.PathLike[str], error: OSError | ValueError) -> str:
    """The error message for a file that cannot be written."""
    reason = getattr(error, "strerror", None) or str(error)
    return f"cannot write {target}: {reason}; free some space or choose another folder"


@contextlib.contextmanager
def _own_folder(parent: Path) -> Iterator[Path]:
    """A new temporary folder that other processes can see is in use; removed at the end.

    A signal may arrive, or the disk fill up, at any moment while it is made: its unique name is
    chosen first.
    """
    while True:
        folder = parent / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
        lock = FileLock(folder / _LOCK)
        try:
            folder.mkdir(0o700)
            try:
                lock.acquire(timeout=0)
            except Timeout:  # another process took it for a leftover, just before the lock
                continue
            if folder.is_dir():
                yield folder
                return
        finally:
            try:
                shutil.rmtree(folder, ignore_errors=True)
            except BaseException:  # a signal arrived at this very moment
                shutil.rmtree(folder, ignore_errors=True)
                raise
            finally:
                lock.release()
