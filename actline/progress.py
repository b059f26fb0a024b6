"""One progress helper for all long work: a bar with time left, silent when not a terminal."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from actline.plain import plain

# Of a note: names may be of any length, and the bar is one line.
_LONGEST_NOTE = 60

Advance = Callable[..., None]
"""`advance(amount=1, note="")`: move the bar on and replace the note behind it."""


@contextlib.contextmanager
def progress(
    what: str, total: float | None = None, *, unit: str = "", show: bool = True
) -> Iterator[Advance]:
    """Show a bar titled `what` on standard error while the block runs.

    Args:
        what: the work, as in "decoding video.mp4".
        total: how far `advance` counts; None when it is not known beforehand.
        unit: what is counted, such as "frames"; with it the speed is shown too.
        show: False keeps silent, as for all but one of several processes.
    """
    if not show or not sys.stderr.isatty():
        yield lambda amount=1, note="": None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    ]
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(plain(what), total=total, note="", speed="")

        def advance(amount: float = 1, note: str = "") -> None:
            speed = bar.tasks[0].speed
            shown = f"{speed:.1f} {unit}/s" if unit and speed else ""
            bar.update(task, advance=amount, note=plain(note, longest=_LONGEST_NOTE), speed=shown)

        yield advance
