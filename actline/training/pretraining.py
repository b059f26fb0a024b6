"""Training on trimmed clips: to classify them, or as SSDet does."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actline.annotations.annotations import Annotations
from actline.annotations.usable import videos_with_classes
from actline.datasets.batches import derived_seed, load_batches
from actline.datasets.trimmed_clips import (
    TrimmedBatch,
    TrimmedClips,
    class_of,
    collate_trimmed,
)
from actline.detection.model import for_inference
from actline.errors import RecipeError
from actline.evaluation.average_precision import average_precision
from actline.models.backbone import prediction
from actline.models.cards import ModelCard
from actline.models.normalization import set_splits
from actline.pretraining.augmentation import VolumeAugmentation, augment
from actline.pretraining.losses import soft_label_loss
from actline.pretraining.multigrid import MultigridBatches, MultigridConfig, Schedule
from actline.pretraining.volume_freeze import label_frames
from actline.progress import progress
from actline.stored.ranges import Range
from actline.training.clips import ClipJob, ClipRecipe, model_card
from actline.training.job import Validation
from actline.training.setup import built, start

if TYPE_CHECKING:
    from accelerate import Accelerator

BACKGROUND = "background"  # the class that SSDet adds, before all others


@dataclass(frozen=True, kw_only=True)
class PretrainingRecipe(ClipRecipe):
    """Training on trimmed videos: to classify them, or as SSDet does.

    Attributes:
        method: "detection" turns them into clips with segments, overlaps and background (SSDet);
            "classification" gives every clip its class.
        classes_per_video: "one"; for classification also "several", such as those of an untrimmed
            video: a clip has those that happen in it, the loss is binary cross-entropy, and
            validation gives the mAP over videos instead of top-1 accuracy.
        views: clips of a video, evenly spread over it, that validation puts together: their mean
            (of one class) or largest (of several) probability, as published; 1 is the clip
            in the middle alone.
        augmentation: of "detection".
        background, average: of its loss; see `soft_label_loss`.
        multigrid: shapes that clips go through; None trains at the full shape throughout.
    """

    task: Literal["pretraining"]
    method: Literal["detection", "classification"]
    augmentation: VolumeAugmentation = field(default_factory=VolumeAugmentation)
    background: Literal["class", "none"] = "class"
    average: Literal["frames", "support"] = "frames"
    classes_per_video: Literal["one", "several"] = "one"
    views: Annotated[int, Range(1, 1000)] = 1
    multigrid: MultigridConfig | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network.per_frame != (self.method == "detection"):
            raise ValueError(
                "network: per_frame must be true for method detection, and false for classification"
            )
        if self.classes_per_video == "several" and self.method == "detection":
            raise ValueError(
                'classes_per_video: "several" is for method classification; detection mixes videos '
                "of one class each"
            )
        if self.multigrid is not None and self.ema:
            raise ValueError("ema is not for multigrid, whose normalization changes with the batch")
        if self.clip.labels_per_frame != 1:
            raise ValueError("clip: labels_per_frame must be 1, as a clip has one class")


class ShapedBatch:
    """A batch, the number of parts it is normalized in, and the seed that all processes share."""

    def __init__(self, trimmed: TrimmedBatch, splits: int, shared_seed: int) -> None:
        self.trimmed = trimmed
        self.splits = splits
        self.shared_seed = shared_seed

    @property
    def videos(self) -> tuple[str, ...]:
        """The videos of these clips."""
        return self.trimmed.videos


class PretrainingJob(ClipJob[PretrainingRecipe, ShapedBatch]):
    """Training clips of a recipe, their loss, and the accuracy or mAP over videos.

    Raises:
        AnnotationError: a video has no class, or several where the recipe takes one.
        CheckpointError: the recipe's `init` cannot be used.
        RecipeError: Multigrid's shapes do not go with the recipe's clips and batches.
    """

    Recipe = PretrainingRecipe

    def __init__(
        self, recipe: PretrainingRecipe, training: Annotations, *, device: torch.device
    ) -> None:
        self.recipe = recipe
        self.training = training
        self.device = device
        self.shaped_by_epochs = recipe.multigrid is not None
        self.dataset = clips_of(recipe, training)
        torch.manual_seed(recipe.seed)
        background = recipe.method == "detection" and recipe.background == "class"
        classes = (BACKGROUND, *training.classes) if background else training.classes
        network = built(lambda: recipe.network.build(len(classes)))
        start(network, recipe, classes=classes if recipe.init_head else ())
        self.unused_parameters = network.unused_parameters
        self.network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.card = model_card(recipe, classes)
        try:
            # Several processes each read their own: all of them have the same shapes.
            self.shapes = self.schedule(int(os.environ.get("WORLD_SIZE", "1")))
        except ValueError as error:
            raise RecipeError(f"{recipe.name}: {error}") from error
        if self.shaped_by_epochs:
            optimizer = replace(recipe.optimizer, milestones=self.shapes.milestones)
            self.recipe = replace(recipe, optimizer=optimizer)
        self._validated_on: dict[tuple[str, ...], TrimmedClips] = {}

    @classmethod
    def usable(cls, recipe: PretrainingRecipe, annotations: Annotations) -> Annotations:
        """As in `ClipJob`; and of one class each, only videos that have one are validated on.

        Raises:
            AnnotationError: one of these has several.
        """
        annotations = super().usable(recipe, annotations)
        subset = recipe.data.validation_subset
        kept = tuple(v for v in annotations.videos if v.subset != subset or v.activities)
        validated = [video for video in kept if video.subset == subset]
        if recipe.classes_per_video == "several" or not validated:
            return annotations
        for video in validated:
            class_of(video, annotations)
        return replace(annotations, videos=kept)

    def schedule(self, processes: int) -> Schedule:
        """The shape of every step; without Multigrid always the full one."""
        recipe = self.recipe
        config = recipe.multigrid or full_shape(recipe)
        return Schedule(
            length=self.items,
            batch_size=min(recipe.batch_size, max(1, self.items // processes)),
            frames=recipe.clip.frames,
            size=recipe.clip.size,
            epochs=recipe.epochs,
            processes=processes,
            accumulate=recipe.accumulate,
            config=config,
        )

    def batches(
        self, accelerator: "Accelerator", *, first: int, last: int
    ) -> Iterator[ShapedBatch]:
        """This process's batches from number `first` to `last` - 1.

        Raises:
            VideoError: while iterating, a video cannot be used.
        """
        schedule = self.schedule(accelerator.num_processes)
        sampler = MultigridBatches(
            schedule,
            seed=self.recipe.seed,
            first=first,
            last=last,
            process=accelerator.process_index,
        )
        pinned = accelerator.device.type == "cuda"
        workers = self.recipe.data.workers
        batches = load_batches(
            self.dataset, sampler, collate_trimmed, workers=workers, pinned=pinned
        )
        for number, batch in enumerate(batches, start=first):
            step, part = divmod(number, self.recipe.accumulate)
            # The same in every process; that of the first process's own draws (training loop), so
            # that one process draws the same by itself.
            seed = derived_seed(self.recipe.seed, step, 0, *([part] if part else []))
            yield ShapedBatch(batch, schedule.shape_at(step).splits, seed)

    def loss(
        self,
        network: nn.Module,
        batch: ShapedBatch,
        device: torch.device,
        generator: torch.Generator,
    ) -> Tensor:
        """Cross-entropy of clips (binary for several classes), or of augmented clips' frames."""
        recipe = self.recipe
        set_splits(network, batch.splits)
        clip = batch.trimmed.clip.to(device, non_blocking=True)
        labels = batch.trimmed.labels.to(device, non_blocking=True)
        if recipe.method == "classification":
            clip = clip.contiguous(memory_format=torch.channels_last_3d)
            logits = network(clip).float()
            if recipe.classes_per_video == "several":
                return F.binary_cross_entropy_with_logits(logits, labels)
            return F.cross_entropy(logits, labels)
        augmented = augment(
            label_frames(clip, labels=labels + 1),
            settings=recipe.augmentation,
            generator=generator,
            shared=torch.Generator().manual_seed(batch.shared_seed),
        )
        clip = augmented.clip.contiguous(memory_format=torch.channels_last_3d)
        return soft_label_loss(
            prediction(network(clip)).logits,
            labels=augmented.labels,
            weights=augmented.weights,
            support=augmented.support,
            background=recipe.background,
            average=recipe.average,
        )

    def lr_factor(self, step: int) -> float:
        """As in `Job`: Multigrid's larger batches have a larger rate."""
        return self.shapes.shape_at(step).lr_factor if self.shaped_by_epochs else 1.0

    def validate(self, network: nn.Module, held_out: Annotations) -> Validation:
        """The share of videos whose likeliest class is theirs; of several classes, the mAP.

        Raises:
            VideoError: a video cannot be read.
        """
        key = tuple(video.id for video in held_out.videos)
        if key not in self._validated_on:
            self._validated_on[key] = clips_of(self.recipe, held_out)
        clips, views = self._validated_on[key], self.recipe.views
        return validate_clips(network, self.card, clips, device=self.device, views=views)


