"""TBR: moving a proposal's boundaries by the features at them and inside (TCANet, CVPR 2021).

Segments are (start, end) in seconds throughout.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 4  # of all convolutions but the last of each head
SHRINK = 4  # two convolutions of stride 2 before the one that sees all samples

# How far predicted offsets move a boundary. The published code scales them down and its targets
# not at all, which the paper does not say; the frame-level scale differs between training and
# inference. We follow the code, with which its checkpoints were trained.
FRAME_SCALE_TRAINING = 1.0
FRAME_SCALE = 0.2
CENTRE_SCALE = 0.1
WIDTH_SCALE = 0.2

# How many proposals are refined at a time on a CPU when no gradient is needed: the activations
# between layers then stay in its cache.
AT_ONCE = 64

SHORTEST = 1e-5  # seconds; a shorter segment counts as this long in divisions


class Refinement(NamedTuple):
    """One regressor's output.

    Shape:
        proposals: (B, P, 2), seconds, as given to it.
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
        channels: int,
        *,
        frame_width: int,
        segment_width: int,
        start_samples: int,
        action_samples: int,
        end_samples: int,
        context: float,
        snippet_interval: float,
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
        places = self.places(proposals, lengths)
        before, _, after = places.split(self.samples, dim=2)
        grouped = grouped_features(features)
        frame_offsets = torch.cat(
            [on_samples(self.start, grouped, before), on_samples(self.end, grouped, after)], dim=2
        )
        segment = on_samples(self.segment, grouped, places)
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
        """Where features are sampled for each proposal: (B, P, samples), as feature indices.

        Feature t is at t, in the middle of its snippet, (t + 0.5) intervals into the video.
        """
        start, end = proposals.unbind(dim=2)
        reach = (end - start) * self.context
        # The ends are clamped, not each place: what extends beyond is squeezed in, as published.
        borders = torch.stack((start - reach, start, end, end + reach), dim=2)
        video = lengths.view(-1, 1, 1).to(borders.dtype)
        borders = (borders / self.snippet_interval).clamp(min=0).minimum(video)
        parts = [
            middles_of_parts(borders[..., i], borders[..., i + 1], count)
            for i, count in enumerate(self.samples)
        ]
        return torch.cat(parts, dim=2) - 0.5


def middles_of_parts(first: Tensor, last: Tensor, count: int) -> Tensor:
    """The middles of `count` equal parts from `first` to `last`: (…,) to (…, count)."""
    middle = (torch.arange(count, device=first.device, dtype=first.dtype) + 0.5) / count
    return first.unsqueeze(-1) + (last - first).unsqueeze(-1) * middle


def grouped_features(features: Tensor) -> Tensor:
    """Features as the heads' first convolutions take them, each video with a zero at either end.

    Shape:
        features: (B, C, T); returns (G, B, T + 2, C / G).
    """
    padded = F.pad(features.transpose(1, 2), (0, 0, 1, 1))
    return padded.unflatten(2, (GROUPS, -1)).permute(2, 0, 1, 3).contiguous()


