"""`actline chain`: put the links of segment-level detection into one checkpoint."""

import argparse
from pathlib import Path

from actline.cli.standard import say

EXAMPLES = """\
The file holds everything that `actline detect VIDEO` needs: the backbone that makes features, BMN
that proposes segments, and TCANet that refines them. Links that were trained on other features
are refused. On public features a chain has no backbone, and `actline detect` takes stored features;
without BMN it takes another method's proposals.

examples:
  actline chain --backbone runs/fine/best.safetensors --proposals runs/bmn/best.safetensors \\
      --refinement runs/tcanet/best.safetensors --out chain.safetensors
  actline chain --backbone x3d.safetensors --proposals bmn.safetensors --per segment \\
      --out thumos.safetensors
  actline chain --refinement tcanet.safetensors --out published.safetensors
"""


def add_parser(subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "chain",
        help="put backbone, BMN and TCANet into one checkpoint",
        description="Put the links of segment-level detection into one checkpoint.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--backbone", type=Path, help="a checkpoint of an X3D or a SlowFast")
    parser.add_argument("--proposals", type=Path, help="a checkpoint of BMN")
    parser.add_argument("--refinement", type=Path, help="a checkpoint of TCANet")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument(
        "--per",
        choices=("video", "segment"),
        default="video",
        help="whose classes a proposal gets: its video's, as published for ActivityNet, or its "
        "own, for videos of several classes (default: video)",
    )
    parser.add_argument("--top", type=int, default=3, help="classes per proposal (default: 3)")
    parser.add_argument(
        "--detections", type=int, default=200, help="most detections a video (default: 200)"
    )
    parser.add_argument(
        "--interval",
        type=float,
        metavar="SECONDS",
        help="from one snippet to the next, for BMN on public features, which do not say",
    )
    parser.add_argument(
        "--layout",
        choices=("TC", "CT"),
        help="of public features where their width does not say, as of square arrays: TC has a row "
        "a snippet, CT a column (default: as in training)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Check that the links fit, and write them."""
    from actline.detection.chain import assemble
    from actline.models.cards import LabelConfig

    labels = LabelConfig(arguments.per, arguments.top, arguments.detections)
    card = assemble(
        arguments.out,
        backbone=arguments.backbone,
        proposals=arguments.proposals,
        refinement=arguments.refinement,
        labels=labels,
        interval=arguments.interval,
        layout=arguments.layout,
    )
    stages = [type(link.network).__name__.removesuffix("Config") for link in card.stages.values()]
    links = ["backbone", *stages] if card.backbone is not None else stages
    say(f"{arguments.out}: {', '.join(links)}")