def clips_of(recipe: PretrainingRecipe, annotations: Annotations) -> TrimmedClips:
    """A recipe's clips of these videos, less those without a class where it takes one.

    Raises:
        AnnotationError: a video has several classes where the recipe takes one, or none is left.
    """
    several = recipe.classes_per_video == "several"
    return TrimmedClips(
        annotations if several else videos_with_classes(annotations),
        Path(recipe.data.videos),
        recipe.clip,
        seed=recipe.seed,
        frame_rate=recipe.data.frame_rate,
        several=several,
        decoded=None if recipe.data.decoded is None else Path(recipe.data.decoded),
    )


def full_shape(recipe: PretrainingRecipe) -> MultigridConfig:
    """Multigrid without cycles: ordinary training."""
    splits = recipe.network.splits
    return replace(
        MultigridConfig(),
        long_cycle=((1.0, 1.0),),
        short_cycle=(),
        stages=(),
        normalization_batch=max(1, recipe.batch_size // splits),
    )


def protocol_of(clips: TrimmedClips, views: int) -> str:
    """The protocol's name: what is measured, and over how many clips of a video."""
    over = "central clip" if views == 1 else f"{views} views"
    return f"mAP over videos ({over})" if clips.several else f"top-1 accuracy ({over})"


@torch.inference_mode()
def validate_clips(
    network: nn.Module,
    card: ModelCard,
    clips: TrimmedClips,
    *,
    device: torch.device,
    views: int = 1,
) -> Validation:
    """The share of videos whose likeliest class is theirs; of several classes, the mAP.

    A class's probability is its mean over the frames of a clip, and over the clips of a video;
    where videos show several classes it is the largest of the clips, as published.

    Raises:
        VideoError: a video cannot be read.
    """
    network = for_inference(network, device)
    found = []
    with progress("validating", total=len(clips), unit="videos") as advance:
        for index in range(len(clips)):
            views_of = clips.views(index, views)
            # One view at a time: ten of a large network need not fit in memory at once.
            each = [clip_probabilities(network, card, clips, view.to(device)) for view in views_of]
            probabilities = torch.stack(each)
            found.append(probabilities.amax(0) if clips.several else probabilities.mean(0))
            advance()
    scores = torch.stack(found).cpu()
    name = protocol_of(clips, views)
    if not clips.several:
        right = scores.argmax(dim=1) == clips.labels
        return Validation(float(right.double().mean()), name)
    labels = clips.labels.numpy()
    occurs = labels.any(axis=0)
    precision = average_precision(scores.numpy(), labels)
    return Validation(float(precision[occurs].mean()) if occurs.any() else 0.0, name)


def clip_probabilities(
    network: nn.Module, card: ModelCard, clips: TrimmedClips, clip: Tensor
) -> Tensor:
    """Probabilities of the data's classes in one clip (3, T, H, W): (K,)."""
    logits = prediction(network(clip[None])).logits
    frames = logits.float().reshape(len(card.classes), -1)  # one column for a clip-level head
    probabilities = frames.sigmoid() if clips.several else frames.softmax(dim=0)
    # A class that only pretraining has comes before those of the data.
    added = len(card.classes) - len(clips.annotations.classes)
    return probabilities.mean(dim=1)[added:]
