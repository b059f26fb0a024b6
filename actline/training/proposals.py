"""What a recipe for proposals trains: BMN on snippet features."""

from collections.abc import Iterator

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from actline.annotations.annotations import Annotations
from actline.datasets.batches import loaded
from actline.datasets.segments import (
    RescaledBatch,
    RescaledVideos,
    SlidWindows,
    collate_rescaled,
    trainable,
)
from actline.errors import RecipeError
from actline.features.folder import FeatureFolder
from actline.features.public_files import PublicForm
from actline.features.snippets import WidthError
from actline.training.bmn_losses import BMNTargets, assign_targets, bmn_loss
from actline.training.recipe import ProposalRecipe, RefinementRecipe
from actline.training.setup import batches_for, built, segment_card, start


class ProposalJob:
    """Training videos of a recipe, or windows of them, at BMN's fixed length, and its loss.

    Raises:
        FeatureError: the first video's features cannot be used.
        RecipeError: they are of another width than the recipe's network takes.
    """

    unused_parameters = False

    def __init__(self, recipe: ProposalRecipe, annotations: Annotations) -> None:
        self.recipe = recipe
        if recipe.network.sliding and recipe.data.interval == 0:
            raise RecipeError(
                "features rescaled to a fixed number have no rate to slide at; give features at "
                "their own rate with data.interval, or network.sliding=false"
            )
        chosen = trainable(annotations, min_seconds=recipe.data.min_seconds)
        self.features = recipe_features(recipe)
        origin = self.features.agree_on(chosen.videos)
        check_width(self.features, chosen, recipe)
        torch.manual_seed(recipe.seed)
        self.network = built(recipe.network.build)
        start(self.network, recipe)
        self.card = segment_card(recipe, annotations.classes, origin, self.features.whole_form)
        form = SlidWindows if recipe.network.sliding else RescaledVideos
        self.videos = form(chosen, self.features, length=recipe.network.temporal_scale)
        self.items = len(self.videos)

    def batches(
        self, accelerator: Accelerator, *, first: int, last: int
    ) -> Iterator[RescaledBatch]:
        """This process's batches from number `first` to before `last`.

        Raises:
            FeatureError: while iterating, a video's features cannot be used.
        """
        sampler = batches_for(self.recipe, self.items, accelerator, first=first, last=last)
        workers = self.recipe.data.workers
        return loaded(self.videos, sampler, collate_rescaled, workers=workers, pinned=False)

    def loss(
        self,
        network: nn.Module,
        batch: RescaledBatch,
        device: torch.device,
        generator: torch.Generator,
    ) -> Tensor:
        """BMN's losses, the weighted sum."""
        length = self.recipe.network.temporal_scale
        each = [assign_targets(segments, temporal_scale=length) for segments in batch.segments]
        targets = BMNTargets(*(torch.stack(part).to(device) for part in zip(*each, strict=True)))
        return bmn_loss(network(batch.features.to(device)), targets, generator=generator).total


def recipe_features(recipe: ProposalRecipe | RefinementRecipe) -> FeatureFolder:
    """The features that a recipe names, of the width that its network takes."""
    return FeatureFolder(
        recipe.data.features,
        interval=recipe.data.interval,
        width=recipe.network.channels,
        form=PublicForm(recipe.data.layout, recipe.data.parts),
    )


def check_width(
    features: FeatureFolder, annotations: Annotations, recipe: ProposalRecipe | RefinementRecipe
) -> None:
    """Refuse features of another width: the first video's before the first step, others later.

    Raises:
        FeatureError: the first video's features cannot be used.
        RecipeError: the width differs.
    """
    try:
        features.load(annotations.videos[0])
    except WidthError as error:
        widths = " or ".join(str(width) for width in dict.fromkeys(error.found))
        raise RecipeError(
            f"{recipe.data.features} has {widths} values a snippet, and network.channels is "
            f"{recipe.network.channels}; give network.channels={widths}"
        ) from error
