"""The training loop: one for every model, stopped and resumed without a trace.

All randomness follows from the seed and the step: where clips begin, how they are augmented, what
dropout drops. So the state of a run is its weights, the optimizer's and the step, and a run that
was killed ends with the weights it would have had. What the state depends on is in it as well, and
only sound states and checkpoints are written: their weights are finite.

Several processes, machines and mixed precision are Hugging Face Accelerate's work: it is small,
well kept, runs under plain `torchrun`, and leaves the loop to us.
"""

import copy
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from actline.datasets.batches import batches_per_epoch, derived_seed
from actline.errors import CheckpointError, RecipeError, TrainingError
from actline.files import Claims, sweep_once
from actline.models.cards import Card, ModelCard
from actline.models.checkpoint import save_checkpoint
from actline.models.normalization import NormalizationError, aggregate_statistics, set_splits
from actline.progress import progress
from actline.stored.configuration import to_mapping
from actline.training.curves import Curves
from actline.training.recipe import Run
from actline.training.schedule import Passes, learning_rate_factor
from actline.training.setup import accelerator_for, averaged, optimizer_for
from actline.training.state import (
    Dependencies,
    fall_back,
    read_state,
    refuse_changes,
    take_up,
    write_state,
)


@dataclass(frozen=True)
class Validation:
    """What validating gave: a score (higher is better), its protocol, and thresholds, if any."""

    score: float
    protocol: str
    thresholds: tuple[float, ...] | None = None

    def __str__(self) -> str:
        return f"{self.protocol} {100 * self.score:.2f}"


Done = TypeVar("Done")
Validate = Callable[[nn.Module, Any], Validation]


@dataclass(frozen=True)
class TrainingResult:
    """Where a run's checkpoints are, and whether it was stopped before its end.

    A stopped run may have no checkpoint yet, and its best score is then minus infinity.
    """

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

    def batches(self, accelerator: Accelerator, *, first: int, last: int) -> Iterator[Any]:
        """This process's batches from number `first` to before `last`."""
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
    depends: Dependencies,
    device: torch.device,
    lr_scale: Callable[[int], float] | None = None,
    say: Callable[[str], None] = print,
) -> TrainingResult:
    """Run a recipe to its end, going on from where an earlier run of it stopped.

    Args:
        job: what the recipe trains.
        validate: gives the score that the best checkpoint is chosen by.
        depends: what the run depends on besides its recipe.
        device: where it trains.
        lr_scale: what the learning rate is multiplied by at a step, besides its schedule, as
            where Multigrid's batches are larger.
        say: gets a line after every validation.

    Raises:
        TrainingError: the loss or the weights are not finite, or the folder holds a run that
            depends on something else.
        RecipeError: batches cannot be had of these data and processes.
        VideoError, FeatureError, CheckpointError: something the recipe names cannot be used.
    """
    accelerator = accelerator_for(recipe, device=device, unused_parameters=job.unused_parameters)
    main = accelerator.is_main_process
    say = say if main else _silent
    check_batches(recipe, job.items, accelerator.num_processes, say=say)
    run = TrainingRun(recipe, job, accelerator, depends)
    with run.claimed():
        return _train(run, validate=validate, lr_scale=lr_scale, say=say)


