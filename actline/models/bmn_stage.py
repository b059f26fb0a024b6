"""BMN as a stage of a chain: from one video's features to the proposals that its maps hold."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from actline.errors import FeatureError
from actline.features.snippets import SnippetFeatures, rescaled, sliding_windows
from actline.models.stage import MOST_PROPOSALS
from actline.timeline.proposals import Proposals

if TYPE_CHECKING:
    from actline.models.bmn import BMN


class BMNStage:
    """Proposes segments from features alone."""

    def __init__(self, network: "BMN") -> None:
        self.network = network

    @torch.inference_mode()
    def __call__(
        self,
        features: SnippetFeatures,
        given: Proposals | None = None,
        *,
        most: int = MOST_PROPOSALS,
    ) -> Proposals:
        """As in `Stage`.

        Raises:
            FeatureError: the features are of another width than BMN was trained on.
        """
        bmn = self.network
        if features.features.shape[0] != bmn.config.channels:
            raise FeatureError(
                f"the features have {features.features.shape[0]} values a snippet; this BMN takes "
                f"{bmn.config.channels}; give the features that it was trained on"
            )
        if bmn.config.sliding:
            seen = sliding_windows(features, bmn.config.temporal_scale)
        else:
            seen = [rescaled(features, bmn.config.temporal_scale)]
        found = [self._of_one(part, most) for part in seen]
        return merge_windows(found, duration=features.duration).best(most)

    def _of_one(self, features: SnippetFeatures, most: int) -> Proposals:
        """Proposals for what BMN sees at once, at their times in the video."""
        output = self.network(features.features[None].to(next(self.network.parameters()).device))
        start, end, confidence = (part[0].float().cpu().numpy() for part in output)
        found = proposals_from_maps(start, end, confidence, duration=features.duration, most=most)
        return Proposals(found.start + features.offset, found.end + features.offset, found.score)


def merge_windows(parts: Sequence[Proposals], *, duration: float) -> Proposals:
    """All proposals of a video's windows, by descending score, cut off where the video ends."""
    start, end, score = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("start", "end", "score")
    )
    start, end = np.maximum(start, 0.0), np.minimum(end, duration)
    order = np.argsort(-score, kind="stable")
    order = order[(end > start)[order]]
    return Proposals(start[order], end[order], score[order])


def proposals_from_maps(
    start: NDArray[np.float32],
    end: NDArray[np.float32],
    confidence: NDArray[np.float32],
    *,
    duration: float,
    most: int = 1000,
) -> Proposals:
    """Pair likely starts with likely ends (BMN's inference; `BMN_inference` in its code).

    A boundary is likely where its probability is a peak, or more than half of the largest. A
    pair's score is the product of both probabilities and both confidences.

    The published code never pairs a start with the end of the video, for which the maps have no
    position; here the last position's probability stands for it.

    Args:
        duration: of the video, in seconds.
        most: how many of the best are kept.

    Shape:
        start, end: (T,), probabilities at times 0, 1, …, T - 1, in T-ths of the video;
        confidence: (2, T, T), regression and classification, of the segments from the start of
            one snippet to the end of another.
    """
    length = len(start)
    ends = np.append(end, end[-1])  # at times 0 to T
    firsts, lasts = np.nonzero(_likely(start))[0], np.nonzero(_likely(ends))[0]
    first, last = np.meshgrid(firsts, lasts, indexing="ij")
    first, last = first[first < last], last[first < last]
    pair = confidence[:, first, last - 1].astype(np.float64)
    score = start[first] * ends[last] * pair[0] * pair[1]
    best = np.argsort(-score, kind="stable")[:most]
    times = np.arange(length + 1, dtype=np.float64) * (duration / length)
    return Proposals(times[first[best]], times[last[best]], score[best])


def _likely(probability: NDArray[np.float32]) -> NDArray[np.bool_]:
    # The first and the last position are always taken, as published.
    padded = np.pad(probability, 1, constant_values=-1.0)
    peak = (probability > padded[:-2]) & (probability > padded[2:])
    peak[[0, -1]] = True
    return peak | (probability > 0.5 * probability.max())
