"""Progress of long work: a bar with the time left, silent when not on a terminal."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from actline.plain import plain

# Maximum length of a note: names may be long, and the bar is one line.
_LONGEST_NOTE = 60

Advance = Callable[..., None]
"""`advance(amount=1, note="")`: advance the bar and replace the note after it."""


@contextlib.contextmanager
def progress(
    what: str, total: float | None = None, *, unit: str = "", show: bool = True
) -> Iterator[Advance]:
    """Show a bar titled `what` on standard error while the block runs.

    Args:
        what: the work, as in "decoding video.mp4".
        total: the amount at which the work is complete; None when it is not known beforehand.
        unit: what is counted, such as "frames"; if given, the speed is shown too.
        show: False shows nothing, as for all but one of several processes.
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
