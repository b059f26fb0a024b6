"""Tables: CSV with columns video, label, start, end, written by hand or published."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from actline.annotations.annotations import Annotations
from actline.annotations.classes import ClassNames
from actline.annotations.formats import thumos
from actline.annotations.formats.reader import Reader
from actline.annotations.reading import Reading, subset_name
from actline.errors import AnnotationError
from actline.files import written_whole
from actline.parsing import parse_id, parse_name, parse_number, video_ids_of
from actline.stored.csv_text import (
    Row,
    from_spreadsheet_safe,
    header_of,
    parse_rows,
    segment_columns,
    spreadsheet_safe,
)
from actline.timeline import Activity

COLUMNS = ("video", "label", "start", "end")

# In DAPs' tables: the class by its index in the list, and -1 for `Ambiguous`.
_INDEX_COLUMN = "label-idx"


@dataclass
class _Video:
    """What the rows so far say about one video."""

    subset: str = ""
    duration: float | None = None
    activities: list[Activity] = field(default_factory=list)


def _from_table(text: str, path: Path, reading: Reading) -> Annotations:
    """Read `video,label,start,end`, with `subset` and `duration` if these columns are present.

    Times are seconds, minutes:seconds (`1:02.5`) or hours:minutes:seconds. A row without a label
    is a video without activities. Cells may be separated by commas, semicolons or tabs, and may
    have decimal commas if they are not separated by commas. Faults that are accepted in published
    files are errors here, as the user can correct this file.

    The columns may have the names of published tables (G-TAD, AFSD, TSP, DAPs); then segments are
    accepted as listed, as in other published files, and TSP's rows between actions are skipped. For
    THUMOS-14, a missing subset is taken from the id.

    Raises:
        AnnotationError: with the line: a missing column, an invalid or negative time, a start that
            is not before the end, a class that is not listed, or rows that contradict each other.
    """
    columns = segment_columns(header_of(text))
    if not set(COLUMNS) <= columns.keys():
        columns = {column: column for column in (*COLUMNS, "subset", "duration")}
    by_hand = all(columns[column] == column for column in COLUMNS)
    indices = columns["label"].replace("_", "-") == _INDEX_COLUMN
    if indices:
        reading = replace(reading, classes=_counted_from_0(reading.classes, path))
    videos: dict[str, _Video] = {}
    rows = list(parse_rows(text, path, [columns[column] for column in COLUMNS]))
    ids = video_ids_of(from_spreadsheet_safe(row[columns["video"]].strip()) for row in rows)
    for row in rows:
        cell = _Cells(row, columns)
        video_id = cell["video"]
        try:
            if by_hand and row.cells > len(row.header) and any(row.values[len(row.header) :]):
                raise AnnotationError(
                    f"{row.where}: {row.cells} cells for {len(row.header)} columns; "
                    f'put quotation marks around a text with "{row.delimiter}" in it'
                )
            if not video_id:
                raise AnnotationError(
                    f"{row.where}: the video is missing; fill in the first column"
                )
            named = from_spreadsheet_safe(parse_name(video_id, "video's name", row.where))
            video_id = parse_id(ids[named], row.where)
            video = videos.setdefault(video_id, _Video())
            _describe(video, cell, video_id)
            activity = _activity(cell, video_id, reading, by_hand=by_hand)
        except AnnotationError as error:
            reading.mistake(video_id, error)
            continue
        if activity is not None:
            video.activities.append(activity)
    thumos14 = thumos.has_ids(videos)
    tidied = (
        reading.video(
            video_id,
            subset=video.subset or thumos.subset_of_id(video_id) or "training",
            duration=video.duration,
            activities=video.activities,
        )
        for video_id, video in videos.items()
    )
    read = [thumos.set_apart(video) if thumos14 else video for video in tidied]
    return reading.annotations(read)


def _counted_from_0(listed: ClassNames | None, path: Path) -> ClassNames:
    """The classes by index; those of THUMOS-14 if none are listed."""
    names = tuple(sorted(thumos.CLASSES)) if listed is None else listed.names
    source = f"{path.name} (THUMOS-14's)" if listed is None else listed.source
    return ClassNames(names, {index: index for index in range(len(names))}, source)


@dataclass(frozen=True, slots=True)
class _Cells:
    """A row's cells by our column names; empty if the table has no such column."""

    row: Row
    columns: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        name = self.columns.get(column)
        return "" if name is None else self.row[name]

    @property
    def where(self) -> str:
        return self.row.where


