"""The commands of docs/train.md work as they stand there, on a table of four columns."""

import re
import shlex
from pathlib import Path

from tiny import CLASSES, write_video

from actline.cli.main import main

DOCS = Path(__file__).parents[2] / "docs" / "train.md"
# What makes them short; everything else is as it stands.
SHORTENED = {
    "train": ["--device", "cpu", "epochs=1"],
    "extract": ["--device", "cpu"],
    "detect": ["--device", "cpu"],
}


def quick_start() -> list[list[str]]:
    """The words of each command of the page's first block, without `actline`."""
    block = re.search(r"```\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert block is not None
    lines = block[1].replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines]


def write_own_data(folder: Path) -> None:
    """Seven videos, and a table of them as the page describes it: `video,label,start,end`."""
    (folder / "videos").mkdir(parents=True)
    rows = ["video,label,start,end"]
    for index in range(7):
        label, start, end = CLASSES[index % 2], 0.5 + 0.1 * index, 2.5
        path = folder / "videos" / f"v{index}.mp4"
        write_video(path, label, (start, end), seconds=4.0, rate=10)
        rows.append(f"v{index},{label},{start:.1f},{end}")
    (folder / "annotations.csv").write_text("\n".join(rows) + "\n")


def test_the_quick_start_works_as_it_stands_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_own_data(Path("my-data"))
    write_video(Path("new-video.mp4"), "move", (1.0, 2.0), seconds=4.0, rate=10)
    commands = quick_start()
    assert [command[0] for command in commands] == ["data", "train", "extract", "train", "detect"]
    for command in commands:
        assert main([*command, *SHORTENED.get(command[0], [])]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert said.count("held out for it") == 2
    assert "runs/mine-fine/best.safetensors gives" in said, (
        "the second run says what it starts from"
    )
    assert Path("runs/mine/best.safetensors").exists()
