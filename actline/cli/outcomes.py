"""What became of many videos, printed as each is done."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from actline.cli.standard import failure, say

if TYPE_CHECKING:
    from actline.detection.batch import Outcome
    from actline.video.find import Video

T = TypeVar("T")


def print_outcomes(
    outcomes: "Iterable[Outcome[T]]",
    *,
    line: "Callable[[Outcome[T]], str] | None" = None,
    notes: bool = True,
) -> int:
    """Print what fails on standard error, and what is done.

    Args:
        line: what to print for a video that is done; None prints nothing.
        notes: whether to print what is unusual about the time of videos that were read.

    Returns:
        The exit status: 1 when a video failed.
    """
    count = failed = 0
    for outcome in outcomes:
        count += 1
        if outcome.error is not None:
            failed += 1
            warn(failure(outcome.video.path, outcome.error))
        elif outcome.status == "done":
            if line is not None:
                say(line(outcome))
            if notes:
                print_notes(outcome.video)
    if failed:
        warn(f"{failed} of {count} videos failed")
    return 1 if failed else 0


def print_notes(video: "Video") -> None:
    """Print what is unusual about the time of a video that has been read."""
    from actline.video.decode import shown_times

    for note in shown_times(video.path).notes:
        say(f"{video.path.name}: {note}")


def video_name(video: "Video") -> str:
    """A video's id with the ending of its file."""
    return str(Path(video.id).with_name(video.path.name))


def warn(line: str) -> None:
    """Print a line on standard error."""
    say(f"actline: {line}", error=True)
