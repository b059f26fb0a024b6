"""Where in its passes over the data a run is, and its learning rate there."""

import math
from dataclasses import dataclass

from actline.training.recipe import OptimizerConfig


@dataclass(frozen=True)
class Passes:
    """How a run's batches make up its epochs and its steps.

    An epoch is a pass over the data, whatever `accumulate` is: a step takes `accumulate` batches,
    across the end of an epoch where they do not divide it, and the last step takes what is left.

    Attributes:
        epoch_batches: batches of a pass, of one process.
        epochs: passes.
        accumulate: batches of a step.
    """

    epoch_batches: int
    epochs: int
    accumulate: int = 1

    @property
    def batches(self) -> int:
        """Batches of the whole run."""
        return self.epoch_batches * self.epochs

    def taken(self, batch: int) -> int:
        """How many batches the step takes that begins with number `batch`."""
        return min(self.accumulate, self.batches - batch)

    def steps_left(self, batch: int) -> int:
        """Steps from batch number `batch` to the run's end."""
        return math.ceil(max(0, self.batches - batch) / self.accumulate)

    def epoch(self, batch: int) -> float:
        """Passes made when number `batch` comes next."""
        return batch / self.epoch_batches

    def due(self, batch: int, *, last: int, every: int) -> bool:
        """Whether something done every `every` epochs, and at the end, is due.

        Args:
            batch: the next batch.
            last: the next batch when it was last done, 0 if it never was.
            every: epochs; 0 for the end only.
        """
        if batch == last:
            return False
        period = self.epoch_batches * every
        return batch >= self.batches or (period > 0 and batch // period > last // period)


def learning_rate_factor(config: OptimizerConfig, step: int, *, epoch: float, epochs: int) -> float:
    """What the base learning rate is multiplied by.

    Args:
        step: optimizer steps made, which the warm-up counts.
        epoch: passes over the data made, which everything else goes by.
        epochs: passes in all.
    """
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    if config.warmup == "cosine":
        warmup = 0.5 * (1 - math.cos(math.pi * warmup))
    if config.schedule == "cosine":
        progress = min(1.0, epoch / epochs)
        return warmup * 0.5 * (1 + math.cos(math.pi * progress))
    passed = sum(milestone <= epoch for milestone in config.milestones)
    return warmup * config.gamma**passed
