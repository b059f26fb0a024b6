"""JSON results in ActivityNet's form, `{"results": {id: [{"label", "score", "segment"}, …]}}`."""

import json
from itertools import chain
from pathlib import Path
from typing import Any

from actline.errors import AnnotationError, PredictionError
from actline.parsing import brief, parse_id, parse_number, video_id_of
from actline.stored.json_text import stream_json
from actline.stored.text import first_text
from actline.timeline import Activity, Timeline
from actline.timeline.columns import SegmentCollector
from actline.timeline.formats.format import ForeignFileError, Format, Results, Use, parse_score
from actline.timeline.formats.written import by_start, rounded_score, rounded_seconds


def to_json(timeline: Timeline) -> str:
    """The activities as results of one video; its duration is in `external_data`."""
    activities = [
        {
            "label": activity.label,
            "score": rounded_score(activity.confidence),
            "segment": [rounded_seconds(activity.start), rounded_seconds(activity.end)],
        }
        for activity in by_start(timeline.activities)
    ]
    document = {
        "version": "actline 1",
        "results": {timeline.video: activities},
        "external_data": {"durations": {timeline.video: rounded_seconds(timeline.duration)}},
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_results_json(path: Path, use: Use) -> Results:
    """Read results of any number of videos, in about 30 bytes of memory per segment.

    Raises:
        ForeignFileError: it is another kind of JSON.
        PredictionError, AnnotationError: it is malformed, or a video appears twice.
    """
    if first_text(path, error=PredictionError, what="predictions").lstrip()[:1] == "[":
        raise _foreign(path)
    collector = SegmentCollector()
    videos: dict[str, str] = {}  # ids by the names used in the file
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
                    f"{path}: video {video} appears twice, perhaps with and without an extension; "
                    "keep one"
                )
            collector.open(video)
        if not isinstance(value, list):
            raise PredictionError(f"{path}, video {name}: {brief(value)} is not a list")
        _collect(value, videos[name], collector, path, use)
    if not there:
        raise _foreign(path)
    found = Results(collector.segments())
    for name, video in videos.items():
        seconds = durations.get(name) if isinstance(durations, dict) else None
        if seconds is not None:
            found.durations[video] = _duration(seconds, f"{path}, duration of video {name}")
    return found


def _foreign(path: Path) -> ForeignFileError:
    return ForeignFileError(_no_results(path))


def _no_results(path: Path) -> str:
    return f'{path} has no "results" of videos; predictions are {{"results": {{ID: [...]}}}}'


def _collect(
    entries: list[object], video: str, collector: SegmentCollector, path: Path, use: Use
) -> None:
    """Collect the segments of a video, all at once if they are valid."""
    if not _collect_sound(entries, video, collector, use):
        before = collector.count(video)
        for place, entry in enumerate(entries, before + 1):
            where = f"{path}, video {video}, segment {place}"
            collector.add(video, _segment(entry, where, use))


def _collect_sound(entries: list[Any], video: str, collector: SegmentCollector, use: Use) -> bool:
    """Collect segments with plain labels, scores and times; if any differ, collect none: False."""
    try:
        labels = [entry["label"] if use.labelled else "" for entry in entries]
        scores = [entry["score"] for entry in entries]
        segments = [entry["segment"] for entry in entries]
        starts = [start for start, _ in segments]
        ends = [end for _, end in segments]
        kinds = set(map(type, chain(scores, starts, ends)))
        if not kinds <= {float, int} or not set(map(type, segments)) <= {list}:
            return False
        if use.labelled and any(use.label(label, "") != label for label in collector.new(labels)):
            return False
        return collector.extend(video, labels, starts, ends, scores)
    except (AnnotationError, KeyError, OverflowError, TypeError, ValueError):
        return False


def _segment(entry: object, where: str, use: Use) -> Activity:
    needed = [
        *(["label"] if use.labelled else []),
        *(["score"] if use.scored else []),
        "segment",
    ]
    if not isinstance(entry, dict) or not all(name in entry for name in needed):
        raise PredictionError(f"{where}: {brief(entry)} lacks one of {', '.join(needed)}; add it")
    segment = entry["segment"]
    if not isinstance(segment, list) or len(segment) != 2:
        raise PredictionError(f"{where}: {brief(segment)} is not [start, end] in seconds")
    label = use.label(entry["label"], where) if use.labelled else ""
    start, end = parse_number(segment[0], where), parse_number(segment[1], where)
    return Activity(label, start, end, parse_score(entry.get("score", 1.0), where))


def _duration(value: object, where: str) -> float:
    seconds = parse_number(value, where)
    if seconds < 0:
        raise PredictionError(f"{where}: {seconds:g} is negative; give seconds")
    return seconds


FORMAT = Format(
    name="JSON results",
    endings=(".json",),
    recognizes=lambda text: text.lstrip()[:1] in ("{", "["),
    read=read_results_json,
    write=to_json,
    role="results",
)
