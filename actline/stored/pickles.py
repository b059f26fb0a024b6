"""Pickles of plain data, arrays and tensors, read without running anything that is in them.

A pickle is a program for a small machine with a stack, which may call any function. This is such a
machine of our own: it knows the instructions that plain data need, and the few functions that
arrays and tensors are made of, each of which checks what it is given. What an instruction could
multiply (references to references, copies of one array) is counted before it is done.
"""

import io
import math
import pickletools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actline.errors import ActlineError
from actline.stored.limits import Limits, lifted, limits
from actline.stored.text import read_bytes

# Instructions to a value; what picklers write needs fewer.
_STEPS_PER_VALUE = 8
_MOST_BITS = 256
_NUMBER_TYPE = re.compile(r"[<>|=]?(?:[iu][1248]|f[248]|b1|\?)")


class RefusedError(Exception):
    """What a file holds that is no plain data; the message completes "holds …"."""


class OddTensorError(RefusedError):
    """A tensor of another kind than numbers that all lie in the file."""


class DamagedError(Exception):
    """The bytes are not those of a whole file."""


class LimitedError(Exception):
    """The content would cost more than a limit allows.

    Attributes:
        limit: its name.
    """

    def __init__(self, message: str, limit: str) -> None:
        super().__init__(message)
        self.limit = limit


def read_pickle(path: Path, *, error: type[ActlineError], what: str) -> Any:
    """Read a pickle of dictionaries, lists, numbers, text, NumPy arrays and PyTorch tensors.

    Returns:
        The content, with tensors as arrays, and tuples as lists.

    Raises:
        ActlineError: of kind `error`: no such file, a damaged one, one that holds anything else,
            which is named, or more than a limit allows.
    """
    raw = read_bytes(path, error=error, what=what, mib="array_mib")
    try:
        return Pickle(io.BytesIO(raw)).load(arrays=True)
    except OddTensorError as odd:
        raise error(f"{path} holds {odd}; save plain arrays") from odd
    except RefusedError as refused:
        raise error(
            f"{path} holds {refused}, which may run code, and is not loaded; "
            "save the arrays alone, as .npy"
        ) from refused
    except DamagedError as damaged:
        raise error(f"{path} is not a whole pickle file; copy it again") from damaged
    except LimitedError as limited:
        raise error(f"{path} holds {limited}; {lifted(limited.limit)}") from limited


@dataclass(frozen=True)
class StorageType:
    """What a storage's numbers are."""

    dtype: torch.dtype


@dataclass(frozen=True, eq=False)
class Storage:
    """Numbers in a row, of which tensors are made.

    Shape:
        values: (N,).
    """

    values: Tensor


@dataclass(frozen=True)
class _Function:
    """A function that a pickle may call."""

    name: str


class _NumberType:
    """`numpy.dtype`, of numbers only."""

    def __init__(self, name: object) -> None:
        if not isinstance(name, str) or not _NUMBER_TYPE.fullmatch(name):
            raise RefusedError(f"arrays of {str(name)[:20]!r}")
        self.value = np.dtype(name)

    def build(self, state: object) -> None:
        # (version, byte order, …); the rest says nothing of numbers.
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "=", "|"):
            raise DamagedError("numbers in an unknown order of bytes")
        if state[1] in ("<", ">"):
            self.value = self.value.newbyteorder(state[1])


class _Array:
    """`numpy.ndarray`, first made empty, then filled."""

    value: NDArray[Any] | None = None

    def build(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) < 4:
            raise DamagedError("an array of an unknown kind")
        shape, number_type, fortran, raw = state[-4:]
        self.value = _from_buffer(raw, number_type, shape, "F" if fortran else "C")


class _Named(dict[Any, Any]):
    """A dictionary with attributes, such as the versions that a state_dict has; left out."""

    def build(self, state: object) -> None:
        pass


_MARK = object()


