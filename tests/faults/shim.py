"""Faults in the one function that writes files, `actline.files.written_whole`, at a chosen point.

Every file passes six points: its folder is made, that is locked, the file is made in there, it is
on disk, it is renamed to its place, and the folder is removed. A fault happens before the point
that it is counted at.
"""

import errno
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from filelock import FileLock

from actline import files

POINTS = 6  # of a file that is written whole
Fault = Literal["none", "kill", "tear", "term", "hup", "full", "eio", "slow"]
ERRORS: dict[str, int] = {"full": errno.ENOSPC, "eio": errno.EIO}
SIGNALS: dict[str, signal.Signals] = {"term": signal.SIGTERM, "hup": signal.SIGHUP}


@dataclass
class Points:
    """Counts the points and lets the fault happen at one of them.

    Attributes:
        fault: "kill" ends the process by SIGKILL; "tear" does so with half of the file on disk;
            "term" and "hup" ask it to end; "full" and "eio" let the disk be full, or fail; "slow"
            lets every point take a moment longer.
        at: the number of the point, from 1.
        seen: how many points there were.
    """

    fault: Fault = "none"
    at: int = 0
    seen: int = 0

    def passed(self, written: Path | None = None) -> None:
        self.seen += 1
        if self.fault == "slow":
            time.sleep(0.02)
        if self.seen != self.at:
            return
        if self.fault in ERRORS and self.seen % POINTS:  # which keeps no folder from being removed
            number = ERRORS[self.fault]
            raise OSError(number, os.strerror(number))
        if self.fault in SIGNALS:
            os.kill(os.getpid(), SIGNALS[self.fault])
        # One with a second name has been on disk for long.
        if self.fault == "tear" and written is not None and written.stat().st_nlink == 1:
            os.truncate(written, written.stat().st_size // 2)
        if self.fault in ("kill", "tear"):
            os.kill(os.getpid(), signal.SIGKILL)


def install(points: Points) -> None:
    """Let all writing of this process pass the points."""

    def before(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            points.passed()
            return function(*given, **named)

        return call

    def fsync(handle: int) -> None:
        points.passed(Path(f"/proc/self/fd/{handle}").resolve())
        os.fsync(handle)

    def opened(path: Any, *given: Any, **named: Any) -> int:
        if files._SUFFIX in Path(path).parent.name:
            points.passed()
        return os.open(path, *given, **named)

    def made(self: Path, *given: Any, **named: Any) -> None:
        if (
            self.name.endswith(files._SUFFIX) and "exist_ok" not in named
        ):  # the lock makes sure of it
            points.passed()
        make(self, *given, **named)

    def lock(path: Any) -> FileLock:
        made = FileLock(path)
        made.acquire = before(made.acquire)
        return made

    make, replace = Path.mkdir, Path.replace

    def renamed(self: Path, target: Any) -> Any:
        if files._SUFFIX in self.parent.name:
            points.passed()
        return replace(self, target)

    def rmtree(path: Any, **named: Any) -> None:
        points.passed()
        shutil.rmtree(path, **named)

    files.FileLock = lock  # type: ignore[assignment, misc]
    files.shutil = SimpleNamespace(  # type: ignore[assignment]
        rmtree=rmtree, disk_usage=shutil.disk_usage
    )
    names = {name: getattr(os, name) for name in dir(os) if not name.startswith("__")}
    files.os = SimpleNamespace(  # type: ignore[assignment]
        **{**names, "open": opened, "fsync": fsync}
    )
    Path.mkdir, Path.replace = made, renamed  # type: ignore[method-assign]
