"""Overlapping windows over a long video, and how their results are put together."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def window_starts(frames: int, *, window: int, overlap: int) -> list[int]:
    """Where windows of `window` frames start so that they cover `frames`.

    Windows lie at multiples of `window - overlap`, but the last ends with the video, so that each
    is full; a video no longer than a window has one. Starts depend on the length alone.
    """
    if frames <= window:
        return [0]
    hop = window - overlap
    return [*range(0, frames - window, hop), frames - window]


def window_middles(starts: Sequence[int], *, window: int, frames: int) -> list[tuple[int, int]]:
    """For each window the frames, from and to before, that lie more in its middle than others'."""
    borders = [0, *((a + window + b) // 2 for a, b in itertools.pairwise(starts)), frames]
    return list(itertools.pairwise(borders))


def blend_weights(frames: int, overlap: int, *, first: bool, last: bool) -> NDArray[np.float32]:
    """Weights (T,) of a window's frames: ramps over the overlaps, 1 between them.

    A frame's results are averaged over its windows by these weights, so that a result fades from
    one window to the next where both have seen what surrounds it.
    """
    weights = np.ones(frames, np.float32)
    ramp = (np.arange(overlap, dtype=np.float32) + 1) / (overlap + 1)
    if not first:
        weights[:overlap] = ramp
    if not last and overlap:
        weights[-overlap:] = np.minimum(weights[-overlap:], ramp[::-1])
    return weights
