"""A run between two steps: its weights, its place, and the files that keep them."""

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from actline.annotations.annotations import Annotations
from actline.datasets.batches import batches_per_epoch, derived_seed
from actline.errors import CheckpointError, TrainingError
from actline.files import Claims, sweep_once
from actline.models.checkpoint import save_checkpoint
from actline.stored.configuration import to_mapping
from actline.training.job import Batch, Job, Validation
from actline.training.schedule import Passes
from actline.training.setup import averaged_weights, optimizer_for
from actline.training.state import Dependencies, fall_back, write_state
from actline.training.step import any_process, training_step

BEST, LAST = "best.safetensors", "last.safetensors"


class TrainingRun:
    """Everything that changes while training: weights, optimizer, averages, place, best score.

    Attributes:
        step: optimizer steps made.
        batch: batches they took, of each process.
        validated: the number of batches at the last validation.
    """

    def __init__(self, job: Job[Any, Any], accelerator: Accelerator, depends: Dependencies) -> None:
        recipe = job.recipe
        self.recipe = recipe
        self.job = job
        self.depends = depends
        self.accelerator = accelerator
        self.out = Path(recipe.out)
        per_epoch = batches_per_epoch(job.items, recipe.batch_size, accelerator.num_processes)
        self.passes = Passes(per_epoch, recipe.epochs, recipe.accumulate)
        self.step = 0
        self.batch = 0
        self.validated = 0
        self.best = -math.inf
        self.saved_step: int | None = None
        self.averaged = averaged_weights(job.network, recipe.ema)
        if self.averaged is not None:
            self.averaged.to(accelerator.device)
        self.network = job.network
        self.wrapped, self.optimizer = accelerator.prepare(
            self.network, optimizer_for(job.network, recipe)
        )

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """While the block runs, no other training writes into the run's folder.

        What a killed one left unfinished there is removed.

        Raises:
            TrainingError: another one does.
        """
        claims = Claims(self.out) if self.accelerator.is_main_process else None
        try:
            taken = claims is None or claims.take("training")
            if any_process(not taken, self.accelerator):
                raise TrainingError(
                    f"another process is training into {self.out}; wait until it ends, or give "
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

    def validate(self, held_out: Annotations) -> Validation:
        """Validate the weights (their average, where there is one) and write checkpoints.

        Raises:
            TrainingError: the network's outputs are not finite.
        """
        judged = self._judged()
        after = f"validation after step {self.step}"
        try:
            validation = self.job.validate(judged, held_out)
        except CheckpointError as error:  # outputs that are not finite, of weights that are
            self.not_finite(f"{after}: {error};")
        if not math.isfinite(validation.score):
            self.not_finite(f"{after}: the score is {validation.score};")
        card = self.job.scored(validation)
        if self.recipe.keep == "last" or validation.score >= self.best:
            save_checkpoint(self.out / BEST, judged, card)
            self.best = validation.score
        save_checkpoint(self.out / LAST, judged, card)
        return validation

    def save_last(self) -> None:
        """Write the weights as a checkpoint that is not validated yet."""
        save_checkpoint(self.out / LAST, self._judged(), self.job.card)

    def _judged(self) -> nn.Module:
        """What is validated and saved: the weights, or their average, ready for inference.

        A copy of them: training is not affected.
        """
        judged = copy.deepcopy(self.network if self.averaged is None else self.averaged.module)
        return self.job.ready(judged)

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
        write_state(self.out, state, keep=self.saved_step != self.step)
        self.saved_step = self.step


def _finite(tensors: Mapping[str, Tensor]) -> bool:
    return all(
        bool(torch.isfinite(tensor).all())
        for tensor in tensors.values()
        if tensor.is_floating_point()
    )
