"""Checks a pickle's content once it is read, and converts it to arrays and tensors."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actline.stored.limits import Limits
from actline.stored.pickle_objects import (
    DamagedError,
    LimitedError,
    RefusedError,
    Storage,
    UnfilledArray,
)


def weigh(value: Any, most: Limits) -> None:
    """Refuse content that contains itself, is nested too deeply, or is too large by references."""
    weights: dict[int, int] = {}
    depths: dict[int, int] = {}
    open_: set[int] = set()
    waiting: list[tuple[Any, bool]] = [(value, False)]
    while waiting:
        one, seen = waiting.pop()
        if not isinstance(one, dict | list | tuple):
            continue
        inside = one.values() if isinstance(one, dict) else one
        own = id(one)
        if not seen:
            if own in open_:
                raise DamagedError("content that contains itself")
            if own in weights:
                continue
            open_.add(own)
            waiting.append((one, True))
            waiting.extend((child, False) for child in inside)
            continue
        if own in weights:
            continue
        open_.discard(own)
        weight = 1 + sum(weights.get(id(child), 1) for child in inside)
        depth = 1 + max((depths.get(id(child), 0) for child in inside), default=0)
        if weight > most.values:
            raise LimitedError(f"more than {most.values} values, by references", "values")
        if depth > most.depth:
            raise LimitedError(f"lists nested more than {most.depth} levels deep", "depth")
        weights[own], depths[own] = weight, depth


def with_arrays(value: Any, known: dict[int, Any], *, arrays: bool) -> Any:
    """Replace our stand-ins with arrays and tensors, once for each shared object."""
    own = id(value)
    if own in known:
        return known[own]
    if isinstance(value, dict):
        found: Any = {key: with_arrays(one, known, arrays=arrays) for key, one in value.items()}
    elif isinstance(value, list | tuple):
        found = [with_arrays(one, known, arrays=arrays) for one in value]
        found = tuple(found) if isinstance(value, tuple) and not arrays else found
    elif isinstance(value, UnfilledArray):
        if value.value is None:
            raise DamagedError("an array without content")
        return value.value
    elif isinstance(value, Storage):
        found = _numpy(value.values) if arrays else value.values
    elif isinstance(value, Tensor):
        found = _numpy(value) if arrays else value
    elif value is None or isinstance(
        value, bool | int | float | str | bytes | bytearray | np.ndarray | torch.dtype
    ):
        return value
    else:
        raise RefusedError("an object that is not plain data")
    known[own] = found
    return found


def _numpy(tensor: Tensor) -> NDArray[Any]:
    # NumPy has no bfloat16.
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
