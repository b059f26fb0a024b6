"""`actline data`: check, generate and convert data sets."""

import argparse
from pathlib import Path

from actline.cli.standard import failure, say
from actline.plain import plain

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

    _add_check(commands)
    _add_generate(commands)
    _add_convert(commands)


def _add_check(commands) -> None:
    check = commands.add_parser(
        "check",
        help="report what is wrong with a data set, and what is in it",
        description="Report what is wrong with a data set, and what is in it. The exit status is 1 "
        "when something is wrong that training, detection or evaluation would stumble over.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument(
        "data", metavar="FOLDER", type=Path, help="a data set's folder, or an annotations file"
    )
    check.add_argument(
        "--annotations", type=Path, metavar="FILE", help="(default: the ones in FOLDER)"
    )
    check.add_argument(
        "--videos",
        type=Path,
        metavar="DIR",
        help="folder (default: FOLDER/videos, or FOLDER; "
        "next to a file only if it holds some of its videos)",
    )
    check.add_argument(
        "--classes", type=Path, metavar="FILE", help="class names (default: FOLDER/classes.txt)"
    )
    check.add_argument("--plot", type=Path, metavar="FILE", help="draw statistics as PNG or SVG")
    check.add_argument("--all", action="store_true", help="show every case, not just examples")
    thoroughness = check.add_mutually_exclusive_group()
    thoroughness.add_argument(
        "--quick",
        action="store_true",
        help="read only the beginnings of videos: how long they last, and those that are cut off, "
        "is not found",
    )
    thoroughness.add_argument(
        "--decode",
        action="store_true",
        help="decode every video to its end, which takes much longer: finds damage inside, such as "
        "corrupted frames, that training and detection would pass over",
    )
    check.add_argument(
        "--frame-rate",
        type=float,
        default=24.0,
        help="frames a second of videos that are folders of frames (default: 24)",
    )
    check.set_defaults(run=run_check)


