"""Writing of times, scores and labels, shared by all formats."""

from collections.abc import Collection, Iterable

from actline.plain import plain
from actline.timeline import Activity


def by_start(activities: Iterable[Activity]) -> list[Activity]:
    """Sort by start, then by end."""
    return sorted(activities, key=lambda activity: (activity.start, activity.end))


def rounded_seconds(value: float) -> float:
    """Round to the microsecond: no video needs more, and 0.1 + 0.2 is written as 0.3."""
    return round(float(value), 6)


def rounded_score(value: float) -> float:
    """Round to nine significant digits, enough for a float32, so that no ranking changes."""
    return float(f"{value:.9g}")


def milliseconds(activity: Activity) -> tuple[int, int]:
    """Start and end in whole milliseconds from 0, at least one apart."""
    start = max(0, round(activity.start * 1000))
    return start, max(start + 1, round(activity.end * 1000))


def one_line(text: str) -> str:
    """Collapse line breaks and white space, as a line break ends a label in some formats."""
    return printable(" ".join(text.split()))


def printable(text: str, *, keep: Collection[str] = "") -> str:
    """Escape characters that XML and text tracks do not allow, or that reorder text."""
    return "".join(character if character in keep else plain(character) for character in text)
