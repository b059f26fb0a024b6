"""The `Charades_v1_localize` protocol: 25 equally spaced frames a video, and its submission file.

A submission's line is the video, the frame's number from 1 to 25, and a score for each class,
separated by spaces. Frame i is at (i - 1) / 25 of the duration, and a class is positive there when
its activity starts no later and ends no earlier (Charades' own evaluation script).

The Coarse-Fine authors take their scores elsewhere: of n labels, one a source frame, at rows 1,
1 + ⌊n/25⌋, 1 + 2⌊n/25⌋, … (`train_coarse_fineFEAT.py`). Their published number is of such scores
against the truth at i/25; what their training log counts has the truth at those rows as well.
"""

import csv
import io
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from actline.annotations.annotations import AnnotatedVideo, Annotations, frame_labels
from actline.errors import AnnotationError, PredictionError
from actline.evaluation.frames import FrameScore, interpolate, summarize
from actline.files import write_text
from actline.parsing import brief, parse_id, video_id_of
from actline.stored.text import read_text
from actline.timeline import FrameScores

PROTOCOL = "per-frame mAP (Charades_v1_localize, 25 frames a video)"
PROTOCOLS = {
    "charades": PROTOCOL,
    "authors": PROTOCOL.replace(")", ", scores at the Coarse-Fine authors' rows)"),
    "authors-log": PROTOCOL.replace(")", ", scores and truth at the Coarse-Fine authors' rows)"),
}
FRAMES = 25

Submission = dict[str, NDArray[np.float32]]
"""Scores (25, C) by video id."""


