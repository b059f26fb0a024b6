"""The result of every detector: activities in time, and per-frame scores."""

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from actline.errors import OutputError
from actline.timeline.intervals import clip

if TYPE_CHECKING:
    import pandas  # pyright: ignore[reportMissingImports, reportMissingTypeStubs]

_INSTALL_PANDAS = 'pip install "actline[pandas]"'


@dataclass(frozen=True, slots=True)
class Activity:
    """One activity: `label` from `start` to `end`, both in seconds from the video's first frame."""

    label: str
    start: float
    end: float
    confidence: float = 1.0

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.end - self.start


@dataclass(frozen=True, eq=False)
class FrameScores:
    """Probabilities of every class over time.

    Shape:
        times (T,): seconds from the video's first frame, increasing.
        probabilities (T, C): in [0, 1], one column per name in `classes`.
    """

    classes: tuple[str, ...]
    times: NDArray[np.float64]
    probabilities: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Timeline:
    """What happens in one video, and when.

    Attributes:
        video: the video's id (its file name without folder and extension).
        duration: seconds.
        activities: ordered by start.
        scores: per-frame probabilities, if the detector provides them.
        sampled: times in seconds sampled by Grid Pool, if the model has one; (P,).
        media: the video's file, if known, for programs that open it with the labels.

    Examples:
        >>> wave, walk = Activity("wave", 1.0, 2.5, 0.9), Activity("walk", 2.0, 9.0, 0.4)
        >>> timeline = Timeline("kitchen", 12.0, (wave, walk))
        >>> [activity.label for activity in timeline.filter(min_confidence=0.5).activities]
        ['wave']
    """

    video: str
    duration: float
    activities: tuple[Activity, ...]
    scores: FrameScores | None = None
    sampled: NDArray[np.float64] | None = None
    media: Path | None = None

    def filter(
        self, *, labels: Collection[str] | None = None, min_confidence: float = 0.0
    ) -> "Timeline":
        """The timeline with a selection of its activities; scores are unchanged.

        Args:
            labels: keep activities with these labels; None keeps all.
            min_confidence: keep activities with at least this confidence.
        """
        if isinstance(labels, str):
            labels = (labels,)
        kept = tuple(
            one
            for one in self.activities
            if one.confidence >= min_confidence and (labels is None or one.label in labels)
        )
        return replace(self, activities=kept)

    def cut_to_video(self) -> "Timeline":
        """The timeline with each activity cut to the video, as for drawing.

        Results may contain activities outside the video or that end before they start: these are
        scored as wrong, but cannot be drawn, and are left out.
        """
        inside: list[Activity] = []
        for one in self.activities:
            start, end = map(float, clip(one.start, one.end, last=self.duration))
            if one.start <= one.end and start <= end:
                inside.append(replace(one, start=start, end=end))
        return replace(self, activities=tuple(inside))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a file, whole or not at all, in the format given by its extension.

        `.json` (ActivityNet-style results), `.csv` (a table), `.vtt` (subtitles), `.txt` (Audacity
        labels), `.eaf` (ELAN) or `.npz` (NumPy arrays, with the scores of frames); `actline.read`
        reads each of them.

        Returns:
            The path.

        Raises:
            OutputError: the extension is none of these, or the file cannot be written.

        Examples:
            >>> from tempfile import mkdtemp
            >>> timeline = Timeline("kitchen", 12.0, (Activity("wave", 1.0, 2.5, 0.9),))
            >>> path = timeline.save(f"{mkdtemp()}/kitchen.vtt")
            >>> print(path.read_text())
            WEBVTT
            <BLANKLINE>
            1
            00:00:01.000 --> 00:00:02.500
            wave (90%)
            <BLANKLINE>
        """
        # Circular: the formats import this module.
        from actline.timeline.write import write_timeline

        return write_timeline(self, path)

    # pandas has no type annotations.
    def to_pandas(self) -> "pandas.DataFrame":  # pyright: ignore
        """The activities as a table with the columns `video, label, start, end, confidence`.

        Raises:
            OutputError: pandas is not installed.
        """
        try:
            import pandas  # pyright: ignore[reportMissingImports, reportMissingTypeStubs]
        except ImportError as error:
            raise OutputError(f"tables need pandas: {_INSTALL_PANDAS}") from error
        columns = ("label", "start", "end", "confidence")
        data = {name: [getattr(one, name) for one in self.activities] for name in columns}
        table = {"video": [self.video] * len(self.activities), **data}
        return pandas.DataFrame(table)  # pyright: ignore
