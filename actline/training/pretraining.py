"""What a recipe for pretraining trains: a network on trimmed clips, as they are or by SSDet."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from actline.annotations.annotations import Annotations
from actline.datasets.batches import derived_seed, loaded
from actline.datasets.trimmed_clips import TrimmedBatch, TrimmedClips, collate_trimmed, labelled
from actline.models.backbone import prediction
from actline.models.normalization import set_splits
from actline.pretraining.augmentation import augment
from actline.pretraining.losses import soft_label_loss
from actline.pretraining.multigrid import MultigridBatches, MultigridConfig, Schedule
from actline.pretraining.volume_freeze import label_frames
from actline.training.recipe import PretrainingRecipe
from actline.training.setup import built, model_card, start

BACKGROUND = "background"  # the class that SSDet adds, before all others


class PretrainingJob:
    """Training clips of a recipe, and their loss.

    Raises:
        AnnotationError: a video has no class, or several where the recipe takes one.
        CheckpointError: the recipe's `init` cannot be used.
        ValueError: Multigrid's shapes do not go with the recipe's clips and batches.
    """

    def __init__(self, recipe: PretrainingRecipe, annotations: Annotations) -> None:
        self.recipe = recipe
        self.clips = clips_of(recipe, annotations)
        self.items = len(self.clips)
        torch.manual_seed(recipe.seed)
        background = recipe.method == "detection" and recipe.background == "class"
        classes = (BACKGROUND, *annotations.classes) if background else annotations.classes
        network = built(lambda: recipe.network.build(len(classes)))
        start(network, recipe, classes=classes if recipe.init_head else ())
        self.unused_parameters = network.unused_parameters
        self.network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.card = model_card(recipe, classes)

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
        self, accelerator: Accelerator, *, first: int, last: int
    ) -> Iterator["ShapedBatch"]:
        """This process's batches from number `first` to before `last`.

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
        batches = loaded(self.clips, sampler, collate_trimmed, workers=workers, pinned=pinned)
        for number, batch in enumerate(batches, start=first):
            step, part = divmod(number, self.recipe.accumulate)
            # The same in every process; that of the first process's own draws (training loop), so
            # that one process draws the same by itself.
            seed = derived_seed(self.recipe.seed, step, 0, *([part] if part else []))
            yield ShapedBatch(batch, schedule.shape_at(step).splits, seed)

    def loss(
        self,
        network: nn.Module,
        batch: "ShapedBatch",
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


class ShapedBatch:
    """A batch, in how many parts it is normalized, and the seed of what all processes share."""

    def __init__(self, trimmed: TrimmedBatch, splits: int, shared_seed: int) -> None:
        self.trimmed = trimmed
        self.splits = splits
        self.shared_seed = shared_seed

    @property
    def videos(self) -> tuple[str, ...]:
        """Whose clips these are."""
        return self.trimmed.videos


def clips_of(recipe: PretrainingRecipe, annotations: Annotations) -> TrimmedClips:
    """A recipe's clips of these videos, less those without a class where it takes one.

    Raises:
        AnnotationError: a video has several classes where the recipe takes one, or none is left.
    """
    several = recipe.classes_per_video == "several"
    return TrimmedClips(
        annotations if several else labelled(annotations),
        Path(recipe.data.videos),
        recipe.clip,
        seed=recipe.seed,
        frame_rate=recipe.data.frame_rate,
        several=several,
        decoded=None if recipe.data.decoded is None else Path(recipe.data.decoded),
    )


def full_shape(recipe: PretrainingRecipe) -> MultigridConfig:
    """The cycles of ordinary training: none."""
    splits = recipe.network.splits
    return replace(
        MultigridConfig(),
        long_cycle=((1.0, 1.0),),
        short_cycle=(),
        stages=(),
        normalization_batch=max(1, recipe.batch_size // splits),
    )
