"""SlowFast: few frames through a wide network, many through a narrow one (Feichtenhofer, 2019).

SlowFast Networks for Video Recognition, ICCV 2019; section and table numbers below are its own.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from actline.models.heads import FrameOutput
from actline.models.initialization import kaiming_normal
from actline.models.normalization import SplitBatchNorm3d
from actline.models.x3d import pointwise

# Frames a convolution sees in the stem and in each stage (Table 1). The Slow pathway looks along
# time only where its receptive field is large; the Fast one everywhere.
SLOW_KERNELS = (1, 1, 1, 3, 3)
FAST_KERNELS = (5, 3, 3, 3, 3)


class PathwayFeatures(NamedTuple):
    """The last features of both pathways.

    `slow` is (B, C, ceil(T / alpha), H / 32, W / 32), `fast` (B, beta C, T, H / 32, W / 32).
    """

    slow: Tensor
    fast: Tensor


class SlowFast(nn.Module):
    """SlowFast with a head per clip or per frame of the Fast pathway (Table 1, Figure 1).

    Args:
        classes: how many logits.
        per_frame: logits for every frame rather than one set for the clip.
        width: channels of the Slow pathway's stem; the stages give 4, 8, 16 and 32 times as many.
        depths: blocks of the four residual stages.
        alpha: frames of the Fast pathway to one of the Slow pathway.
        beta: channels of the Fast pathway relative to the Slow pathway's.
        fusion_kernel: frames that a lateral connection sees.
        fusion_ratio: channels of a lateral connection relative to the Fast pathway's.
        temporal_blocks: how many blocks of a stage see along time, where it does; None is all.
        dropout: before the classifier.
        splits: parts of the batch that are normalized apart while training.

    Shape:
        clip: (B, 3, T, H, W), normalized, at the Fast pathway's rate, of any T from 1; returns
            logits (B, K, T) per frame, or (B, K).

    Raises:
        ValueError: alpha below 1, no channel in the Fast pathway, or an even `fusion_kernel`.
    """

    def __init__(
        self,
        classes: int,
        *,
        per_frame: bool,
        width: int = 64,
        depths: tuple[int, int, int, int] = (3, 4, 6, 3),
        alpha: int = 4,
        beta: float = 1 / 8,
        fusion_kernel: int = 7,
        fusion_ratio: int = 2,
        temporal_blocks: int | None = None,
        dropout: float = 0.5,
        splits: int = 1,
    ) -> None:
        super().__init__()
        fast_width = round(beta * width)
        if alpha < 1:
            raise ValueError(f"alpha must be at least 1, not {alpha}")
        if fast_width < 1:
            raise ValueError(f"beta {beta:g} of {width} channels leaves the Fast pathway none")
        if fusion_kernel % 2 == 0:
            raise ValueError(f"fusion_kernel must be odd, not {fusion_kernel}")
        self.alpha = alpha
        # What the stem and the first three stages of the Fast pathway hand to the Slow one.
        sent = level_widths(fast_width)[:4]
        self.slow = Pathway(
            width,
            depths,
            kernels=SLOW_KERNELS,
            received=[fusion_ratio * channels for channels in sent],
            temporal_blocks=temporal_blocks,
            splits=splits,
        )
        self.fast = Pathway(
            fast_width,
            depths,
            kernels=FAST_KERNELS,
            received=(0, 0, 0, 0),
            temporal_blocks=temporal_blocks,
            splits=splits,
        )
        self.laterals = nn.ModuleList(
            Lateral(channels, alpha=alpha, kernel=fusion_kernel, ratio=fusion_ratio, splits=splits)
            for channels in sent
        )
        self.feature_channels = level_widths(width)[-1] + level_widths(fast_width)[-1]
        self.head = PathwayHead(
            self.feature_channels, classes, per_frame=per_frame, dropout=dropout
        )
        initialize(self)

    def forward(self, clip: Tensor) -> Tensor:
        return self.forward_pathways(self.slow_frames(clip), clip)

    def forward_pathways(self, slow: Tensor, fast: Tensor) -> Tensor:
        """Logits from frames that were sampled for each pathway outside.

        Shape:
            slow: (B, 3, ceil(T / alpha), H, W), spread evenly over the clip, first and last
                frame included; fast: (B, 3, T, H, W); returns the same as `forward`.

        Raises:
            ValueError: the pathways' frames are not ceil(T / alpha) to T.
        """
        return self.head(self.pathways(slow, fast))

    def features(self, clip: Tensor) -> Tensor:
        """One vector (B, C) a clip: the average over time and space of both pathways' features.

        First the Slow pathway's channels, then the Fast one's: 2048 + 256 = 2304 as published,
        the form of the snippet features that TCANet (Qing et al., CVPR 2021) takes.
        """
        return average_over_clip(self.pathways(self.slow_frames(clip), clip))

    def per_frame(self, clip: Tensor) -> FrameOutput:
        """Features averaged over space, and logits, of every frame, whatever the head gives."""
        features = average_over_frames(self.pathways(self.slow_frames(clip), clip))
        return FrameOutput(features, self.head.logits(features))

    def slow_frames(self, clip: Tensor) -> Tensor:
        """The Slow pathway's ceil(T / alpha) frames, evenly from the first to the last.

        These are the frames on which the published models were trained. Where alpha does not
        divide T there is one more than PyTorchVideo would take, which the lateral connections'
        strides of alpha ask for; a clip no longer than alpha gives its first frame.
        """
        return clip.index_select(2, self.slow_indices(clip.shape[2]).to(clip.device))

    def slow_indices(self, frames: int) -> Tensor:
        """Which of the Fast pathway's frames are the Slow one's: (ceil(frames / alpha),).

        `linspace(0, frames - 1)` rounded down, as published, in the single steps that it takes on
        the CPU (devices round differently), so that an exporter sees a graph for any length.
        """
        index = torch.arange(self.slow_length(frames), device="cpu").float()
        steps = index.amax(dim=0, keepdim=True)
        last = torch.arange(frames, device="cpu").float().amax(dim=0, keepdim=True)
        step = last / steps.clamp(min=1)
        from_first, from_last = index * step, last - step * (steps - index)
        early = (index < ((steps + 1) / 2).floor()) | (index == 0)
        return torch.where(early, from_first, from_last).long()

    def slow_length(self, frames: int) -> int:
        """How many frames the Slow pathway gets where the Fast one gets `frames`."""
        return (frames + self.alpha - 1) // self.alpha

    def pathways(self, slow: Tensor, fast: Tensor) -> PathwayFeatures:
        """The last features of both pathways; `forward_pathways` tells shapes and errors."""
        wanted = self.slow_length(fast.shape[2])
        if slow.shape[2] != wanted:
            raise ValueError(
                f"the Slow pathway needs {wanted} frames beside {fast.shape[2]} of the Fast one "
                f"(alpha {self.alpha}), not {slow.shape[2]}"
            )
        from_stem, from_stage1, from_stage2, from_stage3 = self.laterals
        slow, fast = self.slow.stem(slow), self.fast.stem(fast)
        slow, fast = self.slow.stage1(from_stem(slow, fast)), self.fast.stage1(fast)
        slow, fast = self.slow.stage2(from_stage1(slow, fast)), self.fast.stage2(fast)
        slow, fast = self.slow.stage3(from_stage2(slow, fast)), self.fast.stage3(fast)
        slow, fast = self.slow.stage4(from_stage3(slow, fast)), self.fast.stage4(fast)
        return PathwayFeatures(slow, fast)


def slowfast_r50_4x16(
    classes: int, *, per_frame: bool, dropout: float = 0.5, splits: int = 1
) -> SlowFast:
    """SlowFast 4 x 16, R50: 32 frames of 224 x 224, one in 2; 4 of them, one in 16, slowly."""
    return SlowFast(
        classes, per_frame=per_frame, dropout=dropout, splits=splits, alpha=8, fusion_kernel=5
    )


def slowfast_r50_8x8(
    classes: int, *, per_frame: bool, dropout: float = 0.5, splits: int = 1
) -> SlowFast:
    """SlowFast 8 x 8, R50: 32 frames of 224 x 224, one in 2; 8 of them, one in 8, slowly."""
    return SlowFast(classes, per_frame=per_frame, dropout=dropout, splits=splits)


def slowfast_r101_4x16(
    classes: int, *, per_frame: bool, dropout: float = 0.5, splits: int = 1
) -> SlowFast:
    """SlowFast 4 x 16, R101: R50's widths, nearly four times the blocks in the third stage."""
    return SlowFast(
        classes,
        per_frame=per_frame,
        dropout=dropout,
        splits=splits,
        depths=(3, 4, 23, 3),
        alpha=8,
        fusion_kernel=5,
    )


