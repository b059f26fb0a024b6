"""`actline convert`: convert published checkpoints."""

import argparse
from pathlib import Path
from textwrap import wrap

from actline.cli.standard import say
from actline.models.published.sources import SOURCES

EXAMPLES = """\
examples:
  actline convert fine_charades_039000_SAVE.pt --from fine fine.safetensors
  actline convert coarse_fineFEAT_charades_019000_SAVE.pt --from coarse-fine \\
      --fine fine_charades_039000_SAVE.pt --classes Charades_v1_classes.txt coarse_fine.safetensors
  actline convert X3D_M.pyth --from pytorchvideo x3d_m.safetensors
  actline convert SLOWFAST_8x8_R50.pyth --from pytorchvideo-slowfast --alpha 4 slowfast.safetensors
  actline convert TCA_best.pth.tar --from tcanet tcanet.safetensors
"""


def add_parser(subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "convert",
        help="convert a published checkpoint",
        description="Convert a published checkpoint to actline's form, without running its code.",
        epilog=f"{_listed()}\n\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", metavar="IN", type=Path, help="the published file")
    parser.add_argument("output", metavar="OUT.safetensors", type=Path, help="the file to write")
    parser.add_argument(
        "--from", dest="source", choices=[source.name for source in SOURCES], required=True
    )
    parser.add_argument("--fine", type=Path, help="the Fine stream's file, for coarse-fine")
    parser.add_argument(
        "--classes", type=Path, help="names of the classes, one a line, in the order of the logits"
    )
    parser.add_argument(
        "--alpha", type=int, default=4, help="a SlowFast's Fast frames per Slow frame (default: 4)"
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
    from actline.models.backbone import Backbone
    from actline.models.published.convert import convert

    network, card = convert(
        arguments.input,
        arguments.output,
        arguments.source,
        fine=arguments.fine,
        classes=arguments.classes,
        alpha=arguments.alpha,
        per_frame=arguments.per_frame,
        aggregate=arguments.aggregate,
    )
    parameters = sum(parameter.numel() for parameter in network.parameters())
    count = f", {len(card.classes)} classes" if isinstance(network, Backbone) else ""
    say(f"{arguments.output}: {parameters / 1e6:.2f} M parameters{count}")
    if isinstance(network, Backbone) and network.lacks is not None:
        say("It holds only the Coarse stream: for detection convert it again with --fine.")


def _listed() -> str:
    """The sources, as the help shows them."""
    lines = ["sources:"]
    for source in SOURCES:
        first, *others = wrap(source.files, 80)
        if len(source.name) > 14:
            lines += [f"  {source.name}", f"{'':<18}{first}"]
        else:
            lines.append(f"  {source.name:<14}  {first}")
        lines += [f"{'':<18}{line}" for line in others]
    return "\n".join(lines)
