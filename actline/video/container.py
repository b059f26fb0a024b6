"""Video containers: opening them, choosing the video stream, and reading packets."""

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

# FFmpeg's default is the number of cores plus one. Frame threads wait for their reference frames,
# and all of them for the next packet: with more threads, cores stay busy meanwhile.
_THREADS_PER_CORE = 6
_MOST_THREADS = 16  # FFmpeg's own limit
# Each thread holds its own frames; together they take no more than about this many bytes.
_THREADS_BYTES = 256 << 20


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and choose its video stream: the default one, or the largest of several.

    Raises:
        VideoError: the file is missing, or has no video that can be decoded. Also at the end of the
            block, if reading from the disk failed.
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
            # Such as an error that the video is cut off, which is how a failing disk looks.
            source.check(path, error)
            raise
        source.check(path)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn anything that FFmpeg raises in the block into a VideoError; only for calls of FFmpeg.

    Its bindings raise exceptions of many types for unusual files.
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
    """The error message for a video that takes too much memory."""
    return f"{path} takes more memory than is available; free some, or re-encode it smaller"


def check_frame_size(path: Path, width: int, height: int) -> None:
    """Check the size of a video's frames against the limits, before one is decoded.

    Raises:
        VideoError: frames are larger, or have a larger aspect ratio, than the limits allow.
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
            f"{size}, more than {most.frame_aspect} times as long as wide; "
            f"crop it, or {lifted('frame_aspect')}"
        )


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder; a path that cannot be accessed is a VideoError."""
    try:
        return path.is_dir()
    except (OSError, ValueError) as error:
        raise VideoError(f"cannot read {path}: {_reason(error)}") from error


def demuxed(
    container: InputContainer, *streams: VideoStream, on_error: Callable[[], object] = lambda: None
) -> Iterator[Packet]:
    """Packets up to the end of what can be read, of one stream or of all.

    Args:
        on_error: called if reading ends before the end of the file.
    """
    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.EOFError):
            return
        except Exception:  # of any type: FFmpeg's, the operating system's, the bindings'
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
    """One stream's packets that hold frames, as `demuxed`.

    A transport stream's packets are numbered. If a number is skipped, as where recordings were
    joined, an earlier packet is marked as damaged, even if none of it is missing. As in players the
    mark is removed: the decoder finds out what is damaged.

    Args:
        marks: keep these marks.
    """
    unmark = container.format.name == "mpegts" and not marks
    # Headers are repeated where Ogg streams are chained; the decoder already has the first ones.
    theora = stream.codec_context.name in ("theora", "libtheora")
    for packet in demuxed(container, stream, on_error=on_error):
        if theora and packet.size and memoryview(packet)[0] & 0x80:
            continue
        yield _unmarked(packet) if unmark and packet.is_corrupt else packet


def _unmarked(packet: Packet) -> Packet:
    # Allocated by FFmpeg. Python's bytes are freed under Python's lock, by a decoder thread that
    # another thread may wait for while holding the lock; and decoders read beyond their end.
    copy = Packet(packet.size)
    copy.update(bytes(packet))
    copy.stream, copy.time_base = packet.stream, packet.time_base
    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
    copy.is_keyframe = packet.is_keyframe
    return copy


class _Source:
    """A file's bytes for FFmpeg, which never sees the file's real name.

    If the disk fails, FFmpeg is given an end of file: it does not report other errors, and the
    bindings print a traceback.
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
            if failure.errno != errno.EINVAL:  # an impossible offset, from a damaged header
                self._failure = self._failure or failure
            return -1

    def check(self, path: Path, error: Exception | None = None) -> None:
        """Raise if reading from the disk has failed.

        Args:
            error: the error that FFmpeg raised as a consequence.

        Raises:
            VideoError: reading has failed.
        """
        if self._failure is not None:
            raise VideoError(f"cannot read {path}: {_reason(self._failure)}; copy it again") from (
                error or self._failure
            )


def _file(path: Path) -> FileIO:
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # reading a pipe would block
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
        # Titles may have any encoding.
        return av.open(source, "r", metadata_errors="replace", options={**RESTRICTIONS, **most})
    except MemoryError as error:
        raise VideoError(too_large_for_memory(path)) from error
    # Exceptions of any type; the one for a format outside the list is unclear as well.
    except Exception as error:
        problem = "not a video format, or damaged" if _refused(error) else _reason(error)
        raise VideoError(
            f"{path} is not a video that can be read ({problem}); copy it again or re-encode it"
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
        # Cover art is stored as a video stream of one image.
        if not Disposition(stream.disposition) & Disposition.attached_pic
    ]
    if not streams:
        raise VideoError(f"{path} has no video, only other streams; give a video file")
    # A stream whose codec FFmpeg lacks has no context, despite the type annotation.
    known = [stream for stream in streams if getattr(stream, "codec_context", None) is not None]
    if not known:
        raise VideoError(f"{path} has an unknown codec; re-encode it as H.264")

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
    # Frames may change size within a stream.
    decoder.options = {"max_pixels": str(_most_pixels())}
    return best


def _bytes_a_pixel(decoder: VideoCodecContext) -> float:
    found = decoder.format
    return found.padded_bits_per_pixel / 8 if found is not None else 4.0
