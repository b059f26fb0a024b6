"""Curves for TensorBoard stand a kill and a full disk."""

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from actline.training.curves import Curves


def test_a_run_that_goes_on_replaces_the_steps_after_the_last_state(tmp_path: Path) -> None:
    first = Curves(tmp_path, first_step=0, say=print)
    for step in range(6):
        first.add("loss", 10.0 + step, step)
    first.flush()
    (file,) = tmp_path.iterdir()
    # A kill may cut off what is written last.
    file.write_bytes(file.read_bytes()[:-5])
    for start in (3, 4):  # within the same second
        again = Curves(tmp_path, first_step=start, say=print)
        for step in range(start, 8):
            again.add("loss", 100.0 * start + step, step)
        again.close()

    read = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in read.Scalars("loss")] == [
        *((step, 10.0 + step) for step in range(3)),
        (3, 303.0),
        *((step, 400.0 + step) for step in range(4, 8)),
    ]


def test_a_run_with_nothing_to_do_leaves_no_file(tmp_path: Path) -> None:
    Curves(tmp_path / "tensorboard", first_step=9, say=print).close()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_once_and_the_run_goes_on(small_disk: Path) -> None:
    said: list[str] = []
    (small_disk / "filler").write_bytes(bytes(900_000))
    curves = Curves(small_disk / "tensorboard", first_step=0, say=said.append)
    for step in range(20_000):
        curves.add("loss", 1.0, step)
    curves.close()
    (line,) = said
    assert line.startswith(f"{small_disk / 'tensorboard'} cannot be written (No space left")


def test_a_file_in_the_folders_place_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("x")
    said: list[str] = []
    curves = Curves(tmp_path / "tensorboard", first_step=0, say=said.append)
    for step in range(3):
        curves.add("loss", 1.0, step)
    curves.close()
    assert len(said) == 1
    assert (tmp_path / "tensorboard").read_text() == "x"
