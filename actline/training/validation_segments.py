"""Validation while training BMN or TCANet: average recall of proposals, by the area under AR-AN."""

import torch
from torch import nn

from actline.annotations.annotations import Annotations
from actline.detection.labels import suppressed
from actline.detection.model import for_inference
from actline.evaluation.proposals import average_recall
from actline.models.cards import SegmentCard
from actline.models.stage import MOST_PROPOSALS, stage_of
from actline.progress import progress
from actline.timeline import Activity
from actline.timeline.proposals import Proposals
from actline.training.loop import Validation
from actline.training.proposals import ProposalJob
from actline.training.refinement import RefinementJob

PROTOCOL = "AUC of AR@AN (activitynet, tIoU 0.5:0.05:0.95)"


def validate_proposals(
    network: nn.Module,
    card: SegmentCard,
    annotations: Annotations,
    job: ProposalJob | RefinementJob,
    *,
    device: torch.device,
) -> Validation:
    """Proposals of validation videos, suppressed as in detection, against all their activities.

    Raises:
        FeatureError: a video's features cannot be used.
    """
    stage = stage_of(for_inference(network, device), card.classes)
    refined = isinstance(job, RefinementJob)
    given = job.proposals(annotations, most=MOST_PROPOSALS) if refined else {}
    found = {}
    with progress("validating", total=len(annotations.videos), unit="videos") as advance:
        for video in annotations.videos:
            features = job.features.load(video)
            proposals = stage(features, given.get(video.id))
            kept = suppressed(proposals, card.suppression, duration=features.duration)
            found[video.id] = as_activities(kept)
            advance()
    score = average_recall(annotations, found)
    return Validation(score=score.area / 100, protocol=PROTOCOL)


def as_activities(proposals: Proposals) -> list[Activity]:
    """Proposals in the form that evaluation takes, without a class."""
    return [
        Activity("", float(start), float(end), float(score))
        for start, end, score in zip(proposals.start, proposals.end, proposals.score, strict=True)
    ]
