"""Time and peak memory of a command, run in a process of its own."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One line of the table: what was done to what, in seconds and MiB."""

    command: str
    on: str
    seconds: float
    mebibytes: float


def measured(on: str, *command: object, statuses: tuple[int, ...] = (0,)) -> Row:
    """Run `actline COMMAND`; its memory is that of the process at its peak, libraries included.

    Args:
        on: what it works on, for the table.
        statuses: the exit statuses it may end with.

    Raises:
        RuntimeError: it ended otherwise.
    """
    argv = [sys.executable, "-m", "actline.cli.main", *map(str, command)]
    begin = time.perf_counter()
    process = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begin
    if process.returncode not in statuses:
        raise RuntimeError(f"{argv[2:]} ended with {process.returncode}: {said[-500:]!r}")
    unit = 1 if sys.platform == "darwin" else 1024
    shown = " ".join(p.name if isinstance(p, Path) else str(p) for p in command)
    return Row(shown, on, seconds, used.ru_maxrss * unit / 2**20)


def table(rows: list[Row]) -> str:
    """Rows of Markdown."""
    lines = ["| command | on | time | peak memory |", "|---|---|---|---|"]
    for row in rows:
        lines.append(
            f"| `{row.command}` | {row.on} | {row.seconds:.1f} s | {row.mebibytes:.0f} MiB |"
        )
    return "\n".join(lines)
