"""Results: segments by video as detectors and proposers write them, in whatever form.

The one reader of them, for scoring, pictures and reports. What is wrong in a segment but can be
scored, as an end before its start, is kept as it stands.
"""

import csv
import json
import math
import sys
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actline.data.raw import name_of, number, parse_json, read_text, shown, video_id_of
from actline.data.rows import header_of, parse_rows, segment_columns
from actline.data.video_scores import MAX_BYTES
from actline.errors import AnnotationError, PredictionError
from actline.files import result_files
from actline.spreadsheet import from_spreadsheet_safe
from actline.timeline import Activity
from actline.video.names import matching_id

_TABLE = ("video", "label", "start", "end", "confidence")
# `video start end class confidence`
_WORDS = 5


@dataclass(frozen=True)
class Results:
    """Segments by video id, in the order of the file, and durations in seconds where it tells."""

    segments: dict[str, list[Activity]] = field(default_factory=dict)
    durations: dict[str, float] = field(default_factory=dict)


def read_segments(path: Path, *, labelled: bool = True) -> dict[str, list[Activity]]:
    """Read segments to be scored, by video: a folder of `actline detect`, or one file of results.

    Args:
        labelled: False takes segments without labels too, as proposals have none.

    Raises:
        PredictionError: as `read_results`, or a segment has no score.
    """
    return read_results(path, labelled=labelled).segments


def read_results(
    path: Path, *, labelled: bool = True, scored: bool = True, required: bool = True
) -> Results:
    """Read segments by video, from a file or a folder of files.

    A file is ActivityNet's, `{"results": {id: [{"label", "score", "segment"}, …]}}`; a table with
    the columns `video,label,start,end,confidence`; or a submission to THUMOS-14's toolkit, lines
    `video start end class confidence`. In a folder, JSON and tables are read, tables only for
    videos that no JSON has; files that are neither are passed over. An id with the ending of a
    video is the id without.

    Args:
        labelled: False takes segments without labels too, as proposals have none.
        scored: False is to show them: segments without scores are taken as 1, and labels are kept
            as they stand; to be scored they are names, as those of annotations.
        required: False gives no results where a folder has none.

    Raises:
        PredictionError: missing, malformed, too large, or without results; a number that is not
            one, or not finite; a video twice.
    """
    if not path.exists():
        raise PredictionError(f"no predictions at {path}; make them with `actline detect`")
    paths = [path]
    if path.is_dir():
        paths = [one for ending in (".json", ".csv") for one in result_files(path, ending)]
        # Of a video that was written as both, the JSON tells all.
        paths = [p for p in paths if p.suffix == ".json" or p.with_suffix(".json") not in paths]
        if not paths and required:
            raise PredictionError(
                f"{path} holds no predictions (ID.json or ID.csv); run `actline detect`"
            )
    size = sum(one.stat().st_size for one in paths if one.is_file())
    if size > MAX_BYTES:
        raise PredictionError(
            f"{path} has {size >> 20} MiB of results, and reading more than {MAX_BYTES >> 20} "
            "would fill the memory; keep fewer segments of each video"
        )
    whole = Results()
    for one in paths:
        try:
            found = _read(one, labelled=labelled, scored=scored, required=one == path)
        except AnnotationError as error:
            raise PredictionError(str(error)) from error
        for video, segments in found.segments.items():
            if video in whole.segments and one.suffix.lower() == ".csv":
                continue
            if video in whole.segments:
                raise PredictionError(f"{one}: video {video} is in another file too; keep one")
            whole.segments[video] = segments
        whole.durations.update(found.durations)
    if not whole.segments and required:
        raise PredictionError(f"{path} holds no results of any video; run `actline detect` again")
    return whole


def annotated_id(video: str, ids: Container[str]) -> str | None:
    """The one of `ids` that means this video, as `matching_id` has it; None for none."""
    return matching_id(video, ids) or matching_id(video_id_of(video), ids)


def _read(path: Path, *, labelled: bool, scored: bool, required: bool) -> Results:
    """One file; nothing if it is of no known form and not `required` to be."""
    text = read_text(path, what="predictions")
    if text.lstrip()[:1] in ("{", "["):
        content = _json(text, path)
        if isinstance(content, dict) and "results" in content:
            return _from_json(content, path, labelled=labelled, scored=scored)
        if required:
            raise PredictionError(
                f'{path} has no "results" of videos; predictions are {{"results": {{ID: [...]}}}}'
            )
        return Results()
    columns = segment_columns(header_of(text))
    if {"video", "start", "end"} <= columns.keys():
        return _from_table(text, path, columns, labelled=labelled, scored=scored)
    if not required:
        return Results()
    if path.suffix.lower() not in (".csv", ".json"):
        return _from_lines(text, path)
    raise PredictionError(
        f'{path} holds no predictions: neither JSON with "results" nor a table whose first line is '
        f"{','.join(_TABLE)}"
    )


def _json(text: str, path: Path) -> Any:
    try:
        return parse_json(text, path)
    except AnnotationError as error:
        cause = error.__cause__
        if isinstance(cause, ValueError | RecursionError) and not isinstance(
            cause, json.JSONDecodeError
        ):
            # A number of thousands of digits, or thousands of brackets.
            raise PredictionError(f"{path} is JSON, but no predictions") from error
        raise