@dataclass(frozen=True, slots=True)
class LocalizeFrames:
    """Where the 25 frames of a video are, for its scores and for the truth.

    Attributes:
        at: "charades" has both at (i - 1) / 25 of the duration; "authors" the scores at the
            Coarse-Fine authors' rows, as they submit them; "authors-log" the truth there too.
        source_rate: frames a second of the source, whose count the rows follow from: that of
            Charades_v1_rgb.
        stride: source frames from one sampled frame to the next; the authors cut a video to whole
            ones.
    """

    at: Literal["charades", "authors", "authors-log"] = "charades"
    source_rate: float = 24.0
    stride: int = 10

    def rows(self, duration: float) -> tuple[NDArray[np.intp], float]:
        """The authors' rows (25,), and the rate that they count a video's frames at."""
        frames = max(1, round(duration * self.source_rate))
        labels = max(1, frames // self.stride * self.stride)
        rows = 1 + max(1, labels // FRAMES) * np.arange(FRAMES)
        # With fewer than 25 labels the authors have fewer rows; here the last one stands for the
        # rest.
        return np.minimum(rows, labels - 1), frames / duration

    def score_times(self, duration: float) -> NDArray[np.float64]:
        """When scores are read, in seconds: (25,).

        The authors stretch sampled frames to rows by their centres (`F.interpolate`), so that row
        r shows what lies half a stride before it.
        """
        if self.at == "charades":
            return frame_times_of(duration)
        rows, rate = self.rows(duration)
        return np.maximum(0.0, rows - (self.stride - 1) / 2) / rate

    def label_times(self, duration: float) -> NDArray[np.float64]:
        """When the truth is read, in seconds: (25,)."""
        if self.at != "authors-log":
            return frame_times_of(duration)
        rows, rate = self.rows(duration)
        return rows / rate


CHARADES_FRAMES = LocalizeFrames()


def frame_times_of(duration: float) -> NDArray[np.float64]:
    """The 25 times of a video, in seconds."""
    return np.arange(FRAMES) / FRAMES * duration


def localize(
    annotations: Annotations,
    predictions: dict[str, FrameScores],
    frames: LocalizeFrames = CHARADES_FRAMES,
) -> Submission:
    """Scores at the 25 frames of every annotated video that has predictions.

    Between sampled frames probabilities are interpolated, the authors' as logits.
    """
    submission = {}
    for video in annotations.videos:
        if video.id not in predictions:
            continue
        scores, times = predictions[video.id], frames.score_times(_duration(video))
        if frames.at == "charades":
            submission[video.id] = interpolate(scores, times)
            continue
        tiny = np.finfo(np.float32).tiny
        bounded = scores.probabilities.astype(np.float64).clip(tiny, 1 - 1e-12)
        logits = replace(scores, probabilities=np.log(bounded / (1 - bounded)))
        submission[video.id] = 1 / (1 + np.exp(-interpolate(logits, times)))
    return submission


def evaluate_localize(
    annotations: Annotations,
    submission: Submission,
    frames_at: LocalizeFrames = CHARADES_FRAMES,
    *,
    draws: int = 0,
    seed: int = 0,
) -> FrameScore:
    """Score a submission; a video that is not in it counts as 25 frames of the lowest score."""
    frames = []
    lowest = min((float(scores.min()) for scores in submission.values()), default=0.0)
    for video in annotations.videos:
        times = frames_at.label_times(_duration(video))
        if frames_at.at == "authors-log":
            labels = frame_labels(video.truth, annotations.classes, times)
        else:
            labels = np.zeros((FRAMES, len(annotations.classes)), np.float32)
            for activity in video.truth:
                inside = (activity.start <= times) & (times <= activity.end)
                labels[inside, annotations.classes.index(activity.label)] = 1
        scores = submission.get(video.id)
        there = scores is not None
        if scores is None:
            scores = np.full(labels.shape, lowest, np.float32)
        frames.append((scores, labels, there))
    return summarize(PROTOCOLS[frames_at.at], annotations.classes, frames, draws=draws, seed=seed)


def write_submission(submission: Submission, path: Path) -> None:
    """Write the file that Charades' evaluation reads, whole or not at all."""
    lines = []
    for video, scores in submission.items():
        for number, row in enumerate(scores, 1):
            lines.append(f"{video} {number} " + " ".join(f"{value:.6g}" for value in row))
    write_text(path, "\n".join(lines) + "\n")


def read_submission(path: Path, classes: int) -> Submission:
    """Read a submission, or the CSV that the authors' code writes (`video,time,"scores"`).

    Raises:
        PredictionError: with the line: a wrong number of scores, a frame that is not from 1 to 25,
            repeated or missing, or scores that are not finite numbers.
    """
    text = read_text(path, error=PredictionError, what="a submission")
    try:
        return _submission(text, path, classes)
    except (AnnotationError, csv.Error) as error:
        raise PredictionError(
            f"{path} is not a submission ({error})" if isinstance(error, csv.Error) else str(error)
        ) from error


def _submission(text: str, path: Path, classes: int) -> Submission:
    as_csv = "," in text.split("\n", 1)[0]
    result: dict[str, NDArray[np.float32]] = {}
    seen: dict[str, int] = {}
    rows = (
        csv.reader(io.StringIO(text)) if as_csv else (ln.split(" ", 2) for ln in text.splitlines())
    )
    for line, row in enumerate(rows, 1):
        if not row or row == [""]:
            continue
        where = f"{path}, line {line}"
        if len(row) != 3:
            raise PredictionError(f"{where}: expected a video, a frame and {classes} scores")
        video = parse_id(video_id_of(row[0]), where)
        # The authors' rows are in the order of the frames and hold a time instead of a number.
        frame = seen.get(video, 0) if as_csv else _frame_number(row[1], where)
        scores = np.array(row[2].split(), dtype=object)
        if len(scores) != classes:
            raise PredictionError(f"{where}: {len(scores)} scores for {classes} classes")
        try:
            values = scores.astype(np.float32)
        except (ValueError, OverflowError) as error:
            raise PredictionError(f"{where}: a score is not a number") from error
        if not np.isfinite(values).all():
            raise PredictionError(f"{where}: a score is not a finite number")
        table = result.setdefault(video, np.full((FRAMES, classes), np.nan, np.float32))
        if frame >= FRAMES or not np.isnan(table[frame, 0]):
            raise PredictionError(f"{where}: frame {frame + 1} of {video} appears twice")
        table[frame] = values
        seen[video] = frame + 1
    for video, table in result.items():
        if np.isnan(table).any():
            missing = int(np.isnan(table[:, 0]).argmax()) + 1
            raise PredictionError(f"{path}: frame {missing} of {video} is missing")
    if not result:
        raise PredictionError(f"{path} holds no scores; write it with `actline evaluate`")
    return result


def _frame_number(text: str, where: str) -> int:
    if not re.fullmatch("[0-9]{1,3}", text) or not 1 <= int(text) <= FRAMES:
        raise PredictionError(f"{where}: {brief(text)} is not a frame from 1 to {FRAMES}")
    return int(text) - 1


def _duration(video: AnnotatedVideo) -> float:
    return video.duration or max((a.end for a in video.truth), default=1.0)
