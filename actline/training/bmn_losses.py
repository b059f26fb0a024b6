"""BMN's targets and losses (Section 3.5), as in the published PyTorch code."""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from actline.models.bmn import BMNOutput
from actline.training.overlap import overlap_of, shared_length

# Overlaps that count as an activity (classification), and the bands that regression balances.
# The paper's regression has two bands, parted at 0.2; we follow the code.
POSITIVE = 0.9
HIGH = 0.7
MIDDLE = 0.3

REGRESSION_WEIGHT = 10.0  # lambda, Section 3.5
BOUNDARY = 0.5  # how much of a snippet a boundary must cover for it to count as one
EPSILON = 1e-6  # in logarithms, as published


class BMNTargets(NamedTuple):
    """BMN's targets for a video.

    Shape:
        start, end: (…, T), how much of the snippet's surroundings a boundary's region covers.
        overlap: (…, T, T), the largest IoU with an activity of the segment from the first
            snippet to the last (inclusive); 0 where last < first.
    """

    start: Tensor
    end: Tensor
    overlap: Tensor


class BMNLosses(NamedTuple):
    """The weighted sum and its parts, scalars."""

    total: Tensor
    boundary: Tensor
    regression: Tensor
    classification: Tensor


def assign_targets(
    segments: Tensor,
    *,
    temporal_scale: int,
    duration: float = 1.0,
    boundary_width: float = 3.0,
) -> BMNTargets:
    """Targets of one video from its activities (Section 3.5, "label assignment").

    A boundary's region is `boundary_width` snippets around it (the code's constant; BSN's was
    relative to the activity). It is compared with a snippet's width around each time t / T of
    the video.

    Args:
        segments: (N, 2), start and end, in the unit of `duration`; those outside the video or
            without length are left out, and N may be 0.
        temporal_scale: T.
        duration: of the part of the video that the T snippets cover, such as seconds.
        boundary_width: in snippets.
    """
    T = temporal_scale
    inside = (segments.double() / duration).clamp(0, 1) * T  # in snippets
    inside = inside[inside[:, 1] > inside[:, 0]]
    edges = torch.arange(T + 1, dtype=inside.dtype, device=inside.device)
    around = torch.stack((edges[:T] - 0.5, edges[:T] + 0.5), dim=1)
    region = torch.tensor([-boundary_width / 2, boundary_width / 2]).to(inside)
    start, end = (
        _largest(shared_length(around.unsqueeze(0), (at + region).unsqueeze(1)))
        for at in (inside[:, :1], inside[:, 1:])
    )

    pairs = torch.stack(torch.meshgrid(edges[:T], edges[1:], indexing="ij"), dim=2)  # (T, T, 2)
    activities = inside.view(-1, 1, 1, 2)
    overlap = _largest(overlap_of(pairs.unsqueeze(0), activities, least=EPSILON)).triu()
    return BMNTargets(start.float(), end.float(), overlap.float())


def _largest(values: Tensor) -> Tensor:
    """The largest along the first axis, which may be empty, and at least 0."""
    return torch.cat([values.new_zeros(1, *values.shape[1:]), values]).amax(dim=0)


def bmn_loss(
    output: BMNOutput,
    targets: BMNTargets,
    *,
    generator: Generator | None = None,
    published_overflow: bool = False,
) -> BMNLosses:
    """Boundary, confidence regression and confidence classification losses (equations (4) to (7)).

    Args:
        output: of a batch.
        targets: of the same videos, stacked: (B, T), (B, T), (B, T, T).
        generator: draws which pairs of lower overlap are regressed.
        published_overflow: in the published code, a band with fewer pairs than the high one lets
            every pair count, even impossible ones, and so do bands that are empty. That drowns
            what the bands are there to balance, so here such a band counts in full and no more;
            True gives the published numbers.
    """
    start, end, confidence = (part.float() for part in output)
    boundary = balanced_logistic(start, targets.start > BOUNDARY) + balanced_logistic(
        end, targets.end > BOUNDARY
    )
    T = confidence.shape[-1]
    possible = torch.ones(T, T, dtype=torch.bool, device=confidence.device).triu()
    overlap = targets.overlap * possible
    weights = regression_weights(
        overlap, possible, generator=generator, published_overflow=published_overflow
    )
    squared = (weights * (confidence[:, 0] - overlap)).square().sum()
    regression = 0.5 * squared / weights.sum().clamp(min=1)
    classification = balanced_logistic(confidence[:, 1], overlap > POSITIVE, possible)
    total = boundary + REGRESSION_WEIGHT * regression + classification
    return BMNLosses(total, boundary, regression, classification)


def balanced_logistic(
    probability: Tensor, positive: Tensor, counted: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy, half from positives and half from negatives (equation (5)).

    A half without any is 0, where the published code is not finite.

    Shape:
        probability, positive: the same; counted broadcasts to them, None for all.
    """
    negative = ~positive
    if counted is not None:
        positive, negative = positive & counted, negative & counted
    found = ((probability + EPSILON).log() * positive).sum() / positive.sum().clamp(min=1)
    refused = ((1 - probability + EPSILON).log() * negative).sum() / negative.sum().clamp(min=1)
    return -(found + refused) / 2


def regression_weights(
    overlap: Tensor,
    possible: Tensor,
    *,
    generator: Generator | None = None,
    published_overflow: bool = False,
) -> Tensor:
    """Which pairs are regressed: all of high overlap, and equally many of middle and of low.

    Shape:
        overlap: (B, T, T); possible: (T, T). Returns (B, T, T), float32.
    """
    high = overlap > HIGH
    middle = (overlap <= HIGH) & (overlap > MIDDLE)
    low = (overlap <= MIDDLE) & (overlap > 0) & possible
    weights = high.float()
    for band in (middle, low):
        if published_overflow and band.sum() < high.sum():
            weights = weights + 1
        else:
            weights = weights + drawn(band, high.sum(), generator=generator).float()
    return weights


def drawn(band: Tensor, count: Tensor, *, generator: Generator | None = None) -> Tensor:
    """About `count` of the true elements of `band`, each equally likely; all if they are fewer."""
    share = count / band.sum().clamp(min=1)
    device = band.device if generator is None else generator.device
    uniform = torch.rand(band.shape, generator=generator, device=device)
    return band & (uniform.to(band.device) < share)
