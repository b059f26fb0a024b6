"""Pickles of plain data, arrays and tensors, read without running any code in them.

A pickle is a program for a small stack machine, which may call any function. This module is such a
machine with only the instructions that plain data need, and the few functions that build arrays and
tensors (`pickle_objects`). Instructions that could multiply data (references to references, copies
of one array) are counted before they run.
"""

import io
import pickletools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from torch import Tensor

from actline.errors import ActlineError
from actline.stored.limits import Limits, lifted, limits
from actline.stored.pickle_objects import (
    DTYPES,
    FUNCTIONS,
    STORAGES,
    CalledFunction,
    DamagedError,
    LimitedError,
    NamedMapping,
    NumberType,
    OddTensorError,
    RefusedError,
    Storage,
    StorageType,
    UnfilledArray,
    fill,
)
from actline.stored.pickled_content import weigh, with_arrays
from actline.stored.text import read_bytes

# Instructions per value; picklers write fewer.
_STEPS_PER_VALUE = 8
_MOST_BITS = 256


def read_pickle(path: Path, *, error: type[ActlineError], what: str) -> Any:
    """Read a pickle of dictionaries, lists, numbers, text, NumPy arrays and PyTorch tensors.

    Returns:
        The content, with tensors as arrays, and tuples as lists.

    Raises:
        ActlineError: of kind `error`: the file is missing, damaged, holds anything else (named in
            the message), or exceeds a limit.
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


_MARK = object()


class Pickle:
    """The machine that reads one pickle from a file's current position to the pickle's end.

    Args:
        persistent: returns an object stored outside the pickle, given its description.
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
        # Bytes that calls may copy: at most the file's size, or one text could become thousands of
        # arrays.
        self._left = file.seek(0, io.SEEK_END)
        # Bytes that tensors may take; shared numbers count for each tensor.
        self._tensors_left = self._limits.array_mib << 20
        file.seek(here)

    def load(self, *, arrays: bool = False) -> Any:
        """Read the content.

        Args:
            arrays: return tensors as arrays.

        Raises:
            RefusedError, DamagedError, LimitedError: the content is not plain data, is damaged, or
                exceeds a limit.
        """
        value = self._run()
        weigh(value, self._limits)
        return with_arrays(value, {}, arrays=arrays)

    def _run(self) -> Any:
        most = _STEPS_PER_VALUE * self._limits.values
        for count, (name, argument) in enumerate(_instructions(self._file)):
            if count > most:
                raise LimitedError(f"more than {self._limits.values} values", "values")
            if name == "STOP":
                return self._pop()
            step = _STEPS.get(name)
            if step is None:
                raise RefusedError("a set" if "SET" in name else "an object that is not plain data")
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
            raise DamagedError("a number with too many digits")
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
        fill(self._a(dict), [key, value])

    def _set_items(self, _: object) -> None:
        items = self._since_mark()
        fill(self._a(dict), items)

    def _new_dict(self, _: object) -> None:
        items = self._since_mark()
        made: dict[Any, Any] = {}
        fill(made, items)
        self._push(made)

    def _a(self, kind: type) -> Any:
        found = self._top()
        if not isinstance(found, kind):
            raise DamagedError(f"no {kind.__name__} to fill")
        return found

    def _global(self, named: Any) -> None:
        module, _, name = str(named).partition(" ")
        self._find(module, name)

    def _stack_global(self, _: object) -> None:
        name, module = self._pop(), self._pop()
        self._find(str(module), str(name))

    def _find(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if full in FUNCTIONS:
            self._push(CalledFunction(full))
        elif full in STORAGES:
            self._push(StorageType(STORAGES[full]))
        elif full in DTYPES:
            self._push(DTYPES[full])
        elif module.startswith("torch") and name.startswith(("_rebuild", "Complex", "Q")):
            raise OddTensorError("a tensor that is not of plain numbers")
        else:
            raise RefusedError(f"{full[:80]!r}")

    def _reduce(self, _: object) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, CalledFunction) or not isinstance(arguments, tuple):
            raise DamagedError("a call of something that is not a function")
        self._push(self._called(function.name, arguments))

    def _called(self, name: str, arguments: tuple[Any, ...]) -> Any:
        try:
            made = FUNCTIONS[name](*arguments)
        except (RefusedError, DamagedError, LimitedError):
            raise
        # The libraries raise various errors for sizes and types that do not match.
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
            raise DamagedError("more data made than the file holds")
        return made

    def _build(self, _: object) -> None:
        state, target = self._pop(), self._top()
        if isinstance(target, NumberType | UnfilledArray | NamedMapping):
            try:
                target.build(state)
            except (RefusedError, DamagedError):
                raise
            except Exception as failure:  # as for a call
                raise DamagedError("a wrong state") from failure
        elif isinstance(target, CalledFunction | StorageType):
            raise RefusedError("a changed function")
        else:
            raise RefusedError("an object that is not plain data")

    def _outside(self, _: object) -> None:
        self._refer(self._pop())

    def _refer(self, described: object) -> None:
        if self._persistent is None:
            raise RefusedError("an object stored outside it")
        self._push(self._persistent(described))


def _instructions(file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    """The names and arguments of a pickle's instructions."""
    steps = pickletools.genops(file)
    while True:
        try:
            opcode, argument, _ = next(steps)
        except StopIteration:
            return
        # A damaged pickle may raise any exception.
        except Exception as failure:
            raise DamagedError("an invalid instruction") from failure
        yield opcode.name, argument


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
