"""Checkpoints hold values that can be, the weights of their network, and every bit as written."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from actline.cli.main import main
from actline.detection.load import load_model
from actline.errors import CheckpointError
from actline.features.snippets import SnippetOrigin
from actline.models.bmn import BMNConfig
from actline.models.cards import ChainCard, LabelConfig, ModelCard, SegmentCard
from actline.models.checkpoint import (
    load_checkpoint,
    load_segment_checkpoint,
    read_card,
    save_checkpoint,
)
from actline.models.tcanet import TCANetConfig
from actline.models.transfer import start_from
from actline.models.x3d import X3DConfig
from actline.timeline.suppression import SuppressionConfig
from actline.training.state import read_state, write_state

SEED = Path(__file__).parents[1] / "fuzz" / "seeds" / "tiny_x3d.pyth"
NETWORK = X3DConfig(widths=(8, 8, 8, 16), depths=(1, 1, 1, 1), head_width=16)
CARD = ModelCard(
    NETWORK, ("move", "wait"), size=32, mean=(0.5,) * 3, std=(0.2,) * 3, rate=5.0,
    thresholds=(0.5, 0.4),
)  # fmt: skip
SEGMENTS = SegmentCard(
    BMNConfig(channels=8, temporal_scale=16, width=8, pair_width=8, map_width=8, samples=4),
    ("move",),
    SnippetOrigin("X3D", "ab" * 32, 0.5, 0.5, "mean"),
    SuppressionConfig(),
)
CHAIN = ChainCard(None, SEGMENTS.origin, 0.5, SEGMENTS, None, LabelConfig())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cards")
    torch.manual_seed(0)
    save_checkpoint(made / "model.safetensors", NETWORK.build(2), CARD)
    network = SEGMENTS.network.build()
    save_checkpoint(made / "segments.safetensors", network, SEGMENTS)
    links = torch.nn.ModuleDict({"proposals": network})
    save_checkpoint(made / "chain.safetensors", links, CHAIN)
    return made


def load(path: Path) -> object:
    kind = path.name.partition("-")[0].partition(".")[0]
    readers = {"model": load_checkpoint, "segments": load_segment_checkpoint, "chain": load_model}
    return readers[kind](path)


def changed(path: Path, to: Path, *change: tuple[str, Any], checksum: bool = False) -> Path:
    """A copy whose card has other values, by dotted keys; without a checksum, as older files."""
    with safe_open(path, framework="pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        about = dict(stored.metadata())
    card = json.loads(about["actline"])
    for key, value in change:
        *parents, last = key.split(".")
        place = card
        for parent in parents:
            place = place[parent]
        place[last] = value
    about["actline"] = json.dumps(card)
    if not checksum:
        about.pop("checksum")
    save_file(tensors, to, about)
    return to


@pytest.mark.parametrize("kind", ["model", "segments", "chain"])
def test_files_from_before_there_were_checksums_are_read(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    path = folder / f"{kind}.safetensors"
    load(path)
    load(changed(path, tmp_path / path.name))


@pytest.mark.parametrize("kind", ["model", "segments", "chain"])
def test_no_changed_bit_is_taken_for_a_weight_or_a_value(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    whole = (folder / f"{kind}.safetensors").read_bytes()
    path = tmp_path / f"{kind}.safetensors"
    for place in range(8, len(whole), max(1, len(whole) // 150)):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        try:
            load(path)
        except CheckpointError as error:
            assert "\n" not in str(error)
        else:
            # Spaces that fill the header up may be other spaces.
            assert place < 8 + int.from_bytes(whole[:8], "little")


def test_a_value_that_was_changed_by_hand_shows(folder: Path, tmp_path: Path) -> None:
    path = changed(
        folder / "model.safetensors",
        tmp_path / "model.safetensors",
        ("classes", ["move", "wave"]),
        checksum=True,
    )
    with pytest.raises(CheckpointError, match="not a whole checkpoint"):
        load(path)


WRONG: list[tuple[str, str, Any, str]] = [
    ("model", "rate", 0, "rate must be above 0"),
    ("model", "rate", 1e30, "rate must be"),
    ("model", "rate", None, "either rate or stride"),
    ("model", "stride", 3, "either rate or stride"),
    ("model", "size", -5, "size must be at least 32"),
    ("model", "size", 10**9, "size must be"),
    ("model", "window", 0, "window must be|overlap must lie"),
    ("model", "overlap", 100, "overlap must lie between"),
    ("model", "overlap", -1, "overlap must be"),
    ("model", "mean", [0.5, 7, 0.5], "mean must be"),
    ("model", "std", [0.2, 0, 0.2], "std must be"),
    ("model", "std", [0.2, float("nan"), 0.2], "std must be"),
    ("model", "thresholds", [0.5], "1 thresholds do not fit 2 classes"),
    ("model", "thresholds", [0.5, 2.0], "thresholds must be"),
    ("model", "classes", ["move", "move"], 'class "move" appears twice'),
    ("model", "classes", ["move", ""], "is not the name of a class"),
    ("model", "classes", ["move", "a\u0007"], "is not the name of a class"),
    ("model", "classes", [], "at least one class"),
    ("model", "classes", ["move"], "1 classes|thresholds"),
    ("model", "network.depths", [1, 1, 1, 0], "depths must be"),
    ("model", "network.depths", [1, 1, 1, 10**9], "depths must be"),
    ("model", "network.depths", [1, 1, 1, 2], "weights do not fit"),
    ("model", "network.widths", [65536] * 4, "weights do not fit"),
    ("model", "network.widths", [10**12] * 4, "widths must be"),
    ("segments", "network.temporal_scale", 10**6, "places; give a smaller temporal_scale"),
    ("segments", "network.temporal_scale", 1, "temporal_scale must be"),
    ("segments", "network.samples", 5, "weights do not fit"),
    ("segments", "network.width", 7, "divisible by groups"),
    ("segments", "suppression.sigma", 0, "sigma"),
    ("segments", "origin.interval", -1, "interval must be"),
    ("chain", "interval", float("inf"), "interval must be"),
    ("chain", "labels.top", 0, "top must be"),
    ("chain", "proposals", None, "proposals, refinement or both"),
    ("chain", "proposals.network.channels", 10**13, "channels must be"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong[1]}={str(wrong[2])[:20]}")
def test_values_that_cannot_be_are_one_line(
    folder: Path, tmp_path: Path, wrong: tuple[str, str, Any, str]
) -> None:
    kind, key, value, said = wrong
    path = changed(folder / f"{kind}.safetensors", tmp_path / f"{kind}.safetensors", (key, value))
    with pytest.raises(CheckpointError, match=said) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


UNREADABLE: dict[str, tuple[ModelCard | SegmentCard | ChainCard, str]] = {
    "a rate": (replace(CARD, rate=1e9), "rate must be above 0 and at most 1000"),
    "a size": (replace(CARD, size=8), "size must be at least 32"),
    "no number": (replace(CARD, mean=(float("nan"),) * 3), "mean must be at least 0"),
    "a network": (replace(CARD, network=replace(NETWORK, dropout=1.0)), "network.dropout"),
    "classes": (
        replace(CARD, classes=("move", "wait", "go"), thresholds=None),
        "weights do not fit",
    ),
    "another network": (replace(CARD, network=replace(NETWORK, head_width=8)), "do not fit"),
    "an interval": (replace(CHAIN, interval=1e9), "interval must be at least 0 and at most 1000"),
    "labels": (replace(CHAIN, labels=LabelConfig(top=0)), "labels.top must be at least 1"),
    "a table": (
        replace(SEGMENTS, network=replace(SEGMENTS.network, temporal_scale=1)),
        "temporal_scale must be at least 2",
    ),
}


@pytest.mark.parametrize("wrong", UNREADABLE)
def test_what_could_not_be_read_back_is_not_written(tmp_path: Path, wrong: str) -> None:
    card, said = UNREADABLE[wrong]
    networks: dict[type, torch.nn.Module] = {
        ModelCard: NETWORK.build(2),
        SegmentCard: SEGMENTS.network.build(),
        ChainCard: torch.nn.ModuleDict({"proposals": SEGMENTS.network.build()}),
    }
    with pytest.raises(CheckpointError, match=said) as caught:
        save_checkpoint(tmp_path / "a.safetensors", networks[type(card)], card)
    assert "a.safetensors" in str(caught.value)
    assert not list(tmp_path.iterdir())


def converted(folder: Path, *options: str | Path, name: str = "in.pyth") -> Path:
    """A small published X3D of 3 classes, converted by the command."""
    shutil.copy(SEED, folder / name)
    out = folder / "out.safetensors"
    command = ["convert", folder / name, "--from", "pytorchvideo", out, *options]
    assert main([str(part) for part in command]) == 0
    return out


def test_convert_gives_classes_their_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = read_card(converted(tmp_path))
    names = [f"activity {number}" for number in range(len(card.classes))]
    assert card.classes == tuple(f"c{number:03d}" for number in range(len(names)))
    listed = tmp_path / "classes.txt"
    listed.write_text("\n".join(names) + "\n")
    out = converted(tmp_path, "--classes", listed)
    assert load_checkpoint(out)[1].classes == tuple(names)
    before = out.read_bytes()
    listed.write_text("\n".join(names[1:]) + "\n")
    capsys.readouterr()
    command = ["convert", tmp_path / "in.pyth", "--from", "pytorchvideo", out]
    assert main([*map(str, command), "--classes", str(listed)]) == 1
    told = f"names {len(names) - 1} classes; the checkpoint has {len(names)}\n"
    assert capsys.readouterr().err.endswith(told)
    assert out.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="names are UTF-16 there")
def test_a_file_whose_name_is_no_text_is_converted_to_one_that_can_be_read(tmp_path: Path) -> None:
    out = converted(tmp_path, name=os.fsdecode(b"in\xff\x1b.pyth"))
    card = read_card(out)
    assert card.source == r"in\udcff\x1b.pyth, converted from pytorchvideo"
    assert load_checkpoint(out)[1] == card


def test_a_refinement_whose_heads_do_not_divide_it_is_refused(tmp_path: Path) -> None:
    network = TCANetConfig(
        channels=8, width=8, encoder_layers=1, heads=2, window=3, feedforward=8, start_samples=4,
        action_samples=8, end_samples=4, frame_width=8, segment_width=8, stages=2,
    )  # fmt: skip
    card = replace(SEGMENTS, network=network)
    save_checkpoint(tmp_path / "segments.safetensors", network.build(), card)
    load(tmp_path / "segments.safetensors")
    path = changed(
        tmp_path / "segments.safetensors",
        tmp_path / "segments-other.safetensors",
        ("network.heads", 3),
    )
    with pytest.raises(CheckpointError, match="heads must be even and divide 8"):
        load(path)


def test_weights_of_another_kind_of_number_are_refused(folder: Path, tmp_path: Path) -> None:
    with safe_open(folder / "model.safetensors", framework="pt") as stored:
        tensors = {name: stored.get_tensor(name).double() for name in stored.keys()}  # noqa: SIM118
        about = dict(stored.metadata())
    about.pop("checksum")
    save_file(tensors, tmp_path / "model.safetensors", about)
    with pytest.raises(CheckpointError, match="weights do not fit"):
        load(tmp_path / "model.safetensors")


def test_start_from_verifies_too(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    shutil.copy(folder / "model.safetensors", path)
    start_from(NETWORK.build(2), path)
    with path.open("r+b") as file:
        file.seek(-3, 2)
        file.write(b"\x7f")
    with pytest.raises(CheckpointError, match="not a whole checkpoint"):
        start_from(NETWORK.build(2), path)
    with pytest.raises(CheckpointError, match="not a whole checkpoint"):
        load_model(path, device="cpu")
    assert read_card(path).classes == CARD.classes


def test_a_state_of_other_content_is_one_line(tmp_path: Path) -> None:
    from actline.errors import TrainingError

    whole: dict[str, Any] = {
        "step": 1, "batch": 1, "validated": 0, "best": 0.5, "recipe": {}, "processes": 1,
        "classes": [], "training": {}, "validation": {}, "files": {}, "network": {},
        "optimizer": {}, "averaged": {}, "scaler": {},
    }  # fmt: skip
    write_state(tmp_path, whole, keep=False)
    assert read_state(tmp_path) is not None
    for key, value in whole.items():
        for wrong in (None, "x", -1 if isinstance(value, int) else 3):
            write_state(tmp_path, {**whole, key: wrong}, keep=False)
            with pytest.raises(TrainingError, match=r"state\.pt is damaged; remove"):
                read_state(tmp_path)
