"""X3D: expanding a tiny image network along time, width and depth (Feichtenhofer, CVPR 2020)."""

import itertools
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight, conv3d_input

from actline.models.heads import ClassHead, FrameOutput
from actline.models.initialization import kaiming_normal
from actline.models.normalization import SplitBatchNorm3d

DepthwiseInit = Literal["published", "per_channel"]


class StageFeatures(NamedTuple):
    """Features at every depth of X3D, each (B, C, T, H, W) with H and W halved stage by stage."""

    stage1: Tensor
    stage2: Tensor
    stage3: Tensor
    stage4: Tensor
    conv5: Tensor


class X3D(nn.Module):
    """X3D with a head per clip or per frame; time is never downsampled (Table 1).

    Args:
        classes: how many logits.
        per_frame: logits for every frame rather than one set for the clip.
        widths: channels of the four residual stages.
        depths: blocks of the four residual stages.
        head_width: channels between the last features and the classes.
        dropout: before the classifier.
        splits: parts of the batch that are normalized apart while training.
        first_shortcut_norm: normalize the first stage's projected shortcut too. The Coarse-Fine
            and X3D-Multigrid authors do; PyTorchVideo's models do not.
        depthwise_init: how depthwise convolutions begin: "published" counts all channels into
            Kaiming's fan-out, "per_channel" the one that a value reaches, for small networks that
            learn from random weights in few steps (docs/coarse-fine.md).

    Shape:
        clip: (B, 3, T, H, W), normalized; returns logits (B, K, T) per frame, or (B, K).
    """

    def __init__(
        self,
        classes: int,
        *,
        per_frame: bool,
        widths: tuple[int, int, int, int] = (24, 48, 96, 192),
        depths: tuple[int, int, int, int] = (3, 5, 11, 7),
        head_width: int = 2048,
        dropout: float = 0.5,
        splits: int = 1,
        first_shortcut_norm: bool = True,
        depthwise_init: DepthwiseInit = "published",
    ) -> None:
        super().__init__()
        self.widths = widths
        self.stem = Stem(widths[0], splits=splits)
        into = (widths[0], *widths[:3])
        stage1, stage2, stage3, stage4 = (
            residual_stage(
                channels_in,
                width,
                depth,
                splits=splits,
                shortcut_norm=first_shortcut_norm or channels_in != width,
            )
            for channels_in, width, depth in zip(into, widths, depths, strict=True)
        )
        self.stage1, self.stage2, self.stage3, self.stage4 = stage1, stage2, stage3, stage4
        self.conv5 = nn.Sequential(
            pointwise(widths[3], inner_width(widths[3])),
            SplitBatchNorm3d(inner_width(widths[3]), splits=splits),
            nn.ReLU(inplace=True),
        )
        self.head = ClassHead(
            inner_width(widths[3]),
            classes,
            per_frame=per_frame,
            width=head_width,
            dropout=dropout,
        )
        kaiming_normal(self)
        # The published head projects by a convolution of one point, which the same rule covers.
        nn.init.kaiming_normal_(self.head.project.weight, mode="fan_out", nonlinearity="relu")
        if depthwise_init == "per_channel":
            for module in self.modules():
                if isinstance(module, DepthwiseConv3d):
                    reached = module.weight[0].numel()  # outputs that one value counts for
                    nn.init.normal_(module.weight, std=(2 / reached) ** 0.5)

    def forward(self, clip: Tensor) -> Tensor:
        return self.head(self.features(clip).conv5)

    def features(self, clip: Tensor) -> StageFeatures:
        """Features at every stage: (B, C, T, H / 4, W / 4) down to (B, C, T, H / 32, W / 32)."""
        stage1 = self.stage1(self.stem(clip))
        stage2 = self.stage2(stage1)
        stage3 = self.stage3(stage2)
        stage4 = self.stage4(stage3)
        return StageFeatures(stage1, stage2, stage3, stage4, self.conv5(stage4))

    def per_frame(self, clip: Tensor) -> FrameOutput:
        """Features averaged over space, and logits, of every frame, whatever the head gives."""
        features = self.features(clip).conv5.mean(dim=(3, 4))
        return FrameOutput(features, self.head.logits(features))

    @property
    def feature_channels(self) -> tuple[int, int, int, int, int]:
        """Channels of `features`, in its order."""
        return (*self.widths, inner_width(self.widths[3]))


def x3d_s(classes: int, *, per_frame: bool, dropout: float = 0.5, splits: int = 1) -> X3D:
    """X3D-S: the same layers as M, meant for 13 frames of 160 x 160."""
    return x3d_m(classes, per_frame=per_frame, dropout=dropout, splits=splits)


def x3d_m(classes: int, *, per_frame: bool, dropout: float = 0.5, splits: int = 1) -> X3D:
    """X3D-M, meant for 16 frames of 224 x 224."""
    return X3D(classes, per_frame=per_frame, dropout=dropout, splits=splits)


def x3d_l(classes: int, *, per_frame: bool, dropout: float = 0.5, splits: int = 1) -> X3D:
    """X3D-L: M's widths, more than twice its depth; meant for 16 frames of 312 x 312."""
    return X3D(classes, per_frame=per_frame, dropout=dropout, splits=splits, depths=(5, 10, 25, 15))


