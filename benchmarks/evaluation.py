"""Segments' mAP and proposals' AR@AN against ActivityNet's own evaluator."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.evaluation.overlap import Predictions
from actline.evaluation.proposals import ACTIVITYNET as PROPOSALS
from actline.evaluation.proposals import ProposalScore, average_recall
from actline.evaluation.segments import SegmentScore, detection_average_precision
from actline.timeline import Activity
from benchmarks.measure import Row, alternate, compared
from benchmarks.published import NOT_COMPARED, absent, functions, has_pandas, repository, running
from benchmarks.quantities import peak_memory

REPOSITORY = "ActivityNet"
EVALUATOR = "ActivityNet's evaluator"
THRESHOLDS = np.linspace(0.5, 0.95, 10)


def rows(reference: Path | None, quick: bool) -> list[Row]:
    """Both measures of one seeded data set."""
    videos, detections, classes = (30, 10, 8) if quick else (2000, 100, 200)
    annotations, predictions = seeded(videos, detections=detections, classes=classes)
    sizes = f"{videos} videos x {detections}, {classes} classes"
    folder = repository(reference, REPOSITORY)
    note = ""
    if folder is None:
        note = absent(REPOSITORY)
    elif not has_pandas():
        note, folder = f"{NOT_COMPARED}{EVALUATOR} needs pandas", None
    with running():
        return [
            precision(folder, annotations, predictions, sizes=sizes, note=note),
            recall(folder, annotations, predictions, sizes=sizes, note=note, quick=quick),
        ]


def precision(
    folder: Path | None,
    annotations: Annotations,
    predictions: Predictions,
    *,
    sizes: str,
    note: str,
) -> Row:
    """Mean average precision at ten tIoU thresholds."""

    def score() -> SegmentScore:
        return detection_average_precision(annotations, predictions)

    other_seconds = None
    seconds, _ = alternate(score, None)
    if folder is not None:
        other = published_precision(folder, annotations, predictions)
        # Minutes a call: timed once, between two measurements of ours, as the machine may change.
        began = time.perf_counter()
        expected = other()
        other_seconds = time.perf_counter() - began
        seconds = (seconds + alternate(score, None)[0]) / 2
        np.testing.assert_allclose(score().per_class, expected, rtol=0, atol=1e-12)
        note = "every class's AP at every tIoU to 1e-12; theirs in one process, called once"
    return Row(
        what="mAP at ten tIoU",
        sizes=sizes,
        ours=seconds,
        other=other_seconds,
        other_name=EVALUATOR,
        target=150.0,
        ours_memory=peak_memory(score),
        note=note,
    )


def recall(
    folder: Path | None,
    annotations: Annotations,
    predictions: Predictions,
    *,
    sizes: str,
    note: str,
    quick: bool,
) -> Row:
    """Average recall over the number of proposals, and the area under it."""

    def score() -> ProposalScore:
        return average_recall(annotations, predictions, PROPOSALS)

    other: Callable[[], Any] | None = None
    if folder is not None:
        other = published_recall(folder, annotations, predictions)
        ours = score()
        found, _, numbers = other()
        np.testing.assert_allclose(ours.recall, found, rtol=0, atol=1e-12)
        np.testing.assert_allclose(ours.average_numbers, numbers, rtol=1e-12)
        note = "recall at every tIoU and AN to 1e-12"
    return compared(
        score,
        other,
        what="AR@AN and AUC",
        sizes=sizes,
        other_name=EVALUATOR,
        target=15.0,
        note=note,
        runs=1 if quick else 5,
    )


def seeded(
    videos: int, *, detections: int, classes: int
) -> tuple[Annotations, dict[str, list[Activity]]]:
    """One to three activities of one class a video, and detections some of which are near them."""
    draw = np.random.default_rng(0)
    names = tuple(f"activity {number:03d}" for number in range(classes))
    annotated: list[AnnotatedVideo] = []
    predictions: dict[str, list[Activity]] = {}
    for number in range(videos):
        duration = draw.uniform(30, 240)
        label = names[number % classes]
        starts = draw.uniform(0, 0.7, draw.integers(1, 4)) * duration
        ends = starts + draw.uniform(0.02, 0.3, len(starts)) * duration
        true = tuple(
            Activity(label, start, end)
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        )
        annotated.append(AnnotatedVideo(f"video {number:05d}", "validation", duration, true))

        of = draw.integers(len(starts), size=detections)
        near = draw.random(detections) < 0.3
        anywhere = draw.uniform(0, 0.8, detections) * duration
        width = draw.uniform(0.01, 0.3, detections) * duration
        moved = draw.normal(0, 0.03, (2, detections)) * duration
        start = np.where(near, starts[of] + moved[0], anywhere).clip(0)
        end = np.where(near, ends[of] + moved[1], anywhere + width)
        end = np.maximum(end, start + 0.1)
        right = near | (draw.random(detections) < 0.6)
        labels = [
            label if is_right else names[any_label]
            for is_right, any_label in zip(
                right.tolist(), draw.integers(classes, size=detections).tolist(), strict=True
            )
        ]
        score = draw.random(detections)
        rows_of_video = zip(labels, start.tolist(), end.tolist(), score.tolist(), strict=True)
        predictions[f"video {number:05d}"] = [Activity(*row) for row in rows_of_video]
    return Annotations(names, tuple(annotated)), predictions


def frames(annotations: Annotations, predictions: Predictions) -> tuple[Any, Any]:
    """The same as the tables that the published functions take."""
    import pandas  # pyright: ignore[reportMissingImports]

    number = {name: position for position, name in enumerate(annotations.classes)}
    true = [(video.id, row) for video in annotations.videos for row in video.activities]
    found = [(video, row) for video, of_video in predictions.items() for row in of_video]
    truth, given = (
        pandas.DataFrame(
            {
                "video-id": [video for video, _ in pairs],
                "t-start": [row.start for _, row in pairs],
                "t-end": [row.end for _, row in pairs],
                "label": [number[row.label] for _, row in pairs],
                "score": [row.confidence for _, row in pairs],
            }
        )
        for pairs in (true, found)
    )
    return truth.drop(columns="score"), given


def published_precision(
    folder: Path, annotations: Annotations, predictions: Predictions
) -> Callable[[], Any]:
    """Average precisions (T, C), class by class as the evaluator does, in one process."""
    evaluate = published_functions(folder, "eval_detection.py", after="def compute_average_prec")
    truth, given = frames(annotations, predictions)

    def score() -> Any:
        by_label, given_by_label = truth.groupby("label"), given.groupby("label")
        columns = [
            evaluate["compute_average_precision_detection"](
                by_label.get_group(number).reset_index(drop=True),
                given_by_label.get_group(number).reset_index(drop=True),
                THRESHOLDS,
            )
            for number in range(len(annotations.classes))
        ]
        return np.stack(columns, axis=1)

    return score


def published_recall(
    folder: Path, annotations: Annotations, predictions: Predictions
) -> Callable[[], Any]:
    """Recall, average recall and numbers of proposals."""
    evaluate = published_functions(folder, "eval_proposal.py", after="def average_recall_vs")
    truth, given = frames(annotations, predictions)

    def score() -> Any:
        return evaluate["average_recall_vs_avg_nr_proposals"](
            truth, given, max_avg_nr_proposals=PROPOSALS.most, tiou_thresholds=THRESHOLDS
        )

    return score


def published_functions(folder: Path, name: str, *, after: str) -> dict[str, Any]:
    """Functions of the evaluator, whose files are Python 2: without the classes that print."""
    shared = functions(
        folder / "Evaluation" / "utils.py",
        after="def interpolated_prec_rec",
        names={"np": np, "xrange": range},
    )
    return functions(folder / "Evaluation" / name, after=after, names=shared)
