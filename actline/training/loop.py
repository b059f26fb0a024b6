"""The training loop: one for every model; stopping and resuming leaves no trace in the results.

All randomness follows from the seed and the step: where clips begin, how they are augmented, what
dropout drops. So the state of a run is its weights, the optimizer's and the step, and a run that
was killed ends with the weights it would have had. What the state depends on is stored in it as
well, and only sound states and checkpoints are written: their weights are finite.

Several processes, machines and mixed precision are Hugging Face Accelerate's work: it is small,
well kept, runs under plain `torchrun`, and leaves the loop to us.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from actline.annotations.annotations import Annotations
from actline.errors import RecipeError
from actline.progress import progress
from actline.training.curves import Curves
from actline.training.job import Job, Validation
from actline.training.recipe import Recipe
from actline.training.resume import resume
from actline.training.run import BEST, LAST, TrainingRun
from actline.training.schedule import learning_rate_factor
from actline.training.setup import accelerator_for
from actline.training.state import Dependencies
from actline.training.step import any_process
from actline.training.stop import Stop, stop_signals


@dataclass(frozen=True)
class TrainingResult:
    """Where a run's checkpoints are, and whether it was stopped before its end.

    A stopped run may have no checkpoint yet, and its best score is then minus infinity.
    """

    best: Path
    last: Path
    best_score: float
    stopped: bool


def run_job(
    job: Job[Any, Any],
    held_out: Annotations,
    *,
    depends: Dependencies,
    device: torch.device,
    say: Callable[[str], None] = print,
) -> TrainingResult:
    """Run a job to its end, going on from where an earlier run of it stopped.

    Args:
        held_out: the videos whose score chooses the best checkpoint.
        depends: what the run depends on besides its recipe.
        device: where it trains.
        say: gets a line after every validation.

    Raises:
        TrainingError: the loss or the weights are not finite, or the folder holds a run that
            depends on something else.
        RecipeError: batches cannot be made from these data and processes.
        VideoError, FeatureError, CheckpointError: something the recipe names cannot be used.
    """
    accelerator = accelerator_for(
        job.recipe, device=device, unused_parameters=job.unused_parameters
    )
    say = say if accelerator.is_main_process else _silent
    check_batches(
        job.recipe,
        job.items,
        accelerator.num_processes,
        splits_follow=job.shaped_by_epochs,
        say=say,
    )
    run = TrainingRun(job, accelerator, depends)
    with run.claimed():
        resume(run, say)
        return _Loop(run, held_out, say).to_end()


class _Loop:
    """Steps, validations and saves of a run in turn; which of them is due follows from the run."""

    def __init__(self, run: TrainingRun, held_out: Annotations, say: Callable[[str], None]) -> None:
        self.run = run
        self.held_out = held_out
        self.say = say
        self.accelerator = run.accelerator
        self.main = self.accelerator.is_main_process
        self.curves = (
            Curves(run.out / "tensorboard", first_step=run.step, say=say) if self.main else None
        )
        self.saved_at = time.monotonic()

    def to_end(self) -> TrainingResult:
        """Train until the last epoch is done, or a signal comes."""
        run = self.run
        batches = run.job.batches(self.accelerator, first=run.batch, last=run.passes.batches)
        total = run.step + run.passes.steps_left(run.batch)
        with (
            stop_signals() as stop,
            progress(f"training {run.recipe.name}", total, unit="steps", show=self.main) as advance,
        ):
            advance(run.step)
            stopped = False
            while not stopped:
                if run.validation_is_due():
                    stopped = self.validate(stop)
                if stopped or run.batch >= run.passes.batches:
                    break
                loss = self.step(batches)
                advance(1, f"epoch {int(run.passes.epoch(run.batch - 1)) + 1} · loss {loss:.4f}")
                stopped = any_process(stop.requested, self.accelerator)
                self.save_where_due(stopped)
        if self.curves is not None:
            self.curves.close()
        self.accelerator.end_training()
        unfinished = run.validated < run.passes.batches
        return TrainingResult(run.out / BEST, run.out / LAST, run.best, unfinished)

    def validate(self, stop: Stop) -> bool:
        """Validate in the main process, and save; returns whether the run is to stop."""
        run = self.run
        validation: Validation | None = None
        if self.main:
            # Saved before, so that a kill or an error while validating costs no step.
            run.save()
            run.save_last()
            validation = stop.at_once(lambda: run.validate(self.held_out))
        self.accelerator.wait_for_everyone()
        stopped = any_process(stop.requested, self.accelerator)
        if not any_process(self.main and validation is None, self.accelerator):
            run.validated = run.batch
        if validation is not None:
            self.say(f"{run.place}: {validation} (best {100 * run.best:.2f})")
            if self.curves is not None:
                self.curves.add("validation", validation.score, run.step)
            self.save()
        return stopped

    def step(self, batches: Iterator[Any]) -> float:
        """Take one step at the rate of its place in the schedule; returns the loss."""
        run, recipe = self.run, self.run.recipe
        epoch = run.passes.epoch(run.batch)
        factor = learning_rate_factor(recipe.optimizer, run.step, epoch=epoch, epochs=recipe.epochs)
        factor *= run.job.lr_factor(run.step)
        loss = run.take_step(batches, factor)
        if self.curves is not None:
            self.curves.add("train/loss", loss, run.step)
            self.curves.add("train/lr", recipe.optimizer.lr * factor, run.step)
        return loss

    def save_where_due(self, stopped: bool) -> None:
        """Save where the run stops or the last save is long ago; validation saves on its own."""
        overdue = time.monotonic() - self.saved_at > self.run.recipe.save_every_seconds
        if self.main and (stopped or (overdue and not self.run.validation_is_due())):
            self.save()

    def save(self) -> None:
        """Save the state, and the curves up to it."""
        if self.curves is not None:
            self.curves.flush()
        self.run.save()
        self.saved_at = time.monotonic()


def check_batches(
    recipe: Recipe,
    items: int,
    processes: int,
    *,
    splits_follow: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Before the first step: whether batches can be made from these data.

    Args:
        splits_follow: whether normalization's parts follow the batch, as with Multigrid's batches
            of many sizes.

    Raises:
        RecipeError: a process would have no item, or normalization cannot split a batch.
    """
    share = items // processes
    if share < 1:
        raise RecipeError(
            f"{items} training items are too few for {processes} processes, which need one each; "
            f"start at most {items}"
        )
    batch = min(recipe.batch_size, share)
    network = recipe.network
    parts = {
        "network.splits": getattr(network, "splits", 1),
        "network.fine.splits": getattr(getattr(network, "fine", None), "splits", 1),
        "network.coarse.splits": getattr(getattr(network, "coarse", None), "splits", 1),
    }
    if not splits_follow:
        for key, splits in parts.items():
            if batch % splits:
                whole = batch - batch % splits
                larger = f"batch_size={whole}" if whole else "more videos"
                few = "" if batch == recipe.batch_size else f" ({share} training items a process)"
                raise RecipeError(
                    f"batches of {batch}{few} cannot be normalized in {key}={splits} equal parts; "
                    f"give {larger}, or {key}=1"
                )
    if batch < recipe.batch_size:
        say(
            f"batch_size is {recipe.batch_size}, and batches have {batch}: "
            f"each process has {share} training items"
        )


def _silent(_line: str) -> None:
    """What processes other than the main one print: nothing."""
