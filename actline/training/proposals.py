"""Training BMN on snippet features."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from actline.annotations.annotations import Annotations
from actline.datasets.segments import (
    RescaledBatch,
    RescaledVideos,
    SlidWindows,
    collate_rescaled,
)
from actline.errors import RecipeError
from actline.models.bmn import BMNConfig
from actline.training.bmn_losses import BMNTargets, assign_targets, bmn_loss
from actline.training.setup import built, start
from actline.training.snippets import SnippetJob, SnippetRecipe


@dataclass(frozen=True, kw_only=True)
class ProposalRecipe(SnippetRecipe):
    """Training BMN on snippet features."""

    task: Literal["proposals"]
    network: BMNConfig


class ProposalJob(SnippetJob[ProposalRecipe, RescaledBatch]):
    """Training videos of a recipe, or windows of them, at BMN's fixed length, and its loss.

    Raises:
        FeatureError: the first video's features cannot be used.
        RecipeError: they are of another width than the recipe's network takes, or cannot slide.
    """

    Recipe = ProposalRecipe

    def __init__(
        self, recipe: ProposalRecipe, training: Annotations, *, device: torch.device
    ) -> None:
        if recipe.network.sliding and recipe.data.interval == 0:
            raise RecipeError(
                "features rescaled to a fixed number have no rate to slide at; give features at "
                "their own rate with data.interval, or network.sliding=false"
            )
        super().__init__(recipe, training, device=device)
        torch.manual_seed(recipe.seed)
        self.network = built(recipe.network.build)
        start(self.network, recipe)
        form = SlidWindows if recipe.network.sliding else RescaledVideos
        self.dataset = form(self.training, self.features, length=recipe.network.temporal_scale)
        self.collate = collate_rescaled

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
