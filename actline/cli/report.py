"""`actline report`: one page that shows videos beside their timelines."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from actline.cli.standard import failure, say

if TYPE_CHECKING:
    from actline.annotations.annotations import Annotations
    from actline.reporting.html import Shown
    from actline.timeline import Timeline

MOST_VIDEOS = 20  # of a report when none are named: a page is looked at by a person

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
        description="Write one self-contained HTML page that shows videos beside their timelines.",
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
        help="show activities of at least this; segment detectors give many of little (default: 0)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("report.html"), help="(default: report.html)"
    )
    parser.add_argument("--video", metavar="ID", nargs="+", help="which videos, in this order")
    parser.add_argument(
        "--link", action="store_true", help="link the videos in place of putting them in the page"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the report; 1 when a video that is there could not be shown."""
    from actline.errors import PredictionError, VideoError
    from actline.reporting.html import write_report
    from actline.reporting.metrics import read_metrics
    from actline.timeline.read import read

    if not arguments.videos.is_dir():
        raise VideoError(f"{arguments.videos} is no folder; name the one that holds the videos")
    metrics = [table for path in arguments.metrics for table in read_metrics(path)]
    annotations = None
    if arguments.annotations is not None:
        from actline.annotations.read import read_annotations

        annotations = read_annotations(arguments.annotations)
    found = read(arguments.predictions)
    wanted = arguments.video or sorted(found)[:MOST_VIDEOS]
    for video in wanted:
        if video not in found:
            raise PredictionError(f'{arguments.predictions} has no predictions of video "{video}"')
    if len(wanted) < len(found) and not arguments.video:
        say(f"showing {len(wanted)} of {len(found)} videos; choose others with --video")
    failures = []

    def failed(path: Path, error: Exception) -> None:
        failures.append(path)
        say(f"actline: {failure(path, error)}", error=True)

    shown = []
    for video in wanted:
        try:
            shown.append(_shown(arguments, video, found[video], annotations))
        except Exception as error:  # whatever is wrong with one video, the others are shown
            failed(Path(video), error)
    if not shown:
        raise PredictionError(f"no video can be shown in {arguments.out}; nothing is written")
    say(
        write_report(
            arguments.out,
            timelines=shown,
            metrics=metrics,
            embed_video=not arguments.link,
            failed=failed,
        )
    )
    return 1 if failures else 0


def _shown(
    arguments: argparse.Namespace,
    video: str,
    timeline: "Timeline",
    annotations: "Annotations | None",
) -> "Shown":
    """A video of the report; what of it cannot be shown is told."""
    from actline.errors import VideoError
    from actline.parsing import annotated_id
    from actline.reporting.html import Shown
    from actline.video.find import find_video

    try:
        path = find_video(arguments.videos, video)
    except VideoError as error:
        say(f"actline: {error}", error=True)
        path = None
    whole = timeline.filter(min_confidence=arguments.min_confidence)
    inside = whole.cut_to_video()
    if len(inside.activities) < len(whole.activities):
        gone = len(whole.activities) - len(inside.activities)
        say(
            f"actline: {gone} of {len(whole.activities)} activities of video {video} lie "
            "outside it or end before they start: not shown",
            error=True,
        )
    truth = None
    if annotations is not None:
        known = annotated_id(video, annotations)
        if known is None:
            say(f'actline: {arguments.annotations} has no video "{video}"', error=True)
        else:
            truth = annotations[known].activities
    return Shown(inside, path, truth)
