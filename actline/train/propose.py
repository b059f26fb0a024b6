"""Running BMN and TCANet on one video's features: seconds in, seconds out."""

import numpy as np
import torch

from actline.data.proposals import Proposals
from actline.data.snippets import SnippetFeatures, rescaled
from actline.errors import FeatureError
from actline.models.bmn import BMN
from actline.models.proposals import proposals_from_maps
from actline.models.tcanet import TCANet

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
    if features.features.shape[0] != bmn.channels:
        raise FeatureError(
            f"the features have {features.features.shape[0]} values a snippet; this BMN takes "
            f"{bmn.channels}; give the features that it was trained on"
        )
    snippets = rescaled(features, bmn.temporal_scale).features
    start, end, confidence = (
        part[0].float().cpu().numpy() for part in bmn(snippets[None].to(device))
    )
    return proposals_from_maps(start, end, confidence, duration=features.duration, most=most)


@torch.inference_mode()
def refine(
    tcanet: TCANet, features: SnippetFeatures, proposals: Proposals, *, device: torch.device
) -> Proposals:
    """TCANet's form of a video's proposals: moved boundaries, and scores times predicted overlap.

    Those that are moved out of the video are left out.

    Raises:
        FeatureError: the features are of another width or interval than TCANet was trained on.
    """
    values, takes = features.features.shape[0], tcanet.channels
    interval = tcanet.snippet_interval
    if values != takes or abs(features.interval - interval) > 1e-6 * interval:
        raise FeatureError(
            f"the features have {values} values every {features.interval:g} s; this TCANet takes "
            f"{takes} every {interval:g} s; give the features that it was trained on"
        )
    if not len(proposals):
        return proposals
    given = torch.from_numpy(np.stack([proposals.start, proposals.end], axis=1)).float()
    last = tcanet(features.features[None].to(device), given[None].to(device))[-1]
    moved = last.refined[0].double().cpu().numpy()
    # The last stage's overlap is of the proposals it was given, the nearest to the refined ones.
    score = proposals.score * last.iou[0].double().cpu().numpy()
    order = np.argsort(-score, kind="stable")
    start, end = moved[order, 0], np.minimum(moved[order, 1], features.duration)
    inside = end > start
    return Proposals(start[inside], end[inside], score[order][inside])
