"""`actline evaluate`: predictions against annotations, by a published protocol."""

import argparse
import math
from pathlib import Path

# By name, so that other commands need not import them to parse arguments.
PROTOCOLS = (
    "dense",
    "charades-localize",
    "activitynet",
    "hacs",
    "thumos",
    "thumos-wide",
    "thumos-toolkit",
    "thumos-toolkit-wide",
    "proposals",
    "proposals-thumos",
)

EXAMPLES = """\
protocols of frames:
  dense              per-frame mAP over every frame; with a label rate of 24 on the published grid
  charades-localize  Charades_v1_localize: 25 frames a video

protocols of segments, mAP at thresholds of temporal IoU (tIoU):
  activitynet        ActivityNet's evaluator, tIoU 0.5:0.05:0.95
  hacs               HACS Segments: the same
  thumos             THUMOS-14 as papers report it: that evaluator at tIoU 0.3:0.1:0.7
  thumos-wide        the same at tIoU 0.1:0.1:0.9
  thumos-toolkit     THUMOS-14's own toolkit, tIoU 0.3:0.1:0.7
  thumos-toolkit-wide  the same at tIoU 0.1:0.1:0.7

protocols of proposals, whatever their class:
  proposals          ActivityNet's AR@AN up to 100 a video and the area under it (AUC)
  proposals-thumos   AR@50, 100, 200, 500 and 1000, tIoU 0.5:0.05:1.0

PREDICTIONS is a folder of `actline detect`. For charades-localize it may also be a submission
file, and for segments and proposals a file of results as ActivityNet has them:
{"results": {ID: [{"label": …, "score": …, "segment": [start, end]}, …]}}, a table
video,label,start,end,confidence, or a submission to THUMOS-14's toolkit: lines
`video start end class confidence`. Labels may be numbers of the list of classes.

ANNOTATIONS are scored as they stand: repeated, empty and overlong activities too, as in the
published evaluators.

examples:
  actline evaluate detections data/generated --protocol dense --bootstrap 1000
  actline evaluate detections Charades --protocol charades-localize --submission localize.txt
  actline evaluate results.json activity_net.v1-3.json --protocol activitynet --errors \\
      --without blocked.json --out scores.json --csv classes.csv
  actline evaluate detections thumos_14.json --protocol thumos --bootstrap 1000
  actline evaluate proposals.json activity_net.v1-3.json --protocol proposals --out scores.json
  actline evaluate submission.txt thumos14 --protocol thumos-toolkit-wide
  actline evaluate results.json flat.json --subsets video_info.csv --protocol activitynet
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
        choices=PROTOCOLS,
        default="dense",
        help="(default: dense)",
    )
    _add_videos(parser.add_argument_group("which videos"))
    _add_scoring(parser.add_argument_group("how they are scored"))
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    parser.add_argument("--csv", type=Path, help="write the per-class table, or AR by AN")
    parser.add_argument("--submission", type=Path, help="write charades-localize's file")
    parser.set_defaults(run=run)


def _add_videos(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--subset",
        help="(default: testing; validation for activitynet, hacs and proposals, whose test "
        "annotations are not public; all videos where there is only training)",
    )
    group.add_argument(
        "--subsets",
        type=Path,
        metavar="CSV",
        help="subsets of ANNOTATIONS that have none: a table with the columns video and subset",
    )
    group.add_argument("--classes", type=Path, help="class names, where ANNOTATIONS lacks them")
    group.add_argument(
        "--without",
        type=Path,
        metavar="LIST",
        help="leave out the videos that a file lists, one a line or as JSON",
    )
    group.add_argument(
        "--wrong-videos",
        choices=("count", "leave-out"),
        help="THUMOS-14's videos known to be falsely annotated, video_test_0000270 (default: as "
        "published: thumos-toolkit counts it, the papers of the others leave it out)",
    )
    group.add_argument(
        "--min-seconds",
        type=float,
        default=0.0,
        help="leave shorter videos out, of frames; the published code: 6.75 (162 frames at 24 a "
        "second)",
    )


def _add_scoring(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--label-rate", type=float, help="labels a second, for dense")
    group.add_argument(
        "--bootstrap",
        type=int,
        default=0,
        metavar="DRAWS",
        help="for a 95 %% interval of the mAP over videos",
    )
    group.add_argument(
        "--errors",
        action="store_true",
        help="what detected segments get wrong (DETAD): false positives by kind, and how recall "
        "and mAP depend on coverage, length and number of instances",
    )
    group.add_argument(
        "--frames",
        choices=("charades", "authors", "authors-log"),
        default="charades",
        help="of charades-localize: scores and truth at i/25 of the duration, as Charades' script "
        "has them (default); scores at the rows that the Coarse-Fine authors submit; or the truth "
        "at these rows too, as their training log counts it",
    )
    group.add_argument(
        "--source-rate",
        type=float,
        default=24.0,
        help="source frames a second, for --frames authors and authors-log (default: 24)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Score, print, and write what was asked for."""
    from actline.cli.show_scores import show, show_selection
    from actline.evaluation.charades import LocalizeFrames, write_submission
    from actline.evaluation.evaluate import score
    from actline.evaluation.protocols import protocol_named
    from actline.evaluation.results import FrameEvaluation
    from actline.evaluation.selection import select
    from actline.evaluation.tables import write_csv, write_json

    protocol = protocol_named(arguments.protocol)
    _check(arguments)
    selection = select(
        arguments.annotations,
        protocol,
        subset=arguments.subset,
        subsets=arguments.subsets,
        classes=arguments.classes,
        without=arguments.without,
        wrong_videos=arguments.wrong_videos,
    )
    show_selection(selection, arguments.annotations, arguments.without)
    found = score(
        arguments.predictions,
        selection,
        protocol,
        label_rate=arguments.label_rate,
        min_seconds=arguments.min_seconds,
        frames=LocalizeFrames(arguments.frames, arguments.source_rate),
        bootstrap=arguments.bootstrap,
        errors=arguments.errors,
    )
    if arguments.submission and isinstance(found, FrameEvaluation) and found.submission:
        write_submission(found.submission, arguments.submission)
    show(found, protocol)
    if arguments.out:
        write_json(arguments.out, found.document())
    if arguments.csv:
        write_csv(arguments.csv, *found.table)