def _describe(video: _Video, row: _Cells, video_id: str) -> None:
    """Take subset and duration from a row; all rows of a video must agree."""
    if row["subset"]:
        subset = subset_name(from_spreadsheet_safe(parse_name(row["subset"], "subset", row.where)))
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


def _activity(row: _Cells, video_id: str, reading: Reading, *, by_hand: bool) -> Activity | None:
    if row["region"] and row["region"].lower() != "action":
        return None
    if not row["label"]:
        if row["start"] or row["end"]:
            raise AnnotationError(f"{row.where}: times without a label; fill in the label")
        return None
    label = from_spreadsheet_safe(parse_name(row["label"], "label", row.where))
    index = not by_hand and label == "-1"
    if thumos.subset_of_id(video_id) and (index or label == thumos.AMBIGUOUS):
        label = thumos.AMBIGUOUS
    else:
        label = reading.label(label, video_id, row.where)
    if not by_hand:
        return Activity(
            label, parse_number(row["start"], row.where), parse_number(row["end"], row.where)
        )
    start, end = _seconds(row, "start"), _seconds(row, "end")
    if end <= start:
        fix = "swap them" if end < start else "an activity must have a length"
        raise AnnotationError(
            f"{row.where}: the end ({end:g}) is not after the start ({start:g}); {fix}"
        )
    return Activity(label, start, end)


# Minutes:seconds or hours:minutes:seconds.
_CLOCK = re.compile(r"(?:(\d{1,6}):(?=[0-5]?\d:))?(\d{1,9}):([0-5]?\d(?:\.\d*)?)")


def _seconds(row: _Cells, column: str) -> float:
    """The time in a cell, at least 0."""
    text = row[column]
    if not text:
        raise AnnotationError(f"{row.where}: the {column} is empty; give seconds, as in 62.5")
    # If commas do not separate cells, they are decimal commas, as spreadsheets write them.
    plain = text.replace(",", ".") if row.row.delimiter != "," and "." not in text else text
    if clock := _CLOCK.fullmatch(plain):
        return int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3])
    try:
        value = parse_number(plain, row.where)
    except AnnotationError as error:
        raise AnnotationError(
            f'{row.where}: {column} "{text[:40]}" is not a time; give seconds, as in 62.5, '
            "or 1:02.5"
        ) from error
    if value < 0:
        raise AnnotationError(
            f'{row.where}: {column} "{text[:40]}" is negative; times count from the '
            "video's first frame"
        )
    return abs(value)  # no negative zero


def write_table(annotations: Annotations, path: Path) -> None:
    """Write all columns, with corrected activities: a table is not read with faulty ones.

    A video without activities gets a row without a label.
    """
    with written_whole(path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, "subset", "duration"])
        for video in annotations.videos:
            name = spreadsheet_safe(video.id)
            rest = [
                spreadsheet_safe(video.subset),
                "" if video.duration is None else video.duration,
            ]
            rows = (*video.activities, *video.ambiguous)
            for a in rows:
                writer.writerow([name, spreadsheet_safe(a.label), a.start, a.end, *rest])
            if not rows:
                writer.writerow([name, "", "", "", *rest])


READER = Reader(
    name="table of activities",
    recognizes=lambda given: bool(given.text) and not given.content,
    read=lambda given, reading: _from_table(given.text, given.path, reading),
)