def slowfast_r101_8x8(
    classes: int, *, per_frame: bool, dropout: float = 0.5, splits: int = 1
) -> SlowFast:
    """SlowFast 8 x 8, R101: the frames of R50's 8 x 8, but the paper's lateral kernel of 5."""
    return SlowFast(
        classes,
        per_frame=per_frame,
        dropout=dropout,
        splits=splits,
        depths=(3, 4, 23, 3),
        fusion_kernel=5,
    )


def slowfast_r101_16x8(
    classes: int, *, per_frame: bool, dropout: float = 0.5, splits: int = 1
) -> SlowFast:
    """SlowFast 16 x 8, R101: 64 frames, one in 2; time is seen in as many blocks as in R50."""
    return SlowFast(
        classes,
        per_frame=per_frame,
        dropout=dropout,
        splits=splits,
        depths=(3, 4, 23, 3),
        fusion_kernel=5,
        temporal_blocks=6,
    )


class Pathway(nn.Module):
    """Stem and four residual stages of one pathway, which the lateral connections join.

    Args:
        kernels: frames that the stem's and each stage's temporal convolutions see.
        received: channels that join this pathway's own before each stage.
        temporal_blocks: how many blocks of a stage have its kernel, the others 1; None is all.
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
        self.stem = Stem(width, kernel=kernels[0], splits=splits)
        self.stage1, self.stage2, self.stage3, self.stage4 = (
            residual_stage(
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


class Stem(nn.Module):
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


class Bottleneck(nn.Module):
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


class PathwayHead(nn.Module):
    """Average both pathways, concatenate, classify.

    Shape:
        features: of both pathways; returns (B, K, T) per frame, or (B, K) per clip.
    """

    def __init__(self, channels: int, classes: int, *, per_frame: bool, dropout: float) -> None:
        super().__init__()
        self.per_frame = per_frame
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(channels, classes)

    def forward(self, features: PathwayFeatures) -> Tensor:
        average = average_over_frames if self.per_frame else average_over_clip
        return self.logits(average(features))

    def logits(self, pooled: Tensor) -> Tensor:
        """Logits (B, K[, T]) of features (B, C[, T]) that are averaged already."""
        return self.classify(self.dropout(pooled.movedim(1, -1))).movedim(-1, 1)


def average_over_clip(features: PathwayFeatures) -> Tensor:
    """Slow and Fast features (B, C), averaged over time and space."""
    return torch.cat([pathway.mean(dim=(2, 3, 4)) for pathway in features], dim=1)


def average_over_frames(features: PathwayFeatures) -> Tensor:
    """Slow and Fast features (B, C, T) at every Fast frame, averaged over space.

    Slow features are interpolated linearly in time. Their frames run evenly from the clip's
    first to its last, so corners are aligned; where there is one alone, all frames share it.
    """
    slow, fast = (pathway.mean(dim=(3, 4)) for pathway in features)
    return torch.cat([spread(slow, fast.shape[2]), fast], dim=1)


def spread(features: Tensor, frames: int) -> Tensor:
    """Interpolate linearly in time, first on first and last on last: (B, C, N) to (B, C, frames).

    As `F.interpolate` with aligned corners, which exporters get wrong for one frame.
    """
    own = torch.arange(features.shape[2], device=features.device)
    place = torch.arange(frames, device=features.device).float()
    end = own.amax(dim=0, keepdim=True)
    place = place * (end / place.amax(dim=0, keepdim=True).clamp(min=1))
    lower = place.long()
    upper = torch.minimum(lower + 1, end)
    part = (place - lower).to(features.dtype)
    return features.index_select(2, lower) * (1 - part) + features.index_select(2, upper) * part


def residual_stage(
    channels_in: int, channels_out: int, *, kernels: Sequence[int], stride: int, splits: int
) -> nn.Sequential:
    """A bottleneck for each temporal kernel, the first of spatial stride `stride`."""
    first, *others = kernels
    return nn.Sequential(
        Bottleneck(channels_in, channels_out, kernel=first, stride=stride, splits=splits),
        *(
            Bottleneck(channels_out, channels_out, kernel=kernel, stride=1, splits=splits)
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


def initialize(network: SlowFast) -> None:
    """As in the published code: Kaiming's weights, and blocks that start as their shortcuts.

    The latter as in Goyal et al. 2017, 5.1; the classifier has a standard deviation of 0.01.
    """
    kaiming_normal(network)
    for module in network.modules():
        if isinstance(module, Bottleneck):
            nn.init.zeros_(module.widen_norm.weight)
    nn.init.normal_(network.head.classify.weight, std=0.01)
    nn.init.zeros_(network.head.classify.bias)
