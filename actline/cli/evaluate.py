"""`actline evaluate`: predictions against annotations, by a published protocol."""

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from actline.cli.standard import say

if TYPE_CHECKING:
    from actline.annotations.annotations import Annotations
    from actline.evaluation.frames import FrameScore
    from actline.evaluation.predictions import Coverage

FRAME_PROTOCOLS = ("dense", "charades-localize")
TOOLKIT_PROTOCOLS = ("thumos-toolkit", "thumos-toolkit-wide")
SEGMENT_PROTOCOLS = ("activitynet", "hacs", "thumos", "thumos-wide", *TOOLKIT_PROTOCOLS)
PROPOSAL_PROTOCOLS = ("proposals", "proposals-thumos")
# Of these data sets the test subset's annotations are not public.
VALIDATED = ("activitynet", "hacs", "proposals")

EXAMPLES = """\
protocols of frames:
  dense              per-frame mAP over every frame; with --label-rate 24 on the published grid
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
        choices=(*FRAME_PROTOCOLS, *SEGMENT_PROTOCOLS, *PROPOSAL_PROTOCOLS),
        default="dense",
        help="(default: dense)",
    )
    parser.add_argument(
        "--subset",
        help="(default: testing; validation for activitynet, hacs and proposals, whose test "
        "annotations are not public; all videos where there is only training)",
    )
    parser.add_argument(
        "--subsets",
        type=Path,
        metavar="CSV",
        help="subsets of ANNOTATIONS that have none: a table with the columns video and subset",
    )
    parser.add_argument("--classes", type=Path, help="class names, where ANNOTATIONS lacks them")
    parser.add_argument(
        "--without",
        type=Path,
        metavar="LIST",
        help="leave out the videos that a file lists, one a line or as JSON",
    )
    parser.add_argument(
        "--wrong-videos",
        choices=("count", "leave-out"),
        help="THUMOS-14's videos known to be falsely annotated, video_test_0000270 (default: as "
        "published: thumos-toolkit counts it, the papers of the others leave it out)",
    )
    parser.add_argument("--label-rate", type=float, help="labels a second, for dense")
    parser.add_argument(
        "--min-seconds",
        type=float,
        default=0.0,
        help="leave shorter videos out, of frames; the published code: 6.75 (162 frames at 24 a "
        "second)",
    )
    parser.add_argument(
        "--bootstrap",
        type=int,
        default=0,
        metavar="DRAWS",
        help="for a 95 %% interval of the mAP over videos",
    )
    parser.add_argument(
        "--errors",
        action="store_true",
        help="what detected segments get wrong (DETAD): false positives by kind, and how recall "
        "and mAP depend on coverage, length and number of instances",
    )
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    parser.add_argument("--csv", type=Path, help="write the per-class table, or AR by AN")
    parser.add_argument("--submission", type=Path, help="write charades-localize's file")
    parser.add_argument(
        "--frames",
        choices=("charades", "authors", "authors-log"),
        default="charades",
        help="of charades-localize: scores and truth at i/25 of the duration, as Charades' script "
        "has them (default); scores at the rows that the Coarse-Fine authors submit; or the truth "
        "at these rows too, as their training log counts it",
    )
    parser.add_argument(
        "--source-rate",
        type=float,
        default=24.0,
        help="source frames a second, for --frames authors and authors-log (default: 24)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Score, print, and write what was asked for."""
    from actline.annotations.formats import activitynet, thumos
    from actline.annotations.read import read_annotations, without_videos

    _check(arguments)
    whole = read_annotations(arguments.annotations, classes=arguments.classes, keep_wrong=True)
    if arguments.subsets:
        whole = activitynet.with_subsets(whole, arguments.subsets)
    annotations = _chosen_subset(arguments, whole)
    if arguments.without:
        listed = len(annotations.videos)
        annotations = without_videos(annotations, arguments.without)
        listed -= len(annotations.videos)
        say(f"{listed} videos are left out, as {arguments.without} lists them")
    counting = annotations
    without_wrong = thumos.without_wrong_videos(annotations)
    counts = arguments.wrong_videos or (
        "count" if arguments.protocol in TOOLKIT_PROTOCOLS else "leave-out"
    )
    annotations, others = (
        (counting, without_wrong) if counts == "count" else (without_wrong, counting)
    )
    other = others if len(others.videos) != len(annotations.videos) else None
    _show_faults(annotations)
    if arguments.protocol in FRAME_PROTOCOLS:
        _score_frames(arguments, annotations)
        if other is not None:
            say(f"{_wrong_videos(counting, counts)}")
        return
    from actline.cli.score_segments import score_proposals, score_segments

    # Videos left out, for whatever reason, are not unknown: their predictions are not wrong.
    elsewhere = {video.id for video in whole.videos} | {problem.video for problem in whole.problems}
    score = score_segments if arguments.protocol in SEGMENT_PROTOCOLS else score_proposals
    told = None if other is None else _wrong_videos(counting, counts)
    score(arguments, annotations, elsewhere, other=other, told=told)


