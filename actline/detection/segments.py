"""Segment-level detection: features to proposals, refined, labelled."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actline.detection.chain import Chain
from actline.detection.map_proposals import suppressed
from actline.detection.snippet_features import extract_snippets
from actline.detection.stages import propose, refine
from actline.errors import FeatureError, PredictionError
from actline.features.snippets import SnippetFeatures
from actline.models.cards import LabelConfig
from actline.names import id_of
from actline.timeline import Activity, Timeline
from actline.timeline.proposals import Proposals

# A video's classes are read off this many of its best proposals.
CLASSIFIED_PROPOSALS = 10
ClassScores = Sequence[tuple[str, float]]


def detect_segments(
    video: str | Path,
    chain: Chain,
    *,
    features: SnippetFeatures | None = None,
    proposals: Proposals | None = None,
    video_classes: ClassScores | None = None,
    frame_rate: float = 24.0,
    on_frames: Callable[[int], None] | None = None,
) -> Timeline:
    """Find the segments of activities in a video.

    Args:
        video: a video file, or a folder of frames.
        features: the video's, where they are stored; None encodes the video.
        proposals: another method's; None lets the chain's BMN propose.
        video_classes: what an outside classifier says of the video, best first; None takes the
            backbone's own probabilities.
        frame_rate: of a frame folder.
        on_frames: called with the number of frames that were newly seen, for progress.

    Raises:
        VideoError: the video cannot be read.
        FeatureError: the features were made in another way, or the chain cannot make them.
        PredictionError: the chain cannot propose.
    """
    video = Path(video)
    if features is None:
        if chain.backbone is None:
            raise FeatureError("the chain has no backbone to make features; give --features")
        features = extract_snippets(
            video,
            chain.backbone,
            interval=chain.card.interval,
            frame_rate=frame_rate,
            on_frames=on_frames,
        )
    activities = find_segments(features, chain, proposals=proposals, video_classes=video_classes)
    return Timeline(id_of(video), features.duration, activities)


def find_segments(
    features: SnippetFeatures,
    chain: Chain,
    *,
    proposals: Proposals | None = None,
    video_classes: ClassScores | None = None,
) -> tuple[Activity, ...]:
    """The segments of activities in a video's features, ordered by start.

    Raises:
        FeatureError: without `video_classes`, the features hold no class probabilities.
        PredictionError: without `proposals`, the chain has no BMN to propose.
    """
    if proposals is None:
        if chain.bmn is None:
            raise PredictionError("the chain has no BMN to propose; give --proposals")
        proposals = propose(chain.bmn, features, device=chain.device)
    if chain.tcanet is not None:
        proposals = refine(chain.tcanet, features, proposals, device=chain.device)
    proposals = suppressed(proposals, chain.suppression, duration=features.duration)
    return labelled(proposals, features, chain.card.labels, video_classes=video_classes)


def labelled(
    proposals: Proposals,
    features: SnippetFeatures,
    config: LabelConfig,
    *,
    video_classes: ClassScores | None = None,
) -> tuple[Activity, ...]:
    """Give proposals their classes; a detection's confidence is proposal score times class score.

    Source: `save_detection_result` in TCANet's published code, for `per="video"`.

    Raises:
        FeatureError: without `video_classes`, the features hold no class probabilities.
    """
    if not len(proposals):
        return ()
    if video_classes is not None:
        names = [name for name, _ in video_classes[: config.top]]
        scores = np.array([score for _, score in video_classes[: config.top]])
        within = np.broadcast_to(scores, (len(proposals), len(names)))
    else:
        if features.probabilities is None:
            raise FeatureError(
                "the features hold no class probabilities; give a classifier's with --video-classes"
            )
        within = class_scores(proposals, features)
        if config.per == "video":
            best = proposals.score[:CLASSIFIED_PROPOSALS]
            total = max(float(best.sum()), 1e-12)
            mean = (within[:CLASSIFIED_PROPOSALS] * best[:, None]).sum(axis=0) / total
            within = np.broadcast_to(mean, within.shape)
        names = list(features.classes)
    confidence = proposals.score[:, None] * within
    # The likeliest classes of each proposal, then the best of all pairs.
    top = np.argsort(-within, axis=1, kind="stable")[:, : config.top]
    rows = np.repeat(np.arange(len(proposals)), top.shape[1])
    columns = top.ravel()
    order = np.argsort(-confidence[rows, columns], kind="stable")[: config.detections]
    found = [
        Activity(
            names[columns[i]],
            float(proposals.start[rows[i]]),
            float(proposals.end[rows[i]]),
            float(confidence[rows[i], columns[i]]),
        )
        for i in order
    ]
    return tuple(sorted(found, key=lambda activity: (activity.start, activity.label)))


def class_scores(proposals: Proposals, features: SnippetFeatures) -> NDArray[np.float64]:
    """Mean probability of every class within each proposal: (N, K)."""
    assert features.probabilities is not None, "checked by the caller"
    probabilities = features.probabilities.double().numpy()
    length = probabilities.shape[1]
    sums = np.pad(probabilities.cumsum(axis=1), ((0, 0), (1, 0)))
    first = np.floor((proposals.start - features.offset) / features.interval).astype(np.intp)
    first = first.clip(0, length - 1)
    last = np.ceil((proposals.end - features.offset) / features.interval).astype(np.intp)
    last = np.maximum(last.clip(0, length), first + 1)
    return ((sums[:, last] - sums[:, first]) / (last - first)).T