def _from_json(content: dict[str, Any], path: Path, *, labelled: bool, scored: bool) -> Results:
    given = content["results"]
    if not isinstance(given, dict):
        raise PredictionError(
            f'{path} has no "results" of videos; predictions are {{"results": {{ID: [...]}}}}'
        )
    external = content.get("external_data")
    durations = external.get("durations") if isinstance(external, dict) else None
    found = Results()
    for name, entries in given.items():
        video = video_id_of(name_of(name, "video's id", str(path)))
        if video in found.segments:
            raise PredictionError(
                f"{path}: video {video} appears twice, with and without an ending; keep one"
            )
        if not isinstance(entries, list):
            raise PredictionError(f"{path}, video {name}: {shown(entries)} is no list")
        found.segments[video] = [
            _segment(entry, path, name, place, labelled=labelled, scored=scored)
            for place, entry in enumerate(entries, 1)
        ]
        seconds = durations.get(name) if isinstance(durations, dict) else None
        if seconds is not None:
            found.durations[video] = _duration(seconds, f"{path}, duration of video {name}")
    return found


def _duration(value: object, where: str) -> float:
    seconds = number(value, where)
    if seconds < 0:
        raise PredictionError(f"{where}: {seconds:g} is negative; give seconds")
    return seconds


def _from_table(
    text: str, path: Path, columns: dict[str, str], *, labelled: bool, scored: bool
) -> Results:
    """A table; without a row it is one video without activities, named as the file."""
    needed = ["video", "start", "end", *(["label"] if labelled else [])]
    needed += ["confidence"] if scored else []
    for column in needed:
        if column not in columns:
            raise PredictionError(
                f"{path} has no column {column}; its first line must be {','.join(_TABLE)}"
            )
    found = Results()
    try:
        rows = parse_rows(text, path, [columns[column] for column in needed], stripped=scored)
        for row in rows:
            if row.cells != len(row.header):
                raise PredictionError(f"{row.where}: {row.cells} fields, not {len(row.header)}")
            cells = {column: row[name] for column, name in columns.items()}
            named = from_spreadsheet_safe(name_of(cells["video"], "video's id", row.where))
            label = ""
            if "label" in columns and labelled:
                label = from_spreadsheet_safe(cells["label"])
                label = name_of(label, "label", row.where) if scored else label
            start, end = number(cells["start"], row.where), number(cells["end"], row.where)
            score = 1.0
            if "confidence" in columns:
                score = _score(cells["confidence"], row.where)
            segment = Activity(sys.intern(label), start, end, score)
            found.segments.setdefault(video_id_of(named), []).append(segment)
    except csv.Error as error:
        raise PredictionError(f"{path} is not a table ({error})") from error
    if not found.segments:
        found.segments[path.stem] = []
    return found


def _from_lines(text: str, path: Path) -> Results:
    """A submission to THUMOS-14's toolkit: `video start end class confidence`."""
    found = Results()
    for line, words in enumerate((one.rsplit(maxsplit=4) for one in text.splitlines()), 1):
        if not words:
            continue
        where = f"{path}, line {line}"
        if len(words) != _WORDS:
            raise PredictionError(
                f"{where}: {shown(' '.join(words))} is not a video, start, end, class and "
                "confidence"
            )
        label = name_of(words[3], "class", where)
        start, end = number(words[1], where), number(words[2], where)
        segment = Activity(sys.intern(label), start, end, _score(words[4], where))
        video = video_id_of(name_of(words[0], "video's id", where))
        found.segments.setdefault(video, []).append(segment)
    return found


def _score(given: object, where: str) -> float:
    try:
        return number(given, where)
    except AnnotationError as error:
        raise PredictionError(f"{where}: score {shown(given)} is not a finite number") from error


def _segment(
    entry: object, path: Path, video: str, place: int, *, labelled: bool, scored: bool
) -> Activity:
    """One segment; labels are shared between segments, so that many take little memory."""
    match entry if scored else None:
        case {"label": str(label), "score": float(score), "segment": [float(start), float(end)]}:
            if label.strip() and label.isprintable() and math.isfinite(score + start + end):
                return Activity(sys.intern(label.strip()), start, end, score)
    where = f"{path}, video {video}, segment {place}"
    needed = (*(("label",) if labelled else ()), *(("score",) if scored else ()), "segment")
    if not isinstance(entry, dict) or not all(name in entry for name in needed):
        raise PredictionError(f"{where}: {shown(entry)} lacks one of {', '.join(needed)}; add it")
    segment = entry["segment"]
    if not isinstance(segment, list) or len(segment) != 2:
        raise PredictionError(f"{where}: {shown(segment)} is not [start, end] in seconds")
    label = entry["label"] if labelled else ""
    if labelled and (scored or not isinstance(label, str)):
        label = name_of(label, "label", where)
    start, end = number(segment[0], where), number(segment[1], where)
    return Activity(sys.intern(label), start, end, _score(entry.get("score", 1.0), where))