def _train(
    run: "TrainingRun",
    *,
    validate: Validate,
    lr_scale: Callable[[int], float] | None,
    say: Callable[[str], None],
) -> TrainingResult:
    recipe, job, accelerator = run.recipe, run.job, run.accelerator
    main = accelerator.is_main_process
    run.restore(say)
    batches = job.batches(accelerator, first=run.batch, last=run.passes.batches)
    curves = Curves(run.out / "tensorboard", first_step=run.step, say=say) if main else None

    last_saved = time.monotonic()
    total_steps = run.step + run.passes.steps_left(run.batch)
    with (
        stop_signals() as stop,
        progress(f"training {recipe.name}", total_steps, unit="steps", show=main) as advance,
    ):
        advance(run.step)
        stopped = False
        while not stopped:
            if run.validation_is_due():
                validation = None
                if main:
                    # Saved before, so that a kill or an error while validating costs no step.
                    run.save()
                    run.save_last()
                    validation = stop.at_once(lambda: run.evaluate(validate))
                accelerator.wait_for_everyone()
                stopped = _any_process(stop.requested, accelerator)
                if not _any_process(main and validation is None, accelerator):
                    run.validated = run.batch
                if validation is not None:
                    say(f"{run.place}: {validation} (best {100 * run.best:.2f})")
                    if curves is not None:
                        curves.add("validation", validation.score, run.step)
                        curves.flush()
                    run.save()
                    last_saved = time.monotonic()
            if stopped or run.batch >= run.passes.batches:
                break
            factor = learning_rate_factor(
                recipe.optimizer,
                run.step,
                epoch=run.passes.epoch(run.batch),
                epochs=recipe.epochs,
            )
            if lr_scale is not None:
                factor *= lr_scale(run.step)
            loss = run.take_step(batches, factor)
            advance(1, f"epoch {int(run.passes.epoch(run.batch - 1)) + 1} · loss {loss:.4f}")
            if curves is not None:
                curves.add("train/loss", loss, run.step)
                curves.add("train/lr", recipe.optimizer.lr * factor, run.step)
            stopped = _any_process(stop.requested, accelerator)
            overdue = time.monotonic() - last_saved > recipe.save_every_seconds
            if main and (stopped or overdue) and not (run.validation_is_due() and not stopped):
                run.save()
                if curves is not None:
                    curves.flush()
                last_saved = time.monotonic()
    if curves is not None:
        curves.close()
    accelerator.end_training()
    unfinished = run.validated < run.passes.batches
    return TrainingResult(run.out / BEST, run.out / LAST, run.best, unfinished)


