"""Validation while training: per-frame mAP over whole videos, and thresholds for detection."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from actline.data.annotations import Annotations, frame_labels, summary
from actline.data.footage import folder_rate
from actline.data.read import read_annotations, without_videos
from actline.data.trimmed import present
from actline.detection.dense import score_video
from actline.detection.model import find_device, prepare
from actline.errors import AnnotationError, RecipeError
from actline.evaluate.average_precision import average_precision
from actline.evaluate.thresholds import choose_thresholds
from actline.evaluate.validation_clips import validate_clips
from actline.evaluate.validation_segments import validate_proposals
from actline.progress import progress
from actline.timeline import FrameScores
from actline.train.checkpoint import ModelCard, SegmentCard
from actline.train.dense import DenseJob
from actline.train.loop import TrainingResult, Validation, train
from actline.train.pretraining import PretrainingJob, clips_of
from actline.train.proposals import ProposalJob
from actline.train.recipe import (
    AnyRecipe,
    PretrainingRecipe,
    ProposalRecipe,
    Recipe,
    RefinementRecipe,
)
from actline.train.refinement import RefinementJob
from actline.train.setup import device_of_process
from actline.video.sampling import find_video

PROTOCOL = "per-frame mAP"
WINDOW_FACTOR = 2.5  # windows more times as long as training clips, or as short, are pointed out


def train_and_validate(recipe: AnyRecipe, *, device: str = "auto") -> TrainingResult:
    """Run a recipe, validating on its validation subset.

    Raises:
        ActlineError: as `train`, and for annotations that cannot be used.
    """
    chosen = device_of_process(find_device(device))
    annotations = read_annotations(recipe.data.annotations, classes=_classes(recipe))
    for line in summary(annotations.problems):
        print(f"{recipe.data.annotations}, mended for training: {line}")
    if isinstance(recipe, Recipe | PretrainingRecipe):
        if recipe.data.skip_missing:
            annotations, missing = present(annotations, Path(recipe.data.videos))
            if missing:
                count = len(annotations.videos) + missing
                print(f"{missing} of {count} videos are not in {recipe.data.videos}: left out")
        if isinstance(recipe, PretrainingRecipe):
            return _pretrain(recipe, annotations, chosen)
        return _train_dense(recipe, usable(recipe, annotations), chosen)
    if recipe.data.without:
        annotations = without_videos(annotations, recipe.data.without)
    return _train_segments(recipe, annotations, chosen)


def _train_dense(recipe: Recipe, annotations: Annotations, device: torch.device) -> TrainingResult:
    held_out = annotations.subset(recipe.data.validation_subset)
    for video in held_out.videos:
        find_video(recipe.data.videos, video.id)  # a missing one is told now, not after training

    def validate(network: nn.Module, card: ModelCard) -> Validation:
        return validate_dense(
            network,
            card,
            held_out,
            Path(recipe.data.videos),
            device=str(device),
            frame_rate=recipe.data.frame_rate,
        )

    note = window_note(recipe)
    if note and os.environ.get("RANK", "0") == "0":
        print(note)
    job = DenseJob(recipe, annotations.subset(recipe.data.train_subset))
    return train(recipe, job, validate=validate, device=device)


def _pretrain(
    recipe: PretrainingRecipe, annotations: Annotations, device: torch.device
) -> TrainingResult:
    annotations = usable(recipe, annotations)
    held_out = clips_of(recipe, annotations.subset(recipe.data.validation_subset))
    for video in held_out.annotations.videos:
        find_video(recipe.data.videos, video.id)
    try:
        job = PretrainingJob(recipe, annotations.subset(recipe.data.train_subset))
        # Several processes each read their own: all of them have the same shapes.
        schedule = job.schedule(int(os.environ.get("WORLD_SIZE", "1")))
    except ValueError as error:
        raise RecipeError(f"{recipe.name}: {error}") from error
    if recipe.multigrid is not None:
        optimizer = replace(recipe.optimizer, milestones=schedule.milestones)
        recipe = replace(recipe, optimizer=optimizer)

    def validate(network: nn.Module, card: ModelCard) -> Validation:
        return validate_clips(network, card, held_out, device=device, views=recipe.views)

    return train(
        recipe,
        job,
        validate=validate,
        device=device,
        lr_scale=lambda step: schedule.shape_at(step).lr_factor,
    )


def _train_segments(
    recipe: ProposalRecipe | RefinementRecipe, annotations: Annotations, device: torch.device
) -> TrainingResult:
    held_out = annotations.subset(recipe.data.validation_subset)
    training = annotations.subset(recipe.data.train_subset)
    if isinstance(recipe, ProposalRecipe):
        job = ProposalJob(recipe, training)
    else:
        job = RefinementJob(recipe, training, device=device)
    for video in held_out.videos:
        job.features.require(video)

    def validate(network: nn.Module, card: SegmentCard) -> Validation:
        return validate_proposals(network, card, held_out, job, device=device)

    return train(recipe, job, validate=validate, device=device)


def validate_dense(
    network: nn.Module,
    card: ModelCard,
    annotations: Annotations,
    videos: Path,
    *,
    device: str,
    frame_rate: float = 24.0,
) -> Validation:
    """Per-frame mAP (over classes that occur) at the sampled frames, and best thresholds.

    Raises:
        VideoError: a validation video cannot be read.
    """
    model = prepare(network, card, device=device)
    scores: list[FrameScores] = []
    labels = []
    with progress("validating", total=len(annotations.videos), unit="videos") as advance:
        for video in annotations.videos:
            path = find_video(videos, video.id)
            rate = folder_rate(video, path, frame_rate)
            found, _ = score_video(path, model, frame_rate=rate)
            scores.append(found)
            labels.append(frame_labels(video.truth, annotations.classes, found.times))
            advance()
    probabilities = np.concatenate([found.probabilities for found in scores])
    targets = np.concatenate(labels)
    precision = average_precision(probabilities, targets)
    occurs = targets.any(axis=0)
    return Validation(
        score=float(precision[occurs].mean()) if occurs.any() else 0.0,
        protocol=PROTOCOL,
        thresholds=tuple(float(t) for t in choose_thresholds(probabilities, targets)),
    )


def window_note(recipe: Recipe) -> str | None:
    """A line where the network is shown far more, or fewer, frames at once than it learns from.

    What it averages over and where Grid Pool samples depend on that, and the Gaussians' width.
    """
    window, frames = recipe.window, recipe.clip.frames
    if frames <= WINDOW_FACTOR * window and window <= WINDOW_FACTOR * frames:
        return None
    return (
        f"note: trained on clips of {frames} frames, validated on windows of {window}, which can "
        f"cost accuracy; window={frames} overlap={frames // 2} shows as many at once"
    )


def usable(recipe: Recipe | PretrainingRecipe, annotations: Annotations) -> Annotations:
    """Without the videos that are shorter than the recipe takes.

    Raises:
        AnnotationError: none is left.
    """
    kept = tuple(
        video
        for video in annotations.videos
        if video.duration is None or video.duration >= recipe.data.min_seconds
    )
    if not kept:
        raise AnnotationError(
            f"{recipe.data.annotations}: every video is shorter than data.min_seconds "
            f"({recipe.data.min_seconds}); lower it"
        )
    return replace(annotations, videos=kept)


def _classes(recipe: AnyRecipe) -> Path | None:
    return Path(recipe.data.classes) if recipe.data.classes else None
