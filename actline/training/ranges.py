"""Which numbers of recipes and checkpoints' cards can work: one table, asked when one is read.

What two values must be to each other is checked by the class that holds both; SSDet's augmentation
and Multigrid check their shares themselves.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from actline.datasets.frame_clips import ClipConfig
from actline.errors import RecipeError
from actline.features.snippets import SnippetOrigin
from actline.models.bmn import BMNConfig
from actline.models.cards import ChainCard, LabelConfig, ModelCard, SegmentCard
from actline.models.coarse_fine import CoarseFineConfig
from actline.models.slowfast import SlowFastConfig
from actline.models.tcanet import TCANetConfig
from actline.models.x3d import X3DConfig
from actline.pretraining.multigrid import MultigridConfig
from actline.timeline.suppression import SuppressionConfig
from actline.training.recipe import (
    DataConfig,
    OptimizerConfig,
    PretrainingRecipe,
    ProposalRecipe,
    Recipe,
    RefinementRecipe,
    Run,
    SnippetData,
)


@dataclass(frozen=True)
class Range:
    """Finite numbers from `least` to `most`, each included or not."""

    least: float
    most: float
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        # What is not a number is in no range: every comparison with it is false.
        above = self.least < value if self.above else self.least <= value
        return above and (value < self.most if self.below else value <= self.most)

    def __str__(self) -> str:
        least = f"{'above' if self.above else 'at least'} {_plain(self.least)}"
        return f"{least} and {'below' if self.below else 'at most'} {_plain(self.most)}"


COUNT = Range(1, 1_000_000)
WHOLE = Range(0, 1_000_000_000)
CHANNELS = Range(1, 65_536)
SHARE = Range(0, 1)
BELOW_ONE = Range(0, 1, below=True)
SECONDS = Range(0, 1e9)
POSITIVE = Range(0, 1000, above=True)
FACTOR = Range(0, 1000)

_RUN = {
    "epochs": COUNT,
    "batch_size": COUNT,
    "init_share": SHARE,
    "seed": Range(0, 2**63 - 1),
    "accumulate": COUNT,
    "ema": BELOW_ONE,
    "evaluate_every": WHOLE,
    "save_every_seconds": SECONDS,
}
_WINDOW = {"window": COUNT, "overlap": WHOLE}
_DATA = {
    "held_out": Range(0, 1, above=True, below=True),
    "min_seconds": SECONDS,
    "workers": Range(0, 1024),
}
_NETWORK = {"dropout": BELOW_ONE, "splits": Range(1, 65_536)}
# By the class that holds the key; of a tuple, each of its numbers.
RANGES: Mapping[type, Mapping[str, Range]] = {
    Run: _RUN,
    Recipe: {**_WINDOW, "fine_loss": FACTOR, "fine_frames": WHOLE},
    ProposalRecipe: {},
    RefinementRecipe: {"proposals_per_video": COUNT},
    PretrainingRecipe: {**_WINDOW, "views": Range(1, 1000)},
    DataConfig: {**_DATA, "frame_rate": Range(0, 1000)},
    SnippetData: {**_DATA, "interval": SECONDS},
    OptimizerConfig: {
        "lr": Range(0, 100, above=True),
        "fusion_lr_factor": FACTOR,
        "momentum": BELOW_ONE,
        "weight_decay": SHARE,
        "milestones": Range(0, 1e6),
        "gamma": Range(0, 1, above=True),
        "warmup_steps": WHOLE,
        "clip_norm": Range(0, 1e6),
    },
    ClipConfig: {
        "frames": Range(1, 100_000),
        "rate": POSITIVE,
        "stride": Range(1, 100_000),
        "labels_per_frame": Range(1, 1000),
        "size": Range(32, 4096),
        "short_sides": Range(32, 8192),
        "flip": SHARE,
        "mean": SHARE,
        "std": Range(0.001, 10),
    },
    X3DConfig: {**_NETWORK, "widths": CHANNELS, "depths": Range(1, 100), "head_width": CHANNELS},
    CoarseFineConfig: {"cells": Range(1, 32)},
    SlowFastConfig: {
        **_NETWORK,
        "width": CHANNELS,
        "depths": Range(1, 100),
        "alpha": Range(1, 1000),
        "beta": Range(0, 1, above=True),
        "fusion_kernel": Range(1, 1000),
        "fusion_ratio": Range(1, 1000),
        "temporal_blocks": Range(0, 1000),
    },
    BMNConfig: {
        "channels": Range(1, 1_000_000),
        "temporal_scale": Range(2, 1000),
        "width": CHANNELS,
        "pair_width": CHANNELS,
        "map_width": CHANNELS,
        "samples": Range(1, 10_000),
        "bins": Range(1, 1000),
        "boundary_ratio": FACTOR,
    },
    TCANetConfig: {
        "channels": Range(1, 1_000_000),
        "width": CHANNELS,
        "encoder_layers": Range(0, 100),
        "heads": CHANNELS,
        "window": Range(1, 1_000_000),
        "feedforward": CHANNELS,
        "dropout": BELOW_ONE,
        "start_samples": Range(1, 10_000),
        "action_samples": Range(1, 10_000),
        "end_samples": Range(1, 10_000),
        "context": FACTOR,
        "frame_width": CHANNELS,
        "segment_width": CHANNELS,
        "stages": WHOLE,  # `RefinementJob` knows how many there are thresholds for
        "snippet_interval": POSITIVE,
        "padded_length": Range(1, 10_000),
        "scored_by": Range(1, 100),
    },
    MultigridConfig: {
        "tail_lr_drop": SHARE,
        "size_multiple": Range(1, 4096),
        "normalization_batch": COUNT,
    },
    ModelCard: {
        **_WINDOW,
        "size": Range(32, 4096),
        "mean": SHARE,
        "std": Range(0.001, 10),
        "rate": POSITIVE,
        "stride": Range(1, 100_000),
        "thresholds": SHARE,
    },
    SegmentCard: {},
    ChainCard: {"interval": Range(0, 1000)},
    SnippetOrigin: {"interval": POSITIVE, "window": POSITIVE, "clock": Range(1, 1000)},
    LabelConfig: {"top": COUNT, "detections": COUNT},
    SuppressionConfig: {
        "threshold": SHARE,
        "threshold_per_width": Range(-1, 1),
        "sigma": POSITIVE,
        "exponent": POSITIVE,
        "min_score": SHARE,
        "max_selected": WHOLE,
        "top_k": WHOLE,
        "vote_overlap": SHARE,
    },
}


def check_ranges(values: Any, *, where: str) -> None:
    """Refuse a recipe, a card, or a part of one, with a number that cannot work.

    Raises:
        RecipeError: the key, the value, and the allowed range.
    """
    for key, value, allowed in _numbers(values, ""):
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None and number not in allowed:
                raise RecipeError(f"{where}: {key} must be {allowed}, not {_plain(number)}")


def _plain(number: float) -> str:
    """A number as one writes it, and of one with hundreds of digits the first."""
    if isinstance(number, float) and abs(number) < 1e15 and number == int(number):
        return str(int(number))
    text = str(number)
    return text if len(text) <= 25 else f"{text[:20]}…"


def _numbers(values: Any, path: str) -> list[tuple[str, Any, Range]]:
    """Every key that has a range: its dotted name, its value and its range."""
    ranges: dict[str, Range] = {}
    for kind in type(values).__mro__:
        ranges |= RANGES.get(kind, {})
    found = []
    for field in dataclasses.fields(values):
        value, key = getattr(values, field.name), f"{path}{field.name}"
        if dataclasses.is_dataclass(value):
            found += _numbers(value, f"{key}.")
        elif field.name in ranges:
            found.append((key, value, ranges[field.name]))
    return found
