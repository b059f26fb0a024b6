"""Volume MixUp: two clips that overlap in time, one fading into the other (SSDet)."""

import math
from typing import Literal

import torch
from torch import Tensor

from actline.pretraining.volume_freeze import LabelledClip, uniform_integers


def volume_mixup(
    batch: LabelledClip,
    *,
    generator: torch.Generator | None,
    shortest: float = 0.5,
    alpha: Literal["seamless", "fixed"] = "seamless",
) -> LabelledClip:
    """Mix each clip with another of the batch, over a random overlap in time.

    Each of the two lasts for a span of the clip; together they cover it. Where only one is shown,
    the frame is its own; where both are, frames and labels are weighted by alpha (Volume MixUp;
    `mixup` in the published code). Frames keep their times within the clip.

    A clip may be drawn as its own partner, always so in a batch of one: its frames then stay as
    they are and its label appears twice, with weights that sum to 1.

    Shape:
        batch: (B, C, T, H, W) and (M, B, T).
        returns: (B, C, T, H, W) and (2M, B, T): each clip's own labels, then its partner's.

    Args:
        generator: on the CPU. None mixes clip i with i + B // 2 + 1 (modulo B), the first until
            3T/4 and the second from T/4 (the published evaluation form).
        shortest: least length of a span, as a share of the clip, 0.5 to 1: the larger it is, the
            larger the overlap.
        alpha: "seamless" changes evenly along the overlap; "fixed" is a half throughout.
    """
    B, _, T, _, _ = batch.clip.shape
    start, end = spans(B, T, generator=generator, shortest=shortest)
    weights, support = span_weights(start, end, frames=T, alpha=alpha)
    partner = partners(B, generator=generator, apart=1).to(batch.clip.device)
    own_weight = weights[0].to(batch.clip).view(B, 1, T, 1, 1)
    clip = batch.clip[partner].lerp_(batch.clip, own_weight)
    return with_partner(batch, clip, partner=partner, weights=weights, support=support)


def partners(B: int, *, generator: torch.Generator | None, apart: int) -> Tensor:
    """Which clip each is mixed with, (B,): a permutation, or half a batch and `apart` further."""
    if generator is None:
        return (torch.arange(B) + B // 2 + apart) % B
    return torch.randperm(B, generator=generator)


def spans(
    B: int, T: int, *, generator: torch.Generator | None, shortest: float
) -> tuple[Tensor, Tensor]:
    """Draw when the two clips are shown: (2, B) first frames and (2, B) frames after the last.

    Lengths are uniform from `shortest` T to T and starts uniform over where they fit; then
    whichever begins first begins at 0 and whichever ends last ends at T. A clip can thus lie
    within the other. The two always cover all frames.

    Raises:
        ValueError: `shortest` is not from 0.5 to 1; shorter spans could leave frames uncovered.
    """
    if not 0.5 <= shortest <= 1:
        raise ValueError(f"the shortest span must be 0.5 to 1 of the clip, not {shortest}")
    if generator is None:
        start = torch.tensor([0, T // 4]).view(2, 1).expand(2, B)
        return start, torch.tensor([T - T // 4, T]).view(2, 1).expand(2, B)
    least = max(1, math.ceil(shortest * T))
    length = least + uniform_integers(torch.full((2, B), T - least + 1), generator=generator)
    start = uniform_integers(T - length + 1, generator=generator)
    start = start.scatter(0, start.argmin(0, keepdim=True), 0)
    end = start + length
    return start, end.scatter(0, end.argmax(0, keepdim=True), T)


def span_weights(
    start: Tensor, end: Tensor, *, frames: int, alpha: Literal["seamless", "fixed"]
) -> tuple[Tensor, Tensor]:
    """Weigh the two clips in every frame: (2, B, T) weights that sum to 1, and supports.

    Seamless weights are even steps over the overlap that reach 0 and 1 just outside it. A clip
    that lies within the other rises to the middle of the overlap and falls again; as published,
    that peak is half a frame early.

    Args:
        start, end: (2, B) of `spans`.
        frames: T.
    """
    frame = torch.arange(frames)
    shown = (frame >= start.unsqueeze(2)) & (frame < end.unsqueeze(2))
    first = start.amax(0).unsqueeze(1)
    last = end.amin(0).unsqueeze(1)
    if alpha == "fixed":
        own = torch.full(shown.shape[1:], 0.5)
    else:
        step = 1 / ((last - first).clamp(min=0) + 1)
        rise = (frame + 1 - first) * step
        dip = (frame + 1 - (first + last) / 2).abs() * 2 * step
        begins_later = (start[0] >= start[1]).unsqueeze(1)
        ends_later = (end[0] >= end[1]).unsqueeze(1)
        own = torch.where(
            ends_later,
            torch.where(begins_later, rise, dip),
            torch.where(begins_later, 1 - dip, 1 - rise),
        )
    own = torch.where(shown[0] & shown[1], own, shown[0].float())
    return torch.stack([own, 1 - own]), shown.float()


def with_partner(
    batch: LabelledClip, clip: Tensor, *, partner: Tensor, weights: Tensor, support: Tensor
) -> LabelledClip:
    """Label the mixed `clip` with each clip's own labels and its partner's.

    Shape:
        partner: (B,), on the clips' device; weights, support: (2, B, T), of the two clips.
        returns: labels (2M, B, T), with the product of the weights (supports) before and of
            this mixture.
    """
    both = torch.stack
    weights, support = weights.to(clip.device), support.to(clip.device)
    return LabelledClip(
        clip,
        torch.cat([batch.labels, batch.labels[:, partner]]),
        (both([batch.weights, batch.weights[:, partner]]) * weights.unsqueeze(1)).flatten(0, 1),
        (both([batch.support, batch.support[:, partner]]) * support.unsqueeze(1)).flatten(0, 1),
    )
