"""Whether a run's state may be resumed: what it depends on, and which of that has changed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actline.errors import RecipeError, TrainingError
from actline.stored.configuration import from_mapping, to_mapping
from actline.training.recipe import Recipe
from actline.training.schedule import Passes
from actline.training.state import Dependencies

# Keys that change no weights, or whose files are compared by content. A folder ends with a dot.
_FREE = (
    "name",
    "out",
    "notes",
    "save_every_seconds",
    "evaluate_every",
    "keep",
    "accept_changed_files",
    # An initial checkpoint is no longer needed once there is a state.
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
    # Checked separately: see `Passes`.
    "epochs",
)
# What may be changed where the loss was not finite, as that helps.
_REMEDIES = ("optimizer.lr", "optimizer.clip_norm", "optimizer.warmup_steps")
_SHOWN = 5


def refuse_changes(
    state: Mapping[str, Any],
    recipe: Recipe,
    depends: Dependencies,
    passes: Passes,
    *,
    processes: int,
    fixed_epochs: bool,
) -> None:
    """Refuse to resume from the state of a run that depends on something else.

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


def _recipe_changes(state: Mapping[str, Any], recipe: Recipe, *, fixed_epochs: bool) -> list[str]:
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
    """Nested keys joined with dots; that a part exists at all is its own value."""
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