class Pickle:
    """The machine that reads one pickle from a file, from where it stands to the pickle's end.

    Args:
        persistent: what stands for an object that lies outside of the pickle, by its description.
    """

    def __init__(
        self, file: IO[bytes], *, persistent: Callable[[object], object] | None = None
    ) -> None:
        self._file = file
        self._persistent = persistent
        self._limits: Limits = limits()
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        here = file.tell()
        # What calls may copy: no more than there is, lest one text becomes thousands of arrays.
        self._left = file.seek(0, io.SEEK_END)
        # What tensors may be, counted as often as they share their numbers.
        self._tensors_left = self._limits.array_mib << 20
        file.seek(here)

    def load(self, *, arrays: bool = False) -> Any:
        """The content.

        Args:
            arrays: give tensors as arrays.

        Raises:
            RefusedError, DamagedError, LimitedError: it is no plain data, not whole, or too much.
        """
        value = self._run()
        _weigh(value, self._limits)
        return _plain(value, {}, arrays=arrays)

    def _run(self) -> Any:
        most = _STEPS_PER_VALUE * self._limits.values
        for count, (name, argument) in enumerate(_instructions(self._file)):
            if count > most:
                raise LimitedError(f"more than {self._limits.values} values", "values")
            if name == "STOP":
                return self._pop()
            step = _STEPS.get(name)
            if step is None:
                raise RefusedError("a set" if "SET" in name else "an object that is no plain data")
            step(self, argument)
        raise DamagedError("no end")

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise DamagedError("an empty stack")
        return self._stack.pop()

    def _top(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise DamagedError("an empty stack")
        return self._stack[-1]

    def _since_mark(self) -> list[Any]:
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _MARK:
                found = self._stack[place + 1 :]
                del self._stack[place:]
                return found
        raise DamagedError("no mark")

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop_mark(self, _: object) -> None:
        self._since_mark()

    def _put(self, number: Any) -> None:
        self._memo[int(number)] = self._top()

    def _memoize(self, _: object) -> None:
        self._memo[len(self._memo)] = self._top()

    def _get(self, number: Any) -> None:
        if int(number) not in self._memo:
            raise DamagedError("a reference to nothing")
        self._push(self._memo[int(number)])

    def _number(self, value: Any) -> None:
        if value.bit_length() > _MOST_BITS:
            raise DamagedError("a number of many digits")
        self._push(value)

    def _tuple_of(self, count: int) -> None:
        items = [self._pop() for _ in range(count)][::-1]
        self._push(tuple(items))

    def _append(self, _: object) -> None:
        item = self._pop()
        self._a(list).append(item)

    def _appends(self, _: object) -> None:
        items = self._since_mark()
        self._a(list).extend(items)

    def _set_item(self, _: object) -> None:
        value, key = self._pop(), self._pop()
        self._fill(self._a(dict), [key, value])

    def _set_items(self, _: object) -> None:
        items = self._since_mark()
        self._fill(self._a(dict), items)

    def _new_dict(self, _: object) -> None:
        items = self._since_mark()
        made: dict[Any, Any] = {}
        self._fill(made, items)
        self._push(made)

    def _a(self, kind: type) -> Any:
        found = self._top()
        if not isinstance(found, kind):
            raise DamagedError(f"no {kind.__name__} to fill")
        return found

    @staticmethod
    def _fill(target: dict[Any, Any], items: list[Any]) -> None:
        if len(items) % 2:
            raise DamagedError("a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # The hash of anything nested would be work without bounds.
            if not isinstance(key, str | bytes | int | float | None):
                raise RefusedError(f"a key that is a {type(key).__name__}")
            target[key] = value

    def _global(self, named: Any) -> None:
        module, _, name = str(named).partition(" ")
        self._find(module, name)

    def _stack_global(self, _: object) -> None:
        name, module = self._pop(), self._pop()
        self._find(str(module), str(name))

    def _find(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if full in _FUNCTIONS:
            self._push(_Function(full))
        elif full in _STORAGES:
            self._push(StorageType(_STORAGES[full]))
        elif full in _DTYPES:
            self._push(_DTYPES[full])
        elif module.startswith("torch") and name.startswith(("_rebuild", "Complex", "Q")):
            raise OddTensorError("a tensor that is not of plain numbers")
        else:
            raise RefusedError(f"{full[:80]!r}")

    def _reduce(self, _: object) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, _Function) or not isinstance(arguments, tuple):
            raise DamagedError("a call of no function")
        self._push(self._called(function.name, arguments))

    def _called(self, name: str, arguments: tuple[Any, ...]) -> Any:
        try:
            made = _FUNCTIONS[name](*arguments)
        except (RefusedError, DamagedError, LimitedError):
            raise
        # What the libraries say of sizes and kinds that do not go together.
        except Exception as failure:
            raise DamagedError(f"a wrong call of {name}") from failure
        if isinstance(made, Tensor):
            self._tensors_left -= made.numel() * max(4, made.element_size())
            if self._tensors_left < 0:
                raise LimitedError(f"more than {self._limits.array_mib} MiB", "array_mib")
        elif isinstance(made, Storage):
            self._left -= made.values.nbytes
        elif isinstance(made, bytes | dict | tuple):
            self._left -= len(made)
        if self._left < 0:
            raise DamagedError("more made than there is")
        return made

    def _build(self, _: object) -> None:
        state, target = self._pop(), self._top()
        if isinstance(target, _NumberType | _Array | _Named):
            try:
                target.build(state)
            except (RefusedError, DamagedError):
                raise
            except Exception as failure:  # as of a call
                raise DamagedError("a wrong state") from failure
        elif isinstance(target, _Function | StorageType):
            raise RefusedError("a changed function")
        else:
            raise RefusedError("an object that is no plain data")

    def _outside(self, _: object) -> None:
        self._refer(self._pop())

    def _refer(self, described: object) -> None:
        if self._persistent is None:
            raise RefusedError("an object that lies outside of it")
        self._push(self._persistent(described))


def _instructions(file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    """Names and arguments of a pickle's instructions, up to the last."""
    steps = pickletools.genops(file)
    while True:
        try:
            opcode, argument, _ = next(steps)
        except StopIteration:
            return
        # A damaged pickle fails in whatever way its bytes happen to lead to.
        except Exception as failure:
            raise DamagedError("no instruction") from failure
        yield opcode.name, argument


def _weigh(value: Any, most: Limits) -> None:
    """Refuse content that refers to itself, is nested deeply, or by references is too much."""
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
                raise DamagedError("content that holds itself")
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
            raise LimitedError(f"lists in lists, more than {most.depth} levels deep", "depth")
        weights[own], depths[own] = weight, depth


def _plain(value: Any, known: dict[int, Any], *, arrays: bool) -> Any:
    """Content with arrays and tensors in place of our stand-ins; once for what is shared."""
    own = id(value)
    if own in known:
        return known[own]
    if isinstance(value, dict):
        found: Any = {key: _plain(one, known, arrays=arrays) for key, one in value.items()}
    elif isinstance(value, list | tuple):
        found = [_plain(one, known, arrays=arrays) for one in value]
        found = tuple(found) if isinstance(value, tuple) and not arrays else found
    elif isinstance(value, _Array):
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
        raise RefusedError("an object that is no plain data")
    known[own] = found
    return found


def _numpy(tensor: Tensor) -> NDArray[Any]:
    # NumPy has no bfloat16.
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _from_buffer(raw: object, number_type: object, shape: object, order: object) -> NDArray[Any]:
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(number_type, _NumberType) or not isinstance(shape, tuple):
        raise RefusedError("an array of an unknown kind")
    if not isinstance(raw, bytes | bytearray):
        raise RefusedError("arrays of Python objects")
    values = np.frombuffer(raw, number_type.value)
    return values.reshape(shape, order="F" if order == "F" else "C")


def _scalar(number_type: object, raw: object) -> object:
    return _from_buffer(raw, number_type, (), "C").item()


def _encoded(text: object, encoding: object = "latin1") -> bytes:
    """How protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise RefusedError("text in an unknown encoding")
    return text.encode("latin1")


def _tensor(numbers: object, offset: Any, size: Any, stride: Any, *_: object) -> Tensor:
    if not isinstance(numbers, Storage):
        raise RefusedError("a tensor of an unknown kind")
    values = numbers.values
    counts = [int(one) for one in size]
    # By a stride of 0 a tensor may repeat its numbers without end.
    if min(counts, default=0) < 0 or math.prod(counts) > values.numel():
        raise OddTensorError("a tensor larger than its numbers")
    return values.as_strided(tuple(counts), tuple(stride), offset)


def _parameter(data: object, *_: object) -> Tensor:
    if not isinstance(data, Tensor):
        raise RefusedError("a parameter of an unknown kind")
    return data


def _storage(raw: object) -> Storage:
    """The storage of a tensor that was pickled alone, in the form of `torch.save` before 1.6."""
    from actline.stored.torch_files import load_older  # which reads its pickles with this module

    if not isinstance(raw, bytes):
        raise RefusedError("a tensor of an unknown kind")
    found = load_older(io.BytesIO(raw))
    if not isinstance(found, Tensor):
        raise RefusedError("a tensor of an unknown kind")
    return Storage(found)


def _mapping(pairs: object = ()) -> _Named:
    if isinstance(pairs, dict):
        return _Named(pairs)
    if not isinstance(pairs, list | tuple):
        raise RefusedError("a dictionary of an unknown kind")
    made = _Named()
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise DamagedError("no pairs")
        Pickle._fill(made, list(pair))
    return made


def _size(numbers: object = ()) -> tuple[int, ...]:
    if not isinstance(numbers, list | tuple):
        raise RefusedError("a shape of an unknown kind")
    return tuple(int(one) for one in numbers)


def _out_of_place(*_: object) -> NoReturn:
    raise RefusedError("an object that is no plain data")


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "_codecs.encode": _encoded,
    "collections.OrderedDict": _mapping,
    "collections.Counter": _mapping,
    "numpy.dtype": lambda name, *_: _NumberType(name),
    # The class, which only `_reconstruct` takes.
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
            ("multiarray._reconstruct", lambda *_: _Array()),
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
# Those of a GPU hold the same.
_STORAGES = {
    **{f"{m}.{kind}Storage": d for kind, d in _KINDS.items() for m in ("torch", "torch.cuda")},
    "torch.storage.UntypedStorage": torch.uint8,
}
_DTYPES = {str(dtype): dtype for dtype in _KINDS.values()}
Step = Callable[[Pickle, Any], None]


def _nothing(machine: Pickle, argument: object) -> None:
    pass


_PUSH: Step = lambda machine, argument: machine._push(argument)  # noqa: E731
_STEPS: Mapping[str, Step] = {
    **dict.fromkeys(("PROTO", "FRAME"), _nothing),
    **dict.fromkeys(
        (
            "FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE",
            "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
            "BINBYTES8", "BYTEARRAY8",
        ),
        _PUSH,
    ),
    **dict.fromkeys(
        ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"), Pickle._number
    ),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Pickle._put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Pickle._get),
    "MEMOIZE": Pickle._memoize,
    "NONE": lambda machine, _: machine._push(None),
    "NEWTRUE": lambda machine, _: machine._push(True),
    "NEWFALSE": lambda machine, _: machine._push(False),
    "MARK": lambda machine, _: machine._push(_MARK),
    "POP": lambda machine, _: machine._stack.pop() if machine._stack else machine._pop(),
    "POP_MARK": Pickle._pop_mark,
    "DUP": lambda machine, _: machine._push(machine._top()),
    "EMPTY_LIST": lambda machine, _: machine._push([]),
    "EMPTY_DICT": lambda machine, _: machine._push({}),
    "EMPTY_TUPLE": lambda machine, _: machine._push(()),
    "LIST": lambda machine, _: machine._push(machine._since_mark()),
    "DICT": Pickle._new_dict,
    "TUPLE": lambda machine, _: machine._push(tuple(machine._since_mark())),
    "TUPLE1": lambda machine, _: machine._tuple_of(1),
    "TUPLE2": lambda machine, _: machine._tuple_of(2),
    "TUPLE3": lambda machine, _: machine._tuple_of(3),
    "APPEND": Pickle._append,
    "APPENDS": Pickle._appends,
    "SETITEM": Pickle._set_item,
    "SETITEMS": Pickle._set_items,
    "GLOBAL": Pickle._global,
    "STACK_GLOBAL": Pickle._stack_global,
    "REDUCE": Pickle._reduce,
    "BUILD": Pickle._build,
    "PERSID": Pickle._refer,
    "BINPERSID": Pickle._outside,
}  # fmt: skip
