"""Tables of segments, `video,label,start,end,confidence`, ours and those of published code."""

import csv
from pathlib import Path

from actline.errors import PredictionError
from actline.parsing import parse_id, parse_name, parse_number, video_id_of
from actline.stored.csv_text import (
    from_spreadsheet_safe,
    header_of,
    parse_rows,
    segment_columns,
    spreadsheet_safe,
)
from actline.stored.text import first_text, text_lines
from actline.timeline import Activity, Timeline
from actline.timeline.columns import SegmentCollector
from actline.timeline.formats.format import ForeignFileError, Format, Results, Use, parse_score
from actline.timeline.formats.written import by_start, rounded_score, rounded_seconds

COLUMNS = ("video", "label", "start", "end", "confidence")


def to_csv(timeline: Timeline) -> str:
    """The activities as a table that spreadsheets open safely.

    Text that a spreadsheet would run as a formula is prefixed with `'`: see `spreadsheet_safe`.
    """
    lines = [",".join(COLUMNS)]
    for activity in by_start(timeline.activities):
        fields = [
            _field(spreadsheet_safe(timeline.video)),
            _field(spreadsheet_safe(activity.label)),
            repr(rounded_seconds(activity.start)),
            repr(rounded_seconds(activity.end)),
            repr(rounded_score(activity.confidence)),
        ]
        lines.append(",".join(fields))
    return "\n".join(lines) + "\n"


def _field(text: str) -> str:
    # Not the csv module's writer: before Python 3.13 it leaves a lone carriage return unquoted
    # unless lines end in one.
    if text.strip() != text or any(character in text for character in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def read_results_csv(path: Path, use: Use) -> Results:
    """Read a table row by row; a table without rows is a video without activities.

    Raises:
        ForeignFileError: it is another kind of table.
        PredictionError, AnnotationError: a column is missing or a row malformed.
    """
    text = first_text(path, error=PredictionError, what="predictions")
    columns = segment_columns(header_of(text))
    if not _is_table(text):
        raise ForeignFileError(
            f'{path} holds no predictions: neither JSON with "results" nor a table whose first '
            f"line is {','.join(COLUMNS)}"
        )
    needed = ["video", "start", "end", *(["label"] if use.labelled else [])]
    needed += ["confidence"] if use.scored else []
    for column in needed:
        if column not in columns:
            raise PredictionError(
                f"{path} has no column {column}; its first line must be {','.join(COLUMNS)}"
            )
    collector = SegmentCollector()
    lines = text_lines(path, error=PredictionError, what="predictions")
    ids: dict[str, str] = {}
    try:
        rows = parse_rows(lines, path, [columns[column] for column in needed], stripped=use.scored)
        for row in rows:
            if row.cells != len(row.header):
                raise PredictionError(f"{row.where}: {row.cells} fields, not {len(row.header)}")
            cells = {column: row[name] for column, name in columns.items()}
            named = cells["video"]
            if named not in ids:
                name = from_spreadsheet_safe(parse_name(named, "video's id", row.where))
                ids[named] = parse_id(video_id_of(name), row.where)
            collector.add(ids[named], _segment(cells, row.where, use))
    except csv.Error as error:
        raise PredictionError(f"{path} is not a table ({error})") from error
    if not ids:
        collector.open(parse_id(path.stem, str(path)))
    return Results(collector.segments())


def _segment(cells: dict[str, str], where: str, use: Use) -> Activity:
    label = ""
    if "label" in cells and use.labelled:
        label = use.label(from_spreadsheet_safe(cells["label"]), where)
    start, end = parse_number(cells["start"], where), parse_number(cells["end"], where)
    score = parse_score(cells["confidence"], where) if "confidence" in cells else 1.0
    return Activity(label, start, end, score)


def _is_table(text: str) -> bool:
    return {"video", "start", "end"} <= segment_columns(header_of(text)).keys()


FORMAT = Format(
    name="table of segments",
    endings=(".csv",),
    recognizes=_is_table,
    read=read_results_csv,
    write=to_csv,
    role="results",
)
