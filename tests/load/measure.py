"""Time and peak memory of a command, run in a process of its own."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# The peak that the system tells of a process that has ended includes what its parent had when it
# was started: the process reads its own.
_CHILD = """
import resource, sys
from pathlib import Path
from actline.cli.main import main
status = main(sys.argv[1:])
about = Path("/proc/self/status")
if about.exists():
    fields = dict(line.split(":", 1) for line in about.read_text().splitlines())
    peak = int(fields["VmHWM"].split()[0]) * 1024
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
worked = own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime
print(f"peak {peak} {worked}", file=sys.stderr)
raise SystemExit(status)
"""


@dataclass(frozen=True)
class Row:
    """One line of the table: what was done to what, in seconds and MiB.

    `worked` is the time that processors spent on it, whatever else they had to do meanwhile.
    """

    command: str
    on: str
    seconds: float
    worked: float
    mebibytes: float


def measured(on: str, *command: object, statuses: tuple[int, ...] = (0,)) -> Row:
    """Run `actline COMMAND`; its memory is that of the process at its peak, libraries included.

    Args:
        on: what it works on, for the table.
        statuses: the exit statuses it may end with.

    Raises:
        RuntimeError: it ended otherwise.
    """
    argv = list(map(str, command))
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *argv], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - begin
    said, _, peak = done.stderr.rpartition("peak ")
    if done.returncode not in statuses or not peak:
        raise RuntimeError(f"{argv} ended with {done.returncode}: {said[-500:]!r}")
    shown = " ".join(p.name if isinstance(p, Path) else str(p) for p in command)
    held, worked = peak.split()
    row = Row(shown, on, seconds, float(worked), int(held) / 2**20)
    print(row, file=sys.stderr, flush=True)  # as it goes on: all of it takes an hour
    return row


def table(rows: list[Row]) -> str:
    """Rows of Markdown."""
    lines = ["| command | on | time | processor time | peak memory |", "|---|---|---|---|---|"]
    for row in rows:
        lines.append(
            f"| `{row.command}` | {row.on} | {row.seconds:.1f} s | {row.worked:.1f} s "
            f"| {row.mebibytes:.0f} MiB |"
        )
    return "\n".join(lines)
