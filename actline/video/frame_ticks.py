"""Which tick of its clock each frame of a video is shown at, from the packets alone."""

from collections.abc import Sequence

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from actline.video.packets import UNKNOWN, Join, Packets, without_leaps

_REORDERED = 16  # frames that codecs reorder over
_NO_TIMESTAMPS = 0x0080  # AVFMT_NOTIMESTAMPS
# With a larger share of frames without a timestamp, frames are counted.
_MISSING_SHARE = 0.05
# Formats in which H.264 and its like may come with timestamps of decoding alone.
_DECODING_ORDER = ("avi", "mxf", "mxf_opatom", "asf")
# So many packets must tell how long their frames last, for the last one to be believed.
_RIGHT_SHARE = 0.9


def frame_ticks(
    packets: Packets, joins: Sequence[Join], container: InputContainer, stream: VideoStream
) -> tuple[NDArray[np.int64], str | None]:
    """When frames are shown, in ticks, increasing; and the sentence on why they are counted."""
    kept = packets.kept
    stamps = without_leaps(packets.stamps, joins)[kept]
    known = stamps != UNKNOWN
    rate = float(stream.average_rate or 25)
    frame = 1 / (rate * float(stream.time_base or 1 / 25))  # in ticks
    count = len(stamps)
    # What FFmpeg makes up for a bare stream, without a container, may be wrong.
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
    # In program streams, packets get the timestamps of others.
    repeated = container.format.name == "mpeg" and len(distinct) < count
    if not (many_missing or of_decoding or repeated):
        return distinct, None
    if known.all() and len(distinct) >= max(2, count - 1) and not repeated:
        if len(distinct) < count:  # what FFmpeg makes of the last one repeats the one before
            distinct = np.append(distinct, distinct[-1] + np.median(np.diff(distinct)))
        told = "timestamps of decoding, not of display: frames are counted over them"
        return distinct.astype(np.int64), told
    # The stream's own rate is exact, if what timestamps there are agree.
    placed = np.flatnonzero(known)
    steps = int(placed[-1] - placed[0])
    mean = float(distinct[-1] - distinct[0]) / steps if steps else 0.0
    near = np.median(np.diff(stamps[placed]) / np.diff(placed)) if steps else 0.0
    if steps and near > 0:
        joined = not 0.9 < mean / near < 1.1  # leaps between them are not of frames
        found = near if joined else mean
        # Two of them lie further apart in decoding than in display by up to so many frames.
        if abs(found / frame - 1) > max(0.02, 0.1 if joined else 0.0, _REORDERED / steps):
            frame = found
    counted = distinct[0] + np.round(np.arange(count) * frame).astype(np.int64)
    without = f"{missing} of {count} frames without a timestamp"
    if not missing:
        without = f"{count - len(distinct)} of {count} frames with the timestamp of another"
    second = 1 / (frame * float(stream.time_base or 1 / 25))
    return counted, f"{without}: frames are counted, {second:.6g} a second"


def end_of_last(stamps: NDArray[np.int64], packets: Packets, stream: VideoStream) -> float:
    """The tick at which the last frame ends: after the frames' median distance, or as it says.

    Packets are believed where they tell the others' lengths rightly: in some formats they all tell
    the same.
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
