"""What recipes on snippet features have in common: data, card, and validation by recall."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.annotations.read import without_videos
from actline.annotations.usable import trainable
from actline.detection.labels import suppressed
from actline.detection.model import for_inference
from actline.errors import RecipeError
from actline.evaluation.proposals import average_recall
from actline.features.folder import FeatureFolder
from actline.features.public_files import Layout, PublicForm
from actline.features.snippets import WidthError
from actline.models.bmn import BMNConfig
from actline.models.cards import Card, SegmentCard
from actline.models.stage import stage_of
from actline.models.tcanet import TCANetConfig
from actline.progress import progress
from actline.stored.configuration import to_mapping
from actline.stored.ranges import Seconds
from actline.timeline import Activity
from actline.timeline.proposals import Proposals
from actline.timeline.suppression import SuppressionConfig
from actline.training.job import BatchType, Job, Validation
from actline.training.recipe import DataConfig, Recipe

PROTOCOL = "AUC of AR@AN (activitynet, tIoU 0.5:0.05:0.95)"


@dataclass(frozen=True, kw_only=True)
class SnippetData(DataConfig):
    """Snippet features with their videos' labels.

    Attributes:
        features: folder of snippet features, ours or public ones, or one file for all videos;
            several with commas between them are joined along channels.
        interval: seconds from one snippet to the next, for public features, which do not say; 0
            for those rescaled to a fixed number of snippets.
        layout: of public features where `network.channels` does not say, as of square arrays:
            "TC" has a row a snippet, "CT" a column.
        parts: names of the arrays to join, where a public file has several.
        min_seconds: shorter activities are not trained on; TCANet's authors leave out those of a
            second or less.
        without: videos to leave out, such as those that could not be downloaded: their ids, or a
            file that lists them.
    """

    features: str
    validation_subset: str = "validation"
    without: str | tuple[str, ...] | None = None
    interval: Seconds | None = None
    layout: Layout | None = None
    parts: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class SnippetRecipe(Recipe):
    """Training a network on snippet features.

    Attributes:
        suppression: of proposals, for validation and detection.
    """

    data: SnippetData
    network: BMNConfig | TCANetConfig
    suppression: SuppressionConfig


SnippetRecipeType = TypeVar("SnippetRecipeType", bound=SnippetRecipe)


class SnippetJob(Job[SnippetRecipeType, BatchType]):
    """A job on snippet features; a subclass's constructor calls this one first.

    Attributes:
        features: those that the recipe names.
        device: where validation runs.

    Raises:
        FeatureError: the first video's features cannot be used.
        RecipeError: they are of another width than the recipe's network takes.
    """

    def __init__(
        self, recipe: SnippetRecipeType, training: Annotations, *, device: torch.device
    ) -> None:
        self.recipe = recipe
        self.device = device
        self.training = trainable(training, min_seconds=recipe.data.min_seconds)
        self.features = recipe_features(recipe)
        self.origin = self.features.agree_on(self.training.videos)
        check_width(self.features, self.training, recipe)
        self.card: Card = SegmentCard(
            network=recipe.network,
            classes=training.classes,
            origin=self.origin,
            form=self.features.whole_form,
            suppression=recipe.suppression,
            recipe=json.dumps(to_mapping(recipe)),
        )

    def given_to(self, video: AnnotatedVideo) -> Proposals | None:
        """The proposals given to the network for a video; None where it needs none."""
        del video
        return None

    @classmethod
    def usable(cls, recipe: SnippetRecipeType, annotations: Annotations) -> Annotations:
        """The annotations without the videos that the recipe leaves out.

        Raises:
            AnnotationError: none is left.
        """
        without = recipe.data.without
        return without_videos(annotations, without) if without else annotations

    def require(self, held_out: Annotations) -> None:
        """As in `Job`.

        Raises:
            FeatureError: a video's features are missing.
        """
        for video in held_out.videos:
            self.features.require(video)

    def files(self) -> Mapping[str, Sequence[Path]]:
        """As in `Job`."""
        return {video.id: self.features.files_of(video) for video in self.training.videos}

    def validate(self, network: nn.Module, held_out: Annotations) -> Validation:
        """The area under AR-AN of proposals suppressed as in detection, against all activities.

        Raises:
            FeatureError: a video's features cannot be used.
        """
        stage = stage_of(for_inference(network, self.device), self.card.classes)
        found = {}
        with progress("validating", total=len(held_out.videos), unit="videos") as advance:
            for video in held_out.videos:
                features = self.features.load(video)
                proposals = stage(features, self.given_to(video))
                kept = suppressed(proposals, self.recipe.suppression, duration=features.duration)
                found[video.id] = as_activities(kept)
                advance()
        score = average_recall(held_out, found)
        return Validation(score=score.area / 100, protocol=PROTOCOL)


def recipe_features(recipe: SnippetRecipe) -> FeatureFolder:
    """The features that a recipe names, of the width that its network takes."""
    return FeatureFolder(
        recipe.data.features,
        interval=recipe.data.interval,
        width=recipe.network.channels,
        form=PublicForm(recipe.data.layout, recipe.data.parts),
    )


def check_width(features: FeatureFolder, annotations: Annotations, recipe: SnippetRecipe) -> None:
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


def as_activities(proposals: Proposals) -> list[Activity]:
    """Proposals in the form that evaluation takes, without a class."""
    return [
        Activity("", float(start), float(end), float(score))
        for start, end, score in zip(proposals.start, proposals.end, proposals.score, strict=True)
    ]
