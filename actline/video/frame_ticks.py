"""Display times of a video's frames in ticks of its clock, from the packets alone."""

from collections.abc import Sequence

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from actline.video.packets import UNKNOWN, Join, Packets, without_leaps

_REORDERED = 16  # maximum distance of reordering, in frames
_NO_TIMESTAMPS = 0x0080  # AVFMT_NOTIMESTAMPS
# If a larger share of frames has no timestamp, frames are counted.
_MISSING_SHARE = 0.05
# Formats in which H.264 and the like may have decoding timestamps only.
_DECODING_ORDER = ("avi", "mxf", "mxf_opatom", "asf")
# Share of packets that must state correct durations for the last one to be trusted.
_RIGHT_SHARE = 0.9


def frame_ticks(
    packets: Packets, joins: Sequence[Join], container: InputContainer, stream: VideoStream
) -> tuple[NDArray[np.int64], str | None]:
    """Display times in ticks, increasing; and, if frames are counted, a sentence on why."""
    kept = packets.kept
    stamps = without_leaps(packets.stamps, joins)[kept]
    known = stamps != UNKNOWN
    rate = float(stream.average_rate or 25)
    frame = 1 / (rate * float(stream.time_base or 1 / 25))  # in ticks
    count = len(stamps)
    # Timestamps that FFmpeg makes up for a raw stream, without a container, may be wrong.
    if int(container.format.flags) & _NO_TIMESTAMPS or not known.any():
        counted = np.round(np.arange(count) * frame).astype(np.int64)
        return counted, f"no timestamps: frames are counted, {rate:.6g} a second"
    missing = int(np.count_nonzero(packets.pts[kept] == UNKNOWN))
    many_missing = missing > _MISSING_SHARE * count
    of_decoding = (
        container.format.name in _DECODING_ORDER
        and stream.codec_context.has_b_frames
        and bool((np.diff(stamps[known]) >= 0).all())
    )
    distinct = np.unique(stamps[known])
    # In program streams, packets may get the timestamps of others.
    repeated = container.format.name == "mpeg" and len(distinct) < count
    if not (many_missing or of_decoding or repeated):
        return distinct, None
    if known.all() and len(distinct) >= max(2, count - 1) and not repeated:
        if len(distinct) < count:  # FFmpeg repeats the last timestamp
            distinct = np.append(distinct, distinct[-1] + np.median(np.diff(distinct)))
        note = "decoding timestamps only, no display times: frames are counted over them"
        return distinct.astype(np.int64), note
    # The stream's own rate is exact, if the existing timestamps agree with it.
    placed = np.flatnonzero(known)
    steps = int(placed[-1] - placed[0])
    mean = float(distinct[-1] - distinct[0]) / steps if steps else 0.0
    near = np.median(np.diff(stamps[placed]) / np.diff(placed)) if steps else 0.0
    if steps and near > 0:
        joined = not 0.9 < mean / near < 1.1  # jumps between them are not frames
        found = near if joined else mean
        # Two frames may be this much further apart in decoding than in display order.
        if abs(found / frame - 1) > max(0.02, 0.1 if joined else 0.0, _REORDERED / steps):
            frame = found
    counted = distinct[0] + np.round(np.arange(count) * frame).astype(np.int64)
    without = f"{missing} of {count} frames without a timestamp"
    if not missing:
        without = f"{count - len(distinct)} of {count} frames with the timestamp of another"
    second = 1 / (frame * float(stream.time_base or 1 / 25))
    return counted, f"{without}: frames are counted, {second:.6g} a second"


def end_of_last(stamps: NDArray[np.int64], packets: Packets, stream: VideoStream) -> float:
    """The tick at which the last frame ends, from its stated duration or the median distance.

    Packets are trusted if they state the other frames' durations correctly: in some formats all
    state the same one.
    """
    lasting, dts = packets.lasting[packets.kept], packets.dts[packets.kept]
    if len(stamps) == 1:
        frame = 1 / float((stream.average_rate or 25) * (stream.time_base or 1 / 25))
        return int(stamps[0]) + (int(lasting[0]) or frame)
    ended = int(stamps[-1]) + float(np.median(np.diff(stamps)))
    if (dts == UNKNOWN).any() or len(lasting) < len(stamps):
        return ended
    right = np.abs(np.diff(dts) - lasting[:-1]) <= 1
    if np.mean(right & (lasting[:-1] > 0)) < _RIGHT_SHARE:
        return ended
    whole = min(int(lasting.sum(dtype=np.float64)), int(dts[-1] - dts[0] + lasting[-1]))
    return max(ended, int(stamps[0]) + whole)
