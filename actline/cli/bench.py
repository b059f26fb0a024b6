"""`actline bench`: experiments on the generated benchmark that a table of the docs comes from."""

import argparse
import json
import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

EXAMPLES = """\
ssdet: pretraining by plain classification against SSDet, with each of its augmentations alone and
all together, of equal compute, each then fine-tuned for detection on few videos. It generates a
trimmed and an untrimmed set, trains for every seed, and prints per-frame mAP on held-out videos.
A bench that was stopped goes on where it was.

examples:
  actline bench ssdet --out bench/ssdet
  actline bench ssdet --out bench/ssdet --seeds 1 --pretraining-epochs 5
  actline bench ssdet --out bench/large --clips 4000 --videos 400 --difficulty normal
"""

AUGMENTATIONS = ("freeze", "mixup", "cutmix")


def add_parser(subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "bench",
        help="run an experiment of the docs on the generated benchmark",
        description="Run an experiment of the docs on the generated benchmark.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("experiment", choices=("ssdet",))
    parser.add_argument("--out", type=Path, required=True, help="folder")
    parser.add_argument("--seeds", type=int, default=3, help="of training (default: 3)")
    parser.add_argument("--difficulty", default="easy", help="easy, normal or hard (default: easy)")
    parser.add_argument(
        "--clips", type=int, default=400, help="trimmed videos, a fifth held out (default: 400)"
    )
    parser.add_argument(
        "--videos", type=int, default=60, help="untrimmed videos to fine-tune on (default: 60)"
    )
    parser.add_argument("--pretraining-epochs", type=int, default=30, help="(default: 30)")
    parser.add_argument("--finetuning-epochs", type=int, default=40, help="(default: 40)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the experiment's commands and print its table."""
    from actline.cli.main import main
    from actline.errors import RecipeError

    if arguments.seeds < 1 or arguments.videos < 1:
        raise RecipeError("--seeds and --videos start at 1")
    out = arguments.out
    for command in data_commands(arguments):
        status = _run(main, command)
        if status:
            return status
    small = keep_few(out / "charades", training=arguments.videos)
    scores: dict[str, list[float]] = {name: [] for name in PRETRAININGS}
    for seed in range(arguments.seeds):
        for name in PRETRAININGS:
            for command in training_commands(arguments, name, seed, small):
                status = _run(main, command)
                if status:
                    return status
            card_score = _score(out / name / f"seed{seed}" / "finetune" / "best.safetensors")
            scores[name].append(card_score)
    show(scores, arguments.out)
    return 0


# What the trunk has seen before it is fine-tuned; None for a new one.
PRETRAININGS: Mapping[str, Sequence[str] | None] = {
    "none": None,
    "classification": ("method=classification", "network.per_frame=false"),
    **{name: (f"augmentation.augmentations=[{name}]",) for name in AUGMENTATIONS},
    "all": (f"augmentation.augmentations=[{', '.join(AUGMENTATIONS)}]",),
}
TITLES = {
    "none": "no pretraining",
    "classification": "classification",
    "freeze": "SSDet, Volume Freeze alone",
    "mixup": "SSDet, Volume MixUp alone",
    "cutmix": "SSDet, Volume CutMix alone",
    "all": "SSDet, all three",
}


def data_commands(arguments: argparse.Namespace) -> list[list[str]]:
    """The commands that generate the two sets."""
    shared = ["--seed", "0", "--difficulty", arguments.difficulty, "--size", "72x72"]
    return [
        ["data", "generate", "kinetics", "--out", str(arguments.out / "kinetics"),
         "--videos", str(arguments.clips), "--rate", "10", *shared],
        # A quarter of these videos is held out.
        ["data", "generate", "charades", "--out", str(arguments.out / "charades"),
         "--videos", str(max(240, 2 * arguments.videos)), "--rate", "10", *shared],
    ]  # fmt: skip


def training_commands(
    arguments: argparse.Namespace, name: str, seed: int, small: Path
) -> list[list[str]]:
    """The commands that pretrain, unless there is nothing to, and fine-tune."""
    run = arguments.out / name / f"seed{seed}"
    kinetics, charades = arguments.out / "kinetics", arguments.out / "charades"
    settings, commands, init = PRETRAININGS[name], [], "null"
    if settings is not None:
        init = str(run / "pretrain" / "best.safetensors")
        commands.append(
            ["train", "recipes/generated/pretrain.yaml", f"out={run / 'pretrain'}",
             f"data.annotations={kinetics}", f"data.videos={kinetics / 'videos'}",
             f"data.decoded={kinetics / 'decoded'}", f"seed={seed}",
             f"epochs={arguments.pretraining_epochs}", *settings]
        )  # fmt: skip
    commands.append(
        ["train", "recipes/generated/finetune.yaml", f"out={run / 'finetune'}", f"init={init}",
         f"data.annotations={small}", f"data.videos={charades / 'videos'}",
         f"data.decoded={charades / 'decoded'}", f"seed={seed}",
         f"epochs={arguments.finetuning_epochs}"]
    )  # fmt: skip
    return commands


def keep_few(folder: Path, *, training: int) -> Path:
    """Annotations of a generated set with its first `training` training videos alone."""
    from dataclasses import replace

    from actline.data.activitynet import write_json
    from actline.data.read import read_annotations

    whole = read_annotations(folder)
    chosen = [video for video in whole.videos if video.subset == "training"][:training]
    kept = {video.id for video in chosen}
    videos = tuple(v for v in whole.videos if v.id in kept or v.subset != "training")
    path = folder / f"annotations-{training}.json"
    write_json(replace(whole, videos=videos), path)
    return path


def show(scores: Mapping[str, Sequence[float]], out: Path) -> None:
    """Print the table, and write it as Markdown and JSON."""
    from rich.console import Console
    from rich.table import Table

    from actline.files import write_text

    table = Table(title="per-frame mAP (dense) after fine-tuning, held-out videos")
    for heading in ("pretraining", "mean", "spread", "seeds"):
        table.add_column(heading, justify="left" if heading == "pretraining" else "right")
    lines = [
        "| Pretraining | mAP, mean | spread (standard deviation) | seeds |",
        "|---|---|---|---|",
    ]
    for name, values in scores.items():
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        row = (
            TITLES[name],
            f"{statistics.mean(values):.1f}",
            f"{spread:.1f}",
            ", ".join(f"{value:.1f}" for value in values),
        )
        table.add_row(*row)
        lines.append(f"| {' | '.join(row)} |")
    Console(width=100).print(table)
    write_text(out / "table.md", "\n".join(lines) + "\n")
    write_text(out / "scores.json", json.dumps(dict(scores), indent=1) + "\n")
    print(f"{out / 'table.md'} and {out / 'scores.json'} hold the table.")


def _run(main, command: list[str]) -> int:
    print(f"\n$ actline {shlex.join(command)}", flush=True)
    return main(command)


def _score(checkpoint: Path) -> float:
    """The per-frame mAP, in percent, that a checkpoint's card tells."""
    from actline.train.checkpoint import ModelCard, read_card

    card = read_card(checkpoint)
    assert isinstance(card, ModelCard)
    assert card.score is not None
    return float(card.score.split()[-1])
