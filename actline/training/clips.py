"""What recipes on clips of video have in common: data, card and videos."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from torch import nn

from actline.annotations.annotations import Annotations
from actline.annotations.usable import present
from actline.datasets.frame_clips import ClipConfig
from actline.errors import AnnotationError
from actline.models.cards import Card, ModelCard
from actline.models.coarse_fine import CoarseFineConfig
from actline.models.networks import NetworkConfig
from actline.models.normalization import set_splits
from actline.stored.configuration import to_mapping
from actline.stored.ranges import Count, Factor, Whole
from actline.training.job import BatchType, Job, Validation
from actline.training.recipe import DataConfig, Recipe, Workers
from actline.training.setup import say_once
from actline.video.find import find_video


@dataclass(frozen=True, kw_only=True)
class VideoData(DataConfig):
    """Videos with their labels.

    Attributes:
        videos: folder of video files, or of frame folders.
        min_seconds: shorter videos are left out; the published code drops those under 162
            frames at 24 a second.
        frame_rate: of frame folders, per second; 0 takes their count over the annotated
            duration, as the published code does.
        skip_missing: leave out videos that are missing, as many of Kinetics' are; otherwise the
            first missing one stops the run.
        decoded: folder that keeps whole videos decoded at the clips' short sides: worth its space
            for small frames; None decodes what every clip needs each time.
    """

    videos: str
    frame_rate: Factor = 24.0
    workers: Workers = 2
    skip_missing: bool = False
    decoded: str | None = None


@dataclass(frozen=True, kw_only=True)
class ClipRecipe(Recipe):
    """Training a network on clips of video.

    Attributes:
        window: frames seen at once in validation and detection.
        overlap: frames that consecutive windows share.
    """

    data: VideoData
    clip: ClipConfig
    network: NetworkConfig
    window: Count = 128
    overlap: Whole = 32

    def __post_init__(self) -> None:
        if self.window >= 1 and self.overlap > self.window // 2:
            raise ValueError(
                f"overlap must lie between 0 and half the window, {self.window // 2}, not "
                f"{self.overlap}"
            )
        if self.coarse_fine is not None and not self.coarse_fine.fine_stream:
            # Converted checkpoints may lack it; on stored features it is kept for detection.
            raise ValueError("network: fine_stream must be true for training")

    @property
    def coarse_fine(self) -> CoarseFineConfig | None:
        """The network where it is Coarse-Fine, which takes more than a clip; None for others."""
        return self.network if isinstance(self.network, CoarseFineConfig) else None


ClipRecipeType = TypeVar("ClipRecipeType", bound=ClipRecipe)


class ClipJob(Job[ClipRecipeType, BatchType]):
    """A job on clips of video; subclasses say what is trained, and how."""

    card: ModelCard  # type: ignore[assignment]

    @classmethod
    def usable(cls, recipe: ClipRecipeType, annotations: Annotations) -> Annotations:
        """The annotations without videos that are too short, or that are missing and may be.

        Raises:
            AnnotationError, VideoError: none is left.
        """
        data = recipe.data
        if data.skip_missing:
            annotations, missing = present(annotations, Path(data.videos))
            if missing:
                count = len(annotations.videos) + missing
                say_once(f"{missing} of {count} videos are not in {data.videos}: left out")
        kept = tuple(
            video
            for video in annotations.videos
            if video.duration is None or video.duration >= data.min_seconds
        )
        if not kept:
            raise AnnotationError(
                f"{data.annotations}: every video is shorter than data.min_seconds "
                f"({data.min_seconds}); lower it"
            )
        return replace(annotations, videos=kept)

    def require(self, held_out: Annotations) -> None:
        """As in `Job`.

        Raises:
            VideoError: a video is missing.
        """
        for video in held_out.videos:
            find_video(self.recipe.data.videos, video.id)

    def files(self) -> Mapping[str, Sequence[Path]]:
        """As in `Job`."""
        videos = self.recipe.data.videos
        return {video.id: [find_video(videos, video.id)] for video in self.training.videos}

    def ready(self, network: nn.Module) -> nn.Module:
        """As in `Job`, normalized in as many parts as the card says."""
        network = super().ready(network)
        set_splits(network, self.card.network.splits)
        return network

    def scored(self, validation: Validation) -> Card:
        """As in `Job`, with the thresholds."""
        return replace(self.card, score=str(validation), thresholds=validation.thresholds)


def model_card(recipe: ClipRecipe, classes: tuple[str, ...]) -> ModelCard:
    """The card of a network that is trained by this recipe."""
    return ModelCard(
        network=recipe.network,
        classes=classes,
        size=recipe.clip.size,
        mean=recipe.clip.mean,
        std=recipe.clip.std,
        rate=recipe.clip.rate,
        stride=recipe.clip.stride,
        window=recipe.window,
        overlap=recipe.overlap,
        recipe=json.dumps(to_mapping(recipe)),
    )
