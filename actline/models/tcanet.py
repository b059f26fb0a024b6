"""TCANet: refining temporal proposals by local and global context (Qing et al., CVPR 2021)."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actline.models.boundary_regressor import Refinement, TemporalBoundaryRegressor
from actline.models.lgte import LocalGlobalTemporalEncoder
from actline.models.tcanet_stage import TCANetStage
from actline.stored.ranges import (
    BelowOne,
    Channels,
    Count,
    Factor,
    FeatureChannels,
    Positive,
    Range,
    Samples,
    Whole,
)

GROUPS = 4  # of the convolutions before the encoder


class EncodedVideo(NamedTuple):
    """A video's features, ready for any number of proposals.

    Shape:
        features: (B, W, T), zero where not valid; lengths: (B,), how many are valid.
    """

    features: Tensor
    lengths: Tensor


@dataclass(frozen=True)
class TCANetConfig:
    """A TCANet; the defaults are those published for HACS Segments with SlowFast features.

    Attributes:
        channels: of the snippet features; the paper's are SlowFast's 2048 slow and 256 fast.
        width: channels of the encoded features.
        encoder_layers: how many LGTE layers.
        heads, window, feedforward, dropout: of those layers; a local head sees `window` snippets.
        start_samples, action_samples, end_samples: places sampled before, in and after a proposal.
        context: how far the contexts reach, in widths of the proposal.
        frame_width, segment_width: hidden channels of the two levels of regression.
        stages: how many regressors, each starting where the one before ended.
        snippet_interval: seconds from one feature to the next; the paper's 8 frames at 15 fps.
        padded_length: None ignores a batch's padding everywhere. The published code pads every
            shorter video with zeros to a fixed length (200 or 1000), and these take part in
            convolutions and attention: give that length to get its numbers.
        scored_by: the regressor whose overlap scores a refined proposal, counted from 1; None takes
            the last regressor's. The published code takes the second's (its column `preds_iou3`).
    """

    channels: FeatureChannels = 2304
    width: Channels = 512
    encoder_layers: Annotated[int, Range(0, 100)] = 2
    heads: Channels = 8
    window: Count = 9
    feedforward: Channels = 256
    dropout: BelowOne = 0.1
    start_samples: Samples = 32
    action_samples: Samples = 64
    end_samples: Samples = 32
    context: Factor = 0.5
    frame_width: Channels = 128
    segment_width: Channels = 512
    stages: Whole = 3  # training checks that it has as many thresholds
    snippet_interval: Positive = 8 / 15
    padded_length: Samples | None = None
    scored_by: Annotated[int, Range(1, 100)] | None = None

    proposes: ClassVar[bool] = False
    classifies: ClassVar[bool] = False

    @property
    def interval(self) -> float | None:
        """Seconds from one snippet to the next."""
        return self.snippet_interval

    def build(self, classes: int = 0) -> "TCANet":
        """A new network with random weights."""
        return TCANet(self)


class TCANet(nn.Module):
    """Temporal Context Aggregation Network: an encoder and progressive boundary regressors.

    Args:
        config: its sizes.

    Raises:
        ValueError: there is no regressor `scored_by`.

    Shape:
        features: (B, C, T); proposals: (B, P, 2), (start, end) in seconds; mask: (B, T), true
            for a video's own features, which come first; None where nothing is padded.
        returns: one `Refinement` a stage, the last of which has the final proposals.
    """

    def __init__(self, config: TCANetConfig) -> None:
        super().__init__()
        stages, judge = config.stages, config.scored_by
        if judge is not None and not 1 <= judge <= stages:
            raise ValueError(f"scored_by is {judge}, but there are {stages} stages")
        self.config = config
        self.reduce = nn.ModuleList(
            nn.Conv1d(channels_in, config.width, 3, padding=1, groups=GROUPS)
            for channels_in in (config.channels, config.width)
        )
        self.encoder = nn.ModuleList(
            LocalGlobalTemporalEncoder(
                config.width,
                heads=config.heads,
                window=config.window,
                feedforward=config.feedforward,
                dropout=config.dropout,
            )
            for _ in range(config.encoder_layers)
        )
        self.regressors = nn.ModuleList(
            TemporalBoundaryRegressor(
                config.width,
                frame_width=config.frame_width,
                segment_width=config.segment_width,
                start_samples=config.start_samples,
                action_samples=config.action_samples,
                end_samples=config.end_samples,
                context=config.context,
                snippet_interval=config.snippet_interval,
            )
            for _ in range(stages)
        )

    def stage(self, classes: tuple[str, ...] = ()) -> TCANetStage:
        """The network as a refining stage of a chain; labels stay as they are."""
        return TCANetStage(self)

    def forward(
        self, features: Tensor, proposals: Tensor, *, mask: Tensor | None = None
    ) -> tuple[Refinement, ...]:
        return self.refine(self.encode(features, mask=mask), proposals)

    def encode(self, features: Tensor, *, mask: Tensor | None = None) -> EncodedVideo:
        """Encode videos once, for `refine` to take any number of proposals.

        Shape:
            features: (B, C, T); mask: (B, T), true where valid. Returns features (B, W, T).
        """
        if mask is not None:
            features = features * mask.unsqueeze(1)
        length = self.config.padded_length
        if length is not None:
            features = F.pad(features, (0, max(length - features.shape[2], 0)))
            mask = None
        for convolution in self.reduce:
            # Padding must be zero before every convolution, like what is beyond a video's end.
            features = masked(convolution(features).relu(), mask)
        for layer in self.encoder:
            features = layer(features, mask)
        B, _, T = features.shape
        lengths = torch.full((B,), T, device=features.device) if mask is None else mask.sum(dim=1)
        return EncodedVideo(masked(features, mask), lengths)

    def refine(self, encoded: EncodedVideo, proposals: Tensor) -> tuple[Refinement, ...]:
        """Refine proposals (B, P, 2), in seconds, once per stage.

        Gradients of a stage reach the stages before it through the proposals, as published.
        """
        refinements: list[Refinement] = []
        for regressor in self.regressors:
            refinement = regressor(encoded.features, proposals, encoded.lengths)
            refinements.append(refinement)
            proposals = refinement.refined
        return tuple(refinements)


def masked(features: Tensor, mask: Tensor | None) -> Tensor:
    """Features (B, C, T), zero where the mask (B, T) is not true."""
    return features if mask is None else features * mask.unsqueeze(1)
