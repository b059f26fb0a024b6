"""The one in-memory form of annotations; every reader returns it, every writer takes it."""

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
        id: the video's name without folder and ending.
        subset: "training", "validation" or "testing", or as the file calls another.
        duration: seconds; None where the file does not tell.
        activities: the true activities to train on, confidence 1: within the video, each once,
            by start.
        ambiguous: segments that may or may not show an activity, in THUMOS-14, as the file lists
            them; their label is not among the classes, and a detection on one counts neither as
            right nor as wrong.
        listed: the true activities as the file lists them, where that is not `activities`.
    """

    id: str
    subset: str
    duration: float | None
    activities: tuple[Activity, ...]
    ambiguous: tuple[Activity, ...] = ()
    listed: tuple[Activity, ...] | None = field(default=None, compare=False, repr=False)

    @property
    def truth(self) -> tuple[Activity, ...]:
        """The true activities to score with: as listed, nothing mended and in that order."""
        return self.activities if self.listed is None else self.listed


class Fault(StrEnum):
    """What can be wrong in an annotation file that is read all the same."""

    ENDS_LATE = "activities that end after their video"
    STARTS_LATE = "activities that start at or after their video's end"
    BACKWARDS = "activities that do not end after their start"
    STARTS_EARLY = "activities that start before their video"
    TWICE = "activities that are there twice"
    DURATION = "videos whose duration is not positive"
    NO_SUBSET = "videos without a subset"
    WRONG_VIDEO = "videos known to be falsely annotated"
    # These two are errors but for `read_annotations(..., strict=False)`.
    UNKNOWN_CLASS = "activities of a class that is not listed"
    MALFORMED = "entries that cannot be understood"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong that a reader found and went on.

    Attributes:
        video: the video's id; empty where none can be told.
        what: in one sentence, with how it was dealt with.
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
        videos: each once.
        problems: what the reader found wrong, and what it did about it in `activities`.
        numbers: index of the class by the number that files call it by, where a list tells.
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
    """A line for each kind of fault: how many, and an example.

    Args:
        mended: tell what was done about the example, which is so for `AnnotatedVideo.activities`.
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

    A frame is inside an activity when start < time < end, both strictly, as in the authors' code.

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
