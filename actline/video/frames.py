"""Decoded frames of a video file with their display times, from any position."""

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from actline.errors import VideoError
from actline.stored.limits import lifted, limits
from actline.video.container import opened, too_large_for_memory, video_packets
from actline.video.packets import rejoined
from actline.video.skipping import spared
from actline.video.timestamps import Header, shown

# A seek that lands too late is repeated this many seconds earlier.
_SEEK_EARLIER = (0.0, 1.0, 4.0, 16.0, 64.0)


def timed_frames(
    path: Path, header: Header, times: Sequence[float], *, seek: bool
) -> Iterator[tuple[float, VideoFrame]]:
    """Decoded frames with their times, including those on display at `times`, up to the end.

    Frames that cannot be decoded are skipped, and frames that are not requested may be. Frames have
    the same pixels with and without seeking: a seek starts at a key frame, or at the file's start
    if none is found.

    Args:
        times: seconds on the file's clock, increasing, at least one.
        seek: jump to the first of them instead of decoding everything before it.
    """
    time = times[0]
    if seek and header.seekable:
        with opened(path) as (container, stream):
            for earlier in _SEEK_EARLIER:
                if time < earlier:
                    break
                sought = _timed(_sought(path, (container, stream), header, times, earlier), header)
                landed = next(sought, None)
                if landed is not None and landed[0] <= time:
                    yield landed
                    yield from sought
                    return
    # Opened again rather than rewound: not every container supports seeking.
    with opened(path) as (container, stream):
        packets = rejoined(video_packets(container, stream), header.joins)
        decoder = stream.codec_context
        frames = attempted(path, spared(packets, decoder, header, times), decoder)
        if header.ordered:
            yield from _timed(frames, header)
        else:
            # Decoders output frames in order even if the file has no display times.
            for at, (_, frame) in zip(shown(path).times.tolist(), frames, strict=False):
                if frame is not None:
                    yield at, frame


def attempted(
    path: Path, packets: Iterable[Packet | None], decoder: VideoCodecContext
) -> Iterator[tuple[int | None, VideoFrame | None]]:
    """Frames with their timestamps, in display order; None for lost frames.

    Lost frames are those that the decoder rejects, or conceals and marks as damaged.

    Args:
        packets: of the stream; at a None the decoder is drained and reset.

    Raises:
        VideoError: decoding takes more memory than is available.
    """
    for packet in packets:
        if packet is None:
            yield from _drained(decoder)
            continue
        try:
            frames = packet.decode()
        except MemoryError as error:
            raise VideoError(too_large_for_memory(path)) from error
        except Exception:  # FFmpeg's errors, and those of its bindings
            yield packet.pts, None
            continue
        for frame in frames:
            if isinstance(frame, VideoFrame):
                stamp = frame.pts if frame.pts is not None else frame.dts
                yield stamp, None if frame.is_corrupt else frame


def _drained(decoder: VideoCodecContext) -> Iterator[tuple[int | None, VideoFrame | None]]:
    with contextlib.suppress(Exception):
        for frame in decoder.decode(None):
            yield frame.pts, None if frame.is_corrupt else frame
    decoder.flush_buffers()


def undecodable(path: Path) -> VideoError:
    """The error for a video no frame of which can be decoded."""
    problem = f"{path}: no frame can be decoded; copy it again or re-encode it"
    with contextlib.suppress(VideoError), opened(path) as (_, stream):
        if not stream.codec_context.width:  # the decoder stopped early, or hit the size limit
            problem = (
                f"{path}: no frame can be decoded, or frames have more than "
                f"{limits().frame_megapixels} million pixels; re-encode it smaller, or "
                f"{lifted('frame_megapixels')}"
            )
    return VideoError(problem)


def ends_early(path: Path, last: float, time: float) -> VideoError:
    """The error for a video whose last frame that can be decoded is shown at `last` seconds."""
    return VideoError(
        f"{path} can be decoded only up to {last:.1f} s, not to {time:.1f} s; "
        "copy it again or re-encode it"
    )


def _sought(
    path: Path,
    file: tuple[InputContainer, VideoStream],
    header: Header,
    times: Sequence[float],
    earlier: float,
) -> Iterator[tuple[int | None, VideoFrame | None]]:
    """Frames from a key frame that long before the first time; none if seeking fails."""
    container, stream = file
    stamp = header.start + int((times[0] - header.first - earlier) / header.base)
    try:
        container.seek(stamp, stream=stream, backward=True, any_frame=False)
    except Exception:  # FFmpeg's errors, the system's, and numbers out of its range
        return
    packets = video_packets(container, stream)
    # Frames before the first key frame refer to frames that were not decoded.
    yield from itertools.dropwhile(
        lambda found: found[1] is None or not found[1].key_frame,
        attempted(path, spared(packets, stream.codec_context, header, times), stream.codec_context),
    )


def _timed(
    frames: Iterable[tuple[int | None, VideoFrame | None]], header: Header
) -> Iterator[tuple[float, VideoFrame]]:
    for stamp, frame in frames:
        if stamp is not None and frame is not None:
            yield header.seconds(stamp), frame
