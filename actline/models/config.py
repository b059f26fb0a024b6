"""What a network is made of, as plain values that travel with its weights."""

from dataclasses import dataclass, field

from torch import nn

from actline.models.coarse_fine import CoarseFine, CoarseStream, TemporalPooling
from actline.models.x3d import X3D


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


NetworkConfig = X3DConfig | CoarseFineConfig


def build(config: NetworkConfig, classes: int) -> nn.Module:
    """The network that `config` describes, with random weights."""
    return config.build(classes)
