"""What a recipe for refinement trains: TCANet on snippet features and proposals."""

from collections.abc import Iterator

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.datasets.batches import loaded
from actline.datasets.segments import ProposalBatch, ProposedVideos, collate_proposals, trainable
from actline.errors import CheckpointError, RecipeError
from actline.features.snippets import SnippetOrigin
from actline.models.bmn import BMN
from actline.models.checkpoint import load_segment_checkpoint
from actline.parsing import annotated_id
from actline.progress import progress
from actline.timeline.proposals import MATCHED, Proposals, proposals_of, read_proposals
from actline.training.proposals import check_width, recipe_features
from actline.training.recipe import RefinementRecipe
from actline.training.setup import batches_for, built, segment_card, start
from actline.training.tcanet_losses import THRESHOLDS, refinement_loss


class RefinementJob:
    """Training videos of a recipe with their proposals, and TCANet's loss.

    Args:
        device: where a BMN makes the proposals.

    Raises:
        CheckpointError: the recipe's `proposals` is no BMN for these features.
        PredictionError: it is a file of proposals that cannot be used.
        FeatureError: a video's features cannot be used.
        RecipeError: they are of another width or interval than the recipe's network takes.
    """

    unused_parameters = False

    def __init__(
        self, recipe: RefinementRecipe, annotations: Annotations, *, device: torch.device
    ) -> None:
        self.recipe = recipe
        self.device = device
        chosen = trainable(annotations, min_seconds=recipe.data.min_seconds)
        self.features = recipe_features(recipe)
        origin = self.features.agree_on(chosen.videos)
        check_width(self.features, chosen, recipe)
        interval = self.features.load(chosen.videos[0]).interval
        if abs(interval - recipe.network.snippet_interval) > 1e-6 * interval:
            raise RecipeError(
                f"{recipe.data.features} has a snippet every {interval:g} s; "
                f"give network.snippet_interval={interval:g}"
            )
        if not 1 <= recipe.network.stages <= len(THRESHOLDS):
            raise RecipeError(
                f"network.stages is {recipe.network.stages}; give 1 to {len(THRESHOLDS)}"
            )
        self.given = _source(recipe.proposals, origin, recipe)
        self._proposed: dict[tuple[str, int], Proposals] = {}
        torch.manual_seed(recipe.seed)
        self.network = built(recipe.network.build)
        start(self.network, recipe)
        self.card = segment_card(recipe, annotations.classes, origin, self.features.whole_form)
        self.videos = ProposedVideos(chosen, self.features, self._to_train_on(chosen))
        self.items = len(self.videos)

    def _to_train_on(self, annotations: Annotations) -> dict[str, Proposals]:
        """The proposals of training videos, in the order and with the matches that are asked for.

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

        They are kept: every validation asks for the same ones.

        Raises:
            FeatureError: a video's features cannot be used.
        """
        found = {}
        if isinstance(self.given, BMN):
            self.given.to(self.device)
        with progress("proposing", total=len(annotations.videos), unit="videos") as advance:
            for video in annotations.videos:
                key = video.id, most
                if key not in self._proposed:
                    self._proposed[key] = self._propose(video, most)
                found[video.id] = self._proposed[key]
                advance()
        return found

    def _propose(self, video: AnnotatedVideo, most: int) -> Proposals:
        features = self.features.load(video)
        if isinstance(self.given, BMN):
            return self.given.stage()(features, most=most)
        return proposals_of(video.id, self.given, duration=features.duration).best(most)

    def batches(
        self, accelerator: Accelerator, *, first: int, last: int
    ) -> Iterator[ProposalBatch]:
        """This process's batches from number `first` to before `last`.

        Raises:
            FeatureError: while iterating, a video's features cannot be used.
        """
        sampler = batches_for(self.recipe, self.items, accelerator, first=first, last=last)
        workers = self.recipe.data.workers
        return loaded(self.videos, sampler, collate_proposals, workers=workers, pinned=False)

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
        raise CheckpointError(f"{path} does not hold BMN; give proposals= one")
    if card.origin != origin:
        raise CheckpointError(
            f"{path} was trained on other features than {recipe.data.features}; give its own"
        )
    return bmn
