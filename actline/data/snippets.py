"""Snippet features: one vector for every stretch of a video, and the file that keeps them."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from actline.data.features import feature_path, made_note
from actline.errors import FeatureError
from actline.files import written_whole
from actline.video.timestamps import CLOCK


class WidthError(FeatureError):
    """Features have another number of values a snippet than is asked for.

    Attributes:
        found: the numbers that they may have.
    """

    def __init__(self, message: str, found: tuple[int, ...]) -> None:
        super().__init__(message)
        self.found = found


@dataclass(frozen=True, eq=False)
class SnippetFeatures:
    """A video's features over time.

    Shape:
        features: (C, T), float32; snippet t stands for the seconds from `offset + t * interval`
            to `offset + (t + 1) * interval`.
        probabilities: (K, T) of the backbone's classes, or None.

    Attributes:
        interval: seconds from one snippet to the next.
        duration: of the video, in seconds.
        offset: seconds at which the first snippet's stretch starts.
        classes: names of the backbone's classes, where there are `probabilities`.
    """

    features: Tensor
    interval: float
    duration: float
    offset: float = 0.0
    probabilities: Tensor | None = None
    classes: tuple[str, ...] = ()

    @property
    def times(self) -> Tensor:
        """The middles of the snippets' stretches, in seconds; (T,) float64."""
        steps = torch.arange(self.features.shape[1], dtype=torch.float64)
        return self.offset + (steps + 0.5) * self.interval


@dataclass(frozen=True)
class SnippetOrigin:
    """What snippet features depend on; files made otherwise are refused, not silently used.

    Attributes:
        backbone: the network, such as "slowfast_r101".
        checkpoint: SHA-256 of its weights.
        interval: seconds from one snippet to the next.
        window: seconds that the network sees for one snippet.
        pooling: over space, such as "mean".
        clock: what their times are by, `actline.video.timestamps.CLOCK`.
    """

    backbone: str
    checkpoint: str
    interval: float
    window: float
    pooling: str
    clock: int = CLOCK


def snippet_path(folder: Path, video_id: str) -> Path:
    """Where the snippet features of a video are."""
    return feature_path(folder, video_id)


def save_snippets(
    path: Path,
    snippets: SnippetFeatures,
    origin: SnippetOrigin,
    made: Mapping[str, Any] | None = None,
) -> None:
    """Write the features of one video and what made them, whole or not at all.

    Args:
        made: which input they are of, and further settings; see `made_of_file`.

    Raises:
        FeatureError: as `checked`, or the interval is not the origin's.
        OutputError: the file cannot be written.
    """
    if not _same(snippets.interval, origin.interval):
        raise FeatureError(
            f"{path}: snippets every {snippets.interval:g} s cannot be stored as every "
            f"{origin.interval:g} s; rescaled features are made anew from stored ones"
        )
    checked(snippets, path)
    placement = {
        "offset": snippets.offset,
        "duration": snippets.duration,
        "classes": snippets.classes,
    }
    tensors = {"features": snippets.features.float().contiguous()}
    if snippets.probabilities is not None:
        tensors["probabilities"] = snippets.probabilities.float().contiguous()
    metadata = {
        "snippets": json.dumps(asdict(origin)),
        "placement": json.dumps(placement),
        **made_note(made),
    }
    with written_whole(path) as aside:
        save_file(tensors, aside, metadata)


def load_snippets(path: Path, origin: SnippetOrigin | None = None) -> SnippetFeatures:
    """Read the features of one video that `save_snippets` wrote.

    Args:
        origin: what must have made them; None takes any.

    Raises:
        FeatureError: no such file, a damaged one, or one of another origin.
    """
    found = snippet_origin(path)
    for name, wanted in ({} if origin is None else asdict(origin)).items():
        given = getattr(found, name)
        if not _same(given, wanted):
            raise FeatureError(
                f"{path} was made with another {name} ({given}, not {wanted}); "
                "extract the features again"
            )
    try:
        with safe_open(path, framework="pt") as stored:
            features = stored.get_tensor("features")
            scored = "probabilities" in stored.keys()  # noqa: SIM118 - not a mapping
            probabilities = stored.get_tensor("probabilities") if scored else None
            placement = json.loads(stored.metadata()["placement"])
            offset, duration = float(placement["offset"]), float(placement["duration"])
            classes = tuple(str(name) for name in placement.get("classes", ()))
            if scored and stored.get_slice("probabilities").get_shape() != [
                len(classes),
                features.shape[-1],
            ]:
                raise ValueError("probabilities of other classes or snippets")
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise FeatureError(_damaged(path)) from error
    snippets = SnippetFeatures(features, found.interval, duration, offset, probabilities, classes)
    return checked(snippets, path)


