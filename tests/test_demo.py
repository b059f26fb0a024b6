"""The demo's commands are ones that the command line takes, in an order that can work."""

import argparse
from importlib import import_module
from pathlib import Path

import pytest

from actline.cli import bench, demo
from actline.cli.main import COMMANDS
from actline.training.tasks import read_recipe


@pytest.fixture(scope="module")
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(exit_on_error=False)
    subparsers = parser.add_subparsers(required=True)
    for name in COMMANDS:
        import_module(f"actline.cli.{name}").add_parser(subparsers)
    return parser


def check(parser: argparse.ArgumentParser, commands: list[list[str]]) -> None:
    for command in commands:
        arguments = parser.parse_args(command)
        if command[0] == "train":
            recipe = read_recipe(arguments.recipe, arguments.values)
            assert str(recipe.out) in str(arguments.values)


def test_every_command_of_the_demo_is_one_that_we_have(parser):
    commands = demo.commands(Path("demo"), 0)
    check(parser, commands)
    made: set[str] = set()
    for command in commands:
        arguments = parser.parse_args(command)
        given = getattr(arguments, "checkpoint", None)
        if given is not None and given.parent.name not in ("segments",):
            assert str(given.parent) in made
        if command[0] == "train":
            made.add(str(read_recipe(arguments.recipe, arguments.values).out))
    assert sum(command[0] == "evaluate" for command in commands) == 6


def test_held_out_videos_are_those_not_trained_on():
    videos = demo.held_out_videos("activitynet", 120, Path("videos"))
    assert len(videos) == 39
    assert len(demo.held_out_videos("charades", 480, Path("videos"))) == 119


def test_every_command_of_the_benches_is_one_that_we_have(parser):
    for experiment in ("ssdet", "multigrid"):
        arguments = parser.parse_args(["bench", experiment, "--out", "bench"])
        check_data = bench.data_commands(arguments)
        check(parser, check_data)
    for name in bench.PRETRAININGS:
        check(parser, bench.training_commands(arguments, name, 0, Path("few.json")))
    for multigrid in (False, True):
        folder = Path("bench") / "run"
        check(parser, [bench.classification_command(arguments, folder, 0, 4, multigrid)])
