"""Multi-stage Fusion: how the Fine stream informs the Coarse stream.

Coarse-Fine Networks, Section 3.2: filter the Fine features with self-attention, align them in
time with Gaussians, and turn all depths into scale and shift for the Coarse stream.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from actline.models.x3d import StageFeatures


@dataclass(frozen=True, eq=False)
class FineFeatures:
    """The Fine stream's features over a whole video or window, pooled in space.

    Shape:
        stages: five of (B, C, N, G, G): N Fine positions, G x G cells.
        mask: (B, N), 1 where a position is valid and 0 where it pads the batch.
        start: (B,), the Fine position of the Coarse clip's first frame.
    """

    stages: StageFeatures
    mask: Tensor
    start: Tensor


def pool_in_space(features: StageFeatures, cells: int) -> StageFeatures:
    """Average every depth to `cells` x `cells`: (B, C, T, H, W) to (B, C, T, G, G)."""
    return StageFeatures(
        *(nn.functional.adaptive_avg_pool3d(stage, (None, cells, cells)) for stage in features)
    )


def gaussian_alignment(centres: Tensor, mask: Tensor) -> Tensor:
    """How much each Fine position counts for each Coarse frame (Section 3.2, equation (6)).

    Gaussians around the Coarse frames, as wide as an eighth of the valid Fine positions, each
    scaled to a maximum of 1.

    Shape:
        centres: (B, P), the Coarse frames' places among Fine positions; mask: (B, N).
        returns: (B, N, P).
    """
    N = mask.shape[1]
    position = torch.arange(N, device=mask.device, dtype=centres.dtype).view(1, N, 1)
    deviation = mask.sum(dim=1).view(-1, 1, 1) / 8
    squared = (position - centres.unsqueeze(1)).square()
    weights = (-squared / (2 * deviation.square() + 1e-16)).exp()
    return weights / (weights.amax(dim=1, keepdim=True) + 1e-16)


class AttentionFilter(nn.Module):
    """A self-attention mask over the Fine features: what may pass to the Coarse stream.

    Shape:
        features: (B, C, N, G, G); returns the features times a mask in [0, 1], and the mask
            (B, 1, N, G, G).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.hidden = nn.Conv3d(channels, channels, 1)
        self.mask = nn.Conv3d(channels, 1, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        mask = self.mask(self.hidden(features).relu()).sigmoid()
        return features * mask, mask


def align(features: Tensor, attention: Tensor, alignment: Tensor, mask: Tensor) -> Tensor:
    """Average the filtered Fine features around every Coarse frame (Section 3.2, equation (7)).

    Weights are attention times Gaussian, over valid positions, and add up to one.

    Shape:
        features: (B, C, N, G, G), filtered; attention: (B, 1, N, G, G); alignment: (B, N, P);
        mask: (B, N). Returns (B, C, P, G, G).
    """
    weights = alignment * mask.unsqueeze(2)
    # One matrix product over N; the (B, C, N, P, G, G) product itself is never built.
    total = torch.einsum("bcnhw,bnp->bcphw", features, weights)
    norm = torch.einsum("bcnhw,bnp->bcphw", attention, weights)
    return total / (norm + 1e-6)


class Projection(nn.Module):
    """Two pointwise layers: (B, C, P, G, G) to (B, C', P, G, G)."""

    def __init__(self, channels_in: int, channels_out: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden = nn.Conv3d(channels_in, channels_in, 1)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Conv3d(channels_in, channels_out, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.out(self.dropout(self.hidden(features).relu()))


class FilterAlign(nn.Module):
    """One depth of the Fine stream, filtered and aligned, as a scale and a shift.

    Shape:
        features: (B, C, N, G, G); returns scale and shift, each (B, C, P, G, G), before the
            mixing of depths.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.filter = AttentionFilter(channels)
        self.to_scale = Projection(channels, channels)
        self.to_shift = Projection(channels, channels)

    def forward(self, features: Tensor, alignment: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        filtered, attention = self.filter(features)
        aligned = align(filtered, attention, alignment, mask)
        return self.to_scale(aligned), self.to_shift(aligned)


class MixDepths(nn.Module):
    """All depths of the Fine stream into scale and shift at one depth of the Coarse stream.

    Everything happens on the Fine stream's G x G cells and is spread over the Coarse features at
    the very end. Published code spreads first: the results are the same wherever the Coarse
    features' height and width are multiples of G (docs/coarse-fine.md).

    Shape:
        coarse: (B, C, P, H, W); scales and shifts: (B, C_all, P, G, G), depths concatenated;
        returns (B, C, P, H, W).
    """

    def __init__(self, channels_all: int, channels: int) -> None:
        super().__init__()
        self.scale = nn.Conv3d(channels_all, channels, 1)
        self.shift = nn.Conv3d(channels_all, channels, 1)

    def forward(self, coarse: Tensor, scales: Tensor, shifts: Tensor) -> Tensor:
        scale, shift = self.scale(scales).sigmoid(), self.shift(shifts)
        height, width = coarse.shape[3:]
        G = scales.shape[3]
        if height % G or width % G:
            scale = cells_to_pixels(scale, height, width)
            return coarse * scale + cells_to_pixels(shift, height, width)
        # Every cell stands for equally many pixels: nothing of the Coarse features' size is built.
        tiles = coarse.unflatten(4, (G, -1)).unflatten(3, (G, -1))
        scale, shift = (cells[:, :, :, :, None, :, None] for cells in (scale, shift))
        return (tiles * scale + shift).flatten(5).flatten(3, 4)


def cells_to_pixels(cells: Tensor, height: int, width: int) -> Tensor:
    """Bring (B, C, P, G, G) to (B, C, P, H, W): the largest of the cells each pixel touches."""
    return nn.functional.adaptive_max_pool3d(cells, (cells.shape[2], height, width))


class FuseLogits(nn.Module):
    """Scale and shift the Coarse stream's logits by the Fine stream's deepest features.

    Shape:
        logits: (B, K, P); features: (B, C, N, G, G); returns (B, K, P).
    """

    def __init__(self, channels: int, classes: int, *, dropout: float = 0.5) -> None:
        super().__init__()
        self.filter = AttentionFilter(channels)
        self.to_scale = Projection(channels, classes, dropout=dropout)
        self.to_shift = Projection(channels, classes, dropout=dropout)

    def forward(self, logits: Tensor, features: Tensor, alignment: Tensor, mask: Tensor) -> Tensor:
        filtered, attention = self.filter(features)
        aligned = align(filtered, attention, alignment, mask)
        averaged = aligned.mean(dim=(3, 4), keepdim=True)  # (B, C, P, 1, 1)
        scale = self.to_scale(averaged).sigmoid().flatten(2)
        return logits * scale + self.to_shift(averaged).flatten(2)


class MultiStageFusion(nn.Module):
    """The three stages together: prepare once, then fuse at every depth of the Coarse stream.

    Args:
        channels: of the Fine features at every depth, conv5 last.
        coarse_channels: of the Coarse stream where it is fused, shallow to deep.
        classes: how many logits.
    """

    def __init__(
        self, channels: tuple[int, ...], coarse_channels: tuple[int, ...], classes: int
    ) -> None:
        super().__init__()
        depths = channels[:-1]
        self.prepare = nn.ModuleList(FilterAlign(depth) for depth in depths)
        self.mix = nn.ModuleList(MixDepths(sum(depths), coarse) for coarse in coarse_channels)
        self.logits = FuseLogits(channels[-1], classes)

    def scales_and_shifts(self, fine: FineFeatures, alignment: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift from all depths but conv5, concatenated: each (B, C_all, P, G, G)."""
        pairs = [
            prepare(stage, alignment, fine.mask)
            for prepare, stage in zip(self.prepare, fine.stages[:-1], strict=True)
        ]
        return torch.cat([scale for scale, _ in pairs], 1), torch.cat([s for _, s in pairs], 1)
