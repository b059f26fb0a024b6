"""The state of a run: all that is needed to resume it, and all that it depends on.

A state is resumed only by a run that would have made it. What a run depends on is in the state
and is compared: its recipe, its classes, its videos with their annotations and files, and the
number of processes. Paths are not: a data set may be moved.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from actline.errors import TrainingError
from actline.files import written_whole
from actline.stored.torch_files import load_torch, save_torch

STATE, BEFORE = "state.pt", "state-before.pt"
FORMAT = 2

# What a state holds.
_PARTS = {
    "step": int,
    "batch": int,
    "validated": int,
    "best": float,
    "recipe": dict,
    "processes": int,
    "classes": list,
    "training": dict,
    "validation": dict,
    "files": dict,
    "network": dict,
    "optimizer": dict,
    "averaged": dict,
    "scaler": dict,
}

_OF_PARTS = (".split_mean", ".split_var")
_COUNTS = ("step", "batch", "validated", "processes")


@dataclass(frozen=True)
class Dependencies:
    """What a run depends on besides its recipe and the number of processes.

    Attributes:
        classes: names, in the order of the logits.
        training, validation: digests of the annotations by video, in the videos' order.
        files: digests of the files that training reads, by video or by the recipe's key.
    """

    classes: tuple[str, ...]
    training: Mapping[str, str]
    validation: Mapping[str, str]
    files: Mapping[str, str]


def write_state(folder: Path, content: Mapping[str, Any], *, keep: bool) -> None:
    """Write a state, whole or not at all.

    Args:
        keep: whether the existing state is kept as the previous one.

    Raises:
        OutputError: it cannot be written.
    """
    path, before = folder / STATE, folder / BEFORE
    if not path.exists():
        before.unlink(missing_ok=True)  # left by another run, whose state was removed
    elif keep:
        # A second name for it, so that a state exists at every moment.
        with written_whole(before) as aside:
            aside.unlink()
            try:
                os.link(path, aside)
            except OSError:  # a file system without links
                shutil.copyfile(path, aside)
    save_torch(path, {"format": FORMAT, **content})


def read_state(folder: Path, name: str = STATE) -> dict[str, Any] | None:
    """The state in a folder; None where there is none.

    Raises:
        TrainingError: it is damaged, or of another version of actline.
    """
    path = folder / name
    if not path.exists():
        return None
    earlier = folder / BEFORE
    mend = (
        f"rename {earlier} to {STATE} to go on a little earlier"
        if name == STATE and earlier.exists()
        else f"remove {folder} to begin the run again"
    )
    damaged = f"{path} is damaged; {mend}"
    state = load_torch(path, error=TrainingError, unsafe=damaged, damaged=damaged)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise TrainingError(
            f"{path} was written by another version of actline, and does not say what it depends "
            f"on as this one asks; give another out=…, or remove {folder} to begin the run again"
        )
    sound = all(isinstance(state.get(key), kind) for key, kind in _PARTS.items())
    if not sound or min(state[key] for key in _COUNTS) < 0:
        raise TrainingError(damaged)
    return state


def take_up(
    state: Mapping[str, Any],
    folder: Path,
    *,
    network: nn.Module,
    averaged: nn.Module | None,
    optimizer: Any,
    scaler: Any,
) -> None:
    """Load the values in a state into the objects they belong to.

    Raises:
        TrainingError: they belong to something else.
    """
    other = f"{folder / STATE} is of another network; remove {folder} to begin the run again"
    parts = (("network", network), ("averaged", averaged))
    for name, part in parts:
        if part is not None and _kinds(part.state_dict()) != _kinds(state[name]):
            raise TrainingError(other)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, values in state["optimizer"].get("state", {}).items():
        known = isinstance(index, int) and 0 <= index < len(parameters)
        if (
            not known
            or not isinstance(values, Mapping)
            or not all(
                not isinstance(one, Tensor) or one.shape in (parameters[index].shape, ())
                for one in values.values()
            )
        ):
            raise TrainingError(other)
    try:
        network.load_state_dict(state["network"])
        if averaged is not None:
            averaged.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        if scaler is not None and state["scaler"]:
            scaler.load_state_dict(state["scaler"])
    # PyTorch compares these itself, and fails in various ways where they differ.
    except Exception as failure:
        raise TrainingError(other) from failure


def _kinds(values: Mapping[str, Any]) -> dict[str, object]:
    return {
        # Multigrid changes how many parts a normalization has; loading follows what is stored.
        name: ((one.shape, one.dtype) if not name.endswith(_OF_PARTS) else one.dtype)
        if isinstance(one, Tensor)
        else type(one)
        for name, one in values.items()
    }


def fall_back(folder: Path, step: int) -> int | None:
    """After step `step` could not be taken: leave a state to resume from with a lower rate.

    A state whose very next step has no finite loss is not sound, and the one before takes its
    place.

    Returns:
        The step of the state that remains; None where there is none.
    """
    state = read_state(folder)
    if state is not None and state["step"] >= step:
        state = read_state(folder, BEFORE)
    if state is None or state["step"] >= step:
        (folder / STATE).unlink(missing_ok=True)
        return None
    write_state(folder, {**state, "diverged": True}, keep=False)
    return int(state["step"])
