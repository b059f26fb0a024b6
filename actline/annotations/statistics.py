"""Statistics of a data set: counts, durations and how many classes overlap."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.timeline.intervals import merge


@dataclass(frozen=True, eq=False)
class Statistics:
    """Statistics of a data set.

    Attributes:
        subsets: number of videos by subset.
        seconds: duration of each video, (V,).
        lengths: length of each activity in seconds, (A,).
        per_class: number of activities by class name, in the order of the classes.
        class_seconds: total seconds of activities by class name, likewise.
        at_once: fractions of the time during which 0, 1, 2, … classes are active.
    """

    videos: int
    subsets: dict[str, int]
    seconds: NDArray[np.float64]
    lengths: NDArray[np.float64]
    per_class: dict[str, int]
    class_seconds: dict[str, float]
    at_once: NDArray[np.float64]

    @property
    def labels_per_frame(self) -> float:
        """Mean number of classes active at a time."""
        return float(self.at_once @ np.arange(len(self.at_once)))


def statistics(annotations: Annotations, seconds: Sequence[float] | None = None) -> Statistics:
    """Compute the statistics of annotations.

    Args:
        seconds: the videos' durations; by default the annotated ones, or else the end of the last
            activity.
    """
    if seconds is None:
        seconds = [annotated_seconds(video) for video in annotations.videos]
    activities = [a for video in annotations.videos for a in video.activities]
    counts = Counter(a.label for a in activities)
    sums: Counter[str] = Counter()
    for a in activities:
        sums[a.label] += a.duration  # type: ignore[assignment]
    return Statistics(
        videos=len(annotations.videos),
        subsets=dict(Counter(video.subset for video in annotations.videos)),
        seconds=np.array(seconds, np.float64),
        lengths=np.array([a.duration for a in activities]),
        per_class={label: counts[label] for label in annotations.classes},
        class_seconds={label: float(sums[label]) for label in annotations.classes},
        at_once=_at_once(annotations, seconds),
    )


def annotated_seconds(video: AnnotatedVideo) -> float:
    """The annotated duration, or else the end of the last activity."""
    return video.duration or max((a.end for a in video.activities), default=0.0)


def _at_once(annotations: Annotations, seconds: Sequence[float]) -> NDArray[np.float64]:
    """Fractions of all time with 0, 1, 2, … active classes, by sweeping over starts and ends."""
    time_with = np.zeros(len(annotations.classes) + 1)
    for video, duration in zip(annotations.videos, seconds, strict=True):
        borders: list[tuple[float, int]] = []
        by_class: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for a in video.activities:
            by_class[a.label].append((a.start, a.end))
        for segments in by_class.values():
            for start, end in merge(segments):
                if start < duration:
                    borders += [(start, 1), (min(end, duration), -1)]
        now, on = 0.0, 0
        for time, change in [*sorted(borders), (duration, 0)]:
            time_with[on] += time - now
            now, on = time, on + change
    most = int(np.max(np.nonzero(time_with)[0], initial=0))
    return time_with[: most + 1] / max(time_with.sum(), 1e-9)
