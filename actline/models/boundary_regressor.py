"""TBR: moving a proposal's boundaries by what is seen at them and inside (TCANet, CVPR 2021).

Segments are (start, end) in seconds throughout.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 4  # of all convolutions but the last of each head
SHRINK = 4  # two convolutions of stride 2 before the one that sees everything

# How far predicted offsets move a boundary. The published code scales them down and its targets
# not at all, which the paper does not say; the frame-level scale differs between training and
# inference. We follow the code, with which its checkpoints were trained.
FRAME_SCALE_TRAINING = 1.0
FRAME_SCALE = 0.2
CENTRE_SCALE = 0.1
WIDTH_SCALE = 0.2

SHORTEST = 1e-5  # seconds; a shorter segment counts as this long where one divides by it


class Refinement(NamedTuple):
    """What one regressor makes of its proposals.

    Shape:
        proposals: (B, P, 2), seconds, as they came in.
        frame_offsets: (B, P, 2), of start and end, in widths of the proposal.
        segment_offsets: (B, P, 2), of the centre in widths, and of the width's logarithm.
        iou: (B, P), the predicted overlap of `proposals` with an activity, in [0, 1].
        refined: (B, P, 2), seconds, at least 0.
    """

    proposals: Tensor
    frame_offsets: Tensor
    segment_offsets: Tensor
    iou: Tensor
    refined: Tensor


class TemporalBoundaryRegressor(nn.Module):
    """One of TCANet's progressive regressors (paper: Temporal Boundary Regressor).

    Frame-level offsets come from the context around each boundary, segment-level ones from the
    contexts and the proposal itself; the refined proposal is the mean of the two.

    Args:
        channels: of the features.
        frame_width, segment_width: hidden channels of the two levels.
        start_samples, action_samples, end_samples: places sampled before, in and after it.
        context: how far the contexts reach, in widths of the proposal.
        snippet_interval: seconds from one feature to the next.

    Shape:
        features: (B, C, T); proposals: (B, P, 2), seconds; lengths: (B,), how many of the
        features are valid; those after must be zero. Returns a `Refinement`.

    Raises:
        ValueError: a number of samples is not a multiple of 4.
    """

    def __init__(
        self,
        channels: int = 512,
        *,
        frame_width: int = 128,
        segment_width: int = 512,
        start_samples: int = 32,
        action_samples: int = 64,
        end_samples: int = 32,
        context: float = 0.5,
        snippet_interval: float = 8 / 15,
    ) -> None:
        super().__init__()
        self.samples = (start_samples, action_samples, end_samples)
        if any(count % SHRINK for count in self.samples):
            raise ValueError(f"samples must be multiples of {SHRINK}, not {self.samples}")
        self.context = context
        self.snippet_interval = snippet_interval
        self.start = offset_head(channels, frame_width, samples=start_samples)
        self.end = offset_head(channels, frame_width, samples=end_samples)
        self.segment = segment_head(channels, segment_width, samples=sum(self.samples))

    def forward(self, features: Tensor, proposals: Tensor, lengths: Tensor) -> Refinement:
        B, P, _ = proposals.shape
        places = self.places(proposals, lengths)
        sampled = sample_features(features, places.flatten(1))
        sampled = sampled.view(B * P, places.shape[2], sampled.shape[2]).transpose(
            1, 2
        )  # (B * P, C, samples)
        before, _, after = sampled.split(self.samples, dim=2)

        frame_offsets = torch.cat([self.start(before), self.end(after)], dim=1).view(B, P, 2)
        segment = self.segment(sampled).view(B, P, 3)
        segment_offsets = segment[..., :2]
        scale = FRAME_SCALE_TRAINING if self.training else FRAME_SCALE
        by_frame = moved_boundaries(proposals, frame_offsets * scale)
        by_segment = moved_segment(
            proposals, segment_offsets * segment.new_tensor([CENTRE_SCALE, WIDTH_SCALE])
        )
        return Refinement(
            proposals=proposals,
            frame_offsets=frame_offsets,
            segment_offsets=segment_offsets,
            iou=segment[..., 2].sigmoid(),
            refined=((by_frame + by_segment) / 2).clamp(min=0),
        )

    def places(self, proposals: Tensor, lengths: Tensor) -> Tensor:
        """Where features are sampled for each proposal: (B, P, samples), in features.

        Feature t is at t, in the middle of its snippet, (t + 0.5) intervals into the video.
        """
        start, end = proposals.unbind(dim=2)
        reach = (end - start) * self.context
        # The ends are clamped, not the places: what sticks out is squeezed in, as published.
        borders = torch.stack((start - reach, start, end, end + reach), dim=2)
        video = lengths.view(-1, 1, 1).to(borders.dtype)
        borders = (borders / self.snippet_interval).clamp(min=0).minimum(video)
        parts = [
            spread(borders[..., i], borders[..., i + 1], count)
            for i, count in enumerate(self.samples)
        ]
        return torch.cat(parts, dim=2) - 0.5


def spread(first: Tensor, last: Tensor, count: int) -> Tensor:
    """The middles of `count` equal parts from `first` to `last`: (…,) to (…, count)."""
    middle = (torch.arange(count, device=first.device, dtype=first.dtype) + 0.5) / count
    return first.unsqueeze(-1) + (last - first).unsqueeze(-1) * middle


def sample_features(features: Tensor, places: Tensor) -> Tensor:
    """Features interpolated at places between them; beyond the first and the last is zero.

    As `grid_sample` without `align_corners`, but each video stays one however many places are
    asked of it. Differentiable in both.

    Shape:
        features: (B, C, T); places: (B, M), from -1 to T. Returns (B, M, C).
    """
    B, C, T = features.shape
    rows = F.pad(features.transpose(1, 2), (0, 0, 1, 1)).flatten(0, 1)  # a zero at either end
    below = places.detach().floor()
    part = (places - below).to(rows.dtype)
    video = torch.arange(B, device=places.device).unsqueeze(1) * (T + 2)
    row = video + (below.long() + 1).clamp(0, T)
    sampled = F.embedding_bag(
        torch.stack((row, row + 1), dim=-1).view(-1, 2),
        rows,
        mode="sum",
        per_sample_weights=torch.stack((1 - part, part), dim=-1).view(-1, 2),
    )
    return sampled.view(B, places.shape[1], C)


def moved_boundaries(proposals: Tensor, offsets: Tensor) -> Tensor:
    """Proposals (…, 2) with start and end moved by offsets (…, 2) in widths."""
    width = proposals[..., 1:] - proposals[..., :1]
    return proposals + offsets * width


def moved_segment(proposals: Tensor, offsets: Tensor) -> Tensor:
    """Proposals (…, 2) with the centre moved in widths and the width scaled by an exponent."""
    start, end = proposals.unbind(dim=-1)
    width = end - start
    centre = (start + end) / 2 + offsets[..., 0] * width
    half = offsets[..., 1].exp() * width / 2
    return torch.stack((centre - half, centre + half), dim=-1)


def boundary_offsets(proposals: Tensor, targets: Tensor) -> Tensor:
    """What `moved_boundaries` takes to get from proposals to targets, all (…, 2)."""
    return (targets - proposals) / widths(proposals).unsqueeze(-1)


def segment_offsets(proposals: Tensor, targets: Tensor) -> Tensor:
    """What `moved_segment` takes to get from proposals to targets, all (…, 2)."""
    width, target_width = widths(proposals), widths(targets)
    # Centres by way of the clamped widths, as published.
    centre = proposals[..., 0] + width / 2
    target_centre = targets[..., 0] + target_width / 2
    return torch.stack(((target_centre - centre) / width, (target_width / width).log()), dim=-1)


def widths(segments: Tensor) -> Tensor:
    """Lengths of segments (…, 2), at least `SHORTEST`."""
    return (segments[..., 1] - segments[..., 0]).clamp(min=SHORTEST)


def offset_head(channels: int, width: int, *, samples: int) -> nn.Sequential:
    """One boundary's offset from its context: (N, C, samples) to (N, 1, 1)."""
    return nn.Sequential(
        nn.Conv1d(channels, width, 3, stride=2, padding=1, groups=GROUPS),
        nn.ReLU(inplace=True),
        nn.Conv1d(width, width, 3, stride=2, padding=1, groups=GROUPS),
        nn.ReLU(inplace=True),
        nn.Conv1d(width, 1, samples // SHRINK),
    )


def segment_head(channels: int, width: int, *, samples: int) -> nn.Sequential:
    """Centre, width and overlap from all samples: (N, C, samples) to (N, 3, 1)."""
    return nn.Sequential(
        nn.Conv1d(channels, width, 3, stride=2, padding=1, groups=GROUPS),
        nn.ReLU(inplace=True),
        nn.Conv1d(width, width, 3, stride=2, padding=1, groups=GROUPS),
        nn.ReLU(inplace=True),
        nn.Conv1d(width, width, samples // SHRINK, groups=GROUPS),
        nn.ReLU(inplace=True),
        nn.Conv1d(width, 3, 1),
    )
