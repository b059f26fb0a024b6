"""NumPy archives (`.npz`) of per-frame scores, sampled times and activities; no pickles."""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actline.errors import AnnotationError, PredictionError
from actline.parsing import parse_id, shown_name, video_id_of
from actline.stored.npz import read_npz
from actline.timeline import Activity, FrameScores, Timeline
from actline.timeline.formats.format import Format, Results, Use
from actline.timeline.formats.written import by_start


def to_npz(timeline: Timeline) -> bytes:
    """The arrays of the scores, the sampled times and the activities.

    Shape:
        times (T,), probabilities (T, C), classes (C,), sampled (P,), duration () and video ();
        labels (N,), segments (N, 2), confidences (N,). T, C, P and N may be 0.
    """
    scores, activities = timeline.scores, by_start(timeline.activities)
    segments = [(activity.start, activity.end) for activity in activities]
    no_scores = np.zeros((0, 0), np.float32)
    content = io.BytesIO()
    np.savez_compressed(
        content,
        times=np.asarray(() if scores is None else scores.times, np.float64),
        probabilities=no_scores if scores is None else np.asarray(scores.probabilities, np.float32),
        classes=np.array([] if scores is None else scores.classes, dtype=np.str_),
        duration=np.float64(timeline.duration),
        sampled=np.asarray(() if timeline.sampled is None else timeline.sampled, np.float64),
        video=np.str_(timeline.video),
        labels=np.array([activity.label for activity in activities], dtype=np.str_),
        segments=np.array(segments, np.float64).reshape(-1, 2),
        confidences=np.array([activity.confidence for activity in activities], np.float64),
    )
    return content.getvalue()


def video_of_scores(path: Path, use: Use) -> Results:
    """The video of a file of scores; the scores themselves are read on access.

    Raises:
        PredictionError: the file is missing or damaged.
    """
    named = read_npz(path, error=PredictionError, what="scores", only=("video",))
    return Results(frames={_video(path, named): path})


def load_scores(path: str | os.PathLike[str]) -> Timeline:
    """The timeline in a `.npz` file: per-frame scores, sampled times and the activities.

    Raises:
        PredictionError: the file is missing or damaged, or an array is missing or has a wrong shape
            or type; pickled objects are never read.
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
    """The video id in a file of scores, or else the file's name."""
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
    """The first few of several names."""
    first = list(names)[:3]
    return ", ".join(first) + (", …" if len(names) > len(first) else "")


FORMAT = Format(
    name="NumPy archive of scores",
    endings=(".npz",),
    recognizes=lambda text: text.startswith("PK\x03\x04"),
    read=video_of_scores,
    write=to_npz,
    role="frames",
)
