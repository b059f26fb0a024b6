"""TCANet: refining temporal proposals by local and global context (Qing et al., CVPR 2021)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actline.models.boundary_regressor import Refinement, TemporalBoundaryRegressor
from actline.models.lgte import LocalGlobalTemporalEncoder

GROUPS = 4  # of the convolutions before the encoder


class EncodedVideo(NamedTuple):
    """A video's features, ready for any number of proposals.

    Shape:
        features: (B, W, T), zero where not valid; lengths: (B,), how many are valid.
    """

    features: Tensor
    lengths: Tensor


class TCANet(nn.Module):
    """Temporal Context Aggregation Network: an encoder and progressive boundary regressors.

    Args:
        channels: of the snippet features; the paper's are SlowFast's 2048 slow and 256 fast.
        width: channels of the encoded features.
        encoder_layers: how many LGTE layers.
        heads, window, feedforward, dropout: of those layers; a local head sees `window` snippets.
        start_samples, action_samples, end_samples: places sampled before, in and after a proposal.
        context: how far the contexts reach, in widths of the proposal.
        frame_width, segment_width: hidden channels of the two levels of regression.
        stages: how many regressors, each starting where the one before ended.
        snippet_interval: seconds from one feature to the next; the paper's 8 frames at 15 fps.
        padded_length: None leaves what pads a batch out of everything. The published code fills
            every shorter video up with zeros to a fixed length (200 or 1000), and those take part
            in convolutions and attention: give that length to get its numbers.
        scored_by: whose overlap scores a refined proposal, counted from 1; None takes the last
            regressor's. The published code takes the second's (its column `preds_iou3`).

    Raises:
        ValueError: there is no such regressor.

    Shape:
        features: (B, C, T); proposals: (B, P, 2), (start, end) in seconds; mask: (B, T), true
            for a video's own features, which come first; None where nothing is padded.
        returns: one `Refinement` a stage, the last of which has the final proposals.
    """

    def __init__(
        self,
        channels: int = 2304,
        *,
        width: int = 512,
        encoder_layers: int = 2,
        heads: int = 8,
        window: int = 9,
        feedforward: int = 256,
        dropout: float = 0.1,
        start_samples: int = 32,
        action_samples: int = 64,
        end_samples: int = 32,
        context: float = 0.5,
        frame_width: int = 128,
        segment_width: int = 512,
        stages: int = 3,
        snippet_interval: float = 8 / 15,
        padded_length: int | None = None,
        scored_by: int | None = None,
    ) -> None:
        super().__init__()
        if scored_by is not None and not 1 <= scored_by <= stages:
            raise ValueError(f"scored_by is {scored_by}, and there are {stages} stages")
        self.channels = channels
        self.snippet_interval = snippet_interval
        self.padded_length = padded_length
        self.scored_by = scored_by
        self.reduce = nn.ModuleList(
            nn.Conv1d(channels_in, width, 3, padding=1, groups=GROUPS)
            for channels_in in (channels, width)
        )
        self.encoder = nn.ModuleList(
            LocalGlobalTemporalEncoder(
                width, heads=heads, window=window, feedforward=feedforward, dropout=dropout
            )
            for _ in range(encoder_layers)
        )
        self.regressors = nn.ModuleList(
            TemporalBoundaryRegressor(
                width,
                frame_width=frame_width,
                segment_width=segment_width,
                start_samples=start_samples,
                action_samples=action_samples,
                end_samples=end_samples,
                context=context,
                snippet_interval=snippet_interval,
            )
            for _ in range(stages)
        )

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
        if self.padded_length is not None:
            features = F.pad(features, (0, max(self.padded_length - features.shape[2], 0)))
            mask = None
        for convolution in self.reduce:
            # What pads a video must be zero before every convolution, as beyond its end.
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
