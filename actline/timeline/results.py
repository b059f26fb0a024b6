"""Results: segments by video as detectors and proposers write them, in whatever form.

The one reader of them, for scoring, pictures and reports. What is wrong in a segment but can be
scored, as an end before its start, is kept as it stands.
"""

import csv
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from actline.errors import AnnotationError, PredictionError
from actline.files import result_files
from actline.parsing import brief, parse_id, parse_name, parse_number, shown_name, video_id_of
from actline.stored.csv_text import from_spreadsheet_safe, header_of, parse_rows, segment_columns
from actline.stored.json_text import stream_json
from actline.stored.limits import lifted, limits
from actline.stored.text import first_text, text_lines
from actline.timeline import Activity
from actline.timeline.columns import SegmentCollector, SegmentColumns

_TABLE = ("video", "label", "start", "end", "confidence")
# `video start end class confidence`
_WORDS = 5


@dataclass(frozen=True)
class Results:
    """Segments by video id, in the order of the file, and durations in seconds where it tells."""

    segments: dict[str, SegmentColumns] = field(default_factory=dict)
    durations: dict[str, float] = field(default_factory=dict)


def read_segments(path: Path, *, labelled: bool = True) -> dict[str, SegmentColumns]:
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
    `video start end class confidence`. All are read segment by segment, and take some 30 bytes of
    memory for each. In a folder, JSON and tables are read, tables only for
    videos that no JSON has; files that are neither are passed over. An id with the ending of a
    video is the id without.

    Args:
        labelled: False takes segments without labels too, as proposals have none.
        scored: False is to show them: segments without scores are taken as 1, and labels are kept
            as they stand, or escaped where they cannot be shown; to be scored they are names, as
            those of annotations.
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
    if size > limits().results_mib << 20:
        raise PredictionError(
            f"{path} has {size >> 20} MiB of results, more than {limits().results_mib}; keep fewer "
            f"segments of each video, or {lifted('results_mib')}"
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


def _read(path: Path, *, labelled: bool, scored: bool, required: bool) -> Results:
    """One file; nothing if it is of no known form and not `required` to be."""
    text = first_text(path, error=PredictionError, what="predictions")
    if text.lstrip()[:1] == "{":
        return _from_json(path, labelled=labelled, scored=scored, required=required)
    if text.lstrip()[:1] == "[":
        if required:
            raise PredictionError(_no_results(path))
        return Results()
    columns = segment_columns(header_of(text))
    if {"video", "start", "end"} <= columns.keys():
        return _from_table(path, columns, labelled=labelled, scored=scored)
    if not required:
        return Results()
    if path.suffix.lower() not in (".csv", ".json"):
        return _from_lines(path)
    raise PredictionError(
        f'{path} holds no predictions: neither JSON with "results" nor a table whose first line is '
        f"{','.join(_TABLE)}"
    )


def _no_results(path: Path) -> str:
    return f'{path} has no "results" of videos; predictions are {{"results": {{ID: [...]}}}}'


def _from_json(path: Path, *, labelled: bool, scored: bool, required: bool) -> Results:
    collector = SegmentCollector()
    videos: dict[str, str] = {}  # ids by the names that the file has
    durations: object = None
    there = False
    for entry in stream_json(path, "results", error=PredictionError, what="predictions"):
        name, value = entry.name, entry.value
        if entry.inside is None:
            there = there or name == "results"
            if name == "results" and not isinstance(value, dict):
                raise PredictionError(_no_results(path))
            if name == "external_data" and isinstance(value, dict):
                durations = value.get("durations")
            continue
        if not entry.goes_on:
            videos[name] = video = parse_id(video_id_of(name), str(path))
            if video in collector:
                raise PredictionError(
                    f"{path}: video {video} appears twice, perhaps with and without an ending; "
                    "keep one"
                )
            collector.open(video)
        if not isinstance(value, list):
            raise PredictionError(f"{path}, video {name}: {brief(value)} is not a list")
        _collect(value, videos[name], collector, path, labelled=labelled, scored=scored)
    if not there and required:
        raise PredictionError(_no_results(path))
    found = Results(collector.segments())
    for name, video in videos.items():
        seconds = durations.get(name) if isinstance(durations, dict) else None
        if seconds is not None:
            found.durations[video] = _duration(seconds, f"{path}, duration of video {name}")
    return found


def _collect(
    entries: list[object],
    video: str,
    collector: SegmentCollector,
    path: Path,
    *,
    labelled: bool,
    scored: bool,
) -> None:
    """Take the segments of a video, at once where all are as they should be."""
    if not _collect_sound(entries, video, collector, labelled=labelled, scored=scored):
        before = collector.count(video)
        for place, entry in enumerate(entries, before + 1):
            segment = _segment(entry, path, video, place, labelled=labelled, scored=scored)
            collector.add(video, segment)


def _collect_sound(
    entries: list[Any], video: str, collector: SegmentCollector, *, labelled: bool, scored: bool
) -> bool:
    """Take segments of usual labels, scores and times; False, and none is taken, for others."""
    try:
        labels = [entry["label"] if labelled else "" for entry in entries]
        scores = [entry["score"] for entry in entries]
        segments = [entry["segment"] for entry in entries]
        starts = [start for start, _ in segments]
        ends = [end for _, end in segments]
        kinds = set(map(type, chain(scores, starts, ends)))
        if not kinds <= {float, int} or not set(map(type, segments)) <= {list}:
            return False
        if labelled and any(
            _label(label, "", scored=scored) != label for label in collector.new(labels)
        ):
            return False
        return collector.extend(video, labels, starts, ends, scores)
    except (AnnotationError, KeyError, OverflowError, TypeError, ValueError):
        return False


def _duration(value: object, where: str) -> float:
    seconds = parse_number(value, where)
    if seconds < 0:
        raise PredictionError(f"{where}: {seconds:g} is negative; give seconds")
    return seconds


def _from_table(path: Path, columns: dict[str, str], *, labelled: bool, scored: bool) -> Results:
    """A table; without a row it is one video without activities, named as the file."""
    needed = ["video", "start", "end", *(["label"] if labelled else [])]
    needed += ["confidence"] if scored else []
    for column in needed:
        if column not in columns:
            raise PredictionError(
                f"{path} has no column {column}; its first line must be {','.join(_TABLE)}"
            )
    collector = SegmentCollector()
    lines = text_lines(path, error=PredictionError, what="predictions")
    ids: dict[str, str] = {}
    try:
        rows = parse_rows(lines, path, [columns[column] for column in needed], stripped=scored)
        for row in rows:
            if row.cells != len(row.header):
                raise PredictionError(f"{row.where}: {row.cells} fields, not {len(row.header)}")
            cells = {column: row[name] for column, name in columns.items()}
            named = cells["video"]
            if named not in ids:
                name = from_spreadsheet_safe(parse_name(named, "video's id", row.where))
                ids[named] = parse_id(video_id_of(name), row.where)
            label = ""
            if "label" in columns and labelled:
                label = from_spreadsheet_safe(cells["label"])
                label = _label(label, row.where, scored=scored)
            start, end = (
                parse_number(cells["start"], row.where),
                parse_number(cells["end"], row.where),
            )
            score = _score(cells["confidence"], row.where) if "confidence" in columns else 1.0
            collector.add(ids[named], Activity(label, start, end, score))
    except csv.Error as error:
        raise PredictionError(f"{path} is not a table ({error})") from error
    if not ids:
        collector.open(parse_id(path.stem, str(path)))
    return Results(collector.segments())


def _from_lines(path: Path) -> Results:
    """A submission to THUMOS-14's toolkit: `video start end class confidence`."""
    collector = SegmentCollector()
    lines = text_lines(path, error=PredictionError, what="predictions")
    for line, words in enumerate((one.rsplit(maxsplit=4) for one in lines), 1):
        if not words:
            continue
        where = f"{path}, line {line}"
        if len(words) != _WORDS:
            raise PredictionError(
                f"{where}: {brief(' '.join(words))} is not a video, start, end, class and "
                "confidence"
            )
        label = parse_name(words[3], "class", where)
        start, end = parse_number(words[1], where), parse_number(words[2], where)
        segment = Activity(label, start, end, _score(words[4], where))
        collector.add(parse_id(video_id_of(words[0]), where), segment)
    return Results(collector.segments())


def _score(given: object, where: str) -> float:
    try:
        return parse_number(given, where)
    except AnnotationError as error:
        raise PredictionError(f"{where}: score {brief(given)} is not a finite number") from error


def _label(given: object, where: str, *, scored: bool) -> str:
    """A name; one that is only to be shown may be empty, and is escaped where it has to be."""
    if scored or not isinstance(given, str):
        return parse_name(given, "label", where)
    return shown_name(given)


def _segment(
    entry: object, path: Path, video: str, place: int, *, labelled: bool, scored: bool
) -> Activity:
    where = f"{path}, video {video}, segment {place}"
    needed = (*(("label",) if labelled else ()), *(("score",) if scored else ()), "segment")
    if not isinstance(entry, dict) or not all(name in entry for name in needed):
        raise PredictionError(f"{where}: {brief(entry)} lacks one of {', '.join(needed)}; add it")
    segment = entry["segment"]
    if not isinstance(segment, list) or len(segment) != 2:
        raise PredictionError(f"{where}: {brief(segment)} is not [start, end] in seconds")
    label = _label(entry["label"], where, scored=scored) if labelled else ""
    start, end = parse_number(segment[0], where), parse_number(segment[1], where)
    return Activity(label, start, end, _score(entry.get("score", 1.0), where))
