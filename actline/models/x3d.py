"""X3D: expanding a tiny image network along time, width and depth (Feichtenhofer, CVPR 2020)."""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from torch import Tensor, nn

from actline.models.backbone import Backbone, FrameOutput
from actline.models.convolutions import DepthwiseConv3d, pointwise
from actline.models.folding import FoldedConvolution
from actline.models.heads import ClassHead
from actline.models.initialization import kaiming_normal
from actline.models.normalization import SplitBatchNorm3d
from actline.models.x3d_blocks import X3DBottleneck, X3DStem, inner_width, x3d_stage
from actline.models.x3d_folded import FoldedBottleneck, FoldedStem
from actline.stored.ranges import BelowOne, Channels, Depth, Parts

DepthwiseInit = Literal["published", "per_channel"]


@dataclass(frozen=True)
class X3DConfig:
    """An X3D; the defaults are X3D-M.

    Attributes:
        widths: channels of the four residual stages.
        depths: blocks of the four residual stages.
        head_width: channels between the last features and the classes.
        dropout: before the classifier.
        splits: parts of the batch that are normalized separately in training.
        per_frame: logits for every frame rather than one set for the clip.
        first_shortcut_norm: normalize the first stage's projected shortcut too. The Coarse-Fine
            and X3D-Multigrid authors do; PyTorchVideo's models do not.
        depthwise_init: how depthwise convolutions are initialized: "published" counts all channels
            into Kaiming's fan-out, "per_channel" only the one that a value reaches, for small
            networks that learn from random weights in few steps (docs/coarse-fine.md).
    """

    widths: tuple[Channels, Channels, Channels, Channels] = (24, 48, 96, 192)
    depths: tuple[Depth, Depth, Depth, Depth] = (3, 5, 11, 7)
    head_width: Channels = 2048
    dropout: BelowOne = 0.5
    splits: Parts = 1
    per_frame: bool = True
    first_shortcut_norm: bool = True
    depthwise_init: DepthwiseInit = "published"

    @property
    def feature_channels(self) -> tuple[int, int, int, int, int]:
        """Channels of `X3D.features`, in its order."""
        return (*self.widths, inner_width(self.widths[3]))

    def build(self, classes: int) -> "X3D":
        """A new network with random weights."""
        return X3D(self, classes)


# The sizes of the paper's Table 3, all with a head per frame. S and M have the same layers: S is
# meant for 13 frames of 160 x 160, M for 16 of 224 x 224, L and XL for 16 of 312 x 312.
X3D_S = X3D_M = X3DConfig()
X3D_L = replace(X3D_M, depths=(5, 10, 25, 15))
X3D_XL = replace(X3D_L, widths=(32, 72, 136, 280))


class StageFeatures(NamedTuple):
    """Features at every depth of X3D, each (B, C, T, H, W) with H and W halved stage by stage."""

    stage1: Tensor
    stage2: Tensor
    stage3: Tensor
    stage4: Tensor
    conv5: Tensor


class X3D(Backbone):
    """X3D with a head per clip or per frame; time is never downsampled (Table 1).

    Args:
        config: its sizes.
        classes: how many logits.

    Shape:
        clip: (B, 3, T, H, W), normalized; returns logits (B, K, T) per frame, or (B, K).
    """

    depths = StageFeatures._fields
    export_frames = 4  # not 1, 2 or 3, which an exporter takes for fixed sizes

    def __init__(self, config: X3DConfig, classes: int) -> None:
        super().__init__()
        self.config = config
        self.classes = classes
        self.feature_channels = config.feature_channels
        self.frame_channels = config.feature_channels[-1]
        widths, splits = config.widths, config.splits
        self.stem = X3DStem(widths[0], splits=splits)
        into = (widths[0], *widths[:3])
        self.stage1, self.stage2, self.stage3, self.stage4 = (
            x3d_stage(
                channels_in,
                width,
                depth,
                splits=splits,
                shortcut_norm=config.first_shortcut_norm or channels_in != width,
            )
            for channels_in, width, depth in zip(into, widths, config.depths, strict=True)
        )
        last = inner_width(widths[3])
        self.conv5 = nn.Sequential(
            pointwise(widths[3], last), SplitBatchNorm3d(last, splits=splits), nn.ReLU(inplace=True)
        )
        self.head = ClassHead(
            last,
            classes,
            per_frame=config.per_frame,
            width=config.head_width,
            dropout=config.dropout,
        )
        initialize_x3d(self)

    def forward(self, clip: Tensor) -> Tensor:
        return self.head(self.features(clip).conv5)

    def features(self, clip: Tensor) -> StageFeatures:
        """Features at every stage: (B, C, T, H / 4, W / 4) down to (B, C, T, H / 32, W / 32)."""
        stage1 = self.stage1(self.stem(clip))
        stage2 = self.stage2(stage1)
        stage3 = self.stage3(stage2)
        stage4 = self.stage4(stage3)
        return StageFeatures(stage1, stage2, stage3, stage4, self.conv5(stage4))

    def fold(self) -> None:
        """As in `Foldable`: activations and additions become part of convolutions too."""
        self.add_module("stem", FoldedStem(self.stem))
        for stage in (self.stage1, self.stage2, self.stage3, self.stage4):
            for index, block in enumerate(stage):
                assert isinstance(block, X3DBottleneck)
                stage[index] = FoldedBottleneck(block)
        conv, norm, _ = self.conv5
        self.add_module("conv5", FoldedConvolution(conv, norm, "relu"))

    def frame_output(self, clip: Tensor) -> FrameOutput:
        features = self.features(clip).conv5.mean(dim=(3, 4))
        return FrameOutput(features, self.head.logits(features))


def initialize_x3d(network: X3D) -> None:
    """Kaiming's weights as in the published code, or as `depthwise_init` says."""
    kaiming_normal(network)
    # The published head projects by a pointwise convolution, which the same rule covers.
    nn.init.kaiming_normal_(network.head.project.weight, mode="fan_out", nonlinearity="relu")
    if network.config.depthwise_init == "per_channel":
        for module in network.modules():
            if isinstance(module, DepthwiseConv3d):
                reached = module.weight[0].numel()  # outputs that one value counts for
                nn.init.normal_(module.weight, std=(2 / reached) ** 0.5)
