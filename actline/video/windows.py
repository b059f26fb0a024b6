"""Overlapping windows over a long video: the loop from sampled frames to network input."""

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from actline.video.ahead import ahead
from actline.video.decode import ShortSide, read_frames
from actline.video.sampling import Sampling, sample_times
from actline.video.transforms import TestTransform, to_clip


@dataclass(frozen=True, slots=True)
class View:
    """How a network samples and windows videos.

    Attributes:
        sampling: which frames are sampled.
        transform: from decoded frames to the network's input.
        window: number of frames per window.
        overlap: number of frames that consecutive windows share.
    """

    sampling: Sampling
    transform: TestTransform
    window: int
    overlap: int


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive sampled frames of a video, as network input.

    Attributes:
        frames: their indices among the video's sampled frames.
        middle: the frames that are nearer to this window's middle than to any other's; those of all
            windows together are all frames, each once.

    Shape:
        clip: (3, T, S, S), normalized; weights: (T,), see `blend_weights`.
    """

    frames: slice
    middle: slice
    clip: Tensor
    weights: NDArray[np.float32]

    @property
    def own(self) -> slice:
        """`middle`, counted from the window's first frame."""
        return slice(self.middle.start - self.frames.start, self.middle.stop - self.frames.start)


class WindowedVideo:
    """A video's sampled frames, window by window; each frame is decoded once.

    Memory does not grow with the video's length: one window of frames is held at a time, and
    the next is decoded while the network works on it.

    Args:
        video: a video file, or a folder of frames.
        view: how the network samples and windows it.
        frame_rate: of a frame folder.
        on_frames: called after each window with the number of new frames.

    Attributes:
        times: (T,) times of the sampled frames, in seconds on the file's clock.

    Raises:
        VideoError: the video cannot be read; also while iterating.
    """

    def __init__(
        self,
        video: Path,
        view: View,
        *,
        frame_rate: float = 24.0,
        on_frames: Callable[[int], None] | None = None,
    ) -> None:
        self.video = video
        self.view = view
        self.frame_rate = frame_rate
        self.on_frames = on_frames
        self.times = sample_times(video, view.sampling, frame_rate=frame_rate)

    def __iter__(self) -> Iterator[Window]:
        view, count = self.view, len(self.times)
        starts = window_starts(count, window=view.window, overlap=view.overlap)
        middles = window_middles(starts, window=view.window, frames=count)
        size = ShortSide(view.transform.size)
        decoded = read_frames(self.video, self.times, size=size, frame_rate=self.frame_rate)
        cut = windows(decoded, starts, view.window)
        seen = 0
        for (start, frames), middle in zip(cut, middles, strict=True):
            end = start + len(frames)
            yield Window(
                slice(start, end),
                slice(*middle),
                view.transform(to_clip(frames)),
                blend_weights(len(frames), view.overlap, first=start == 0, last=end == count),
            )
            if self.on_frames is not None:
                self.on_frames(end - seen)
            seen = end


def windows(
    frames: Iterator[NDArray[np.uint8]], starts: Sequence[int], size: int
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Cut a stream of frames into windows: (start, frames (T, H, W, 3)).

    Every frame is decoded once; frames shared by two windows are kept.
    """
    held: deque[NDArray[np.uint8]] = deque()
    held_from = 0
    # The next window is decoded while the network works on this one.
    with closing(ahead(frames, most=size)) as upcoming:
        for start in starts:
            while held and held_from < start:
                held.popleft()
                held_from += 1
            while len(held) < size and (frame := next(upcoming, None)) is not None:
                held.append(frame)
            yield start, np.stack(held)


def window_starts(frames: int, *, window: int, overlap: int) -> list[int]:
    """Where windows of `window` frames start so that they cover `frames`.

    Windows start at multiples of `window - overlap`, except that the last one ends with the video,
    so that all are full; a video no longer than a window has one. Starts depend only on the length.
    """
    if frames <= window:
        return [0]
    hop = window - overlap
    return [*range(0, frames - window, hop), frames - window]


def window_middles(starts: Sequence[int], *, window: int, frames: int) -> list[tuple[int, int]]:
    """For each window, the range [first, end) of frames nearest to its middle."""
    borders = [0, *((a + window + b) // 2 for a, b in itertools.pairwise(starts)), frames]
    return list(itertools.pairwise(borders))


def blend_weights(frames: int, overlap: int, *, first: bool, last: bool) -> NDArray[np.float32]:
    """Weights (T,) of a window's frames: ramps over the overlaps, 1 between them.

    A frame's results are averaged over its windows with these weights, so that results fade from
    one window to the next where both windows have context on both sides.
    """
    weights = np.ones(frames, np.float32)
    ramp = (np.arange(overlap, dtype=np.float32) + 1) / (overlap + 1)
    if not first:
        weights[:overlap] = ramp
    if not last and overlap:
        weights[-overlap:] = np.minimum(weights[-overlap:], ramp[::-1])
    return weights
