"""A small working place in which every command runs: data, features, checkpoints, results."""

import json
import pickle
import shutil
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import av
import h5py
import numpy as np
import torch
import yaml
from tiny import write_data, write_recipe
from tiny_segments import write_bmn, write_tcanet
from torch import Tensor

from actline.cli.main import main
from actline.features.fine import FeatureOrigin
from actline.features.snippets import load_snippets
from actline.models.checkpoint import load_checkpoint, weights_hash

SNIPPET = 0.4
PICTURES_A_SECOND = 5.0  # of folders of frames: each is sampled by the tiny network
ON_CPU = ("--device", "cpu")
_STREAM = {"widths": [8, 8, 8, 16], "depths": [1, 1, 1, 1], "head_width": 16}
COARSE_FINE = {"pooling": "grid", "cells": 1, "fine": _STREAM, "coarse": _STREAM}


@dataclass(frozen=True)
class Kit:
    """Where things are; made by `make_kit`, in about half a minute."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def videos(self) -> Path:
        return self.data / "videos"

    @property
    def annotations(self) -> Path:
        return self.data / "annotations.json"

    @property
    def fine(self) -> Path:
        return self.folder / "runs" / "x3d" / "best.safetensors"

    @property
    def chain(self) -> Path:
        return self.folder / "chain.safetensors"

    @property
    def bmn(self) -> Path:
        return self.folder / "runs" / "bmn" / "best.safetensors"

    @property
    def tcanet(self) -> Path:
        return self.folder / "runs" / "tcanet" / "best.safetensors"

    @property
    def seconds(self) -> float:
        """How long each video is."""
        return 4.0

    @cached_property
    def width(self) -> int:
        """Features a snippet."""
        return load_snippets(self.snippets / "tiny0.safetensors").features.shape[0]

    def fine_origin(self) -> FeatureOrigin:
        """What the Fine features say made them."""
        network, card = load_checkpoint(self.fine)
        return card.feature_origin(weights_hash(network))

    @property
    def found(self) -> Path:
        return self.folder / "found"

    @property
    def snippets(self) -> Path:
        return self.folder / "snippets"


def make_kit(folder: Path) -> Kit:
    """Generate, train, extract, detect and evaluate once, by the commands a user gives."""
    kit = Kit(folder)
    done = folder / "done"
    if done.exists():
        return kit
    torch.set_num_threads(1)
    shutil.rmtree(folder, ignore_errors=True)
    write_data(kit.data, videos=4)
    _do("train", write_recipe(folder / "x3d.yaml", kit.data, epochs=1), f"out={kit.fine.parent}")
    videos, fine = kit.videos, kit.fine
    _do("extract", videos, "--checkpoint", fine, "--snippets", SNIPPET, "--out", kit.snippets)
    _do("extract", videos, "--checkpoint", fine, "--cells", 1, "--out", folder / "fine")
    stored = {"folder": str(folder / "fine"), "checkpoint": str(fine)}
    write_recipe(
        folder / "coarse_fine.yaml",
        kit.data,
        epochs=1,
        network=COARSE_FINE,
        init=str(fine),
        features=stored,
    )
    if find_spec("onnxruntime") and find_spec("onnxscript"):
        _do("export", fine, folder / "x3d.onnx", device=False)
    data = {"validation_subset": "testing"}
    network = {"channels": kit.width}
    bmn = write_bmn(
        folder / "bmn.yaml", kit.data, kit.snippets, network=network, data=data, epochs=1
    )
    _do("train", bmn, f"out={kit.bmn.parent}")
    tcanet = write_tcanet(
        folder / "tcanet.yaml",
        kit.data,
        kit.snippets,
        network={**network, "snippet_interval": SNIPPET},
        data=data,
        epochs=1,
        proposals=str(kit.bmn),
    )
    _do("train", tcanet, f"out={kit.tcanet.parent}")
    links = ("--backbone", fine, "--proposals", kit.bmn, "--refinement", kit.tcanet)
    _do("chain", *links, "--out", kit.chain, device=False)
    _do("detect", videos, "--checkpoint", fine, "--out", kit.found)
    _do("detect", videos, "--checkpoint", kit.chain, "--out", folder / "segments")
    metrics = folder / "metrics.json"
    _do("evaluate", kit.found, kit.annotations, "--out", metrics, device=False)
    scores = folder / "scores.json"
    segments = (folder / "segments", kit.annotations, "--protocol", "thumos", "--errors")
    _do("evaluate", *segments, "--out", scores, device=False)
    _write_public(kit)
    _write_videos(folder / "containers")
    done.touch()
    return kit


def _do(*command: object, device: bool = True) -> None:
    argv = [str(part) for part in command]
    status = main([*argv, *(ON_CPU if device else ())])
    if status:
        raise RuntimeError(f"actline {' '.join(argv)} ended with status {status}")


def _write_public(kit: Kit) -> None:
    """Features as others publish them, in all forms that are read."""
    public = kit.folder / "public"
    public.mkdir()
    values = load_snippets(kit.snippets / "tiny0.safetensors").features.numpy()
    np.save(public / "tiny0.npy", values.T)
    rows = "".join(",".join(f"{one:.6f}" for one in row) + "\n" for row in values.T)
    header = ",".join(f"f{index}" for index in range(len(values))) + "\n"
    (public / "tiny0.csv").write_text(header + rows)
    with h5py.File(public / "tiny0.h5", "w") as file:
        file["tiny0"] = values.T
    parts = {name: part.numpy() for name, part in public_parts(kit).items()}
    (public / "tiny0.pkl").write_bytes(pickle.dumps(parts, protocol=2))


def public_parts(kit: Kit) -> dict[str, Tensor]:
    """Features in the two parts of TCANet's authors, each (1, C / 2, T)."""
    values = load_snippets(kit.snippets / "tiny0.safetensors").features
    slow, fast = values.split(len(values) // 2)
    return {"slow_feature": slow[None].clone(), "fast_feature": fast[None].clone()}


def _write_videos(folder: Path) -> None:
    """Small videos in the containers people have."""
    folder.mkdir()
    kinds = {
        "mp4": "libx264",
        "mkv": "libx264",
        "ts": "libx264",
        "avi": "mpeg4",
        "mov": "mjpeg",
        "webm": "libvpx-vp9",
        "mpg": "mpeg2video",
        "flv": "flv",
        "gif": "gif",
        "ogv": "libtheora",
        "wmv": "wmv2",
        "mxf": "mpeg2video",
        "nut": "mpeg4",
        "ivf": "libvpx",
        "swf": "flv",
    }
    for ending, codec in kinds.items():
        with av.open(str(folder / f"x.{ending}"), "w") as container:
            try:
                stream = container.add_stream(codec, rate=25)
            except (ValueError, av.FFmpegError):  # a codec that this FFmpeg lacks
                continue
            stream.width, stream.height = 48, 32
            stream.pix_fmt = {"mjpeg": "yuvj420p", "gif": "rgb8"}.get(codec, "yuv420p")
            for number in range(40):
                picture = np.full((32, 48, 3), (5 * number) % 255, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    for path in list(folder.iterdir()):
        if not path.stat().st_size:
            path.unlink()


def annotation_files(folder: Path) -> dict[str, Path]:
    """Small annotations in every published form."""
    folder.mkdir(parents=True, exist_ok=True)
    activity = {"label": "move", "segment": [0.5, 2.0]}
    clip = {"annotations": activity, "duration": 2.0, "subset": "training", "url": "x?v=a"}
    texts: dict[str, object] = {
        "activitynet.json": {
            "version": "1.3",
            "database": {
                name: {"subset": "training", "duration": 4.0, "annotations": [activity] * 2}
                for name in ("tiny0", "tiny1")
            },
        },
        "charades.json": {
            name: {"subset": "training", "duration": 4.0, "actions": [[1, 0.5, 2.0], [2, 0, 3.5]]}
            for name in ("tiny0", "tiny1")
        },
        "kinetics.json": {"tiny0": clip, "tiny1": clip},
        "kinetics.csv": (
            "label,youtube_id,time_start,time_end,split\nmove,---QUuC4vJs,84,94,train\n"
        ),
        "table.csv": (
            "video,label,start,end,subset\ntiny0,move,0.5,2.0,training\ntiny1,a,1,3,test\n"
        ),
        "Charades_v1_train.csv": (
            "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,"
            'length\ntiny0,H,K,6,7,Yes,"a, ""b""",d,e,c001 0.50 2.00;c000 0.00 3.00,4.00\n'
        ),
    }
    (folder / "Charades_v1_classes.txt").write_text("c000 Holding\nc001 Putting\nc002 Opening\n")
    for name, content in texts.items():
        written = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(written)
    thumos = folder / "thumos" / "temporal_annotations_test"
    thumos.mkdir(parents=True, exist_ok=True)
    (thumos / "Diving_test.txt").write_text("video_test_0000004  5.1 6.2\nvideo_test_0000005 1 2\n")
    (folder / "thumos" / "detclasslist.txt").write_text("7 BaseballPitch\n26 Diving\n")
    return {
        **{name: folder / name for name in texts},
        "Diving_test.txt": thumos / "Diving_test.txt",
        "Charades_v1_classes.txt": folder / "Charades_v1_classes.txt",
    }


def annotations_of(path: Path) -> Path:
    """What to read of a trial's annotations, for one of their files: itself or those it is of."""
    if path.name == "Diving_test.txt":
        return path.parent.parent
    if path.name == "Charades_v1_classes.txt":
        return path.with_name("Charades_v1_train.csv")
    return path


def recipe_text(kit: Kit) -> bytes:
    """A whole recipe that trains one step, for mutations of its values."""
    return yaml.safe_dump(yaml.safe_load((kit.folder / "x3d.yaml").read_text())).encode()