def x3d_xl(classes: int, *, per_frame: bool, dropout: float = 0.5, splits: int = 1) -> X3D:
    """X3D-XL: L's depth, 1.45 times as wide; meant for 16 frames of 312 x 312."""
    return X3D(
        classes,
        per_frame=per_frame,
        dropout=dropout,
        splits=splits,
        widths=(32, 72, 136, 280),
        depths=(5, 10, 25, 15),
    )


class Stem(nn.Module):
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


class Bottleneck(nn.Module):
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
        # Products of matrices: convolutions of one point take several times as long.
        narrow = F.linear(average.flatten(1), squeeze.weight.flatten(1), squeeze.bias).relu()
        return F.linear(narrow, excite.weight.flatten(1), excite.bias).sigmoid().view_as(average)


class SpatialConv3d(nn.Conv3d):
    """A convolution in space alone; on a CPU one of images, four times as fast there.

    Shape:
        input: (B, C, T, H, W); returns (B, C', T, H', W').
    """

    def forward(self, input: Tensor) -> Tensor:
        # Runtimes have convolutions of their own, and would reorder the images twice.
        if not runs_on_cpu(input) or torch.compiler.is_exporting():
            return super().forward(input)
        frames = F.conv2d(
            input.transpose(1, 2).flatten(0, 1),  # (B T, C, H, W)
            self.weight.squeeze(2),
            stride=self.stride[1:],
            padding=self.padding[1:],
        )
        return frames.unflatten(0, (input.shape[0], input.shape[2])).transpose(1, 2)


class DepthwiseConv3d(nn.Conv3d):
    """A convolution of every channel by itself; on a CPU with quick gradients.

    Shape:
        input: (B, C, T, H, W); returns (B, C, T, H / stride, W / stride).
    """

    def forward(self, input: Tensor) -> Tensor:
        if not runs_on_cpu(input):
            return super().forward(input)
        return _DepthwiseConvolution.apply(input, self.weight, self.stride, self.padding)


class _DepthwiseConvolution(torch.autograd.Function):
    """conv3d of one channel a group, whose own gradients on a CPU take ten times its own time.

    The gradient of the input is the convolution with the mirrored kernel where there is no
    stride; that of the kernel is, at each of its times, one of images.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, ...], padding: tuple[int, ...]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv3d(x, weight, stride=stride, padding=padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding = ctx.stride, ctx.padding
        gradient = grad_outputs[0].contiguous(memory_format=torch.channels_last_3d)
        of_x, of_weight = None, None
        if ctx.needs_input_grad[0] and stride == (1, 1, 1):
            mirrored = weight.flip(2, 3, 4)  # odd kernels, padded by half of them
            of_x = F.conv3d(gradient, mirrored, padding=padding, groups=len(weight))
        elif ctx.needs_input_grad[0]:
            of_x = conv3d_input(x.shape, weight, gradient, stride, padding, groups=len(weight))
        if ctx.needs_input_grad[1]:
            of_weight = _kernel_gradient(x, gradient, weight, stride, padding)
        return of_x, of_weight, None, None


def _kernel_gradient(
    x: Tensor, gradient: Tensor, weight: Tensor, stride: tuple[int, ...], padding: tuple[int, ...]
) -> Tensor:
    C, _, times, *kernel = weight.shape
    T = x.shape[2]
    x = x.contiguous(memory_format=torch.channels_last_3d)
    of_weight = torch.zeros_like(weight)
    for time in range(times):
        shift = time - padding[0]  # from a frame of the result to the frame of x it sees
        first, end = max(0, -shift), min(T, T - shift)
        if first >= end:
            continue
        for seen, result in zip(
            x[:, :, first + shift : end + shift].unbind(),
            gradient[:, :, first:end].unbind(),
            strict=True,
        ):
            of_weight[:, :, time] += conv2d_weight(
                seen.transpose(0, 1),  # frames as a batch of images
                (C, 1, *kernel),
                result.transpose(0, 1),
                stride=stride[-1],
                padding=padding[-1],
                groups=C,
            )
    return of_weight


def runs_on_cpu(x: Tensor) -> bool:
    """Whether what is written for CPUs applies: there, and not in mixed precision."""
    return x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


def residual_stage(
    channels_in: int, width: int, depth: int, *, splits: int, shortcut_norm: bool
) -> nn.Sequential:
    """`depth` bottlenecks, the first of spatial stride 2; blocks 0, 2, 4, … are gated."""
    blocks = [
        Bottleneck(
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


def pointwise(channels_in: int, channels_out: int, *, stride: int = 1) -> nn.Conv3d:
    """A 1 x 1 x 1 convolution without bias, strided in space alone."""
    return nn.Conv3d(channels_in, channels_out, 1, stride=(1, stride, stride), bias=False)


def inner_width(width: int) -> int:
    """Channels inside a bottleneck: X3D's expansion of 2.25 (Section 4.1)."""
    return int(2.25 * width)


def squeezed_width(channels: int) -> int:
    """A sixteenth, rounded to a multiple of 8, never below 8 nor under 90 % of the exact value."""
    exact = channels / 16
    width = max(8, int(exact + 4) // 8 * 8)
    return width + 8 if width < 0.9 * exact else width
