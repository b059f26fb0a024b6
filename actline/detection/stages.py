"""Running BMN and TCANet on one video's features: seconds in, seconds out."""

from collections.abc import Sequence

import numpy as np
import torch

from actline.detection.map_proposals import proposals_from_maps
from actline.errors import FeatureError
from actline.features.snippets import SnippetFeatures, rescaled, sliding_windows
from actline.models.bmn import BMN
from actline.models.tcanet import TCANet
from actline.timeline.proposals import Proposals

# Enough for every activity many times over, and what published proposal files hold at most.
MOST_PROPOSALS = 1000


@torch.inference_mode()
def propose(
    bmn: BMN, features: SnippetFeatures, *, device: torch.device, most: int = MOST_PROPOSALS
) -> Proposals:
    """BMN's proposals for a video, by falling score, not yet suppressed.

    Raises:
        FeatureError: the features are of another width than BMN was trained on.
    """
    if features.features.shape[0] != bmn.config.channels:
        raise FeatureError(
            f"the features have {features.features.shape[0]} values a snippet; this BMN takes "
            f"{bmn.config.channels}; give the features that it was trained on"
        )
    if bmn.config.sliding:
        seen = sliding_windows(features, bmn.config.temporal_scale)
    else:
        seen = [rescaled(features, bmn.config.temporal_scale)]
    found = [_of_one(bmn, part, device=device, most=most) for part in seen]
    return joined(found, duration=features.duration).best(most)


def _of_one(bmn: BMN, features: SnippetFeatures, *, device: torch.device, most: int) -> Proposals:
    """Proposals for what BMN sees at once, at their place in the video."""
    start, end, confidence = (
        part[0].float().cpu().numpy() for part in bmn(features.features[None].to(device))
    )
    found = proposals_from_maps(start, end, confidence, duration=features.duration, most=most)
    return Proposals(found.start + features.offset, found.end + features.offset, found.score)


def joined(parts: Sequence[Proposals], *, duration: float) -> Proposals:
    """All proposals of a video's windows, by falling score, cut off where the video ends."""
    start, end, score = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("start", "end", "score")
    )
    start, end = np.maximum(start, 0.0), np.minimum(end, duration)
    order = np.argsort(-score, kind="stable")
    order = order[(end > start)[order]]
    return Proposals(start[order], end[order], score[order])


@torch.inference_mode()
def refine(
    tcanet: TCANet, features: SnippetFeatures, proposals: Proposals, *, device: torch.device
) -> Proposals:
    """TCANet's form of a video's proposals: moved boundaries, and scores times predicted overlap.

    The overlap is that of the regressor that `tcanet.config.scored_by` says.

    Those that are moved out of the video are left out.

    Raises:
        FeatureError: the features are of another width or interval than TCANet was trained on.
    """
    values, takes = features.features.shape[0], tcanet.config.channels
    interval = tcanet.config.snippet_interval
    if values != takes or abs(features.interval - interval) > 1e-6 * interval:
        raise FeatureError(
            f"the features have {values} values every {features.interval:g} s; this TCANet takes "
            f"{takes} every {interval:g} s; give the features that it was trained on"
        )
    if not len(proposals):
        return proposals
    given = torch.from_numpy(np.stack([proposals.start, proposals.end], axis=1)).float()
    stages = tcanet(features.features[None].to(device), given[None].to(device))
    moved = stages[-1].refined[0].double().cpu().numpy()
    # The last stage's overlap is of the proposals it was given, the nearest to the refined ones.
    judge = stages[(tcanet.config.scored_by or len(stages)) - 1]
    score = proposals.score * judge.iou[0].double().cpu().numpy()
    order = np.argsort(-score, kind="stable")
    start, end = moved[order, 0], np.minimum(moved[order, 1], features.duration)
    inside = end > start
    return Proposals(start[inside], end[inside], score[order][inside])
