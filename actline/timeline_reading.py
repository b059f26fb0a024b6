"""Predictions read as timelines: results in any form, and the `.npz` of per-frame scores.

Everything malformed ends in a `PredictionError` that names the file and the place.
"""

import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actline.data.raw import video_id_of
from actline.data.segment_results import Results, read_results
from actline.errors import PredictionError
from actline.files import result_files
from actline.timeline import Activity, FrameScores, Timeline


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
    """All the timelines in a file of predictions: `.npz`, or results as `read_results` reads them.

    A CSV tells no durations: the last end stands for it, and a file without a row is one video
    without activities, named as the file. Activities are those that `actline evaluate` scores, as
    they stand; `shown` is what of them can be drawn.

    Raises:
        PredictionError: the file is missing or malformed.
    """
    path = Path(path)
    if path.suffix.lower() == ".npz":
        return (load_scores(path),)
    if not path.is_file():
        raise PredictionError(f"there is no file {path}")
    return _from_results(read_results(path, scored=False))


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
    # Of one video in a folder below, or of several in one file.
    last = timeline.video.rpartition("/")[2]
    near = [path.with_name(f"{last}.npz"), path.parent / f"{timeline.video}.npz"]
    beside = next((other for other in near if other.is_file()), None)
    if beside is None:
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
    if any(result_files(folder, ending) for ending in (".json", ".csv")):
        results = read_results(folder, scored=False, required=False)
        found = {timeline.video: timeline for timeline in _from_results(results)}
    for path in result_files(folder, ".npz"):
        timeline = load_scores(path)
        other = found.get(timeline.video)
        activities = timeline.activities if other is None else other.activities
        found[timeline.video] = replace(timeline, activities=activities or timeline.activities)
    if not found:
        raise PredictionError(
            f"{folder} has no predictions (.json, .csv or .npz); "
            "name the folder `actline detect` wrote into"
        )
    return tuple(found[video] for video in sorted(found))


def shown(timeline: Timeline) -> Timeline:
    """The part of each activity that lies in the video, to draw; without those that have none.

    Results may hold others: they are scored, as wrong, but are nowhere.
    """
    cut = (
        replace(one, start=max(one.start, 0.0), end=min(one.end, timeline.duration))
        for one in timeline.activities
        if one.start <= one.end
    )
    return replace(timeline, activities=tuple(one for one in cut if one.start <= one.end))


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
            Activity(label, segment[0], segment[1], confidence)
            for label, segment, confidence in zip(
                labels, segments.tolist(), confidences.tolist(), strict=True
            )
        )
    duration = (
        _numbers(path, arrays, "duration", dimensions=0).item()
        if "duration" in arrays
        else float(times[-1])
        if len(times)
        else 0.0
    )
    if duration < 0:
        raise PredictionError(f"{path} has the duration {duration:g}; give seconds from 0")
    video = str(arrays["video"]) if "video" in arrays else video_id_of(path.stem)
    return Timeline(
        video=video,
        duration=duration,
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


def _from_results(results: Results) -> tuple[Timeline, ...]:
    """A timeline a video; without a duration the last end stands for it."""
    timelines = []
    for video, segments in results.segments.items():
        last = max((max(one.start, one.end) for one in segments), default=0.0)
        timelines.append(
            Timeline(
                video=video,
                duration=results.durations.get(video, max(last, 0.0)),
                activities=tuple(sorted(segments, key=lambda one: (one.start, one.end))),
            )
        )
    return tuple(timelines)


def _some(names: Mapping[str, object]) -> str:
    """The first names of several."""
    first = list(names)[:3]
    return ", ".join(first) + (", …" if len(names) > len(first) else "")
