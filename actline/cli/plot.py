"""`actline plot`: a timeline as a picture, or SSDet's augmentations of your own clips."""

import argparse
from pathlib import Path

from actline.cli.standard import say

EXAMPLES = """\
Predicted activities are drawn as bars, one row for each class; with --annotations the true ones
under them; from an .npz (or a .json with an .npz next to it) the probabilities and the times where
Grid Pool looked as well.

`actline plot augmentations VIDEO VIDEO …` draws what SSDet's pretraining makes of clips of these
videos: some frames of each, and under them the labels that every frame gets.

examples:
  actline plot detections/kitchen.json
  actline plot detections/kitchen.npz --annotations annotations.json --out kitchen.svg
  actline plot detections/kitchen.npz --classes "open door,close door"
  actline plot augmentations run.mp4 jump.mp4 --classes run,jump --out augmentations.png
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
        "prediction",
        metavar="PREDICTION",
        type=Path,
        nargs="+",
        help=".json, .csv or .npz of detect; or the word augmentations, and videos",
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
        "--classes",
        help="rows to draw, separated by commas (default: what occurs); of augmentations the "
        "videos' labels (default: their names)",
    )
    clips = parser.add_argument_group("for augmentations")
    clips.add_argument("--frames", type=int, default=32, help="of a clip (default: 32)")
    clips.add_argument("--size", type=int, default=160, help="pixels a side (default: 160)")
    clips.add_argument("--seed", type=int, default=0, help="of what is drawn (default: 0)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Draw."""
    from actline.errors import PredictionError

    first, *rest = arguments.prediction
    if str(first) == "augmentations":
        _plot_augmentations(arguments, rest)
    elif rest:
        raise PredictionError(f"one picture shows one prediction; draw {rest[0]} separately")
    else:
        _plot_timeline(arguments, first)


def _names(arguments: argparse.Namespace) -> tuple[str, ...] | None:
    if arguments.classes is None:
        return None
    return tuple(name.strip() for name in arguments.classes.split(",") if name.strip()) or None


def _plot_timeline(arguments: argparse.Namespace, prediction: Path) -> None:
    from actline.errors import AnnotationError
    from actline.parsing import annotated_id
    from actline.reporting.plots import plot_timeline
    from actline.timeline.read import read, with_scores_beside

    found = read(prediction).one(arguments.video)
    timeline = with_scores_beside(found, prediction).cut_to_video()
    truth = None
    if arguments.annotations is not None:
        from actline.annotations.read import read_annotations

        annotations = read_annotations(arguments.annotations)
        known = annotated_id(timeline.video, annotations)
        if known is None:
            raise AnnotationError(
                f'{arguments.annotations} has no video "{timeline.video}"; '
                "leave --annotations out, or name the file that has it"
            )
        truth = annotations[known].activities
    say(plot_timeline(timeline, arguments.out, truth=truth, classes=_names(arguments)))


def _plot_augmentations(arguments: argparse.Namespace, videos: list[Path]) -> None:
    from actline.errors import VideoError
    from actline.names import id_of
    from actline.reporting.augmentations import plot_augmentations_of

    names = _names(arguments) or tuple(id_of(video) for video in videos)
    if len(videos) < 2 or len(names) != len(videos):
        raise VideoError(
            f"{len(videos)} videos and {len(names)} labels; name two videos or more, and with "
            "--classes one label each"
        )
    if arguments.frames < 4 or arguments.size < 16:
        raise VideoError("--frames must be at least 4, and --size at least 16")
    drawn = plot_augmentations_of(
        videos,
        arguments.out,
        names=names,
        frames=arguments.frames,
        size=arguments.size,
        seed=arguments.seed,
    )
    say(drawn)
