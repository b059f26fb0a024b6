"""What can be trained: the one place that lists every task, and reads its recipes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints

from actline.errors import RecipeError
from actline.models.outline import outline
from actline.stored.configuration import from_mapping, with_overrides
from actline.stored.text import read_text
from actline.stored.yaml_text import parse_yaml
from actline.training.frames import FrameJob
from actline.training.job import Job
from actline.training.pretraining import PretrainingJob
from actline.training.proposals import ProposalJob
from actline.training.recipe import Recipe
from actline.training.refinement import RefinementJob

TASKS: tuple[type[Job[Any, Any]], ...] = (
    PretrainingJob,
    FrameJob,
    ProposalJob,
    RefinementJob,
)
DEFAULT = "detection"  # the task of a recipe that names none


def name_of(task: type[Job[Any, Any]]) -> str:
    """A task's name, as `task` in its recipes has it."""
    return get_args(get_type_hints(task.Recipe)["task"])[0]


def task_of(recipe: Recipe) -> type[Job[Any, Any]]:
    """The job that trains what a recipe describes."""
    return next(task for task in TASKS if type(recipe) is task.Recipe)


def read_recipe(path: str | Path, overrides: Sequence[str] | Mapping[str, Any] = ()) -> Recipe:
    """Read a recipe from YAML and change values of it.

    Args:
        path: a file, or one of ours such as `recipes/generated/fine.yaml`, which are found
            wherever the package is installed.
        overrides: `key=value`, the values read as YAML, or values by key; keys have dots, as
            `optimizer.lr`.

    Raises:
        RecipeError: no such file, not YAML, an unknown key, a value of the wrong type or one out
            of its range.
    """
    path = find_recipe(Path(path))
    text = read_text(path, error=RecipeError, what="recipe")
    values = with_overrides(parse_yaml(text, where=str(path)), overrides, where=str(path))
    tasks = {name_of(task): task for task in TASKS}
    task = values.get("task", DEFAULT) if isinstance(values, Mapping) else DEFAULT
    if not isinstance(task, str) or task not in tasks:
        raise RecipeError(f'{path}: task: "{task}" is not one of {", ".join(tasks)}')
    recipe = from_mapping(tasks[task].Recipe, values, where=str(path))
    try:
        outline(recipe.network)
    except ValueError as wrong:
        raise RecipeError(f"{path}: network: {wrong}; change it") from wrong
    return recipe


def find_recipe(path: Path) -> Path:
    """The file itself, or one of our recipes of that name."""
    if path.exists():
        return path
    package = Path(__file__).parents[1]
    # In a wheel, recipes lie inside the package; in a checkout, next to it.
    for folder in (package, package.parent):
        ours = folder / "recipes" / path.as_posix().removeprefix("recipes/")
        if ours.is_file():
            return ours
    return path
