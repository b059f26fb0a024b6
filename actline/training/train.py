"""`actline.train`: a recipe's run, from its annotations to its best checkpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actline.annotations.annotations import Annotations, summary
from actline.annotations.held_out import with_held_out
from actline.annotations.read import read_annotations
from actline.detection.model import find_device
from actline.errors import AnnotationError
from actline.training.digests import annotation_digests, file_digests
from actline.training.job import Job
from actline.training.loop import TrainingResult, run_job
from actline.training.recipe import Recipe
from actline.training.setup import device_of_process, say_once
from actline.training.state import Dependencies
from actline.training.tasks import read_recipe, task_of


def train(
    recipe: str | Path | Recipe,
    changes: Mapping[str, Any] | Sequence[str] = (),
    *,
    device: str = "auto",
) -> TrainingResult:
    """Train a network by a recipe, validating on its validation videos.

    A run that was stopped, even by a kill, goes on where it was when it is started again with the
    same values, and a finished one with more `epochs`.

    Args:
        recipe: a YAML file, or one of ours such as `recipes/generated/fine.yaml`; or a recipe as
            read.
        changes: values by key, such as `{"optimizer.lr": 0.02, "epochs": 3}`, or `key=value`; only
            for a recipe that is a file.
        device: "auto" (a GPU where there is one), "cpu" or "cuda".

    Returns:
        Where the checkpoints are, the best validation, and whether the run was stopped.

    Raises:
        RecipeError: the recipe, or a change of it, cannot be used.
        AnnotationError, VideoError, FeatureError, CheckpointError: what it names cannot be used.
        TrainingError: the loss is not finite, or the folder holds a run that depends on something
            else.

    Examples:
        >>> import actline
        >>> result = actline.train(
        ...     "recipes/generated/fine.yaml",
        ...     {"epochs": 3, "out": "runs/short"},
        ... )  # doctest: +SKIP
        >>> result.best, result.best_score  # doctest: +SKIP
        (PosixPath('runs/short/best.safetensors'), 0.41)
    """
    if not isinstance(recipe, Recipe):
        recipe = read_recipe(recipe, changes)
    elif changes:
        raise TypeError("changes can only be made to a recipe that is given as a file")
    task = task_of(recipe)
    where = device_of_process(find_device(device))
    data = recipe.data
    classes = Path(data.classes) if data.classes else None
    annotations = read_annotations(data.annotations, classes=classes)
    for line in summary(annotations.problems):
        say_once(f"{data.annotations}, mended for training: {line}")
    annotations = task.usable(recipe, _with_subsets(recipe, annotations))
    held_out = annotations.subset(data.validation_subset)
    _require_activities(held_out, recipe)
    job = task(recipe, annotations.subset(data.train_subset), device=where)
    job.require(held_out)
    return run_job(job, held_out, depends=depends_on(job, held_out), device=where)


def depends_on(job: Job[Any, Any], held_out: Annotations) -> Dependencies:
    """What a run's state is compared by, besides the recipe.

    Raises:
        TrainingError: a file that training reads cannot be read.
    """
    return Dependencies(
        classes=job.card.classes,
        training=annotation_digests(job.training.videos),
        validation=annotation_digests(held_out.videos),
        files=file_digests(job.files()),
    )


def _require_activities(held_out: Annotations, recipe: Recipe) -> None:
    """Check before the first step that what validation needs after the last is there.

    Raises:
        AnnotationError: there is nothing to score.
    """
    if not any(video.activities for video in held_out.videos):
        raise AnnotationError(
            f"{recipe.data.annotations}: none of the {len(held_out.videos)} videos of subset "
            f"{recipe.data.validation_subset} has an activity, so there is nothing to validate on; "
            "annotate some, or choose another data.validation_subset"
        )


def _with_subsets(recipe: Recipe, annotations: Annotations) -> Annotations:
    """The annotations with a part held out to validate on, where they name none."""
    data = recipe.data
    annotations, moved = with_held_out(
        annotations,
        training=data.train_subset,
        validation=data.validation_subset,
        share=data.held_out,
    )
    if moved:
        say_once(
            f"{data.annotations} names no videos to validate on; held out for it, chosen by their "
            f"names (data.held_out={data.held_out:g}): {moved} of {len(annotations.videos)}"
        )
    return annotations
