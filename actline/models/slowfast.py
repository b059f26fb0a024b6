"""SlowFast: few frames through a wide network, many through a narrow one (Feichtenhofer, 2019).

SlowFast Networks for Video Recognition, ICCV 2019; section and table numbers below are its own.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn

from actline.models.backbone import Backbone, FrameOutput
from actline.models.initialization import kaiming_normal
from actline.models.slowfast_blocks import Lateral, Pathway, SlowFastBottleneck, level_widths
from actline.stored.ranges import AboveZero, BelowOne, Channels, Depth, Parts, Range

# Frames a convolution sees in the stem and in each stage (Table 1). The Slow pathway looks along
# time only where its receptive field is large; the Fast one everywhere.
SLOW_KERNELS = (1, 1, 1, 3, 3)
FAST_KERNELS = (5, 3, 3, 3, 3)


@dataclass(frozen=True)
class SlowFastConfig:
    """A SlowFast; the defaults are SlowFast 8 x 8, R50.

    Attributes:
        width: channels of the Slow pathway's stem; the stages give 4, 8, 16 and 32 times as many.
        depths: blocks of the four residual stages.
        alpha: frames of the Fast pathway to one of the Slow pathway.
        beta: channels of the Fast pathway relative to the Slow pathway's.
        fusion_kernel: frames that a lateral connection sees; odd.
        fusion_ratio: channels of a lateral connection relative to the Fast pathway's.
        temporal_blocks: how many blocks of a stage have temporal kernels, where it has any; None
            means all.
        dropout: before the classifier.
        splits: parts of the batch that are normalized separately in training.
        per_frame: logits for every frame rather than one set for the clip.
    """

    width: Channels = 64
    depths: tuple[Depth, Depth, Depth, Depth] = (3, 4, 6, 3)
    alpha: Annotated[int, Range(1, 1000)] = 4
    beta: AboveZero = 1 / 8
    fusion_kernel: Annotated[int, Range(1, 1000)] = 7
    fusion_ratio: Annotated[int, Range(1, 1000)] = 2
    temporal_blocks: Annotated[int, Range(0, 1000)] | None = None
    dropout: BelowOne = 0.5
    splits: Parts = 1
    per_frame: bool = True

    def build(self, classes: int) -> "SlowFast":
        """A new network with random weights."""
        return SlowFast(self, classes)


# As published, all with a head per frame: T x tau frames of the Slow pathway, of 224 x 224. 4 x 16
# and 8 x 8 see 32 frames, one in 2, 16 x 8 sees 64. R101 has the paper's lateral kernel of 5, and
# in 16 x 8 sees along time in as many blocks as R50.
SLOWFAST_R50_8X8 = SlowFastConfig()
SLOWFAST_R50_4X16 = replace(SLOWFAST_R50_8X8, alpha=8, fusion_kernel=5)
SLOWFAST_R101_8X8 = replace(SLOWFAST_R50_8X8, depths=(3, 4, 23, 3), fusion_kernel=5)
SLOWFAST_R101_4X16 = replace(SLOWFAST_R101_8X8, alpha=8)
SLOWFAST_R101_16X8 = replace(SLOWFAST_R101_8X8, temporal_blocks=6)


class PathwayFeatures(NamedTuple):
    """The features of both pathways after a stage.

    `slow` is (B, C, ceil(T / alpha), H', W'), `fast` (B, beta C, T, H', W').
    """

    slow: Tensor
    fast: Tensor


class SlowFast(Backbone):
    """SlowFast with a head per clip or per frame of the Fast pathway (Table 1, Figure 1).

    Args:
        config: its sizes.
        classes: how many logits.

    Shape:
        clip: (B, 3, T, H, W), normalized, at the Fast pathway's rate, of any T from 1; returns
            logits (B, K, T) per frame, or (B, K).

    Raises:
        ValueError: alpha below 1, no channel in the Fast pathway, or an even `fusion_kernel`.
    """

    depths = ("stage1", "stage2", "stage3", "stage4")

    def __init__(self, config: SlowFastConfig, classes: int) -> None:
        super().__init__()
        self.config = config
        self.classes = classes
        width, fast_width = config.width, round(config.beta * config.width)
        if config.alpha < 1:
            raise ValueError(f"alpha must be at least 1, not {config.alpha}")
        if fast_width < 1:
            raise ValueError(
                f"beta {config.beta:g} of {width} channels leaves the Fast pathway none"
            )
        if config.fusion_kernel % 2 == 0:
            raise ValueError(f"fusion_kernel must be odd, not {config.fusion_kernel}")
        # What the stem and the first three stages of the Fast pathway hand to the Slow one.
        sent = level_widths(fast_width)[:4]
        self.slow = Pathway(
            width,
            config.depths,
            kernels=SLOW_KERNELS,
            received=[config.fusion_ratio * channels for channels in sent],
            temporal_blocks=config.temporal_blocks,
            splits=config.splits,
        )
        self.fast = Pathway(
            fast_width,
            config.depths,
            kernels=FAST_KERNELS,
            received=(0, 0, 0, 0),
            temporal_blocks=config.temporal_blocks,
            splits=config.splits,
        )
        self.laterals = nn.ModuleList(
            Lateral(
                channels,
                alpha=config.alpha,
                kernel=config.fusion_kernel,
                ratio=config.fusion_ratio,
                splits=config.splits,
            )
            for channels in sent
        )
        self.feature_channels = tuple(
            slow + fast
            for slow, fast in zip(
                level_widths(width)[1:], level_widths(fast_width)[1:], strict=True
            )
        )
        self.frame_channels = self.feature_channels[-1]
        self.export_frames = 4 * config.alpha  # four Slow frames, as X3D's four
        self.head = PathwayHead(
            self.frame_channels, classes, per_frame=config.per_frame, dropout=config.dropout
        )
        initialize_slowfast(self)

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

    def features(self, clip: Tensor) -> tuple[Tensor, ...]:
        """Both pathways' features after every stage, the Slow ones interpolated to every frame.

        First the Slow pathway's channels, then the Fast one's: (B, C, T, H / 4, W / 4) down to
        (B, C, T, H / 32, W / 32).
        """
        stages = self.stages(self.slow_frames(clip), clip)
        return tuple(
            torch.cat([interpolate_in_time(slow, fast.shape[2]), fast], dim=1)
            for slow, fast in stages
        )

    def clip_features(self, clip: Tensor) -> Tensor:
        """One vector (B, C) a clip: the average over time and space of both pathways' features.

        First the Slow pathway's channels, then the Fast one's: 2048 + 256 = 2304 as published,
        the form of the snippet features that TCANet (Qing et al., CVPR 2021) takes.
        """
        return average_over_clip(self.pathways(self.slow_frames(clip), clip))

    def frame_output(self, clip: Tensor) -> FrameOutput:
        features = average_over_frames(self.pathways(self.slow_frames(clip), clip))
        return FrameOutput(features, self.head.logits(features))

    def slow_frames(self, clip: Tensor) -> Tensor:
        """The Slow pathway's ceil(T / alpha) frames, evenly from the first to the last.

        These are the frames on which the published models were trained. Where alpha does not
        divide T there is one more than PyTorchVideo would take, which the lateral connections'
        strides of alpha need; a clip no longer than alpha gives its first frame.
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
        return (frames + self.config.alpha - 1) // self.config.alpha

    def pathways(self, slow: Tensor, fast: Tensor) -> PathwayFeatures:
        """The last features of both pathways; `forward_pathways` states shapes and errors."""
        # One stage's at a time: earlier ones are not kept.
        return deque(self.stages(slow, fast), maxlen=1).pop()

    def stages(self, slow: Tensor, fast: Tensor) -> Iterator[PathwayFeatures]:
        """The features of both pathways after each of the four stages (Figure 1)."""
        wanted = self.slow_length(fast.shape[2])
        if slow.shape[2] != wanted:
            raise ValueError(
                f"the Slow pathway needs {wanted} frames for {fast.shape[2]} of the Fast one "
                f"(alpha {self.config.alpha}), not {slow.shape[2]}"
            )
        from_stem, from_stage1, from_stage2, from_stage3 = self.laterals
        slow, fast = self.slow.stem(slow), self.fast.stem(fast)
        slow, fast = self.slow.stage1(from_stem(slow, fast)), self.fast.stage1(fast)
        yield PathwayFeatures(slow, fast)
        slow, fast = self.slow.stage2(from_stage1(slow, fast)), self.fast.stage2(fast)
        yield PathwayFeatures(slow, fast)
        slow, fast = self.slow.stage3(from_stage2(slow, fast)), self.fast.stage3(fast)
        yield PathwayFeatures(slow, fast)
        slow, fast = self.slow.stage4(from_stage3(slow, fast)), self.fast.stage4(fast)
        yield PathwayFeatures(slow, fast)


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
        """Logits (B, K[, T]) of features (B, C[, T]) that are already averaged."""
        return self.classify(self.dropout(pooled.movedim(1, -1))).movedim(-1, 1)


