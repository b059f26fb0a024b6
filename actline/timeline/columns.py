"""Segments of a video as columns, in a sixth of the memory of `Activity` objects."""

import math
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
from numpy.typing import NDArray

from actline.timeline import Activity


class SegmentColumns(Sequence[Activity]):
    """Segments in their given order; each is made into an `Activity` on access.

    Attributes:
        names: labels, shared by the videos of a file.

    Shape:
        label: (N,) indices into `names`, int32; start, end: (N,) seconds; confidence: (N,);
            float64.
    """

    __slots__ = ("confidence", "end", "label", "names", "start")

    def __init__(
        self,
        names: tuple[str, ...],
        label: NDArray[np.int32],
        start: NDArray[np.float64],
        end: NDArray[np.float64],
        confidence: NDArray[np.float64],
    ) -> None:
        self.names = names
        self.label, self.start, self.end, self.confidence = label, start, end, confidence

    @classmethod
    def of(cls, activities: Sequence[Activity]) -> "SegmentColumns":
        """The activities as columns; unchanged if they already are."""
        if isinstance(activities, SegmentColumns):
            return activities
        numbers: dict[str, int] = {}
        label = [numbers.setdefault(one.label, len(numbers)) for one in activities]
        return cls(
            tuple(numbers),
            np.array(label, np.int32),
            np.array([one.start for one in activities], np.float64),
            np.array([one.end for one in activities], np.float64),
            np.array([one.confidence for one in activities], np.float64),
        )

    def named(self, names: tuple[str, ...]) -> "SegmentColumns":
        """The same segments with their labels replaced by `names`, index by index."""
        return SegmentColumns(names, self.label, self.start, self.end, self.confidence)

    def __len__(self) -> int:
        return len(self.start)

    def __iter__(self) -> Iterator[Activity]:
        labels = (self.names[number] for number in self.label.tolist())
        numbers = (self.start.tolist(), self.end.tolist(), self.confidence.tolist())
        return map(Activity, labels, *numbers)

    @overload
    def __getitem__(self, place: int) -> Activity: ...

    @overload
    def __getitem__(self, place: slice) -> "SegmentColumns": ...

    def __getitem__(self, place: int | slice) -> "Activity | SegmentColumns":
        if isinstance(place, slice):
            return SegmentColumns(
                self.names,
                self.label[place],
                self.start[place],
                self.end[place],
                self.confidence[place],
            )
        return Activity(
            self.names[self.label[place]],
            float(self.start[place]),
            float(self.end[place]),
            float(self.confidence[place]),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"SegmentColumns.of({list(self)})"


@dataclass(slots=True)
class _Growing:
    """The columns of a video while it is read."""

    label: array = field(default_factory=lambda: array("i"))
    start: array = field(default_factory=lambda: array("d"))
    end: array = field(default_factory=lambda: array("d"))
    confidence: array = field(default_factory=lambda: array("d"))


class SegmentCollector:
    """Collects the segments of a file, video by video or in any order."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._videos: dict[str, _Growing] = {}

    def __contains__(self, video: str) -> bool:
        return video in self._videos

    def open(self, video: str) -> None:
        """Add the video, even if it has no segments."""
        if video not in self._videos:
            self._videos[video] = _Growing()

    def count(self, video: str) -> int:
        """The number of segments of a video so far."""
        return len(self._videos[video].label)

    def new(self, labels: Iterable[str]) -> set[str]:
        """The labels that have not occurred before."""
        return set(labels) - self._numbers.keys()

    def add(self, video: str, segment: Activity) -> None:
        """Add one segment."""
        self.open(video)
        columns = self._videos[video]
        columns.label.append(self._number(segment.label))
        columns.start.append(segment.start)
        columns.end.append(segment.end)
        columns.confidence.append(segment.confidence)

    def extend(
        self,
        video: str,
        labels: Sequence[str],
        start: Sequence[float],
        end: Sequence[float],
        confidence: Sequence[float],
    ) -> bool:
        """Add segments; if a number is not finite, add none and return False."""
        new = [array("d", column) for column in (start, end, confidence)]
        if not all(math.isfinite(sum(column)) or np.isfinite(column).all() for column in new):
            return False
        self.open(video)
        columns = self._videos[video]
        columns.label.extend(array("i", map(self._number, labels)))
        columns.start.extend(new[0])
        columns.end.extend(new[1])
        columns.confidence.extend(new[2])
        return True

    def segments(self) -> dict[str, SegmentColumns]:
        """All segments by video, in the order in which the videos were added."""
        names = tuple(self._numbers)
        return {
            video: SegmentColumns(
                names,
                np.array(columns.label, np.int32),
                np.array(columns.start, np.float64),
                np.array(columns.end, np.float64),
                np.array(columns.confidence, np.float64),
            )
            for video, columns in self._taken()
        }

    def _taken(self) -> Iterator[tuple[str, _Growing]]:
        """Each video, removed as it is yielded, so that nothing is in memory twice."""
        for video in list(self._videos):
            yield video, self._videos.pop(video)

    def _number(self, label: str) -> int:
        number = self._numbers.get(label)
        if number is None:
            number = self._numbers[sys.intern(label)] = len(self._numbers)
        return number
