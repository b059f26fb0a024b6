"""How times, scores and labels are written, the same in every format."""

from collections.abc import Collection, Iterable

from actline.plain import plain
from actline.timeline import Activity


def by_start(activities: Iterable[Activity]) -> list[Activity]:
    """By start, then by end."""
    return sorted(activities, key=lambda activity: (activity.start, activity.end))


def rounded_seconds(value: float) -> float:
    """To the microsecond: no video needs more, and 0.1 + 0.2 reads as 0.3."""
    return round(float(value), 6)


def rounded_score(value: float) -> float:
    """To nine significant digits: what a float32 holds, so that no ranking changes."""
    return float(f"{value:.9g}")


def milliseconds(activity: Activity) -> tuple[int, int]:
    """Start and end in whole milliseconds from 0, at least one apart."""
    start = max(0, round(activity.start * 1000))
    return start, max(start + 1, round(activity.end * 1000))


def one_line(text: str) -> str:
    """Line breaks and runs of white space become one space: some formats end at a line's end."""
    return printable(" ".join(text.split()))


def printable(text: str, *, keep: Collection[str] = "") -> str:
    """Characters that XML 1.0 and text tracks do not allow, or that turn text around, escaped."""
    return "".join(character if character in keep else plain(character) for character in text)
