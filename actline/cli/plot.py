"""`actline plot`: a timeline as a picture."""

import argparse
from pathlib import Path

EXAMPLES = """\
Predicted activities are drawn as bars, one row for each class; with --annotations the true ones
under them; from an .npz (or a .json with an .npz beside it) the probabilities and the times where
Grid Pool looked as well.

examples:
  actline plot detections/kitchen.json
  actline plot detections/kitchen.npz --annotations annotations.json --out kitchen.svg
  actline plot detections/kitchen.npz --classes "open door,close door"
"""


def add_parser(subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "plot",
        help="draw a timeline as PNG or SVG",
        description="Draw the timeline of one video, predicted and true.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "prediction", metavar="PREDICTION", type=Path, help=".json, .csv or .npz of detect"
    )
    parser.add_argument("--annotations", type=Path, help="true activities to draw as well")
    parser.add_argument("--video", help="which one, where the file holds several")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("timeline.png"),
        help=".png or .svg (default: timeline.png)",
    )
    parser.add_argument(
        "--classes", help="rows to draw, separated by commas (default: what occurs)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Draw."""
    from actline.data.segment_results import annotated_id
    from actline.errors import AnnotationError
    from actline.report.plots import plot_timeline
    from actline.timeline_formats import load_with_scores

    timeline = load_with_scores(arguments.prediction, video=arguments.video)
    truth = None
    if arguments.annotations is not None:
        from actline.data.read import read_annotations

        annotations = read_annotations(arguments.annotations)
        known = annotated_id(timeline.video, annotations)
        if known is None:
            raise AnnotationError(
                f'{arguments.annotations} has no video "{timeline.video}"; '
                "leave --annotations out, or name the file that has it"
            )
        truth = annotations[known].activities
    classes = arguments.classes
    if classes is not None:
        classes = tuple(name.strip() for name in classes.split(",") if name.strip())
    print(plot_timeline(timeline, arguments.out, truth=truth, classes=classes or None))
