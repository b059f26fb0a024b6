"""The commands that write, what each needs beforehand, and what it must leave in the end."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.inputs import SEED
from tests.fuzz.kit import ON_CPU, Kit


@dataclass(frozen=True)
class Writing:
    """A command that writes into a folder.

    Attributes:
        name: of the command.
        argv: its words, given the working place and the folder.
        before: makes what has to be in the folder already.
        varies: endings of files that two undisturbed runs write differently, such as logs.
    """

    name: str
    argv: Callable[[Kit, Path], list[object]]
    before: Callable[[Kit, Path], None] = lambda kit, folder: None
    varies: tuple[str, ...] = ()


def _two_videos(kit: Kit) -> list[object]:
    return [kit.videos / "tiny0.mp4", kit.videos / "tiny1.mp4"]


def _copy_public(kit: Kit, folder: Path) -> None:
    shutil.copy(SEED, folder / "in.pyth")


WRITING: tuple[Writing, ...] = (
    Writing(
        "detect",
        lambda kit, folder: [
            "detect", *_two_videos(kit), "--checkpoint", kit.fine, "--out", folder / "found",
            *ON_CPU,
        ],
    ),
    Writing(
        "detect, a chain",
        lambda kit, folder: [
            "detect", *_two_videos(kit), "--checkpoint", kit.chain, "--formats", "json,csv",
            "--out", folder / "found", *ON_CPU,
        ],
    ),
    Writing(
        "extract",
        lambda kit, folder: [
            "extract", *_two_videos(kit), "--checkpoint", kit.fine, "--snippets", "0.4",
            "--out", folder / "snippets", *ON_CPU,
        ],
    ),
    Writing(
        "extract Fine features",
        lambda kit, folder: [
            "extract", *_two_videos(kit), "--checkpoint", kit.fine, "--out", folder / "fine",
            *ON_CPU,
        ],
    ),
    Writing(
        "train",
        lambda kit, folder: [
            "train", kit.folder / "x3d.yaml", f"out={folder / 'run'}", "epochs=2",
            "save_every_seconds=0", f"data.decoded={folder / 'decoded'}", *ON_CPU,
        ],
        varies=("tensorboard",),
    ),
    Writing(
        "train BMN",
        lambda kit, folder: [
            "train", kit.folder / "bmn.yaml", f"out={folder / 'run'}", "epochs=2",
            "save_every_seconds=0", *ON_CPU,
        ],
        varies=("tensorboard",),
    ),
    Writing(
        "evaluate",
        lambda kit, folder: [
            "evaluate", kit.found, kit.annotations, "--out", folder / "scores.json",
            "--csv", folder / "scores.csv",
        ],
    ),
    Writing(
        "evaluate segments",
        lambda kit, folder: [
            "evaluate", kit.folder / "segments", kit.annotations, "--protocol", "thumos",
            "--errors", "--out", folder / "scores.json", "--csv", folder / "scores.csv",
        ],
    ),
    Writing(
        "report",
        lambda kit, folder: [
            "report", kit.found, "--videos", kit.videos, "--out", folder / "report.html",
        ],
    ),
    Writing(
        "plot",
        lambda kit, folder: [
            "plot", kit.found / "tiny0.json", "--out", folder / "timeline.png",
        ],
    ),
    Writing(
        "chain",
        lambda kit, folder: [
            "chain", "--backbone", kit.fine, "--proposals", kit.bmn,
            "--out", folder / "chain.safetensors",
        ],
    ),
    Writing(
        "data check",
        lambda kit, folder: ["data", "check", kit.data, "--plot", folder / "statistics.png"],
    ),
    Writing(
        "data generate",
        lambda kit, folder: [
            "data", "generate", "charades", "--videos", "3", "--size", "32x32", "--rate", "5",
            "--workers", "1", "--out", folder / "generated",
        ],
    ),
    Writing(
        "data convert",
        lambda kit, folder: [
            "data", "convert", kit.annotations, folder / "annotations.csv",
        ],
    ),
    Writing(
        "convert",
        lambda kit, folder: [
            "convert", folder / "in.pyth", "--from", "pytorchvideo", folder / "x3d.safetensors",
        ],
        before=_copy_public,
    ),
)  # fmt: skip
