"""Coarse-Fine Networks for temporal activity detection (Kahatapitiya and Ryoo, CVPR 2021)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from actline.models.fusion import (
    FineFeatures,
    MultiStageFusion,
    gaussian_alignment,
    pool_in_space,
)
from actline.models.grid_pool import GridPool, grid_unpool
from actline.models.x3d import X3D

TemporalPooling = Literal["grid", "average", "maximum", "stride"]


@dataclass(frozen=True, eq=False)
class CoarseFineOutput:
    """What one forward pass gives.

    Shape:
        logits: (B, K, T), fused.
        positions: (B, P) in [0, 1], where the Coarse stream sampled the clip.
        fine_logits: (B, K, T), the Fine stream's own; None on stored features.
    """

    logits: Tensor
    positions: Tensor
    fine_logits: Tensor | None = None


class CoarseStream(nn.Module):
    """The Coarse stream: X3D over few, well chosen frames, informed by the Fine stream.

    Args:
        trunk: a per-frame X3D.
        fine_channels: of the Fine features at every depth.
        classes: how many logits.
        pooling: Grid Pool, or one of the fixed poolings the paper compares with (Table 3).

    Shape:
        clip: (B, 3, T, H, W); returns logits (B, K, T) and positions (B, P).
    """

    def __init__(
        self,
        trunk: X3D,
        *,
        fine_channels: tuple[int, ...],
        classes: int,
        pooling: TemporalPooling = "grid",
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.pooling = pooling
        self.grid_pool = GridPool(trunk.widths[0]) if pooling == "grid" else None
        self.fusion = MultiStageFusion(fine_channels, trunk.widths, classes)

    def forward(self, clip: Tensor, fine: FineFeatures) -> tuple[Tensor, Tensor]:
        T = clip.shape[2]
        x = self.trunk.stage1(self.trunk.stem(clip))
        x, positions = self.pool(x)

        centres = positions * T + fine.start.unsqueeze(1)
        alignment = gaussian_alignment(centres, fine.mask)
        scales, shifts = self.fusion.scales_and_shifts(fine, alignment)
        mix1, mix2, mix3, mix4 = self.fusion.mix

        x = self.trunk.stage2(mix1(x, scales, shifts))
        x = self.trunk.stage3(mix2(x, scales, shifts))
        x = self.trunk.stage4(mix3(x, scales, shifts))
        x = self.trunk.conv5(mix4(x, scales, shifts))
        logits = self.trunk.head(x)
        logits = self.fusion.logits(logits, fine.stages.conv5, alignment, fine.mask)
        return self.unpool(logits, positions, T), positions

    def pool(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Downsample (B, C, T, H, W) in time to P frames; where they lie is (B, P) in [0, 1]."""
        if self.grid_pool is not None:
            return self.grid_pool(x)
        B, _, T = x.shape[:3]
        stride = GridPool.stride
        if self.pooling == "stride":
            pooled, offset = x[:, :, ::stride], 0.0
        else:
            kernel = (min(stride, T), 1, 1)
            pool = nn.functional.avg_pool3d if self.pooling == "average" else _max_pool3d
            pooled, offset = pool(x, kernel, kernel), (stride - 1) / 2
        frames = stride * torch.arange(pooled.shape[2], device=x.device) + offset
        return pooled, (frames / T).expand(B, -1)

    def unpool(self, logits: Tensor, positions: Tensor, frames: int) -> Tensor:
        """Bring logits (B, K, P) back to equal distances and to every frame: (B, K, T)."""
        if self.grid_pool is None:
            return nn.functional.interpolate(logits, frames, mode="linear")
        regular = grid_unpool(logits, positions)
        return nn.functional.interpolate(regular, frames, mode="linear", align_corners=True)


def _max_pool3d(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    return nn.functional.max_pool3d(x, kernel, stride)


class CoarseFine(nn.Module):
    """Both streams: the Fine stream sees every frame, the Coarse stream the chosen ones.

    Without features the Fine stream runs on the clip itself, and both learn together (joint).
    With features it is not run (stored features, as published for small GPUs).

    Args:
        fine: a per-frame X3D; None for a published checkpoint of the Coarse stream alone.
        coarse: the Coarse stream.
        cells: the Fine features' height and width, G.
    """

    def __init__(self, fine: X3D | None, coarse: CoarseStream, *, cells: int = 7) -> None:
        super().__init__()
        self.fine = fine
        self.coarse = coarse
        self.cells = cells

    def forward(
        self, clip: Tensor, features: FineFeatures | None = None, mask: Tensor | None = None
    ) -> CoarseFineOutput:
        """Logits for every frame of the clip.

        Args:
            clip: (B, 3, T, H, W), normalized.
            features: stored Fine features; None runs the Fine stream.
            mask: (B, T), 1 for the clip's valid frames; used when the Fine stream runs.
        """
        fine_logits = None
        if features is None:
            features, fine_logits = self.encode_fine(clip, mask)
        logits, positions = self.coarse(clip, features)
        return CoarseFineOutput(logits, positions, fine_logits)

    def encode_fine(self, clip: Tensor, mask: Tensor | None = None) -> tuple[FineFeatures, Tensor]:
        """Run the Fine stream: its pooled features, and its own logits (B, K, T)."""
        if self.fine is None:
            raise ValueError("this network has no Fine stream: pass stored features")
        stages = self.fine.features(clip)
        if mask is None:
            mask = clip.new_ones(clip.shape[0], clip.shape[2])
        start = mask.new_zeros(len(mask))
        features = FineFeatures(pool_in_space(stages, self.cells), mask, start)
        return features, self.fine.head(stages.conv5)
