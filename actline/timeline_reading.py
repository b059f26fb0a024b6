"""Predictions read back: JSON, CSV and `.npz`, as `actline.timeline_formats` writes them.

Everything malformed ends in a `PredictionError` that names the file and the place.
"""

import csv
import io
import json
import math
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actline.errors import PredictionError
from actline.spreadsheet import from_spreadsheet_safe
from actline.timeline import Activity, FrameScores, Timeline

_COLUMNS = ("video", "label", "start", "end", "confidence")


def load_timeline(path: str | os.PathLike[str], *, video: str | None = None) -> Timeline:
    """The timeline in a `.json`, `.csv` or `.npz` file of predictions.

    Args:
        video: which one, for a file that holds several.

    Raises:
        PredictionError: the file is missing, malformed, or holds several videos and none is named.
    """
    timelines = {timeline.video: timeline for timeline in load_timelines(path)}
    if video is not None:
        if video not in timelines:
            raise PredictionError(f'{path} has no video "{video}"; it has {_some(timelines)}')
        return timelines[video]
    if len(timelines) != 1:
        raise PredictionError(
            f"{path} holds {len(timelines)} videos ({_some(timelines)}); name one of them"
        )
    return next(iter(timelines.values()))


def load_timelines(path: str | os.PathLike[str]) -> tuple[Timeline, ...]:
    """All the timelines in a `.json`, `.csv` or `.npz` file of predictions.

    A CSV tells no durations: the last end stands for it, and a file without a row is one video
    without activities, named as the file.

    Raises:
        PredictionError: the file is missing or malformed.
    """
    path = Path(path)
    match path.suffix.lower():
        case ".json":
            return _from_json(path)
        case ".csv":
            return _from_csv(path)
        case ".npz":
            return (load_scores(path),)
        case ending:
            raise PredictionError(
                f"{path} is no predictions file: its ending is "
                f"{ending or 'missing'}, not .json, .csv or .npz"
            )


def load_with_scores(path: str | os.PathLike[str], *, video: str | None = None) -> Timeline:
    """`load_timeline`, completed by what lies beside: scores in `.npz`, activities in `.json`.

    Raises:
        PredictionError: as `load_timeline`, or a file beside it is malformed.
    """
    path = Path(path)
    timeline = load_timeline(path, video=video)
    if path.suffix.lower() == ".npz":
        beside = path.with_suffix(".json")
        if timeline.activities or not beside.exists():
            return timeline
        return replace(timeline, activities=load_timeline(beside, video=timeline.video).activities)
    beside = path.with_name(f"{timeline.video}.npz")
    if not beside.exists():
        return timeline
    return replace(load_scores(beside), video=timeline.video, activities=timeline.activities)


