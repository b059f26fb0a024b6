"""Validation while pretraining: how many trimmed videos get their class."""

import torch
from torch import nn

from actline.data.trimmed import TrimmedClips
from actline.models.coarse_fine import CoarseFineOutput
from actline.progress import progress
from actline.train.checkpoint import ModelCard
from actline.train.loop import Validation

PROTOCOL = "top-1 accuracy (central clip)"


@torch.inference_mode()
def validate_clips(
    network: nn.Module, card: ModelCard, clips: TrimmedClips, *, device: torch.device
) -> Validation:
    """The share of videos whose likeliest class, over the frames of the middle clip, is theirs.

    Raises:
        VideoError: a video cannot be read.
    """
    network = network.to(device)
    # A class that only pretraining knows is before those of the data.
    added = len(card.classes) - len(clips.annotations.classes)
    right = 0
    with progress("validating", total=len(clips), unit="videos") as advance:
        for index in range(len(clips)):
            output = network(clips.central(index)[None].to(device))
            logits = output.logits if isinstance(output, CoarseFineOutput) else output
            frames = logits.float().reshape(
                len(card.classes), -1
            )  # one column for a clip-level head
            probabilities = frames.softmax(dim=0).mean(dim=1)[added:]
            right += int(probabilities.argmax()) == clips.labels[index]
            advance()
    return Validation(right / len(clips), PROTOCOL)
