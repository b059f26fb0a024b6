"""What every path through the package produces: activities in time, and per-frame scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
        video: the video's id (its file name without folder and ending).
        duration: seconds.
        activities: ordered by start.
        scores: per-frame probabilities, where the path has them.
        sampled: seconds at which Grid Pool looked, where the model has one; (P,).
    """

    video: str
    duration: float
    activities: tuple[Activity, ...]
    scores: FrameScores | None = None
    sampled: NDArray[np.float64] | None = None
