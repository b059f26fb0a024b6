"""Segment-level detection: features to proposals, stage by stage, suppressed and labelled."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor, nn

from actline.detection.detector import Detector, as_video
from actline.detection.labels import ClassScores, label_proposals, suppressed
from actline.detection.model import Model, find_device, folded_model
from actline.detection.snippet_features import extract_snippets
from actline.errors import FeatureError, OutputError, PredictionError
from actline.features.snippets import SnippetFeatures
from actline.models.backbone import Backbone
from actline.models.cards import PROPOSES, ChainCard
from actline.models.checkpoint import fitted, weights_hash
from actline.models.stage import Stage, stage_of
from actline.timeline import Activity, Timeline
from actline.timeline.proposals import Proposals
from actline.timeline.suppression import SuppressionConfig
from actline.video.find import Video


@dataclass(frozen=True, eq=False)
class SegmentDetector(Detector):
    """A chain: a backbone that makes features, and stages that make and refine proposals.

    All networks are on the device and in evaluation mode.

    Attributes:
        backbone: None for a chain on public features.
        networks: those of the stages, by the names that they have in the card.
    """

    backbone: Model | None
    networks: Mapping[str, nn.Module]
    card: ChainCard
    device: torch.device
    per_frame = False

    @property
    def classes(self) -> tuple[str, ...]:
        """As in `Detector`."""
        return self.card.classes

    @property
    def fingerprint(self) -> str:
        """As in `Detector`."""
        links = [] if self.backbone is None else [self.backbone.network]
        return weights_hash(nn.ModuleList([*links, *self.networks.values()]))

    @property
    def settings(self) -> Mapping[str, object]:
        """As in `Detector`."""
        return {
            "video_classes": "None",
            "proposals": "None",
            "interval": self.card.interval,
            "suppression": asdict(self.suppression),
            "labels": asdict(self.card.labels),
        }

    @property
    def stages(self) -> dict[str, Stage]:
        """What runs on a video's features, in this order."""
        cards = self.card.stages
        return {name: stage_of(one, cards[name].classes) for name, one in self.networks.items()}

    @property
    def suppression(self) -> SuppressionConfig:
        """How the last stage's proposals are suppressed."""
        return list(self.card.stages.values())[-1].suppression

    def detect(
        self,
        video: str | PathLike[str] | Video,
        *,
        threshold: float | None = None,
        min_seconds: float = 0.0,
        max_gap: float = 0.0,
        frame_rate: float = 24.0,
        on_frames: Callable[[int], None] | None = None,
        features: SnippetFeatures | None = None,
        proposals: Proposals | None = None,
        video_classes: ClassScores | None = None,
    ) -> Timeline:
        """As in `Detector`: segments of activities, which may overlap.

        Args:
            features: the video's, where they are stored; None encodes the video.
            proposals: another method's; None lets the chain propose.
            video_classes: what an outside classifier says of the video, best first; None takes the
                backbone's own probabilities.

        Raises:
            VideoError: the video cannot be read.
            FeatureError: the features were made in another way, or the chain cannot make them.
            PredictionError: the chain cannot propose.
            OutputError: a `max_gap` is given.
        """
        check_gap(max_gap)
        video = as_video(video)
        if features is None:
            features = self.encode(video.path, frame_rate=frame_rate, on_frames=on_frames)
        found = self.find(features, proposals=proposals, video_classes=video_classes)
        kept = tuple(
            activity
            for activity in found
            if activity.confidence >= (threshold or 0.0) and activity.duration >= min_seconds
        )
        return Timeline(video.id, features.duration, kept)

    def encode(
        self,
        video: Path,
        *,
        frame_rate: float = 24.0,
        on_frames: Callable[[int], None] | None = None,
    ) -> SnippetFeatures:
        """The backbone's features of a video.

        Raises:
            VideoError: the video cannot be read.
            FeatureError: the chain has no backbone.
        """
        if self.backbone is None:
            raise FeatureError("the chain has no backbone to make features; give stored ones")
        return extract_snippets(
            video,
            self.backbone,
            interval=self.card.interval,
            frame_rate=frame_rate,
            on_frames=on_frames,
        )

    def find(
        self,
        features: SnippetFeatures,
        *,
        proposals: Proposals | None = None,
        video_classes: ClassScores | None = None,
    ) -> tuple[Activity, ...]:
        """The segments of activities in a video's features, ordered by start.

        Raises:
            FeatureError: without `video_classes`, the features hold no class probabilities.
            PredictionError: without `proposals`, no stage of the chain proposes.
        """
        stages = self.stages
        if proposals is None and not any(PROPOSES[name] for name in stages):
            raise PredictionError("the chain has no stage that proposes; give proposals")
        for name, stage in stages.items():
            if proposals is None or not PROPOSES[name]:
                proposals = stage(features, proposals)
        assert proposals is not None, "given, or made by the first stage"
        kept = suppressed(proposals, self.suppression, duration=features.duration)
        return label_proposals(kept, features, self.card.labels, video_classes=video_classes)


def check_gap(max_gap: float) -> None:
    """Refuse what segments cannot have.

    Raises:
        OutputError: a `max_gap` is given.
    """
    if max_gap:
        raise OutputError("a maximum gap is for per-frame detection; leave it out for a chain")


def chain_of(
    card: ChainCard, tensors: Mapping[str, Tensor], path: str | Path, *, device: str = "auto"
) -> SegmentDetector:
    """The chain that a checkpoint's card and weights are of.

    Raises:
        CheckpointError: the weights are not the chain's.
        DeviceError: the device is not on this machine.
    """
    chosen = find_device(device)
    links = {name: one.network.build(len(one.classes)) for name, one in card.links.items()}
    fitted(nn.ModuleDict(links), tensors, path).to(chosen)
    backbone = None
    if card.backbone is not None:
        network = links["backbone"]
        assert isinstance(network, Backbone)
        backbone = folded_model(network, card.backbone, chosen)
    networks = {name: links[name] for name in card.stages}
    return SegmentDetector(backbone, networks, card, chosen)
