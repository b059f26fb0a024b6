"""Stored Fine features are what was written, whichever part of them is read."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from actline.errors import FeatureError
from actline.features.fine import FeatureOrigin, feature_count, load_features, save_features
from actline.stored.safetensors_files import open_tensors, save_tensors

ORIGIN = FeatureOrigin("0" * 64, 5.0, None, 32)
COUNT = 40


def stages_of(dtype: torch.dtype) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = {"stem": (3, 2), "stage2": (4, 1)}
    return {
        name: torch.randn(channels, COUNT, cells, cells, generator=generator).to(dtype)
        for name, (channels, cells) in sizes.items()
    }


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_every_part_is_what_was_written(tmp_path: Path, dtype: torch.dtype) -> None:
    path, stages = tmp_path / "v.safetensors", stages_of(dtype)
    save_features(path, stages, ORIGIN, {"input": "v"})
    assert feature_count(path, ORIGIN) == COUNT
    for first, count in ((0, None), (0, 8), (-3, 8), (7, 16), (30, 16), (39, 1), (0, COUNT + 5)):
        found = load_features(path, ORIGIN, first=first, count=count)
        last = COUNT if count is None else first + count
        for name, stage in stages.items():
            assert torch.equal(found[name], stage[:, max(0, first) : last].float())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_flipped_bit_is_refused_in_every_part_that_holds_it(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    path, stages = tmp_path / "v.safetensors", stages_of(dtype)
    save_features(path, stages, ORIGIN)
    raw = path.read_bytes()
    begin = 8 + int.from_bytes(raw[:8], "little")
    for at in range(begin, len(raw), (len(raw) - begin) // 23):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        refused = []
        for first in range(0, COUNT, 8):
            try:
                found = load_features(path, ORIGIN, first=first, count=8)
            except FeatureError as error:
                assert "is not a whole features file" in str(error)
                refused.append(first)
                continue
            for name, stage in stages.items():
                assert torch.equal(found[name], stage[:, first : first + 8].float())
        assert len(refused) == 1
        with pytest.raises(FeatureError, match="is not a whole features file"):
            load_features(path, ORIGIN)


def test_values_under_another_name_or_kind_are_refused(tmp_path: Path) -> None:
    path, stages = tmp_path / "v.safetensors", stages_of(torch.float16)
    save_features(path, stages, ORIGIN)
    with open_tensors(path, error=FeatureError, otherwise="damaged") as stored:
        about = dict(stored.metadata)
    stem, stage2 = stages["stem"], stages["stage2"]
    for changed in (
        {"stem": stem.view(torch.bfloat16), "stage2": stage2},
        {"stem": stem.reshape(12, COUNT, 1, 1), "stage2": stage2},
        {"stem": stage2, "stage2": stem},
        {"stem": stem},
    ):
        save_tensors(path, {name: one.contiguous() for name, one in changed.items()}, about)
        with pytest.raises(FeatureError, match="is not a whole features file"):
            load_features(path, ORIGIN, first=4, count=8)


def test_features_from_before_positions_had_checksums_are_read(tmp_path: Path) -> None:
    path, stages = tmp_path / "v.safetensors", stages_of(torch.float16)
    save_features(path, stages, ORIGIN)
    with open_tensors(path, error=FeatureError, otherwise="damaged") as stored:
        about = {key: text for key, text in stored.metadata.items() if key == "origin"}
    save_tensors(path, stages, about)
    found = load_features(path, ORIGIN, first=4, count=8)
    assert torch.equal(found["stem"], stages["stem"][:, 4:12].float())
