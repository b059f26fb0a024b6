"""What several test files share: the goldens and small real videos."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import settings
from numpy.typing import NDArray
from torch import Tensor

HERE = Path(__file__).parent

# A signal sent to a test's child must reach it, even where whoever started the tests ignores it, as
# `nohup` and shells in the background do.
for number, handler in (
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGINT, signal.default_int_handler),
):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, handler)

# No example has to be quick: how long one takes depends on what else the machine does.
settings.register_profile("actline", deadline=None)
settings.load_profile("actline")

sys.path.insert(0, str(HERE))  # for `encode`, which several test files import


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Begin every test, fixtures included, at the same random numbers of torch's own generator.

    Which tests ran before it in its process depends on how busy the machine is.
    """
    torch.manual_seed(0)


class Goldens:
    """The folder of golden cases: numbers read off the published implementations."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.salt: int = json.loads((folder / "salt.json").read_text())["salt"]
        self.specs: dict[str, dict[str, list[int]]] = json.loads(
            (folder / "specs.json").read_text()
        )
        self.draw = _module(folder / "weights.py")

    def arrays(self, name: str) -> dict[str, NDArray]:
        with np.load(self.folder / f"{name}.npz") as stored:
            return {key: stored[key] for key in stored.files}

    def state(self, spec: str) -> dict[str, Tensor]:
        """A full checkpoint under its published tensor names."""
        return self.draw.fill_state(self.specs[spec], self.salt)

    def normal(self, name: str, *shape: int) -> Tensor:
        return self.draw.rand(name, *shape, salt=self.salt)


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def goldens() -> Goldens:
    return Goldens(Path(os.environ.get("ACTLINE_GOLDENS", HERE / "goldens")))


@pytest.fixture(scope="session")
def assert_golden() -> Callable[[Tensor, NDArray], None]:
    def check(ours: Tensor, stored: NDArray, tolerance: float = 1e-4) -> None:
        """Largest difference, relative to the largest stored value."""
        assert tuple(ours.shape) == stored.shape
        reference = torch.from_numpy(stored)
        worst = (ours - reference).abs().max() / reference.abs().max()
        assert worst < tolerance, f"relative difference {worst:.2e}"

    return check


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte, where this machine lets one be made."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        made = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        made = False
    if not made:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
