"""A table written by hand: CSV with columns video, label, start, end."""

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path

from actline.data.annotations import Annotations
from actline.data.raw import Reading, name_of, number, subset_name
from actline.data.rows import Row, parse_rows
from actline.errors import AnnotationError
from actline.files import written_whole
from actline.spreadsheet import from_spreadsheet_safe, spreadsheet_safe
from actline.timeline import Activity
from actline.video.sampling import VIDEO_SUFFIXES

COLUMNS = ("video", "label", "start", "end")


@dataclass
class _Video:
    """What the rows so far say of one video."""

    subset: str = ""
    duration: float | None = None
    activities: list[Activity] = field(default_factory=list)


def from_table(text: str, path: Path, reading: Reading) -> Annotations:
    """Read `video,label,start,end`, with `subset` and `duration` where the columns are there.

    Times are seconds, minutes:seconds (`1:02.5`) or hours:minutes:seconds. A row without a label
    is a video without activities. Cells may be separated by commas, semicolons or tabs, and have
    a decimal comma where they are not separated by commas. Nobody published this file, so what a
    published one is forgiven is an error here.

    Raises:
        AnnotationError: with the line: a missing column, a time that is not one, negative or not
            before the end, a class that is not listed, or rows that contradict each other.
    """
    videos: dict[str, _Video] = {}
    for row in parse_rows(text, path, COLUMNS):
        video_id = row["video"]
        try:
            if row.cells > len(row.header) and any(row.values[len(row.header) :]):
                raise AnnotationError(
                    f"{row.where}: {row.cells} cells for {len(row.header)} columns; "
                    f'put quotation marks around a text with "{row.delimiter}" in it'
                )
            if not video_id:
                raise AnnotationError(f"{row.where}: no video is named; fill the first column")
            video_id = _video_id(name_of(video_id, "video's name", row.where))
            video = videos.setdefault(video_id, _Video())
            _describe(video, row, video_id)
            activity = _activity(row, video_id, reading)
        except AnnotationError as error:
            reading.mistake(video_id, error)
            continue
        if activity is not None:
            video.activities.append(activity)
    tidied = tuple(
        reading.video(
            video_id,
            subset=video.subset or "training",
            duration=video.duration,
            activities=video.activities,
        )
        for video_id, video in videos.items()
    )
    return Annotations(reading.class_names(), tidied, tuple(reading.problems))


def _video_id(given: str) -> str:
    """The name without folder and ending, of `kitchen.mp4`; a name without an ending is an id."""
    given = from_spreadsheet_safe(given)
    file = re.split(r"[\\/]", given)[-1]
    suffix = Path(file).suffix
    if suffix.lower() in VIDEO_SUFFIXES:
        return file.removesuffix(suffix)
    return given


def _describe(video: _Video, row: Row, video_id: str) -> None:
    """Take subset and duration from a row; all rows of a video must agree."""
    if row["subset"]:
        subset = subset_name(from_spreadsheet_safe(name_of(row["subset"], "subset", row.where)))
        if video.subset and subset != video.subset:
            raise AnnotationError(
                f"{row.where}: {video_id} is in subset {subset} here and {video.subset} above"
            )
        video.subset = subset
    if row["duration"]:
        duration = _seconds(row, "duration")
        if duration == 0:
            raise AnnotationError(f"{row.where}: the duration is 0; leave it empty if unknown")
        if video.duration is not None and duration != video.duration:
            raise AnnotationError(
                f"{row.where}: {video_id} lasts {duration:g} s here and {video.duration:g} s above"
            )
        video.duration = duration


def _activity(row: Row, video_id: str, reading: Reading) -> Activity | None:
    if not row["label"]:
        if row["start"] or row["end"]:
            raise AnnotationError(f"{row.where}: times without a label; fill the label")
        return None
    label = from_spreadsheet_safe(name_of(row["label"], "label", row.where))
    label = reading.label(label, video_id, row.where)
    start, end = _seconds(row, "start"), _seconds(row, "end")
    if end <= start:
        mend = "exchange them" if end < start else "an activity lasts longer than nothing"
        raise AnnotationError(
            f"{row.where}: the end ({end:g}) is not after the start ({start:g}); {mend}"
        )
    return Activity(label, start, end)


# Minutes:seconds or hours:minutes:seconds.
_CLOCK = re.compile(r"(?:(\d+):(?=[0-5]?\d:))?(\d+):([0-5]?\d(?:\.\d*)?)")


def _seconds(row: Row, column: str) -> float:
    """The time in a cell, at least 0."""
    text = row[column]
    if not text:
        raise AnnotationError(f"{row.where}: the {column} is empty; give seconds, as in 62.5")
    # Where commas do not separate cells, they separate decimals, as spreadsheets write them.
    plain = text.replace(",", ".") if row.delimiter != "," and "." not in text else text
    if clock := _CLOCK.fullmatch(plain):
        return int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3])
    try:
        value = number(plain, row.where)
    except AnnotationError as error:
        raise AnnotationError(
            f'{row.where}: {column} "{text[:40]}" is not a time; give seconds, as in 62.5, '
            "or 1:02.5"
        ) from error
    if value < 0:
        raise AnnotationError(
            f'{row.where}: {column} "{text[:40]}" is not a time from 0; times count from the '
            "video's first frame"
        )
    return abs(value)  # no negative zero


def write_table(annotations: Annotations, path: Path) -> None:
    """Write all columns; a video without activities gets a row without a label."""
    with written_whole(path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, "subset", "duration"])
        for video in annotations.videos:
            name = spreadsheet_safe(video.id)
            rest = [
                spreadsheet_safe(video.subset),
                "" if video.duration is None else video.duration,
            ]
            for a in video.activities:
                writer.writerow([name, spreadsheet_safe(a.label), a.start, a.end, *rest])
            if not video.activities:
                writer.writerow([name, "", "", "", *rest])
