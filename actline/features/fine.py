"""Stored Fine features: one safetensors file per video, which records what made it."""

import json
import zlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actline.errors import FeatureError
from actline.names import output_path
from actline.stored.safetensors_files import TensorFile, bytes_of, open_tensors, save_tensors
from actline.video.find import find_below
from actline.video.timestamps import CLOCK

# The metadata key of the positions' checksums, and the number of digits of each.
_POSITIONS = "positions"
_DIGITS = 8


@dataclass(frozen=True)
class FeatureOrigin:
    """The settings that features depend on; files made with others are refused.

    Attributes:
        checkpoint: SHA-256 of the weights that made them.
        rate: sampled frames per second, or None.
        stride: source frames from one sampled frame to the next, or None.
        size: side of the encoded frames, in pixels.
        clock: version of their times, `actline.video.timestamps.CLOCK`.
    """

    checkpoint: str
    rate: float | None
    stride: int | None
    size: int
    clock: int = CLOCK


def feature_path(folder: Path, video_id: str) -> Path:
    """The path of a video's features."""
    return output_path(folder, video_id, ".safetensors")


def found_features(folder: Path, video_id: str) -> Path:
    """The path of an annotated video's features, in any form of its id; or where they would be.

    Raises:
        VideoError: several files in subfolders match.
    """
    path = feature_path(folder, video_id)
    if path.is_file():
        return path
    return find_below(folder, video_id, (".safetensors",)) or path


def save_features(
    path: Path,
    stages: dict[str, Tensor],
    origin: FeatureOrigin,
    made: Mapping[str, Any] | None = None,
) -> None:
    """Write the features of one video, each (C, N, G, G), whole or not at all.

    Args:
        made: their input and further settings; see `made_of_file`.
    """
    contiguous = {name: stage.contiguous() for name, stage in stages.items()}
    about = {"origin": asdict(origin), _POSITIONS: _checksums(contiguous), **made_note(made)}
    save_tensors(path, contiguous, about)


def made_note(made: Mapping[str, Any] | None) -> dict[str, Any]:
    """What features were made from, as metadata of their file."""
    return {} if made is None else {"made": made}


def made_of_file(path: Path) -> dict[str, Any]:
    """What the features in a file were made from, as noted there; empty if not noted."""
    try:
        with _opened(path) as stored:
            found = stored.json("made")
    except FeatureError:
        return {}
    return found if isinstance(found, dict) else {}


def load_features(
    path: Path,
    origin: FeatureOrigin,
    *,
    first: int = 0,
    count: int | None = None,
    shapes: Mapping[str, tuple[int, int, int]] | None = None,
) -> dict[str, Tensor]:
    """Read positions `first` to `first + count` of a video's features, as float32.

    The file's checksum is verified if all of it is read, and those of its positions if a part is;
    older files without checksums are read too.

    Args:
        shapes: expected (C, G, G) of each stage; None accepts any.

    Shape:
        returns {stage: (C, n, G, G)}, with n less than `count` at the end of the video.

    Raises:
        FeatureError: the file is missing, damaged, or of another origin.
    """
    with _opened(path) as stored:
        _check_origin(stored, path, origin)
        length = _length(stored, path)
        found = {name: stored.shape(name) for name in stored.names}
        if shapes is not None and shapes != {n: (c, g, h) for n, (c, _, g, h) in found.items()}:
            raise FeatureError(
                f"{path} holds features of other stages or sizes than the network expects; "
                "extract them again, or give the network's checkpoint that made them"
            )
        last = length if count is None else first + count
        if first <= 0 and last >= length:
            stages = stored.whole(known=("origin", "made", _POSITIONS))
        else:
            first, last = max(0, first), min(last, length)
            place = slice(first, last)
            stages = {name: stored.part(name, slice(None), place) for name in stored.names}
            kept = stored.metadata.get(_POSITIONS)
            if kept is not None and (
                len(kept) != _DIGITS * length
                or kept[_DIGITS * first : _DIGITS * last] != _checksums(stages)
            ):
                raise FeatureError(_damaged(path))
    stages = {name: stage.to(torch.float32) for name, stage in stages.items()}
    if not all(bool(torch.isfinite(stage).all()) for stage in stages.values()):
        raise FeatureError(_damaged(path))
    return stages


def _checksums(stages: Mapping[str, Tensor]) -> str:
    """A CRC-32 of each position's values in all stages, one after another.

    Training reads some positions of a long video, and verifying the whole file each time would cost
    more than reading it.

    Shape:
        stages: {stage: (C, N, G, G)}, as they are stored; returns 8 N hexadecimal digits.
    """
    sums: list[int] = []
    for name, stage in sorted(stages.items()):
        channels, count, *cells = stage.shape
        values = bytes_of(stage.transpose(0, 1))
        size = len(values) // max(1, count)
        about = zlib.crc32(json.dumps([name, str(stage.dtype), channels, cells]).encode())
        sums = [
            zlib.crc32(values[size * at : size * (at + 1)], about ^ before)
            for at, before in enumerate(sums or [0] * count)
        ]
    return "".join(f"{one:0{_DIGITS}x}" for one in sums)


def feature_count(path: Path, origin: FeatureOrigin) -> int:
    """The number of temporal positions of a video's features.

    Raises:
        FeatureError: as `load_features`.
    """
    with _opened(path) as stored:
        _check_origin(stored, path, origin)
        return _length(stored, path)


def check_origin(path: Path, origin: FeatureOrigin) -> None:
    """Refuse features that are missing, damaged or of another origin.

    Raises:
        FeatureError: says what differs.
    """
    with _opened(path) as stored:
        _check_origin(stored, path, origin)


def _opened(path: Path) -> AbstractContextManager[TensorFile]:
    if not path.exists():
        raise FeatureError(f"no features at {path}; make them with `actline extract`")
    return open_tensors(path, error=FeatureError, otherwise=_damaged(path))


def _check_origin(stored: TensorFile, path: Path, origin: FeatureOrigin) -> None:
    found = stored.json("origin")
    if not isinstance(found, dict):
        raise FeatureError(_damaged(path))
    for name, wanted in asdict(origin).items():
        given = found.get(name, 1 if name == "clock" else None)
        if given != wanted:
            raise FeatureError(
                f"{path} was made with another {name} ({given}, not {wanted}); "
                "extract the features again"
            )


def _length(stored: TensorFile, path: Path) -> int:
    """The number of positions of all stages, from the header."""
    shapes = [stored.shape(name) for name in stored.names]
    if not shapes or any(len(shape) != 4 or 0 in shape for shape in shapes):
        raise FeatureError(_damaged(path))
    if len({shape[1] for shape in shapes}) > 1:
        raise FeatureError(_damaged(path))
    return shapes[0][1]


def _damaged(path: Path) -> str:
    return f"{path} is not a whole features file; extract it again"
