"""The devices to measure on, and float32 that is float32 on each."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

CPU = torch.device("cpu")


def found() -> list[str]:
    """Types of the devices on this machine that benchmarks run on."""
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Keep a GPU from rounding float32 to TF32, as convolutions there do unless they are told."""
    products = torch.backends.cuda.matmul
    convolutions: Any = torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    if device.type == "cuda":
        products.allow_tf32 = convolutions.allow_tf32 = False
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
