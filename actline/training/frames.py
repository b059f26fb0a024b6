"""What a recipe for per-frame detection trains: an X3D, SlowFast or Coarse-Fine on clips."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from actline.annotations.annotations import Annotations
from actline.datasets.batches import loaded
from actline.datasets.frame_clips import MAX_FINE_POSITIONS, DenseBatch, DenseClips, collate
from actline.errors import CheckpointError
from actline.models.backbone import Backbone, Prediction
from actline.models.cards import ModelCard
from actline.models.checkpoint import load_checkpoint, weights_hash
from actline.models.coarse_fine import CoarseFine, CoarseFineConfig, Surroundings
from actline.models.fusion import FineFeatures
from actline.models.x3d import StageFeatures
from actline.training.frame_losses import at_label_times, detection_loss
from actline.training.recipe import Recipe
from actline.training.setup import batches_for, built, model_card, start


class DenseJob:
    """Training clips of a recipe, and their loss.

    Raises:
        CheckpointError: a checkpoint that the recipe names cannot be used.
    """

    def __init__(self, recipe: Recipe, annotations: Annotations) -> None:
        self.recipe = recipe
        network, self.card = new_network(recipe, annotations.classes)
        # Depthwise convolutions over time and space are about twice as fast in this layout.
        self.network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.clips = training_clips(recipe, annotations, self.card)
        self.items = len(self.clips)
        self.unused_parameters = network.unused_parameters

    def batches(self, accelerator: Accelerator, *, first: int, last: int) -> Iterator[DenseBatch]:
        """This process's batches from number `first` to before `last`.

        Raises:
            VideoError, FeatureError: while iterating, a video or its features cannot be used.
        """
        sampler = batches_for(self.recipe, self.items, accelerator, first=first, last=last)
        pinned = accelerator.device.type == "cuda"
        return loaded(self.clips, sampler, collate, workers=self.recipe.data.workers, pinned=pinned)

    def loss(
        self,
        network: nn.Module,
        batch: DenseBatch,
        device: torch.device,
        generator: torch.Generator,
    ) -> Tensor:
        """The detection loss; it draws nothing."""
        del generator
        return batch_loss(network, batch, self.recipe, device)


def new_network(recipe: Recipe, classes: tuple[str, ...]) -> tuple[Backbone, ModelCard]:
    """The network before its first step, and its card.

    Raises:
        CheckpointError: a checkpoint that the recipe names cannot be used.
        RecipeError: there is no network of the recipe's sizes.
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


def training_clips(recipe: Recipe, annotations: Annotations, card: ModelCard) -> DenseClips:
    """Training clips, with stored Fine features where the recipe names them."""
    features, origin, shapes = None, None, None
    if recipe.features is not None:
        features = Path(recipe.features.folder)
        fine, fine_card = load_checkpoint(recipe.features.checkpoint)
        origin = fine_card.feature_origin(weights_hash(fine))
        origin = replace(origin, rate=card.rate, stride=card.stride, size=card.size)
        assert isinstance(recipe.network, CoarseFineConfig), "checked when the recipe was read"
        shapes = recipe.network.fine_shapes
    return DenseClips(
        annotations,
        Path(recipe.data.videos),
        recipe.clip,
        seed=recipe.seed,
        frame_rate=recipe.data.frame_rate,
        features=features,
        origin=origin,
        # As many as a window of detection has: the Gaussians' width is a share of them.
        fine_positions=min(recipe.window, MAX_FINE_POSITIONS),
        fine_shapes=shapes,
        decoded=None if recipe.data.decoded is None else Path(recipe.data.decoded),
        fine_frames=recipe.fine_frames,
    )


def batch_loss(
    network: nn.Module, batch: DenseBatch, recipe: Recipe, device: torch.device
) -> Tensor:
    """The detection loss of one batch, with the Fine stream's own where the recipe asks."""
    clip = batch.clip.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last_3d)
    labels = batch.labels.to(device, non_blocking=True)
    mask = batch.label_mask.to(device, non_blocking=True)

    def loss_of(logits: Tensor) -> Tensor:
        at_labels = at_label_times(logits, labels.shape[2], recipe.logits_to_labels)
        return detection_loss(at_labels, labels, mask)

    if not isinstance(recipe.network, CoarseFineConfig):
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
