"""Tiny snippet features with annotations, and tiny recipes of BMN and TCANet."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from actline.features.snippets import SnippetFeatures, SnippetOrigin, save_snippets, snippet_path

ORIGIN = SnippetOrigin("X3D", "ab" * 32, 0.5, 0.5, "mean")
WIDTH, LENGTH, INTERVAL = 8, 40, 0.5
DURATION = LENGTH * INTERVAL
TRAINED, HELD_OUT = ("a0", "a1", "a2", "a3"), ("a4", "a5")
SEGMENTS = {name: (2.0 + i, 9.0 + 1.5 * i) for i, name in enumerate((*TRAINED, *HELD_OUT))}


def values_of(video: str) -> NDArray[np.float32]:
    """Features (C, T) that show where the video's activity is."""
    random = np.random.default_rng(int(video[1:]))
    times = (np.arange(LENGTH) + 0.5) * INTERVAL
    start, end = SEGMENTS[video]
    values = random.normal(0, 0.2, (WIDTH, LENGTH))
    values[0] += (times > start) & (times < end)
    return values.astype(np.float32)


def write_annotations(path: Path, **changes: Any) -> Path:
    """ActivityNet's form; `changes` replace keys of the videos they name, None takes one away."""
    database = {
        name: {
            "subset": "training" if name in TRAINED else "validation",
            "duration": DURATION,
            "annotations": [{"label": "move", "segment": list(segment)}],
            **changes.get(name, {}),
        }
        for name, segment in SEGMENTS.items()
    }
    database = {
        name: {key: value for key, value in video.items() if value is not None}
        for name, video in database.items()
    }
    path.write_text(json.dumps({"database": database}))
    return path


def write_features(folder: Path, origin: SnippetOrigin = ORIGIN) -> Path:
    """Features as `actline extract --snippets` writes them."""
    for name in SEGMENTS:
        write_one(folder, name, origin)
    return folder


def write_one(folder: Path, name: str, origin: SnippetOrigin = ORIGIN) -> Path:
    length = round(DURATION / origin.interval)
    values = torch.from_numpy(values_of(name))[:, :length].contiguous()
    snippets = SnippetFeatures(values, origin.interval, DURATION)
    save_snippets(snippet_path(folder, name), snippets, origin)
    return snippet_path(folder, name)


SUPPRESSION = {"kind": "gaussian", "sigma": 0.4, "top_k": 20}


def write_bmn(path: Path, annotations: Path, features: Path, /, **changes: Any) -> Path:
    """A recipe of BMN that trains in a second; `changes` replace top-level keys."""
    network = {
        "channels": WIDTH,
        "temporal_scale": 16,
        "width": 8,
        "pair_width": 8,
        "map_width": 8,
        "samples": 4,
    }
    return _write(path, annotations, features, task="proposals", network=network, changes=changes)


def write_tcanet(path: Path, annotations: Path, features: Path, /, **changes: Any) -> Path:
    """A recipe of TCANet that trains in a second; `changes` replace top-level keys."""
    network = {
        "channels": WIDTH,
        "width": 8,
        "encoder_layers": 1,
        "heads": 2,
        "window": 3,
        "feedforward": 8,
        "start_samples": 4,
        "action_samples": 8,
        "end_samples": 4,
        "frame_width": 8,
        "segment_width": 8,
        "stages": 2,
        "snippet_interval": INTERVAL,
    }
    return _write(path, annotations, features, task="refinement", network=network, changes=changes)


def _write(
    path: Path,
    annotations: Path,
    features: Path,
    *,
    task: str,
    network: dict[str, Any],
    changes: dict[str, Any],
) -> Path:
    data = {"annotations": str(annotations), "features": str(features)}
    recipe = {
        "task": task,
        "name": "tiny",
        "out": str(path.parent / "run"),
        "network": {**network, **changes.pop("network", {})},
        "data": {**data, **changes.pop("data", {})},
        "suppression": SUPPRESSION,
        "optimizer": {"lr": 0.01},
        "epochs": 2,
        "batch_size": 2,
        "evaluate_every": 0,
        **changes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(recipe))
    return path
