"""Whether a file's end is missing or was not read, judged by the file's own structure.

A header's duration may be wrong in a complete file; missing bytes are certain. Transport and
program streams, Ogg and raw streams do not store their size.
"""

import mmap
import os
import re
import struct
from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_ASF, _ASF_FILE = (
    bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
    bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"),
)
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"sidx", b"moof", b"uuid")
# How files of a format begin, and how another file inside them begins.
_BEGINNINGS = (
    (re.compile(rb"....ftyp", re.DOTALL), re.compile(rb"\0\0\0.ftyp[ -~]{4}", re.DOTALL)),
    (re.compile(_EBML), re.compile(_EBML + rb".{,64}\x42\x82.(webm|matroska)", re.DOTALL)),
    (re.compile(rb"FLV\x01"), re.compile(rb"FLV\x01[\x01\x04\x05]\0\0\0\x09")),
    (re.compile(rb"RIFF....AVI ", re.DOTALL), re.compile(rb"RIFF....AVI LIST", re.DOTALL)),
)
_HEAD_BYTES = 1 << 16  # searched for a field


def is_cut_off(path: Path) -> bool:
    """Whether the file is shorter than its structure says; False if it does not say.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        if head[4:8] in _BOXES:
            end = _end_of_boxes(file, size)
        elif head[:4] == _EBML:
            end = _end_of_matroska(file, size)
        elif head[:4] == b"RIFF":
            end = _end_of_riff(file, size)
        elif head[:3] == b"FLV":
            end = _told_by_flash(file)
        elif (head + file.read(4))[:16] == _ASF:
            end = _told_by_asf(file)
        else:
            end = 0
    return end > size


def goes_on(path: Path, end: int) -> bool:
    """Whether another file begins after the last packet, which was not read.

    This happens to recordings that were concatenated byte by byte: in some formats FFmpeg, and
    players based on it, stop at the end of the first.

    Args:
        end: position of the end of the last packet read, in bytes.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(12)
        size = os.fstat(file.fileno()).st_size
        found = next((mark for known, mark in _BEGINNINGS if known.match(head)), None)
        if found is None or not 0 < end < size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return found.search(content, end) is not None


def _end_of_boxes(file: BinaryIO, size: int) -> int:
    """Where the last box of an mp4 or mov ends."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:], "big")
        if length < 8:
            break  # extends to the end, or not a box
        at += length
        if not head[4:8].isascii():
            return 0  # something else follows
    return at


def _end_of_matroska(file: BinaryIO, size: int) -> int:
    """Where the last segment of a Matroska or webm file ends, unless its length is unknown."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(12)
        if head[:4] not in (_EBML, _SEGMENT) or len(head) < 5 or not head[4]:
            return at
        width = 9 - head[4].bit_length()
        length = int.from_bytes(head[4 : 4 + width], "big") & ((1 << 7 * width) - 1)
        if length == (1 << 7 * width) - 1:
            return 0
        at += 4 + width + length
    return at


def _end_of_riff(file: BinaryIO, size: int) -> int:
    """Where the last of an avi's chunks ends; large files have several."""
    at = 0
    while at + 12 <= size:
        file.seek(at)
        head = file.read(12)
        (length,) = struct.unpack("<I", head[4:8])
        if head[:4] != b"RIFF" or length in (0, 0xFFFFFFFF):
            break
        at += 8 + length
    return at


def _told_by_flash(file: BinaryIO) -> int:
    file.seek(0)
    _, found, value = file.read(_HEAD_BYTES).partition(b"\0\x08filesize\0")
    if not found or len(value) < 8:
        return 0
    (length,) = struct.unpack(">d", value[:8])
    return int(length) if 0 < length < 1 << 62 else 0


def _told_by_asf(file: BinaryIO) -> int:
    file.seek(0)
    _, found, value = file.read(_HEAD_BYTES).partition(_ASF_FILE)
    # The object's length, the file's id, then the file's length; flags mark a broadcast, which has
    # none.
    if not found or len(value) < 76:
        return 0
    (flags,) = struct.unpack("<I", value[72:76])
    return 0 if flags & 1 else int.from_bytes(value[24:32], "little")
