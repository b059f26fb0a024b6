"""`actline convert`: bring published checkpoints over."""

import argparse
from pathlib import Path

from actline.cli.standard import say
from actline.plain import plain

SOURCES = (
    "fine",
    "coarse-fine",
    "x3d-multigrid",
    "pytorchvideo",
    "pytorchvideo-slowfast",
    "tcanet",
)

EXAMPLES = """\
sources:
  fine            the Coarse-Fine authors' Fine stream (fine_charades_*.pt)
  coarse-fine     their Coarse stream (coarse_fineFEAT_charades_*.pt); with --fine the Fine
                  stream's file too, which detection on videos needs
  x3d-multigrid   the X3D-Multigrid authors' files; --per-frame for their localization files
  pytorchvideo    PyTorchVideo's X3D_S.pyth, X3D_M.pyth, X3D_L.pyth
  pytorchvideo-slowfast
                  its SLOWFAST_8x8_R50.pyth, SLOWFAST_4x16_R50, SLOWFAST_8x8_R101 and
                  SLOWFAST_16x8_R101_50_50; with --alpha 8 for 4x16, 4 for the others
  tcanet          the TCANet authors' file; its snippets are 8 / 15 s apart

examples:
  actline convert fine_charades_039000_SAVE.pt --from fine fine.safetensors
  actline convert coarse_fineFEAT_charades_019000_SAVE.pt --from coarse-fine \\
      --fine fine_charades_039000_SAVE.pt --classes Charades_v1_classes.txt coarse_fine.safetensors
  actline convert X3D_M.pyth --from pytorchvideo x3d_m.safetensors
  actline convert SLOWFAST_8x8_R50.pyth --from pytorchvideo-slowfast --alpha 4 slowfast.safetensors
  actline convert TCA_best.pth.tar --from tcanet tcanet.safetensors
"""

# Mean and deviation of the Charades training set's frames (authors' train_fine.py).
CHARADES_MEAN, CHARADES_STD = (0.413, 0.368, 0.338), (0.131, 0.125, 0.132)
# Kinetics models: X3D-Multigrid's train_x3d_kinetics_multigrid.py, PyTorchVideo's model zoo.
MULTIGRID_MEAN = (110.63666788 / 255, 103.16065604 / 255, 96.29023126 / 255)
MULTIGRID_STD = (38.7568578 / 255, 37.88248729 / 255, 40.02898126 / 255)
ZOO_MEAN, ZOO_STD = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)


def add_parser(subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "convert",
        help="bring a published checkpoint over",
        description="Convert a published checkpoint to actline's form, without running its code.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", metavar="IN", type=Path, help="the published file")
    parser.add_argument("output", metavar="OUT.safetensors", type=Path, help="the file to write")
    parser.add_argument("--from", dest="source", choices=SOURCES, required=True)
    parser.add_argument("--fine", type=Path, help="the Fine stream's file, for coarse-fine")
    parser.add_argument(
        "--classes", type=Path, help="names of the classes, one a line, in the order of the logits"
    )
    parser.add_argument(
        "--alpha", type=int, default=4, help="a SlowFast's Fast frames to one Slow (default: 4)"
    )
    parser.add_argument(
        "--per-frame", action="store_true", help="an x3d-multigrid file trained for localization"
    )
    parser.add_argument(
        "--aggregate",
        action="store_true",
        help="compute evaluation statistics of normalization from the training ones, as the "
        "authors' scripts do before evaluating; by default they are taken as stored",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Convert, write, and say what was written."""
    from dataclasses import replace

    from actline.models.cards import ModelCard
    from actline.models.checkpoint import save_checkpoint
    from actline.models.coarse_fine import CoarseFineConfig
    from actline.models.normalization import aggregate_statistics
    from actline.models.published import (
        coarse_fine,
        pytorchvideo,
        pytorchvideo_slowfast,
        x3d_multigrid,
    )
    from actline.models.published.unwrap import read_published

    tensors = read_published(arguments.input)
    if arguments.source == "tcanet":
        _convert_tcanet(arguments, tensors)
        return
    charades = {"mean": CHARADES_MEAN, "std": CHARADES_STD, "stride": 10, "size": 224}
    if arguments.source == "coarse-fine":
        network, config = coarse_fine.from_published(tensors)
        if arguments.fine:
            fine_tensors = read_published(arguments.fine)
            network.fine, fine = x3d_multigrid.from_published(fine_tensors, per_frame=True)
            config = replace(config, fine=fine, fine_stream=True)
        # The published test runs up to 1 000 frames at once and keeps 128 Fine positions.
        settings = {**charades, "window": 128, "overlap": 32}
    elif arguments.source == "fine":
        network, config = x3d_multigrid.from_published(tensors, per_frame=True)
        settings = {**charades, "window": 128, "overlap": 32}
    elif arguments.source == "x3d-multigrid":
        network, config = x3d_multigrid.from_published(tensors, per_frame=arguments.per_frame)
        settings = {"mean": MULTIGRID_MEAN, "std": MULTIGRID_STD, "stride": 5, "size": 224}
        if arguments.per_frame:
            settings = charades
    elif arguments.source == "pytorchvideo-slowfast":
        network, config = pytorchvideo_slowfast.from_published(tensors, alpha=arguments.alpha)
        # 32 frames, one in 2 (PyTorchVideo's model zoo).
        settings = {"mean": ZOO_MEAN, "std": ZOO_STD, "stride": 2, "size": 224}
        settings |= {"window": 64, "overlap": 16}
    else:
        network, config = pytorchvideo.from_published(tensors)
        # X3D_M: 16 frames, one in 5; see the model zoo for S and L.
        settings = {"mean": ZOO_MEAN, "std": ZOO_STD, "stride": 5, "size": 224}
    if arguments.aggregate:
        aggregate_statistics(network)

    count = _class_count(network)
    card = ModelCard(
        network=config,
        classes=_class_names(arguments.classes, count),
        source=f"{plain(arguments.input.name)}, converted from {arguments.source}",
        **settings,
    )
    save_checkpoint(arguments.output, network.eval(), card)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    say(f"{arguments.output}: {parameters / 1e6:.2f} M parameters, {count} classes")
    if isinstance(config, CoarseFineConfig) and not config.fine_stream:
        say("It holds the Coarse stream alone: for detection convert again with --fine.")


def _convert_tcanet(arguments: argparse.Namespace, tensors) -> None:
    from actline.models.cards import SegmentCard
    from actline.models.checkpoint import save_checkpoint
    from actline.models.published import tcanet
    from actline.timeline.suppression import SuppressionConfig

    network, config = tcanet.from_published(tensors)
    card = SegmentCard(
        network=config,
        classes=_class_names(arguments.classes, None),
        origin=None,
        suppression=SuppressionConfig.tcanet(),
        source=f"{plain(arguments.input.name)}, converted from tcanet",
    )
    save_checkpoint(arguments.output, network.eval(), card)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    say(f"{arguments.output}: {parameters / 1e6:.2f} M parameters")


def _class_count(network) -> int:
    from actline.models.coarse_fine import CoarseFine

    trunk = network.coarse.trunk if isinstance(network, CoarseFine) else network
    return trunk.head.classify.out_features


def _class_names(path: Path | None, count: int | None) -> tuple[str, ...]:
    from actline.annotations.read import read_classes
    from actline.errors import CheckpointError

    if path is None:
        return tuple(f"c{index:03d}" for index in range(count or 0))
    names = read_classes(path).names
    if count is not None and len(names) != count:
        raise CheckpointError(f"{path} names {len(names)} classes; the checkpoint has {count}")
    return names
