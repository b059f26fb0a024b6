"""Where published checkpoints come from: one value per source, in one tuple.

PyTorch is imported when a source is used, so that the command line can list them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from actline.models.coarse_fine import CoarseFine
    from actline.models.slowfast import SlowFast
    from actline.models.tcanet import TCANet
    from actline.models.x3d import X3D

Colour = tuple[float, float, float]

# Tensors that every file of a source has, under prefixes perhaps.
X3D_LANDMARK = "conv1_s.weight"
ZOO_X3D_LANDMARK = "blocks.0.conv.conv_t.weight"
ZOO_SLOWFAST_LANDMARK = "blocks.0.multipathway_blocks.0.conv.weight"
TCANET_LANDMARK = "x_1d_b_f.0.weight"
COARSE_LANDMARK = "rw2.at1.weight"


@dataclass(frozen=True)
class Options:
    """What a file's tensors do not say.

    Attributes:
        fine: the tensors of the Fine stream's file, for "coarse-fine".
        alpha: a SlowFast's Fast frames per Slow frame: 4 for 8x8 and 16x8, 8 for 4x16.
        per_frame: whether an "x3d-multigrid" file was trained for localization.
    """

    fine: "Mapping[str, Tensor] | None" = None
    alpha: int = 4
    per_frame: bool = False


@dataclass(frozen=True)
class InputSettings:
    """How a published network sees videos: as the fields of `ModelCard`."""

    mean: Colour
    std: Colour
    stride: int
    size: int = 224
    window: int = 128
    overlap: int = 32


# Mean and deviation of the Charades training set's frames (authors' train_fine.py). The published
# test runs up to 1 000 frames at once and keeps 128 Fine positions.
CHARADES = InputSettings(mean=(0.413, 0.368, 0.338), std=(0.131, 0.125, 0.132), stride=10)
# Kinetics, by X3D-Multigrid's train_x3d_kinetics_multigrid.py.
KINETICS = InputSettings(
    mean=(110.63666788 / 255, 103.16065604 / 255, 96.29023126 / 255),
    std=(38.7568578 / 255, 37.88248729 / 255, 40.02898126 / 255),
    stride=5,
)
# PyTorchVideo's model zoo. X3D_M: 16 frames, one in 5; see there for S and L. SlowFast: 32, one in
# 2.
ZOO_X3D = InputSettings(mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225), stride=5)
ZOO_SLOWFAST = InputSettings(ZOO_X3D.mean, ZOO_X3D.std, stride=2, window=64, overlap=16)


@dataclass(frozen=True)
class Source:
    """One kind of published checkpoint.

    Attributes:
        name: as `actline convert --from` takes it.
        files: what they hold, and what they are called.
        landmark: a tensor that every such file has, under prefixes perhaps.
        network: our network with the file's tensors, by their published names.
        shown: how it sees videos; None where it works on snippet features.
    """

    name: str
    files: str
    landmark: str
    network: "Callable[[Mapping[str, Tensor], Options], X3D | SlowFast | CoarseFine | TCANet]"
    shown: Callable[[Options], InputSettings] | None

    def fits(self, names: "Mapping[str, Tensor]") -> bool:
        """Whether the landmark is among the names, whatever wrapped the network."""
        return any(f".{name}".endswith(f".{self.landmark}") for name in names)


def _fine(tensors: "Mapping[str, Tensor]", options: Options) -> "X3D":
    from actline.models.published import x3d_multigrid

    return x3d_multigrid.from_published(tensors, per_frame=True)


def _coarse_fine(tensors: "Mapping[str, Tensor]", options: Options) -> "CoarseFine":
    from actline.models.published import coarse_fine

    return coarse_fine.from_published(tensors, fine_stream=options.fine)


def _x3d_multigrid(tensors: "Mapping[str, Tensor]", options: Options) -> "X3D":
    from actline.models.published import x3d_multigrid

    return x3d_multigrid.from_published(tensors, per_frame=options.per_frame)


def _pytorchvideo(tensors: "Mapping[str, Tensor]", options: Options) -> "X3D":
    from actline.models.published import pytorchvideo

    return pytorchvideo.from_published(tensors)


def _pytorchvideo_slowfast(tensors: "Mapping[str, Tensor]", options: Options) -> "SlowFast":
    from actline.models.published import pytorchvideo_slowfast

    return pytorchvideo_slowfast.from_published(tensors, alpha=options.alpha)


def _tcanet(tensors: "Mapping[str, Tensor]", options: Options) -> "TCANet":
    from actline.models.published import tcanet

    return tcanet.from_published(tensors)


SOURCES = (
    Source(
        "fine",
        "the Coarse-Fine authors' Fine stream (fine_charades_*.pt)",
        X3D_LANDMARK,
        _fine,
        lambda options: CHARADES,
    ),
    Source(
        "coarse-fine",
        "their Coarse stream (coarse_fineFEAT_charades_*.pt); with --fine the Fine stream's file "
        "too, which detection on videos needs",
        COARSE_LANDMARK,
        _coarse_fine,
        lambda options: CHARADES,
    ),
    Source(
        "x3d-multigrid",
        "the X3D-Multigrid authors' files; --per-frame for their localization files",
        X3D_LANDMARK,
        _x3d_multigrid,
        lambda options: CHARADES if options.per_frame else KINETICS,
    ),
    Source(
        "pytorchvideo",
        "PyTorchVideo's X3D_S.pyth, X3D_M.pyth, X3D_L.pyth",
        ZOO_X3D_LANDMARK,
        _pytorchvideo,
        lambda options: ZOO_X3D,
    ),
    Source(
        "pytorchvideo-slowfast",
        "its SLOWFAST_8x8_R50.pyth, SLOWFAST_4x16_R50, SLOWFAST_8x8_R101 and "
        "SLOWFAST_16x8_R101_50_50; with --alpha 8 for 4x16, 4 for the others",
        ZOO_SLOWFAST_LANDMARK,
        _pytorchvideo_slowfast,
        lambda options: ZOO_SLOWFAST,
    ),
    Source(
        "tcanet",
        "the TCANet authors' file; its snippets are 8 / 15 s apart",
        TCANET_LANDMARK,
        _tcanet,
        None,
    ),
)
