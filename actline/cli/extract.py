"""`actline extract`: store features of videos, Fine ones or one vector a snippet."""

import argparse
from pathlib import Path

EXAMPLES = """\
Without --snippets: features of a per-frame X3D at every depth, for training Coarse-Fine on stored
Fine features. With it: one vector for every so many seconds, from an X3D or a SlowFast, for BMN
and TCANet; averaged over space and over the snippet's frames, with the class probabilities.

Features say which checkpoint made them; training refuses others. Videos that are done are skipped,
and one that cannot be read is reported and the rest go on. With --share 0/4, 1/4, … several
processes or machines each take their part.

examples:
  actline extract data/videos --checkpoint runs/fine/best.safetensors --out features
  actline extract data/videos --checkpoint slowfast.safetensors --snippets 0.533 --out snippets
"""


def add_parser(subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "extract",
        help="store features of videos",
        description="Store features of videos, for training on stored features.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("videos", metavar="VIDEO", nargs="+", type=Path, help="files or folders")
    parser.add_argument("--checkpoint", required=True, type=Path, help="of an X3D or a SlowFast")
    parser.add_argument("--out", required=True, type=Path, help="folder for the features")
    parser.add_argument(
        "--snippets", metavar="SECONDS", type=float, help="one vector for every so many seconds"
    )
    parser.add_argument(
        "--share", metavar="PART/PARTS", default="0/1", help="do this part alone (default: 0/1)"
    )
    parser.add_argument("--cells", type=int, default=7, help="height and width (default: 7)")
    parser.add_argument(
        "--precision", choices=("float16", "float32"), default="float16", help="(default: float16)"
    )
    parser.add_argument("--frame-rate", type=float, default=24.0, help="of frame folders")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Extract; 1 when a video failed."""
    from actline.cli.inputs import expand_videos, share_of
    from actline.detection.model import find_device, load_frame_model

    videos = share_of(expand_videos(arguments.videos), arguments.share)
    find_device(arguments.device)
    model = load_frame_model(arguments.checkpoint, device=arguments.device)
    if arguments.snippets is not None:
        return _extract_snippets(arguments, model, videos)
    return _extract_fine(arguments, model, videos)


def _extract_fine(arguments: argparse.Namespace, model, videos: list[Path]) -> int:
    import torch

    from actline.cli.inputs import for_each_video, tell_notes
    from actline.data.features import check_origin, feature_path
    from actline.detection.extract import extract
    from actline.errors import FeatureError
    from actline.train.checkpoint import weights_hash

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
        tell_notes(video)

    return for_each_video("extracting", videos, extract_one, done=done)


def _extract_snippets(arguments: argparse.Namespace, model, videos: list[Path]) -> int:
    from actline.cli.inputs import for_each_video, tell_notes
    from actline.data.snippets import save_snippets, snippet_origin, snippet_path
    from actline.detection.snippets import extract_snippets, snippet_origin_of
    from actline.errors import FeatureError

    if not 0 < arguments.snippets < float("inf"):
        raise FeatureError(f"--snippets {arguments.snippets:g} is no length; give seconds above 0")
    origin = snippet_origin_of(model, arguments.snippets)

    def done(video: Path) -> bool:
        try:
            return snippet_origin(snippet_path(arguments.out, video.stem)) == origin
        except FeatureError:
            return False

    def extract_one(video: Path) -> None:
        snippets = extract_snippets(
            video, model, interval=arguments.snippets, frame_rate=arguments.frame_rate
        )
        save_snippets(snippet_path(arguments.out, video.stem), snippets, origin)
        tell_notes(video)

    return for_each_video("extracting", videos, extract_one, done=done)
