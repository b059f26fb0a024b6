"""What X3D is built from: its stem, its gated bottleneck, and a stage of them (Table 1)."""

import itertools

import torch.nn.functional as F
from torch import Tensor, nn

from actline.models.convolutions import DepthwiseConv3d, SpatialConv3d, pointwise
from actline.models.normalization import SplitBatchNorm3d


class X3DStem(nn.Module):
    """conv1: a spatial 3 x 3 convolution of stride 2, then a temporal one of 5 per channel."""

    def __init__(self, width: int, *, splits: int) -> None:
        super().__init__()
        self.spatial = SpatialConv3d(
            3, width, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1), bias=False
        )
        self.temporal = DepthwiseConv3d(
            width, width, (5, 1, 1), padding=(2, 0, 0), bias=False, groups=width
        )
        self.norm = SplitBatchNorm3d(width, splits=splits)

    def forward(self, clip: Tensor) -> Tensor:
        return self.norm(self.temporal(self.spatial(clip))).relu_()


class X3DBottleneck(nn.Module):
    """Widen, convolve every channel in 3 x 3 x 3, gate (every other block), narrow, add.

    Shape:
        x: (B, C, T, H, W); returns (B, C', T, H / stride, W / stride).
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        stride: int,
        gated: bool,
        splits: int,
        shortcut_norm: bool = True,
    ) -> None:
        super().__init__()
        inner = inner_width(channels_out)
        self.widen = pointwise(channels_in, inner)
        self.widen_norm = SplitBatchNorm3d(inner, splits=splits)
        self.depthwise = DepthwiseConv3d(
            inner, inner, 3, stride=(1, stride, stride), padding=1, bias=False, groups=inner
        )
        self.depthwise_norm = SplitBatchNorm3d(inner, splits=splits)
        self.gate = SqueezeExcitation(inner) if gated else nn.Identity()
        self.narrow = pointwise(inner, channels_out)
        self.narrow_norm = SplitBatchNorm3d(channels_out, splits=splits)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            projection: list[nn.Module] = [pointwise(channels_in, channels_out, stride=stride)]
            if shortcut_norm:
                projection.append(SplitBatchNorm3d(channels_out, splits=splits))
            self.shortcut = nn.Sequential(*projection)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.widen_norm(self.widen(x)).relu_()
        inner = self.gate(self.depthwise_norm(self.depthwise(inner)))
        inner = F.silu(inner)  # "swish" in the paper
        return (self.narrow_norm(self.narrow(inner)) + self.shortcut(x)).relu_()


class SqueezeExcitation(nn.Module):
    """Scale every channel by a gate computed from its average over the clip (ratio 1/16)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv3d(channels, squeezed_width(channels), 1)
        self.excite = nn.Conv3d(squeezed_width(channels), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale(x)

    def scale(self, x: Tensor) -> Tensor:
        """The gate itself, in [0, 1]: (B, C, 1, 1, 1)."""
        return self.scale_by(x.mean(dim=(2, 3, 4), keepdim=True))

    def scale_by(self, average: Tensor) -> Tensor:
        """The gate of features with this average: (B, C, 1, 1, 1) each."""
        squeeze, excite = self.squeeze, self.excite
        # Matrix products: pointwise convolutions take several times as long.
        narrow = F.linear(average.flatten(1), squeeze.weight.flatten(1), squeeze.bias).relu()
        return F.linear(narrow, excite.weight.flatten(1), excite.bias).sigmoid().view_as(average)


def x3d_stage(
    channels_in: int, width: int, depth: int, *, splits: int, shortcut_norm: bool
) -> nn.Sequential:
    """`depth` bottlenecks, the first of spatial stride 2; blocks 0, 2, 4, … are gated."""
    blocks = [
        X3DBottleneck(
            channels,
            width,
            stride=2 if index == 0 else 1,
            gated=index % 2 == 0,
            splits=splits,
            shortcut_norm=shortcut_norm,
        )
        for index, channels in enumerate(itertools.chain([channels_in], [width] * (depth - 1)))
    ]
    return nn.Sequential(*blocks)


def inner_width(width: int) -> int:
    """Channels inside a bottleneck: X3D's expansion of 2.25 (Section 4.1)."""
    return int(2.25 * width)


def squeezed_width(channels: int) -> int:
    """A sixteenth, rounded to a multiple of 8, never below 8 or below 90 % of the exact value."""
    exact = channels / 16
    width = max(8, int(exact + 4) // 8 * 8)
    return width + 8 if width < 0.9 * exact else width