def _add_generate(commands) -> None:
    generate = commands.add_parser(
        "generate",
        help="write videos of the generated benchmark",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    generate.add_argument("profile", help="charades, thumos, activitynet or kinetics")
    generate.add_argument("--out", type=Path, required=True, help="folder")
    generate.add_argument("--videos", type=int, default=100, help="how many (default: 100)")
    generate.add_argument("--seed", type=int, default=0, help="of the videos (default: 0)")
    generate.add_argument("--difficulty", default="normal", help="easy, normal (default) or hard")
    generate.add_argument("--size", default="112x112", help="WIDTHxHEIGHT (default: 112x112)")
    generate.add_argument("--rate", type=float, default=12.0, help="frames a second (default: 12)")
    generate.add_argument("--workers", type=int, help="processes (default: one a core)")
    generate.set_defaults(run=run_generate)


def _add_convert(commands) -> None:
    convert = commands.add_parser(
        "convert",
        help="write annotations in another form",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    convert.add_argument("input", metavar="IN", type=Path)
    convert.add_argument("output", metavar="OUT", type=Path, help="ending in .csv or .json")
    convert.add_argument("--classes", type=Path, help="names of the classes, one a line")
    convert.add_argument(
        "--charades", action="store_true", help="JSON as charades.json, with class numbers"
    )
    convert.set_defaults(run=run_convert)


def run_check(arguments: argparse.Namespace) -> int:
    """Check; 1 when something serious is wrong."""
    from actline.annotations.data_set import check_data
    from actline.errors import OutputError
    from actline.generated.fingerprint import SETTINGS, check_generated
    from actline.progress import progress

    if arguments.plot and arguments.plot.suffix.lower() not in (".png", ".svg"):
        raise OutputError(f"cannot draw {arguments.plot}: name a file ending in .png or .svg")
    checked = check_data(
        arguments.data,
        annotations=arguments.annotations,
        videos=arguments.videos,
        classes=arguments.classes,
        quick=arguments.quick,
        decode=arguments.decode,
        frame_rate=arguments.frame_rate,
        failure=failure,
    )
    if checked.passed_over is not None:
        say(f"{checked.passed_over} holds none of the annotated videos, and was not looked at")
    findings, generated = checked.findings, None
    given: Path = arguments.data
    folder = given if given.is_dir() else given.parent
    if checked.videos is not None and (folder / SETTINGS).is_file() and not arguments.quick:
        count = len(checked.annotations.videos)
        with progress("decoding videos", count, unit="videos") as advance:
            more, generated = check_generated(folder, checked.videos, advance=advance)
        findings = (*more, *findings)
    if arguments.plot:
        from actline.reporting.statistics import plot_statistics

        plot_statistics(checked.statistics, arguments.plot)
    _show_statistics(checked.statistics)
    _show_findings(findings, examples=None if arguments.all else 3)
    if generated is not None:
        _show_identity(generated)
    if checked.videos is None:
        say("no videos were looked at; name their folder with --videos")
    if arguments.plot:
        say(f"statistics drawn in {arguments.plot}")
    return 1 if any(finding.serious for finding in findings) else 0


def _show_findings(findings, *, examples: int | None) -> None:
    """Errors first; for each kind how often it occurs, and some of the cases."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not findings:
        say("nothing wrong was found")
        return
    table = Table(box=None, padding=(0, 1), title="what was found", title_justify="left")
    table.add_column("")
    table.add_column("how many", justify="right")
    table.add_column("what, and where")
    for finding in sorted(findings, key=lambda finding: not finding.serious):
        limit = examples if finding.serious or examples is None else 1
        cases = [plain(case) for case in finding.examples[:limit]]
        rest = len(finding.examples) - len(cases)
        short = max(map(len, cases)) < 40
        listed = (", " if short else "\n").join(cases) + (f" … {rest} more" if rest else "")
        what = Text(finding.what, style="bold")
        what.append(f"\n{listed}", style="not bold")
        mark = Text("error", "bold red") if finding.serious else Text("note", "yellow")
        table.add_row(mark, str(len(finding.examples)), what)
    Console(highlight=False).print(table)
    errors = sum(finding.serious for finding in findings)
    say(f"{errors} kinds of errors, {len(findings) - errors} of notes")


def _show_statistics(found) -> None:
    """What is in the data set, with bars, on less than a screen."""
    import numpy as np
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    subsets = ", ".join(f"{count} {name}" for name, count in found.subsets.items())
    lengths = found.lengths
    say(f"{found.videos} videos ({subsets}), {_time(found.seconds.sum())}")
    if len(lengths):
        say(
            f"{len(lengths)} activities of {lengths.mean():.1f} s on average "
            f"(median {np.median(lengths):.1f}, {lengths.min():.1f} to {lengths.max():.1f})"
        )
    say(f"{found.labels_per_frame:.2f} labels per frame; part of the time with")
    parts = [*found.at_once[:4], *([found.at_once[4:].sum()] if len(found.at_once) > 4 else [])]
    for count, part in enumerate(parts):
        label = f"{count} or more" if count == 4 else str(count)
        say(f"  {label:>9} {100 * part:5.1f} % {_bar(part, 1.0, 40)}")

    ranked = sorted(found.per_class.items(), key=lambda item: -item[1])
    if not ranked:
        return
    most = ranked[0][1]
    shown = ranked if len(ranked) <= 16 else ranked[:10] + ranked[-4:]
    table = Table(box=None, padding=(0, 1))
    table.add_column("class", overflow="ellipsis", no_wrap=True, max_width=40)
    for heading in ("activities", "mean s", "in all"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for place, (label, count) in enumerate(shown):
        if len(shown) < len(ranked) and place == 10:
            table.add_row(f"… {len(ranked) - len(shown)} more", "", "", "", "")
        total = found.class_seconds[label]
        mean = f"{total / count:.1f}" if count else ""
        table.add_row(Text(plain(label)), str(count), mean, _time(total), _bar(count, most, 20))
    console.print(table)


def _bar(value: float, most: float, width: int) -> str:
    """A bar that shows at least a trace of what is not 0."""
    if value <= 0 or most <= 0:
        return ""
    return "█" * round(width * value / most) or "▏"


def _time(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def run_generate(arguments: argparse.Namespace) -> None:
    """Generate, and say what was written."""
    from actline.errors import RecipeError
    from actline.generated.fingerprint import compare_with_published, read_hashes
    from actline.generated.write import generate

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
    say(
        f"{arguments.out}: {len(annotations.videos)} videos, {minutes:.0f} minutes, "
        f"{activities} activities of {len(annotations.classes)} classes"
    )
    hashes = read_hashes(arguments.out)
    assert hashes is not None
    _show_identity(compare_with_published(arguments.out, hashes))


def _show_identity(identity) -> None:
    say(f"SHA-256 of pixels and labels: {identity.whole}")
    say(identity.verdict)


def run_convert(arguments: argparse.Namespace) -> None:
    """Read one format, write another."""
    from actline.annotations.data_set import convert_annotations

    made = convert_annotations(
        arguments.input,
        arguments.output,
        classes=arguments.classes,
        with_numbers=arguments.charades,
    )
    if made.classes is not None:
        say(f"{made.classes}: the names of the classes, to give with --classes")
    if made.faults and not made.mended:
        say("the activities are written as they stand, nothing left out or cut; they have")
    for line in made.faults:
        say(line)
    say(f"{made.path}: {made.videos} videos, {made.activities} activities")
