"""`actline demo`: the main job from nothing, with the commands that a user would give."""

import argparse
import json
import shlex
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

from actline.cli.standard import say

EXAMPLES = """\
Frames: it generates dense videos, trains the Fine stream and Coarse-Fine on them, detects
activities in the held-out videos, evaluates, and writes a report. Segments: it generates long
videos, extracts features with the Fine stream, trains BMN on them and TCANet on BMN's proposals,
and compares the two on the held-out videos. Every command is shown; a demo that was stopped goes
on where it was.

example:
  actline demo --out demo
"""

DENSE_VIDEOS, LONG_VIDEOS = 480, 120
SNIPPET = 0.8  # seconds from one snippet to the next


def add_parser(subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "demo",
        help="generate, train, detect, evaluate and report, in minutes",
        description="Run the main job from nothing on generated videos.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder (default: demo)")
    parser.add_argument("--seed", type=int, default=0, help="of videos and training (default: 0)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the demo's commands; stops at the first that fails."""
    from actline.cli.main import main

    began = time.perf_counter()
    for command in commands(arguments.out, arguments.seed):
        shown = textwrap.shorten(shlex.join(command), 240, placeholder=" …")
        say("")
        say(f"$ actline {shown}")
        sys.stdout.flush()
        status = main(command)
        if status:
            return status
    show_tables(arguments.out, time.perf_counter() - began)
    return 0


def commands(out: Path, seed: int) -> list[list[str]]:
    """The commands of the demo, in order, without the leading `actline`."""
    fine = out / "runs" / "fine"
    return [
        *frame_commands(out, fine, seed),
        *segment_commands(out / "segments", fine / "best.safetensors", seed),
    ]


def frame_commands(out: Path, fine: Path, seed: int) -> list[list[str]]:
    """Per-frame detection: the Fine stream alone, and Coarse-Fine."""
    data, videos = out / "data", out / "data" / "videos"
    coarse_fine = out / "runs" / "coarse-fine"
    shared = [
        f"data.annotations={data}",
        f"data.videos={videos}",
        f"data.decoded={out / 'decoded'}",
        f"seed={seed}",
    ]
    held_out = held_out_videos("charades", DENSE_VIDEOS, videos)

    # fmt: off
    def detect_and_evaluate(name: str, run: Path) -> list[list[str]]:
        found = out / "detections" / name
        return [
            ["detect", *held_out, "--checkpoint", str(run / "best.safetensors"),
             "--out", str(found), "--formats", "json,csv,vtt,npz"],
            ["evaluate", str(found), str(data), "--protocol", "dense", "--subset", "testing",
             "--out", str(out / f"{name}.json")],
        ]

    return [
        ["data", "generate", "charades", "--out", str(data), "--videos", str(DENSE_VIDEOS),
         "--seed", str(seed), "--difficulty", "easy", "--size", "72x72", "--rate", "10"],
        ["train", "recipes/generated/fine.yaml", f"out={fine}", *shared],
        ["train", "recipes/generated/joint.yaml", f"out={coarse_fine}",
         f"init={fine / 'best.safetensors'}", *shared],
        *detect_and_evaluate("fine", fine),
        *detect_and_evaluate("coarse-fine", coarse_fine),
        ["report", str(out / "detections" / "coarse-fine"), "--videos", str(videos),
         "--annotations", str(data), "--metrics", str(out / "coarse-fine.json"),
         "--out", str(out / "report.html")],
    ]
    # fmt: on


def segment_commands(out: Path, backbone: Path, seed: int) -> list[list[str]]:
    """Detection of segments: BMN alone, and refined by TCANet."""
    videos, snippets, runs = out / "videos", out / "snippets", out / "runs"
    bmn, tcanet = runs / "bmn" / "best.safetensors", runs / "tcanet" / "best.safetensors"
    shared = [f"data.annotations={out}", f"data.features={snippets}", f"seed={seed}"]
    held_out = held_out_videos("activitynet", LONG_VIDEOS, videos)

    # fmt: off
    def detect_and_evaluate(name: str, *links: str) -> list[list[str]]:
        chain, found = out / f"{name}.safetensors", out / "detections" / name
        return [
            ["chain", "--backbone", str(backbone), "--proposals", str(bmn), *links,
             "--out", str(chain)],
            ["detect", *held_out, "--checkpoint", str(chain), "--features", str(snippets),
             "--out", str(found), "--formats", "json,csv,vtt"],
            ["evaluate", str(found), str(out), "--protocol", "proposals",
             "--out", str(out / f"{name}-proposals.json")],
            ["evaluate", str(found), str(out), "--protocol", "activitynet", "--errors",
             "--out", str(out / f"{name}.json")],
        ]

    return [
        ["data", "generate", "activitynet", "--out", str(out), "--videos", str(LONG_VIDEOS),
         "--seed", str(seed), "--difficulty", "easy", "--size", "72x72", "--rate", "10"],
        ["extract", str(videos), "--checkpoint", str(backbone), "--snippets", str(SNIPPET),
         "--out", str(snippets)],
        ["train", "recipes/generated/bmn.yaml", f"out={runs / 'bmn'}", *shared],
        ["train", "recipes/generated/tcanet.yaml", f"out={runs / 'tcanet'}",
         f"proposals={bmn}", *shared],
        *detect_and_evaluate("bmn"),
        *detect_and_evaluate("tcanet", "--refinement", str(tcanet)),
        ["report", str(out / "detections" / "tcanet"), "--videos", str(videos),
         "--annotations", str(out), "--min-confidence", "0.1",
         "--metrics", str(out / "tcanet.json"), str(out / "tcanet-proposals.json"),
         "--out", str(out / "report.html")],
    ]
    # fmt: on


def held_out_videos(profile: str, count: int, folder: Path) -> list[str]:
    """Files of the generated videos that are not trained on."""
    from actline.generated.profiles import PROFILES
    from actline.generated.write import subset_of, video_id

    chosen = PROFILES[profile]
    return [
        str(folder / f"{video_id(chosen, index)}.mp4")
        for index in range(count)
        if subset_of(chosen, index) != "training"
    ]


def show_tables(out: Path, seconds: float) -> None:
    """Print what was reached, under which protocols, and where the reports are."""
    from rich.console import Console
    from rich.table import Table

    def read(path: Path) -> dict[str, Any]:
        return json.loads(path.read_text())

    frames = {title: read(out / f"{name}.json") for name, title in FRAME_MODELS.items()}
    any_result = next(iter(frames.values()))
    dense = Table(title=f"{any_result['protocol']}, {any_result['videos']} held-out videos")
    dense.add_column("")
    dense.add_column("mAP", justify="right")
    for title, result in frames.items():
        dense.add_row(title, f"{100 * result['mean']:.1f}")
    dense.add_row("chance", f"{100 * any_result['chance']:.1f}")

    folder = out / "segments"
    videos = read(folder / "bmn.json")["videos"]
    segments = Table(title=f"segments, {videos} held-out videos (mAP at tIoU)")
    segments.add_column("")
    for heading in ("AR@1", "AR@5", "AR@10", "AR@100", "AUC", "0.5", "0.75", "0.95", "average"):
        segments.add_column(heading, justify="right")
    for name, title in SEGMENT_MODELS.items():
        proposals, found = read(folder / f"{name}-proposals.json"), read(folder / f"{name}.json")
        at = {f"{t:g}": mean for t, mean in zip(found["thresholds"], found["mean_at"], strict=True)}
        recall = [proposals["average_recall"][number] for number in ("1", "5", "10", "100")]
        precision = [at[threshold] for threshold in ("0.5", "0.75", "0.95")]
        scores = [*recall, proposals["area"], *precision, found["mean"]]
        segments.add_row(title, *(f"{100 * score:.1f}" for score in scores))

    # In a file, lines are as long as they need to be, so that no number is cut off.
    console = Console(width=None if sys.stdout.isatty() else 120)
    for table in (dense, segments):
        console.print()
        console.print(table)
    say(
        f"The demo took {seconds / 60:.1f} minutes. Open {out / 'report.html'} and "
        f"{folder / 'report.html'} in a browser."
    )


FRAME_MODELS = {"fine": "Fine stream alone", "coarse-fine": "Coarse-Fine"}
SEGMENT_MODELS = {"bmn": "BMN", "tcanet": "BMN, refined by TCANet"}
