"""A table written by hand: CSV with columns video, label, start, end."""

import csv
import io
import math
from pathlib import Path

from actline.data.annotations import Annotations
from actline.data.raw import read_text, tidy_video
from actline.errors import AnnotationError
from actline.files import written_whole
from actline.timeline import Activity

COLUMNS = ("video", "label", "start", "end")


def read_table(path: Path, classes: list[str] | None) -> Annotations:
    """Read `video,label,start,end`, with `subset` and `duration` where the columns are there.

    Times are seconds or minutes:seconds (`1:02.5`). A row without a label is a video without
    activities. Columns may be separated by commas, semicolons or tabs.

    Raises:
        AnnotationError: with the line: a missing column, a time that is not one, negative or not
            before the end, or a class that is not among given `classes`.
    """
    text = read_text(path)
    header = text.splitlines()[0]
    delimiter = max(",;\t", key=header.count)
    rows = csv.DictReader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
    for column in COLUMNS:
        if column not in rows.fieldnames:
            raise AnnotationError(
                f"{path}: the first line must name the columns {','.join(COLUMNS)}; "
                f'"{column}" is not among {",".join(rows.fieldnames)}'
            )
    videos: dict[str, tuple[str, float | None, list[Activity]]] = {}
    labels: dict[str, None] = {}
    for row in rows:
        where = f"{path}, line {rows.line_num}"
        name = (row["video"] or "").strip()
        if not name:
            raise AnnotationError(f"{where}: no video is named")
        known = Path(name).stem if Path(name).suffix.lower() in _ENDINGS else name
        length = (row.get("duration") or "").strip()
        duration = _seconds(length, where) if length else None
        subset = (row.get("subset") or "").strip() or "training"
        activities = videos.setdefault(known, (subset, duration, []))[2]
        label = (row["label"] or "").strip()
        if not label:
            continue
        if classes is not None and label not in classes:
            raise AnnotationError(f'{where}: class "{label}" is not among the classes')
        start, end = _seconds(row["start"], where), _seconds(row["end"], where)
        if end <= start:
            raise AnnotationError(
                f"{where}: the end ({end:g}) is not after the start ({start:g}); exchange them"
            )
        labels[label] = None
        activities.append(Activity(label, start, end))
    if not videos:
        raise AnnotationError(f"{path} names no videos; add a line for each activity")
    tidied = [tidy_video(name, *rest) for name, rest in videos.items()]
    return Annotations(
        tuple(classes or sorted(labels)),
        tuple(video for video, _ in tidied),
        tuple(problem for _, found in tidied for problem in found),
    )


def write_table(annotations: Annotations, path: Path) -> None:
    """Write all columns; a video without activities gets a row without a label."""
    with written_whole(path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, "subset", "duration"])
        for video in annotations.videos:
            duration = "" if video.duration is None else video.duration
            for a in video.activities:
                writer.writerow([video.id, a.label, a.start, a.end, video.subset, duration])
            if not video.activities:
                writer.writerow([video.id, "", "", "", video.subset, duration])


_ENDINGS = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".ts")


def _seconds(text: str | None, where: str) -> float:
    parts = (text or "").strip().split(":")
    try:
        values = [float(part) for part in parts]
    except ValueError as error:
        raise AnnotationError(
            f'{where}: "{text or ""}" is not a time; give seconds, as in 62.5, or 1:02.5'
        ) from error
    result = sum(value * 60**power for power, value in enumerate(reversed(values)))
    if not math.isfinite(result) or result < 0:
        raise AnnotationError(f'{where}: "{text}" is not a time from 0; give seconds, as in 62.5')
    return result
