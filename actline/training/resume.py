"""Going on with a run where an earlier part of it stopped."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from actline.training.changes import refuse_changes
from actline.training.run import BEST, LAST, TrainingRun
from actline.training.state import read_state, take_up


def resume(run: TrainingRun, say: Callable[[str], None]) -> None:
    """Resume from the state of an earlier part of this run, where there is one, and say so.

    Raises:
        TrainingError: the state is damaged, or of a run that depends on something else.
    """
    state = read_state(run.out)
    if state is None:
        return
    refuse_changes(
        state,
        run.recipe,
        run.depends,
        run.passes,
        processes=run.accelerator.num_processes,
        fixed_epochs=run.job.shaped_by_epochs,
    )
    run.step, run.batch = state["step"], state["batch"]
    run.validated, run.best = state["validated"], state["best"]
    run.saved_step = run.step
    rates = [group["base_lr"] for group in run.optimizer.param_groups]
    take_up(
        state,
        run.out,
        network=run.network,
        averaged=run.averaged,
        optimizer=run.optimizer,
        scaler=run.accelerator.scaler,
    )
    for group, rate in zip(run.optimizer.param_groups, rates, strict=True):
        group["base_lr"] = rate  # the recipe's, which may be lower than the state's
    _say_how(run, state, say)


def _say_how(run: TrainingRun, state: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Report how the run goes on, and drop what no longer holds for it."""
    earlier = state["recipe"]
    if earlier["epochs"] != run.recipe.epochs:
        cosine = run.recipe.optimizer.schedule == "cosine"
        rate = " along the cosine of that many" if cosine else ""
        say(f"epochs was {earlier['epochs']}, is {run.recipe.epochs}: goes on{rate}")
    if dict(state["validation"]) != dict(run.depends.validation):
        say("the validation videos changed: the best score starts again")
        run.best, run.validated = -math.inf, min(run.validated, max(0, run.batch - 1))
    elif run.validated and not ((run.out / BEST).exists() and (run.out / LAST).exists()):
        say(f"{run.out} has lost a checkpoint: the best score starts again")
        run.best, run.validated = -math.inf, min(run.validated, max(0, run.batch - 1))
    left = run.passes.steps_left(run.batch)
    if left or run.validation_is_due():
        say(f"going on at step {run.step} of {run.step + left}")
    else:
        say(f"{run.out} holds the finished run; more epochs=… go on from it")
