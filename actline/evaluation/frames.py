"""Per-frame mAP: every frame of every video, as the authors' training code reports it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actline.annotations.annotations import AnnotatedVideo, Annotations, frame_labels
from actline.evaluation.average_precision import average_precision
from actline.evaluation.bootstrap import Interval, bootstrap_mean_precision, chance_precision
from actline.timeline import FrameScores

PROTOCOL = "per-frame mAP (dense)"


@dataclass(frozen=True, eq=False)
class ClassScore:
    """One class's results: average precision, chance, and how many frames are positive."""

    label: str
    average_precision: float
    chance: float
    frames: int


@dataclass(frozen=True, eq=False)
class FrameScore:
    """A per-frame result; every number is in [0, 1].

    Attributes:
        protocol: its name, shown with every number.
        mean: over classes that occur.
        mean_published: over all classes, those that never occur counting 0, as the published
            meter takes it.
        mean_available: as `mean`, over only the videos that have predictions; in the other numbers
            the rest count as frames of score 0.
        chance: mean average precision of random scores, over classes that occur.
        interval: where `mean` lies when videos are resampled; None when not asked for.
        videos, frames: how many were scored.
        classes: per class.
    """

    protocol: str
    mean: float
    mean_published: float
    mean_available: float
    chance: float
    interval: Interval | None
    videos: int
    frames: int
    classes: tuple[ClassScore, ...] = field(repr=False)


def evaluate_dense(
    annotations: Annotations,
    predictions: dict[str, FrameScores],
    *,
    label_rate: float | None = None,
    draws: int = 0,
    seed: int = 0,
) -> FrameScore:
    """Score predictions at every frame of the annotated videos.

    Args:
        predictions: by video id; a video without any counts as frames of score 0.
        label_rate: labels a second, to which scores are interpolated, as in the published code
            (24, one a source frame); None takes labels at the predictions' own times, and of a
            video without any at the rate that most predictions have.
        draws: bootstrap draws over videos; 0 gives no interval.
    """
    frames = []
    rate_of_missing = label_rate or own_rate(predictions)
    for video in annotations.videos:
        found = predictions.get(video.id)
        times, scores = scores_at(
            found, video, len(annotations.classes), label_rate, rate_of_missing=rate_of_missing
        )
        labels = frame_labels(video.truth, annotations.classes, times)
        frames.append((scores, labels, found is not None))
    return summarize(PROTOCOL, annotations.classes, frames, draws=draws, seed=seed)


def own_rate(predictions: Mapping[str, FrameScores]) -> float:
    """Scores a second: the median over videos; 1 where no video has two times."""
    rates = [
        (len(found.times) - 1) / (found.times[-1] - found.times[0])
        for found in predictions.values()
        if len(found.times) > 1 and found.times[-1] > found.times[0]
    ]
    return float(np.median(rates)) if rates else 1.0


def scores_at(
    found: FrameScores | None,
    video: AnnotatedVideo,
    classes: int,
    label_rate: float | None,
    *,
    rate_of_missing: float,
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """The times that are scored, and the scores there: (T,) and (T, C)."""
    duration = video.duration or max((a.end for a in video.truth), default=1.0)
    if found is None:
        times = np.arange(max(1, round(duration * rate_of_missing))) / rate_of_missing
        return times, np.zeros((len(times), classes), np.float32)
    if label_rate is None:
        return found.times, found.probabilities
    times = np.arange(max(1, round(duration * label_rate))) / label_rate
    return times, interpolate(found, times)


def interpolate(found: FrameScores, times: NDArray[np.float64]) -> NDArray[np.float32]:
    """Scores between frames, linearly; beyond the ends those of the end: (T, C)."""
    position = np.interp(times, found.times, np.arange(len(found.times)))
    before = position.astype(np.intp)
    after = np.minimum(before + 1, len(found.times) - 1)
    part = (position - before).astype(np.float32)[:, None]
    mixed = found.probabilities[before] * (1 - part) + found.probabilities[after] * part
    return mixed.astype(np.float32)


def summarize(
    protocol: str,
    classes: tuple[str, ...],
    frames: list[tuple[NDArray[np.float32], NDArray[np.float32], bool]],
    *,
    draws: int,
    seed: int,
) -> FrameScore:
    """Put the frames of all videos together: a list of scores, labels and availability."""
    scores = np.concatenate([s for s, _, _ in frames])
    labels = np.concatenate([t for _, t, _ in frames])
    occurs = labels.any(axis=0)
    precision = average_precision(scores, labels)
    available = [(s, t) for s, t, there in frames if there]
    if len(available) == len(frames):
        mean_available = _mean(precision, occurs)
    elif available:
        there = np.concatenate([t for _, t in available])
        of_available = average_precision(np.concatenate([s for s, _ in available]), there)
        mean_available = _mean(of_available, there.any(axis=0))
    else:
        mean_available = 0.0
    interval = None
    if draws:
        videos = np.repeat(np.arange(len(frames)), [len(s) for s, _, _ in frames])
        generator = np.random.default_rng(seed)
        interval = bootstrap_mean_precision(
            scores, labels, videos, draws=draws, generator=generator
        )
    chance = chance_precision(labels)
    return FrameScore(
        protocol=protocol,
        mean=_mean(precision, occurs),
        mean_published=float(precision.mean()),
        mean_available=mean_available,
        chance=_mean(chance, occurs),
        interval=interval,
        videos=len(frames),
        frames=len(scores),
        classes=tuple(
            ClassScore(label, float(ap), float(by_chance), int(count))
            for label, ap, by_chance, count in zip(
                classes, precision, chance, labels.sum(axis=0), strict=True
            )
        ),
    )


def _mean(values: NDArray[np.float64], chosen: ArrayLike) -> float:
    """Mean over the chosen classes, 0 when none is."""
    selected = values[np.asarray(chosen, bool)]
    return float(selected.mean()) if len(selected) else 0.0
