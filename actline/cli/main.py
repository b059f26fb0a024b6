"""The command `actline`: parses, runs one command, turns users' errors into one line."""

import signal
import sys
from importlib import import_module

from actline.cli.parser import AnyOrderParser
from actline.cli.standard import (
    MISTAKE,
    OutputLostError,
    ending_signals,
    honest_output,
    kept_log,
    kept_traceback,
)
from actline.errors import ActlineError
from actline.plain import plain
from actline.process import prepare

# Name of the command and of its file in this folder, in the order of the work.
COMMANDS = (
    "data",
    "train",
    "convert",
    "export",
    "extract",
    "chain",
    "detect",
    "evaluate",
    "plot",
    "report",
    "demo",
    "bench",
    "completion",
)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit status.

    0; 1 for an error in what was given, or in the machine, reported in one line; 2 for wrong
    arguments; 128 and a signal's number where that ended it; 70 for a bug of ours.
    """
    prepare()
    arguments = command_line().parse_args(argv)
    try:
        with ending_signals(), honest_output():
            return arguments.run(arguments) or 0
    except ActlineError as error:
        print(f"actline: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print("actline: stopped", file=sys.stderr)
        return 128 + getattr(stop, "number", signal.SIGINT)
    except OutputLostError as lost:
        print(f"actline: standard output cannot be written: {lost}; run it again", file=sys.stderr)
        return 1
    except (OSError, MemoryError) as error:  # the machine's doing, wherever it came up
        print(f"actline: {_failure(error)}", file=sys.stderr)
        return 1
    except Exception as error:
        print(f"actline: unexpected {kept_traceback(error)}", file=sys.stderr)
        return MISTAKE


def command_line() -> AnyOrderParser:
    """The parser of the whole command line, with every command's arguments."""
    parser = AnyOrderParser(
        prog="actline",
        description="From an untrimmed video to a timeline of activities.",
        epilog="`actline COMMAND --help` shows a command's options, with examples.",
    )
    parser.add_argument("--version", action="version", version=_version())
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"actline.cli.{name}").add_parser(subparsers)
    return parser


def _failure(error: OSError | MemoryError) -> str:
    if isinstance(error, MemoryError):
        return "there is not enough memory for this; close other programs, or give less at once"
    told = plain(error.strerror or error)
    if error.filename is not None:
        return f"cannot read or write {plain(error.filename, longest=300)}: {told}"
    return f"a file cannot be read or written: {told}; {kept_log(error)} says where"


def _version() -> str:
    from actline import __version__

    return f"actline {__version__}"


if __name__ == "__main__":
    sys.exit(main())
