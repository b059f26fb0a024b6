"""`actline completion`: a script that completes commands, options and files in a shell."""

import argparse
import sys
from pathlib import Path

SHELLS = ("bash", "zsh", "fish")
# Arguments that are paths, or may be; all others of type `Path` are files too.
PATHS = {"PREDICTION", "PREDICTIONS"}

EXAMPLES = """\
The script is printed; a new shell completes `actline` once it reads it.

examples:
  actline completion bash > ~/.local/share/bash-completion/completions/actline
  actline completion zsh > ~/.zfunc/_actline    # with fpath+=~/.zfunc before compinit in ~/.zshrc
  actline completion fish > ~/.config/fish/completions/actline.fish
"""


def add_parser(subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "completion",
        help="print a script that completes `actline` in a shell",
        description="Print a script that completes `actline` in a shell.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell to complete in")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the script."""
    import shtab

    from actline.cli.main import command_line

    parser = command_line()
    _complete_paths(parser)
    sys.stdout.write(shtab.complete(parser, shell=arguments.shell).rstrip("\n") + "\n")


def _complete_paths(parser: argparse.ArgumentParser) -> None:
    """Mark every argument that is a path, in all commands, to be completed from the disk."""
    import shtab

    # argparse offers no public way to a parser's arguments; shtab walks the same lists.
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in dict.fromkeys(action.choices.values()):
                _complete_paths(command)
        elif action.type is Path or action.metavar in PATHS:
            kind = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE
            action.complete = kind  # type: ignore[attr-defined]
