"""Coarse-Fine Networks for temporal activity detection (Kahatapitiya and Ryoo, CVPR 2021)."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from actline.models.backbone import Backbone, Prediction
from actline.models.fixed_pooling import (
    at_every_frame,
    average_frames,
    maximum_frames,
    strided_frames,
)
from actline.models.fusion import (
    FineFeatures,
    MultiStageFusion,
    gaussian_alignment,
    pool_in_space,
)
from actline.models.grid_pool import GridPool, grid_unpool
from actline.models.x3d import X3D, StageFeatures, X3DConfig
from actline.stored.ranges import Range

TemporalPooling = Literal["grid", "average", "maximum", "stride"]


@dataclass(frozen=True)
class CoarseFineConfig:
    """A Coarse-Fine network; the defaults are those published for Charades.

    Attributes:
        fine, coarse: the two streams' X3Ds.
        pooling: Grid Pool, or one of the fixed poolings the paper compares with (Table 3).
        cells: the Fine features' height and width, G.
        fine_stream: whether there is a Fine stream; without, it takes stored features alone.
    """

    fine: X3DConfig = field(default_factory=X3DConfig)
    coarse: X3DConfig = field(default_factory=X3DConfig)
    pooling: TemporalPooling = "grid"
    cells: Annotated[int, Range(1, 32)] = 7
    fine_stream: bool = True

    @property
    def per_frame(self) -> bool:
        """True: it gives logits for every frame."""
        return True

    @property
    def splits(self) -> int:
        """1: training normalizes whole batches."""
        return 1

    @property
    def fine_shapes(self) -> dict[str, tuple[int, int, int]]:
        """Channels, height and width of the Fine stream's features, by stage."""
        return {
            stage: (channels, self.cells, self.cells)
            for stage, channels in zip(
                StageFeatures._fields, self.fine.feature_channels, strict=True
            )
        }

    def build(self, classes: int) -> "CoarseFine":
        """A new network with random weights."""
        return CoarseFine(self, classes)


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What the Fine stream sees where that is more than the clip, the clip's frames among it.

    Shape:
        clip: (B, 3, N, H, W), normalized; mask: (B, N), 1 where valid.
        start: (B,), the clip's first frame among the N.
    """

    clip: Tensor
    mask: Tensor
    start: Tensor


class CoarseStream(nn.Module):
    """The Coarse stream: X3D over few, well chosen frames, informed by the Fine stream.

    Args:
        config: of both streams.
        classes: how many logits.

    Shape:
        clip: (B, 3, T, H, W); returns logits (B, K, T) and positions (B, P).
    """

    def __init__(self, config: CoarseFineConfig, classes: int) -> None:
        super().__init__()
        widths = config.coarse.widths
        self.trunk = X3D(config.coarse, classes)
        self.pooling = config.pooling
        self.grid_pool = GridPool(widths[0]) if config.pooling == "grid" else None
        self.fusion = MultiStageFusion(config.fine.feature_channels, widths, classes)

    def forward(self, clip: Tensor, fine: FineFeatures) -> tuple[Tensor, Tensor]:
        T = clip.shape[2]
        x = self.trunk.stage1(self.trunk.stem(clip))
        x, positions = self.pool(x)

        alignment = gaussian_alignment(self.centres(positions, T, fine.start), fine.mask)
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
        """Downsample (B, C, T, H, W) in time to P frames; where they lie is (B, P) in [0, 1].

        0 is the clip's first frame and 1 its last, whatever the pooling.
        """
        if self.grid_pool is not None:
            return self.grid_pool(x)
        if self.pooling == "stride":
            return strided_frames(x, GridPool.stride)
        pool = average_frames if self.pooling == "average" else maximum_frames
        return pool(x, GridPool.stride)

    def centres(self, positions: Tensor, frames: int, start: Tensor) -> Tensor:
        """The pooled frames' places (B, P) among the Fine positions, for the Gaussians.

        Grid Pool's are scaled by T as published, though it samples at T - 1 times its positions:
        up to one Fine position too late, towards the clip's end.
        """
        last = frames if self.grid_pool is not None else frames - 1
        return positions * last + start.unsqueeze(1)

    def unpool(self, logits: Tensor, positions: Tensor, frames: int) -> Tensor:
        """Bring logits (B, K, P) back to every frame of the clip: (B, K, T)."""
        if self.grid_pool is None:
            return at_every_frame(logits, positions * (frames - 1), frames)
        regular = grid_unpool(logits, positions)
        return nn.functional.interpolate(regular, frames, mode="linear", align_corners=True)


class CoarseFine(Backbone):
    """Both streams: the Fine stream sees every frame, the Coarse stream the chosen ones.

    Without features the Fine stream runs on the clip itself, and both learn together (joint).
    With features it is not run (stored features, as published for small GPUs).

    Args:
        config: of both streams.
        classes: how many logits.
    """

    # With stored features, or without its own loss, the Fine stream's head gets no gradient.
    unused_parameters = True

    def __init__(self, config: CoarseFineConfig, classes: int) -> None:
        super().__init__()
        self.config = config
        self.classes = classes
        # Made even where it is not kept, so that the Coarse stream begins with the same weights.
        fine = X3D(config.fine, classes)
        self.fine = fine if config.fine_stream else None
        self.coarse = CoarseStream(config, classes)

    def forward(
        self,
        clip: Tensor,
        features: FineFeatures | None = None,
        mask: Tensor | None = None,
        surroundings: Surroundings | None = None,
    ) -> Prediction:
        """Logits for every frame of the clip.

        Args:
            clip: (B, 3, T, H, W), normalized.
            features: stored Fine features; None runs the Fine stream.
            mask: (B, T), 1 for the clip's valid frames; used when the Fine stream runs.
            surroundings: what the Fine stream runs on instead of the clip.
        """
        fine_logits = None
        if features is None and surroundings is not None:
            features, wider = self.encode_fine(surroundings.clip, surroundings.mask)
            features = replace(features, start=surroundings.start)
            fine_logits = _clip_of(wider, surroundings.start, clip.shape[2])
        elif features is None:
            features, fine_logits = self.encode_fine(clip, mask)
        logits, positions = self.coarse(clip, features)
        return Prediction(logits, positions, fine_logits)

    @property
    def lacks(self) -> str | None:
        """As in `Backbone`: the Fine stream, which a published file may lack."""
        if self.fine is not None:
            return None
        return (
            "holds the Coarse stream alone; "
            "convert it again with the Fine stream's checkpoint (--fine)"
        )

    def encode_fine(self, clip: Tensor, mask: Tensor | None = None) -> tuple[FineFeatures, Tensor]:
        """Run the Fine stream: its pooled features, and its own logits (B, K, T)."""
        if self.fine is None:
            raise ValueError("this network has no Fine stream: pass stored features")
        stages = self.fine.features(clip)
        if mask is None:
            mask = clip.new_ones(clip.shape[0], clip.shape[2])
        start = mask.new_zeros(len(mask))
        features = FineFeatures(pool_in_space(stages, self.config.cells), mask, start)
        return features, self.fine.head(stages.conv5)


def _clip_of(wider: Tensor, start: Tensor, frames: int) -> Tensor:
    """The clip's part (B, K, T) of values for its surroundings, (B, K, N).

    Frames that pad a short clip may lie outside; they repeat the last.
    """
    frame = start.long().unsqueeze(1) + torch.arange(frames, device=wider.device)
    frame = frame.clamp(max=wider.shape[2] - 1)
    return wider.gather(2, frame.unsqueeze(1).expand(-1, wider.shape[1], -1))
