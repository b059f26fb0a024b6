"""`actline extract`: store Fine features of videos."""

import argparse
from pathlib import Path

EXAMPLES = """\
Features say which checkpoint made them; training refuses others. Videos that are done are skipped.

example:
  actline extract data/videos --checkpoint runs/fine/best.safetensors --out features
"""


def add_parser(subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "extract",
        help="store Fine features of videos",
        description="Store the features of an X3D at every depth, for training on stored features.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("videos", metavar="VIDEO", nargs="+", type=Path, help="files or folders")
    parser.add_argument("--checkpoint", required=True, type=Path, help="of a per-frame X3D")
    parser.add_argument("--out", required=True, type=Path, help="folder for the features")
    parser.add_argument("--cells", type=int, default=7, help="height and width (default: 7)")
    parser.add_argument(
        "--precision", choices=("float16", "float32"), default="float16", help="(default: float16)"
    )
    parser.add_argument("--frame-rate", type=float, default=24.0, help="of frame folders")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Extract; 1 when a video failed."""
    import torch

    from actline.cli.inputs import expand_videos, for_each_video
    from actline.data.features import check_origin, feature_path
    from actline.detection.extract import extract
    from actline.detection.model import load_model
    from actline.errors import FeatureError
    from actline.train.checkpoint import weights_hash

    model = load_model(arguments.checkpoint, device=arguments.device)
    origin = model.card.feature_origin(weights_hash(model.network))

    def done(video: Path) -> bool:
        try:
            check_origin(feature_path(arguments.out, video.stem), origin)
        except FeatureError:
            return False
        return True

    def extract_one(video: Path) -> None:
        extract(
            video,
            model,
            arguments.out,
            origin=origin,
            cells=arguments.cells,
            precision=getattr(torch, arguments.precision),
            frame_rate=arguments.frame_rate,
        )

    videos = expand_videos(arguments.videos)
    return for_each_video("extracting", videos, extract_one, done=done)
