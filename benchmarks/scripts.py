"""The scripts of this folder, each run in a process of its own."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib import import_module
from multiprocessing import get_context
from unittest.mock import patch

from actline.process import prepare
from benchmarks import ENVIRONMENT
from benchmarks.measure import Row

# A file of this folder each, with `rows(reference, quick)` …
SCRIPTS = (
    "x3d",
    "coarse_fine",
    "decoding",
    "end_to_end",
    "tcanet",
    "evaluation",
    "suppression",
    "bmn",
    "augmentation",
    "start_up",
)
# … of which those that mean something on a GPU take the device as well.
ON_GPU = ("x3d", "coarse_fine", "tcanet", "bmn", "augmentation")


def measured(names: Sequence[str], device: str, arguments: argparse.Namespace) -> Iterator[Row]:
    """The rows of scripts on a device.

    Each script has a process of its own, whose memory nothing before has used.
    """
    for name in meant_for(names, device):
        print(f"{name} on {device} …", file=sys.stderr, flush=True)
        with (
            patch.dict(os.environ, ENVIRONMENT, clear=True),
            ProcessPoolExecutor(1, get_context("spawn"), initializer=prepare) as process,
        ):
            yield from process.submit(rows_of, name, device, arguments).result()


def meant_for(names: Sequence[str], device: str) -> list[str]:
    """Of the scripts, those that mean something on a device."""
    return [name for name in names if device == "cpu" or name in ON_GPU]


def rows_of(name: str, device: str, arguments: argparse.Namespace) -> list[Row]:
    """The rows of one script, in the process that this is called in."""
    import torch

    from benchmarks.devices import full_float32

    torch.set_num_threads(arguments.threads)
    script = import_module(f"benchmarks.{name}")
    on = torch.device(device)
    with full_float32(on):
        rows = script.rows(arguments.reference, arguments.quick, *([on] if name in ON_GPU else []))
    if device == "cpu":
        return rows
    # Targets are stated for two cores of a CPU.
    return [replace(row, device=device, target=None) for row in rows]
