"""`actline report`: one page that shows videos next to their timelines."""

import argparse
from pathlib import Path

from actline.cli.standard import failure, say

EXAMPLES = """\
The page holds everything, videos too, and needs no network. Click on the timeline to go there.
Without --video the first 20 videos are shown.

examples:
  actline report detections --videos videos --out report.html
  actline report detections --videos videos --annotations annotations.json \\
      --metrics results.json --video kitchen hall
  actline evaluate segments annotations.json --protocol activitynet --errors --out scores.json
  actline report segments --videos videos --metrics scores.json --min-confidence 0.3
"""


def add_parser(subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "report",
        help="write a page with videos, timelines and scores",
        description="Write one self-contained HTML page that shows videos next to their timelines.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "predictions",
        metavar="PREDICTIONS",
        type=Path,
        help="folder of detect, or a file of ActivityNet-style results",
    )
    parser.add_argument("--videos", required=True, type=Path, help="folder of the videos")
    parser.add_argument("--annotations", type=Path, help="true activities to show as well")
    parser.add_argument(
        "--metrics",
        metavar="FILE",
        nargs="+",
        default=[],
        type=Path,
        help="scores that `actline evaluate --out` wrote: a table each, with figures of --errors",
    )
    parser.add_argument(
        "--min-confidence",
        type=float,
        default=0.0,
        metavar="CONFIDENCE",
        help="least confidence shown; segment detectors give many of low confidence (default: 0)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("report.html"), help="(default: report.html)"
    )
    parser.add_argument("--video", metavar="ID", nargs="+", help="which videos, in this order")
    parser.add_argument(
        "--link", action="store_true", help="link the videos instead of putting them in the page"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the report; 1 when a video that exists could not be shown."""
    from actline.reporting.report import report

    made = report(
        arguments.predictions,
        arguments.videos,
        arguments.out,
        annotations=arguments.annotations,
        metrics=arguments.metrics,
        only=arguments.video,
        min_confidence=arguments.min_confidence,
        embed_video=not arguments.link,
        note=lambda line: say(f"actline: {line}", error=True),
        failed=lambda path, error: say(f"actline: {failure(path, error)}", error=True),
    )
    if made.more:
        count = len(made.videos)
        say(f"showing {count} of {count + made.more} videos; choose others with --video")
    say(made.path)
    return 1 if made.failed else 0