def snippet_origin(path: Path) -> SnippetOrigin:
    """What made the features of a file.

    Raises:
        FeatureError: no such file, a damaged one, or one that holds no snippet features.
    """
    if not path.exists():
        raise FeatureError(f"no features at {path}; make them with `actline extract`")
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise FeatureError(_damaged(path)) from error
    if "snippets" not in metadata:
        raise FeatureError(f"{path} holds no snippet features; give a file that does")
    try:
        given = {"clock": 1} | json.loads(metadata["snippets"])
        named = {name: kind(given[name]) for name, kind in SnippetOrigin.__annotations__.items()}
        return SnippetOrigin(**named)
    except (KeyError, TypeError, ValueError) as error:
        raise FeatureError(
            f"{path} was written by another version of actline; extract the features again"
        ) from error


def checked(snippets: SnippetFeatures, path: Path, *, width: int | None = None) -> SnippetFeatures:
    """The features, if they can be those of their video.

    The stretch they cover may differ from the duration by a few snippets or by a twentieth:
    published features leave out what fills no snippet, and count frames at a rounded frame rate.

    Args:
        path: to start an error with.
        width: the C that is expected.

    Raises:
        FeatureError: no positive interval or duration, another width, no snippets, values that
            are not finite, or a length that does not fit the duration.
    """
    features, interval, duration = snippets.features, snippets.interval, snippets.duration
    for name, value in (("interval", interval), ("duration", duration)):
        if not (math.isfinite(value) and value > 0):
            raise FeatureError(f"{path}: the {name} is {value:g} s; give one above 0")
    if not math.isfinite(snippets.offset):
        raise FeatureError(f"{path}: the offset is {snippets.offset} s; give a number of seconds")
    if features.ndim != 2 or 0 in features.shape:
        shape = " x ".join(str(size) for size in features.shape)
        raise FeatureError(f"{path}: {shape or 'one'} values are no snippets; extract them again")
    channels, length = features.shape
    if width is not None and channels != width:
        raise WidthError(
            f"{path} has {channels} values a snippet, not {width}; give the features that the "
            "model was made for",
            (channels,),
        )
    wrong = (~torch.isfinite(features)).any(dim=0).nonzero()
    if len(wrong):
        raise FeatureError(
            f"{path}: {len(wrong)} of {length} snippets hold values that are not finite, first "
            f"number {int(wrong[0]) + 1}; extract them again"
        )
    if not fits(length, interval, duration, snippets.offset):
        raise FeatureError(
            f"{path}: {length} snippets of {interval:g} s make {length * interval:.1f} s, but the "
            f"video lasts {duration:.1f} s; the file is cut off, or another interval is right "
            "(data.interval)"
        )
    return snippets


def fits(length: int, interval: float, duration: float, offset: float = 0.0) -> bool:
    """Whether so many snippets can cover a video, all in seconds; see `checked`."""
    return abs(offset + length * interval - duration) <= max(4 * interval, 0.05 * duration)


def rescaled(snippets: SnippetFeatures, length: int) -> SnippetFeatures:
    """Bring features to a fixed length by linear interpolation, as BMN takes them.

    The first and the last of the new snippets are the first and the last of the old, and the
    others lie evenly between. Each then stands for one part of `length` of the whole video.

    Shape:
        returns features (C, length), interval duration / length, offset 0.

    Source: `resizeFeature` in BSN's data processing, which BMN's published features went through.
    """
    features = F.interpolate(
        snippets.features[None], size=length, mode="linear", align_corners=True
    )[0]
    return SnippetFeatures(features, snippets.duration / length, snippets.duration)


def sliding_windows(snippets: SnippetFeatures, length: int) -> list[SnippetFeatures]:
    """Windows of `length` snippets, each half of it after the one before, the last at the end.

    A video shorter than a window is filled up with zeros.

    Shape:
        each has features (C, length), `offset` in the video, and the window's own duration.

    Source: BMN's experiments on THUMOS-14 (Section 4.1), as in OpenTAD's configuration.
    """
    features, seconds = snippets.features, length * snippets.interval
    count = features.shape[1]
    last = max(count - length, 0)
    starts = [*range(0, last, max(length // 2, 1)), last]
    padded = F.pad(features, (0, max(length - count, 0)))
    return [
        SnippetFeatures(
            padded[:, start : start + length],
            snippets.interval,
            seconds,
            snippets.offset + start * snippets.interval,
        )
        for start in starts
    ]


def _same(given: object, wanted: object) -> bool:
    if isinstance(given, float) and isinstance(wanted, float):
        return math.isclose(given, wanted, rel_tol=1e-6)
    return given == wanted


def _damaged(path: Path) -> str:
    return f"{path} is not a whole features file; extract it again"
