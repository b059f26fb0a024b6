"""One trial: a command with a fault at a point, the same command again, and what is left then."""

import contextlib
import errno
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests.faults.commands import Writing
from tests.faults.shim import ERRORS, POINTS, SIGNALS, Fault, Points, install
from tests.fuzz.kit import Kit

SECONDS = 300


@dataclass(frozen=True)
class End:
    """How a command ended.

    Attributes:
        status: its exit status; negative: the signal that ended it.
        points: how many it passed, where it ended by itself.
        said: on standard output and error.
    """

    status: int
    points: int
    said: str


def run(writing: Writing, kit: Kit, folder: Path, points: Points) -> End:
    """Run a command in a forked process: what it needs is loaded already, whatever ends it."""
    argv = [str(part) for part in writing.argv(kit, folder)]
    log = folder.with_name(f"{folder.name}.log")
    child = os.fork()
    if child == 0:
        status = 70
        try:
            os.setsid()
            with log.open("w", encoding="utf-8") as said:
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
                sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False))
                sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False))
                try:
                    install(points)
                    from actline.cli.main import main

                    signal.alarm(SECONDS)
                    status = main(argv)
                except BaseException:
                    traceback.print_exc()
                with contextlib.suppress(OSError):
                    print(f"points {points.seen}")
                    sys.stdout.flush()
                    sys.stderr.flush()
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    status = os.waitstatus_to_exitcode(ended)
    text = log.read_text(encoding="utf-8", errors="replace")
    _, _, counted = text.rpartition("points ")
    return End(status, int(counted) if counted.strip().isdecimal() else 0, text)


def contents(writing: Writing, folder: Path) -> dict[str, str]:
    """Every file of a folder by its relative name, as a hash, without what varies."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not any(part in name for part in writing.varies):
            found[name] = _digest(path, folder)
    return found


def _digest(path: Path, folder: Path) -> str:
    """A hash of a file's content; of a state its tensors and values, not how they are packed."""
    raw = path.read_bytes().replace(os.fsencode(folder), b"FOLDER")
    if path.suffix == ".pt":
        with contextlib.suppress(Exception):  # a torn one is what its bytes are
            state = torch.load(path, weights_only=True)
            raw = repr(_plain(state)).replace(str(folder), "FOLDER").encode()
    return hashlib.sha256(raw).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return str(value.dtype), value.shape, value.numpy().tobytes()
    if isinstance(value, dict):
        return [(name, _plain(part)) for name, part in value.items()]
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def undisturbed(writing: Writing, kit: Kit, scratch: Path) -> tuple[dict[str, str], int]:
    """What a command leaves when nothing happens, and how many points it passes."""
    folder = _fresh(writing, kit, scratch)
    end = run(writing, kit, folder, Points())
    if end.status:
        raise RuntimeError(f"{writing.name} ended with status {end.status}: {end.said[-500:]}")
    return contents(writing, folder), end.points


def trial(
    writing: Writing, kit: Kit, scratch: Path, *, fault: Fault, at: int, wanted: dict[str, str]
) -> str | None:
    """Let a fault happen, run the command again, and compare; what is wrong, if anything is."""
    folder = _fresh(writing, kit, scratch)
    before = contents(writing, folder)
    end = run(writing, kit, folder, Points(fault, at))
    if fault in ERRORS and at % POINTS:
        problem = _clear(end, ERRORS[fault])
    elif fault in SIGNALS:
        problem = _stopped(end, SIGNALS[fault], folder)
    elif fault == "slow":
        problem = f"status {end.status}" if end.status else None
    else:
        killed = end.status == -signal.SIGKILL
        problem = None if killed or fault in ERRORS else f"was not killed: status {end.status}"
    if problem is not None:
        return problem
    return _afterwards(writing, kit, folder, before, wanted)


