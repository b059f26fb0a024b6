"""Decoded frames of a video file with the times they are shown at, from any place on."""

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

# A seek that landed too late is repeated so many seconds earlier.
_SEEK_EARLIER = (0.0, 1.0, 4.0, 16.0, 64.0)


def timed_frames(
    path: Path, header: Header, times: Sequence[float], *, seek: bool
) -> Iterator[tuple[float, VideoFrame]]:
    """Decoded frames with their times, those on display at `times` among them, on to the end.

    What cannot be decoded is passed over, and so may be what nobody asks for. Frames have the
    same pixels whether sought or not: a sought reading starts at a key frame, or at the file's
    start where none is found.

    Args:
        times: seconds on the file's clock, increasing, at least one.
        seek: jump to the first of them, rather than decode all that is before.
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
    # Opened anew rather than sought back: not every container can be sought in.
    with opened(path) as (container, stream):
        packets = rejoined(video_packets(container, stream), header.joins)
        decoder = stream.codec_context
        frames = attempted(path, spared(packets, decoder, header, times), decoder)
        if header.ordered:
            yield from _timed(frames, header)
        else:
            # Decoders put frames in order even where the file does not say when they are shown.
            for at, (_, frame) in zip(shown(path).times.tolist(), frames, strict=False):
                if frame is not None:
                    yield at, frame


def attempted(
    path: Path, packets: Iterable[Packet | None], decoder: VideoCodecContext
) -> Iterator[tuple[int | None, VideoFrame | None]]:
    """Frames with their timestamps, in the order they are shown; None for what is lost.

    Lost is what the decoder rejects, and what it patches up itself and marks as damaged.

    Args:
        packets: of the stream; at a None the decoder gives what it holds and starts afresh.

    Raises:
        VideoError: decoding takes more memory than there is.
    """
    for packet in packets:
        if packet is None:
            yield from _drained(decoder)
            continue
        try:
            frames = packet.decode()
        except MemoryError as error:
            raise VideoError(too_large_for_memory(path)) from error
        except Exception:  # FFmpeg's errors, and the bindings' over what it hands out
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
    told = f"{path}: no frame of it can be decoded; copy it again or re-encode it"
    with contextlib.suppress(VideoError), opened(path) as (_, stream):
        if not stream.codec_context.width:  # the decoder did not get as far, or was not let
            told = (
                f"{path}: no frame of it can be decoded, or they have more than "
                f"{limits().frame_megapixels} million pixels; re-encode it smaller, or "
                f"{lifted('frame_megapixels')}"
            )
    return VideoError(told)


def ends_early(path: Path, last: float, time: float) -> VideoError:
    """The error for a video whose last frame that can be decoded is shown at `last` seconds."""
    return VideoError(
        f"{path} can be decoded for {last:.1f} s only, not to {time:.1f} s; "
        "copy it again or re-encode it"
    )


def _sought(
    path: Path,
    file: tuple[InputContainer, VideoStream],
    header: Header,
    times: Sequence[float],
    earlier: float,
) -> Iterator[tuple[int | None, VideoFrame | None]]:
    """Frames from a key frame so much before the first time; none where that cannot be sought."""
    container, stream = file
    stamp = header.start + int((times[0] - header.first - earlier) / header.base)
    try:
        container.seek(stamp, stream=stream, backward=True, any_frame=False)
    except Exception:  # FFmpeg's errors, the system's, and numbers that it cannot hold
        return
    packets = video_packets(container, stream)
    # Frames before the first key frame lean on what was not decoded.
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
