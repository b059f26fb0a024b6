"""Frame labels for trimmed clips, and Volume Freeze: a held frame is background (SSDet)."""

from typing import NamedTuple

import torch
from torch import Tensor

BACKGROUND = 0  # the label that SSDet adds; the actions of the data are 1 to K


class LabelledClip(NamedTuple):
    """A batch of clips with what every frame shows: up to M actions, each with its weight.

    Shape:
        clip: (B, C, T, H, W), floating point.
        labels: (M, B, T), int64: 0 is background, 1 to K are actions.
        weights: (M, B, T), float32: how much of the frame is that action. Over M they sum to 1
            (soft labels), or each is 1 where supported (hard labels).
        support: (M, B, T), float32: 1 where that action's clip takes part in the frame, else 0, as
            is its weight there.
    """

    clip: Tensor
    labels: Tensor
    weights: Tensor
    support: Tensor


def label_frames(clip: Tensor, *, labels: Tensor, classes: int | None = None) -> LabelledClip:
    """Give every frame the label of its clip, in full (the frame-level pseudo labels of SSDet).

    Shape:
        clip: (B, C, T, H, W); labels: (B,) or, where frames differ, (B, T); integers.
        returns: M = 1, all weights and supports 1.

    Args:
        classes: K, the number of actions without background, to check the labels against.

    Raises:
        ValueError: shapes or types do not fit, or a label is below 0 or above `classes`.
    """
    if clip.ndim != 5 or not clip.is_floating_point():
        raise ValueError(
            "clips must be floating point of shape (B, C, T, H, W), "
            f"not {clip.dtype} of shape {tuple(clip.shape)}"
        )
    B, _, T, _, _ = clip.shape
    if labels.shape not in ((B,), (B, T)):
        raise ValueError(
            f"labels of shape {tuple(labels.shape)} do not fit {B} clips of {T} frames: "
            f"expected ({B},) or ({B}, {T})"
        )
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(f"labels must be integers, not {labels.dtype}")
    if labels.numel():
        lowest, highest = int(labels.amin()), int(labels.amax())
        if lowest < 0 or (classes is not None and highest > classes):
            wrong = lowest if lowest < 0 else highest
            upper = " and up" if classes is None else f" to {classes}"
            raise ValueError(f"label {wrong} is neither 0 (background) nor an action (1{upper})")
    per_frame = labels.reshape(B, -1).expand(B, T).to(clip.device, torch.int64)
    ones = torch.ones(1, B, T, device=clip.device)
    return LabelledClip(clip, per_frame.unsqueeze(0).clone(), ones, ones.clone())


def volume_freeze(
    batch: LabelledClip, *, generator: torch.Generator | None, longest: float = 0.5
) -> LabelledClip:
    """Hold one frame of each clip for a random stretch and label that stretch background.

    The frames after it are pushed back and cut at the clip's end (Volume Freeze; `bg_freeze` in
    the published code). Without motion there is no action, so the model learns where actions
    begin and end. The stretch, in frames, is uniform from 1 to `longest` T (exclusive); its start
    is uniform over where it fits.

    A clip of fewer than 4 frames (at the default `longest`) has no room and stays as it is.

    Shape:
        batch, returns: (B, C, T, H, W) and (M, B, T); M stays.

    Args:
        generator: on the CPU. None freezes a quarter of the clip, from T/8 in clips at even
            places of the batch and from 5T/8 in the others (the published evaluation form).
        longest: the bound of a stretch as a share of the clip, above 0 and at most 1.
    """
    B, C, T, H, W = batch.clip.shape
    start, length = _stretches(B, T, generator=generator, longest=longest)
    frame = torch.arange(T)
    since = frame - start.unsqueeze(1)
    source = frame - since.clamp(min=0).minimum((length - 1).clamp(min=0).unsqueeze(1))
    frozen = (since >= 0) & (since < length.unsqueeze(1))

    # Whole frames are copied as rows, which is twice as fast as a gather of elements.
    rows = torch.arange(B * C).view(B, C, 1) * T + source.unsqueeze(1)
    device = batch.clip.device
    frames = batch.clip.reshape(B * C * T, H * W).index_select(0, rows.flatten().to(device))
    index = source.to(device).expand(batch.labels.shape)
    return LabelledClip(
        frames.view(B, C, T, H, W),
        batch.labels.gather(2, index).masked_fill(frozen.to(device), BACKGROUND),
        batch.weights.gather(2, index),
        batch.support.gather(2, index),
    )


def uniform_integers(bound: Tensor, *, generator: torch.Generator) -> Tensor:
    """Draw integers from 0 up to, not including, each of `bound`, which must be positive."""
    share = torch.rand(bound.shape, generator=generator, dtype=torch.float64)
    # A share just below 1 can round up to the bound itself.
    return (share * bound).long().minimum(bound - 1)


def _stretches(
    B: int, T: int, *, generator: torch.Generator | None, longest: float
) -> tuple[Tensor, Tensor]:
    """Start and length (B,) of the frozen stretches, in frames."""
    if generator is None:
        odd = torch.arange(B) % 2 == 1
        return torch.where(odd, 5 * T // 8, T // 8), torch.full((B,), T // 4)
    bound = int(longest * T)
    if bound < 2:
        return torch.zeros(B, dtype=torch.int64), torch.zeros(B, dtype=torch.int64)
    length = 1 + uniform_integers(torch.full((B,), bound - 1), generator=generator)
    return uniform_integers(T - length + 1, generator=generator), length
