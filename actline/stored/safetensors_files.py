"""safetensors files: header and tensors, whatever the bytes are."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from actline.errors import ActlineError, OutputError
from actline.files import written_whole
from actline.stored.json_text import parse_json


@contextmanager
def opened(path: Path, *, error: type[ActlineError], otherwise: str) -> Iterator[Any]:
    """An open safetensors file (as `safetensors.safe_open` gives), whose failures are one line.

    Args:
        error: what to raise.
        otherwise: an error's line for a file that is no whole safetensors file.

    Raises:
        ActlineError: of kind `error`, for whatever the library raises within the block too.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            yield stored
    except (SafetensorError, OSError, MemoryError) as failure:
        raise error(otherwise) from failure


def metadata(path: Path, key: str, *, error: type[ActlineError], otherwise: str) -> Any:
    """The JSON value that a file's metadata has under a key; None where it has none.

    Raises:
        ActlineError: of kind `error`: the file or the JSON is damaged.
    """
    with opened(path, error=error, otherwise=otherwise) as stored:
        text = (stored.metadata() or {}).get(key)
    return None if text is None else parse_json(text, path, error=error)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors, and JSON values about them, to one file, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    texts = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in about.items()
    }
    with written_whole(path) as aside:
        try:
            save_file(dict(tensors), aside, texts)
            _put_in_order(aside)
        except SafetensorError as failure:
            number = re.search(r"os error (\d+)", str(failure))
            if number is not None:  # as a full disk is told
                raise OSError(int(number[1]), os.strerror(int(number[1]))) from failure
            raise OutputError(f"cannot write {path}: {failure}; choose another folder") from failure


def _put_in_order(path: Path) -> None:
    """Let a file's metadata stand in the order of its keys.

    The library writes it in another order in each process, and equal content should be an equal
    file.
    """
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        about = header.pop("__metadata__", {})
        ordered = {"__metadata__": dict(sorted(about.items())), **header}
        written = json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode()
        if len(written) <= size:  # else the library wrote a text in another way; as it stands then
            file.seek(8)
            file.write(written.ljust(size))