def _chosen_subset(arguments: argparse.Namespace, whole: "Annotations") -> "Annotations":
    """The videos to score; all where none is in another subset than training and none is named."""
    if arguments.subset is None and {video.subset for video in whole.videos} == {"training"}:
        count = len(whole.videos)
        say(
            f"{arguments.annotations} names no subset but training: all {count} videos are "
            "scored; name others with --subsets"
        )
        return whole
    default = "validation" if arguments.protocol in VALIDATED else "testing"
    return whole.subset(arguments.subset or default)


def _show_faults(annotations: "Annotations") -> None:
    """Say what the published file has that training would mend, and that it is scored."""
    from actline.annotations.annotations import Fault, summary

    scored = {video.id for video in annotations.videos}
    about_none = {Fault.NO_SUBSET, Fault.WRONG_VIDEO}
    told = summary(
        (
            problem
            for problem in annotations.problems
            if problem.video in scored and about_none.isdisjoint(problem.faults)
        ),
        mended=False,
    )
    if told:
        say("the annotations are scored as they stand, nothing left out or cut; they have")
        for line in told:
            say(f"  {line}")


def _wrong_videos(counting: "Annotations", counts: str) -> str:
    """What was done about falsely annotated videos, and the option for the other."""
    from actline.annotations.formats.thumos import wrong_videos

    names = ", ".join(wrong_videos(counting))
    done, other = ("counted", "leave-out") if counts == "count" else ("left out", "count")
    return f"{names}, known to be falsely annotated: {done}; with --wrong-videos {other}"


def _check(arguments: argparse.Namespace) -> None:
    """Refuse options that the protocol has no use for: they would be taken as followed."""
    from actline.errors import PredictionError

    frames, segments = FRAME_PROTOCOLS, SEGMENT_PROTOCOLS
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
        raise PredictionError(f"--bootstrap {arguments.bootstrap} is no number of draws")


def _score_frames(arguments: argparse.Namespace, annotations: "Annotations") -> None:
    from dataclasses import replace

    from actline.errors import PredictionError
    from actline.evaluation.charades import (
        LocalizeFrames,
        evaluate_localize,
        localize,
        read_submission,
        write_submission,
    )
    from actline.evaluation.frames import evaluate_dense
    from actline.evaluation.predictions import Coverage, coverage, read_predictions, unit_hint

    hint = None
    localizing = arguments.protocol == "charades-localize"
    frames = LocalizeFrames(arguments.frames, arguments.source_rate)
    if localizing and arguments.predictions.is_file():
        submission = read_submission(arguments.predictions, len(annotations.classes))
        known = [v.id for v in annotations.videos]
        covered = Coverage(
            len(known),
            tuple(v for v in known if v not in submission),
            (),
            tuple(v for v in submission if v not in annotations),
        )
        result = evaluate_localize(annotations, submission, frames, draws=arguments.bootstrap)
    else:
        predictions = read_predictions(arguments.predictions, annotations)
        covered = coverage(
            arguments.predictions, annotations, predictions, min_seconds=arguments.min_seconds
        )
        kept = tuple(v for v in annotations.videos if v.id not in set(covered.short))
        if not kept:
            raise PredictionError("every video is shorter than --min-seconds; lower it")
        annotations = replace(annotations, videos=kept)
        hint = unit_hint(
            annotations, {v: float(found.times[-1]) for v, found in predictions.items()}
        )
        if localizing:
            submission = localize(annotations, predictions, frames)
            result = evaluate_localize(annotations, submission, frames, draws=arguments.bootstrap)
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
    if hint is not None:
        say(f"hint: {hint}")
    _write(arguments, result, covered)


def _show(result: "FrameScore", covered: "Coverage") -> None:
    from actline.cli.score_tables import named, print_table

    print_table(
        f"{result.protocol}, per class",
        ("class", "AP", "chance", "frames"),
        [(row.label, row.average_precision, row.chance, row.frames) for row in result.classes],
    )
    say(f"protocol: {result.protocol}")
    say(f"all {result.videos} videos, {result.frames} frames: {100 * result.mean:.2f}")
    if result.interval is not None:
        low, high = 100 * result.interval.low, 100 * result.interval.high
        draws = result.interval.draws
        say(f"95 % interval over videos ({draws} bootstrap draws): {low:.2f} to {high:.2f}")
    say(
        f"with classes that never occur counted as 0 (published meter): "
        f"{100 * result.mean_published:.2f}"
    )
    say(f"chance: {100 * result.chance:.2f}")
    if covered.missing:
        say(
            f"{len(covered.missing)} of {result.videos} videos have no predictions and count as "
            f"score 0 ({named(covered.missing)}); "
            f"over those available: {100 * result.mean_available:.2f}"
        )
    if covered.short:
        say(f"{len(covered.short)} videos are shorter than --min-seconds and left out")
    if covered.unknown:
        say(f"{len(covered.unknown)} predictions are of videos not in this subset and not used")


def _write(arguments: argparse.Namespace, result: "FrameScore", covered: "Coverage") -> None:
    from actline.cli.score_tables import write_csv
    from actline.files import write_text

    if arguments.out:
        content = {**asdict(result), "coverage": asdict(covered)}
        write_text(arguments.out, json.dumps(content, indent=1) + "\n")
    if arguments.csv:
        write_csv(
            arguments.csv,
            ("class", f"average precision ({result.protocol})", "chance", "frames"),
            [(row.label, row.average_precision, row.chance, row.frames) for row in result.classes],
        )
