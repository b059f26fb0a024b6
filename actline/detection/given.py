"""A chain together with what is given for its videos: features, proposals, classes."""

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path

from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.annotations.read import read_annotations
from actline.detection.detector import Detector, as_video
from actline.detection.labels import ClassScores
from actline.detection.segments import SegmentDetector
from actline.errors import CheckpointError, FeatureError, VideoError
from actline.features.folder import FeatureFolder
from actline.features.public import Advice
from actline.features.snippets import SnippetFeatures
from actline.files import identity
from actline.names import id_forms
from actline.parsing import annotated_id
from actline.timeline import Timeline
from actline.timeline.proposals import Proposals, proposals_of, read_proposals
from actline.timeline.video_scores import read_video_scores
from actline.video.decode import probe
from actline.video.find import Video

_LAYOUT = Advice(layout="make the chain with `actline chain --layout TC`, or CT")


def with_given(
    model: Detector,
    *,
    features: str | Path | None = None,
    annotations: str | Path | None = None,
    subset: str | None = None,
    proposals: str | Path | None = None,
    video_classes: str | Path | None = None,
    where: str | Path = "the checkpoint",
) -> Detector:
    """A chain that uses what is given instead of making it; the model itself if nothing is given.

    Args:
        model: a chain, from `load_model`.
        features: folder of stored snippet features.
        annotations: of the videos; with `features` they say which videos there are, and, for public
            features, how long each is.
        subset: of the annotations; None takes all.
        proposals: another method's: a results JSON, or a folder.
        video_classes: a classifier's results on the videos.
        where: the checkpoint, for errors.

    Raises:
        CheckpointError: the model is not a chain.
        ActlineError: a file cannot be used.
    """
    given = {
        "features": features,
        "annotations": annotations,
        "subset": subset,
        "proposals": proposals,
        "video_classes": video_classes,
    }
    named = [name for name, value in given.items() if value is not None]
    if not named:
        return model
    if not isinstance(model, SegmentDetector):
        raise CheckpointError(
            f"{named[0].replace('_', ' ')}: only for a chain, and {where} holds a network on "
            "frames; leave it out"
        )
    known = None
    if annotations is not None:
        known = read_annotations(annotations)
        known = known.subset(subset) if subset else known
    return GivenSegments(
        model,
        features=features,
        annotations=known,
        proposals=proposals,
        video_classes=video_classes,
    )


class GivenSegments(Detector):
    """A chain that takes features, proposals or classes of videos from files.

    Args:
        annotations: as in `with_given`, like the other arguments.

    Raises:
        PredictionError: proposals or classes cannot be read.
    """

    per_frame = False

    def __init__(
        self,
        chain: SegmentDetector,
        *,
        features: str | Path | None = None,
        annotations: Annotations | None = None,
        proposals: str | Path | None = None,
        video_classes: str | Path | None = None,
    ) -> None:
        self.chain = chain
        self.annotations = annotations
        self.proposals_path, self.classes_path = proposals, video_classes
        self.features_path = features
        self.folder = None if features is None else _folder(features, chain)
        self.reads_videos = self.folder is None
        self.scores = {} if video_classes is None else read_video_scores(Path(video_classes))
        self.proposals = None if proposals is None else read_proposals(proposals)

    @property
    def classes(self) -> tuple[str, ...]:
        """As in `Detector`."""
        return self.chain.classes

    @property
    def fingerprint(self) -> str:
        """As in `Detector`."""
        return self.chain.fingerprint

    @property
    def settings(self) -> Mapping[str, object]:
        """As in `Detector`."""
        return {
            **self.chain.settings,
            "video_classes": _which(self.classes_path),
            "proposals": _which(self.proposals_path),
        }

    def inputs_of(self, video: Video) -> Mapping[str, object]:
        """As in `Detector`: the stored features."""
        if self.folder is None:
            return {}
        known = self._annotated(video) or AnnotatedVideo(video.id, "", None, ())
        return {
            "features": [_which(path) for path in self.folder.files_of(known)],
            "form": str(self.chain.card.form),
            "duration": known.duration,
        }

    def videos(self) -> list[Video]:
        """The annotated videos, by the files of their features.

        Raises:
            VideoError: there are no stored features, or no annotations.
        """
        if self.annotations is None or self.folder is None or self.features_path is None:
            raise VideoError(
                "no video is named; name files or folders, or give features and annotations"
            )
        videos = []
        for video in self.annotations.videos:
            try:
                path = self.folder.path_of(video.id, video.subset)
            except FeatureError as error:
                videos.append(Video(video.id, Path(self.features_path), str(error)))
                continue
            # Named as the features are, but for one file of many videos.
            videos.append(Video(path.stem if path.stem in id_forms(video.id) else video.id, path))
        return videos

    def detect(
        self,
        video: str | PathLike[str] | Video,
        *,
        threshold: float | None = None,
        min_seconds: float = 0.0,
        max_gap: float = 0.0,
        frame_rate: float = 24.0,
        on_frames: Callable[[int], None] | None = None,
    ) -> Timeline:
        """As in `SegmentDetector`.

        Raises:
            ActlineError: as there, or the files have nothing for this video.
        """
        video = as_video(video)
        features = self._features(video, frame_rate)
        return self.chain.detect(
            video,
            threshold=threshold,
            min_seconds=min_seconds,
            max_gap=max_gap,
            frame_rate=frame_rate,
            on_frames=on_frames,
            features=features,
            proposals=self._proposals(video, features, frame_rate),
            video_classes=self._classes(video),
        )

    def _annotated(self, video: Video) -> AnnotatedVideo | None:
        if self.annotations is None:
            return None
        known = annotated_id(video.id, self.annotations)
        return None if known is None else self.annotations[known]

    def _features(self, video: Video, frame_rate: float) -> SnippetFeatures | None:
        if self.folder is None:
            return None
        known = self._annotated(video)
        if known is None:
            stored = self.folder.origin is not None  # then the features say it
            duration = None if stored else probe(video.path, frame_rate=frame_rate).duration
            known = AnnotatedVideo(video.id, "", duration, ())
        return self.folder.load(known)

    def _proposals(
        self, video: Video, features: SnippetFeatures | None, frame_rate: float
    ) -> Proposals | None:
        if self.proposals is None:
            return None
        if annotated_id(video.id, self.proposals) is None:
            raise FeatureError(
                f"{self.proposals_path} has no proposals of {video.id}; add the video"
            )
        if features is None:
            duration = probe(video.path, frame_rate=frame_rate).duration
        else:
            duration = features.duration
        return proposals_of(video.id, self.proposals, duration=duration)

    def _classes(self, video: Video) -> ClassScores | None:
        known = annotated_id(video.id, self.scores)
        if self.classes_path is not None and known is None:
            raise FeatureError(f"{self.classes_path} has no classes for {video.id}; add the video")
        return None if known is None else self.scores[known]


def _folder(features: str | Path, chain: SegmentDetector) -> FeatureFolder:
    card = chain.card
    return FeatureFolder(
        features,
        origin=card.origin,
        interval=card.interval,
        width=next(iter(card.stages.values())).network.channels,
        form=card.form,
        advice=_LAYOUT,
    )


def _which(path: str | Path | None) -> object:
    """Which file or folder, and its present state."""
    return str(path) if path is None or not Path(path).exists() else identity(path)