def load_folder(folder: str | os.PathLike[str]) -> tuple[Timeline, ...]:
    """What `actline detect` wrote into a folder, by video id: activities and scores together.

    Activities come from `ID.json`, or `ID.csv` where there is none; scores from `ID.npz`.

    Raises:
        PredictionError: the folder is missing or empty of predictions, or a file is malformed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PredictionError(f"{folder} is no folder; name the one `actline detect` wrote into")
    found: dict[str, Timeline] = {}
    for ending in (".csv", ".json", ".npz"):
        for path in sorted(folder.glob(f"*{ending}")):
            if ending == ".json" and not _holds_predictions(path):
                continue
            for timeline in load_timelines(path):
                other = found.get(timeline.video)
                if ending == ".npz" and other is not None:
                    found[timeline.video] = replace(
                        timeline, activities=other.activities or timeline.activities
                    )
                else:
                    found[timeline.video] = timeline
    if not found:
        raise PredictionError(
            f"{folder} has no predictions (.json, .csv or .npz); "
            "name the folder `actline detect` wrote into"
        )
    return tuple(found[video] for video in sorted(found))


def load_scores(path: str | os.PathLike[str]) -> Timeline:
    """The timeline in a `.npz` file: per-frame scores, sampled times and the activities.

    Raises:
        PredictionError: the file is missing or damaged, lacks an array, or an array has a wrong
            shape or type; pickled objects are never read.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except FileNotFoundError as error:
        raise PredictionError(f"there is no {path}") from error
    except (
        OSError,
        EOFError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        MemoryError,
        AttributeError,  # a lone .npy under the name has no files
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise PredictionError(
            f"{path} is no .npz file of scores, or is damaged; run `actline detect` again"
        ) from error
    return _from_arrays(path, arrays)


def _from_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Timeline:
    missing = [name for name in ("times", "probabilities", "classes") if name not in arrays]
    if missing:
        raise PredictionError(
            f"{path} lacks the array {missing[0]}; it has {_some(arrays) or 'none'}"
        )
    times = _numbers(path, arrays, "times", dimensions=1)
    probabilities = _numbers(path, arrays, "probabilities", dimensions=2)
    classes = _texts(path, arrays, "classes")
    if probabilities.shape != (len(times), len(classes)):
        raise PredictionError(
            f"{path} has probabilities of shape {probabilities.shape}, "
            f"but {len(times)} times and {len(classes)} classes"
        )
    if np.any(np.diff(times) < 0):
        raise PredictionError(f"{path} has times that do not increase")
    sampled = _numbers(path, arrays, "sampled", dimensions=1) if "sampled" in arrays else None
    labels = _texts(path, arrays, "labels") if "labels" in arrays else ()
    activities = ()
    if labels:
        segments = _numbers(path, arrays, "segments", dimensions=2)
        confidences = _numbers(path, arrays, "confidences", dimensions=1)
        if segments.shape != (len(labels), 2) or len(confidences) != len(labels):
            raise PredictionError(
                f"{path} has {len(labels)} labels, but segments of shape {segments.shape} "
                f"and {len(confidences)} confidences"
            )
        activities = tuple(
            _activity(f"{path}, activity {number}", label, segment, confidence)
            for number, (label, segment, confidence) in enumerate(
                zip(labels, segments.tolist(), confidences.tolist(), strict=True), start=1
            )
        )
    duration = (
        _numbers(path, arrays, "duration", dimensions=0).item()
        if "duration" in arrays
        else float(times[-1])
        if len(times)
        else 0.0
    )
    video = str(arrays["video"]) if "video" in arrays else path.stem
    return Timeline(
        video=video,
        duration=_duration(path, duration),
        activities=activities,
        scores=FrameScores(classes, times, probabilities.astype(np.float32)) if classes else None,
        sampled=sampled if sampled is not None and len(sampled) else None,
    )


def _numbers(
    path: Path, arrays: Mapping[str, NDArray[Any]], name: str, *, dimensions: int
) -> NDArray[np.float64]:
    if name not in arrays:
        raise PredictionError(f"{path} lacks the array {name}")
    array = arrays[name]
    if array.dtype.kind not in "fiu" or array.ndim != dimensions:
        raise PredictionError(
            f"{path} has {name} of type {array.dtype} and shape {array.shape}, "
            f"not numbers in {dimensions} dimensions"
        )
    if not np.isfinite(array).all():
        raise PredictionError(f"{path} has {name} that are not finite")
    return array.astype(np.float64)


def _texts(path: Path, arrays: Mapping[str, NDArray[Any]], name: str) -> tuple[str, ...]:
    array = arrays[name]
    # An empty list of names may have been saved with any type.
    if array.ndim != 1 or (array.dtype.kind != "U" and array.size):
        raise PredictionError(
            f"{path} has {name} of type {array.dtype} and shape {array.shape}, not a list of names"
        )
    return tuple(str(text) for text in array)


def _from_json(path: Path) -> tuple[Timeline, ...]:
    document = _parsed(path)
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, dict):
        raise PredictionError(
            f'{path} has no "results" of videos; predictions are {{"results": {{ID: [...]}}}}'
        )
    external = document.get("external_data")
    durations = external.get("durations") if isinstance(external, dict) else None
    durations = durations if isinstance(durations, dict) else {}
    timelines = []
    for video, entries in results.items():
        if not isinstance(entries, list):
            raise PredictionError(f'{path} has no list of activities for video "{video}"')
        activities = tuple(
            _json_activity(f'{path}, video "{video}", activity {number}', entry)
            for number, entry in enumerate(entries, start=1)
        )
        timelines.append(_timeline(path, video, activities, durations.get(video)))
    return tuple(timelines)


