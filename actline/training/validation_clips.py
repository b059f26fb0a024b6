"""Validation while pretraining: how many trimmed videos get their class, or the mAP of several."""

import torch
from torch import Tensor, nn

from actline.datasets.trimmed_clips import TrimmedClips
from actline.detection.model import for_inference
from actline.evaluation.average_precision import average_precision
from actline.models.backbone import prediction
from actline.models.cards import ModelCard
from actline.progress import progress
from actline.training.loop import Validation


def protocol_of(clips: TrimmedClips, views: int) -> str:
    """The protocol's name: what is measured, and over how many clips of a video."""
    over = "central clip" if views == 1 else f"{views} views"
    return f"mAP over videos ({over})" if clips.several else f"top-1 accuracy ({over})"


@torch.inference_mode()
def validate_clips(
    network: nn.Module,
    card: ModelCard,
    clips: TrimmedClips,
    *,
    device: torch.device,
    views: int = 1,
) -> Validation:
    """The share of videos whose likeliest class is theirs; of several classes, the mAP.

    A class's probability is its mean over the frames of a clip, and over the clips of a video;
    where videos show several classes it is the largest of the clips, as published.

    Raises:
        VideoError: a video cannot be read.
    """
    network = for_inference(network, device)
    found = []
    with progress("validating", total=len(clips), unit="videos") as advance:
        for index in range(len(clips)):
            views_of = clips.views(index, views)
            # One view at a time: ten of a large network need not fit in memory at once.
            each = [clip_probabilities(network, card, clips, view.to(device)) for view in views_of]
            probabilities = torch.stack(each)
            found.append(probabilities.amax(0) if clips.several else probabilities.mean(0))
            advance()
    scores = torch.stack(found).cpu()
    name = protocol_of(clips, views)
    if not clips.several:
        right = scores.argmax(dim=1) == clips.labels
        return Validation(float(right.double().mean()), name)
    labels = clips.labels.numpy()
    occurs = labels.any(axis=0)
    precision = average_precision(scores.numpy(), labels)
    return Validation(float(precision[occurs].mean()) if occurs.any() else 0.0, name)


def clip_probabilities(
    network: nn.Module, card: ModelCard, clips: TrimmedClips, clip: Tensor
) -> Tensor:
    """Probabilities of the data's classes in one clip (3, T, H, W): (K,)."""
    logits = prediction(network(clip[None])).logits
    frames = logits.float().reshape(len(card.classes), -1)  # one column for a clip-level head
    probabilities = frames.sigmoid() if clips.several else frames.softmax(dim=0)
    # A class that only pretraining knows is before those of the data.
    added = len(card.classes) - len(clips.annotations.classes)
    return probabilities.mean(dim=1)[added:]
