"""The state of a run: what going on with it needs, and all that it depends on.

A state is taken up only by a run that would have made it. What a run depends on is in the state
and is compared: its recipe, its classes, its videos with their annotations and files, and the
number of processes. Paths are not: a data set may be moved. Files are compared by their size and
by samples of their content, so that a copy is no change and another file under the same name is.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from actline.annotations.annotations import AnnotatedVideo
from actline.errors import RecipeError, TrainingError
from actline.files import walk, written_whole
from actline.stored.configuration import from_mapping, to_mapping
from actline.stored.torch_files import load_torch, save_torch
from actline.training.recipe import Run
from actline.training.schedule import Passes

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

# What changes no weights, or what is compared by its content. A folder ends with a dot.
_FREE = (
    "name",
    "out",
    "notes",
    "save_every_seconds",
    "evaluate_every",
    "keep",
    "accept_changed_files",
    # An initial checkpoint has done its work once there is a state.
    "init",
    "init_head",
    "init_share",
    "data.workers",
    "data.decoded",
    "data.annotations",
    "data.classes",
    "data.videos",
    "data.features",
    "data.train_subset",
    "data.validation_subset",
    "data.held_out",
    "data.without",
    "data.skip_missing",
    "features.folder",
    "features.checkpoint",
    "proposals",
    # Asked about by itself: see `Passes`.
    "epochs",
)
# What may be changed where the loss was not finite, and helps.
_REMEDIES = ("optimizer.lr", "optimizer.clip_norm", "optimizer.warmup_steps")
_SHOWN = 5


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


def annotation_digests(videos: Sequence[AnnotatedVideo]) -> dict[str, str]:
    """What is annotated of each video, in short."""
    return {
        video.id: _short(
            repr((video.duration, video.activities, video.ambiguous, video.truth)).encode()
        )
        for video in videos
    }


def file_digests(files: Mapping[str, Sequence[Path]]) -> dict[str, str]:
    """The sizes and samples of the content of files, or of folders such as those of frames.

    A missing file has none: what reads it says so.

    Raises:
        TrainingError: one cannot be read.
    """
    paths = {path for each in files.values() for path in each if path.exists()}
    with ThreadPoolExecutor(16) as pool:
        digests = dict(zip(paths, pool.map(_file_digest, paths), strict=True))
    return {name: " ".join(digests.get(p, "") for p in each) for name, each in files.items()}


def write_state(folder: Path, content: Mapping[str, Any], *, keep: bool) -> None:
    """Write a state, whole or not at all.

    Args:
        keep: whether the one that is there becomes the one before.

    Raises:
        OutputError: it cannot be written.
    """
    path, before = folder / STATE, folder / BEFORE
    if not path.exists():
        before.unlink(missing_ok=True)  # of another run, whose state was removed
    elif keep:
        # A second name of it, so that there is a state at every moment.
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
    """Give the values in a state to what they are of.

    Raises:
        TrainingError: they are of something else.
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
    # PyTorch compares these itself, and fails in whatever way the differences lead to.
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
    """After step `step` could not be taken: leave a state from which a lower rate can go on.

    A state whose very next step has no finite loss is not sound, and the one before takes its
    place.

    Returns:
        The step of the state that is there now; None where there is none.
    """
    state = read_state(folder)
    if state is not None and state["step"] >= step:
        state = read_state(folder, BEFORE)
    if state is None or state["step"] >= step:
        (folder / STATE).unlink(missing_ok=True)
        return None
    write_state(folder, {**state, "diverged": True}, keep=False)
    return int(state["step"])


