"""One trial: a command with a fault at a point, the same command again, and what is left then."""

import contextlib
import hashlib
import io
import os
import shutil
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from tests.faults.commands import Writing
from tests.faults.shim import POINTS, Fault, Points, install
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
            raw = path.read_bytes().replace(os.fsencode(folder), b"FOLDER")
            found[name] = hashlib.sha256(raw).hexdigest()[:16]
    return found


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
    if fault == "full" and at % POINTS:
        problem = _clear(end)
        if problem is not None:
            return f"with a full disk: {problem}"
    elif fault != "full" and end.status != -signal.SIGKILL:
        return f"was not killed: status {end.status}"
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


def _clear(end: End) -> str | None:
    """What is not as it should be where a write failed: one clear line and exit status 1."""
    if end.status == 0:
        return "success was told"
    if end.status != 1 or "Traceback" in end.said:
        return f"status {end.status}: {end.said[-900:]}"
    lines = [line for line in end.said.splitlines() if line.startswith("actline: ")]
    if not any("No space left on device" in line for line in lines):
        return f"no line says so: {end.said[-300:]}"
    return None


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
