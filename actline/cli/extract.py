"""`actline extract`: store features of videos, Fine ones or one vector a snippet."""

import argparse
from pathlib import Path

from actline.cli.outcomes import print_outcomes, warn
from actline.cli.standard import say

EXAMPLES = """\
Without --snippets: features of a per-frame X3D at every depth, for training Coarse-Fine on stored
Fine features. With it: one vector for every so many seconds, from an X3D or a SlowFast, for BMN
and TCANet; averaged over space and over the snippet's frames, with the class probabilities.

Features say which checkpoint made them; training refuses others. Those of a video in a subfolder
lie in such a subfolder too. Videos that are done are skipped, unless file or settings have changed;
one that cannot be read is reported and the rest go on. Several processes into one folder share the
videos: as they come, or with --share 0/4, 1/4, … one part each, where machines share no locks.

examples:
  actline extract data/videos --checkpoint runs/fine/best.safetensors --out features
  actline extract data/videos --checkpoint slowfast.safetensors --snippets 0.533 --out snippets
"""


def add_parser(subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "extract",
        help="store features of videos",
        description="Store features of videos, for training on stored features.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("videos", metavar="VIDEO", nargs="+", type=Path, help="files or folders")
    parser.add_argument("--checkpoint", required=True, type=Path, help="of an X3D or a SlowFast")
    parser.add_argument("--out", required=True, type=Path, help="folder for the features")
    parser.add_argument(
        "--snippets", metavar="SECONDS", type=float, help="one vector for every so many seconds"
    )
    parser.add_argument(
        "--share", metavar="PART/PARTS", default="0/1", help="process only this part (default: 0/1)"
    )
    parser.add_argument(
        "--cells", type=int, default=7, help="height and width of Fine features (default: 7)"
    )
    parser.add_argument(
        "--precision",
        choices=("float16", "float32"),
        default="float16",
        help="of Fine features (default: float16)",
    )
    parser.add_argument(
        "--frame-rate",
        type=float,
        default=24.0,
        help="frames a second of frame folders (default: 24)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument(
        "--workers", type=int, default=1, help="videos at a time (default: 1; more may pay on GPUs)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Extract; 1 when a video failed."""
    from actline.detection.extract import extract

    outcomes = extract(
        arguments.videos,
        arguments.checkpoint,
        out=arguments.out,
        snippets=arguments.snippets,
        cells=arguments.cells,
        precision=arguments.precision,
        device=arguments.device,
        workers=arguments.workers,
        share=arguments.share,
        frame_rate=arguments.frame_rate,
        say=say,
        warn=warn,
    )
    return print_outcomes(outcomes)
