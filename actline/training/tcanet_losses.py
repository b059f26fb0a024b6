"""TCANet's losses, as in its authors' code: of offsets and of a balanced set of overlaps."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from actline.models.boundary_regressor import (
    Refinement,
    boundary_offsets,
    segment_offsets,
)
from actline.training.bmn_losses import MIDDLE, drawn
from actline.training.overlap import overlap_of

THRESHOLDS = (0.5, 0.6, 0.7)  # overlap from which a stage's proposals are regressed
EPSILON = 1e-5  # seconds, in the union, as published


class RefinementLosses(NamedTuple):
    """The sum and its parts.

    Shape:
        total: (); regression, overlap: (stages,).
    """

    total: Tensor
    regression: Tensor
    overlap: Tensor


def refinement_loss(
    refinements: Sequence[Refinement],
    targets: Tensor,
    *,
    valid: Tensor | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
    generator: Generator | None = None,
) -> RefinementLosses:
    """Every stage's regression and overlap losses, all of weight 1.

    Targets are relative to a stage's own proposals, through which gradients reach the stages
    before it, as published.

    Args:
        refinements: of the stages.
        targets: (B, P, 2), the activity matched to each proposal, in seconds.
        valid: (B, P), true where a proposal is not padding; None where none is.
        thresholds: one per stage.
        generator: draws which proposals of lower overlap are scored.
    """
    counted = torch.ones_like(targets[..., 0], dtype=torch.bool) if valid is None else valid.bool()
    regression, overlap = [], []
    for refinement, threshold in zip(refinements, thresholds, strict=True):
        actual = overlap_of(refinement.proposals.float(), targets, added=EPSILON)
        regression.append(regression_loss(refinement, targets, counted & (actual >= threshold)))
        overlap.append(
            overlap_loss(refinement.iou, actual, counted, threshold=threshold, generator=generator)
        )
    parts = torch.stack(regression), torch.stack(overlap)
    return RefinementLosses(parts[0].sum() + parts[1].sum(), *parts)


def regression_loss(refinement: Refinement, targets: Tensor, good: Tensor) -> Tensor:
    """Smooth L1 of frame-level and segment-level offsets, averaged over good proposals; else 0.

    Shape:
        targets: (B, P, 2), seconds; good: (B, P), bool. Returns a scalar.
    """
    proposals = refinement.proposals.float()
    losses = F.smooth_l1_loss(
        refinement.frame_offsets.float(), boundary_offsets(proposals, targets), reduction="none"
    ) + F.smooth_l1_loss(
        refinement.segment_offsets.float(), segment_offsets(proposals, targets), reduction="none"
    )
    return mean_of_chosen(losses.sum(dim=2), good)


def overlap_loss(
    predicted: Tensor,
    actual: Tensor,
    counted: Tensor,
    *,
    threshold: float,
    generator: Generator | None = None,
) -> Tensor:
    """Smooth L1 of predicted overlaps: all above the threshold, equally many middle and low ones.

    Shape:
        predicted, actual: (B, P), in [0, 1]; counted: (B, P), bool. Returns a scalar.
    """
    high = counted & (actual > threshold)
    middle = counted & (actual <= threshold) & (actual > MIDDLE)
    low = counted & (actual <= MIDDLE)
    chosen = high
    for band in (middle, low):
        chosen = chosen | drawn(band, high.sum(), generator=generator)
    return mean_of_chosen(F.smooth_l1_loss(predicted.float(), actual, reduction="none"), chosen)


def mean_of_chosen(losses: Tensor, chosen: Tensor) -> Tensor:
    """The mean of the chosen losses, 0 if none is chosen."""
    return torch.where(chosen, losses, 0).sum() / chosen.sum().clamp(min=1)
