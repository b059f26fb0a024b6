"""`actline detect`: find activities in videos."""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from actline.cli.standard import say

if TYPE_CHECKING:
    from actline.detection.provenance import DetectionRecords
    from actline.timeline import Timeline
    from actline.video.find import Video

    DetectOne = Callable[[Video, Callable[..., None]], Timeline]

EXAMPLES = """\
The checkpoint decides the path: per-frame detection (X3D, Coarse-Fine), or segments, from a chain
of backbone, BMN and TCANet (`actline chain`), which has no per-frame scores. A chain on stored
features needs no videos: it takes those that the annotations name.

For every video ID the folder gets ID.json (ActivityNet style), ID.csv, ID.vtt (subtitles that any
player shows), ID.txt (Audacity labels), ID.eaf (ELAN) and ID.npz (per-frame scores). The ID of a
video in a folder below is its path from there: camA/GOPR0001. Videos that are done are skipped,
unless file or settings have changed; one that cannot be read is reported and the rest go on.
Several processes into one folder share the videos: as they come, or with --share 0/4, 1/4, … each
its part, where machines have no locks in common.

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
    parser.add_argument("--checkpoint", required=True, type=Path, help="of train or convert")
    parser.add_argument(
        "--out", type=Path, default=Path("detections"), help="(default: detections)"
    )
    parser.add_argument("--formats", default="json,csv,vtt,txt,eaf,npz", help="(default: all)")
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
    parser.add_argument("--frame-rate", type=float, default=24.0, help="of frame folders")
    parser.add_argument(
        "--share", metavar="PART/PARTS", default="0/1", help="do this part alone (default: 0/1)"
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
    parser.add_argument("--overwrite", action="store_true", help="do finished videos again")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Detect; 1 when a video failed."""
    from actline.cli.inputs import expand_videos, share_of
    from actline.errors import CheckpointError, OutputError, VideoError
    from actline.models.cards import ChainCard
    from actline.models.checkpoint import read_card
    from actline.timeline.formats import parse_formats

    formats = parse_formats(arguments.formats)
    exported = arguments.checkpoint.suffix == ".onnx"
    if arguments.runtime is not None and not exported:
        raise CheckpointError(
            f"--runtime is for a checkpoint of `actline export`, not for {arguments.checkpoint}; "
            "export it first"
        )
    if not exported and isinstance(read_card(arguments.checkpoint), ChainCard):
        from actline.cli.detect_segments import by_segments, stored_videos

        videos = (
            expand_videos(arguments.videos, without=[arguments.out])
            if arguments.videos
            else stored_videos(arguments)
        )
        videos = share_of(videos, arguments.share)
        formats = tuple(ending for ending in formats if ending != "npz")
        if not formats:
            raise OutputError("a chain has no per-frame scores; choose other --formats than npz")
        if arguments.max_gap:
            raise OutputError("--max-gap is for per-frame detection; leave it out for a chain")
        return _for_all(arguments, videos, formats, *by_segments(arguments))
    for option in ("features", "annotations", "subset", "proposals", "video_classes"):
        if getattr(arguments, option) is not None:
            raise CheckpointError(
                f"--{option.replace('_', '-')} is for a chain, and {arguments.checkpoint} holds a "
                "network on frames; leave it out"
            )
    if not arguments.videos:
        raise VideoError("no video is named; name files or folders")
    videos = share_of(expand_videos(arguments.videos, without=[arguments.out]), arguments.share)
    return _for_all(arguments, videos, formats, *_by_frames(arguments))


def _for_all(
    arguments: argparse.Namespace,
    videos: list["Video"],
    formats: Sequence[str],
    records: "DetectionRecords",
    detect_one: "DetectOne",
) -> int:
    from dataclasses import replace

    from actline.cli.inputs import for_each_video, tell_notes
    from actline.names import output_path
    from actline.plain import plain
    from actline.progress import progress
    from actline.timeline.formats import save

    def done(video: "Video") -> bool:
        paths = [output_path(arguments.out, video.id, f".{ending}") for ending in formats]
        made = records.made_of(video, frame_rate=arguments.frame_rate)
        return records.done(video, made) and all(path.exists() for path in paths)

    def work(video: "Video") -> None:
        began = time.perf_counter()
        name = plain(Path(video.id).with_name(video.path.name))
        # Before it is read: it may change meanwhile.
        made = records.made_of(video, frame_rate=arguments.frame_rate)
        with progress(name, unit="frames") as advance:
            timeline = replace(detect_one(video, advance), video=video.id)
        media = video.path.resolve() if arguments.videos else None
        save(timeline, arguments.out, formats=formats, media=media)
        records.note(video, made)
        seconds = time.perf_counter() - began
        say(
            f"{name}: {len(timeline.activities)} activities in {timeline.duration:.1f} s "
            f"of video, found in {seconds:.1f} s ({timeline.duration / seconds:.1f} x real time)"
        )
        if arguments.features is None:  # else the video itself may not be there
            tell_notes(video)

    return for_each_video("detecting", videos, work, out=arguments.out, done=done)


def _by_frames(arguments: argparse.Namespace) -> tuple["DetectionRecords", "DetectOne"]:
    from dataclasses import replace

    from actline.detection.frames import detect
    from actline.detection.model import load_model
    from actline.detection.provenance import DetectionRecords

    runtime = arguments.runtime or "openvino"
    model = load_model(arguments.checkpoint, device=arguments.device, runtime=runtime)
    if arguments.threshold is not None:
        thresholds = (arguments.threshold,) * len(model.classes)
        model = replace(model, card=replace(model.card, thresholds=thresholds))
    settings = {
        "min_seconds": arguments.min_seconds,
        "max_gap": arguments.max_gap,
        "threshold": arguments.threshold,
    }
    records = DetectionRecords(
        arguments.out, model.network, settings, overwrite=arguments.overwrite
    )

    def detect_one(video: "Video", advance: Callable[..., None]) -> "Timeline":
        return detect(
            video.path,
            model,
            min_seconds=arguments.min_seconds,
            max_gap=arguments.max_gap,
            frame_rate=arguments.frame_rate,
            on_frames=advance,
        )

    return records, detect_one