def refuse_changes(
    state: Mapping[str, Any],
    recipe: Run,
    depends: Dependencies,
    passes: Passes,
    *,
    processes: int,
    fixed_epochs: bool,
) -> None:
    """Refuse to go on from the state of a run that depends on something else.

    Args:
        fixed_epochs: whether the number of epochs shapes the whole run, as with Multigrid.

    Raises:
        TrainingError: what has changed, in one line.
    """
    out = Path(recipe.out)
    changes = [
        *_recipe_changes(state, recipe, fixed_epochs=fixed_epochs),
        *_class_changes(state["classes"], depends.classes),
        *_video_changes(state["training"], depends.training),
    ]
    if state["processes"] != processes:
        changes.append(f"the number of processes was {state['processes']}, is {processes}")
    if changes:
        raise TrainingError(
            f"{out} holds a run that depends on something else: {'; '.join(changes)}; "
            f"give another out=…, or remove {out} to begin again"
        )
    changed = [name for name, digest in depends.files.items() if state["files"].get(name) != digest]
    if changed and not recipe.accept_changed_files:
        raise TrainingError(
            f"{out} holds a run on other files: {_some(changed)} changed; give another out=…, or "
            "accept_changed_files=true to go on with the files as they are now"
        )
    if state["batch"] > passes.batches:
        done = passes.epoch(state["batch"])
        raise TrainingError(
            f"{out} holds a run that has made {done:g} passes over the data, and epochs is "
            f"{recipe.epochs}; give epochs={-int(-done // 1)} or more, or another out=…"
        )


def _recipe_changes(state: Mapping[str, Any], recipe: Run, *, fixed_epochs: bool) -> list[str]:
    try:
        # Through the recipe, so that a key that was added since has its default.
        earlier = to_mapping(from_mapping(type(recipe), state["recipe"], where="the state"))
    except RecipeError:
        return ["it trains something else"]
    free = {*_FREE, *(_REMEDIES if state.get("diverged") else ())}
    if fixed_epochs:
        free.remove("epochs")
    before, now = _flat(earlier), _flat(to_mapping(recipe))
    return [
        f"{key} was {_shown(before.get(key))}, is {_shown(now.get(key))}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and key not in free
    ]


def _class_changes(before: Sequence[str], now: Sequence[str]) -> list[str]:
    if tuple(before) == tuple(now):
        return []
    if max(len(before), len(now)) <= _SHOWN:
        return [f"classes were ({', '.join(before)}), are ({', '.join(now)})"]
    said = [
        f"{_some([name for name in names if name not in others])} {what}"
        for names, others, what in ((now, before, "added"), (before, now, "removed"))
        if set(names) - set(others)
    ]
    said = said or ["in another order"]
    return [f"classes were {len(before)}, are {len(now)} ({', '.join(said)})"]


def _video_changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    kinds = {
        "added": [video for video in now if video not in before],
        "removed": [video for video in before if video not in now],
        "annotated otherwise": [v for v in now if v in before and before[v] != now[v]],
    }
    said = [f"{len(videos)} {what} ({_some(videos)})" for what, videos in kinds.items() if videos]
    if not said and list(before) != list(now):
        said = ["in another order"]
    return [f"training videos: {', '.join(said)}"] if said else []


def _flat(values: Any, path: str = "") -> dict[str, Any]:
    """Nested keys joined with dots; that a part is there at all is a value of its own."""
    if not isinstance(values, Mapping):
        return {path: values}
    flat: dict[str, Any] = {path: "set"} if path else {}
    for name, part in values.items():
        flat |= _flat(part, f"{path}.{name}" if path else str(name))
    return flat


def _shown(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return "not set" if value is None else f"{value}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


# A file is told from another by its size and three samples.
_SAMPLE = 4096


def _file_digest(path: Path) -> str:
    try:
        return _digest_of(path)
    except OSError as error:
        raise TrainingError(
            f"cannot read {path}: {error.strerror or error}; copy it again, or leave its video out"
        ) from error


def _digest_of(path: Path) -> str:
    if path.is_dir():
        inside = sorted(Path(f, n) for f, _, names in walk(path) for n in names)
        inside = [one for one in inside if one.is_file()]
        listed = [f"{p.relative_to(path).as_posix()} {p.stat().st_size}" for p in inside]
        samples = [_file_digest(p) for p in (*inside[:1], *inside[-1:])]
        return _short("\n".join([*listed, *samples]).encode())
    if not path.is_file() and path.exists():  # a pipe would be waited for
        raise OSError(errno.EINVAL, "it is not a regular file")
    size = path.stat().st_size
    parts = [str(size).encode()]
    with path.open("rb") as file:
        for start in (0, max(0, size // 2), max(0, size - _SAMPLE)):
            file.seek(start)
            parts.append(file.read(_SAMPLE))
    return _short(b"".join(parts))


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
