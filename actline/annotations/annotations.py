"""Annotations in memory: what every reader returns and every writer takes."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from actline.errors import AnnotationError
from actline.timeline import Activity


@dataclass(frozen=True, slots=True)
class AnnotatedVideo:
    """One video's annotations.

    Attributes:
        id: the video's name without folder and extension.
        subset: "training", "validation" or "testing", or another name as in the file.
        duration: seconds; None if the file does not say.
        activities: ground truth to train on, with confidence 1: cut to the video, without
            duplicates, ordered by start.
        ambiguous: segments that may or may not show an activity, in THUMOS-14, as listed in the
            file; their label is not among the classes, and a detection on one counts as neither
            correct nor wrong.
        listed: ground truth as listed in the file, where that differs from `activities`.
    """

    id: str
    subset: str
    duration: float | None
    activities: tuple[Activity, ...]
    ambiguous: tuple[Activity, ...] = ()
    listed: tuple[Activity, ...] | None = field(default=None, compare=False, repr=False)

    @property
    def truth(self) -> tuple[Activity, ...]:
        """Ground truth to score with: as listed in the file, uncorrected and in that order."""
        return self.activities if self.listed is None else self.listed


class Fault(StrEnum):
    """Faults of an annotation file that do not stop it from being read."""

    ENDS_LATE = "activities that end after their video"
    STARTS_LATE = "activities that start at or after their video's end"
    BACKWARDS = "activities that do not end after their start"
    STARTS_EARLY = "activities that start before their video"
    TWICE = "activities that appear twice"
    DURATION = "videos whose duration is not positive"
    NO_SUBSET = "videos without a subset"
    WRONG_VIDEO = "videos known to be wrongly annotated"
    # These two are errors except with `read_annotations(..., strict=False)`.
    UNKNOWN_CLASS = "activities of a class that is not listed"
    MALFORMED = "entries that cannot be understood"


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault that a reader found without stopping.

    Attributes:
        video: the video's id; empty if unknown.
        what: one sentence on the fault and how it was dealt with.
        faults: all that is wrong with this one activity or entry.
    """

    video: str
    what: str
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class Annotations:
    """A data set's labels: class names in index order, and its videos.

    Attributes:
        classes: names in index order.
        videos: without duplicates.
        problems: faults that the reader found, and what it did about them in `activities`.
        numbers: class index by the number used for the class in files, if a list states it.
    """

    classes: tuple[str, ...]
    videos: tuple[AnnotatedVideo, ...]
    problems: tuple[Problem, ...] = field(default=())
    numbers: Mapping[int, int] = field(default_factory=dict, repr=False)

    def subset(self, *names: str) -> "Annotations":
        """The videos of the named subsets, classes unchanged.

        Raises:
            AnnotationError: none of the videos is in a named subset.
        """
        chosen = tuple(video for video in self.videos if video.subset in names)
        if not chosen:
            present = ", ".join(sorted({video.subset for video in self.videos})) or "none"
            raise AnnotationError(
                f"no video is in subset {' or '.join(names)}; the annotations have: {present}"
            )
        return replace(self, videos=chosen)

    def __getitem__(self, video_id: str) -> AnnotatedVideo:
        return self._by_id[video_id]

    def __contains__(self, video_id: object) -> bool:
        return video_id in self._by_id

    @property
    def _by_id(self) -> dict[str, AnnotatedVideo]:
        index = self.__dict__.get("_index")
        if index is None:
            index = {video.id: video for video in self.videos}
            object.__setattr__(self, "_index", index)
        return index


def summary(problems: Iterable[Problem], *, mended: bool = True) -> tuple[str, ...]:
    """One line for each kind of fault: its count and an example.

    Args:
        mended: say how the example was corrected, as it is in `AnnotatedVideo.activities`.
    """
    counts: Counter[Fault] = Counter()
    examples: dict[Fault, Problem] = {}
    for problem in problems:
        counts.update(problem.faults)
        for fault in problem.faults:
            examples.setdefault(fault, problem)
    lines = []
    for fault, count in counts.items():
        example = examples[fault]
        where = f"{example.video}: {example.what}" if mended else f"in {example.video}"
        lines.append(f"{count} {fault.value}, such as {where}")
    return tuple(lines)


def frame_labels(
    activities: Iterable[Activity], classes: tuple[str, ...], times: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Which classes are active at which times.

    A frame is inside an activity if start < time < end, both strict, as in the authors' code.

    Shape:
        times: (T,) seconds; returns (T, C) of 0 and 1.

    Raises:
        AnnotationError: an activity's label is not among `classes`.
    """
    index = {name: column for column, name in enumerate(classes)}
    labels = np.zeros((len(times), len(classes)), np.float32)
    for activity in activities:
        if activity.label not in index:
            raise AnnotationError(f'class "{activity.label}" is not among the classes')
        inside = (times > activity.start) & (times < activity.end)
        labels[inside, index[activity.label]] = 1
    return labels


def segments_of(video: AnnotatedVideo) -> NDArray[np.float64]:
    """A video's activities as (M, 2) seconds."""
    ends = [(activity.start, activity.end) for activity in video.activities]
    return np.array(ends, np.float64).reshape(-1, 2)


def labels_of(video: AnnotatedVideo, classes: Sequence[str]) -> NDArray[np.int64]:
    """The classes of a video's activities, as places in `classes`: (M,)."""
    places = {name: place for place, name in enumerate(classes)}
    return np.array([places[activity.label] for activity in video.activities], np.int64)