def _json_activity(where: str, entry: object) -> Activity:
    if not isinstance(entry, dict):
        raise PredictionError(f'{where}: not {{"label", "score", "segment"}}')
    label, segment = entry.get("label"), entry.get("segment")
    if not isinstance(label, str):
        raise PredictionError(f'{where}: no "label"')
    if not isinstance(segment, list) or len(segment) != 2:
        raise PredictionError(f'{where}: "segment" is not [start, end] in seconds')
    return _activity(where, label, segment, entry.get("score", 1.0))


def _from_csv(path: Path) -> tuple[Timeline, ...]:
    reader = csv.reader(io.StringIO(_text(path).removeprefix("\ufeff"), newline=""), strict=True)
    by_video: dict[str, list[Activity]] = {}
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        missing = [name for name in _COLUMNS[:4] if name not in header]
        if missing:
            raise PredictionError(
                f"{path} has no column {missing[0]}; its first line must be {','.join(_COLUMNS)}"
            )
        for row in reader:
            if not row:
                continue
            where = f"{path}, line {reader.line_num}"
            if len(row) != len(header):
                raise PredictionError(f"{where}: {len(row)} fields, not {len(header)}")
            cells = dict(zip(header, row, strict=True))
            activity = _activity(
                where,
                from_spreadsheet_safe(cells["label"]),
                (cells["start"], cells["end"]),
                cells.get("confidence", 1.0),
            )
            by_video.setdefault(from_spreadsheet_safe(cells["video"]), []).append(activity)
    except csv.Error as error:
        raise PredictionError(f"{path}, line {reader.line_num}: {error}") from error
    if not by_video:
        by_video[path.stem] = []
    return tuple(
        _timeline(path, video, tuple(activities), None) for video, activities in by_video.items()
    )


def _timeline(
    path: Path, video: str, activities: tuple[Activity, ...], duration: object
) -> Timeline:
    last = max((activity.end for activity in activities), default=0.0)
    return Timeline(
        video=video,
        duration=last if duration is None else _duration(path, duration),
        activities=tuple(sorted(activities, key=lambda activity: (activity.start, activity.end))),
    )


def _activity(where: str, label: str, segment: Sequence[object], confidence: object) -> Activity:
    start, end = (_number(time) for time in segment)
    score = _number(confidence)
    if start is None or end is None:
        given = " to ".join(f"{time!r:.40}" for time in segment)
        raise PredictionError(f"{where}: {given} are not times in seconds")
    if score is None:
        raise PredictionError(f"{where}: the confidence {confidence!r:.40} is not a number")
    if start < 0 or end < start:
        what = "starts before the video" if start < 0 else "ends before it starts"
        raise PredictionError(f"{where}: {start:g} s to {end:g} s {what}")
    return Activity(label, start, end, score)


def _duration(path: Path, value: object) -> float:
    seconds = _number(value)
    if seconds is None or seconds < 0:
        raise PredictionError(
            f"{path} has the duration {value!r:.40}, which is no number of seconds"
        )
    return seconds


def _number(value: object) -> float | None:
    """A finite number, or None."""
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _holds_predictions(path: Path) -> bool:
    """Whether a JSON file in a folder is meant as predictions: the folder may hold results too."""
    document = _parsed(path)
    return isinstance(document, dict) and "results" in document


def _parsed(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise PredictionError(f"{path} is no valid JSON: {error}") from error


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise PredictionError(f"there is no {path}") from error
    except OSError as error:
        raise PredictionError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise PredictionError(f"{path} is not text in UTF-8") from error


def _some(names: Mapping[str, object]) -> str:
    """The first names of several."""
    first = list(names)[:3]
    return ", ".join(first) + (", …" if len(names) > len(first) else "")
