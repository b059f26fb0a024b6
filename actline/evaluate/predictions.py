"""Per-frame predictions as `actline detect` writes them, put beside the annotations."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actline.data.annotations import Annotations
from actline.errors import PredictionError
from actline.timeline import FrameScores
from actline.timeline_reading import load_scores


@dataclass(frozen=True)
class Coverage:
    """Which annotated videos have predictions.

    Attributes:
        annotated: how many videos are annotated.
        missing: ids without predictions.
        short: ids left out for being shorter than the protocol takes.
        unknown: ids of predictions that are not annotated; they are not used.
    """

    annotated: int
    missing: tuple[str, ...]
    short: tuple[str, ...]
    unknown: tuple[str, ...]


def read_scores(path: Path) -> FrameScores:
    """Read one ID.npz of `actline detect`.

    Raises:
        PredictionError: it is damaged, holds objects, or its arrays do not fit each other.
    """
    scores = load_scores(path).scores
    if scores is None or not len(scores.times):
        raise PredictionError(f"{path} has no per-frame scores; make it again")
    return scores


def read_predictions(folder: Path, annotations: Annotations) -> dict[str, FrameScores]:
    """Read a folder's predictions for annotated videos, with the annotations' class order.

    Raises:
        PredictionError: no such folder, nothing in it, or other classes than the annotations'.
    """
    if not folder.is_dir():
        raise PredictionError(f"no predictions folder at {folder}; make one with `actline detect`")
    paths = {path.stem: path for path in sorted(folder.glob("*.npz"))}
    if not paths:
        raise PredictionError(f"{folder} holds no predictions (ID.npz); run `actline detect`")
    result = {}
    for video, path in paths.items():
        if video in annotations:
            result[video] = _in_order(read_scores(path), annotations.classes, path)
    if not result:
        raise PredictionError(f"none of the {len(paths)} predictions in {folder} is annotated")
    return result


def coverage(
    folder: Path,
    annotations: Annotations,
    predictions: dict[str, FrameScores],
    *,
    min_seconds: float,
) -> Coverage:
    """Count what is missing, too short or unknown."""
    short = tuple(v.id for v in annotations.videos if (v.duration or np.inf) < min_seconds)
    taken = [v.id for v in annotations.videos if v.id not in set(short)]
    return Coverage(
        annotated=len(annotations.videos),
        missing=tuple(v for v in taken if v not in predictions),
        short=short,
        unknown=tuple(p.stem for p in sorted(folder.glob("*.npz")) if p.stem not in annotations),
    )


def _in_order(scores: FrameScores, classes: tuple[str, ...], path: Path) -> FrameScores:
    if scores.classes == classes:
        return scores
    different = sorted(set(scores.classes) ^ set(classes))
    if different:
        where = "predictions" if different[0] in scores.classes else "annotations"
        raise PredictionError(
            f'{path}: class "{different[0]}" is among the {where} alone; '
            "evaluate against the annotations the model was trained with"
        )
    order = [scores.classes.index(name) for name in classes]
    return FrameScores(classes, scores.times, scores.probabilities[:, order])
