"""The short form of `python -m tests.faults`: a command that needs no model, at all its points."""

import os
from pathlib import Path

import pytest
import torch
from tiny import write_data

from tests.faults.__main__ import disks, faults
from tests.faults.commands import WRITING
from tests.faults.shim import POINTS
from tests.faults.trials import contents
from tests.fuzz.kit import Kit, make_kit

CONVERT = next(writing for writing in WRITING if writing.name == "data convert")


@pytest.fixture
def data(tmp_path: Path) -> Kit:
    """A kit with data alone."""
    kit = Kit(tmp_path / "kit")
    write_data(kit.data, videos=2)
    return kit


def test_kills_signals_and_full_disks_at_every_point_leave_no_trace(
    data: Kit, tmp_path: Path
) -> None:
    points, tried, wrong = faults(CONVERT, data, tmp_path / "scratch", most=None)
    assert wrong == []
    assert points == POINTS
    assert tried == 6 * POINTS + 1


def test_disks_that_are_too_small_or_read_only_leave_no_trace(data: Kit, tmp_path: Path) -> None:
    try:
        tried, wrong = disks(CONVERT, data, tmp_path / "scratch")
    except OSError as error:
        pytest.skip(str(error))
    assert wrong == []
    assert tried == 8


def test_a_torn_state_is_compared_by_its_bytes(tmp_path: Path) -> None:
    state = tmp_path / "state.pt"
    torch.save({"step": 1, "weights": torch.zeros(1000)}, state)
    whole = contents(CONVERT, tmp_path)
    os.truncate(state, state.stat().st_size // 2)
    torn = contents(CONVERT, tmp_path)
    assert torn.keys() == whole.keys()
    assert torn != whole


@pytest.mark.slow
@pytest.mark.parametrize("writing", WRITING, ids=lambda writing: writing.name)
def test_some_points_of_every_command(writing, tmp_path_factory: pytest.TempPathFactory) -> None:
    shared = tmp_path_factory.getbasetemp() / "kit"
    kit = make_kit(shared)
    _, _, wrong = faults(writing, kit, tmp_path_factory.mktemp("scratch"), most=6)
    assert wrong == []