def average_over_clip(features: PathwayFeatures) -> Tensor:
    """Slow and Fast features (B, C), averaged over time and space."""
    return torch.cat([pathway.mean(dim=(2, 3, 4)) for pathway in features], dim=1)


def average_over_frames(features: PathwayFeatures) -> Tensor:
    """Slow and Fast features (B, C, T) at every Fast frame, averaged over space.

    Slow features are interpolated linearly in time. Their frames run evenly from the clip's
    first to its last, so corners are aligned; a single one is shared by all frames.
    """
    slow, fast = (pathway.mean(dim=(3, 4)) for pathway in features)
    return torch.cat([interpolate_in_time(slow, fast.shape[2]), fast], dim=1)


def interpolate_in_time(features: Tensor, frames: int) -> Tensor:
    """Interpolate linearly in time, first on first and last on last: N frames to `frames`.

    As `F.interpolate` with aligned corners, which exporters get wrong for one frame.

    Shape:
        features: (B, C, N, ...); returns (B, C, frames, ...).
    """
    own = torch.arange(features.shape[2], device=features.device)
    place = torch.arange(frames, device=features.device).float()
    end = own.amax(dim=0, keepdim=True)
    place = place * (end / place.amax(dim=0, keepdim=True).clamp(min=1))
    lower = place.long()
    upper = torch.minimum(lower + 1, end)
    part = (place - lower).to(features.dtype).view(-1, *[1] * (features.dim() - 3))
    return features.index_select(2, lower) * (1 - part) + features.index_select(2, upper) * part


def initialize_slowfast(network: SlowFast) -> None:
    """As in the published code: Kaiming's weights, and blocks that start as their shortcuts.

    The latter as in Goyal et al. 2017, 5.1; the classifier has a standard deviation of 0.01.
    """
    kaiming_normal(network)
    for module in network.modules():
        if isinstance(module, SlowFastBottleneck):
            nn.init.zeros_(module.widen_norm.weight)
    nn.init.normal_(network.head.classify.weight, std=0.01)
    nn.init.zeros_(network.head.classify.bias)
