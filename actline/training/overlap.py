"""The temporal IoU of tensors: of targets while training, through which gradients may go."""

import torch
from torch import Tensor


def shared_length(first: Tensor, second: Tensor) -> Tensor:
    """How long segments (…, 2) overlap: (…,), broadcast."""
    start = torch.maximum(first[..., 0], second[..., 0])
    end = torch.minimum(first[..., 1], second[..., 1])
    return (end - start).clamp(min=0)


def overlap_of(
    first: Tensor, second: Tensor, *, added: float = 0.0, least: float | None = None
) -> Tensor:
    """Temporal IoU of segments (…, 2), start and end: (…,), broadcast.

    Two segments without length have no union to divide by; the published codes keep it from 0 in
    two ways, in the unit of the segments.

    Args:
        added: to the union, as TCANet's code does.
        least: that the union is taken to be, as BMN's code does; None takes it as it is.
    """
    shared = shared_length(first, second)
    lengths = (first[..., 1] - first[..., 0]) + (second[..., 1] - second[..., 0])
    union = lengths - shared + added
    return shared / (union if least is None else union.clamp(min=least))