def _check(arguments: argparse.Namespace) -> None:
    """Refuse options that the protocol does not use: they would look followed."""
    from actline.errors import PredictionError
    from actline.evaluation import protocols as known

    frames, segments = (
        tuple(one.name for one in known.PROTOCOLS if one.kind == kind)
        for kind in ("frames", "segments")
    )
    for option, given, protocols in (
        ("--label-rate", arguments.label_rate is not None, ("dense",)),
        ("--min-seconds", arguments.min_seconds > 0, frames),
        ("--submission", arguments.submission is not None, ("charades-localize",)),
        ("--frames", arguments.frames != "charades", ("charades-localize",)),
        ("--source-rate", arguments.source_rate != 24, ("charades-localize",)),
        ("--errors", arguments.errors, segments),
        ("--bootstrap", arguments.bootstrap > 0, (*frames, *segments)),
    ):
        if given and arguments.protocol not in protocols:
            raise PredictionError(
                f"{option} is for --protocol {', '.join(protocols)}; leave it out for "
                f"{arguments.protocol}"
            )
    if not 0 < arguments.source_rate < math.inf:
        raise PredictionError(f"--source-rate {arguments.source_rate:g} is not a number above 0")
    if arguments.frames == "authors" and arguments.predictions.is_file():
        raise PredictionError(
            f"--frames authors: {arguments.predictions} holds a submission's scores, whose "
            "frames are chosen already; leave the option out"
        )
    if arguments.bootstrap < 0:
        raise PredictionError(f"--bootstrap {arguments.bootstrap} is not a number of draws")
