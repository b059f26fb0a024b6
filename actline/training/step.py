"""One step: one update of the weights from some batches, in all processes."""

import math
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from actline.errors import TrainingError
from actline.models.normalization import NormalizationError
from actline.training.job import Batch, Job
from actline.training.recipe import Recipe


def training_step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[Batch],
    *,
    taken: int,
    recipe: Recipe,
    job: Job[Any, Any],
    accelerator: Accelerator,
    generator: torch.Generator,
) -> tuple[float, list[str] | None]:
    """One change of the weights, from `taken` batches.

    Returns:
        The mean loss. Where a loss is not finite, in any process: that loss, with the videos of its
        batch; the weights are then left as they were.

    Raises:
        TrainingError: a batch is too small to be normalized.
    """
    total = 0.0
    bad: list[str] = []
    optimizer.zero_grad()
    for part in range(taken):
        batch = next(batches)
        last = part == taken - 1
        with nullcontext() if last else accelerator.no_sync(network):
            try:
                loss = job.loss(network, batch, accelerator.device, generator)
            except NormalizationError as error:
                raise TrainingError(
                    f"videos {', '.join(batch.videos)}: {error}; enlarge batch_size or the clips"
                ) from error
            value = float(loss.detach())
            if not math.isfinite(value):
                bad = bad or list(batch.videos)
            accelerator.backward(loss / taken)
        total += value
    if any_process(bool(bad), accelerator):
        found = gather_object(bad) if accelerator.num_processes > 1 else bad
        return (total / taken if bad else math.nan), found
    if recipe.optimizer.clip_norm:
        accelerator.clip_grad_norm_(network.parameters(), recipe.optimizer.clip_norm)
    optimizer.step()
    return total / taken, None


def any_process(flag: bool, accelerator: Accelerator) -> bool:
    """Whether the flag is set in any of the processes."""
    if accelerator.num_processes == 1:
        return flag
    count = torch.tensor([float(flag)], device=accelerator.device)
    return float(accelerator.reduce(count, "sum")) > 0  # type: ignore[arg-type]
