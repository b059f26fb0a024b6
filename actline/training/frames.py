"""Training a network for per-frame detection: an X3D, SlowFast or Coarse-Fine on clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from actline.annotations.annotations import Annotations, frame_labels
from actline.annotations.footage import folder_rate
from actline.datasets.frame_clips import MAX_FINE_POSITIONS, FrameBatch, FrameClips, collate
from actline.detection.frames import frame_detector, score_video
from actline.errors import CheckpointError
from actline.evaluation.average_precision import average_precision
from actline.evaluation.thresholds import choose_thresholds
from actline.models.backbone import Backbone, Prediction
from actline.models.cards import ModelCard
from actline.models.checkpoint import load_checkpoint, weights_hash
from actline.models.coarse_fine import CoarseFine, Surroundings
from actline.models.fusion import FineFeatures
from actline.models.x3d import StageFeatures
from actline.progress import progress
from actline.stored.ranges import Factor, Whole
from actline.timeline import FrameScores
from actline.training.clips import ClipJob, ClipRecipe, model_card
from actline.training.frame_losses import at_label_times, detection_loss
from actline.training.job import Validation
from actline.training.setup import built, say_once, start
from actline.video.find import find_video

PROTOCOL = "per-frame mAP"
WINDOW_FACTOR = 2.5  # how much longer or shorter windows may be than training clips


@dataclass(frozen=True)
class FeaturesConfig:
    """Stored Fine features, from `actline extract`, and the checkpoint they were made with."""

    folder: str
    checkpoint: str


@dataclass(frozen=True, kw_only=True)
class FrameRecipe(ClipRecipe):
    """Training a network for per-frame detection.

    Attributes:
        features: train on stored Fine features; None trains the streams jointly.
        logits_to_labels: how logits are brought to the labels' times.
        fine_loss: weight of the Fine stream's own loss in joint training.
        fine_frames: sampled frames that the Fine stream sees in joint training, with the clip in
            their middle; 0 means the clip's own. The published Fine stream sees up to 128.
    """

    task: Literal["detection"] = "detection"
    features: FeaturesConfig | None = None
    logits_to_labels: Literal["times", "corners", "centres"] = "times"
    fine_loss: Factor = 0.0
    fine_frames: Whole = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.features is not None and self.coarse_fine is None:
            raise ValueError("features are for a Coarse-Fine network")
        if self.fine_frames:
            if self.coarse_fine is None or self.features is not None:
                raise ValueError(
                    "fine_frames are for joint training of a Coarse-Fine network, without features"
                )
            if self.fine_frames < self.clip.frames:
                raise ValueError(
                    f"fine_frames must be 0 or at least clip.frames ({self.clip.frames}), not "
                    f"{self.fine_frames}"
                )
        if not self.network.per_frame:
            raise ValueError("network: per_frame must be true for detection")


class FrameJob(ClipJob[FrameRecipe, FrameBatch]):
    """Training clips of a recipe, their loss, and the mAP over whole videos.

    Raises:
        CheckpointError: a checkpoint that the recipe names cannot be used.
    """

    Recipe = FrameRecipe

    def __init__(self, recipe: FrameRecipe, training: Annotations, *, device: torch.device) -> None:
        note = window_note(recipe)
        if note:
            say_once(note)
        self.recipe = recipe
        self.training = training
        self.device = device
        network, self.card = new_network(recipe, training.classes)
        # Depthwise convolutions over time and space are about twice as fast in this layout.
        self.network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.dataset = training_clips(recipe, training, self.card)
        self.collate = collate
        self.unused_parameters = network.unused_parameters

    def files(self) -> Mapping[str, Sequence[Path]]:
        """As in `Job`."""
        features = self.recipe.features
        if features is None:
            return super().files()
        return {**super().files(), "features.checkpoint": [Path(features.checkpoint)]}

    def loss(
        self,
        network: nn.Module,
        batch: FrameBatch,
        device: torch.device,
        generator: torch.Generator,
    ) -> Tensor:
        """The detection loss; it draws no random numbers."""
        del generator
        return batch_loss(network, batch, self.recipe, device)

    def validate(self, network: nn.Module, held_out: Annotations) -> Validation:
        """Per-frame mAP over whole videos, and thresholds for detection.

        Raises:
            VideoError: a validation video cannot be read.
        """
        assert isinstance(network, Backbone)
        data = self.recipe.data
        return validate_frames(
            network,
            self.card,
            held_out,
            Path(data.videos),
            device=self.device,
            frame_rate=data.frame_rate,
        )


def new_network(recipe: FrameRecipe, classes: tuple[str, ...]) -> tuple[Backbone, ModelCard]:
    """The network before its first step, and its card.

    Raises:
        CheckpointError: a checkpoint that the recipe names cannot be used.
        RecipeError: the recipe's sizes are impossible for the network.
    """
    torch.manual_seed(recipe.seed)
    network = built(lambda: recipe.network.build(len(classes)))
    start(network, recipe, classes=classes if recipe.init_head else ())
    if recipe.features is not None:
        assert isinstance(network, CoarseFine)
        assert network.fine is not None
        fine, _ = load_checkpoint(recipe.features.checkpoint)
        try:
            network.fine.load_state_dict(fine.state_dict())
        except RuntimeError as error:
            raise CheckpointError(
                f"{recipe.features.checkpoint} is not the Fine stream that the recipe describes; "
                "make network.fine agree with it"
            ) from error
        network.fine.requires_grad_(False)
    card = model_card(recipe, classes)
    return network, card


def training_clips(recipe: FrameRecipe, annotations: Annotations, card: ModelCard) -> FrameClips:
    """Training clips, with stored Fine features where the recipe names them."""
    features, origin, shapes = None, None, None
    if recipe.features is not None:
        features = Path(recipe.features.folder)
        fine, fine_card = load_checkpoint(recipe.features.checkpoint)
        origin = fine_card.feature_origin(weights_hash(fine))
        origin = replace(origin, rate=card.rate, stride=card.stride, size=card.size)
        assert recipe.coarse_fine is not None, "checked when the recipe was read"
        shapes = recipe.coarse_fine.fine_shapes
    return FrameClips(
        annotations,
        Path(recipe.data.videos),
        recipe.clip,
        seed=recipe.seed,
        frame_rate=recipe.data.frame_rate,
        features=features,
        origin=origin,
        # As many as a detection window has: the Gaussians' width is a share of them.
        fine_positions=min(recipe.window, MAX_FINE_POSITIONS),
        fine_shapes=shapes,
        decoded=None if recipe.data.decoded is None else Path(recipe.data.decoded),
        fine_frames=recipe.fine_frames,
    )


def batch_loss(
    network: nn.Module, batch: FrameBatch, recipe: FrameRecipe, device: torch.device
) -> Tensor:
    """The detection loss of one batch, with the Fine stream's own where the recipe asks."""
    clip = batch.clip.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last_3d)
    labels = batch.labels.to(device, non_blocking=True)
    mask = batch.label_mask.to(device, non_blocking=True)

    def loss_of(logits: Tensor) -> Tensor:
        at_labels = at_label_times(logits, labels.shape[2], recipe.logits_to_labels)
        return detection_loss(at_labels, labels, mask)

    if recipe.coarse_fine is None:
        return loss_of(network(clip))
    features = None
    if batch.fine is not None:
        assert batch.fine_mask is not None
        assert batch.fine_start is not None
        stages = StageFeatures(**{name: stage.to(device) for name, stage in batch.fine.items()})
        features = FineFeatures(stages, batch.fine_mask.to(device), batch.fine_start.to(device))
    surroundings = None
    if batch.fine_clip is not None:
        assert batch.fine_mask is not None
        assert batch.fine_start is not None
        wider = batch.fine_clip.to(device, non_blocking=True)
        surroundings = Surroundings(
            wider.contiguous(memory_format=torch.channels_last_3d),
            batch.fine_mask.to(device),
            batch.fine_start.to(device),
        )
    output: Prediction = network(clip, features, batch.frame_mask.to(device), surroundings)
    loss = loss_of(output.logits)
    if recipe.fine_loss and output.fine_logits is not None:
        loss = loss + recipe.fine_loss * loss_of(output.fine_logits)
    return loss


