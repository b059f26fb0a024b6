"""`actline detect`: find activities in videos."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from actline.cli.outcomes import print_outcomes, video_name, warn
from actline.cli.standard import say

if TYPE_CHECKING:
    from actline.detection.batch import Outcome
    from actline.timeline import Timeline

EXAMPLES = """\
The checkpoint decides the path: per-frame detection (X3D, Coarse-Fine, or a classifier of clips,
slid over the video), or segments, from a chain of backbone, BMN and TCANet (`actline chain`), which
has no per-frame scores. A chain on stored features needs no videos: it takes those that the
annotations name.

For every video ID the folder gets ID.json (ActivityNet style), ID.csv, ID.vtt (subtitles that any
player shows), ID.txt (Audacity labels), ID.eaf (ELAN) and ID.npz (per-frame scores). The ID of a
video in a folder below is its path from there: camA/GOPR0001. Videos that are done are skipped,
unless file or settings have changed; one that cannot be read is reported and the rest go on.
Several processes into one folder share the videos: as they come, or with --share 0/4, 1/4, … one
part each, where machines share no locks.

examples:
  actline detect video.mp4 --checkpoint model.safetensors
  actline detect videos/ --checkpoint model.safetensors --out detections --formats json,npz
  actline detect videos/ --checkpoint chain.safetensors --features snippets
  actline detect --checkpoint chain.safetensors --features features --annotations hacs.json \
      --subset validation --proposals proposals --video-classes classes.json --formats json
  mpv --sub-file=detections/video.vtt video.mp4
"""


def add_parser(subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "detect",
        help="find activities in videos",
        description="Find what happens in videos, and when.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("videos", metavar="VIDEO", nargs="*", type=Path, help="files or folders")
    parser.add_argument("--checkpoint", required=True, type=Path, help="from train or convert")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("detections"),
        help="folder for the results (default: detections)",
    )
    parser.add_argument(
        "--formats", default="json,csv,vtt,txt,eaf,npz", help="what to write (default: all)"
    )
    parser.add_argument(
        "--runtime",
        choices=("openvino", "onnxruntime"),
        help="what runs a checkpoint of `actline export` (.onnx; default: openvino)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument(
        "--threshold",
        type=float,
        help="per frame for all classes, in place of the checkpoint's own; of segments, the least "
        "confidence (default: 0, for evaluation)",
    )
    parser.add_argument("--min-seconds", type=float, default=0.0, help="drop shorter activities")
    parser.add_argument(
        "--max-gap", type=float, default=0.0, help="join activities with a shorter gap (seconds)"
    )
    parser.add_argument(
        "--frame-rate",
        type=float,
        default=24.0,
        help="frames a second of frame folders (default: 24)",
    )
    parser.add_argument(
        "--share", metavar="PART/PARTS", default="0/1", help="process only this part (default: 0/1)"
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="videos at a time (default: 1; more may pay on GPUs)"
    )
    chain = parser.add_argument_group("for a chain")
    chain.add_argument("--features", type=Path, help="folder of stored snippet features")
    chain.add_argument(
        "--annotations", type=Path, help="whose videos to take, by their features, without VIDEO"
    )
    chain.add_argument("--subset", help="of the annotations (default: all)")
    chain.add_argument(
        "--proposals", type=Path, help="another method's proposals: a results JSON, or a folder"
    )
    chain.add_argument("--video-classes", type=Path, help="a classifier's results on the videos")
    parser.add_argument("--overwrite", action="store_true", help="process finished videos again")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Detect; 1 when a video failed."""
    from actline.detection.detect_all import detect_all
    from actline.detection.given import with_given
    from actline.detection.load import load_model
    from actline.errors import CheckpointError
    from actline.timeline.write import parse_formats

    formats = parse_formats(arguments.formats)
    if arguments.runtime is not None and arguments.checkpoint.suffix != ".onnx":
        raise CheckpointError(
            f"--runtime is for a checkpoint of `actline export`, not for {arguments.checkpoint}; "
            "export it first"
        )
    model = load_model(
        arguments.checkpoint, device=arguments.device, runtime=arguments.runtime or "openvino"
    )
    model = with_given(
        model,
        features=arguments.features,
        annotations=arguments.annotations,
        subset=arguments.subset,
        proposals=arguments.proposals,
        video_classes=arguments.video_classes,
        where=arguments.checkpoint,
    )
    outcomes = detect_all(
        arguments.videos or None,
        model,
        out=arguments.out,
        formats=formats,
        workers=arguments.workers,
        overwrite=arguments.overwrite,
        share=arguments.share,
        threshold=arguments.threshold,
        min_seconds=arguments.min_seconds,
        max_gap=arguments.max_gap,
        frame_rate=arguments.frame_rate,
        say=say,
        warn=warn,
    )
    # Where features are stored, the video itself may not be there.
    return print_outcomes(outcomes, line=_line, notes=model.reads_videos)


def _line(outcome: "Outcome[Timeline]") -> str:
    timeline, seconds = outcome.result, outcome.seconds
    assert timeline is not None, "done"
    return (
        f"{video_name(outcome.video)}: {len(timeline.activities)} activities in "
        f"{timeline.duration:.1f} s of video, found in {seconds:.1f} s "
        f"({timeline.duration / seconds:.1f} x real time)"
    )
