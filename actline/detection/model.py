"""A network on frames with what using it needs: its card, its device, how it sees videos."""

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from actline.errors import DeviceError
from actline.models.backbone import Backbone
from actline.models.cards import ModelCard
from actline.models.checkpoint import load_checkpoint
from actline.models.folding import Network, folded
from actline.video.sampling import AtRate, EveryNth, Sampling
from actline.video.transforms import TestTransform
from actline.video.windows import View


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network, on its device and folded for inference, and its card."""

    network: Backbone
    card: ModelCard
    device: torch.device

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the logits."""
        return self.card.classes

    @property
    def view(self) -> View:
        """How the network looks at videos: the card's sampling, normalization and windows."""
        card = self.card
        if card.stride is not None:
            sampling: Sampling = EveryNth(card.stride)
        else:
            assert card.rate is not None, "every card has a rate or a stride"
            sampling = AtRate(card.rate)
        transform = TestTransform(size=card.size, mean=card.mean, std=card.std)
        return View(sampling, transform, window=card.window, overlap=card.overlap)

    def batch_of(self, clip: Tensor) -> Tensor:
        """A clip (3, T, H, W) as the network's input (1, 3, T, H, W), on its device."""
        batch = clip.unsqueeze(0).to(self.device)
        return batch.contiguous(memory_format=torch.channels_last_3d)


def load_backbone(path: str | Path, *, device: str = "auto") -> Model:
    """Load a checkpoint to take features from, whether it gives results per frame or per clip.

    Raises:
        CheckpointError: the file cannot be used.
        DeviceError: the device is not on this machine.
    """
    network, card = load_checkpoint(path)
    return folded_model(network, card, find_device(device))


def folded_model(network: Backbone, card: ModelCard, device: torch.device) -> Model:
    """A model of a copy of a network, folded on its device."""
    network = for_inference(network, device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return Model(folded(network), card, device)


def for_inference(network: Network, device: torch.device) -> Network:
    """A copy of a network, in evaluation mode on a device.

    A copy, since the network may be in training: looking at it in between must not change its mode,
    device or memory layout, nor fold it or change its splits.
    """
    return copy.deepcopy(network).eval().to(device)


def find_device(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one.

    Raises:
        DeviceError: it is not on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise DeviceError(
            f'device "{name}" is not on this machine; use device cpu or auto'
        ) from error
    if device.type == "meta":
        raise DeviceError('device "meta" computes nothing; use device cpu or auto')
    return device
