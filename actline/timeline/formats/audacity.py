"""Audacity label tracks: lines of start, end and label, separated by tabs."""

import re
from collections.abc import Iterator
from pathlib import Path

from actline.errors import PredictionError
from actline.parsing import brief, parse_number
from actline.stored.text import read_text
from actline.timeline import Activity, Timeline
from actline.timeline.formats.format import Format, Results, Use, results_of_one_video
from actline.timeline.formats.written import by_start, one_line

_LINE = re.compile(r"\s*\d+(?:\.\d+)?\t\d+(?:\.\d+)?(?:\t[^\t\r\n]*)?(?:[\r\n]|$)")


def to_audacity(timeline: Timeline) -> str:
    """The activities as a label track."""
    return "".join(
        f"{activity.start:.6f}\t{activity.end:.6f}\t{one_line(activity.label)}\n"
        for activity in by_start(timeline.activities)
    )


def read_audacity(path: Path, use: Use) -> Results:
    """Read labels as activities with confidence 1, of the video the file is named after.

    Raises:
        PredictionError, AnnotationError: a line is not start, end and label.
    """
    text = read_text(path, error=PredictionError, what="labels")
    return results_of_one_video(path, _labels(text, path, use))


def _labels(text: str, path: Path, use: Use) -> Iterator[Activity]:
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        # A line that begins like this holds the frequencies of the previous label.
        if not line.strip() or line.startswith("\\"):
            continue
        where = f"{path}, line {number}"
        cells = line.split("\t")
        if len(cells) < 2:
            raise PredictionError(f"{where}: {brief(line)} is not start, end and label")
        start, end = parse_number(cells[0], where), parse_number(cells[1], where)
        yield Activity(use.label(" ".join(cells[2:]), where), start, end)


FORMAT = Format(
    name="Audacity labels",
    endings=(".txt",),
    recognizes=lambda text: _LINE.match(text) is not None,
    read=read_audacity,
    write=to_audacity,
)
