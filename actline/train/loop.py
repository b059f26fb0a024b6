"""The training loop: one for every model, stopped and resumed without a trace.

All randomness follows from the seed and the step: where clips begin, how they are augmented, what
dropout drops. So the state of a run is its weights, the optimizer's and the step, and a run that
was killed ends with the weights it would have had.

Several processes, machines and mixed precision are Hugging Face Accelerate's work: it is small,
well kept, runs under plain `torchrun`, and leaves the loop to us.
"""

import copy
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.tensorboard.writer import SummaryWriter

from actline.data.batches import batches_per_epoch, derived_seed
from actline.errors import TrainingError
from actline.files import written_whole
from actline.models.normalization import aggregate_statistics, set_splits
from actline.progress import progress
from actline.train.checkpoint import Card, ModelCard, save_checkpoint
from actline.train.recipe import Run
from actline.train.schedule import learning_rate_factor
from actline.train.setup import accelerator_for, averaged, optimizer_for
from actline.train.yaml_form import to_mapping


@dataclass(frozen=True)
class Validation:
    """What validating gave: a score (higher is better), its protocol, and thresholds, if any."""

    score: float
    protocol: str
    thresholds: tuple[float, ...] | None = None

    def __str__(self) -> str:
        return f"{self.protocol} {100 * self.score:.2f}"


Validate = Callable[[nn.Module, Any], Validation]


@dataclass(frozen=True)
class TrainingResult:
    """Where a run's checkpoints are, and whether it was stopped before its end."""

    best: Path
    last: Path
    best_score: float
    stopped: bool


class Batch(Protocol):
    """What the loop asks of a batch: whose it is, for an error's sake."""

    @property
    def videos(self) -> Sequence[str]: ...


class Job(Protocol):
    """What a recipe trains: a network, its card, batches and their loss."""

    @property
    def network(self) -> nn.Module:
        """The network, before its first step."""
        ...

    @property
    def card(self) -> Card:
        """What is saved with its weights."""
        ...

    @property
    def items(self) -> int:
        """How many videos an epoch has."""
        ...

    @property
    def unused_parameters(self) -> bool:
        """Whether some parameters may get no gradient in a step."""
        ...

    def batches(
        self, accelerator: Accelerator, *, first_step: int, last_step: int
    ) -> Iterator[Any]:
        """This process's batches of optimizer steps `first_step` to before `last_step`."""
        ...

    def loss(
        self, network: nn.Module, batch: Any, device: torch.device, generator: torch.Generator
    ) -> Tensor:
        """The loss of one batch; all it draws it draws from `generator`, on the CPU."""
        ...


