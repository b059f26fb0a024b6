"""Mutations of files, aware of their structure, so that what is wrong reaches deep into a reader.

Every mutation is a function of the bytes and a random generator alone: a seed gives the same file.
"""

import hashlib
import io
import json
import pickletools
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import yaml
from safetensors.torch import load

from actline.stored.safetensors_files import CHECKSUM, checksum

Mutation = Callable[[bytes, Random], bytes]

ODD_TEXTS = (
    "",
    " ",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "-1",
    "0",
    "1_000",
    "0x10",
    "9" * 5000,
    "\x00",
    "\x1b]0;OWNED\x07",
    "a\nb",
    "\u202egpj.exe",
    "../../escape",
    "/etc/passwd",
    "C:\\x",
    "NUL",
    "v_" * 200,
    "x" * 100_000,
    "[/b]",
    "{{7*7}}",
    "<script>x</script>",
    "=1+1",
    "e\u0301",
    "\ufeff",
    "%s%n",
)
ODD_NUMBERS = (0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**30, 1e-300, 1e300, -0.0, 0.1, 255)
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    float("nan"),
    float("inf"),
    -float("inf"),
    [],
    {},
    [[]],
    {"": 0},
    [1, 2, 3],
    *ODD_NUMBERS,
    *ODD_TEXTS,
)


def bytes_(raw: bytes, random: Random) -> bytes:
    """Flip, set, cut out, repeat, insert or cut off bytes, one to eight times."""
    data = bytearray(raw)
    for _ in range(random.choice((1, 1, 1, 2, 4, 8))):
        if not data:
            break
        at = random.randrange(len(data))
        span = min(len(data) - at, random.choice((1, 2, 4, 8, 64, 512)))
        match random.randrange(8):
            case 0:
                data[at] ^= 1 << random.randrange(8)
            case 1:
                data[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
            case 2:
                del data[at : at + span]
            case 3:
                data[at:at] = data[at : at + span] * random.choice((1, 2, 50))
            case 4:
                data[at:at] = random.randbytes(span)
            case 5:
                del data[at:]
            case 6:
                order = random.choice("<>")
                form, size = random.choice((("B", 1), ("H", 2), ("I", 4), ("Q", 8)))
                number = random.choice((0, 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1))
                data[at : at + size] = struct.pack(order + form, number)
            case 7:
                other = random.randrange(len(data))
                data[at : at + span] = data[other : other + span]
    return bytes(data)


def text(raw: bytes, random: Random) -> bytes:
    """Put odd text in place of a word or a number, or repeat, drop and swap lines."""
    lines = raw.split(b"\n")
    at = random.randrange(len(lines))
    odd = random.choice(ODD_TEXTS).encode("utf-8", "surrogatepass")
    match random.randrange(6):
        case 0:
            words = lines[at].split(b" ")
            words[random.randrange(len(words))] = odd
            lines[at] = b" ".join(words)
        case 1:
            del lines[at]
        case 2:
            lines[at:at] = [lines[at]] * random.choice((1, 3, 1000))
        case 3:
            other = random.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        case 4:
            lines[at] = lines[at].replace(b",", random.choice((b";", b"\t", b",,", b" ")))
        case 5:
            return raw.decode("utf-8", "replace").encode(
                random.choice(("utf-16", "utf-8-sig", "utf-32")), "surrogatepass"
            )
    return b"\n".join(lines)


def csv(raw: bytes, random: Random) -> bytes:
    """Put odd text into a cell, or move, drop and repeat cells of a row or of the header."""
    lines = raw.split(b"\n")
    at = random.choice((0, random.randrange(len(lines))))
    cells = lines[at].split(b",")
    cell = random.randrange(len(cells))
    odd = random.choice(ODD_TEXTS).encode("utf-8", "surrogatepass")
    match random.randrange(6):
        case 0 | 1:
            cells[cell] = odd
        case 2:
            del cells[cell]
        case 3:
            cells.insert(cell, odd)
        case 4:
            cells[cell] = b'"' + cells[cell] + random.choice((b'"', b'""', b""))
        case 5:
            other = random.randrange(len(cells))
            cells[cell], cells[other] = cells[other], cells[cell]
    lines[at] = b",".join(cells)
    return b"\n".join(lines)


def json_(raw: bytes, random: Random) -> bytes:
    """Change the value, kind, name, number or place of one to three entries of a JSON file."""
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):  # as a mutant of a mutant may nest
        return bytes_(raw, random)
    for _ in range(random.choice((1, 1, 2, 3))):
        content = _changed(content, random)
    written = json.dumps(content, indent=random.choice((None, 1)))
    match random.randrange(12):
        case 0:  # an entry of the same name as another
            written = written.replace('"', '"\\u0061', 1)
        case 1:
            written = "[" * random.choice((1, 90, 120, 100_000)) + written
        case 2:  # half of a character
            written = written.replace('": "', '": "\\ud800', 1)
    return written.encode("utf-8", "surrogatepass")


