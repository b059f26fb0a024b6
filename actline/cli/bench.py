"""`actline bench`: experiments on the generated benchmark whose tables are in the docs."""

import argparse
import shlex
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from actline.cli.standard import say

EXAMPLES = """\
ssdet: pretraining by plain classification against SSDet, with each of its augmentations alone and
all together, of equal compute, each then fine-tuned for detection on few videos. It generates a
trimmed and an untrimmed set, trains for every seed, and prints per-frame mAP on held-out videos.
multigrid: training a classifier on trimmed videos at the full shape throughout against Multigrid of
as many base epochs, of half and of a quarter as many: top-1 accuracy and wall-clock time.

A bench that was stopped goes on where it was; times are then those of the last part.

examples:
  actline bench ssdet --out bench/ssdet
  actline bench ssdet --out bench/ssdet --seeds 1 --pretraining-epochs 5
  actline bench multigrid --out bench/multigrid
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
    parser.add_argument("experiment", choices=("ssdet", "multigrid"))
    parser.add_argument("--out", type=Path, required=True, help="folder")
    parser.add_argument(
        "--seeds", type=int, default=3, help="how many seeds to train with (default: 3)"
    )
    parser.add_argument("--difficulty", default="easy", help="easy, normal or hard (default: easy)")
    parser.add_argument(
        "--clips", type=int, default=400, help="trimmed videos, a fifth held out (default: 400)"
    )
    parser.add_argument(
        "--videos", type=int, default=60, help="untrimmed videos to fine-tune on (default: 60)"
    )
    parser.add_argument("--pretraining-epochs", type=int, default=30, help="epochs (default: 30)")
    parser.add_argument("--finetuning-epochs", type=int, default=40, help="epochs (default: 40)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the experiment's commands and print its table."""
    from actline.errors import RecipeError

    if min(arguments.seeds, arguments.videos, arguments.clips) < 1:
        raise RecipeError("--seeds, --videos and --clips must be at least 1")
    experiment = {"ssdet": bench_ssdet, "multigrid": bench_multigrid}[arguments.experiment]
    return experiment(arguments)


def bench_ssdet(arguments: argparse.Namespace) -> int:
    """Per-frame mAP after fine-tuning, by what was pretrained with."""
    out = arguments.out
    for command in data_commands(arguments):
        if status := _run(command):
            return status
    small = keep_few(out / "charades", training=arguments.videos)
    scores: dict[str, list[float]] = {name: [] for name in PRETRAININGS}
    for seed in range(arguments.seeds):
        for name in PRETRAININGS:
            for command in training_commands(arguments, name, seed, small):
                if status := _run(command):
                    return status
            scores[name].append(_score(out / name / f"seed{seed}" / "finetune"))
    rows = [
        (
            TITLES[name],
            f"{statistics.mean(values):.1f}",
            f"{_spread(values):.1f}",
            ", ".join(f"{value:.1f}" for value in values),
        )
        for name, values in scores.items()
    ]
    header = ("pretraining", "mAP, mean", "standard deviation", "seeds")
    _show_table("per-frame mAP (dense) after fine-tuning, held-out videos", header, rows, out)
    return 0


