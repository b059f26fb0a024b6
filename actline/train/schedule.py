"""Learning rate as a function of the step, so that nothing need be stored to go on."""

import math

from actline.train.recipe import OptimizerConfig


def learning_rate_factor(
    config: OptimizerConfig, step: int, *, steps_per_epoch: int, epochs: int
) -> float:
    """What the base learning rate is multiplied by at optimizer step `step` (from 0)."""
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    if config.warmup == "cosine":
        warmup = 0.5 * (1 - math.cos(math.pi * warmup))
    if config.schedule == "cosine":
        progress = min(1.0, step / max(1, steps_per_epoch * epochs))
        return warmup * 0.5 * (1 + math.cos(math.pi * progress))
    epoch = step / steps_per_epoch
    passed = sum(milestone <= epoch for milestone in config.milestones)
    return warmup * config.gamma**passed