def yaml_(raw: bytes, random: Random) -> bytes:
    """As `json_`, and references that multiply, tags and merges, which YAML alone has."""
    try:
        content = yaml.safe_load(raw)
    except (yaml.YAMLError, ValueError, RecursionError):
        return bytes_(raw, random)
    for _ in range(random.choice((1, 1, 2, 3))):
        content = _changed(content, random)
    written = yaml.safe_dump(content, allow_unicode=True)
    match random.randrange(10):
        case 0:
            laughs = "\n".join(
                f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)
            )
            written = f"a0: &a0 [x]\n{laughs}\n{written}"
        case 1:
            written = f"x: &x [*x]\n{written}"
        case 2:
            written = written.replace(": ", ": !!python/object:os.system ", 1)
        case 3:
            written = f"<<: *nothing\n{written}"
    return written.encode("utf-8", "surrogatepass")


def safetensors(raw: bytes, random: Random) -> bytes:
    """Change the header (names, shapes, types, offsets, what is said of them) or the tensors."""
    if len(raw) < 8:
        return bytes_(raw, random)
    (length,) = struct.unpack("<Q", raw[:8])
    try:
        header = json.loads(raw[8 : 8 + length])
    except (ValueError, RecursionError):
        return bytes_(raw, random)
    # What is mutated twice may be no header any more.
    about = header.get("__metadata__") if isinstance(header, dict) else None
    if isinstance(about, dict) and about and random.random() < 0.6:
        key = random.choice(sorted(about))
        about[key] = json_(str(about[key]).encode(), random).decode("utf-8", "replace")
    else:
        header = _changed(header, random)
    written = json.dumps(header).encode()
    if random.random() < 0.7:
        written += b" " * (-len(written) % 8)
    size = random.choice((len(written),) * 8 + (len(written) + 1, 0, 2**40, 2**63))
    data = raw[8 + length :]
    if random.random() < 0.3:
        data = bytes_(data, random)
    return struct.pack("<Q", size) + written + data


def with_checksum(mutation: Mutation) -> Mutation:
    """The mutation, with a checksum that is right again, where what it leaves is still a file."""

    def mutate(raw: bytes, random: Random) -> bytes:
        changed = mutation(raw, random)
        try:
            tensors = load(changed)
            (length,) = struct.unpack("<Q", changed[:8])
            header = json.loads(changed[8 : 8 + length])
            about = header["__metadata__"]
            about[CHECKSUM] = checksum(tensors, about)
        except Exception:  # whatever a mutant makes of the library
            return changed
        written = json.dumps(header).encode()
        return struct.pack("<Q", len(written)) + written + changed[8 + length :]

    return mutate


def protobuf(raw: bytes, random: Random) -> bytes:
    """Change a field of a message of protocol buffers, at any depth, or that it is there once."""
    fields = _fields(raw)
    if not fields:
        return bytes_(raw, random)
    at = random.randrange(len(fields))
    number, kind, value = fields[at]
    if kind == _LENGTH and value[:1] == b"{" and random.random() < 0.9:
        fields[at] = number, kind, json_(value, random)
    elif kind == _LENGTH and _fields(value) and random.random() < 0.85:
        fields[at] = number, kind, protobuf(value, random)
    else:
        match random.randrange(6):
            case 0:
                del fields[at]
            case 1:
                fields[at:at] = [fields[at]] * random.choice((1, 50))
            case 2:
                other = random.randrange(len(fields))
                fields[at], fields[other] = fields[other], fields[at]
            case 3:
                fields[at] = random.randrange(1, 30), kind, value
            case _ if kind == _VARINT:
                sizes = (0, 1, 2, 7, 127, 2**31 - 1, 2**31, 2**63, 2**64 - 1)
                fields[at] = number, kind, _varint(random.choice(sizes))
            case 4:
                odd = random.choice(ODD_TEXTS).encode("utf-8", "surrogatepass")
                fields[at] = number, _LENGTH, odd
            case _:
                fields[at] = number, kind, bytes_(value, random)
    return b"".join(map(_written, fields))


