"""Mutants of every kind of input, a thousand in all, end in one clear line, or are read rightly."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.fuzz.__main__ import FAILURES, Reader, found_before, fuzz_all, main, mutant, trial
from tests.fuzz.guided import Course
from tests.fuzz.inputs import INPUTS, Input
from tests.fuzz.kit import Kit, make_kit

MUTANTS = 40  # of each kind; by hand as many as one likes: python -m tests.fuzz --minutes 60


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    before = torch.get_num_threads()
    yield make_kit(tmp_path_factory.mktemp("fuzz") / "kit")
    torch.set_num_threads(before)


def kinds(kit: Kit) -> list[tuple[Input, dict[str, bytes]]]:
    """All kinds that the installed packages read, with their seeds."""
    found = [(one, one.seeds(kit)) for one in INPUTS]
    return [(one, seeds) for one, seeds in found if seeds]


def test_a_seed_and_a_number_give_the_same_mutant(kit: Kit) -> None:
    for one, seeds in kinds(kit):
        assert mutant(one, seeds, 1, 5) == mutant(one, seeds, 1, 5)
        assert len({mutant(one, seeds, 1, number)[1] for number in range(40)}) > 20


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_what_is_whole_is_accepted_and_what_failed_once_fails_no_more(
    kit: Kit, tmp_path: Path
) -> None:
    reader = Reader(kit, seconds=300, megabytes=700)
    try:
        for one, seeds in kinds(kit):
            for name, raw in seeds.items():
                assert trial(reader, one, name, raw, tmp_path / "t") == ("accepted", ""), name
            for name, raw in found_before(one):
                outcome, told = trial(reader, one, name, raw, tmp_path / "t")
                assert outcome not in FAILURES, (one.name, name, told)
    finally:
        reader.stop()


def test_without_atheris_the_guided_mode_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["fuzz", "--guided"])
    monkeypatch.setattr("tests.fuzz.__main__.find_spec", lambda name: None)
    assert main() == 2
    assert capsys.readouterr().err.splitlines() == [
        "python -m tests.fuzz: atheris is not installed; run `pip install atheris`"
    ]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_mutants_end_in_one_clear_line_or_are_read_rightly(kit: Kit, tmp_path: Path) -> None:
    inputs = [one for one, _ in kinds(kit)]
    # Another machine may be slow or busy; what hangs does so for longer.
    readers = [Reader(kit, seconds=120, megabytes=700) for _ in range(2)]
    found = fuzz_all(readers, inputs, Course(2, mutants=MUTANTS, keep=tmp_path / "kept"))
    told = [path.read_text()[:2000] for path in sorted(tmp_path.rglob("*.told"))]
    assert not told, "\n\n".join(told[:5])
    assert sum(sum(one.values()) for one in found) == MUTANTS * len(inputs)
    assert not any(one[what] for one in found for what in FAILURES)
    # Both ends are reached for every kind, or its mutations are too coarse or too fine.
    for one, outcomes in zip(inputs, found, strict=True):
        assert outcomes["error"], one.name
