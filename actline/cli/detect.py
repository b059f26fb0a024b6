"""`actline detect`: find activities in videos."""

import argparse
import time
from pathlib import Path

EXAMPLES = """\
For every video ID the folder gets ID.json (ActivityNet style), ID.csv, ID.vtt (subtitles that any
player shows), ID.txt (Audacity labels), ID.eaf (ELAN) and ID.npz (per-frame scores). Videos that
are done are skipped; one that cannot be read is reported and the rest go on.

examples:
  actline detect video.mp4 --checkpoint model.safetensors
  actline detect videos/ --checkpoint model.safetensors --out detections --formats json,npz
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
    parser.add_argument("videos", metavar="VIDEO", nargs="+", type=Path, help="files or folders")
    parser.add_argument("--checkpoint", required=True, type=Path, help="of train or convert")
    parser.add_argument(
        "--out", type=Path, default=Path("detections"), help="(default: detections)"
    )
    parser.add_argument("--formats", default="json,csv,vtt,txt,eaf,npz", help="(default: all)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument(
        "--threshold", type=float, help="for all classes, in place of the checkpoint's own"
    )
    parser.add_argument("--min-seconds", type=float, default=0.0, help="drop shorter activities")
    parser.add_argument(
        "--max-gap", type=float, default=0.0, help="join activities with a shorter gap (seconds)"
    )
    parser.add_argument("--frame-rate", type=float, default=24.0, help="of frame folders")
    parser.add_argument("--overwrite", action="store_true", help="do finished videos again")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Detect; 1 when a video failed."""
    from dataclasses import replace

    from actline.cli.inputs import expand_videos, for_each_video
    from actline.detection.dense import detect
    from actline.detection.model import load_model
    from actline.detection.results import claim_folder
    from actline.progress import progress
    from actline.timeline_formats import parse_formats, save

    formats = parse_formats(arguments.formats)
    videos = expand_videos(arguments.videos)
    model = load_model(arguments.checkpoint, device=arguments.device)
    if arguments.threshold is not None:
        thresholds = (arguments.threshold,) * len(model.classes)
        model = replace(model, card=replace(model.card, thresholds=thresholds))
    settings = {
        "min_seconds": arguments.min_seconds,
        "max_gap": arguments.max_gap,
        "threshold": arguments.threshold,
    }
    claim_folder(arguments.out, model, settings, overwrite=arguments.overwrite)

    def done(video: Path) -> bool:
        if arguments.overwrite:
            return False
        return all((arguments.out / f"{video.stem}.{ending}").exists() for ending in formats)

    def detect_one(video: Path) -> None:
        began = time.perf_counter()
        with progress(video.name, unit="frames") as advance:
            timeline = detect(
                video,
                model,
                min_seconds=arguments.min_seconds,
                max_gap=arguments.max_gap,
                frame_rate=arguments.frame_rate,
                on_frames=advance,
            )
        save(timeline, arguments.out, formats=formats, media=video.resolve())
        seconds = time.perf_counter() - began
        print(
            f"{video.name}: {len(timeline.activities)} activities in {timeline.duration:.1f} s "
            f"of video, found in {seconds:.1f} s ({timeline.duration / seconds:.1f} x real time)"
        )

    return for_each_video("detecting", videos, detect_one, done=done)