_VARINT, _LENGTH = 0, 2
_FIXED = {1: 8, 5: 4}


def _fields(raw: bytes) -> list[tuple[int, int, bytes]]:
    """Number, kind and content of a message's fields; none where it is no message."""
    found, at = [], 0
    while at < len(raw):
        tag, at = _number(raw, at)
        number, kind = tag >> 3, tag & 7
        if not 0 < number < 2**29:
            return []
        if kind == _VARINT:
            start = at
            value, at = _number(raw, at)
            if value < 0:
                return []
            found.append((number, kind, raw[start:at]))
            continue
        size = _FIXED.get(kind, -1)
        if kind == _LENGTH:
            size, at = _number(raw, at)
        if size < 0 or at + size > len(raw):
            return []
        found.append((number, kind, raw[at : at + size]))
        at += size
    return found


def _number(raw: bytes, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte and where it ends; -1 where it does not."""
    number = 0
    for place in range(10):
        if at + place >= len(raw):
            break
        number |= (raw[at + place] & 0x7F) << 7 * place
        if raw[at + place] < 0x80:
            return number, at + place + 1
    return -1, len(raw)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _written(field: tuple[int, int, bytes]) -> bytes:
    number, kind, value = field
    size = _varint(len(value)) if kind == _LENGTH else b""
    return _varint(number << 3 | kind) + size + value


def with_export_checksum(mutation: Mutation) -> Mutation:
    """The mutation of an ONNX file of ours, with a checksum that is right again."""

    def mutate(raw: bytes, random: Random) -> bytes:
        digest = "0" * 64
        note = len(_export_note(digest))
        changed = mutation(raw[:-note], random)
        return changed + _export_note(hashlib.sha256(changed).hexdigest())

    return mutate


def _export_note(digest: str) -> bytes:
    """The field that ends an ONNX file of ours: `metadata_props`, number 14, key and value."""
    entry = _written((1, _LENGTH, CHECKSUM.encode())) + _written((2, _LENGTH, digest.encode()))
    return _written((14, _LENGTH, entry))


def npy(raw: bytes, random: Random) -> bytes:
    """Change the header of a .npy file, which is a literal of Python, or its numbers."""
    if raw[:6] != b"\x93NUMPY" or random.random() < 0.3:
        return bytes_(raw, random)
    (length,) = struct.unpack("<H", raw[8:10])
    header, data = raw[10 : 10 + length], raw[10 + length :]
    odd = (
        b"(10**9,)",
        b"(1000000000000,)",
        b"(-1,)",
        b"()",
        b"(0,)",
        b"(2, 3)",
        b"'|O'",
        b"'<f2'",
        b"'<U4'",
        b"'<f99'",
        b"[('a', '<f8')]",
        b"True",
        b"{" * 500,
        b"1e9",
    )
    words = header.split(b" ")
    words[random.randrange(len(words))] = random.choice(odd)
    header = b" ".join(words)
    size = random.choice((len(header),) * 6 + (0, 65535)) & 0xFFFF
    return raw[:8] + struct.pack("<H", size) + header + data


def zipped(inside: dict[str, Mutation]) -> Mutation:
    """Change a member of an archive by the mutation of its ending, and pack it again."""

    def mutate(raw: bytes, random: Random) -> bytes:
        if random.random() < 0.3:
            return bytes_(raw, random)
        try:
            with zipfile.ZipFile(io.BytesIO(raw)) as archive:
                members = [(one.filename, archive.read(one)) for one in archive.infolist()]
        except Exception:
            return bytes_(raw, random)
        at = random.randrange(len(members))
        name, content = members[at]
        ending = name.rpartition(".")[2]
        match random.randrange(8):
            case 0:
                del members[at]
            case 1:
                members.append((name, inside.get(ending, bytes_)(content, random)))
            case 2:
                members[at] = (random.choice(ODD_TEXTS)[:200] or "x", content)
            case _:
                members[at] = (name, inside.get(ending, bytes_)(content, random))
        packed = io.BytesIO()
        kind = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        with warnings.catch_warnings(), zipfile.ZipFile(packed, "w", kind) as archive:
            warnings.simplefilter("ignore")  # of two members of one name
            for name, content in members:
                archive.writestr(zipfile.ZipInfo(name.replace("\x00", "") or "x"), content)
        return packed.getvalue()

    return mutate


def pickle_(raw: bytes, random: Random) -> bytes:
    """Drop, repeat, move and change whole instructions of a pickle."""
    try:
        places = [place for _, _, place in pickletools.genops(raw) if place is not None]
    except Exception:
        return bytes_(raw, random)
    ends = [*places[1:], len(raw)]
    parts = [raw[a:b] for a, b in zip(places, ends, strict=True)]
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(parts))
        match random.randrange(6):
            case 0:
                del parts[at]
            case 1:
                parts.insert(at, parts[at])
            case 2:
                other = random.randrange(len(parts))
                parts[at], parts[other] = parts[other], parts[at]
            case 3:
                parts[at] = bytes_(parts[at], random)
            case 4:
                parts.insert(at, random.choice((b"cos\nsystem\n", b"R", b"b", b"(", b"l", b"2")))
            case 5:
                numbers = (b"K\xff", b"J\xff\xff\xff\x7f", b"\x8a\x09" + b"\xff" * 9, b"N", b"]")
                parts[at] = random.choice(numbers)
        if not parts:
            break
    return b"".join(parts)


def picture(raw: bytes, random: Random) -> bytes:
    """Change a segment of a JPEG or a chunk of a PNG: its size, numbers, or that it is there."""
    is_png = raw[:4] == b"\x89PNG"
    found = _chunks(raw) if is_png else _segments(raw)
    if not found:
        return bytes_(raw, random)
    data = bytearray(raw)
    start, body, end = random.choice(found)
    match random.randrange(5):
        case 0:
            del data[start:end]
        case 1:
            data[end:end] = data[start:end] * random.choice((1, 50))
        case 2:
            other, _, last = random.choice(found)
            data[start:end] = raw[other:last]
        case _:
            span = max(0, min(random.choice((1, 2, 4)), end - body))  # a segment may be cut short
            at = random.randrange(body, max(body + 1, end - span))
            if span:
                number = random.choice((0, 1, 2 ** (8 * span - 1), 2 ** (8 * span) - 1))
                data[at : at + span] = number.to_bytes(span, "big")
    if is_png and random.random() < 0.9:
        return _with_checksums(bytes(data))
    return bytes(data)


def _segments(raw: bytes) -> list[tuple[int, int, int]]:
    """Start, content and end of a JPEG's segments up to the coded picture."""
    found, at = [], 2
    while at + 4 <= len(raw) and raw[at] == 0xFF and raw[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(raw[at + 2 : at + 4], "big")
        found.append((at, at + 4, min(end, len(raw))))
        at = end
    return found


def _chunks(raw: bytes) -> list[tuple[int, int, int]]:
    """Start, content and end of a PNG's chunks, checksums included."""
    found, at = [], 8
    while at + 12 <= len(raw):
        end = at + 12 + int.from_bytes(raw[at : at + 4], "big")
        found.append((at, at + 8, min(end, len(raw))))
        at = end
    return found


def _with_checksums(raw: bytes) -> bytes:
    data = bytearray(raw)
    for start, _, end in _chunks(raw):
        if end - start >= 12:
            data[end - 4 : end] = struct.pack(">I", zlib.crc32(raw[start + 4 : end - 4]))
    return bytes(data)


def boxes(raw: bytes, random: Random) -> bytes:
    """Change a box of an MP4 file: its size, kind, numbers, or that it is there once."""
    found = _boxes(raw, 0, len(raw))
    if not found:
        return bytes_(raw, random)
    data = bytearray(raw)
    start, end = random.choice(found)
    match random.randrange(7):
        case 0:
            data[start : start + 4] = struct.pack(
                ">I", random.choice((0, 1, 7, end - start - 1, end - start + 1, 2**31, 2**32 - 1))
            )
        case 1:
            data[start + 4 : start + 8] = random.choice(
                (b"free", b"trak", b"mdat", b"moov", b"edts", b"\0\0\0\0")
            )
        case 2:
            del data[start:end]
        case 3:
            data[end:end] = data[start:end]
        case _:
            for _ in range(random.choice((1, 2, 4))):
                if end - start < 16:
                    break
                at = random.randrange(start + 8, end - 4)
                number = random.choice((0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1))
                data[at : at + 4] = struct.pack(">I", number)
    return bytes(data)


_HOLDERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf", b"udta"}


def _boxes(raw: bytes, start: int, end: int) -> list[tuple[int, int]]:
    found = []
    while start + 8 <= end:
        size, kind = struct.unpack(">I4s", raw[start : start + 8])
        size = size if size >= 8 else end - start
        last = min(end, start + size)
        found.append((start, last))
        if kind in _HOLDERS:
            found += _boxes(raw, start + 8, last)
        start = last
    return found


def elements(raw: bytes, random: Random) -> bytes:
    """Change an element of a Matroska file: its length, number, or that it is there once."""
    found = _elements(raw, 0, len(raw), 0)
    if not found:
        return bytes_(raw, random)
    data = bytearray(raw)
    start, body, end = random.choice(found)
    match random.randrange(6):
        case 0:
            data[body - 1] = random.choice((0x80, 0xFF, 0x81, 0x01))
        case 1:
            del data[start:end]
        case 2:
            data[end:end] = data[start:end] * random.choice((1, 20))
        case 3:
            data[start] = random.choice((0x1A, 0x18, 0xA3, 0xAE, 0xEC))
        case _:
            if body < end:
                span = min(8, end - body)
                number = random.choice((0, 1, 2 ** (8 * span - 1), 2 ** (8 * span) - 1, 10**9))
                data[body : body + span] = (number % 2 ** (8 * span)).to_bytes(span, "big")
    return bytes(data)


# Segment, Info, Tracks, TrackEntry, Video, Cluster, BlockGroup, Cues, Tags, Tag, SimpleTag.
_PARENTS = {
    0x18538067,
    0x1549A966,
    0x1654AE6B,
    0xAE,
    0xE0,
    0x1F43B675,
    0xA0,
    0x1C53BB6B,
    0x1254C367,
    0x7373,
    0x67C8,
}


def _elements(raw: bytes, start: int, end: int, depth: int) -> list[tuple[int, int, int]]:
    found = []
    while start < end - 2 and depth < 8:
        width = 8 - raw[start].bit_length() + 1
        if width > 4:
            break
        kind = int.from_bytes(raw[start : start + width], "big")
        at = start + width
        if at >= end or not raw[at]:
            break
        size_width = 8 - raw[at].bit_length() + 1
        size = int.from_bytes(raw[at : at + size_width], "big") & ((1 << 7 * size_width) - 1)
        body = at + size_width
        unknown = size == (1 << 7 * size_width) - 1
        last = end if unknown else min(end, body + size)
        found.append((start, body, last))
        if kind in _PARENTS:
            found += _elements(raw, body, last, depth + 1)
        start = last
    return found


def _changed(value: Any, random: Random) -> Any:
    """A copy of a value in which one entry, at any depth, is another."""
    if isinstance(value, dict) and value:
        return _changed_mapping(value, random)
    if isinstance(value, list) and value:
        return _changed_list(value, random)
    if isinstance(value, int | float) and not isinstance(value, bool) and random.random() < 0.5:
        return random.choice((-value, value * 1000003, value + 0.5, str(value), [value], -1e9))
    if isinstance(value, str) and value and random.random() < 0.4:
        return random.choice((value + "x", value[::-1], value.upper(), value + " ", value * 2))
    return random.choice(ODD_VALUES)


def _changed_mapping(value: dict[Any, Any], random: Random) -> Any:
    names = list(value)
    name, other = random.choice(names), random.choice(names)
    if random.random() < 0.75:
        return {**value, name: _changed(value[name], random)}
    odd = random.choice(ODD_TEXTS)
    return random.choice(
        (
            {k: v for k, v in value.items() if k != name},
            {(odd if k == name else k): v for k, v in value.items()},
            {**value, odd: random.choice(ODD_VALUES)},
            [list(pair) for pair in value.items()],
            {**value, name: value[other], other: value[name]},
        )
    )


def _changed_list(value: list[Any], random: Random) -> Any:
    at = random.randrange(len(value))
    before, one, after = value[:at], value[at], value[at + 1 :]
    if random.random() < 0.75:
        return [*before, _changed(one, random), *after]
    return random.choice(
        (
            [*before, *after],
            [*before, *[one] * random.choice((2, 50)), *after],
            value[::-1],
            {str(index): child for index, child in enumerate(value)},
        )
    )
