"""Snippet features: one vector for each interval of a video, and files of them."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from actline.errors import FeatureError
from actline.features.fine import feature_path, made_note
from actline.stored.ranges import Positive, Range
from actline.stored.safetensors_files import TensorFile, open_tensors, save_tensors
from actline.video.timestamps import CLOCK


class WidthError(FeatureError):
    """Features have a different number of values per snippet than expected.

    Attributes:
        found: the numbers they may have.
    """

    def __init__(self, message: str, found: tuple[int, ...]) -> None:
        super().__init__(message)
        self.found = found


@dataclass(frozen=True, eq=False)
class SnippetFeatures:
    """A video's features over time.

    Shape:
        features: (C, T), float32; snippet t covers the seconds from `offset + t * interval` to
            `offset + (t + 1) * interval`.
        probabilities: (K, T), of the backbone's classes, or None.

    Attributes:
        interval: seconds from one snippet to the next.
        duration: of the video, in seconds.
        offset: start of the first snippet, in seconds.
        classes: names of the backbone's classes, if there are `probabilities`.
    """

    features: Tensor
    interval: float
    duration: float
    offset: float = 0.0
    probabilities: Tensor | None = None
    classes: tuple[str, ...] = ()

    @property
    def times(self) -> Tensor:
        """Centre times of the snippets, in seconds; (T,) float64."""
        steps = torch.arange(self.features.shape[1], dtype=torch.float64)
        return self.offset + (steps + 0.5) * self.interval


@dataclass(frozen=True)
class SnippetOrigin:
    """The settings that snippet features depend on; files made with others are refused.

    Attributes:
        backbone: the network, such as "slowfast_r101".
        checkpoint: SHA-256 of its weights.
        interval: seconds from one snippet to the next.
        window: seconds that the network sees for one snippet.
        pooling: spatial pooling, such as "mean".
        clock: version of their times, `actline.video.timestamps.CLOCK`.
    """

    backbone: str
    checkpoint: str
    interval: Positive
    window: Positive
    pooling: str
    clock: Annotated[int, Range(1, 1000)] = CLOCK


def snippet_path(folder: Path, video_id: str) -> Path:
    """The path of a video's snippet features."""
    return feature_path(folder, video_id)


