"""Average recall of proposals, whatever their class, over how many there are per video.

Recall is the share of true activities that some proposal overlaps by at least a temporal IoU;
average recall (AR) is its mean over thresholds; the average number of proposals (AN) is reached
by taking the same percentage of every video's, by descending score.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from actline.annotations.annotations import Annotations
from actline.errors import AnnotationError
from actline.evaluation.overlap import (
    Predictions,
    SegmentTable,
    overlapping_pairs,
    ranking,
    tables_of,
)

# The curve's points: percentages of the proposals.
PERCENT = np.arange(1, 101) / 100.0


@dataclass(frozen=True)
class ProposalProtocol:
    """What the curve of average recall is taken over.

    Attributes:
        name: shown with every number.
        thresholds: of temporal IoU.
        average_numbers: the AN at which AR is reported.
        most: the AN where the curve ends, at most that many a video on average; None takes all
            proposals.
    """

    name: str
    thresholds: tuple[float, ...]
    average_numbers: tuple[int, ...]
    most: int | None = None


# The published eval_proposal.py, at 100 proposals a video, as in the challenge.
ACTIVITYNET = ProposalProtocol(
    "ActivityNet AR@AN at tIoU 0.5:0.05:0.95",
    tuple(np.linspace(0.5, 0.95, 10).tolist()),
    (1, 5, 10, 50, 100),
    most=100,
)
# The code that DAPs, SST, TURN and BSN share: percentages of all proposals there are. It rounds
# times to frames and counts both ends; here overlap is in seconds. It leaves out videos without
# proposals; here their activities count as missed.
THUMOS = ProposalProtocol(
    "THUMOS-14 AR@AN at tIoU 0.5:0.05:1.0",
    tuple(np.linspace(0.5, 1.0, 11).tolist()),
    (50, 100, 200, 500, 1000),
)
PROTOCOLS = (ACTIVITYNET, THUMOS)


@dataclass(frozen=True, eq=False)
class ProposalScore:
    """A result; recalls are in [0, 1].

    Attributes:
        protocol: its name, shown with every number.
        at: AR by AN, read off the curve by linear interpolation; beyond its end, its last value.
        area: under the curve of AR over AN, in percent of an AR of 1 throughout (AUC).
        thresholds: of temporal IoU, (T,).
        average_numbers: the curve's AN, increasing, (100,).
        recall: at each threshold and AN, (T, 100); its mean over thresholds is the curve.
        videos: how many have true activities.
        activities: how many those are.
        proposals_per_video: how many there are on average.
        missing: ids of videos that have true activities but no proposals; they count.
        unknown_videos: ids of videos that have proposals but are not annotated; these proposals
            count in the percentage that is taken, as published, and in nothing else.
    """

    protocol: str
    at: dict[int, float]
    area: float
    thresholds: tuple[float, ...]
    average_numbers: NDArray[np.float64] = field(repr=False)
    recall: NDArray[np.float64] = field(repr=False)
    videos: int
    activities: int
    proposals_per_video: float
    missing: tuple[str, ...] = field(repr=False)
    unknown_videos: tuple[str, ...] = field(repr=False)

    @property
    def average_recall(self) -> NDArray[np.float64]:
        """The curve's AR at each of `average_numbers`: (100,)."""
        return self.recall.mean(axis=0)


def average_recall(
    annotations: Annotations, proposals: Predictions, protocol: ProposalProtocol = ACTIVITYNET
) -> ProposalScore:
    """Score proposals: by video id, segments with their confidence, of any label.

    Raises:
        AnnotationError: there are no true activities, or unusable ones.
        PredictionError: a time or score is not finite.
    """
    tables = tables_of(annotations, proposals, class_agnostic=True)
    if not len(tables.truth):
        raise AnnotationError("there is nothing to score: no video has an activity")
    recall, numbers = recall_curve(tables.truth, tables.predictions, protocol)
    curve = recall.mean(axis=0)
    videos = len(np.unique(tables.truth.video))
    return ProposalScore(
        protocol=protocol.name,
        at={n: float(np.interp(n, numbers, curve)) for n in protocol.average_numbers},
        area=100.0 * _area(curve, numbers),
        thresholds=protocol.thresholds,
        average_numbers=numbers,
        recall=recall,
        videos=videos,
        activities=len(tables.truth),
        proposals_per_video=len(tables.predictions) / videos,
        missing=tables.missing,
        unknown_videos=tables.unknown_videos,
    )


def _area(curve: NDArray[np.float64], numbers: NDArray[np.float64]) -> float:
    """Under the curve by the trapezoid rule, as a fraction of that under a constant curve of 1.

    The part before the first point is left out of the area, but not of the whole, as published.
    """
    if not numbers[-1]:
        return 0.0
    steps = np.diff(numbers) * (curve[1:] + curve[:-1]) / 2.0
    return float(steps.sum() / numbers[-1])


def recall_curve(
    truth: SegmentTable, found: SegmentTable, protocol: ProposalProtocol
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recall at each threshold and percentage, and the percentages' AN: (T, 100) and (100,)."""
    thresholds = protocol.thresholds
    videos, of_truth = np.unique(truth.video, return_inverse=True)
    most = len(found) / len(videos) if protocol.most is None else protocol.most
    found_in = np.bincount(found.video, minlength=videos.max() + 1)[videos]
    # A first cut to `most` on average, then the percentages of what it leaves: both cut within a
    # video, and round down, as in the published code.
    wanted = most * len(videos)
    kept = np.minimum((found_in * (wanted / max(1, len(found)))).astype(np.intp), found_in)
    if not kept.any():
        return np.zeros((len(thresholds), len(PERCENT))), PERCENT * most
    part = PERCENT * (wanted / kept.sum())
    taken = np.minimum((kept[:, None] * part).astype(np.intp), kept[:, None])
    first = _first_hits(truth, found, thresholds)
    hits = [(first[:, t, None] < taken[of_truth]).sum(axis=0) for t in range(len(thresholds))]
    return np.array(hits) / len(truth), part * (kept.sum() / len(videos))


def _first_hits(
    truth: SegmentTable, found: SegmentTable, thresholds: tuple[float, ...]
) -> NDArray[np.intp]:
    """How many proposals of its video come before the first that finds each activity: (G, T).

    An activity that none finds gets a number larger than any video's proposals.
    """
    first = np.full((len(truth), len(thresholds)), len(found), np.intp)
    found = found[ranking(found.video, found.score)]
    pairs = overlapping_pairs(truth, found, same_class=False, least=min(thresholds))
    if not len(pairs.row):
        return first
    rank = pairs.other - np.searchsorted(found.video, found.video[pairs.other], side="left")
    starts = np.flatnonzero(np.diff(pairs.row, prepend=-1))
    for column, threshold in enumerate(thresholds):
        ranks = np.where(pairs.overlap >= threshold, rank, len(found))
        first[pairs.row[starts], column] = np.minimum.reduceat(ranks, starts)
    return first
