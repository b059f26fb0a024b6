"""Files appear whole or not at all: written aside, then renamed; and which file is which.

What is written aside lies in a folder of its own, `.actline-XXXX.part`, beside its target, with
a lock that its writer holds. The system releases the lock when the writer dies, however it dies, so
that a later command can tell what a dead one left (and removes it) from what a living one writes.

`Claims` tell processes that work on one folder apart, in the same way.
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
# A folder without its lock was being made when its writer died; making one takes milliseconds.
_STILL_MADE_SECONDS = 600
_END_BYTES = 1 << 16
# Folders in which this process has removed what others left; once each is enough.
_swept: set[Path] = set()


@contextlib.contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path to write to; on success it is renamed onto `path`.

    It has `path`'s name, in a folder of its own, for writers that choose a format by the ending.
    When the block fails it is removed, so that an interrupted or failed write leaves what was
    there; what a killed process left is removed by the next that writes into the folder.

    Raises:
        OutputError: the folder cannot be made or written to, or the disk is full.
    """
    target = Path(path)
    try:
        if "\0" in target.name:
            raise ValueError("its name holds a NUL")
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(0, "a folder has that name")
        sweep_once(target.parent)
    except (OSError, ValueError) as error:  # the latter of a NUL in a path
        raise OutputError(unwritable(target, error)) from error
    try:
        with _own_folder(target.parent) as folder:
            aside = folder / target.name
            # Made here, so that it has the permissions of any new file, whatever writes it.
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
        OutputError: as `written_whole`, or the text holds halves of characters.
    """
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise OutputError(
            f"cannot write {path}: a name holds halves of characters "
            f"({text[error.start : error.end][:10]}); rename it"
        ) from error
    with written_whole(path) as aside:
        aside.write_bytes(encoded)


def result_files(folder: Path, ending: str) -> list[Path]:
    """What `actline detect` wrote into a folder and, for videos in folders below, into such ones.

    Hidden files are passed over, and folders with results of a run of their own.
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
    """`os.walk` however deep folders lie in folders: up to Python 3.11 that one recurses."""
    waiting = [os.fspath(folder)]
    while waiting:
        level = next(os.walk(waiting.pop()), None)
        if level is not None:
            yield level
            path, folders, _ = level
            below = (os.path.join(path, name) for name in reversed(folders))  # noqa: PTH118
            waiting += [one for one in below if not os.path.islink(one)]  # noqa: PTH114


def identity(path: str | os.PathLike[str]) -> dict[str, str | int]:
    """What tells a file from another, and from itself once it has changed.

    Path (links followed), size in bytes, time of the last change in nanoseconds, and a digest of
    its beginning and end; of a folder the sum and the latest of the files in it and below, and a
    digest of all their names, sizes and times: their contents are not read.

    Raises:
        OSError: it is not there, or cannot be looked at.
    """
    real = Path(os.path.realpath(path))
    about = real.stat()
    if not real.is_dir():
        if not real.is_file():  # a pipe would be waited for
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
            except OSError:  # a link that leads nowhere
                inside = os.lstat(os.path.join(folder, name))  # noqa: PTH118
            size += inside.st_size
            latest = max(latest, inside.st_mtime_ns)
            below = os.path.relpath(os.path.join(folder, name), real)  # noqa: PTH118
            told = f"{below}\0{inside.st_size}\0{inside.st_mtime_ns}\0"
            digest.update(told.encode("utf-8", "surrogatepass"))
    return {"path": str(real), "size": size, "time": latest, "files": digest.hexdigest()}


def _ends(path: Path, size: int) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_END_BYTES))
        if size > _END_BYTES:
            file.seek(max(_END_BYTES, size - _END_BYTES))
            digest.update(file.read(_END_BYTES))
    return digest.hexdigest()[:32]


def reserve(path: Path, size: int) -> None:
    """Claim `size` bytes of disk for a file that is to be mapped into memory.

    Writing to a mapped file on a full disk kills the process (SIGBUS); claiming the bytes first
    raises an error instead.

    Raises:
        OSError: the disk has no room for them.
    """
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        elif shutil.disk_usage(path.parent).free < size:
            raise OSError(28, "No space left on device")
        else:
            file.truncate(size)


def sweep_once(folder: Path) -> None:
    """As `sweep`, unless this process has done so: for commands that may have nothing to write."""
    if folder not in _swept:
        sweep(folder)
        _swept.add(folder)


def sweep(folder: Path) -> None:
    """Remove what dead processes were writing in a folder; what living ones write stays."""
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
    """What this process works on in a folder, told to others by locks on its `.actline.lock`.

    Each thing worked on is one byte of that file, locked: the file stays empty, and the system
    releases the locks of a process that dies. Where a file system has no locks (some network ones),
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
        """Release all."""
        os.close(self._file)

    def take(self, what: str, *, wait: bool = False) -> bool:
        """Claim something; whether it is this process's now.

        Args:
            wait: until another process has released it.
        """
        while not _lock_byte(self._file, _place(what), wait=wait):
            if not wait:
                return False
        return True

    def release(self, what: str) -> None:
        """Let others have it."""
        _unlock_byte(self._file, _place(what))


def _place(what: str) -> int:
    return int.from_bytes(hashlib.sha256(what.encode("utf-8", "surrogatepass")).digest()[:7], "big")


if sys.platform == "win32":
    import msvcrt

    def _lock_byte(file: int, place: int, *, wait: bool) -> bool:
        os.lseek(file, place, os.SEEK_SET)
        try:  # it waits for ten seconds
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
            # Whatever else is wrong: here are no locks.
            return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
        return True

    def _unlock_byte(file: int, place: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.lockf(file, fcntl.LOCK_UN, 1, place)


def unwritable(target: str | os.PathLike[str], error: OSError | ValueError) -> str:
    """What to tell of a file that cannot be written."""
    reason = getattr(error, "strerror", None) or str(error)
    return f"cannot write {target}: {reason}; free some space or choose another folder"


@contextlib.contextmanager
def _own_folder(parent: Path) -> Iterator[Path]:
    """A new folder that other processes can tell to be a living one's; removed in the end.

    A signal may come, and the disk be full, at any moment of its making: it has its name, which no
    other has, before it is made.
    """
    while True:
        folder = parent / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
        lock = FileLock(folder / _LOCK)
        try:
            folder.mkdir(0o700)
            try:
                lock.acquire(timeout=0)
            except Timeout:  # another process took it for a dead one's, just before the lock
                continue
            if folder.is_dir():
                yield folder
                return
        finally:
            try:
                shutil.rmtree(folder, ignore_errors=True)
            except BaseException:  # a signal came at this very moment
                shutil.rmtree(folder, ignore_errors=True)
                raise
            finally:
                lock.release()
