"""Validation while training: per-frame mAP over whole videos, and thresholds for detection."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from actline.annotations.annotations import Annotations, frame_labels, summary
from actline.annotations.held_out import with_held_out
from actline.annotations.read import read_annotations, without_videos
from actline.datasets.footage import folder_rate
from actline.datasets.segments import trainable
from actline.datasets.trimmed_clips import present
from actline.detection.frames import prepare, score_video
from actline.detection.model import find_device
from actline.errors import AnnotationError, RecipeError
from actline.evaluation.average_precision import average_precision
from actline.evaluation.thresholds import choose_thresholds
from actline.models.backbone import Backbone
from actline.models.cards import ModelCard, SegmentCard
from actline.progress import progress
from actline.timeline import FrameScores
from actline.training.frames import DenseJob
from actline.training.loop import Job, TrainingResult, Validation, train
from actline.training.pretraining import PretrainingJob, clips_of
from actline.training.proposals import ProposalJob
from actline.training.recipe import (
    AnyRecipe,
    PretrainingRecipe,
    ProposalRecipe,
    Recipe,
    RefinementRecipe,
)
from actline.training.refinement import RefinementJob
from actline.training.setup import device_of_process, say_once
from actline.training.state import Dependencies, annotation_digests, file_digests
from actline.training.validation_clips import validate_clips
from actline.training.validation_segments import validate_proposals
from actline.video.find import find_video

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
        say_once(f"{recipe.data.annotations}, mended for training: {line}")
    annotations = _with_subsets(recipe, annotations)
    if isinstance(recipe, Recipe | PretrainingRecipe):
        if recipe.data.skip_missing:
            annotations, missing = present(annotations, Path(recipe.data.videos))
            if missing:
                count = len(annotations.videos) + missing
                say_once(f"{missing} of {count} videos are not in {recipe.data.videos}: left out")
        if isinstance(recipe, PretrainingRecipe):
            return _pretrain(recipe, annotations, chosen)
        return _train_dense(recipe, usable(recipe, annotations), chosen)
    if recipe.data.without:
        annotations = without_videos(annotations, recipe.data.without)
    return _train_segments(recipe, annotations, chosen)


def _train_dense(recipe: Recipe, annotations: Annotations, device: torch.device) -> TrainingResult:
    held_out = annotations.subset(recipe.data.validation_subset)
    require_activities(held_out, recipe)
    for video in held_out.videos:
        find_video(recipe.data.videos, video.id)  # a missing one is told now, not after training
    training = annotations.subset(recipe.data.train_subset)
    files = {video.id: [find_video(recipe.data.videos, video.id)] for video in training.videos}
    if recipe.features is not None:
        files["features.checkpoint"] = [Path(recipe.features.checkpoint)]

    def validate(network: nn.Module, card: ModelCard) -> Validation:
        assert isinstance(network, Backbone)
        return validate_dense(
            network,
            card,
            held_out,
            Path(recipe.data.videos),
            device=str(device),
            frame_rate=recipe.data.frame_rate,
        )

    note = window_note(recipe)
    if note:
        say_once(note)
    job = DenseJob(recipe, training)
    depends = depends_on(job, training, held_out, files)
    return train(recipe, job, validate=validate, depends=depends, device=device)


def _pretrain(
    recipe: PretrainingRecipe, annotations: Annotations, device: torch.device
) -> TrainingResult:
    annotations = usable(recipe, annotations)
    held_out = clips_of(recipe, annotations.subset(recipe.data.validation_subset))
    require_activities(held_out.annotations, recipe)
    for video in held_out.annotations.videos:
        find_video(recipe.data.videos, video.id)
    training = annotations.subset(recipe.data.train_subset)
    files = {video.id: [find_video(recipe.data.videos, video.id)] for video in training.videos}
    try:
        job = PretrainingJob(recipe, training)
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
        depends=depends_on(job, training, held_out.annotations, files),
        device=device,
        lr_scale=None if recipe.multigrid is None else lambda s: schedule.shape_at(s).lr_factor,
    )


def _train_segments(
    recipe: ProposalRecipe | RefinementRecipe, annotations: Annotations, device: torch.device
) -> TrainingResult:
    held_out = annotations.subset(recipe.data.validation_subset)
    training = annotations.subset(recipe.data.train_subset)
    require_activities(held_out, recipe)
    if isinstance(recipe, ProposalRecipe):
        job = ProposalJob(recipe, training)
    else:
        job = RefinementJob(recipe, training, device=device)
    for video in held_out.videos:
        job.features.require(video)
    chosen = trainable(training, min_seconds=recipe.data.min_seconds)
    files = {video.id: job.features.files_of(video) for video in chosen.videos}
    if isinstance(recipe, RefinementRecipe):
        files["proposals"] = [Path(recipe.proposals)]

    def validate(network: nn.Module, card: SegmentCard) -> Validation:
        return validate_proposals(network, card, held_out, job, device=device)

    depends = depends_on(job, chosen, held_out, files)
    return train(recipe, job, validate=validate, depends=depends, device=device)


def validate_dense(
    network: Backbone,
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


def depends_on(
    job: Job, training: Annotations, held_out: Annotations, files: Mapping[str, Sequence[Path]]
) -> Dependencies:
    """What a run's state is compared by, besides the recipe."""
    return Dependencies(
        classes=job.card.classes,
        training=annotation_digests(training.videos),
        validation=annotation_digests(held_out.videos),
        files=file_digests(files),
    )


def require_activities(held_out: Annotations, recipe: AnyRecipe) -> None:
    """Ask before the first step for what validation needs after the last.

    Raises:
        AnnotationError: there is nothing to score.
    """
    if not any(video.activities for video in held_out.videos):
        raise AnnotationError(
            f"{recipe.data.annotations}: none of the {len(held_out.videos)} videos of subset "
            f"{recipe.data.validation_subset} has an activity, so there is nothing to validate on; "
            "annotate some, or choose another data.validation_subset"
        )


def _with_subsets(recipe: AnyRecipe, annotations: Annotations) -> Annotations:
    """With a part to validate on, where the annotations name none."""
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
