"""`actline extract`: store features of videos, Fine ones or one vector a snippet."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actline.detection.model import Model
    from actline.video.find import Video

EXAMPLES = """\
Without --snippets: features of a per-frame X3D at every depth, for training Coarse-Fine on stored
Fine features. With it: one vector for every so many seconds, from an X3D or a SlowFast, for BMN
and TCANet; averaged over space and over the snippet's frames, with the class probabilities.

Features say which checkpoint made them; training refuses others. Those of a video in a folder below
lie in such a folder too. Videos that are done are skipped, unless file or settings have changed;
one that cannot be read is reported and the rest go on. Several processes into one folder share the
videos: as they come, or with --share 0/4, 1/4, … each its part, where machines have no locks in
common.

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

    videos = share_of(expand_videos(arguments.videos, without=[arguments.out]), arguments.share)
    find_device(arguments.device)
    model = load_frame_model(arguments.checkpoint, device=arguments.device)
    if arguments.snippets is not None:
        return _extract_snippets(arguments, model, videos)
    return _extract_fine(arguments, model, videos)


def _extract_fine(arguments: argparse.Namespace, model: "Model", videos: list["Video"]) -> int:
    import torch

    from actline.cli.inputs import tell_notes
    from actline.detection.fine_features import check_model, extract
    from actline.errors import FeatureError
    from actline.features.fine import check_origin, feature_path
    from actline.models.checkpoint import weights_hash

    check_model(model)
    origin = model.card.feature_origin(weights_hash(model.network))
    settings = {"cells": arguments.cells, "precision": arguments.precision}

    def current(path: Path) -> bool:
        try:
            check_origin(path, origin)
        except FeatureError:
            return False
        return True

    def extract_one(video: "Video", made: Mapping[str, Any]) -> None:
        extract(
            video.path,
            model,
            arguments.out,
            video_id=video.id,
            origin=origin,
            made=made,
            cells=arguments.cells,
            precision=getattr(torch, arguments.precision),
            frame_rate=arguments.frame_rate,
        )
        tell_notes(video)

    return _for_all(
        arguments,
        videos,
        path_of=feature_path,
        settings=settings,
        current=current,
        extract_one=extract_one,
    )


def _extract_snippets(arguments: argparse.Namespace, model: "Model", videos: list["Video"]) -> int:
    from actline.cli.inputs import tell_notes
    from actline.detection.snippet_features import extract_snippets, snippet_origin_of
    from actline.errors import FeatureError
    from actline.features.snippets import save_snippets, snippet_origin, snippet_path

    if not 0 < arguments.snippets < float("inf"):
        raise FeatureError(f"--snippets {arguments.snippets:g} is no length; give seconds above 0")
    origin = snippet_origin_of(model, arguments.snippets)

    def current(path: Path) -> bool:
        try:
            return snippet_origin(path) == origin
        except FeatureError:
            return False

    def extract_one(video: "Video", made: Mapping[str, Any]) -> None:
        snippets = extract_snippets(
            video.path, model, interval=arguments.snippets, frame_rate=arguments.frame_rate
        )
        save_snippets(snippet_path(arguments.out, video.id), snippets, origin, made)
        tell_notes(video)

    return _for_all(
        arguments,
        videos,
        path_of=snippet_path,
        settings={},
        current=current,
        extract_one=extract_one,
    )


def _for_all(
    arguments: argparse.Namespace,
    videos: list["Video"],
    *,
    path_of: Callable[[Path, str], Path],
    settings: Mapping[str, object],
    current: Callable[[Path], bool],
    extract_one: Callable[["Video", Mapping[str, Any]], None],
) -> int:
    """Extract what is not there yet.

    Args:
        path_of: where in a folder the features of an id are.
        settings: what features depend on beside their origin.
        current: whether a file's features are of the origin that they would have now.
    """
    from actline.cli.inputs import for_each_video
    from actline.detection.provenance import is_done, made_of
    from actline.features.fine import made_of_file

    def made(video: "Video") -> Mapping[str, Any]:
        rate = {"frame_rate": arguments.frame_rate} if video.path.is_dir() else {}
        return made_of(video.path, {**settings, **rate})

    def done(video: "Video") -> bool:
        path = path_of(arguments.out, video.id)
        mend = "choose another --out, or remove them"
        return is_done(made_of_file(path), made(video), video, mend=mend) and current(path)

    def work(video: "Video") -> None:
        extract_one(video, made(video))

    return for_each_video("extracting", videos, work, out=arguments.out, done=done)
