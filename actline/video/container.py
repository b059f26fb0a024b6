"""Video files as containers: opening them, choosing the video among their streams, and packets."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from actline.errors import VideoError

# FFmpeg takes one more than there are cores. Threads of frames wait for those they lean on, and
# all of them for the next packet: with more of them, cores are busy in between.
_THREADS_PER_CORE = 6
_MOST_THREADS = 16  # each holds a frame; FFmpeg's own limit


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and choose its video stream: the default one, among several the largest.

    Raises:
        VideoError: there is no such file, or no video in it that can be decoded.
    """
    container = _open(path)
    try:
        yield container, _best_stream(path, container)
    finally:
        container.close()


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder; a path that cannot be looked at is a VideoError."""
    try:
        return path.is_dir()
    except (OSError, ValueError) as error:
        raise VideoError(f"cannot read {path}: {_reason(error)}") from error


def demuxed(
    container: InputContainer, *streams: VideoStream, on_error: Callable[[], object] = lambda: None
) -> Iterator[Packet]:
    """Packets up to the end of what can be read; of all streams if none is named.

    Args:
        on_error: called where reading ends before the end of the file.
    """
    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.EOFError):
            return
        except av.error.FFmpegError:
            on_error()
            return
        yield packet


def video_packets(
    container: InputContainer,
    stream: VideoStream,
    *,
    marks: bool = False,
    on_error: Callable[[], object] = lambda: None,
) -> Iterator[Packet]:
    """One stream's packets with pictures, as `demuxed`.

    A transport stream's packets are counted. Where the count leaps, as it does where recordings
    were joined, a packet before is marked as damaged, though nothing of it need be missing. As in
    players the mark is taken away: the decoder finds out what is damaged.

    Args:
        marks: keep them.
    """
    unmark = container.format.name == "mpegts" and not marks
    # Headers are repeated where Ogg streams are chained; the decoder has them from the first.
    theora = stream.codec_context.name in ("theora", "libtheora")
    for packet in demuxed(container, stream, on_error=on_error):
        if theora and packet.size and memoryview(packet)[0] & 0x80:
            continue
        yield _unmarked(packet) if unmark and packet.is_corrupt else packet


def _unmarked(packet: Packet) -> Packet:
    copy = Packet(bytes(packet))
    copy.stream, copy.time_base = packet.stream, packet.time_base
    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
    copy.is_keyframe = packet.is_keyframe
    return copy


def _open(path: Path) -> InputContainer:
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise VideoError(f"no video at {path}; check the path") from error
    except (OSError, ValueError) as error:
        raise VideoError(f"cannot read {path}: {_reason(error)}") from error
    if size == 0:
        raise VideoError(f"{path} is empty; copy it again")
    try:
        # Absolute, as FFmpeg takes "a:b.mp4" for a protocol; and titles in any encoding will do.
        return av.open(os.path.abspath(path), metadata_errors="replace")  # noqa: PTH100
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(
            f"{path} is not a video that can be read ({_reason(error)}); "
            "copy it again or re-encode it"
        ) from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "unknown format"


def _best_stream(path: Path, container: InputContainer) -> VideoStream:
    streams = [
        stream
        for stream in container.streams.video
        # Cover art is stored as a video stream of one picture.
        if not Disposition(stream.disposition) & Disposition.attached_pic
    ]
    if not streams:
        raise VideoError(f"{path} has no video, only other streams; give a video file")
    # A stream of a codec that FFmpeg lacks has no context, whatever the type says.
    known = [stream for stream in streams if getattr(stream, "codec_context", None) is not None]
    if not known:
        raise VideoError(f"{path} is coded in a way that is not known here; re-encode it as H.264")

    def preference(stream: VideoStream) -> tuple[bool, int]:
        default = bool(Disposition(stream.disposition) & Disposition.default)
        return default, stream.codec_context.width * stream.codec_context.height

    best = max(known, key=preference)
    best.thread_type = "AUTO"
    best.codec_context.thread_count = min(_THREADS_PER_CORE * (os.cpu_count() or 1), _MOST_THREADS)
    return best