def on_small_disk(
    writing: Writing, kit: Kit, scratch: Path, *, share: float, wanted: dict[str, str]
) -> str | None:
    """A command on a file system that has room for a share of what it writes; then for all."""
    folder = _fresh(writing, kit, scratch)
    run(writing, kit, folder, Points())
    # What is written aside lies beside what is there.
    needed = sum(path.stat().st_size + 8192 for path in folder.rglob("*"))
    folder = _fresh(writing, kit, scratch)
    with mounted(folder, writing, kit) as mount:
        before = contents(writing, folder)
        taken = sum(path.stat().st_size + 8192 for path in folder.rglob("*"))
        mount(f"size={int(taken + share * max(0, needed - taken)) // 1024 + 8}k")
        end = run(writing, kit, folder, Points())
        problem = _clear(end, errno.ENOSPC) if end.status else None
        mount("size=64m")
        return problem or _afterwards(writing, kit, folder, before, wanted)


def on_read_only_disk(
    writing: Writing, kit: Kit, scratch: Path, *, wanted: dict[str, str]
) -> str | None:
    """A command on a file system that nothing can be written to; then on it with that mended."""
    folder = _fresh(writing, kit, scratch)
    with mounted(folder, writing, kit) as mount:
        before = contents(writing, folder)
        mount("ro")
        end = run(writing, kit, folder, Points())
        problem = _clear(end, errno.EROFS)
        if problem is None and contents(writing, folder) != before:
            problem = "changed what was there"
        mount("rw")
        return problem or _afterwards(writing, kit, folder, before, wanted)


@contextlib.contextmanager
def mounted(folder: Path, writing: Writing, kit: Kit) -> Iterator[Callable[[str], None]]:
    """A file system in memory at a folder; yields what mounts it again with other options.

    Raises:
        OSError: none can be mounted here.
    """

    def mount(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise OSError(f"cannot mount: {ended.stderr.strip()}")

    mount("size=64m")
    try:
        writing.before(kit, folder)
        yield lambda options: mount(f"remount,{options}")
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _afterwards(
    writing: Writing, kit: Kit, folder: Path, before: dict[str, str], wanted: dict[str, str]
) -> str | None:
    """Run the command again where a fault has been, and compare."""
    halves = _halves(folder, before, wanted, writing)
    if halves:
        return f"left half-written: {', '.join(halves)}"
    again = run(writing, kit, folder, Points())
    if again.status:
        return f"again: status {again.status}: {again.said[-600:]}"
    found = contents(writing, folder)
    if found != wanted:
        lost = sorted(wanted.keys() - found.keys())
        more = sorted(found.keys() - wanted.keys())
        other = sorted(n for n in wanted.keys() & found.keys() if wanted[n] != found[n])
        return f"afterwards: lost {lost}, left over {more}, different {other}"
    return None


def _fresh(writing: Writing, kit: Kit, scratch: Path) -> Path:
    """The folder of all trials of a command: always the same, as paths may be written too."""
    folder = scratch / writing.name.replace(" ", "-").replace(",", "")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    writing.before(kit, folder)
    return folder


def _clear(end: End, number: int) -> str | None:
    """What is not as it should be where a write failed: one clear line and exit status 1."""
    reason = os.strerror(number)
    if end.status == 0:
        return f"with {reason}: success was told"
    if end.status != 1 or "Traceback" in end.said:
        return f"with {reason}: status {end.status}: {end.said[-900:]}"
    lines = [line for line in end.said.splitlines() if line.startswith("actline: ")]
    if not any(reason in line for line in lines):
        return f"with {reason}: no line says so: {end.said[-300:]}"
    return None


def _stopped(end: End, number: signal.Signals, folder: Path) -> str | None:
    """What is not as it should be where a signal asked the command to end, as Ctrl-C does."""
    if "Traceback" in end.said or end.status not in (0, 128 + number, 130):
        return f"with {number.name}: status {end.status}: {end.said[-900:]}"
    left = [path.name for path in folder.rglob(".actline-*.part")]
    return f"with {number.name}: left {left}" if left else None


def _halves(
    folder: Path, before: dict[str, str], wanted: dict[str, str], writing: Writing
) -> list[str]:
    """Files that a reader would take for results and that are neither old nor whole."""
    found = contents(writing, folder)
    # What changes while a command goes on (a training run's state) is looked at by running it.
    growing = ("state.pt", "last.safetensors", "best.safetensors")
    return [
        name
        for name, digest in found.items()
        if not any(part.startswith(".") for part in Path(name).parts)
        and Path(name).name not in growing
        and digest not in (before.get(name), wanted.get(name))
    ]
