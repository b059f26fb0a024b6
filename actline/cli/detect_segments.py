"""`actline detect` with a chain: which videos, and what is given for them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from actline.names import id_forms

if TYPE_CHECKING:
    from actline.annotations.annotations import AnnotatedVideo, Annotations
    from actline.cli.detect import DetectOne
    from actline.detection.provenance import DetectionRecords
    from actline.timeline import Timeline
    from actline.video.find import Video


def stored_videos(arguments: argparse.Namespace) -> list["Video"]:
    """The feature files of annotated videos."""
    from actline.errors import FeatureError, VideoError
    from actline.features.folder import FeatureFolder
    from actline.video.find import Video

    annotations = _annotations(arguments)
    if annotations is None or arguments.features is None:
        raise VideoError(
            "no video is named; name files or folders, or give --features and --annotations"
        )
    folder = FeatureFolder(arguments.features)
    videos = []
    for video in annotations.videos:
        try:
            path = folder.path_of(video.id, video.subset)
        except FeatureError as error:
            videos.append(Video(video.id, Path(arguments.features), str(error)))
            continue
        # Named as the features are, but for one file of many videos.
        videos.append(Video(path.stem if path.stem in id_forms(video.id) else video.id, path))
    return videos


def by_segments(arguments: argparse.Namespace) -> tuple["DetectionRecords", "DetectOne"]:
    """What was made before, and what finds the segments of one video."""
    from dataclasses import asdict, replace

    from actline.annotations.annotations import AnnotatedVideo
    from actline.detection.chain import load_chain
    from actline.detection.provenance import DetectionRecords
    from actline.detection.segments import detect_segments
    from actline.errors import FeatureError
    from actline.features.folder import FeatureFolder
    from actline.features.public import Advice
    from actline.parsing import annotated_id
    from actline.timeline.proposals import proposals_of, read_proposals
    from actline.timeline.video_scores import read_video_scores
    from actline.video.decode import probe

    chain = load_chain(arguments.checkpoint, device=arguments.device)
    annotations = _annotations(arguments)
    scores = read_video_scores(arguments.video_classes) if arguments.video_classes else {}
    given = read_proposals(arguments.proposals) if arguments.proposals else None
    folder = None
    if arguments.features is not None:
        card = chain.card
        width = next(link.config.channels for link in (chain.bmn, chain.tcanet) if link is not None)
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
        "video_classes": _which(arguments.video_classes),
        "proposals": _which(arguments.proposals),
        "interval": chain.card.interval,
        "suppression": asdict(chain.suppression),
        "labels": asdict(chain.card.labels),
    }

    def known_video(video: "Video") -> "AnnotatedVideo | None":
        known = None if annotations is None else annotated_id(video.id, annotations)
        return None if annotations is None or known is None else annotations[known]

    def also(video: "Video") -> dict[str, object]:
        if folder is None:
            return {}
        known = known_video(video) or AnnotatedVideo(video.id, "", None, ())
        return {
            "features": [_which(path) for path in folder.files_of(known)],
            "form": str(chain.card.form),
            "duration": known.duration,
        }

    records = DetectionRecords(
        arguments.out, chain.networks, settings, overwrite=arguments.overwrite, also=also
    )

    def duration_of(video: Path) -> float:
        return probe(video, frame_rate=arguments.frame_rate).duration

    def stored(video: "Video"):
        if folder is None:
            return None
        known = known_video(video)
        if known is not None:
            return folder.load(known)
        duration = None if folder.origin is not None else duration_of(video.path)
        return folder.load(AnnotatedVideo(video.id, "", duration, ()))

    def classes_of(video: "Video"):
        known = annotated_id(video.id, scores)
        if arguments.video_classes and known is None:
            raise FeatureError(
                f"{arguments.video_classes} has no classes for {video.id}; add the video"
            )
        return None if known is None else scores[known]

    def detect_one(video: "Video", advance: Callable[..., None]) -> "Timeline":
        features = stored(video)
        proposals = None
        if given is not None:
            if annotated_id(video.id, given) is None:
                raise FeatureError(
                    f"{arguments.proposals} has no proposals of {video.id}; add the video"
                )
            duration = duration_of(video.path) if features is None else features.duration
            proposals = proposals_of(video.id, given, duration=duration)
        timeline = detect_segments(
            video.path,
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

    return records, detect_one


def _which(path: Path | None) -> object:
    """Which file or folder, as it is now."""
    from actline.files import identity

    return str(path) if path is None or not path.exists() else identity(path)


def _annotations(arguments: argparse.Namespace) -> "Annotations | None":
    from actline.annotations.read import read_annotations

    if arguments.annotations is None:
        return None
    annotations = read_annotations(arguments.annotations)
    return annotations.subset(arguments.subset) if arguments.subset else annotations
