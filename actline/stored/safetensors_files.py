"""safetensors files, read so that damaged ones fail with one error."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from actline.errors import ActlineError, OutputError
from actline.files import written_whole
from actline.stored.json_text import parse_json
from actline.stored.text import refuse_pipe

T = TypeVar("T")
# The metadata key of the checksum that `save_tensors` adds.
CHECKSUM = "checksum"


class TensorFile:
    """An open safetensors file."""

    def __init__(self, stored: Any, path: Path, error: type[ActlineError], otherwise: str) -> None:
        self._stored, self._path = stored, path
        self._error, self._otherwise = error, otherwise
        self.metadata: Mapping[str, str] = self._asked(stored.metadata) or {}
        self.names: Sequence[str] = tuple(self._asked(stored.keys))

    def json(self, key: str) -> Any:
        """The JSON value stored in the metadata under a key, or None."""
        text = self.metadata.get(key)
        return None if text is None else parse_json(text, self._path, error=self._error)

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, from the header alone."""
        return tuple(self._asked(lambda: self._stored.get_slice(name).get_shape()))

    def tensor(self, name: str) -> Tensor:
        """A whole tensor."""
        return self._asked(lambda: self._stored.get_tensor(name))

    def part(self, name: str, *place: slice) -> Tensor:
        """A part of a tensor; the rest is not read."""
        return self._asked(lambda: self._stored.get_slice(name)[place])

    def whole(self, known: Collection[str]) -> dict[str, Tensor]:
        """All tensors, verified by the file's checksum, if it has one.

        Args:
            known: the expected metadata keys; a file with others was changed.

        Raises:
            ActlineError: the tensors or their metadata differ from what was written.
        """
        if not {*known, CHECKSUM} >= self.metadata.keys():
            raise self._error(self._otherwise)
        tensors = {name: self.tensor(name) for name in self.names}
        kept = self.metadata.get(CHECKSUM)
        if kept is not None and kept != checksum(tensors, self.metadata):
            raise self._error(self._otherwise)
        return tensors

    def _asked(self, call: Callable[[], T]) -> T:
        try:
            return call()
        # A damaged file may raise any exception.
        except Exception as failure:
            raise self._error(self._otherwise) from failure


@contextmanager
def open_tensors(path: Path, *, error: type[ActlineError], otherwise: str) -> Iterator[TensorFile]:
    """Open a safetensors file; every failure is an error of one line.

    Args:
        error: what to raise.
        otherwise: the error message for a damaged or incomplete safetensors file.

    Raises:
        ActlineError: of kind `error`.
    """
    refuse_pipe(path, error=error, what="tensors")
    try:
        opened = safe_open(path, framework="pt")
    except Exception as failure:
        raise error(otherwise) from failure
    with opened as stored:
        yield TensorFile(stored, path, error, otherwise)


def checksum(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    """SHA-256 over all tensors (name, type, shape and values) and their metadata."""
    digest = hashlib.sha256()
    said = sorted((key, text) for key, text in about.items() if key != CHECKSUM)
    digest.update(json.dumps(said).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(bytes_of(tensor))
    return digest.hexdigest()


def bytes_of(tensor: Tensor) -> memoryview:
    """A tensor's values as bytes, in order; not copied if it is contiguous and on the CPU."""
    plain = tensor.detach().cpu().contiguous()
    return plain.flatten().view(torch.uint8).numpy().data


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors, and JSON values about them, to one file, with a checksum, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    texts = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in about.items()
    }
    texts[CHECKSUM] = checksum(tensors, texts)
    with written_whole(path) as aside:
        try:
            save_file(dict(tensors), aside, texts)
            _put_in_order(aside)
        except SafetensorError as failure:
            number = re.search(r"os error (\d+)", str(failure))
            if number is not None:  # such as a full disk
                raise OSError(int(number[1]), os.strerror(int(number[1]))) from failure
            raise OutputError(f"cannot write {path}: {failure}; choose another folder") from failure


def _put_in_order(path: Path) -> None:
    """Sort a file's metadata by key.

    The library writes it in a different order in each process; equal content should give equal
    files.
    """
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        about = header.pop("__metadata__", {})
        ordered = {"__metadata__": dict(sorted(about.items())), **header}
        written = json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode()
        if len(written) <= size:  # otherwise the library escaped text differently: leave it
            file.seek(8)
            file.write(written.ljust(size))