def validate_frames(
    network: Backbone,
    card: ModelCard,
    annotations: Annotations,
    videos: Path,
    *,
    device: torch.device,
    frame_rate: float = 24.0,
) -> Validation:
    """Per-frame mAP (over classes that occur) at the sampled frames, and best thresholds.

    Raises:
        VideoError: a validation video cannot be read.
    """
    model = frame_detector(network, card, device=str(device))
    scores: list[FrameScores] = []
    labels = []
    with progress("validating", total=len(annotations.videos), unit="videos") as advance:
        for video in annotations.videos:
            path = find_video(videos, video.id)
            rate = folder_rate(video, path, frame_rate)
            found, _ = score_video(path, model, frame_rate=rate)
            scores.append(found)
            labels.append(frame_labels(video.truth, annotations.classes, found.times))
            advance()
    probabilities = np.concatenate([found.probabilities for found in scores])
    targets = np.concatenate(labels)
    precision = average_precision(probabilities, targets)
    occurs = targets.any(axis=0)
    return Validation(
        score=float(precision[occurs].mean()) if occurs.any() else 0.0,
        protocol=PROTOCOL,
        thresholds=tuple(float(t) for t in choose_thresholds(probabilities, targets)),
    )


def window_note(recipe: FrameRecipe) -> str | None:
    """A note where the network is shown far more, or fewer, frames at once than it is trained on.

    What it averages over and where Grid Pool samples depend on that, and the Gaussians' width.
    """
    window, frames = recipe.window, recipe.clip.frames
    if frames <= WINDOW_FACTOR * window and window <= WINDOW_FACTOR * frames:
        return None
    return (
        f"note: trained on clips of {frames} frames, validated on windows of {window}, which can "
        f"cost accuracy; window={frames} overlap={frames // 2} shows as many at once"
    )
