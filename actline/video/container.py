"""Video files as containers: opening them, choosing the video among their streams, and packets."""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from actline.errors import VideoError
from actline.stored.limits import lifted, limits
from actline.video.formats import RESTRICTIONS, harmless_name
from actline.video.tables import check_tables

# FFmpeg takes one more than there are cores. Threads of frames wait for those they lean on, and
# all of them for the next packet: with more of them, cores are busy in between.
_THREADS_PER_CORE = 6
_MOST_THREADS = 16  # FFmpeg's own limit
# Each thread holds frames of its own, which together take no more than about so many bytes.
_THREADS_BYTES = 256 << 20


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and choose its video stream: the default one, among several the largest.

    Raises:
        VideoError: there is no such file, or no video in it that can be decoded. At the end of the
            block too, where the disk could not give all that was asked of it.
    """
    with _file(path) as file:
        source = _Source(path, file)
        try:
            container = _open(path, source)
            try:
                yield container, _best_stream(path, container)
            finally:
                container.close()
        except Exception as error:
            # Such as that the video is cut off, which is what it looks like.
            source.check(path, error)
            raise
        source.check(path)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Make whatever FFmpeg raises within the video's VideoError; for its calls alone.

    Its bindings raise errors of many kinds over files that are odd enough.
    """
    try:
        yield
    except MemoryError as error:
        raise VideoError(too_large_for_memory(path)) from error
    except Exception as error:
        raise VideoError(
            f"{path} cannot be read ({type(error).__name__}: {_reason(error)}); "
            "copy it again or re-encode it"
        ) from error


def too_large_for_memory(path: Path) -> str:
    """What to tell of a video that takes too much memory."""
    return f"{path} takes more memory than there is; free some, or re-encode it smaller"


def check_frame_size(path: Path, width: int, height: int) -> None:
    """Compare the size of a video's frames with the limits, before one is decoded.

    Raises:
        VideoError: frames are larger, or longer for their breadth, than the limits allow.
    """
    most = limits()
    size = f"{path} has frames of {width} x {height} pixels"
    if width * height > _most_pixels():
        raise VideoError(
            f"{size}, more than {most.frame_megapixels} million; "
            f"re-encode it smaller, or {lifted('frame_megapixels')}"
        )
    if max(width, height) > most.frame_aspect * max(1, min(width, height)):
        raise VideoError(
            f"{size}, more than {most.frame_aspect} times as long as broad; "
            f"crop it, or {lifted('frame_aspect')}"
        )


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
        except Exception:  # of whatever kind: FFmpeg's, the operating system's, the bindings'
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
    # In memory of FFmpeg's own. Bytes of Python's are given back under Python's lock, by a thread
    # of the decoder whose end another waits for with that lock; and decoders read beyond them.
    copy = Packet(packet.size)
    copy.update(bytes(packet))
    copy.stream, copy.time_base = packet.stream, packet.time_base
    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
    copy.is_keyframe = packet.is_keyframe
    return copy


class _Source:
    """A file's bytes for FFmpeg, under a name that means nothing to it.

    What the disk fails to give is the file's end to FFmpeg: of another error it tells no one, and
    the bindings print a traceback.
    """

    def __init__(self, path: Path, file: FileIO) -> None:
        self.name = harmless_name(path)
        self.tell = file.tell
        self._file = file
        self._failure: OSError | None = None

    def read(self, size: int) -> bytes | None:
        try:
            return self._file.read(size)
        except OSError as failure:
            self._failure = self._failure or failure
            return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except (ValueError, OverflowError):
            return -1
        except OSError as failure:
            if failure.errno != errno.EINVAL:  # a place that no file has, as a damaged header tells
                self._failure = self._failure or failure
            return -1

    def check(self, path: Path, error: Exception | None = None) -> None:
        """Raise where the disk has failed.

        Args:
            error: what was made of that otherwise.

        Raises:
            VideoError: it has.
        """
        if self._failure is not None:
            raise VideoError(f"cannot read {path}: {_reason(self._failure)}; copy it again") from (
                error or self._failure
            )


def _file(path: Path) -> FileIO:
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe would be waited for
            raise VideoError(f"{path} is neither a file nor a folder of frames; give another")
        if not about.st_size:
            raise VideoError(f"{path} is empty; copy it again")
        file = path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise VideoError(f"no video at {path}; check the path") from error
    except (OSError, ValueError) as error:
        raise VideoError(f"cannot read {path}: {_reason(error)}; copy it again") from error
    try:
        check_tables(path, file)
    except OSError as error:
        file.close()
        raise VideoError(f"cannot read {path}: {_reason(error)}; copy it again") from error
    except VideoError:
        file.close()
        raise
    return file


def _open(path: Path, source: _Source) -> InputContainer:
    most = {"max_pixels": str(_most_pixels())}
    try:
        # Titles in any encoding will do.
        return av.open(source, "r", metadata_errors="replace", options={**RESTRICTIONS, **most})
    except MemoryError as error:
        raise VideoError(too_large_for_memory(path)) from error
    # Of whatever kind, and what a format outside of the list is refused with is as unclear.
    except Exception as error:
        told = "in no format of videos, or damaged" if _refused(error) else _reason(error)
        raise VideoError(
            f"{path} is not a video that can be read ({told}); copy it again or re-encode it"
        ) from error


def _refused(error: Exception) -> bool:
    return isinstance(error, av.error.ArgumentError)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "unknown format"


def _most_pixels() -> int:
    return limits().frame_megapixels * 1_000_000


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
    decoder = best.codec_context
    check_frame_size(path, decoder.width, decoder.height)
    frame_bytes = decoder.width * decoder.height * _bytes_a_pixel(decoder)
    best.thread_type = "AUTO"
    decoder.thread_count = min(
        _THREADS_PER_CORE * (os.cpu_count() or 1),
        _MOST_THREADS,
        max(1, int(_THREADS_BYTES / max(1, frame_bytes))),
    )
    # Frames may change their size on the way.
    decoder.options = {"max_pixels": str(_most_pixels())}
    return best


def _bytes_a_pixel(decoder: VideoCodecContext) -> float:
    found = decoder.format
    return found.padded_bits_per_pixel / 8 if found is not None else 4.0
