"""Dropout whose masks are drawn quickly on CPUs too."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# A mask takes so many of the generator's bits a value: four values a draw, and chances as fine as
# 1 in 65 536. PyTorch draws values one by one, a fifth of a training step of TCANet.
_CHANCES = 2**16


def dropout(x: Tensor, probability: float) -> Tensor:
    """As `torch.nn.functional.dropout` in training: zeros by chance, the rest scaled up."""
    if not probability:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, probability)
    kept, scale = draw_kept(x.shape, probability)
    return torch.where(kept, x * scale, 0.0)


def draw_kept(shape: torch.Size, probability: float) -> tuple[Tensor, float]:
    """Which values stay, by PyTorch's generator of the CPU, and what scales them up for the rest.

    Shape:
        returns a mask of `shape`.
    """
    count = math.prod(shape)
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    dropped = min(round(probability * _CHANCES), _CHANCES - 1)
    kept = bits.view(torch.int16)[:count] >= dropped - _CHANCES // 2
    return kept.view(shape), _CHANCES / (_CHANCES - dropped)
