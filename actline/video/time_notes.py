"""Sentences on what is unusual about a video's times: jumps, and stretches without a new frame."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from actline.video.packets import UNKNOWN, Join, Packets, without_leaps

# A stretch without a new frame is reported if it is longer than this in seconds and in frames.
GAP_SECONDS, _GAP_FRAMES = 2.0, 10


def leaps_told(
    packets: Packets, joins: Sequence[Join], *, seconds: Callable[[int], float], base: float
) -> Iterator[str]:
    """A sentence for jumps back and one for jumps ahead.

    Args:
        seconds: converts a tick, after joins, to seconds on the file's clock.
        base: length of one tick in seconds.
    """
    stamps = without_leaps(packets.stamps, joins)
    for back, what in ((True, "run backwards"), (False, "jump ahead")):
        those = [join for join in joins if (join.leap < 0) == back]
        if not those:
            continue
        after = stamps[those[0].number :]
        at = seconds(int(after[after != UNKNOWN].min()))
        by = abs(those[0].leap) * base
        times = "" if len(those) == 1 else f" {len(those)} times, first"
        yield f"timestamps {what}{times} at {at:.1f} s, by {by:.1f} s: the rest is joined on"


def gaps_told(times: NDArray[np.float64]) -> Iterator[str]:
    """A sentence for stretches without a new frame that are long for this video."""
    if len(times) < 3:
        return
    gaps = np.diff(times)
    long = np.flatnonzero(gaps > max(GAP_SECONDS, _GAP_FRAMES * float(np.median(gaps))))
    if len(long):
        begin, end = times[long[0]], times[long[0] + 1]
        more = "" if len(long) == 1 else f", and in {len(long) - 1} more stretches"
        yield f"no new frame from {begin:.1f} to {end:.1f} s{more}: the previous one stays"
