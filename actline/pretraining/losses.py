"""The loss of detection pretraining: cross-entropy with the weighted labels of mixed clips."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from actline.pretraining.volume_freeze import BACKGROUND


def soft_label_loss(
    logits: Tensor,
    *,
    labels: Tensor,
    weights: Tensor,
    support: Tensor,
    background: Literal["class", "none"] = "class",
    average: Literal["frames", "support"] = "frames",
) -> Tensor:
    """Cross-entropy of every frame against its actions, each with its weight (SSDet).

    One softmax over all classes. A frame's loss is the sum over its labels of weight times
    cross-entropy, which is the cross-entropy with the soft label that they make up.

    Shape:
        logits: (B, K + 1, T) with background as class 0, or (B, K, T); labels, weights,
            support: (M, B, T) of `LabelledClip`. Returns a scalar, float32: 0 where no frame is
            supported.

    Args:
        background: "class": background is its own class, as SSDet describes it. "none": the
            logits are the K actions, and frozen frames have no target, so no cross-entropy.
        average: "frames": every frame counts the same, as soft labels say. "support", as in the
            published code: the sum over the mixed clips of each one's weighted cross-entropy,
            divided by the frames in which that clip takes part, not by all frames. They differ only
            for Volume MixUp, where "support" is the larger.

    Raises:
        ValueError: shapes do not fit, or a label is outside the classes of the logits.
    """
    B, classes, T = logits.shape
    if labels.shape[1:] != (B, T) or not labels.shape == weights.shape == support.shape:
        raise ValueError(
            f"labels {tuple(labels.shape)}, weights {tuple(weights.shape)} and support "
            f"{tuple(support.shape)} do not fit logits {tuple(logits.shape)}: "
            f"expected (mixes, {B}, {T})"
        )
    highest = classes - 1 if background == "class" else classes
    # Out of range, a CUDA kernel would stop the whole process without saying which label.
    if labels.numel() and (int(labels.amin()) < 0 or int(labels.amax()) > highest):
        wrong = int(labels.amin()) if int(labels.amin()) < 0 else int(labels.amax())
        raise ValueError(
            f"label {wrong} is outside 0 to {highest}, the background and actions of "
            f"{classes} logits"
        )
    if background == "none":
        weights = weights.masked_fill(labels == BACKGROUND, 0)
        labels = (labels - 1).clamp(min=0)
    log_probability = F.log_softmax(logits.float(), dim=1).gather(1, labels.transpose(0, 1))
    cross_entropy = -log_probability.transpose(0, 1)
    # A class without weight may have probability 0: 0 times infinity must not reach the sum.
    weighted = torch.where(weights > 0, weights * cross_entropy, 0.0)
    if average == "support":
        return (weighted.sum(dim=(1, 2)) / support.sum(dim=(1, 2)).clamp(min=1)).sum()
    return weighted.sum() / support.amax(dim=0).sum().clamp(min=1)
