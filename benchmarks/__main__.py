"""Run the benchmarks: `python -m benchmarks --help`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from actline.process import prepare
from benchmarks.measure import Row
from benchmarks.scripts import SCRIPTS, measured


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes: checks that results agree, in seconds"
    )
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="DIR",
        help="folder of published code to compare with, one folder a GitHub repository: "
        "Coarse-Fine-Networks, Temporal-Context-Aggregation-Network-Pytorch, "
        "BMN-Boundary-Matching-Network, SSDet, ActivityNet",
    )
    parser.add_argument(
        "--devices",
        nargs="+",
        choices=("cpu", "cuda"),
        help="a table each (default: cpu, and cuda where there is a GPU)",
    )
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=SCRIPTS, metavar="NAME")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("benchmarks.json"),
        help="the table as JSON; beside it the same as Markdown (default: %(default)s)",
    )
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: %(default)s)")
    parser.add_argument(
        "--scaling",
        type=Path,
        metavar="FIG.png",
        help="instead of the table, time and memory over sizes: a figure, and JSON beside it",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and write the table to the screen and to files."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    prepare()  # as the command line does

    import torch

    from benchmarks.devices import found
    from benchmarks.table import as_json, as_markdown

    devices = found() if arguments.devices is None else sorted(set(arguments.devices))
    if not set(devices) <= set(found()):
        print(f"{parser.prog}: --devices cuda: torch finds no GPU here", file=sys.stderr)
        return 2
    before = torch.get_num_threads()
    torch.set_num_threads(arguments.threads)
    try:
        if arguments.scaling is not None:
            from benchmarks.scaling import draw

            draw(arguments.scaling, quick=arguments.quick)
            return 0
        rows: list[Row] = []
        for device in devices:
            rows.extend(measured(arguments.only, device, arguments))
        table = as_markdown(rows)
        arguments.out.write_text(json.dumps(as_json(rows), indent=1) + "\n")
        arguments.out.with_suffix(".md").write_text(table)
    finally:
        torch.set_num_threads(before)
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
