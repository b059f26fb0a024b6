"""Grid Pool and Grid Unpool: learned temporal downsampling and its inverse.

Coarse-Fine Networks, Section 3.1.
"""

import torch
from torch import Tensor, nn

from actline.models.folding import fold_pairs
from actline.models.initialization import kaiming_normal
from actline.models.normalization import SplitBatchNorm3d


class GridPool(nn.Module):
    """Sample densely where confidence is high.

    Confidences per output interval become durations: the more confident, the shorter. Their
    cumulative distribution gives the positions to sample at, and interpolating there keeps
    everything differentiable (Section 3.1, equations (1) to (4)).

    Shape:
        clip: (B, C, T, H, W).
        returns: pooled (B, C, P, H, W) and positions (B, P) in [0, 1], increasing, the first 0
            and the last 1, with P = ceil(T / 4) + 1; `grid_unpool` takes the same positions back.
    """

    stride = 4  # of the confidence network below: two temporal strides of 2

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, stride=2, padding=1)
        self.norm1 = SplitBatchNorm3d(channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, stride=2, padding=1)
        self.norm2 = SplitBatchNorm3d(channels)
        self.conv3 = nn.Conv3d(channels, 1, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        # As published. With PyTorch's own weights, a tenth as large in the last convolution,
        # intervals begin equal to within 1 % and stay so.
        kaiming_normal(self)

    def forward(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        positions = cumulative_positions(self.confidences(clip))
        return sample_frames(clip, positions), positions

    def fold(self) -> None:
        """As in `Foldable`."""
        fold_pairs(self, ("conv1", "norm1"), ("conv2", "norm2"))

    def confidences(self, clip: Tensor) -> Tensor:
        """Confidence in [0, 1] for each of the ceil(T / 4) output intervals: (B, P - 1)."""
        hidden = self.norm1(self.conv1(clip)).relu_()
        hidden = self.norm2(self.conv2(hidden)).relu_()
        scores = self.conv3(hidden).mean(dim=(1, 3, 4))
        # The factor 1/2 keeps the sigmoid away from saturation (authors' code).
        return (0.5 * scores.float()).sigmoid()


def cumulative_positions(confidences: Tensor) -> Tensor:
    """Positions in [0, 1] whose distances are proportional to 1 - confidence.

    Shape:
        confidences: (B, P - 1) in [0, 1]; returns (B, P), the first 0 and the last 1.
    """
    durations = 1 - confidences
    durations = durations / (durations.sum(dim=1, keepdim=True) + 1e-16)
    return nn.functional.pad(durations.cumsum(dim=1), (1, 0))


def sample_frames(clip: Tensor, positions: Tensor) -> Tensor:
    """Interpolate a clip in time at fractional positions, 0 being its first frame and 1 its last.

    Published as trilinear sampling on a grid whose spatial points are the pixels themselves,
    which interpolates in time alone; so does this. Positions beyond the ends take the end frame,
    which only rounding can cause.

    Shape:
        clip: (B, C, T, ...); positions: (B, P); returns (B, C, P, ...).
    """
    T = clip.shape[2]
    index = (positions * (T - 1)).clamp(0, T - 1)
    before = index.detach().floor().clamp(max=max(T - 2, 0))
    fraction = (index - before).to(clip.dtype)
    at_before = take_frames(clip, before.long())
    at_after = take_frames(clip, (before.long() + 1).clamp(max=T - 1))
    fraction = fraction.view(len(positions), 1, -1, *[1] * (clip.dim() - 3))
    return torch.lerp(at_before, at_after, fraction)


def take_frames(clip: Tensor, index: Tensor) -> Tensor:
    """Frames of each sample by its own indices: clip (B, C, T, ...), index (B, P)."""
    rows = torch.arange(len(clip), device=clip.device).unsqueeze(1)
    return clip.movedim(2, 1)[rows, index].movedim(1, 2)


def grid_unpool(pooled: Tensor, positions: Tensor) -> Tensor:
    """Undo Grid Pool's warp of time: values at `positions` become values at equal distances.

    Shape:
        pooled: (B, C, P, ...) at `positions` (B, P); returns (B, C, P, ...) at positions
            0, 1 / (P - 1), …, 1 of the clip.
    """
    return sample_frames(pooled, inverse_positions(positions))


def inverse_positions(positions: Tensor) -> Tensor:
    """The inverse of the piecewise linear map from equal distances to `positions`.

    Shape:
        positions: (B, P), increasing from 0 to 1; returns (B, P): where in `positions`, as a
            fraction of its length, each of 0, 1 / (P - 1), …, 1 lies.
    """
    B, P = positions.shape
    regular = torch.arange(P, device=positions.device, dtype=positions.dtype) / (P - 1)
    wanted = regular.expand(B, P).contiguous()
    right = torch.searchsorted(positions.detach().contiguous(), wanted).clamp(1, P - 1)
    left_position = positions.gather(1, right - 1)
    gap = positions.gather(1, right) - left_position
    fraction = (wanted - left_position) / (gap + torch.finfo(positions.dtype).eps)
    return ((right - 1) + fraction) / (P - 1)