class TrainingRun:
    """Everything that changes while training: weights, optimizer, averages, place, best score.

    Attributes:
        step: optimizer steps made.
        batch: batches they took, of each process.
        validated: the number of batches at the last validation.
    """

    def __init__(
        self, recipe: Run, job: Job, accelerator: Accelerator, depends: Dependencies
    ) -> None:
        self.recipe = recipe
        self.job = job
        self.card = job.card
        self.depends = depends
        self.accelerator = accelerator
        self.out = Path(recipe.out)
        per_epoch = batches_per_epoch(job.items, recipe.batch_size, accelerator.num_processes)
        self.passes = Passes(per_epoch, recipe.epochs, recipe.accumulate)
        self.step = 0
        self.batch = 0
        self.validated = 0
        self.best = -math.inf
        self._saved_step: int | None = None
        self.averaged = averaged(job.network, recipe.ema)
        if self.averaged is not None:
            self.averaged.to(accelerator.device)
        self.network = job.network
        self.wrapped, self.optimizer = accelerator.prepare(
            self.network, optimizer_for(job.network, recipe)
        )

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """While the block runs, no other training writes into the run's folder.

        What a killed one was writing there is removed.

        Raises:
            TrainingError: another does.
        """
        claims = Claims(self.out) if self.accelerator.is_main_process else None
        try:
            taken = claims is None or claims.take("training")
            if _any_process(not taken, self.accelerator):
                raise TrainingError(
                    f"another process trains into {self.out}; wait until it has ended, or give "
                    "another out=…"
                )
            sweep_once(self.out)
            yield
        finally:
            if claims is not None:
                claims.close()

    @property
    def place(self) -> str:
        """Where the run is, in words."""
        epoch = int(self.passes.epoch(self.batch))
        return f"epoch {epoch} of {self.recipe.epochs}, step {self.step}"

    def validation_is_due(self) -> bool:
        """Whether the weights as they are should be validated."""
        return self.passes.due(self.batch, last=self.validated, every=self.recipe.evaluate_every)

    def take_step(self, batches: Iterator[Batch], lr_factor: float) -> float:
        """Change the weights once; returns the loss.

        Raises:
            TrainingError: the loss is not finite; the weights are left as they were.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * lr_factor
        # Dropout's draws follow from the step, whatever ran before it; so do the loss's own.
        process = self.accelerator.process_index
        seed = derived_seed(self.recipe.seed, self.step, process)
        torch.manual_seed(seed)
        self.wrapped.train()
        taken = self.passes.taken(self.batch)
        loss, bad = training_step(
            self.wrapped,
            self.optimizer,
            batches,
            taken=taken,
            recipe=self.recipe,
            job=self.job,
            accelerator=self.accelerator,
            generator=torch.Generator().manual_seed(seed),
        )
        if bad is not None:
            self.not_finite(
                f"the loss is {loss} on videos {', '.join(bad)} in step {self.step + 1}; look at "
                "these videos, or"
            )
        if self.averaged is not None:
            self.averaged.update_parameters(self.network)
        self.step += 1
        self.batch += taken
        return loss

    def not_finite(self, what: str) -> NoReturn:
        """Leave a state to go on from with a lower rate, and raise.

        Raises:
            TrainingError: always.
        """
        kept = fall_back(self.out, self.step) if self.accelerator.is_main_process else None
        lower = f"give an optimizer.lr below {self.recipe.optimizer.lr:g}"
        place = "begins again" if kept is None else f"goes on from step {kept}, the last good one"
        raise TrainingError(f"{what} {lower}: the same command then {place}")

    def evaluate(self, validate: Validate) -> Validation:
        """Validate the weights (their average, where there is one) and write checkpoints.

        Raises:
            TrainingError: the network's outputs are not finite.
        """
        judged = self._judged()
        after = f"validation after step {self.step}"
        try:
            validation = validate(judged, self.card)
        except CheckpointError as error:  # outputs that are not finite, of weights that are
            self.not_finite(f"{after}: {error};")
        if not math.isfinite(validation.score):
            self.not_finite(f"{after}: the score is {validation.score};")
        card = replace(self.card, score=str(validation))
        if isinstance(card, ModelCard):
            card = replace(card, thresholds=validation.thresholds)
        if self.recipe.keep == "last" or validation.score >= self.best:
            save_checkpoint(self.out / BEST, judged, card)
            self.best = validation.score
        save_checkpoint(self.out / LAST, judged, card)
        return validation

    def save_last(self) -> None:
        """Write the weights as a checkpoint that is not validated yet."""
        save_checkpoint(self.out / LAST, self._judged(), self.card)

    def _judged(self) -> nn.Module:
        """What is validated and saved: the weights, or their average, ready for inference.

        A copy of them: training goes on as if nobody had looked.
        """
        judged = copy.deepcopy(self.network if self.averaged is None else self.averaged.module)
        aggregate_statistics(judged)
        if isinstance(self.card, ModelCard):
            set_splits(judged, getattr(self.card.network, "splits", 1))
        return judged.eval()

    def save(self) -> None:
        """Write the run's state, whole or not at all.

        Raises:
            TrainingError: the weights are not finite.
        """
        scaler = self.accelerator.scaler
        state = {
            "step": self.step,
            "batch": self.batch,
            "validated": self.validated,
            "best": self.best,
            "recipe": to_mapping(self.recipe),
            "processes": self.accelerator.num_processes,
            "classes": list(self.depends.classes),
            "training": dict(self.depends.training),
            "validation": dict(self.depends.validation),
            "files": dict(self.depends.files),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averaged": {} if self.averaged is None else self.averaged.state_dict(),
            "scaler": {} if scaler is None else scaler.state_dict(),
        }
        if not all(_finite(state[part]) for part in ("network", "averaged")):
            self.not_finite(f"the weights are not finite after step {self.step};")
        write_state(self.out, state, keep=self._saved_step != self.step)
        self._saved_step = self.step

    def restore(self, say: Callable[[str], None]) -> None:
        """Take up the state of an earlier part of this run, where there is one, and say so.

        Raises:
            TrainingError: the state is damaged, or of a run that depends on something else.
        """
        state = read_state(self.out)
        if state is None:
            return
        refuse_changes(
            state,
            self.recipe,
            self.depends,
            self.passes,
            processes=self.accelerator.num_processes,
            fixed_epochs=getattr(self.recipe, "multigrid", None) is not None,
        )
        self.step, self.batch = state["step"], state["batch"]
        self.validated, self.best = state["validated"], state["best"]
        self._saved_step = self.step
        rates = [group["base_lr"] for group in self.optimizer.param_groups]
        take_up(
            state,
            self.out,
            network=self.network,
            averaged=self.averaged,
            optimizer=self.optimizer,
            scaler=self.accelerator.scaler,
        )
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["base_lr"] = rate  # the recipe's, which may be lower than the state's
        self._say_how(state, say)

    def _say_how(self, state: Mapping[str, Any], say: Callable[[str], None]) -> None:
        """Tell how the run goes on, and forget what does not hold for it any more."""
        earlier = state["recipe"]
        if earlier["epochs"] != self.recipe.epochs:
            cosine = self.recipe.optimizer.schedule == "cosine"
            rate = " along the cosine of that many" if cosine else ""
            say(f"epochs was {earlier['epochs']}, is {self.recipe.epochs}: goes on{rate}")
        if dict(state["validation"]) != dict(self.depends.validation):
            say("the validation videos changed: the best score begins anew")
            self.best, self.validated = -math.inf, min(self.validated, max(0, self.batch - 1))
        elif self.validated and not ((self.out / BEST).exists() and (self.out / LAST).exists()):
            say(f"{self.out} has lost a checkpoint: the best score begins anew")
            self.best, self.validated = -math.inf, min(self.validated, max(0, self.batch - 1))
        left = self.passes.steps_left(self.batch)
        if left or self.validation_is_due():
            say(f"going on at step {self.step} of {self.step + left}")
        else:
            say(f"{self.out} holds the finished run; more epochs=… go on from it")


BEST, LAST = "best.safetensors", "last.safetensors"


def check_batches(
    recipe: Run, items: int, processes: int, *, say: Callable[[str], None] = print
) -> None:
    """Before the first step: whether batches can be had of these data.

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
    network = getattr(recipe, "network", None)
    parts = {
        "network.splits": getattr(network, "splits", 1),
        "network.fine.splits": getattr(getattr(network, "fine", None), "splits", 1),
        "network.coarse.splits": getattr(getattr(network, "coarse", None), "splits", 1),
    }
    # Multigrid's batches are of many sizes, and it has the parts follow them.
    if getattr(recipe, "multigrid", None) is None:
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


