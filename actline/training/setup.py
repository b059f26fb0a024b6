"""What every run needs besides network and data: devices, batches, card, optimizer, averages."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from actline.errors import DeviceError, RecipeError
from actline.models.transfer import start_from
from actline.plain import plain
from actline.training.recipe import OptimizerConfig, Recipe
from actline.training.state import read_state

Network = TypeVar("Network", bound=nn.Module)


def device_of_process(device: torch.device) -> torch.device:
    """The device that this process trains on: among several on a machine, each has its own GPU.

    Raises:
        DeviceError: there are several processes, and one GPU is named for all.
    """
    if _processes() == 1 or device.type != "cuda":
        return device
    if device.index is not None:
        raise DeviceError(
            f"several processes cannot share {device}; use device cuda, or choose GPUs with "
            "CUDA_VISIBLE_DEVICES"
        )
    # As Accelerate counts them.
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    return torch.device("cuda", rank % torch.cuda.device_count())


def accelerator_for(
    recipe: Recipe, *, device: torch.device, unused_parameters: bool
) -> Accelerator:
    """Processes and precision, by Accelerate, on this device.

    `unused_parameters`: whether some parameters may get no gradient in a step.
    """
    with _accelerate_on(device):
        return Accelerator(
            cpu=device.type == "cpu",
            mixed_precision=recipe.mixed_precision,
            kwargs_handlers=[
                DistributedDataParallelKwargs(find_unused_parameters=unused_parameters),
                # One process validates while the others wait.
                InitProcessGroupKwargs(timeout=timedelta(hours=12)),
            ],
        )


@contextmanager
def _accelerate_on(device: torch.device) -> Iterator[None]:
    """Make Accelerate use this device, not the first GPU or that of an earlier run.

    It keeps device and precision for a process's whole life, and takes a device only from its
    environment. Among several processes it assigns GPUs itself.
    """
    if _processes() > 1:
        yield
        return
    AcceleratorState._reset_state(reset_partial_state=True)
    before = os.environ.get("ACCELERATE_TORCH_DEVICE")
    os.environ["ACCELERATE_TORCH_DEVICE"] = str(device)
    try:
        yield
    finally:
        del os.environ["ACCELERATE_TORCH_DEVICE"]
        if before is not None:
            os.environ["ACCELERATE_TORCH_DEVICE"] = before


def _processes() -> int:
    """How many processes train together, as `torchrun` says it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def built(make: Callable[[], Network]) -> Network:
    """A new network with random weights, by its configuration's `build`.

    Raises:
        RecipeError: these sizes are impossible.
    """
    try:
        return make()
    except ValueError as error:
        raise RecipeError(f"network: {error}; change it") from error


def start(network: nn.Module, recipe: Recipe, *, classes: Sequence[str] | None = None) -> None:
    """Take the recipe's initial weights, where it names some and the run has not begun.

    Args:
        classes: as in `start_from`.

    Raises:
        CheckpointError: they cannot be used.
    """
    if recipe.init and read_state(Path(recipe.out)) is None:
        start_from(network, recipe.init, classes=classes, least=recipe.init_share, say=say_once)


def say_once(line: str) -> None:
    """Print a line in only one of several processes."""
    if int(os.environ.get("RANK", "0")) == 0:
        print(plain(line))


def optimizer_for(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD or AdamW; the fusion layers have their own learning rate (authors' code)."""
    config: OptimizerConfig = recipe.optimizer
    fusion = [p for name, p in network.named_parameters() if ".fusion." in name and p.requires_grad]
    in_fusion = {id(parameter) for parameter in fusion}
    base = [p for p in network.parameters() if p.requires_grad and id(p) not in in_fusion]
    groups: list[dict[str, Any]] = [{"params": base, "base_lr": config.lr}]
    if fusion:
        groups.append({"params": fusion, "base_lr": config.lr * config.fusion_lr_factor})
    for group in groups:
        group["lr"] = group["base_lr"]
    if config.kind == "adam":
        return torch.optim.Adam(groups, weight_decay=config.weight_decay)
    if config.kind == "adamw":
        return torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    return torch.optim.SGD(groups, momentum=config.momentum, weight_decay=config.weight_decay)


def averaged_weights(network: nn.Module, decay: float) -> AveragedModel | None:
    """An exponential moving average of weights and buffers; None without a decay."""
    if not decay:
        return None
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
