"""Reading pickled arrays and tensors from others, without running anything that is in the file.

A pickle is a program that may call any function. Here the few functions that arrays and tensors
are made of are replaced by our own, which check what they are given; any other is refused.
"""

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actline.errors import FeatureError

# A file of features of an hour-long video is some hundred megabytes.
MAX_BYTES = 4 << 30
# A pickle may number its objects as it likes, and the reader makes a table up to that number.
_MAX_MEMO = 1 << 24
_MAX_DEPTH = 20
_NUMBER_TYPE = re.compile(r"[<>|=]?(?:[iu][1248]|f[248]|b1|\?)")


class _RefusedError(Exception):
    """What a file holds that is no plain data; the message completes "holds …"."""


def load_plain(path: Path) -> Any:
    """Read a pickle of dictionaries, lists, numbers, text, NumPy arrays and PyTorch tensors.

    Returns:
        The content, with tensors as arrays.

    Raises:
        FeatureError: no such file, a damaged one, or one that holds anything else, which is named.
    """
    raw = read_bytes(path)
    try:
        for opcode, argument, _ in pickletools.genops(raw):
            if opcode.name in ("PUT", "LONG_BINPUT") and int(argument or 0) > _MAX_MEMO:
                raise ValueError("memo out of range")
        # latin1: what Python 2 wrote.
        return _plain(_Unpickler(io.BytesIO(raw), encoding="latin1").load(), 0)
    except _RefusedError as refused:
        raise FeatureError(
            f"{path} holds {refused}, which may run code, and is not loaded; "
            "save the arrays alone, as .npy"
        ) from refused
    # A damaged pickle fails in whatever way its bytes happen to lead to.
    except Exception as error:
        raise FeatureError(f"{path} is not a whole pickle file; copy it again") from error


def read_bytes(path: Path) -> bytes:
    """The bytes of a file that is not too large to be features.

    Raises:
        FeatureError: it is missing, unreadable or too large.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise FeatureError(
                f"{path} has {size / 2**30:.1f} GiB, more than {MAX_BYTES >> 30}; "
                "split it into a file a video"
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FeatureError(f"no features at {path}; check the path") from error
    except OSError as error:
        raise FeatureError(
            f"cannot read {path}: {error.strerror or error}; check the path"
        ) from error


class _Call:
    """A function that a pickle may call, closed to a pickle's changing it."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setstate__(self, state: object) -> None:
        raise _RefusedError("a changed function")


class _NumberType:
    """`numpy.dtype`, of numbers only."""

    def __init__(self, name: object, *_: object) -> None:
        if not isinstance(name, str) or not _NUMBER_TYPE.fullmatch(name):
            raise _RefusedError(f"arrays of {str(name)[:20]!r}")
        self.value = np.dtype(name)

    def __setstate__(self, state: tuple[object, ...]) -> None:
        # (version, byte order, …); the rest says nothing of numbers.
        if state[1] in ("<", ">"):
            self.value = self.value.newbyteorder(state[1])  # type: ignore[arg-type]


class _Array:
    """`numpy.ndarray`, first made empty, then filled."""

    value: NDArray[Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, number_type, fortran, raw = state[-4:]
        self.value = _from_buffer(raw, number_type, shape, "F" if fortran else "C")


def _from_buffer(raw: object, number_type: object, shape: object, order: str) -> NDArray[Any]:
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(number_type, _NumberType) or not isinstance(shape, tuple):
        raise _RefusedError("an array of an unknown kind")
    if not isinstance(raw, bytes | bytearray):
        raise _RefusedError("arrays of Python objects")
    values = np.frombuffer(raw, number_type.value)
    return values.reshape(shape, order="F" if order == "F" else "C")


def _scalar(number_type: object, raw: object) -> object:
    return _from_buffer(raw, number_type, (), "C").item()


def _encoded(text: object, encoding: object = "latin1") -> bytes:
    """How protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _RefusedError("text in an unknown encoding")
    return text.encode("latin1")


def _storage(raw: object) -> Tensor:
    """A tensor's numbers in a row, read as PyTorch reads checkpoints from others, on the CPU."""
    if not isinstance(raw, bytes):
        raise _RefusedError("a tensor of an unknown kind")
    try:
        storage = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _RefusedError("a tensor of an unknown kind") from error
    if not isinstance(storage, torch.storage.TypedStorage):
        raise _RefusedError("a tensor of an unknown kind")
    return torch.empty(0, dtype=storage.dtype).set_(storage)  # type: ignore[call-overload]


def _tensor(numbers: object, offset: Any, size: Any, stride: Any, *_: object) -> NDArray[Any]:
    if not isinstance(numbers, Tensor):
        raise _RefusedError("a tensor of an unknown kind")
    # By a stride of 0 a tensor may repeat its numbers without end.
    if math.prod(size) > numbers.numel():
        raise ValueError("a tensor larger than its numbers")
    tensor = numbers.as_strided(tuple(size), tuple(stride), offset).contiguous()
    # NumPy has no bfloat16.
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "_codecs.encode": _encoded,
    "collections.OrderedDict": dict,
    "numpy.dtype": _NumberType,
    # The class, which only `_reconstruct` takes.
    "numpy.ndarray": lambda *_: _Array(),
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch.storage._load_from_bytes": _storage,
}
for _module in ("numpy.core", "numpy._core"):  # before and since NumPy 2
    _FUNCTIONS[f"{_module}.multiarray._reconstruct"] = lambda *_: _Array()
    _FUNCTIONS[f"{_module}.multiarray.scalar"] = _scalar
    _FUNCTIONS[f"{_module}.numeric._frombuffer"] = _from_buffer


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        name = f"{module_name}.{global_name}"
        if name not in _FUNCTIONS:
            raise _RefusedError(f"{name[:80]!r}")
        return _Call(_FUNCTIONS[name])

    def persistent_load(self, pid: Any, /) -> Any:
        raise _RefusedError("an object that lies outside of it")


def _plain(value: object, depth: int) -> Any:
    """Content with arrays in place of our stand-ins."""
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, _Array):
        if value.value is None:
            raise ValueError("an array without content")
        return value.value
    if isinstance(value, dict):
        return {_plain(k, depth + 1): _plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, depth + 1) for one in value]
    if value is None or isinstance(value, bool | int | float | str | bytes | np.ndarray):
        return value
    raise _RefusedError("an object that is no plain data")
