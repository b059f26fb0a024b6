"""Predictions as `actline detect` writes them, per frame or segments, matched with annotations."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actline.annotations.annotations import Annotations
from actline.annotations.formats import thumos
from actline.errors import PredictionError
from actline.files import result_files
from actline.parsing import annotated_id
from actline.timeline import Activity, FrameScores
from actline.timeline.columns import SegmentColumns
from actline.timeline.formats.frame_scores import load_scores

# Predictions may exceed a video's end by rounding or a last window, not by half of its length.
_TOO_LATE = 1.5
_LONG_SECONDS = 5.0


@dataclass(frozen=True)
class Coverage:
    """Which annotated videos have predictions.

    Attributes:
        annotated: how many videos are annotated.
        missing: ids without predictions.
        short: ids left out for being shorter than the protocol takes.
        unknown: ids of predictions that are not annotated; they are not used.
    """

    annotated: int
    missing: tuple[str, ...]
    short: tuple[str, ...]
    unknown: tuple[str, ...]


def read_scores(path: Path) -> FrameScores:
    """Read one ID.npz of `actline detect`.

    Raises:
        PredictionError: it is damaged, holds objects, or its arrays do not fit each other.
    """
    scores = load_scores(path).scores
    if scores is None or not len(scores.times):
        raise PredictionError(f"{path} has no per-frame scores; make it again")
    return scores


def read_predictions(folder: Path, annotations: Annotations) -> dict[str, FrameScores]:
    """Read a folder's predictions for annotated videos, with the annotations' class order.

    Raises:
        PredictionError: no such folder, nothing in it, or other classes than the annotations'.
    """
    if not folder.is_dir():
        raise PredictionError(f"no predictions folder at {folder}; make one with `actline detect`")
    paths = _score_files(folder)
    if not paths:
        raise PredictionError(f"{folder} holds no predictions (ID.npz); run `actline detect`")
    result: dict[str, FrameScores] = {}
    for name, path in paths.items():
        video = annotated_id(name, annotations)
        if video in result:
            raise PredictionError(f"{path}: video {video} is in another file too; keep one")
        if video is not None:
            result[video] = _in_order(read_scores(path), annotations.classes, str(path))
    if not result:
        raise PredictionError(f"none of the {len(paths)} predictions in {folder} is annotated")
    return result


def frame_scores(given: Mapping[str, object], annotations: Annotations) -> dict[str, FrameScores]:
    """Frame scores of annotated videos, with the annotations' class order.

    Raises:
        PredictionError: a video has none or appears twice, none is annotated, or the classes differ
            from the annotations'.
    """
    result: dict[str, FrameScores] = {}
    for name, scores in given.items():
        video = annotated_id(name, annotations)
        if video is None:
            continue
        if not isinstance(scores, FrameScores) or not len(scores.times):
            raise PredictionError(f"video {name} has no per-frame scores; give a model's that has")
        if video in result:
            raise PredictionError(f"video {video} has predictions under two ids; keep one")
        result[video] = _in_order(scores, annotations.classes, f"video {name}")
    if not result:
        raise PredictionError(f"none of the {len(given)} videos with predictions is annotated")
    return result


def coverage(
    given: Path | Sequence[str],
    annotations: Annotations,
    predictions: Mapping[str, FrameScores],
    *,
    min_seconds: float,
) -> Coverage:
    """Count what is missing, too short or unknown.

    Args:
        given: the predictions' folder, or their videos' ids.
    """
    names = _score_files(given) if isinstance(given, Path) else given
    short = tuple(v.id for v in annotations.videos if (v.duration or np.inf) < min_seconds)
    taken = [v.id for v in annotations.videos if v.id not in set(short)]
    return Coverage(
        annotated=len(annotations.videos),
        missing=tuple(v for v in taken if v not in predictions),
        short=short,
        unknown=tuple(v for v in names if annotated_id(v, annotations) is None),
    )


def _score_files(folder: Path) -> dict[str, Path]:
    """Files of scores by video: its path from the folder, without ending."""
    paths = result_files(folder, ".npz")
    return {path.relative_to(folder).as_posix().removesuffix(".npz"): path for path in paths}


def _in_order(scores: FrameScores, classes: tuple[str, ...], where: str) -> FrameScores:
    if scores.classes == classes:
        return scores
    different = sorted(set(scores.classes) ^ set(classes))
    if different:
        side = "predictions" if different[0] in scores.classes else "annotations"
        raise PredictionError(
            f'{where}: class "{different[0]}" is only in the {side}; '
            "evaluate against the annotations the model was trained with"
        )
    order = [scores.classes.index(name) for name in classes]
    return FrameScores(classes, scores.times, scores.probabilities[:, order])


@dataclass(frozen=True, eq=False)
class Segments:
    """Predicted segments of the videos that are scored, by the annotations' ids.

    Attributes:
        found: segments by video; unknown videos are among them, under their own ids.
        elsewhere: ids of videos that the annotations have, but that are not to be scored, as
            those of other subsets; their segments are not used.
        elsewhere_predictions: how many segments those have.
        unknown: ids of videos that are nowhere in the annotations.
        unknown_predictions: how many segments those have.
        unknown_classes: how many segments there are of each class that is not annotated.
        backward_predictions: how many segments end before they start.
    """

    found: Mapping[str, SegmentColumns] = field(repr=False)
    elsewhere: tuple[str, ...]
    elsewhere_predictions: int
    unknown: tuple[str, ...]
    unknown_predictions: int
    unknown_classes: Mapping[str, int]
    backward_predictions: int


def with_class_names(
    results: Mapping[str, Sequence[Activity]], annotations: Annotations
) -> Mapping[str, Sequence[Activity]]:
    """Results whose labels are numbers, with the names that these stand for.

    Numbers are those of the list of classes, as of Charades or `7 BaseballPitch`, or a class's
    place in a list of bare names, from 0; of THUMOS-14 those of the challenge where none is given.
    Other results are returned as they are.

    Raises:
        PredictionError: there is no list of classes, or most of the numbers are not in it.
    """
    columns = {video: SegmentColumns.of(segments) for video, segments in results.items()}
    labels = set().union(*{id(one.names): one.names for one in columns.values()}.values())
    numbers = {label: _number(label) for label in labels}
    if not labels or labels & set(annotations.classes) or None in numbers.values():
        return results
    names = {number: annotations.classes[i] for number, i in annotations.numbers.items()}
    if not names and annotations.classes and set(annotations.classes) <= thumos.CLASSES:
        names = thumos.NUMBERS
    if not names:
        raise PredictionError(
            f"the predicted classes are numbers, such as {min(labels)}; "
            "give the list of class names"
        )
    known = {label: names[n] for label, n in numbers.items() if n is not None and n in names}
    if 2 * len(known) < len(labels):
        lacking = min(labels - known.keys())
        raise PredictionError(
            f"the predicted classes are numbers, and most, such as {lacking}, are not in the list "
            "of classes; give the list that they refer to"
        )
    renamed: dict[int, tuple[str, ...]] = {}
    for one in columns.values():
        if id(one.names) not in renamed:
            renamed[id(one.names)] = tuple(known.get(name, name) for name in one.names)
    return {video: one.named(renamed[id(one.names)]) for video, one in columns.items()}


def _number(label: str) -> int | None:
    whole = re.fullmatch(r"(\d{1,6})(?:\.0+)?", label)
    return None if whole is None else int(whole[1])


def unit_hint(annotations: Annotations, ends: Mapping[str, float]) -> str | None:
    """What predicted times seem to be where they are not seconds; None where they look sound.

    Args:
        ends: the last time that is predicted, by video id.
    """
    # Where no duration is known, a video may go on well after its last activity.
    lengths = {
        video.id: video.duration or 4 * max((a.end for a in video.truth), default=0.0)
        for video in annotations.videos
        if video.id in ends
    }
    parts = [ends[video] / length for video, length in lengths.items() if length > 0]
    if not parts:
        return None
    if float(np.median(parts)) > _TOO_LATE:
        late = sum(part > _TOO_LATE for part in parts)
        return (
            f"the predictions of {late} of {len(parts)} videos end long after the video, at "
            f"{np.median(parts):.1f} times its length (median): they look like frames or "
            "snippets; times must be in seconds"
        )
    if max(ends.values()) <= 1 and float(np.median(list(lengths.values()))) > _LONG_SECONDS:
        return (
            "all predictions end within the first second: they look like fractions of the "
            "video; times must be in seconds"
        )
    return None


def choose_segments(
    results: Mapping[str, Sequence[Activity]],
    annotations: Annotations,
    *,
    elsewhere: Collection[str] = (),
    labelled: bool = True,
) -> Segments:
    """Keep the segments that are to be scored, and count what does not fit the annotations.

    An id with a leading "v_", as ActivityNet's files have, is the id without it. Videos that are
    nowhere in the annotations are kept: their segments are wrong, as in the published evaluators.

    Args:
        annotations: of the videos that are scored.
        elsewhere: ids of further annotated videos, as of other subsets: they are left out.
        labelled: whether classes count.

    Raises:
        PredictionError: none of the videos is annotated, their segments are all of other classes
            or there is none, or a video has two ids.
    """
    found, left, unknown = _sorted_out(results, annotations, frozenset(elsewhere))
    if len(unknown) == len(found):
        raise PredictionError(
            f"none of the {len(results)} videos with predictions is among those to score; "
            "check the annotations and the subset"
        )
    unclassed = _unlisted(found.values(), frozenset(annotations.classes)) if labelled else {}
    total = sum(len(segments) for segments in found.values())
    if not total:
        raise PredictionError("the predictions hold no segment of any video to score")
    if sum(unclassed.values()) == total:
        raise PredictionError(
            f'none of the predicted classes, such as "{next(iter(unclassed))}", is annotated; '
            "give the annotations that the model was trained with"
        )
    return Segments(
        found=found,
        elsewhere=tuple(left),
        elsewhere_predictions=sum(len(results[video]) for video in left),
        unknown=tuple(unknown),
        unknown_predictions=sum(len(results[video]) for video in unknown),
        unknown_classes=unclassed,
        backward_predictions=sum(int((one.end < one.start).sum()) for one in found.values()),
    )


def _sorted_out(
    results: Mapping[str, Sequence[Activity]], annotations: Annotations, others: frozenset[str]
) -> tuple[dict[str, SegmentColumns], list[str], list[str]]:
    """Segments by the annotations' ids, the ids that are elsewhere, and the unknown ids.

    Raises:
        PredictionError: a video has two ids.
    """
    found: dict[str, SegmentColumns] = {}
    left, unknown = [], []
    for given, segments in results.items():
        video = annotated_id(given, annotations)
        if video is None and annotated_id(given, others) is not None:
            left.append(given)
            continue
        if video is None:
            unknown.append(given)
            video = given
        if video in found:
            raise PredictionError(f'video {video} has predictions with "v_" and without; keep one')
        found[video] = SegmentColumns.of(segments)
    return found, left, unknown


def _unlisted(found: Iterable[SegmentColumns], known: frozenset[str]) -> dict[str, int]:
    """How many segments there are of each class that is not known."""
    counts: dict[str, int] = {}
    unlisted: dict[int, NDArray[np.bool_]] = {}  # by the names that a file's videos share
    for segments in found:
        names = segments.names
        if id(names) not in unlisted:
            unlisted[id(names)] = np.array([name not in known for name in names], bool)
        if len(segments):
            wrong = segments.label[unlisted[id(names)][segments.label]]
            for label, count in zip(*np.unique(wrong, return_counts=True), strict=True):
                counts[names[label]] = counts.get(names[label], 0) + int(count)
    return counts
