"""Stand-ins for the functions and objects that a pickle of plain data and tensors may use.

Each checks its arguments, and none runs any code from the file.
"""

import io
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_NUMBER_TYPE = re.compile(r"[<>|=]?(?:[iu][1248]|f[248]|b1|\?)")


class RefusedError(Exception):
    """The file holds something that is not plain data; the message completes "holds …"."""


class OddTensorError(RefusedError):
    """A tensor that is not plain numbers, all of them stored in the file."""


class DamagedError(Exception):
    """The file is damaged or incomplete."""


class LimitedError(Exception):
    """The content exceeds a limit.

    Attributes:
        limit: the name of the limit.
    """

    def __init__(self, message: str, limit: str) -> None:
        super().__init__(message)
        self.limit = limit


@dataclass(frozen=True)
class StorageType:
    """The number type of a storage."""

    dtype: torch.dtype


@dataclass(frozen=True, eq=False)
class Storage:
    """A flat sequence of numbers, on which tensors are views.

    Shape:
        values: (N,).
    """

    values: Tensor


@dataclass(frozen=True)
class CalledFunction:
    """A function that a pickle may call."""

    name: str


class NumberType:
    """Stand-in for `numpy.dtype`, for numbers only."""

    def __init__(self, name: object) -> None:
        if not isinstance(name, str) or not _NUMBER_TYPE.fullmatch(name):
            raise RefusedError(f"arrays of {str(name)[:20]!r}")
        self.value = np.dtype(name)

    def build(self, state: object) -> None:
        # (version, byte order, …); the rest does not concern numbers.
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "=", "|"):
            raise DamagedError("numbers in an unknown byte order")
        if state[1] in ("<", ">"):
            self.value = self.value.newbyteorder(state[1])


class UnfilledArray:
    """Stand-in for `numpy.ndarray`, created empty, then filled."""

    value: NDArray[Any] | None = None

    def build(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) not in (4, 5):  # NumPy refuses others
            raise DamagedError("an array of an unknown kind")
        shape, number_type, fortran, raw = state[-4:]
        self.value = _from_buffer(raw, number_type, shape, "F" if fortran else "C")


class NamedMapping(dict[Any, Any]):
    """A dictionary with attributes, such as the metadata of a state_dict, which are left out."""

    def build(self, state: object) -> None:
        pass


def fill(target: dict[Any, Any], items: list[Any]) -> None:
    """Put keys and values, which follow each other, into a dictionary.

    Raises:
        RefusedError, DamagedError: a key is nested, or has no value.
    """
    if len(items) % 2:
        raise DamagedError("a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Hashing anything nested would take unbounded work.
        if not isinstance(key, str | bytes | int | float | None):
            raise RefusedError(f"a key that is a {type(key).__name__}")
        target[key] = value


def _from_buffer(raw: object, number_type: object, shape: object, order: object) -> NDArray[Any]:
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(number_type, NumberType) or not isinstance(shape, tuple):
        raise RefusedError("an array of an unknown kind")
    if not isinstance(raw, bytes | bytearray):
        raise RefusedError("arrays of Python objects")
    values = np.frombuffer(raw, number_type.value)
    return values.reshape(shape, order="F" if order == "F" else "C")


def _scalar(number_type: object, raw: object) -> object:
    return _from_buffer(raw, number_type, (), "C").item()


def _encoded(text: object, encoding: object = "latin1") -> bytes:
    """Bytes, as protocol 2 writes them."""
    if not isinstance(text, str) or encoding != "latin1":
        raise RefusedError("text in an unknown encoding")
    return text.encode("latin1")


def _tensor(numbers: object, offset: Any, size: Any, stride: Any, *_: object) -> Tensor:
    if not isinstance(numbers, Storage):
        raise RefusedError("a tensor of an unknown kind")
    values = numbers.values
    counts = [int(one) for one in size]
    # With a stride of 0 a tensor may repeat its numbers any number of times.
    if min(counts, default=0) < 0 or math.prod(counts) > values.numel():
        raise OddTensorError("a tensor larger than its numbers")
    return values.as_strided(tuple(counts), tuple(stride), offset)


def _parameter(data: object, *_: object) -> Tensor:
    if not isinstance(data, Tensor):
        raise RefusedError("a parameter of an unknown kind")
    return data


def _storage(raw: object) -> Storage:
    """The storage of a tensor pickled by itself, in the format of `torch.save` before 1.6."""
    from actline.stored.torch_files import load_older  # circular

    if not isinstance(raw, bytes):
        raise RefusedError("a tensor of an unknown kind")
    found = load_older(io.BytesIO(raw))
    if not isinstance(found, Tensor):
        raise RefusedError("a tensor of an unknown kind")
    return Storage(found)


def _mapping(pairs: object = ()) -> NamedMapping:
    if isinstance(pairs, dict):
        return NamedMapping(pairs)
    if not isinstance(pairs, list | tuple):
        raise RefusedError("a dictionary of an unknown kind")
    made = NamedMapping()
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise DamagedError("a dictionary without pairs")
        fill(made, list(pair))
    return made


def _size(numbers: object = ()) -> tuple[int, ...]:
    if not isinstance(numbers, list | tuple):
        raise RefusedError("a shape of an unknown kind")
    return tuple(int(one) for one in numbers)


def _out_of_place(*_: object) -> NoReturn:
    raise RefusedError("an object that is not plain data")


# What a pickle may name, by the names that it has there.
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "_codecs.encode": _encoded,
    "collections.OrderedDict": _mapping,
    "collections.Counter": _mapping,
    "numpy.dtype": lambda name, *_: NumberType(name),
    # The class itself, which only `_reconstruct` accepts.
    "numpy.ndarray": _out_of_place,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.storage._load_from_bytes": _storage,
    **{
        f"{module}.{name}": function
        for module in ("numpy.core", "numpy._core")  # before and since NumPy 2
        for name, function in (
            ("multiarray._reconstruct", lambda *_: UnfilledArray()),
            ("multiarray.scalar", _scalar),
            ("numeric._frombuffer", _from_buffer),
        )
    },
}
_KINDS = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
}
# Storages on a GPU have the same format.
STORAGES = {
    **{f"{m}.{kind}Storage": d for kind, d in _KINDS.items() for m in ("torch", "torch.cuda")},
    "torch.storage.UntypedStorage": torch.uint8,
}
DTYPES = {str(dtype): dtype for dtype in _KINDS.values()}
