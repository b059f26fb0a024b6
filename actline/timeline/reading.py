"""Predictions read as timelines: results in any form, and the `.npz` of per-frame scores.

Everything malformed ends in a `PredictionError` that names the file and the place.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actline.errors import AnnotationError, OutputError, PredictionError
from actline.files import result_files
from actline.names import output_path
from actline.parsing import parse_id, shown_name, video_id_of
from actline.stored.npz import read_npz
from actline.timeline import Activity, FrameScores, Timeline
from actline.timeline.results import Results, read_results


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
    return tuple(open_timelines(path).values())


def open_timelines(path: str | os.PathLike[str]) -> Mapping[str, Timeline]:
    """The timelines of a file of predictions or a folder of them, by video, made when asked for.

    Of hundreds of megabytes of results, or thousands of files of scores, a few are looked at.

    Raises:
        PredictionError: as `load_timelines` and `load_folder`; of a video's scores when it is asked
            for.
    """
    path = Path(path)
    if path.is_dir():
        return _Opened(*_in_folder(path))
    if path.suffix.lower() == ".npz":
        return _Opened(Results(), {load_scores(path).video: path})
    if not path.is_file():
        raise PredictionError(
            f"there is no folder or file {path}; name what `actline detect` wrote"
        )
    return _Opened(read_results(path, scored=False), {})


class _Opened(Mapping[str, Timeline]):
    """Timelines of results, completed by files of scores."""

    def __init__(self, results: Results, scores: Mapping[str, Path]) -> None:
        self._results, self._scores = results, scores
        self._videos = dict.fromkeys((*results.segments, *scores))

    def __getitem__(self, video: str) -> Timeline:
        if video not in self._videos:
            raise KeyError(video)
        stored = load_scores(self._scores[video]) if video in self._scores else None
        if video not in self._results.segments:
            assert stored is not None
            return replace(stored, video=video)
        segments = self._results.segments[video]
        activities = tuple(sorted(segments, key=lambda one: (one.start, one.end)))
        if stored is not None:
            return replace(stored, video=video, activities=activities or stored.activities)
        # Without a duration the last end stands for it.
        last = max((max(one.start, one.end) for one in activities), default=0.0)
        duration = self._results.durations.get(video, max(last, 0.0))
        return Timeline(video=video, duration=duration, activities=activities)

    def __contains__(self, video: object) -> bool:
        return video in self._videos  # that of `Mapping` would read it

    def __iter__(self) -> Iterator[str]:
        return iter(self._videos)

    def __len__(self) -> int:
        return len(self._videos)


def _in_folder(folder: Path) -> tuple[Results, dict[str, Path]]:
    """What a folder has: results, and files of scores by the video that each tells."""
    results, scores = Results(), {}
    if any(result_files(folder, ending) for ending in (".json", ".csv")):
        results = read_results(folder, scored=False, required=False)
    for path in result_files(folder, ".npz"):
        named = read_npz(path, error=PredictionError, what="scores", only=("video",))
        scores[_video(path, named)] = path
    if not results.segments and not scores:
        raise PredictionError(
            f"{folder} has no predictions (.json, .csv or .npz); "
            "name the folder `actline detect` wrote into"
        )
    return results, scores


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
    # An id that cannot be a file's name has no file.
    beside = None
    with contextlib.suppress(OutputError, OSError):
        last = timeline.video.rpartition("/")[2]
        near = [output_path(path.parent, name, ".npz") for name in (last, timeline.video)]
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
    found = open_timelines(folder)
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
    arrays = read_npz(path, error=PredictionError, what="scores")
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
    return Timeline(
        video=_video(path, arrays),
        duration=duration,
        activities=activities,
        scores=FrameScores(classes, times, probabilities.astype(np.float32)) if classes else None,
        sampled=sampled if sampled is not None and len(sampled) else None,
    )


def _video(path: Path, arrays: Mapping[str, NDArray[Any]]) -> str:
    """The id that a file of scores tells; the file's name where it tells none."""
    given: object = video_id_of(path.stem)
    if "video" in arrays:
        array = arrays["video"]
        given = array.item() if array.dtype.kind == "U" and array.ndim == 0 else array.tolist()
    try:
        return parse_id(given, str(path)) if isinstance(given, str) else parse_id(None, str(path))
    except AnnotationError as error:
        raise PredictionError(str(error)) from error


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
    return tuple(shown_name(str(text)) for text in array)


def _some(names: Mapping[str, object]) -> str:
    """The first names of several."""
    first = list(names)[:3]
    return ", ".join(first) + (", …" if len(names) > len(first) else "")
