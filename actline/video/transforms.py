"""From decoded frames to network input, as in the Coarse-Fine authors' training and testing."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F


def to_clip(frames: NDArray[np.uint8]) -> Tensor:
    """Frames (T, H, W, 3) as a clip (3, T, H, W), without copying."""
    return torch.from_numpy(frames).permute(3, 0, 1, 2)


@dataclass(frozen=True, slots=True)
class TrainTransform:
    """Random square crop after resizing to a random short side, with random horizontal flip.

    As published (`MultiScaleRandomCropMultigrid`, `RandomHorizontalFlip`): the same short side,
    crop and flip for all frames of a clip.

    Attributes:
        size: side of the crop, in pixels.
        short_sides: short sides to draw from, before the crop, in pixels.
        flip: probability of a horizontal flip.
        mean, std: per channel, of RGB in [0, 1].
    """

    size: int
    short_sides: tuple[int, ...]
    flip: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def short_side(self, generator: torch.Generator) -> int:
        """Draw the short side to decode a clip's frames at."""
        index = torch.randint(len(self.short_sides), (), generator=generator)
        return self.short_sides[int(index)]

    def __call__(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        """(3, T, H, W) of uint8 to (3, T, size, size), normalized; a smaller clip is enlarged."""
        clip = at_least(clip, self.size)
        height, width = clip.shape[2:]
        top = int(torch.randint(height - self.size + 1, (), generator=generator))
        left = int(torch.randint(width - self.size + 1, (), generator=generator))
        crop = clip[:, :, top : top + self.size, left : left + self.size]
        if float(torch.rand((), generator=generator)) < self.flip:
            crop = crop.flip(3)
        return normalize(crop, self.mean, self.std)


@dataclass(frozen=True, slots=True)
class TestTransform:
    """The central square of frames whose short side is `size`."""

    __test__: ClassVar[bool] = False  # the name looks like a test to pytest

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, clip: Tensor) -> Tensor:
        """(3, T, H, W) of uint8 to (3, T, size, size), normalized; a smaller clip is enlarged."""
        clip = at_least(clip, self.size)
        height, width = clip.shape[2:]
        top, left = (height - self.size) // 2, (width - self.size) // 2
        crop = clip[:, :, top : top + self.size, left : left + self.size]
        return normalize(crop, self.mean, self.std)


def at_least(clip: Tensor, size: int) -> Tensor:
    """Enlarge a clip (3, T, H, W) of uint8 whose short side is below `size` to that size."""
    height, width = clip.shape[2:]
    short = min(height, width)
    if short >= size:
        return clip
    target = (max(size, round(height * size / short)), max(size, round(width * size / short)))
    frames = clip.transpose(0, 1).to(torch.float32)
    larger = F.interpolate(frames, target, mode="bilinear", align_corners=False)
    return larger.round().to(clip.dtype).transpose(0, 1)


def normalize(
    clip: Tensor, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Tensor:
    """uint8 to float in [0, 1], minus the mean, divided by the standard deviation."""
    shift = torch.tensor(mean, dtype=torch.float32, device=clip.device).view(3, 1, 1, 1)
    scale = torch.tensor(std, dtype=torch.float32, device=clip.device).view(3, 1, 1, 1)
    return (clip.to(torch.float32) / 255 - shift) / scale
