"""What SlowFast is built from: pathways of residual stages, and what joins them (Table 1).

SlowFast Networks for Video Recognition, ICCV 2019; section and table numbers below are its own.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from actline.models.convolutions import pointwise
from actline.models.folding import fold_pairs, with_bias
from actline.models.normalization import SplitBatchNorm3d


class Pathway(nn.Module):
    """Stem and four residual stages of one pathway, which the lateral connections join.

    Args:
        kernels: frames that the stem's and each stage's temporal convolutions see.
        received: channels that join this pathway's own before each stage.
        temporal_blocks: how many blocks of a stage have its kernel, the others 1; None means all.
    """

    def __init__(
        self,
        width: int,
        depths: tuple[int, int, int, int],
        *,
        kernels: tuple[int, int, int, int, int],
        received: Sequence[int],
        temporal_blocks: int | None,
        splits: int,
    ) -> None:
        super().__init__()
        levels = level_widths(width)
        self.stem = SlowFastStem(width, kernel=kernels[0], splits=splits)
        self.stage1, self.stage2, self.stage3, self.stage4 = (
            slowfast_stage(
                own + joined,
                channels_out,
                kernels=block_kernels(depth, kernel, temporal_blocks),
                stride=1 if index == 0 else 2,  # the stem has pooled for the first stage
                splits=splits,
            )
            for index, (own, joined, channels_out, depth, kernel) in enumerate(
                zip(levels[:4], received, levels[1:], depths, kernels[1:], strict=True)
            )
        )


class SlowFastStem(nn.Module):
    """conv1 and pool1: 7 x 7 in space and `kernel` in time, both of spatial stride 2.

    Shape:
        clip: (B, 3, T, H, W); returns (B, width, T, H / 4, W / 4).
    """

    def __init__(self, width: int, *, kernel: int, splits: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(
            3,
            width,
            (kernel, 7, 7),
            stride=(1, 2, 2),
            padding=(kernel // 2, 3, 3),
            bias=False,
        )
        self.norm = SplitBatchNorm3d(width, splits=splits)
        self.pool = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))

    def forward(self, clip: Tensor) -> Tensor:
        return self.pool(self.norm(self.conv(clip)).relu_())

    def fold(self) -> None:
        """As in `Foldable`."""
        fold_pairs(self, ("conv", "norm"))


class Lateral(nn.Module):
    """Join the Fast pathway's features to the Slow one's by a time-strided convolution (3.3).

    Shape:
        slow: (B, C, ceil(T / alpha), H, W); fast: (B, C', T, H, W); returns
            (B, C + ratio C', ceil(T / alpha), H, W).
    """

    def __init__(
        self, fast_channels: int, *, alpha: int, kernel: int, ratio: int, splits: int
    ) -> None:
        super().__init__()
        channels = ratio * fast_channels
        self.conv = nn.Conv3d(
            fast_channels,
            channels,
            (kernel, 1, 1),
            stride=(alpha, 1, 1),
            padding=(kernel // 2, 0, 0),
            bias=False,
        )
        self.norm = SplitBatchNorm3d(channels, splits=splits)

    def forward(self, slow: Tensor, fast: Tensor) -> Tensor:
        return torch.cat([slow, self.norm(self.conv(fast)).relu_()], dim=1)

    def fold(self) -> None:
        """As in `Foldable`."""
        fold_pairs(self, ("conv", "norm"))


class SlowFastBottleneck(nn.Module):
    """Narrow (along time where the kernel says so), convolve 3 x 3 in space, widen, add.

    Shape:
        x: (B, C, T, H, W); returns (B, C', T, H / stride, W / stride).
    """

    def __init__(
        self, channels_in: int, channels_out: int, *, kernel: int, stride: int, splits: int
    ) -> None:
        super().__init__()
        inner = channels_out // 4
        self.narrow = nn.Conv3d(
            channels_in, inner, (kernel, 1, 1), padding=(kernel // 2, 0, 0), bias=False
        )
        self.narrow_norm = SplitBatchNorm3d(inner, splits=splits)
        self.spatial = nn.Conv3d(
            inner, inner, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), bias=False
        )
        self.spatial_norm = SplitBatchNorm3d(inner, splits=splits)
        self.widen = pointwise(inner, channels_out)
        self.widen_norm = SplitBatchNorm3d(channels_out, splits=splits)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                pointwise(channels_in, channels_out, stride=stride),
                SplitBatchNorm3d(channels_out, splits=splits),
            )

    def forward(self, x: Tensor) -> Tensor:
        inner = self.narrow_norm(self.narrow(x)).relu_()
        inner = self.spatial_norm(self.spatial(inner)).relu_()
        return (self.widen_norm(self.widen(inner)) + self.shortcut(x)).relu_()

    def fold(self) -> None:
        """As in `Foldable`."""
        fold_pairs(
            self, ("narrow", "narrow_norm"), ("spatial", "spatial_norm"), ("widen", "widen_norm")
        )
        if isinstance(self.shortcut, nn.Sequential):
            self.shortcut = with_bias(*self.shortcut)


def slowfast_stage(
    channels_in: int, channels_out: int, *, kernels: Sequence[int], stride: int, splits: int
) -> nn.Sequential:
    """A bottleneck for each temporal kernel, the first of spatial stride `stride`."""
    first, *others = kernels
    return nn.Sequential(
        SlowFastBottleneck(channels_in, channels_out, kernel=first, stride=stride, splits=splits),
        *(
            SlowFastBottleneck(channels_out, channels_out, kernel=kernel, stride=1, splits=splits)
            for kernel in others
        ),
    )


def block_kernels(depth: int, kernel: int, temporal_blocks: int | None) -> list[int]:
    """Temporal kernels of a stage's blocks: `kernel` in the first ones, then 1."""
    seeing = depth if temporal_blocks is None else min(depth, temporal_blocks)
    return [kernel] * seeing + [1] * (depth - seeing)


def level_widths(width: int) -> tuple[int, int, int, int, int]:
    """Channels after the stem and after each stage of a pathway (Table 1)."""
    return (width, 4 * width, 8 * width, 16 * width, 32 * width)
