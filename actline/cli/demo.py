"""`actline demo`: the main job from nothing, with the commands that a user would give."""

import argparse
import json
import shlex
import textwrap
import time
from pathlib import Path

EXAMPLES = """\
It generates videos, trains the Fine stream and Coarse-Fine on them, detects activities in the
held-out videos, evaluates, and writes a report. Every command is shown; a demo that was stopped
goes on where it was.

example:
  actline demo --out demo
"""

VIDEOS = 480


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
        print(f"\n$ actline {shown}", flush=True)
        status = main(command)
        if status:
            return status
    show_table(arguments.out, time.perf_counter() - began)
    return 0


def commands(out: Path, seed: int) -> list[list[str]]:
    """The commands of the demo, in order, without the leading `actline`."""
    data, videos = out / "data", out / "data" / "videos"
    fine, coarse_fine = out / "runs" / "fine", out / "runs" / "coarse-fine"
    report = out / "report.html"
    fine_best, coarse_fine_best = fine / "best.safetensors", coarse_fine / "best.safetensors"
    shared = [
        f"data.annotations={data}",
        f"data.videos={videos}",
        f"data.decoded={out / 'decoded'}",
        f"seed={seed}",
    ]
    held_out = [str(videos / f"{name}.mp4") for name in held_out_videos()]

    # fmt: off
    def detect_and_evaluate(name: str, checkpoint: Path) -> list[list[str]]:
        found = out / "detections" / name
        return [
            ["detect", *held_out, "--checkpoint", str(checkpoint), "--out", str(found),
             "--formats", "json,csv,vtt,npz"],
            ["evaluate", str(found), str(data), "--protocol", "dense", "--subset", "testing",
             "--out", str(out / f"{name}.json")],
        ]

    return [
        ["data", "generate", "charades", "--out", str(data), "--videos", str(VIDEOS),
         "--seed", str(seed), "--difficulty", "easy", "--size", "72x72", "--rate", "10"],
        ["train", "recipes/generated/fine.yaml", f"out={fine}", *shared],
        ["train", "recipes/generated/joint.yaml", f"out={coarse_fine}", f"init={fine_best}",
         *shared],
        *detect_and_evaluate("fine", fine_best),
        *detect_and_evaluate("coarse-fine", coarse_fine_best),
        ["report", str(out / "detections" / "coarse-fine"), "--videos", str(videos),
         "--annotations", str(data), "--metrics", str(out / "coarse-fine.json"),
         "--out", str(report)],
    ]
    # fmt: on


def held_out_videos() -> list[str]:
    """Ids of the generated videos that are not trained on."""
    from actline.data.generated.profiles import CHARADES
    from actline.data.generated.write import subset_of, video_id

    return [
        video_id(CHARADES, index)
        for index in range(VIDEOS)
        if subset_of(CHARADES, index) == "testing"
    ]


def show_table(out: Path, seconds: float) -> None:
    """Print what was reached, under which protocol, and where the report is."""
    from rich.console import Console
    from rich.table import Table

    results = {name: json.loads((out / f"{name}.json").read_text()) for name in NAMES}
    any_result = results["fine"]
    table = Table(title=f"{any_result['protocol']}, {any_result['videos']} held-out videos")
    table.add_column("")
    table.add_column("mAP", justify="right")
    for name, title in NAMES.items():
        table.add_row(title, f"{100 * results[name]['mean']:.1f}")
    table.add_row("chance", f"{100 * any_result['chance']:.1f}")
    console = Console()
    console.print()
    console.print(table)
    print(f"The demo took {seconds / 60:.1f} minutes. Open {out / 'report.html'} in a browser.")


NAMES = {"fine": "Fine stream alone", "coarse-fine": "Coarse-Fine"}
