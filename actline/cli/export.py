"""`actline export`: a checkpoint as ONNX, for a runtime that is faster on a processor."""

import argparse
from pathlib import Path

from actline.cli.standard import say

EXAMPLES = """\
The file holds the network and everything that `actline detect` needs with it. OpenVINO and ONNX
Runtime run it, and so does whatever else reads ONNX: its input is a clip (1, 3, T, S, S), its
output logits (1, classes, T). It needs: pip install "actline[runtime]"

examples:
  actline export runs/fine/best.safetensors fine.onnx
  actline detect video.mp4 --checkpoint fine.onnx --runtime openvino
"""


def add_parser(subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "export",
        help="write a checkpoint as ONNX",
        description="Write a checkpoint as ONNX, for OpenVINO or ONNX Runtime.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="from train or convert")
    parser.add_argument("out", metavar="OUT.onnx", type=Path, help="the file to write")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Export."""
    from actline.detection.exported import export
    from actline.errors import OutputError
    from actline.models.checkpoint import load_checkpoint

    if arguments.out.suffix != ".onnx":
        raise OutputError(f"cannot export to {arguments.out}: name a file ending in .onnx")
    network, card = load_checkpoint(arguments.checkpoint)
    export(network, card, arguments.out)
    say(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.1f} MB")
