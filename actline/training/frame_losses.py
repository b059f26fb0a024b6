"""Losses of per-frame multi-label detection, as in the Coarse-Fine authors' code."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def detection_loss(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Half per-frame, half per-clip binary cross-entropy (train_fine.py).

    The per-frame part is averaged over valid frames and classes. The per-clip part is about whether
    each class happens at all: its largest valid logit against its largest label.

    Shape:
        logits, labels: (B, K, L); mask: (B, L), 1 where valid. Returns a scalar, float32.
    """
    logits = logits.float()
    valid = mask.unsqueeze(1)
    per_frame = F.binary_cross_entropy_with_logits(logits, labels, reduction="none") * valid
    frame_loss = per_frame.sum() / (mask.sum() * labels.shape[1])
    largest = logits.masked_fill(valid == 0, torch.finfo(logits.dtype).min).amax(dim=2)
    clip_loss = F.binary_cross_entropy_with_logits(largest, labels.amax(dim=2))
    return (frame_loss + clip_loss) / 2


def at_label_times(
    logits: Tensor, labels: int, how: Literal["times", "corners", "centres"]
) -> Tensor:
    """Bring logits (B, K, T) to `labels` label times: (B, K, L).

    Label L = T * m holds m times from each frame to the next. "times" interpolates between the
    frames' own times and holds the last. The authors stretch the first frame to the first label
    and the last to the last ("corners", Fine stream), or align the spans ("centres",
    Coarse-Fine); both shift by up to a frame.
    """
    T = logits.shape[2]
    if labels == T:
        return logits
    if how != "times":
        corners = how == "corners"
        return F.interpolate(logits, labels, mode="linear", align_corners=corners or None)
    position = torch.arange(labels, device=logits.device) * (T / labels)
    before = position.floor().long()
    after = (before + 1).clamp(max=T - 1)
    return torch.lerp(logits[..., before], logits[..., after], (position - before).to(logits.dtype))
