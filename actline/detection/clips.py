"""Detection with a classifier of trimmed clips, which is slid over the video."""

from dataclasses import dataclass

import torch
from torch import Tensor

from actline.detection.frames import FrameDetector
from actline.detection.model import find_device, folded_model
from actline.errors import CheckpointError
from actline.models.backbone import Backbone, prediction
from actline.models.cards import ModelCard


@dataclass(frozen=True, eq=False)
class ClipDetector(FrameDetector):
    """A network with one result per clip: every frame of a window gets the window's.

    Classes are exclusive, as in training on trimmed clips. Windows overlap by what the checkpoint
    says, and a frame's probabilities are averaged over its windows: boundaries are no finer than
    the step from one window to the next.
    """

    @torch.inference_mode()
    def window_probabilities(self, clip: Tensor) -> tuple[Tensor, None]:
        """As in `FrameDetector`."""
        logits = prediction(self.network(self.batch_of(clip))).logits
        if not bool(torch.isfinite(logits).all()):
            raise CheckpointError("the network gives values that are not finite; train it again")
        probabilities = logits[0].float().flatten().softmax(dim=0).cpu()
        return probabilities.expand(clip.shape[1], -1), None


def prepare_classifier(network: Backbone, card: ModelCard, *, device: str = "auto") -> ClipDetector:
    """A copy of a classifier on its device, folded for inference, ready to detect.

    Raises:
        DeviceError: the device is not on this machine.
    """
    model = folded_model(network, card, find_device(device))
    return ClipDetector(model.network, card, model.device)
