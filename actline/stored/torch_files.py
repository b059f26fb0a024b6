"""PyTorch's own files: tensors and plain values, without running anything that is in them."""

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from actline.errors import ActlineError
from actline.files import written_whole
from actline.stored.limits import lifted, limits


def load_torch(path: Path, *, error: type[ActlineError], unsafe: str, damaged: str) -> Any:
    """What a file of `torch.save` holds, on the CPU, if that is tensors and plain values.

    Args:
        error: what to raise.
        unsafe: an error's line where the file holds more than tensors and plain values.
        damaged: an error's line for a damaged file.

    Raises:
        ActlineError: of kind `error`: as above, or the file would take too much memory.
    """
    _check_size(path, error)
    try:
        with warnings.catch_warnings():  # of old protocols, which this reads all the same
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as failure:
        # torch says so of a global that it does not know, and of damaged pickles in other words.
        named = "GLOBAL" in str(failure) or "Unsupported global" in str(failure)
        raise error(unsafe if named else damaged) from failure
    # A damaged file fails in whatever way its bytes happen to lead to.
    except Exception as failure:
        raise error(damaged) from failure


def save_torch(path: Path, content: Any) -> None:
    """Write tensors and plain values, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    with written_whole(path) as aside, aside.open("wb") as file:
        watched = _Watched(file)
        try:
            torch.save(content, watched)  # type: ignore[arg-type] - needs `write` and `flush`
        except Exception as failure:
            # torch's writer tells of what stood in its way in its own words, or of another.
            if watched.failure is None:
                raise
            raise watched.failure from failure


class _Watched:
    """A file that remembers the first write that failed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self._file.write(data)
        except OSError as failure:
            self.failure = self.failure or failure
            raise

    def flush(self) -> None:
        self._file.flush()


def _check_size(path: Path, error: type[ActlineError]) -> None:
    most = limits().array_mib
    size = 0
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                size = sum(member.file_size for member in archive.infolist())
    # torch reads some archives that zipfile does not, and says itself what is wrong with others.
    except Exception:
        return
    if size > most << 20:
        raise error(f"{path} holds {size >> 20} MiB, more than {most}; {lifted('array_mib')}")