def on_samples(head: nn.Sequential, grouped: Tensor, places: Tensor) -> Tensor:
    """A head's output for features sampled at places, without materializing these features.

    The same as the head on `sample_features`, in an order that costs less.

    Shape:
        grouped: `grouped_features` of (B, C, T); places: (B, P, samples), from -1 to T.
        Returns (B, P, outputs).
    """
    first, _, second, _, third, *last = head
    assert isinstance(first, nn.Conv1d) and isinstance(second, nn.Conv1d)
    assert isinstance(third, nn.Conv1d)
    rows, matrix = weighted_features(first, grouped), kernel_matrix(third)
    few = places.device.type == "cpu" and not torch.is_grad_enabled()
    at_once = max(1, AT_ONCE // len(places)) if few else max(1, places.shape[1])
    parts = []
    for part in places.split(at_once, dim=1):
        hidden = F.relu(summed_features(rows, part))
        hidden = channels_last_convolution(second, hidden)
        parts.append(rectified_convolution(matrix, hidden).unflatten(0, part.shape[:2]))
    hidden = torch.cat(parts, dim=1)
    if third.bias is not None:
        hidden = hidden + third.bias
    for layer in last:
        # What remains is a convolution of kernel 1.
        hidden = (
            F.linear(hidden, layer.weight.squeeze(2), layer.bias)
            if isinstance(layer, nn.Conv1d)
            else layer(hidden)
        )
    return hidden


def weighted_features(convolution: nn.Conv1d, grouped: Tensor) -> Tensor:
    """Features multiplied by each tap of a convolution of kernel 3.

    A convolution and the sampling before it are both linear, so their order may change: features
    are weighted once per video, and `summed_features` adds up the few around every output's
    three places. With as many proposals as features that is a sixtieth of the multiplications.

    Shape:
        grouped: (G, B, T + 2, C / G); returns (B, T + 2, 3, W).
    """
    weight = convolution.weight.unflatten(0, (convolution.groups, -1))  # (G, W / G, C / G, 3)
    rows = torch.einsum("gbtc,gwck->btkgw", grouped, weight).flatten(3).to(grouped.dtype)
    if convolution.bias is None:
        return rows
    # In every output the middle tap falls on a sample, whose two features have weights that sum to
    # 1, so that the bias counts once; that includes the zeros at the ends.
    middle = rows.new_tensor([0.0, 1.0, 0.0]).view(3, 1)
    # Over one dimension: its gradients are summed in a fortieth of the time that two take.
    return (rows.flatten(0, 1) + middle * convolution.bias).view_as(rows)


def summed_features(rows: Tensor, places: Tensor) -> Tensor:
    """The convolution (stride 2, padding 1) of what is sampled at places, from its weighted rows.

    Shape:
        rows: (B, T + 2, 3, W); places: (B, P, S), from -1 to T. Returns (B * P, S / 2, W).
    """
    B, length, taps, W = rows.shape
    # Zero comes before a proposal's first place, as before a video's first feature.
    around = F.pad(places, (1, 0), value=-1.0).unfold(2, taps, 2)  # (B, P, S / 2, 3)
    row, part = interpolated(around, length - 2)
    video = torch.arange(B, device=places.device).view(B, 1, 1, 1, 1)
    tap = torch.arange(taps, device=places.device).view(taps, 1)
    summed = F.embedding_bag(
        ((video * length + row) * taps + tap).view(-1, 2 * taps),
        rows.flatten(0, 2),
        mode="sum",
        per_sample_weights=part.to(rows.dtype).view(-1, 2 * taps),
    )
    return summed.view(-1, around.shape[2], W)


def channels_last_convolution(convolution: nn.Conv1d, x: Tensor) -> Tensor:
    """A convolution of features with their channels last: (N, L, C) to (N, L', W)."""
    # As images of one row: unlike sequences, these may have their channels last in memory.
    image = x.transpose(1, 2).unsqueeze(2)
    convolved = F.conv2d(
        image,
        convolution.weight.unsqueeze(2),
        convolution.bias,
        stride=(1, *convolution.stride),
        padding=(0, int(convolution.padding[0])),
        groups=convolution.groups,
    )
    return convolved.squeeze(2).transpose(1, 2)


def kernel_matrix(convolution: nn.Conv1d) -> Tensor:
    """A convolution's weights as `rectified_convolution` takes them: (G, L * C / G, W / G)."""
    weight = convolution.weight.unflatten(0, (convolution.groups, -1))  # (G, W / G, C / G, L)
    return weight.permute(0, 3, 2, 1).flatten(1, 2)


def rectified_convolution(matrix: Tensor, x: Tensor) -> Tensor:
    """A ReLU, then a convolution whose kernel is as long as its input: (N, L, C) to (N, W).

    Without bias; as a matrix product, which is ten times as fast on CPUs. The ReLU comes after the
    features are reordered, so that they are kept for the gradients in that order only.
    """
    by_group = x.unflatten(2, (len(matrix), -1)).permute(2, 0, 1, 3).flatten(2)
    return torch.bmm(F.relu(by_group), matrix).transpose(0, 1).flatten(1)


def sample_features(features: Tensor, places: Tensor) -> Tensor:
    """Features interpolated at places between them; zero beyond the first and the last.

    As `grid_sample` without `align_corners`, but no video is copied, however many places it is
    sampled at. Differentiable in both.

    Shape:
        features: (B, C, T); places: (B, M), from -1 to T. Returns (B, M, C).
    """
    B, C, T = features.shape
    rows = F.pad(features.transpose(1, 2), (0, 0, 1, 1)).flatten(0, 1)  # a zero at either end
    row, part = interpolated(places, T)
    video = torch.arange(B, device=places.device).view(B, 1, 1) * (T + 2)
    sampled = F.embedding_bag(
        (video + row).view(-1, 2),
        rows,
        mode="sum",
        per_sample_weights=part.to(rows.dtype).view(-1, 2),
    )
    return sampled.view(B, places.shape[1], C)


def interpolated(places: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """The two features around every place, counted from a zero before the first, and their weights.

    Shape:
        places: (…); returns (…, 2) indices from 0 to `length` + 1, and (…, 2).
    """
    below = places.detach().floor()
    part = places - below
    row = (below.long() + 1).clamp(0, length)
    return torch.stack((row, row + 1), dim=-1), torch.stack((1 - part, part), dim=-1)


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
    """The offsets with which `moved_boundaries` gets from proposals to targets, all (…, 2)."""
    return (targets - proposals) / widths(proposals).unsqueeze(-1)


def segment_offsets(proposals: Tensor, targets: Tensor) -> Tensor:
    """The offsets with which `moved_segment` gets from proposals to targets, all (…, 2)."""
    width, target_width = widths(proposals), widths(targets)
    # Centres via the clamped widths, as published.
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
