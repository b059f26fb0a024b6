"""The contract of a task: what the training loop needs from the job that a recipe describes.

A new task is one file with a recipe and its job, and a line in `tasks.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from actline.annotations.annotations import Annotations
from actline.datasets.batches import TrainingBatches, load_batches
from actline.models.cards import Card
from actline.models.normalization import aggregate_statistics
from actline.training.recipe import Recipe

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class Validation:
    """A validation's result: a score (higher is better), its protocol, and thresholds, if any."""

    score: float
    protocol: str
    thresholds: tuple[float, ...] | None = None

    def __str__(self) -> str:
        return f"{self.protocol} {100 * self.score:.2f}"


class Batch(Protocol):
    """What the loop needs of a batch: its videos, for error messages."""

    @property
    def videos(self) -> Sequence[str]: ...


RecipeType = TypeVar("RecipeType", bound=Recipe)
BatchType = TypeVar("BatchType", bound=Batch)


class Job(ABC, Generic[RecipeType, BatchType]):
    """What a recipe trains: a network, its card, batches, their loss, and its validation.

    A subclass's constructor takes the recipe, the training videos and, by keyword, the device; it
    sets the attributes that follow.

    Attributes:
        Recipe: the class of this job's recipes, identified by their `task`.
        recipe: the run's, including what the job itself sets in it.
        network: before its first step.
        card: what is saved with the weights.
        training: the videos that are trained on.
        dataset: its items, indexed as the sampler of `batches` does.
        collate: makes a batch of items.
        unused_parameters: whether some parameters may get no gradient in a step.
        shaped_by_epochs: whether batches change their shape on the way to the last epoch, as with
            Multigrid; then the number of epochs cannot be changed once a run has begun.
    """

    Recipe: ClassVar[type[Recipe]]
    recipe: RecipeType
    network: nn.Module
    card: Card
    training: Annotations
    dataset: Dataset[Any]
    collate: Callable[[Any], BatchType]
    unused_parameters: bool = False
    shaped_by_epochs: bool = False

    @abstractmethod
    def __init__(self, recipe: RecipeType, training: Annotations, *, device: torch.device) -> None:
        """Prepare a run, from the recipe's initial weights where it has not begun."""

    @classmethod
    @abstractmethod
    def usable(cls, recipe: RecipeType, annotations: Annotations) -> Annotations:
        """The videos that can be trained or validated on.

        Raises:
            ActlineError: there are none.
        """

    @abstractmethod
    def require(self, held_out: Annotations) -> None:
        """Check, before the first step, that validation will find what it needs after the last.

        Raises:
            ActlineError: a video or its features are missing.
        """

    @abstractmethod
    def files(self) -> Mapping[str, Sequence[Path]]:
        """The files that training reads, by video or by the recipe's key."""

    @abstractmethod
    def loss(
        self, network: nn.Module, batch: BatchType, device: torch.device, generator: torch.Generator
    ) -> Tensor:
        """The loss of one batch; all random numbers come from `generator`, on the CPU."""

    @abstractmethod
    def validate(self, network: nn.Module, held_out: Annotations) -> Validation:
        """Score a network with this job's card; the network is not changed.

        Raises:
            ActlineError: a video or its features cannot be used.
        """

    @property
    def items(self) -> int:
        """How many items an epoch has."""
        return len(self.dataset)  # type: ignore[arg-type]

    def batches(self, accelerator: "Accelerator", *, first: int, last: int) -> Iterator[BatchType]:
        """This process's batches from number `first` to `last` - 1.

        Raises:
            ActlineError: while iterating, a video or its features cannot be used.
        """
        sampler = TrainingBatches(
            self.items,
            batch_size=self.recipe.batch_size,
            seed=self.recipe.seed,
            first=first,
            last=last,
            process=accelerator.process_index,
            processes=accelerator.num_processes,
        )
        pinned = accelerator.device.type == "cuda"
        workers = self.recipe.data.workers
        return load_batches(self.dataset, sampler, self.collate, workers=workers, pinned=pinned)

    def lr_factor(self, step: int) -> float:
        """What the learning rate is multiplied by, besides its schedule."""
        del step
        return 1.0

    def ready(self, network: nn.Module) -> nn.Module:
        """A copy of the network in training, made ready for inference."""
        aggregate_statistics(network)
        return network.eval()

    def scored(self, validation: Validation) -> Card:
        """The card with the results of validation."""
        return replace(self.card, score=str(validation))