def save_snippets(
    path: Path,
    snippets: SnippetFeatures,
    origin: SnippetOrigin,
    made: Mapping[str, Any] | None = None,
) -> None:
    """Write the features of one video and what made them, whole or not at all.

    Args:
        made: their input and further settings; see `made_of_file`.

    Raises:
        FeatureError: as `checked`, or the interval is not the origin's.
        OutputError: the file cannot be written.
    """
    if not _same(snippets.interval, origin.interval):
        raise FeatureError(
            f"{path}: snippets every {snippets.interval:g} s cannot be stored as every "
            f"{origin.interval:g} s; rescaled features are computed again from stored ones"
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
    about = {"snippets": asdict(origin), "placement": placement, **made_note(made)}
    save_tensors(path, tensors, about)


def load_snippets(path: Path, origin: SnippetOrigin | None = None) -> SnippetFeatures:
    """Read the features of one video that `save_snippets` wrote.

    Args:
        origin: the required origin; None accepts any.

    Raises:
        FeatureError: the file is missing, damaged, or of another origin.
    """
    with _opened(path) as stored:
        found = _origin(stored, path)
        for name, wanted in ({} if origin is None else asdict(origin)).items():
            given = getattr(found, name)
            if not _same(given, wanted):
                raise FeatureError(
                    f"{path} was made with another {name} ({given}, not {wanted}); "
                    "extract the features again"
                )
        placement = stored.json("placement")
        tensors = stored.whole(known=("snippets", "placement", "made"))
    match placement:
        case {"offset": int() | float() as offset, "duration": int() | float() as duration}:
            classes = placement.get("classes", [])
        case _:
            raise FeatureError(_damaged(path))
    features, probabilities = tensors.get("features"), tensors.get("probabilities")
    named = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    if features is None or features.dtype != torch.float32 or features.ndim != 2 or not named:
        raise FeatureError(_damaged(path))
    if probabilities is not None and (
        probabilities.dtype != torch.float32
        or probabilities.shape != (len(classes), features.shape[1])
        or not bool(((probabilities >= 0) & (probabilities <= 1)).all())
    ):
        raise FeatureError(_damaged(path))
    snippets = SnippetFeatures(
        features, found.interval, _float(duration), _float(offset), probabilities, tuple(classes)
    )
    return checked(snippets, path)


def snippet_origin(path: Path) -> SnippetOrigin:
    """The origin of the features in a file.

    Raises:
        FeatureError: the file is missing, damaged, or holds no snippet features.
    """
    with _opened(path) as stored:
        return _origin(stored, path)


def _opened(path: Path) -> AbstractContextManager[TensorFile]:
    if not path.exists():
        raise FeatureError(f"no features at {path}; make them with `actline extract`")
    return open_tensors(path, error=FeatureError, otherwise=_damaged(path))


def _origin(stored: TensorFile, path: Path) -> SnippetOrigin:
    given = stored.json("snippets")
    if given is None:
        raise FeatureError(f"{path} holds no snippet features; give a file that does")
    match given:
        case {
            "backbone": str(backbone),
            "checkpoint": str(checkpoint),
            "interval": int() | float() as interval,
            "window": int() | float() as window,
            "pooling": str(pooling),
        } if isinstance(clock := given.get("clock", 1), int):
            return SnippetOrigin(
                backbone, checkpoint, _float(interval), _float(window), pooling, clock
            )
    raise FeatureError(
        f"{path} was written by another version of actline; extract the features again"
    )


def _float(number: float) -> float:
    """A number from JSON, which may be an integer with hundreds of digits."""
    try:
        return float(number)
    except OverflowError:
        return math.inf


def checked(snippets: SnippetFeatures, path: Path, *, width: int | None = None) -> SnippetFeatures:
    """The features, if they fit their video.

    Their total length may differ from the duration by a few snippets or by a twentieth: published
    features leave out incomplete snippets, and use a rounded frame rate.

    Args:
        path: named in errors.
        width: the expected C.

    Raises:
        FeatureError: the interval or duration is not positive, the width differs, there are no
            snippets, values are not finite, or the length does not fit the duration.
    """
    features, interval, duration = snippets.features, snippets.interval, snippets.duration
    for name, value in (("interval", interval), ("duration", duration)):
        if not (math.isfinite(value) and value > 0):
            raise FeatureError(f"{path}: the {name} is {value:g} s; give one above 0")
    if not math.isfinite(snippets.offset):
        raise FeatureError(f"{path}: the offset is {snippets.offset} s; give a number of seconds")
    if features.ndim != 2 or 0 in features.shape:
        shape = " x ".join(str(size) for size in features.shape)
        raise FeatureError(f"{path}: {shape or 'one'} values are not snippets; extract them again")
    channels, length = features.shape
    if width is not None and channels != width:
        raise WidthError(
            f"{path} has {channels} values per snippet, not {width}; give the features that the "
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
    """Whether a number of snippets can cover a video, times in seconds; see `checked`."""
    return abs(offset + length * interval - duration) <= max(4 * interval, 0.05 * duration)


def rescaled(snippets: SnippetFeatures, length: int) -> SnippetFeatures:
    """Rescale features to a fixed length by linear interpolation, as for BMN.

    The first and last new snippets are the first and last old ones, and the others are evenly
    spaced between them. Each then covers the fraction 1 / `length` of the video.

    Shape:
        returns features (C, length), interval duration / length, offset 0.

    Source: `resizeFeature` in BSN's data processing, which BMN's published features went through.
    """
    features = F.interpolate(
        snippets.features[None], size=length, mode="linear", align_corners=True
    )[0]
    return SnippetFeatures(features, snippets.duration / length, snippets.duration)


def sliding_windows(snippets: SnippetFeatures, length: int) -> list[SnippetFeatures]:
    """Windows of `length` snippets with a stride of half a window, the last one at the end.

    A video shorter than a window is padded with zeros.

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