def bench_multigrid(arguments: argparse.Namespace) -> int:
    """Accuracy and time of Multigrid training, with as many base epochs and with fewer."""
    out, epochs = arguments.out, arguments.pretraining_epochs
    runs = {"full shape throughout": (epochs, False)}
    for part in (1, 2, 4):
        runs[f"Multigrid, {max(1, epochs // part)} base epochs"] = (max(1, epochs // part), True)
    if status := _run(data_commands(arguments)[0]):
        return status
    rows = []
    for title, (count, multigrid) in runs.items():
        scores, seconds = [], []
        for seed in range(arguments.seeds):
            folder = out / f"{'multigrid' if multigrid else 'plain'}-{count}" / f"seed{seed}"
            began = time.perf_counter()
            if status := _run(classification_command(arguments, folder, seed, count, multigrid)):
                return status
            seconds.append(time.perf_counter() - began)
            scores.append(_score(folder))
        rows.append(
            (
                title,
                f"{statistics.mean(scores):.1f}",
                f"{_spread(scores):.1f}",
                f"{statistics.median(seconds):.0f} s",
            )
        )
    header = ("training", "top-1, mean", "standard deviation", "time, median")
    _show_table("top-1 accuracy (central clip), held-out videos", header, rows, out)
    return 0


def classification_command(
    arguments: argparse.Namespace, folder: Path, seed: int, epochs: int, multigrid: bool
) -> list[str]:
    """The command that trains a classifier on clips large enough to be made smaller."""
    kinetics = arguments.out / "kinetics"
    command = [
        "train", "recipes/generated/pretrain.yaml", f"out={folder}", f"seed={seed}",
        f"data.annotations={kinetics}", f"data.videos={kinetics / 'videos'}",
        f"data.decoded={kinetics / 'decoded'}", "method=classification",
        "network.per_frame=false", "clip.size=64", "clip.short_sides=[72]", "batch_size=8",
        f"epochs={epochs}", "optimizer.schedule=steps", "optimizer.lr=5e-3",
    ]  # fmt: skip
    if multigrid:
        return [*command, "multigrid={normalization_batch: 8, size_multiple: 16}"]
    # The milestones that Multigrid has.
    milestones = [round(share * epochs, 3) for share in (0.4, 0.65, 0.925)]
    return [*command, f"optimizer.milestones={milestones}"]


CLASSIFICATION = ("method=classification", "network.per_frame=false")
ALL = (f"augmentation.augmentations=[{', '.join(AUGMENTATIONS)}]",)
# What the trunk is pretrained with before it is fine-tuned: the settings of one pretraining, or of
# two that share its epochs.
PRETRAININGS: Mapping[str, Sequence[Sequence[str]]] = {
    "none": (),
    "classification": (CLASSIFICATION,),
    **{name: ((f"augmentation.augmentations=[{name}]",),) for name in AUGMENTATIONS},
    "all": (ALL,),
    "single": ((*ALL, "augmentation.combination=single"),),
    # As in the published script, which goes on from a classifier.
    "continued": (CLASSIFICATION, ALL),
}
TITLES = {
    "none": "no pretraining",
    "classification": "classification",
    "freeze": "SSDet, Volume Freeze alone",
    "mixup": "SSDet, Volume MixUp alone",
    "cutmix": "SSDet, Volume CutMix alone",
    "all": "SSDet, all three",
    "single": "SSDet, one of the three for each batch",
    "continued": "half classification, then half SSDet with all three",
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
    """The commands that pretrain, where there is pretraining, and fine-tune."""
    run = arguments.out / name / f"seed{seed}"
    kinetics, charades = arguments.out / "kinetics", arguments.out / "charades"
    parts = PRETRAININGS[name]
    commands, init = [], "null"
    for number, settings in enumerate(parts):
        folder = run / f"pretrain{number}"
        commands.append(
            ["train", "recipes/generated/pretrain.yaml", f"out={folder}", f"init={init}",
             f"data.annotations={kinetics}", f"data.videos={kinetics / 'videos'}",
             f"data.decoded={kinetics / 'decoded'}", f"seed={seed}",
             f"epochs={max(1, arguments.pretraining_epochs // len(parts))}", *settings]
        )  # fmt: skip
        init = str(folder / "best.safetensors")
    commands.append(
        ["train", "recipes/generated/finetune.yaml", f"out={run / 'finetune'}", f"init={init}",
         f"data.annotations={small}", f"data.videos={charades / 'videos'}",
         f"data.decoded={charades / 'decoded'}", f"seed={seed}",
         f"epochs={arguments.finetuning_epochs}"]
    )  # fmt: skip
    return commands


def keep_few(folder: Path, *, training: int) -> Path:
    """Annotations of a generated set with only its first `training` training videos."""
    from dataclasses import replace

    from actline.annotations.formats.activitynet import write_activitynet
    from actline.annotations.read import read_annotations

    whole = read_annotations(folder)
    chosen = [video for video in whole.videos if video.subset == "training"][:training]
    kept = {video.id for video in chosen}
    videos = tuple(v for v in whole.videos if v.id in kept or v.subset != "training")
    path = folder / f"annotations-{training}.json"
    write_activitynet(replace(whole, videos=videos), path)
    return path


def _show_table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], out: Path
) -> None:
    """Print the table, and write it as Markdown."""
    from rich.console import Console
    from rich.table import Table

    from actline.files import write_text

    table = Table(title=title)
    for number, heading in enumerate(header):
        table.add_column(heading, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=100).print(table)
    lines = [header, ["---"] * len(header), *rows]
    write_text(out / "table.md", "".join(f"| {' | '.join(line)} |\n" for line in lines))
    say(f"{out / 'table.md'} holds the table.")


def _run(command: list[str]) -> int:
    from actline.cli.main import main

    say("")
    say(f"$ actline {shlex.join(command)}")
    sys.stdout.flush()
    return main(command)


def _score(run: Path) -> float:
    """The score, in percent, in the card of a run's best checkpoint."""
    from actline.models.cards import ModelCard
    from actline.models.checkpoint import read_card

    card = read_card(run / "best.safetensors")
    assert isinstance(card, ModelCard)
    assert card.score is not None
    return float(card.score.split()[-1])


def _spread(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0
