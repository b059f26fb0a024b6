"""`actline detect` with a chain: which videos, and what is given for them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from actline.video.names import id_forms

if TYPE_CHECKING:
    from actline.data.annotations import AnnotatedVideo, Annotations
    from actline.timeline import Timeline


def stored_videos(arguments: argparse.Namespace) -> list[Path]:
    """The feature files of annotated videos."""
    from actline.data.feature_folder import FeatureFolder
    from actline.errors import VideoError

    annotations = _annotations(arguments)
    if annotations is None or arguments.features is None:
        raise VideoError(
            "no video is named; name files or folders, or give --features and --annotations"
        )
    folder = FeatureFolder(arguments.features)
    return [_named(video, folder.path_of(video.id, video.subset)) for video in annotations.videos]


def _named(video: "AnnotatedVideo", path: Path) -> Path:
    """A path whose name is the video's: of its features, or as if it lay in the file of all."""
    return path if path.stem in id_forms(video.id) else path / f"{video.id}{path.suffix}"


def by_segments(
    arguments: argparse.Namespace,
) -> Callable[[Path, Callable[..., None]], "Timeline"]:
    """What finds the segments of one video."""
    from dataclasses import asdict, replace

    from actline.data.annotations import AnnotatedVideo
    from actline.data.feature_folder import FeatureFolder
    from actline.data.proposals import proposals_of, read_proposals
    from actline.data.public_features import Advice
    from actline.data.segment_results import annotated_id
    from actline.data.video_scores import read_video_scores
    from actline.detection.chain import load_chain
    from actline.detection.results import claim_folder
    from actline.detection.segments import detect_segments
    from actline.errors import FeatureError
    from actline.video.decode import probe

    chain = load_chain(arguments.checkpoint, device=arguments.device)
    annotations = _annotations(arguments)
    scores = read_video_scores(arguments.video_classes) if arguments.video_classes else {}
    given = read_proposals(arguments.proposals) if arguments.proposals else None
    folder = None
    if arguments.features is not None:
        card = chain.card
        width = next(link.channels for link in (chain.bmn, chain.tcanet) if link is not None)
        folder = FeatureFolder(
            arguments.features,
            origin=card.origin,
            interval=card.interval,
            width=width,
            form=card.form,
            advice=Advice(layout="make the chain with `actline chain --layout TC`, or CT"),
        )
    settings = {
        "min_seconds": arguments.min_seconds,
        "threshold": arguments.threshold,
        "video_classes": str(arguments.video_classes),
        "proposals": str(arguments.proposals),
        "interval": chain.card.interval,
        "suppression": asdict(chain.suppression),
        "labels": asdict(chain.card.labels),
    }
    claim_folder(arguments.out, chain.networks, settings, overwrite=arguments.overwrite)

    def duration_of(video: Path) -> float:
        return probe(video, frame_rate=arguments.frame_rate).duration

    def stored(video: Path):
        if folder is None:
            return None
        known = None if annotations is None else annotated_id(video.stem, annotations)
        if annotations is not None and known is not None:
            return folder.load(annotations[known])
        duration = None if folder.origin is not None else duration_of(video)
        return folder.load(AnnotatedVideo(video.stem, "", duration, ()))

    def classes_of(video: Path):
        known = annotated_id(video.stem, scores)
        if arguments.video_classes and known is None:
            raise FeatureError(
                f"{arguments.video_classes} has no classes for {video.stem}; add the video"
            )
        return None if known is None else scores[known]

    def detect_one(video: Path, advance: Callable[..., None]) -> "Timeline":
        features = stored(video)
        proposals = None
        if given is not None:
            if annotated_id(video.stem, given) is None:
                raise FeatureError(
                    f"{arguments.proposals} has no proposals of {video.stem}; add the video"
                )
            duration = duration_of(video) if features is None else features.duration
            proposals = proposals_of(video.stem, given, duration=duration)
        timeline = detect_segments(
            video,
            chain,
            features=features,
            proposals=proposals,
            video_classes=classes_of(video),
            frame_rate=arguments.frame_rate,
            on_frames=advance,
        )
        kept = tuple(
            activity
            for activity in timeline.activities
            if activity.confidence >= (arguments.threshold or 0.0)
            and activity.duration >= arguments.min_seconds
        )
        return replace(timeline, activities=kept)

    return detect_one


def _annotations(arguments: argparse.Namespace) -> "Annotations | None":
    from actline.data.read import read_annotations

    if arguments.annotations is None:
        return None
    annotations = read_annotations(arguments.annotations)
    return annotations.subset(arguments.subset) if arguments.subset else annotations
