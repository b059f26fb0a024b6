"""Skipping the decoding of frames that are not requested and that no other frame refers to."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from actline.video.timestamps import Header

# Codecs in which frames that no other refers to are reliably marked as such.
CODECS = ("h264",)
# Codecs reorder over at most 16 frames: packets of consecutive frames are at most this far apart.
REORDERED = 16


def spared(
    packets: Iterable[Packet | None],
    context: VideoCodecContext,
    header: Header,
    wanted: Sequence[float],
) -> Iterator[Packet | None]:
    """Yield the packets, after setting whether the decoder may skip the frame of each.

    It may if another frame follows before the next wanted time. Decoded frames are unchanged: no
    other frame refers to those skipped, which are half of what x264 writes by default.

    Args:
        context: of the decoder, which must take each packet before the next one is requested.
        wanted: seconds on the file's clock, increasing.
    """
    if header.codec not in CODECS or not header.ordered:
        yield from packets
        return
    # Packets and seconds in decoding order, over the distance of reordering.
    near: deque[tuple[Packet | None, float | None]] = deque()
    current = 0  # index of the next packet for the decoder
    incoming = iter(packets)
    while True:
        while len(near) <= current + REORDERED:
            packet = next(incoming, None)
            if packet is None:
                break
            near.append((packet, _seconds(packet, header)))
        if current == len(near):
            context.skip_frame = "DEFAULT"
            return
        packet, seconds = near[current]
        needless = seconds is not None and not _on_display(
            seconds, (other for _, other in near), wanted, header.early
        )
        context.skip_frame = "NONREF" if needless else "DEFAULT"
        yield packet
        current += 1
        if current > REORDERED:
            near.popleft()
            current -= 1


def _seconds(packet: Packet | None, header: Header) -> float | None:
    return None if packet is None or packet.pts is None else header.seconds(packet.pts)


def _on_display(
    seconds: float, others: Iterable[float | None], wanted: Sequence[float], early: float
) -> bool:
    """Whether a frame may be on display at a wanted time, given the frames around it."""
    # A microsecond of tolerance for rounding, in favour of decoding.
    index = bisect_left(wanted, seconds - early - 1e-6)
    if index == len(wanted):
        return False
    until = min((other for other in others if other is not None and other > seconds), default=None)
    return until is None or until > wanted[index] + early
