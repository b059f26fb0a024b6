"""How long the command line and the package take to start."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Row, alternate

HELP_LIMIT = 0.3  # seconds
IMPORT_LIMIT = 0.15


def rows(reference: Path | None, quick: bool) -> list[Row]:
    """`actline --help` and `import actline`, each beside an interpreter that does nothing."""
    _ = reference  # nobody published what this could be compared with
    runs = 1 if quick else 9
    nothing = python("pass")
    return [
        start(
            "actline --help",
            python("from actline.cli.main import main; main(['--help'])"),
            nothing,
            limit=HELP_LIMIT,
            runs=runs,
        ),
        start("import actline", python("import actline"), nothing, limit=IMPORT_LIMIT, runs=runs),
    ]


def python(code: str) -> Callable[[], object]:
    """Run code in an interpreter of its own; it must not import torch."""
    # `main(['--help'])` ends in SystemExit: what follows runs when the interpreter ends.
    guarded = (
        "import atexit, os, sys\n"
        "atexit.register(lambda: 'torch' in sys.modules and os._exit(3))\n" + code
    )
    command = [sys.executable, "-c", guarded]
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def start(
    what: str,
    function: Callable[[], object],
    nothing: Callable[[], object],
    *,
    limit: float,
    runs: int,
) -> Row:
    """Seconds from nothing to the end, the interpreter's own included."""
    seconds, other_seconds = alternate(function, nothing, runs=runs)
    return Row(
        what=what,
        sizes="",
        ours=seconds,
        other=other_seconds,
        other_name="python -c pass",
        target=None,
        note=f"without torch; at most {limit:g} s is the target: "
        + ("met" if seconds <= limit else "missed"),
    )
