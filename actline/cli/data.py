"""`actline data`: check, generate and convert data sets."""

import argparse
from pathlib import Path

EXAMPLES = """\
examples:
  actline data check my-data                 # annotations.csv or .json, and videos/, inside
  actline data check Charades/charades.json --videos Charades_v1_rgb --plot statistics.png
  actline data generate charades --out data/generated --videos 200 --seed 1
  actline data convert annotations.csv annotations.json
"""


def add_parser(subparsers) -> None:
    """Add the command and its subcommands to the command line."""
    parser = subparsers.add_parser(
        "data",
        help="check, generate or convert a data set",
        description="Check, generate or convert a data set.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    check = commands.add_parser(
        "check",
        help="tell what is wrong with a data set",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("data", metavar="FOLDER", type=Path, help="or an annotations file")
    check.add_argument("--videos", type=Path, help="folder (default: FOLDER/videos)")
    check.add_argument("--classes", type=Path, help="names of the classes, one a line")
    check.add_argument("--plot", type=Path, metavar="FILE", help="draw statistics as PNG or SVG")
    check.set_defaults(run=run_check)

    generate = commands.add_parser(
        "generate",
        help="write videos of the generated benchmark",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    generate.add_argument("profile", help="charades, thumos, activitynet or kinetics")
    generate.add_argument("--out", type=Path, required=True, help="folder")
    generate.add_argument("--videos", type=int, default=100, help="how many (default: 100)")
    generate.add_argument("--seed", type=int, default=0, help="(default: 0)")
    generate.add_argument("--difficulty", default="normal", help="easy, normal (default) or hard")
    generate.add_argument("--size", default="112x112", help="WIDTHxHEIGHT (default: 112x112)")
    generate.add_argument("--rate", type=float, default=12.0, help="frames a second (default: 12)")
    generate.add_argument("--workers", type=int, help="processes (default: one a core)")
    generate.set_defaults(run=run_generate)

    convert = commands.add_parser(
        "convert",
        help="write annotations in another form",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    convert.add_argument("input", metavar="IN", type=Path)
    convert.add_argument("output", metavar="OUT", type=Path, help="ending in .csv or .json")
    convert.add_argument("--classes", type=Path, help="names of the classes, one a line")
    convert.add_argument("--charades", action="store_true", help="JSON as charades.json")
    convert.set_defaults(run=run_convert)


def run_check(arguments: argparse.Namespace) -> int:
    """Check; 1 when something serious is wrong."""
    from rich.console import Console
    from rich.table import Table

    from actline.data.check import check
    from actline.data.read import read_annotations
    from actline.progress import progress

    annotations = read_annotations(arguments.data, classes=arguments.classes)
    videos = arguments.videos
    if videos is None and arguments.data.is_dir():
        videos = arguments.data / "videos"
    with progress("looking at videos", len(annotations.videos), unit="videos") as advance:
        findings, statistics = check(annotations, videos, advance=advance)

    console = Console()
    if findings:
        table = Table(title="what was found", title_justify="left")
        for heading in ("", "what", "how many", "such as"):
            table.add_column(heading, justify="right" if heading == "how many" else "left")
        for finding in findings:
            mark = "error" if finding.serious else "note"
            table.add_row(mark, finding.what, str(finding.count), finding.example)
        console.print(table)
    else:
        print("nothing wrong was found")
    _show_statistics(console, statistics)
    if arguments.plot:
        from actline.report.statistics import plot_statistics

        plot_statistics(statistics, arguments.plot)
        print(f"statistics drawn in {arguments.plot}")
    return 1 if any(finding.serious for finding in findings) else 0


def _show_statistics(console, statistics) -> None:
    import numpy as np
    from rich.table import Table

    hours = statistics.seconds.sum() / 3600
    subsets = ", ".join(f"{count} {name}" for name, count in statistics.subsets.items())
    print(f"{statistics.videos} videos ({subsets}), {hours:.2f} hours")
    lengths = statistics.lengths
    if len(lengths):
        print(
            f"{len(lengths)} activities of {lengths.mean():.1f} s on average "
            f"(median {np.median(lengths):.1f}, {lengths.min():.1f} to {lengths.max():.1f})"
        )
    at_once = ", ".join(f"{n}: {100 * part:.0f} %" for n, part in enumerate(statistics.at_once[:8]))
    print(f"activities at once, part of the time: {at_once}")
    table = Table(title="activities of each class", title_justify="left")
    table.add_column("class")
    table.add_column("activities", justify="right")
    table.add_column("")
    ranked = sorted(statistics.per_class.items(), key=lambda item: -item[1])
    most = max(1, ranked[0][1]) if ranked else 1
    shown = ranked if len(ranked) <= 20 else ranked[:10] + ranked[-5:]
    for label, count in shown:
        table.add_row(label, str(count), "█" * round(30 * count / most))
    console.print(table)
    if len(shown) < len(ranked):
        print(f"({len(ranked) - len(shown)} classes in between are not shown)")


def run_generate(arguments: argparse.Namespace) -> None:
    """Generate, and say what was written."""
    from actline.data.generated.write import generate
    from actline.errors import RecipeError

    width, cross, height = arguments.size.partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise RecipeError(f'--size "{arguments.size}" is not WIDTHxHEIGHT, such as 112x112')
    annotations = generate(
        arguments.profile,
        arguments.out,
        videos=arguments.videos,
        seed=arguments.seed,
        difficulty=arguments.difficulty,
        size=(int(width), int(height)),
        rate=arguments.rate,
        workers=arguments.workers,
    )
    minutes = sum(video.duration or 0 for video in annotations.videos) / 60
    activities = sum(len(video.activities) for video in annotations.videos)
    print(
        f"{arguments.out}: {len(annotations.videos)} videos, {minutes:.0f} minutes, "
        f"{activities} activities of {len(annotations.classes)} classes"
    )


def run_convert(arguments: argparse.Namespace) -> None:
    """Read one form, write another."""
    from actline.data import activitynet, charades, table
    from actline.data.read import read_annotations
    from actline.errors import AnnotationError

    annotations = read_annotations(arguments.input, classes=arguments.classes)
    if arguments.output.suffix.lower() == ".csv":
        table.write_table(annotations, arguments.output)
    elif arguments.output.suffix.lower() == ".json":
        write = charades.write_json if arguments.charades else activitynet.write_json
        write(annotations, arguments.output)
    else:
        raise AnnotationError(f"{arguments.output} must end in .csv or .json")
    for problem in annotations.problems[:5]:
        print(f"{problem.video}: {problem.what}")
    print(
        f"{arguments.output}: {len(annotations.videos)} videos, {len(annotations.problems)} mended"
    )
