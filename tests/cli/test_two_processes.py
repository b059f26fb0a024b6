"""Two processes on one folder: they share videos, or the second is refused, and it says which."""

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny import write_data, write_recipe

from actline.cli.main import main
from actline.cli.outcomes import print_outcomes
from actline.cli.standard import say
from actline.detection.batch import for_each_video
from actline.video.find import Video

# Claims its second argument in the folder that is its first, until the third is there.
OTHER = """
    import sys, time
    from pathlib import Path
    from actline.files import Claims
    folder, what, until = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    with Claims(folder) as claims:
        claims.take(what)
        print("claimed", flush=True)
        while not until.exists():
            time.sleep(0.02)
        (folder / f"{what}.done").touch()
"""


@contextmanager
def other(folder: Path, what: str, until: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OTHER), str(folder), what, str(until)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "claimed\n"
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_a_video_that_another_process_is_at_is_left_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = []

    def work(video: Video, on_frames: Callable[[int], None]) -> None:
        order.append(video.id)
        (tmp_path / f"{video.id}.done").touch()

    def done(video: Video) -> bool:
        return (tmp_path / f"{video.id}.done").exists()

    videos = [Video(name, tmp_path / f"{name}.mp4") for name in "abc"]
    with other(tmp_path, "a", until=tmp_path / "c.done"):
        outcomes = for_each_video("working", videos, work, out=tmp_path, done=done, say=say)
        assert print_outcomes(outcomes, notes=False) == 0
    assert order == ["b", "c"]
    assert capsys.readouterr().out.endswith(
        "1 of 3 videos were done by another process meanwhile\n"
    )


def test_a_video_of_a_process_that_dies_is_taken_over(tmp_path: Path) -> None:
    order = []

    def work(video: Video, on_frames: Callable[[int], None]) -> None:
        order.append(video.id)
        if video.id == "b":
            process.kill()

    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OTHER), str(tmp_path), "a", str(tmp_path / "never")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    videos = [Video(name, tmp_path / f"{name}.mp4") for name in "ab"]
    outcomes = list(for_each_video("working", videos, work, out=tmp_path))
    assert [one.status for one in outcomes] == ["done", "done"]
    process.wait()
    assert order == ["b", "a"]


def test_what_killed_processes_left_goes_where_all_is_done(tmp_path: Path) -> None:
    left = tmp_path / "camA" / ".actline-abcdefgh.part"
    left.mkdir(parents=True)
    (left / "lock").touch()
    videos = [Video("camA/a", tmp_path / "a.mp4")]
    done = list(
        for_each_video("working", videos, lambda v, f: None, out=tmp_path, done=lambda v: True)
    )
    assert [one.status for one in done] == ["skipped"]
    assert not left.exists()


def test_a_second_training_into_one_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", write_data(tmp_path / "data"), epochs=1)
    with other(tmp_path / "run", "training", until=tmp_path / "never"):
        assert main(["train", str(recipe), "--device", "cpu"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"actline: another process is training into {tmp_path / 'run'}; wait")
    assert not (tmp_path / "run" / "state.pt").exists()


def test_a_second_generation_into_one_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate = ["data", "generate", "charades", "--videos", "1", "--out", str(tmp_path)]
    with other(tmp_path, "generating", until=tmp_path / "never"):
        assert main(generate) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"actline: another process generates into {tmp_path}; wait")
