"""What a network is made of, as plain values that travel with its weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actline.models.bmn import BMN
from actline.models.coarse_fine import CoarseFine, CoarseStream, TemporalPooling
from actline.models.slowfast import SlowFast
from actline.models.tcanet import TCANet
from actline.models.x3d import X3D, DepthwiseInit, StageFeatures, inner_width

# Of BMN's table of samples: with the published 32 samples of 3 bins, those of 400 snippets.
_MOST_PLACES = 1 << 24


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

    @property
    def fine_shapes(self) -> dict[str, tuple[int, int, int]]:
        """Channels, height and width of the Fine stream's features, by stage."""
        channels = (*self.fine.widths, inner_width(self.fine.widths[3]))
        return {
            stage: (width, self.cells, self.cells)
            for stage, width in zip(StageFeatures._fields, channels, strict=True)
        }

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

    def __post_init__(self) -> None:
        # A place for every pair of snippets and every sample of it.
        places = self.temporal_scale**2 * self.samples * self.bins
        if places > _MOST_PLACES:
            raise ValueError(
                f"temporal_scale {self.temporal_scale} with {self.samples} samples of "
                f"{self.bins} bins takes a table of more than {_MOST_PLACES} "
                f"places; give a smaller temporal_scale"
            )

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


class Outline(NamedTuple):
    """What a tensor is, without its values."""

    shape: tuple[int, ...]
    dtype: torch.dtype


@cache
def outline(
    config: NetworkConfig | BMNConfig | TCANetConfig, classes: int = 1
) -> Mapping[str, Outline]:
    """A network's tensors by name, without making them: a huge network costs nothing.

    Raises:
        ValueError: there is no such network, as with heads that do not divide its channels.
    """
    try:
        with torch.device("meta"), _WithoutValues():
            if isinstance(config, BMNConfig):
                # Its table of samples is no weight, and the weights do not depend on the scale.
                network: nn.Module = replace(config, temporal_scale=2).build()
            elif isinstance(config, TCANetConfig):
                network = config.build()
            else:
                network = config.build(classes)
    except RuntimeError as wrong:  # PyTorch's, of sizes that no tensor has
        raise ValueError(f"no network has these sizes ({str(wrong).splitlines()[0]})") from wrong
    tensors = network.state_dict()
    return {name: Outline(tuple(one.shape), one.dtype) for name, one in tensors.items()}


class _WithoutValues(TorchFunctionMode):
    """Draw no random weights: of tensors without values it would import a compiler to do so."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in _DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


_DRAWS = (
    Tensor.normal_,
    Tensor.uniform_,
    nn.init.normal_,
    nn.init.uniform_,
    nn.init.kaiming_normal_,
    nn.init.kaiming_uniform_,
)


def build(config: NetworkConfig, classes: int) -> nn.Module:
    """The network that `config` describes, with random weights."""
    return config.build(classes)
