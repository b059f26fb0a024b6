"""`actline train`: run a recipe."""

import argparse

from actline.cli.standard import say

EXAMPLES = """\
A recipe is a YAML file; any of its values can be changed with key=value. A run that was stopped,
even by kill -9, goes on where it was when the same command is given again, and a finished one with
more epochs=...; classes, training videos and most values must be as they were.

examples:
  actline train recipes/generated/fine.yaml
  actline train recipes/generated/fine.yaml optimizer.lr=0.02 seed=1 out=runs/fine-seed1
  torchrun --nproc-per-node 4 -m actline.cli.main train recipes/coarse_fine/charades_fine.yaml
  tensorboard --logdir runs
"""


def add_parser(subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "train",
        help="train a network by a recipe",
        description="Train a network by a recipe, and evaluate it on the validation videos.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", metavar="RECIPE.yaml", help="a file, or the name of one of ours")
    parser.add_argument(
        "values", metavar="key=value", nargs="*", default=[], help="values to change"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train; 130 when stopped before the end."""
    from actline.training.tasks import read_recipe
    from actline.training.train import train

    recipe = read_recipe(arguments.recipe, arguments.values)
    result = train(recipe, device=arguments.device)
    if result.stopped:
        say("stopped; the same command goes on from here")
        return 130
    say(f"best checkpoint: {result.best} ({100 * result.best_score:.2f})")
    return 0
