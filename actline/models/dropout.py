"""Dropout whose masks are drawn quickly on CPUs too."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Bits of the generator that a mask takes per value: four values a draw, and probabilities in steps
# of 1 / 65 536. PyTorch draws values one by one, which is a fifth of a training step of TCANet.
_CHANCES = 2**16


def dropout(x: Tensor, probability: float) -> Tensor:
    """As `torch.nn.functional.dropout` in training: random zeros, the rest scaled up."""
    if not probability:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, probability)
    kept, scale = draw_kept(x.shape, probability)
    return torch.where(kept, x * scale, 0.0)


def draw_kept(shape: torch.Size, probability: float) -> tuple[Tensor, float]:
    """Zero for dropped values, for kept ones what scales them up; drawn by PyTorch's CPU generator.

    Shape:
        returns a mask of `shape`.
    """
    count = math.prod(shape)
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    dropped = min(round(probability * _CHANCES), _CHANCES - 1)
    kept = bits.view(torch.int16)[:count] >= dropped - _CHANCES // 2
    return kept.view(shape), _CHANCES / (_CHANCES - dropped)
