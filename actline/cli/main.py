"""The command `actline`: parses, runs one command, turns users' errors into one line."""

import argparse
import sys
from importlib import import_module

from actline.errors import ActlineError
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
)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 1 for an error, 130 when interrupted."""
    prepare()
    parser = argparse.ArgumentParser(
        prog="actline",
        description="From an untrimmed video to a timeline of activities.",
        epilog="`actline COMMAND --help` shows a command's options, with examples.",
    )
    parser.add_argument("--version", action="version", version=_version())
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"actline.cli.{name}").add_parser(subparsers)
    arguments = parser.parse_args(argv)
    try:
        return arguments.run(arguments) or 0
    except ActlineError as error:
        print(f"actline: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("actline: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def _version() -> str:
    from actline import __version__

    return f"actline {__version__}"


if __name__ == "__main__":
    sys.exit(main())
