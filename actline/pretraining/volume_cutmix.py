"""Volume CutMix: two clips side by side, each through its own window (SSDet)."""

import math
from typing import Literal

import torch
from torch import Tensor

from actline.pretraining.volume_freeze import LabelledClip
from actline.pretraining.volume_mixup import partners, span_weights, spans, with_partner


def volume_cutmix(
    batch: LabelledClip,
    *,
    generator: torch.Generator | None,
    window: Literal["moving", "still", "growing"] = "moving",
    share: float = 9 / 16,
    shortest: float = 0.5,
) -> LabelledClip:
    """Show each clip on the left and another of the batch on the right of every frame.

    Labels are weighted by area: by what the clip contributes to the frame's pixels. Where the
    windows overlap, one fades into the other from column to column (Volume CutMix; `cutmix_v2`
    in the published code).

    A clip may be drawn as its own partner, always so in a batch of one: two views of it stand side
    by side, and its label appears twice, with weights that sum to 1.

    Shape:
        batch: (B, C, T, H, W) and (M, B, T).
        returns: (B, C, T, H, W) and (2M, B, T): each clip's own labels, then its partner's.

    Args:
        generator: on the CPU; it draws the partners and, for "growing", when the clips are
            shown. None takes clip i + B // 2 + 2 (modulo B) and for "growing" the times of
            `volume_mixup` (the published evaluation form).
        window: "moving", as published: windows of one width travel over their clips, the left
            one to the right and the right one to the left. "still": they stay. "growing": the
            clips overlap in time as in Volume MixUp and the seam travels with its alpha.
        share: the width of each window as a share of the frame's, 0.5 to 1. Frames too narrow for
            that are split in half.
        shortest: as in `volume_mixup`; for "growing" alone.

    Raises:
        ValueError: `share` or `shortest` is not from 0.5 to 1.
    """
    if not 0.5 <= share <= 1:
        raise ValueError(f"a window must be 0.5 to 1 of the frame's width, not {share}")
    B, _, T, _, W = batch.clip.shape
    device = batch.clip.device
    if window == "growing":
        start, end = spans(B, T, generator=generator, shortest=shortest)
        shares, shown = span_weights(start, end, frames=T, alpha="seamless")
        partner = partners(B, generator=generator, apart=2).to(device)
        fade = _travelling_seam(shares[0], shown, width=W)
        own_weight = (1 - fade).to(batch.clip).view(B, 1, T, 1, W)
        clip = batch.clip[partner].lerp_(batch.clip, own_weight)
    else:
        partner = partners(B, generator=generator, apart=2).to(device)
        # Windows that together are narrower than the frame would leave columns to neither.
        width = max(int(share * W), math.ceil(W / 2))
        travel = min(int((1 - share) * W), W - width) if window == "moving" else 0
        fade = ((torch.arange(W) + 1 - (W - width)) / (2 * width - W + 1)).clamp(0, 1)
        clip = _side_by_side(batch.clip, partner=partner, width=width, travel=travel, fade=fade)
        fade = fade.expand(B, T, W)
    area = fade.mean(dim=2)
    weights = torch.stack([1 - area, area])
    return with_partner(
        batch, clip, partner=partner, weights=weights, support=(weights > 0).float()
    )


def _side_by_side(
    clip: Tensor, *, partner: Tensor, width: int, travel: int, fade: Tensor
) -> Tensor:
    """Join a window of each clip (left) and of its partner (right); windows move with time.

    Shape:
        clip: (B, C, T, H, W); partner: (B,); fade: (W,), the partner's share of each column.

    Args:
        width, travel: columns of a window, and columns it has moved after T frames.
    """
    B, _, T, _, W = clip.shape
    moved = (torch.arange(T, device=clip.device) * travel) // T
    # Every position of a window is a view; indexing then copies runs of `width` columns.
    places = clip.unfold(4, width, 1)
    own = torch.arange(B, device=clip.device)
    time = torch.arange(T, device=clip.device)
    left, right = (
        places[which.unsqueeze(1), :, time, :, column].transpose(1, 2)
        for which, column in ((own, moved), (partner, W - width - moved))
    )
    seam = slice(W - width, width)
    overlap = 2 * width - W
    both = torch.lerp(left[..., seam], right[..., :overlap], fade[seam].to(clip))
    return torch.cat([left[..., : seam.start], both, right[..., overlap:]], dim=4)


def _travelling_seam(own: Tensor, shown: Tensor, *, width: int) -> Tensor:
    """The partner's share of each column, (B, T, W), its seam at `own` of the frame's width.

    Shape:
        own: (B, T), the left clip's share of the frame; shown: (2, B, T), which clips are shown.
    """
    # The seam is an eighth of the frame wide, as it is between moving windows.
    seam = max(1, 2 * (width // 16))
    centres = torch.arange(width) + 0.5
    fade = ((centres - own.unsqueeze(2) * width) / seam + 0.5).clamp(0, 1)
    # At a frame's edge the seam would let in a clip that is not shown.
    alone = shown[0] != shown[1]
    return torch.where(alone.unsqueeze(2), shown[1].unsqueeze(2), fade)
