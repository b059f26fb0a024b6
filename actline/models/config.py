"""What a network is made of, as plain values that travel with its weights."""

from dataclasses import dataclass, field

from torch import nn

from actline.models.bmn import BMN
from actline.models.coarse_fine import CoarseFine, CoarseStream, TemporalPooling
from actline.models.slowfast import SlowFast
from actline.models.tcanet import TCANet
from actline.models.x3d import X3D, DepthwiseInit


@dataclass(frozen=True)
class X3DConfig:
    """An X3D; the defaults are X3D-M, whose layers X3D-S shares.

    X3D-L has depths (5, 10, 25, 15); X3D-XL has them too, and widths (32, 72, 136, 280).
    """

    widths: tuple[int, int, int, int] = (24, 48, 96, 192)
    depths: tuple[int, int, int, int] = (3, 5, 11, 7)
    head_width: int = 2048
    dropout: float = 0.5
    splits: int = 1
    per_frame: bool = True
    first_shortcut_norm: bool = True
    depthwise_init: DepthwiseInit = "published"

    def build(self, classes: int) -> X3D:
        """A new network with random weights."""
        return X3D(
            classes,
            per_frame=self.per_frame,
            widths=self.widths,
            depths=self.depths,
            head_width=self.head_width,
            dropout=self.dropout,
            splits=self.splits,
            first_shortcut_norm=self.first_shortcut_norm,
            depthwise_init=self.depthwise_init,
        )


@dataclass(frozen=True)
class CoarseFineConfig:
    """A Coarse-Fine network; `fine_stream` is False where only stored features are at hand."""

    fine: X3DConfig = field(default_factory=X3DConfig)
    coarse: X3DConfig = field(default_factory=X3DConfig)
    pooling: TemporalPooling = "grid"
    cells: int = 7
    fine_stream: bool = True

    def build(self, classes: int) -> CoarseFine:
        """A new network with random weights."""
        fine = self.fine.build(classes)
        coarse = CoarseStream(
            self.coarse.build(classes),
            fine_channels=fine.feature_channels,
            classes=classes,
            pooling=self.pooling,
        )
        return CoarseFine(fine if self.fine_stream else None, coarse, cells=self.cells)


@dataclass(frozen=True)
class SlowFastConfig:
    """A SlowFast; the defaults are SlowFast 8 x 8, R50.

    R101 has depths (3, 4, 23, 3); 4 x 16 has alpha 8. Both have a `fusion_kernel` of 5. The
    published 16 x 8, R101 has 6 `temporal_blocks`.
    """

    width: int = 64
    depths: tuple[int, int, int, int] = (3, 4, 6, 3)
    alpha: int = 4
    beta: float = 1 / 8
    fusion_kernel: int = 7
    fusion_ratio: int = 2
    temporal_blocks: int | None = None
    dropout: float = 0.5
    splits: int = 1
    per_frame: bool = True

    def build(self, classes: int) -> SlowFast:
        """A new network with random weights."""
        return SlowFast(
            classes,
            per_frame=self.per_frame,
            width=self.width,
            depths=self.depths,
            alpha=self.alpha,
            beta=self.beta,
            fusion_kernel=self.fusion_kernel,
            fusion_ratio=self.fusion_ratio,
            temporal_blocks=self.temporal_blocks,
            dropout=self.dropout,
            splits=self.splits,
        )


@dataclass(frozen=True)
class BMNConfig:
    """A BMN; the defaults are those published for ActivityNet-1.3 with TSN features."""

    channels: int = 400
    temporal_scale: int = 100
    width: int = 256
    pair_width: int = 512
    map_width: int = 128
    samples: int = 32
    bins: int = 3
    boundary_ratio: float = 0.5
    sliding: bool = False

    def build(self) -> BMN:
        """A new network with random weights."""
        return BMN(
            self.channels,
            temporal_scale=self.temporal_scale,
            width=self.width,
            pair_width=self.pair_width,
            map_width=self.map_width,
            samples=self.samples,
            bins=self.bins,
            boundary_ratio=self.boundary_ratio,
            sliding=self.sliding,
        )


@dataclass(frozen=True)
class TCANetConfig:
    """A TCANet; the defaults are those published for HACS Segments with SlowFast features."""

    channels: int = 2304
    width: int = 512
    encoder_layers: int = 2
    heads: int = 8
    window: int = 9
    feedforward: int = 256
    dropout: float = 0.1
    start_samples: int = 32
    action_samples: int = 64
    end_samples: int = 32
    context: float = 0.5
    frame_width: int = 128
    segment_width: int = 512
    stages: int = 3
    snippet_interval: float = 8 / 15
    padded_length: int | None = None
    scored_by: int | None = None

    def build(self) -> TCANet:
        """A new network with random weights."""
        return TCANet(
            self.channels,
            width=self.width,
            encoder_layers=self.encoder_layers,
            heads=self.heads,
            window=self.window,
            feedforward=self.feedforward,
            dropout=self.dropout,
            start_samples=self.start_samples,
            action_samples=self.action_samples,
            end_samples=self.end_samples,
            context=self.context,
            frame_width=self.frame_width,
            segment_width=self.segment_width,
            stages=self.stages,
            snippet_interval=self.snippet_interval,
            padded_length=self.padded_length,
            scored_by=self.scored_by,
        )


NetworkConfig = X3DConfig | CoarseFineConfig | SlowFastConfig


def build(config: NetworkConfig, classes: int) -> nn.Module:
    """The network that `config` describes, with random weights."""
    return config.build(classes)