def training_step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[Batch],
    *,
    taken: int,
    recipe: Run,
    job: Job,
    accelerator: Accelerator,
    generator: torch.Generator,
) -> tuple[float, list[str] | None]:
    """One change of the weights, from `taken` batches.

    Returns:
        The mean loss. Where one is not finite, in whatever process: that one, with the videos of
        its batch, and the weights are left as they were.

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
    if _any_process(bool(bad), accelerator):
        found = gather_object(bad) if accelerator.num_processes > 1 else bad
        return (total / taken if bad else math.nan), found
    if recipe.optimizer.clip_norm:
        accelerator.clip_grad_norm_(network.parameters(), recipe.optimizer.clip_norm)
    optimizer.step()
    return total / taken, None


class Stop:
    """Whether a signal came that asks the run to end."""

    def __init__(self) -> None:
        self.requested = False
        self._at_once = False

    def remember(self, number: int, frame: object) -> None:
        """Handle a signal."""
        self.requested = True
        if self._at_once:
            self._at_once = False
            raise _StoppedError

    def at_once(self, work: Callable[[], Done]) -> Done | None:
        """Do what a signal may end where it stands, as nothing of it is kept; None then."""
        try:
            try:
                self._at_once = True
                return None if self.requested else work()
            finally:
                self._at_once = False
        except _StoppedError:
            return None


class _StoppedError(BaseException):
    """A signal came; no `except Exception` on its way may hold it up."""


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """While the block runs, signals that ask it to end are remembered, not obeyed at once.

    What the starter has asked to be ignored (as `nohup` does) stays ignored. Only the main thread
    of a process may say what signals do.
    """
    stop = Stop()
    main = threading.current_thread() is threading.main_thread()
    previous = {
        number: signal.signal(number, stop.remember)
        for number in (_STOP if main else ())
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


# Windows has no SIGHUP.
_STOP = tuple(getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n))


def _silent(_line: str) -> None:
    """What processes but the main one say."""


def _finite(tensors: Mapping[str, Tensor]) -> bool:
    return all(
        bool(torch.isfinite(tensor).all())
        for tensor in tensors.values()
        if tensor.is_floating_point()
    )


def _any_process(flag: bool, accelerator: Accelerator) -> bool:
    if accelerator.num_processes == 1:
        return flag
    count = torch.tensor([float(flag)], device=accelerator.device)
    return float(accelerator.reduce(count, "sum")) > 0  # type: ignore[arg-type]
