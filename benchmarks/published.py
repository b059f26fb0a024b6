"""Published code, imported from a folder that the user gives, and what it needs to run today.

Nothing of it is part of this repository. What is patched here is undone afterwards, and none of
it changes what the code computes.
"""

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.devices import CPU

NOT_COMPARED = "nothing compared: "


def repository(reference: Path | None, name: str) -> Path | None:
    """The folder of a repository within the given folder, None where it is not there."""
    folder = None if reference is None else reference / name
    return folder if folder is not None and folder.is_dir() else None


def absent(name: str) -> str:
    """The note of a row without the repository `name`."""
    return f"{NOT_COMPARED}give a folder with {name} by --reference"


def has_pandas() -> bool:
    """Whether pandas is installed: the published evaluators need it, this package does not."""
    try:
        import_module("pandas")
    except ImportError:
        return False
    return True


@contextmanager
def running(device: torch.device = CPU) -> Iterator[None]:
    """Let code written for a GPU and for an old NumPy run with a new one, on a CPU as well."""
    with ExitStack() as stack:
        if device.type == "cpu":
            stack.enter_context(patch.object(torch.Tensor, "cuda", _on_the_cpu))
        for name, kind in (("float", float), ("int", int)):  # NumPy 1.24 took these names away
            stack.enter_context(patch.object(np, name, kind, create=True))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield


def _on_the_cpu(tensor: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
    return tensor


def load(folder: Path, name: str) -> Any:
    """Import the module `name` of a published repository, and leave no trace of that.

    Repositories share names such as `utils`: their modules are forgotten once imported.
    """
    before = set(sys.modules)
    debugger = ModuleType("ipdb")  # imported everywhere, used nowhere
    debugger.__dict__["set_trace"] = None
    with (
        running(),
        patch.object(sys, "path", [str(folder), *sys.path]),
        patch.object(sys, "dont_write_bytecode", True),
    ):
        sys.modules["ipdb"] = debugger
        try:
            return import_module(name)
        finally:
            for new in set(sys.modules) - before:
                origin = getattr(sys.modules[new], "__file__", None)
                if new == "ipdb" or (origin and Path(origin).is_relative_to(folder)):
                    del sys.modules[new]


def functions(path: Path, *, after: str, names: Mapping[str, object]) -> dict[str, Any]:
    """What a file defines from the line that starts with `after` on.

    For files of Python 2 whose functions are Python 3 all the same.

    Args:
        names: what those functions take from the rest of the file and its imports.
    """
    text = path.read_text()
    start = text.index(f"\n{after}")
    # Empty lines in front keep the line numbers of messages.
    source = "\n" * text[:start].count("\n") + text[start:]
    namespace: dict[str, Any] = dict(names)
    # To run published code is what is asked for.
    exec(compile(source, str(path), "exec"), namespace)  # noqa: S102
    return namespace
