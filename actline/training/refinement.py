"""Training TCANet on snippet features and proposals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.datasets.segments import ProposalBatch, ProposedVideos, collate_proposals
from actline.errors import CheckpointError, RecipeError
from actline.features.snippets import SnippetOrigin
from actline.models.bmn import BMN
from actline.models.checkpoint import load_segment_checkpoint
from actline.models.stage import MOST_PROPOSALS
from actline.models.tcanet import TCANetConfig
from actline.parsing import annotated_id
from actline.progress import progress
from actline.stored.ranges import Count
from actline.timeline.proposals import MATCHED, Proposals, proposals_of, read_proposals
from actline.training.setup import built, start
from actline.training.snippets import SnippetJob, SnippetRecipe
from actline.training.tcanet_losses import THRESHOLDS, refinement_loss


@dataclass(frozen=True, kw_only=True)
class RefinementRecipe(SnippetRecipe):
    """Training TCANet on snippet features and proposals.

    Attributes:
        proposals: a checkpoint of BMN, which proposes on the same features; or another method's
            proposals for all videos: a results JSON, or a folder of CSV files as TCANet's
            authors have them.
        proposals_per_video: how many are trained on, before suppression.
        proposals_order: whether these are the first by score, or the first in the file, which are
            then taken as they stand, neither clipped to the video nor deduplicated.
        matches: the activity that a proposal is trained towards: the one that overlaps it most,
            or the one that a CSV file has stored with it, as `gt_xmin` and `gt_xmax`.
    """

    task: Literal["refinement"]
    network: TCANetConfig
    proposals: str
    proposals_per_video: Count = 64
    proposals_order: Literal["score", "file"] = "score"
    matches: Literal["overlap", "file"] = "overlap"


class RefinementJob(SnippetJob[RefinementRecipe, ProposalBatch]):
    """Training videos of a recipe with their proposals, and TCANet's loss.

    Raises:
        CheckpointError: the recipe's `proposals` is not a BMN for these features.
        PredictionError: the recipe's file of proposals cannot be used.
        FeatureError: a video's features cannot be used.
        RecipeError: they are of another width or interval than the recipe's network takes.
    """

    Recipe = RefinementRecipe

    def __init__(
        self, recipe: RefinementRecipe, training: Annotations, *, device: torch.device
    ) -> None:
        super().__init__(recipe, training, device=device)
        interval = self.features.load(self.training.videos[0]).interval
        if abs(interval - recipe.network.snippet_interval) > 1e-6 * interval:
            raise RecipeError(
                f"{recipe.data.features} has a snippet every {interval:g} s; "
                f"give network.snippet_interval={interval:g}"
            )
        if not 1 <= recipe.network.stages <= len(THRESHOLDS):
            raise RecipeError(
                f"network.stages is {recipe.network.stages}; give 1 to {len(THRESHOLDS)}"
            )
        self.given = _source(recipe.proposals, self.origin, recipe)
        self._proposed: dict[tuple[str, int], Proposals] = {}
        torch.manual_seed(recipe.seed)
        self.network = built(recipe.network.build)
        start(self.network, recipe)
        proposals = self._to_train_on(self.training)
        self.dataset = ProposedVideos(self.training, self.features, proposals)
        self.collate = collate_proposals

    def _to_train_on(self, annotations: Annotations) -> dict[str, Proposals]:
        """The proposals of training videos, in the recipe's order and with the recipe's matches.

        Raises:
            RecipeError: a video's proposals have no stored matches, and they are asked for.
        """
        recipe, most = self.recipe, self.recipe.proposals_per_video
        found = self.proposals(annotations, most=most)
        if recipe.proposals_order == "file" and not isinstance(self.given, BMN):
            stored = {v: annotated_id(v, self.given) for v in found}
            found = {
                video: found[video] if name is None else self.given[name].best(most)
                for video, name in stored.items()
            }
        for video, proposals in found.items() if recipe.matches == "file" else ():
            if len(proposals) and proposals.matched is None:
                raise RecipeError(
                    f"{recipe.proposals}: {video} has no {' and '.join(MATCHED)}; "
                    "give matches=overlap"
                )
        return found

    def proposals(self, annotations: Annotations, *, most: int) -> dict[str, Proposals]:
        """The best proposals for videos, by their ids, not yet suppressed.

        Raises:
            FeatureError: a video's features cannot be used.
        """
        found = {}
        with progress("proposing", total=len(annotations.videos), unit="videos") as advance:
            for video in annotations.videos:
                found[video.id] = self._proposals(video, most)
                advance()
        return found

    def _proposals(self, video: AnnotatedVideo, most: int) -> Proposals:
        """The best of one video; they are cached, as every validation needs the same ones."""
        key = video.id, most
        if key not in self._proposed:
            features = self.features.load(video)
            if isinstance(self.given, BMN):
                bmn = self.given.to(self.device)
                found = bmn.stage()(features, most=most)
            else:
                found = proposals_of(video.id, self.given, duration=features.duration).best(most)
            self._proposed[key] = found
        return self._proposed[key]

    def loss(
        self,
        network: nn.Module,
        batch: ProposalBatch,
        device: torch.device,
        generator: torch.Generator,
    ) -> Tensor:
        """The losses of all stages, summed."""
        mask = None if bool(batch.mask.all()) else batch.mask.to(device)
        refinements = network(batch.features.to(device), batch.proposals.to(device), mask=mask)
        losses = refinement_loss(
            refinements,
            batch.matched.to(device),
            valid=batch.valid.to(device),
            thresholds=THRESHOLDS[: self.recipe.network.stages],
            generator=generator,
        )
        return losses.total

    def files(self) -> Mapping[str, Sequence[Path]]:
        """As in `Job`."""
        return {**super().files(), "proposals": [Path(self.recipe.proposals)]}

    def given_to(self, video: AnnotatedVideo) -> Proposals:
        """As in `SnippetJob`."""
        return self._proposals(video, MOST_PROPOSALS)


def _source(
    path: str, origin: SnippetOrigin | None, recipe: RefinementRecipe
) -> BMN | dict[str, Proposals]:
    """A checkpoint's BMN, or the proposals in a file or folder."""
    if not path.endswith(".safetensors"):
        return read_proposals(
            path,
            matched=recipe.matches == "file",
            in_file_order=recipe.proposals_order == "file",
        )
    bmn, card = load_segment_checkpoint(path)
    if not isinstance(bmn, BMN):
        raise CheckpointError(f"{path} does not hold BMN; give proposals= a checkpoint of one")
    if card.origin != origin:
        raise CheckpointError(
            f"{path} was trained on other features than {recipe.data.features}; give its own"
        )
    return bmn
