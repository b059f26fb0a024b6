"""`actline evaluate`: predictions against annotations, by a published protocol."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

EXAMPLES = """\
protocols:
  dense              per-frame mAP over every frame; with --label-rate 24 on the published grid
  charades-localize  Charades_v1_localize: 25 frames a video

PREDICTIONS is a folder of `actline detect`, or for charades-localize also a submission file.

examples:
  actline evaluate detections data/generated --protocol dense --bootstrap 1000
  actline evaluate detections Charades --protocol charades-localize --submission localize.txt
"""


def add_parser(subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "evaluate",
        help="score predictions by a published protocol",
        description="Score predictions against annotations by a published protocol.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("predictions", metavar="PREDICTIONS", type=Path)
    parser.add_argument("annotations", metavar="ANNOTATIONS", type=Path)
    parser.add_argument(
        "--protocol",
        choices=("dense", "charades-localize"),
        default="dense",
        help="(default: dense)",
    )
    parser.add_argument("--subset", default="testing", help="(default: testing)")
    parser.add_argument("--classes", type=Path, help="class names, where ANNOTATIONS lacks them")
    parser.add_argument("--label-rate", type=float, help="labels a second, for dense")
    parser.add_argument(
        "--min-seconds",
        type=float,
        default=0.0,
        help="leave shorter videos out; the published code: 6.75 (162 frames at 24 a second)",
    )
    parser.add_argument("--bootstrap", type=int, default=0, metavar="DRAWS", help="for an interval")
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    parser.add_argument("--csv", type=Path, help="write the per-class table")
    parser.add_argument("--submission", type=Path, help="write the submission file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Score, print, and write what was asked for."""
    from dataclasses import replace

    from actline.data.read import read_annotations
    from actline.errors import PredictionError
    from actline.evaluate.charades import (
        evaluate_localize,
        localize,
        read_submission,
        write_submission,
    )
    from actline.evaluate.dense import evaluate_dense
    from actline.evaluate.predictions import Coverage, coverage, read_predictions

    annotations = read_annotations(arguments.annotations, classes=arguments.classes)
    annotations = annotations.subset(arguments.subset)
    localizing = arguments.protocol == "charades-localize"
    if localizing and arguments.predictions.is_file():
        submission = read_submission(arguments.predictions, len(annotations.classes))
        known = [v.id for v in annotations.videos]
        covered = Coverage(
            len(known),
            tuple(v for v in known if v not in submission),
            (),
            tuple(v for v in submission if v not in annotations),
        )
        result = evaluate_localize(annotations, submission, draws=arguments.bootstrap)
    else:
        predictions = read_predictions(arguments.predictions, annotations)
        covered = coverage(
            arguments.predictions, annotations, predictions, min_seconds=arguments.min_seconds
        )
        kept = tuple(v for v in annotations.videos if v.id not in set(covered.short))
        if not kept:
            raise PredictionError("every video is shorter than --min-seconds; lower it")
        annotations = replace(annotations, videos=kept)
        if localizing:
            submission = localize(annotations, predictions)
            result = evaluate_localize(annotations, submission, draws=arguments.bootstrap)
            if arguments.submission:
                write_submission(submission, arguments.submission)
        else:
            result = evaluate_dense(
                annotations,
                predictions,
                label_rate=arguments.label_rate,
                draws=arguments.bootstrap,
            )
    _show(result, covered)
    _write(arguments, result, asdict(covered))


def _show(result, covered) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=f"{result.protocol}, per class", title_justify="left")
    for heading in ("class", "AP", "chance", "frames"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for row in result.classes:
        table.add_row(
            row.label,
            f"{100 * row.average_precision:.2f}",
            f"{100 * row.chance:.2f}",
            str(row.frames),
        )
    console.print(table)
    print(f"protocol: {result.protocol}")
    print(f"all {result.videos} videos, {result.frames} frames: {100 * result.mean:.2f}")
    if result.interval is not None:
        low, high = 100 * result.interval.low, 100 * result.interval.high
        draws = result.interval.draws
        print(f"95 % interval over videos ({draws} bootstrap draws): {low:.2f} to {high:.2f}")
    print(
        f"with classes that never occur counted as 0 (published meter): "
        f"{100 * result.mean_published:.2f}"
    )
    print(f"chance: {100 * result.chance:.2f}")
    if covered.missing:
        print(
            f"{len(covered.missing)} of {result.videos} videos have no predictions and count as "
            f"score 0 ({', '.join(covered.missing[:3])}…); "
            f"over those available: {100 * result.mean_available:.2f}"
        )
    if covered.short:
        print(f"{len(covered.short)} videos are shorter than --min-seconds and left out")
    if covered.unknown:
        print(f"{len(covered.unknown)} predictions are of videos not in this subset and not used")


def _write(arguments: argparse.Namespace, result, covered: dict) -> None:
    from actline.files import write_text

    if arguments.out:
        content = {**asdict(result), "coverage": covered}
        write_text(arguments.out, json.dumps(content, indent=1) + "\n")
    if arguments.csv:
        rows = [f"class,average precision ({result.protocol}),chance,frames"]
        rows += [
            f'"{row.label}",{row.average_precision},{row.chance},{row.frames}'
            for row in result.classes
        ]
        write_text(arguments.csv, "\n".join(rows) + "\n")
