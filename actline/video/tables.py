"""Frame counts in the tables of an mp4 or mov, checked before FFmpeg allocates memory for them.

A table of frames of equal size, or a fragment of equal frames, stores only their number: three
kilobytes may list a billion frames, for each of which FFmpeg keeps 24 bytes. An edit list repeats
the same frames for twelve more bytes.
"""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from actline.errors import VideoError
from actline.stored.limits import lifted, limits

_HOLDERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf", b"cmov")
_DEPTH = 10
_MOST_UNPACKED = 16 << 20


@dataclass(slots=True)
class _Track:
    """The content of one track: frames, how often they are shown, and whether it is PCM audio."""

    frames: int = 0
    edits: int = 1
    sound: bool = False
    one_tick_each: bool = False

    @property
    def listed(self) -> int:
        # PCM audio, with one tick per sample, is read in blocks.
        return 0 if self.sound and self.one_tick_each else self.frames * self.edits


def most_frames(size: int) -> int:
    """The maximum number of frames in a file of `size` bytes: a frame takes at least one byte."""
    return max(size, limits().listed_frames)


def too_many_frames(path: Path, count: int | None = None) -> VideoError:
    """The error for a file that lists more frames than it has bytes."""
    listed = "more frames" if count is None else f"{count} frames, more"
    return VideoError(
        f"{path} lists {listed} than it has bytes; copy it again or re-encode it, or "
        f"{lifted('listed_frames')}"
    )


def check_tables(path: Path, file: BinaryIO) -> None:
    """Check the number of frames that an mp4 or mov lists against its size in bytes.

    Other files are not sequences of boxes: the search ends at once.

    Args:
        file: read from its beginning and rewound afterwards.

    Raises:
        VideoError: it lists more frames than bytes.
        OSError: it cannot be read.
    """
    size = os.fstat(file.fileno()).st_size
    tracks = [_Track()]
    _walk(file, (0, size), tracks, 0)
    listed = sum(track.listed for track in tracks)
    if listed > most_frames(size):
        raise too_many_frames(path, listed)
    file.seek(0)


def _walk(file: BinaryIO, where: tuple[int, int], tracks: list[_Track], depth: int) -> None:
    for kind, body, last in _boxes(file, *where):
        if kind == b"cmvd" and depth < _DEPTH:
            content = _unpacked(file, body, last)
            _walk(io.BytesIO(content), (0, len(content)), tracks, depth + 1)
            if len(content) == _MOST_UNPACKED:  # the rest may list any number
                tracks.append(_Track(frames=1 << 32))
        elif kind in _HOLDERS and depth < _DEPTH:
            if kind in (b"trak", b"traf"):
                tracks.append(_Track())
            _walk(file, (body, last), tracks, depth + 1)
        else:
            _note(kind, file, body, tracks[-1])


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The type of each box, and the start and end of its content in bytes."""
    while start + 8 <= end:
        file.seek(start)
        head = file.read(16)
        if len(head) < 8:
            return
        length, body = int.from_bytes(head[:4], "big"), start + 8
        if length == 1 and len(head) == 16:
            length, body = int.from_bytes(head[8:], "big"), start + 16
        elif length == 0:
            length = end - start
        if length < body - start:
            return
        yield head[4:8], body, min(start + length, end)
        start += length


def _note(kind: bytes, file: BinaryIO, body: int, track: _Track) -> None:
    file.seek(body)
    match kind:
        case b"stsz" | b"stz2":
            head = file.read(12)
            if len(head) == 12:
                track.frames += int.from_bytes(head[8:], "big")
        case b"trun":
            track.frames += int.from_bytes(file.read(8)[4:], "big")
        case b"elst":
            track.edits = max(1, int.from_bytes(file.read(8)[4:], "big"))
        case b"hdlr":
            track.sound = track.sound or file.read(12)[8:] == b"soun"
        case b"stts":
            count, _, ticks = struct.unpack(">III", file.read(16)[4:].ljust(12, b"\0"))
            track.one_tick_each = count == 1 and ticks == 1


def _unpacked(file: BinaryIO, body: int, last: int) -> bytes:
    """A compressed header, as in movies of around 2000, up to a maximum size."""
    file.seek(body + 4)
    try:
        return zlib.decompressobj().decompress(file.read(last - body - 4), _MOST_UNPACKED)
    except zlib.error:
        return b""
