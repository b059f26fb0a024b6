"""What every command handles: signals, standard output, and our own bugs."""

import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from actline.errors import ActlineError
from actline.plain import plain

# Of sysexits.h: an error within the program itself.
MISTAKE = 70


class StoppedError(KeyboardInterrupt):
    """A signal asked the command to end; it ends as by Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class OutputLostError(BaseException):
    """Standard output takes nothing more: its disk is full, or its reader has gone.

    Not an `Exception`, so that what handles one video's failure lets it through.
    """


def say(text: object, *, error: bool = False) -> None:
    """Print one line on standard output, or on standard error.

    Whatever text of others' files it holds, it stays one line that a terminal shows as it is.
    """
    print(plain(text), file=sys.stderr if error else sys.stdout)


@contextlib.contextmanager
def ending_signals() -> Iterator[None]:
    """While the block runs, SIGTERM and SIGHUP raise `StoppedError`, as Ctrl-C raises its own.

    What the starter has asked to be ignored (as `nohup` does) stays ignored.
    """

    def stop(number: int, frame: object) -> None:
        raise StoppedError(number)

    before = {}
    # Only the main thread of a process may set signal handlers.
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def honest_output() -> Iterator[None]:
    """While the block runs, output that is lost is detected.

    A character that the console lacks is shown by its code. A write that fails raises
    `OutputLostError`, whatever library printed, and nothing more is tried.
    """
    output = sys.stdout
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stdout = _Guarded(output)  # type: ignore[assignment]
    try:
        yield
        sys.stdout.flush()
    except OutputLostError:
        # What the interpreter still flushes when it ends is discarded.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, output.fileno())
            os.close(nowhere)
        raise
    finally:
        sys.stdout = output


class _Guarded:
    """A stream whose failures are `OutputLostError`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            raise OutputLostError(error.strerror or str(error)) from error

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise OutputLostError(error.strerror or str(error)) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def failure(path: Path, error: Exception) -> str:
    """One line: the video, and what went wrong; of an unforeseen error, its kind."""
    if isinstance(error, ActlineError):
        return str(error)
    if isinstance(error, OSError | MemoryError):
        return plain(f"{path}: {type(error).__name__}: {error}")
    return f"{plain(path)}: {kept_traceback(error)}"


def kept_traceback(error: BaseException) -> str:
    """Keep an exception's traceback in a file; one line that says what it is and where the file is.

    For exceptions that are a bug in the program, whatever input caused them.
    """
    told = plain(f"{type(error).__name__}: {error}", longest=300)
    try:
        return f"{told} (a mistake in actline: please report it with {_kept(error)})"
    except OSError as failure:
        return f"{told} (its traceback could not be kept: {failure.strerror})"


def kept_log(error: BaseException) -> str:
    """Keep an exception's traceback in a file; its path, or why it could not be kept."""
    try:
        return str(_kept(error))
    except OSError as failure:
        return f"no file ({failure.strerror})"


def _kept(error: BaseException) -> Path:
    name = f"actline-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    path = Path(tempfile.gettempdir()) / name
    with path.open("a", encoding="utf-8", errors="backslashreplace") as log:
        log.write("".join(traceback.format_exception(error)) + "\n")
    return path