def train(
    recipe: Run,
    job: Job,
    *,
    validate: Validate,
    device: torch.device,
    lr_scale: Callable[[int], float] | None = None,
    say: Callable[[str], None] = print,
) -> TrainingResult:
    """Run a recipe to its end, going on from where an earlier run of it stopped.

    Args:
        job: what the recipe trains.
        validate: gives the score that the best checkpoint is chosen by.
        device: where it trains.
        lr_scale: what the learning rate is multiplied by at a step, besides its schedule, as
            where Multigrid's batches are larger.
        say: gets a line after every validation.

    Raises:
        TrainingError: the loss is not finite, or the folder holds a run of another recipe.
        VideoError, FeatureError, CheckpointError: something the recipe names cannot be used.
    """
    accelerator = accelerator_for(recipe, device=device, unused_parameters=job.unused_parameters)
    main = accelerator.is_main_process
    run = TrainingRun(recipe, job, accelerator)
    epoch_batches = batches_per_epoch(job.items, recipe.batch_size, accelerator.num_processes)
    epoch_steps = max(1, epoch_batches // recipe.accumulate)
    total_steps = epoch_steps * recipe.epochs
    if run.restore() and main:
        say(f"going on at step {run.step} of {total_steps}")
    batches = job.batches(accelerator, first_step=run.step, last_step=total_steps)
    writer = SummaryWriter(run.out / "tensorboard", purge_step=run.step) if main else None

    stopped = False
    last_saved = time.monotonic()
    with (
        stop_signals() as stop_requested,
        progress(f"training {recipe.name}", total_steps, unit="steps", show=main) as advance,
    ):
        advance(run.step)
        while run.step < total_steps and not stopped:
            factor = learning_rate_factor(
                recipe.optimizer, run.step, steps_per_epoch=epoch_steps, epochs=recipe.epochs
            )
            if lr_scale is not None:
                factor *= lr_scale(run.step)
            loss = run.take_step(batches, factor)
            advance(1, f"epoch {(run.step - 1) // epoch_steps + 1} · loss {loss:.4f}")
            if writer is not None:
                writer.add_scalar("train/loss", loss, run.step)
                writer.add_scalar("train/lr", recipe.optimizer.lr * factor, run.step)

            due = run.step == total_steps or (
                recipe.evaluate_every and run.step % (epoch_steps * recipe.evaluate_every) == 0
            )
            if due:
                if main:
                    validation = run.evaluate(validate)
                    epoch = f"epoch {run.step / epoch_steps:.0f} of {recipe.epochs}"
                    say(f"{epoch}, step {run.step}: {validation} (best {100 * run.best:.2f})")
                    if writer is not None:
                        writer.add_scalar("validation", validation.score, run.step)
                accelerator.wait_for_everyone()
            stopped = _any_process(stop_requested(), accelerator)
            overdue = time.monotonic() - last_saved > recipe.save_every_seconds
            if main and (due or stopped or overdue):
                run.save()
                last_saved = time.monotonic()
    if writer is not None:
        writer.close()
    accelerator.end_training()
    return TrainingResult(
        run.out / BEST, run.out / LAST, run.best, stopped and run.step < total_steps
    )


class TrainingRun:
    """Everything that changes while training: weights, optimizer, averages, step, best score."""

    def __init__(self, recipe: Run, job: Job, accelerator: Accelerator) -> None:
        self.recipe = recipe
        self.job = job
        self.card = job.card
        self.accelerator = accelerator
        self.out = Path(recipe.out)
        self.step = 0
        self.best = -math.inf
        self.averaged = averaged(job.network, recipe.ema)
        if self.averaged is not None:
            self.averaged.to(accelerator.device)
        self.network = job.network
        self.wrapped, self.optimizer = accelerator.prepare(
            self.network, optimizer_for(job.network, recipe)
        )

    def take_step(self, batches: Iterator[Batch], lr_factor: float) -> float:
        """Change the weights once; returns the loss.

        Raises:
            TrainingError: the loss is not finite.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * lr_factor
        # Dropout's draws follow from the step, whatever ran before it; so do the loss's own.
        process = self.accelerator.process_index
        seed = derived_seed(self.recipe.seed, self.step, process)
        torch.manual_seed(seed)
        self.wrapped.train()
        loss = training_step(
            self.wrapped,
            self.optimizer,
            batches,
            recipe=self.recipe,
            job=self.job,
            accelerator=self.accelerator,
            generator=torch.Generator().manual_seed(seed),
        )
        if self.averaged is not None:
            self.averaged.update_parameters(self.network)
        self.step += 1
        return loss

    def evaluate(self, validate: Validate) -> Validation:
        """Validate the weights (their average, where there is one) and write checkpoints.

        A copy of them: training goes on as if nobody had looked.
        """
        judged = copy.deepcopy(self.network if self.averaged is None else self.averaged.module)
        aggregate_statistics(judged)
        judged.eval()
        validation = validate(judged, self.card)
        card = replace(self.card, score=str(validation))
        if isinstance(card, ModelCard):
            card = replace(card, thresholds=validation.thresholds)
            set_splits(judged, getattr(card.network, "splits", 1))
        if self.recipe.keep == "last" or validation.score >= self.best:
            self.best = validation.score
            save_checkpoint(self.out / BEST, judged, card)
        save_checkpoint(self.out / LAST, judged, card)
        return validation

    def save(self) -> None:
        """Write the run's state, whole or not at all."""
        scaler = self.accelerator.scaler
        state = {
            "step": self.step,
            "best": self.best,
            "recipe": to_mapping(self.recipe),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averaged": {} if self.averaged is None else self.averaged.state_dict(),
            "scaler": {} if scaler is None else scaler.state_dict(),
        }
        with written_whole(self.out / STATE) as aside:
            torch.save(state, aside)

    def restore(self) -> bool:
        """Take up the state of an earlier part of this run; False when there is none.

        Raises:
            TrainingError: the state is damaged, or of another recipe.
        """
        state = _read_state(self.out / STATE, self.recipe)
        if state is None:
            return False
        self.step, self.best = state["step"], state["best"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        if self.accelerator.scaler is not None and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        return True


STATE, BEST, LAST = "state.pt", "best.safetensors", "last.safetensors"


def training_step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[Batch],
    *,
    recipe: Run,
    job: Job,
    accelerator: Accelerator,
    generator: torch.Generator,
) -> float:
    """One change of the weights, from `recipe.accumulate` batches; returns the mean loss.

    Raises:
        TrainingError: the loss is not finite; the weights are left as they were.
    """
    total = 0.0
    optimizer.zero_grad()
    for part in range(recipe.accumulate):
        batch = next(batches)
        last = part == recipe.accumulate - 1
        with nullcontext() if last else accelerator.no_sync(network):
            loss = job.loss(network, batch, accelerator.device, generator)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise TrainingError(
                    f"the loss is {value} on videos {', '.join(batch.videos)}; look at these "
                    f"videos, or lower optimizer.lr; {recipe.out} keeps the last good checkpoint"
                )
            accelerator.backward(loss / recipe.accumulate)
        total += value
    if recipe.optimizer.clip_norm:
        accelerator.clip_grad_norm_(network.parameters(), recipe.optimizer.clip_norm)
    optimizer.step()
    return total / recipe.accumulate


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """While the block runs, SIGINT and SIGTERM are remembered, not obeyed at once."""
    received = False

    def remember(number: int, frame: object) -> None:
        nonlocal received
        received = True

    previous = {number: signal.signal(number, remember) for number in _STOP}
    try:
        yield lambda: received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


_STOP = (signal.SIGINT, signal.SIGTERM)


def _read_state(path: Path, recipe: Run) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise TrainingError(
            f"{path} is damaged; remove {path.parent} to start the run anew"
        ) from error
    # What may change between the parts of one run: none of it touches the weights.
    free = {"out", "save_every_seconds", "notes"}
    before = {key: value for key, value in state["recipe"].items() if key not in free}
    now = {key: value for key, value in to_mapping(recipe).items() if key not in free}
    for settings in (before, now):
        settings["data"] = {
            key: value
            for key, value in settings["data"].items()
            if key not in ("workers", "decoded")
        }
    if before != now:
        changed = sorted(key for key in now if before.get(key) != now[key])
        raise TrainingError(
            f"{path.parent} holds a run of another recipe ({', '.join(changed)} differ); "
            "give another out=…, or remove that folder"
        )
    return state


def _any_process(flag: bool, accelerator: Accelerator) -> bool:
    if accelerator.num_processes == 1:
        return flag
    count = torch.tensor([float(flag)], device=accelerator.device)
    return float(accelerator.reduce(count, "sum")) > 0  # type: ignore[arg-type]
