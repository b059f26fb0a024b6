"""Proposals: how BMN's maps give them, and what suppression leaves of them."""

import numpy as np
from numpy.typing import NDArray

from actline.timeline.proposals import Proposals
from actline.timeline.suppression import SuppressionConfig, suppress


def proposals_from_maps(
    start: NDArray[np.float32],
    end: NDArray[np.float32],
    confidence: NDArray[np.float32],
    *,
    duration: float,
    most: int = 1000,
) -> Proposals:
    """Pair likely starts with likely ends (BMN, Section 4.4; `BMN_inference` in its code).

    A boundary is likely where its probability is a peak, or more than half of the largest. A
    pair's score is the product of both probabilities and both confidences.

    The published code never pairs a start with the end of the video, for which the maps have no
    position of their own; here the last position's probability stands for it.

    Args:
        duration: of the video, in seconds.
        most: how many of the best are kept.

    Shape:
        start, end: (T,), probabilities at times 0, 1, … T - 1 parts of the video;
        confidence: (2, T, T), regression and classification, of the segments from the start of
            one snippet to the end of another.
    """
    length = len(start)
    ends = np.append(end, end[-1])  # at times 0 to T
    firsts, lasts = np.nonzero(_likely(start))[0], np.nonzero(_likely(ends))[0]
    first, last = np.meshgrid(firsts, lasts, indexing="ij")
    first, last = first[first < last], last[first < last]
    pair = confidence[:, first, last - 1].astype(np.float64)
    score = start[first] * ends[last] * pair[0] * pair[1]
    best = np.argsort(-score, kind="stable")[:most]
    times = np.arange(length + 1, dtype=np.float64) * (duration / length)
    return Proposals(times[first[best]], times[last[best]], score[best])


def _likely(probability: NDArray[np.float32]) -> NDArray[np.bool_]:
    # The first and the last position are always taken, as published.
    padded = np.pad(probability, 1, constant_values=-1.0)
    peak = (probability > padded[:-2]) & (probability > padded[2:])
    peak[[0, -1]] = True
    return peak | (probability > 0.5 * probability.max())


def suppressed(proposals: Proposals, config: SuppressionConfig, *, duration: float) -> Proposals:
    """What suppression leaves of a video's proposals."""
    kept = suppress(
        proposals.start, proposals.end, proposals.score, config=config, duration=duration
    )
    return Proposals(kept.start, kept.end, kept.score)
