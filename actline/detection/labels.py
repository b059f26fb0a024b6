"""From a video's proposals to its detections: suppression, then classes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from actline.errors import FeatureError
from actline.features.snippets import SnippetFeatures
from actline.models.cards import LabelConfig
from actline.timeline import Activity
from actline.timeline.proposals import Proposals
from actline.timeline.suppression import SuppressionConfig, suppress

# A video's classes are read off this many of its best proposals.
CLASSIFIED_PROPOSALS = 10
ClassScores = Sequence[tuple[str, float]]


def suppressed(proposals: Proposals, config: SuppressionConfig, *, duration: float) -> Proposals:
    """What suppression leaves of a video's proposals."""
    kept = suppress(
        proposals.start,
        proposals.end,
        proposals.score,
        proposals.label,
        config=config,
        duration=duration,
    )
    label = None if proposals.label is None else proposals.label[kept.index]
    return Proposals(kept.start, kept.end, kept.score, label=label, names=proposals.names)


def label_proposals(
    proposals: Proposals,
    features: SnippetFeatures,
    config: LabelConfig,
    *,
    video_classes: ClassScores | None = None,
) -> tuple[Activity, ...]:
    """The best of a video's proposals as activities, ordered by start.

    Those that have a label keep it and their score. The others get classes; a detection's
    confidence is then proposal score times class score.

    Args:
        video_classes: what an outside classifier says of the video, best first; None takes the
            probabilities in the features.

    Source: `save_detection_result` in TCANet's published code, for `per="video"`.

    Raises:
        FeatureError: neither proposals, features nor `video_classes` say what the classes are.
    """
    if not len(proposals):
        return ()
    if proposals.label is not None:
        names, rows, columns = proposals.names, np.arange(len(proposals)), proposals.label
        confidence = proposals.score
    else:
        names, within = _classes_of(proposals, features, config, video_classes)
        # The likeliest classes of each proposal, then the best of all pairs.
        top = np.argsort(-within, axis=1, kind="stable")[:, : config.top]
        rows = np.repeat(np.arange(len(proposals)), top.shape[1])
        columns = top.ravel()
        confidence = (proposals.score[:, None] * within)[rows, columns]
    order = np.argsort(-confidence, kind="stable")[: config.detections]
    found = [
        Activity(
            names[int(columns[i])],
            float(proposals.start[rows[i]]),
            float(proposals.end[rows[i]]),
            float(confidence[i]),
        )
        for i in order
    ]
    return tuple(sorted(found, key=lambda activity: (activity.start, activity.label)))


def _classes_of(
    proposals: Proposals,
    features: SnippetFeatures,
    config: LabelConfig,
    video_classes: ClassScores | None,
) -> tuple[Sequence[str], NDArray[np.float64]]:
    """Names of classes (K), and each proposal's scores of them (N, K)."""
    if video_classes is not None:
        best = video_classes[: config.top]
        scores = np.array([score for _, score in best])
        return [name for name, _ in best], np.broadcast_to(scores, (len(proposals), len(best)))
    if features.probabilities is None:
        raise FeatureError(
            "the features hold no class probabilities; give a classifier's as video classes"
        )
    within = class_scores(proposals, features)
    if config.per == "video":
        judged = proposals.score[:CLASSIFIED_PROPOSALS]
        total = max(float(judged.sum()), 1e-12)
        mean = (within[:CLASSIFIED_PROPOSALS] * judged[:, None]).sum(axis=0) / total
        within = np.broadcast_to(mean, within.shape)
    return features.classes, within


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
