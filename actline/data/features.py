"""Stored Fine features: one safetensors file a video, which says what made it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from actline.errors import FeatureError
from actline.files import written_whole
from actline.video.find import find_below
from actline.video.names import output_path
from actline.video.timestamps import CLOCK


@dataclass(frozen=True)
class FeatureOrigin:
    """What features depend on; files made otherwise are refused, not silently used.

    Attributes:
        checkpoint: SHA-256 of the weights that made them.
        rate: sampled frames per second, or None.
        stride: source frames from one sampled frame to the next, or None.
        size: pixels a side of the frames that were encoded.
        clock: what their times are by, `actline.video.timestamps.CLOCK`.
    """

    checkpoint: str
    rate: float | None
    stride: int | None
    size: int
    clock: int = CLOCK


def feature_path(folder: Path, video_id: str) -> Path:
    """Where the features of a video are."""
    return output_path(folder, video_id, ".safetensors")


def found_features(folder: Path, video_id: str) -> Path:
    """Where the features of an annotated video are, however its id is written, or would be.

    Raises:
        VideoError: several files in folders below might be meant.
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
        made: which input they are of, and further settings; see `made_of_file`.
    """
    contiguous = {name: stage.contiguous() for name, stage in stages.items()}
    with written_whole(path) as aside:
        save_file(contiguous, aside, {"origin": json.dumps(asdict(origin)), **made_note(made)})


def made_note(made: Mapping[str, Any] | None) -> dict[str, str]:
    """What features are made of, as metadata of their file."""
    return {} if made is None else {"made": json.dumps(made)}


def made_of_file(path: Path) -> dict[str, Any]:
    """What the features in a file were made of, as noted there; empty where nothing is."""
    try:
        with safe_open(path, framework="pt") as stored:
            found = json.loads((stored.metadata() or {}).get("made", "{}"))
    except (SafetensorError, OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def load_features(
    path: Path, origin: FeatureOrigin, *, first: int = 0, count: int | None = None
) -> dict[str, Tensor]:
    """Read positions `first` to `first + count` of a video's features, as float32.

    Shape:
        returns {stage: (C, n, G, G)}, with n less than `count` where the video ends.

    Raises:
        FeatureError: no such file, a damaged one, or one of another origin.
    """
    check_origin(path, origin)
    with safe_open(path, framework="pt") as stored:
        stages = {}
        for name in stored.keys():  # noqa: SIM118 - not a mapping
            stage = stored.get_slice(name)
            last = stage.get_shape()[1] if count is None else first + count
            stages[name] = stage[:, first:last].to(torch.float32)
        return stages


def feature_count(path: Path, origin: FeatureOrigin) -> int:
    """How many positions in time a video's features have.

    Raises:
        FeatureError: as `load_features`.
    """
    check_origin(path, origin)
    with safe_open(path, framework="pt") as stored:
        first = next(iter(stored.keys()))
        return stored.get_slice(first).get_shape()[1]


def check_origin(path: Path, origin: FeatureOrigin) -> None:
    """Refuse features that are missing, damaged or of another origin.

    Raises:
        FeatureError: with what differs.
    """
    if not path.exists():
        raise FeatureError(f"no features at {path}; make them with `actline extract`")
    try:
        with safe_open(path, framework="pt") as stored:
            found = json.loads(stored.metadata()["origin"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise FeatureError(f"{path} is not a whole features file; extract it again") from error
    for name, wanted in asdict(origin).items():
        given = found.get(name, 1 if name == "clock" else None)
        if given != wanted:
            raise FeatureError(
                f"{path} was made with another {name} ({given}, not {wanted}); "
                "extract the features again"
            )
