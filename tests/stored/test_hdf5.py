"""Of HDF5 files only what lies in them is read, and no more than there is."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from actline.errors import FeatureError
from actline.features.public import read_public
from actline.stored.hdf5 import Hdf5Array, open_hdf5


def load(path: Path, name: str) -> np.ndarray:
    with open_hdf5(path, error=FeatureError) as group:
        found = group.open(name)
        assert isinstance(found, Hdf5Array)
        return found.load()


def test_arrays_are_read_whole_compressed_or_not(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(30, 7))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["plain"] = values
        file.create_dataset("packed", data=values, chunks=(8, 4), compression="gzip")
        file.create_dataset("zeros", data=np.zeros((1000, 8)), compression="gzip")
        file.create_dataset("none", data=np.zeros((0, 8)))
    for name in ("plain", "packed"):
        np.testing.assert_array_equal(load(tmp_path / "a.h5", name), values)
    assert load(tmp_path / "a.h5", "zeros").shape == (1000, 8)
    assert load(tmp_path / "a.h5", "none").shape == (0, 8)


@pytest.mark.parametrize("how", ["contiguous", "chunked", "compressed", "partly"])
def test_numbers_that_are_filled_in_are_refused(tmp_path: Path, how: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        options = {
            "contiguous": {},
            "chunked": {"chunks": (100, 100)},
            "compressed": {"chunks": (100, 100), "compression": "gzip"},
            "partly": {"chunks": (100, 100)},
        }[how]
        made = file.create_dataset("a", (1000, 1000), np.float32, fillvalue=1, **options)
        if how == "partly":
            made[:500] = 2
    with pytest.raises(FeatureError, match="larger than the data stored"):
        load(tmp_path / "a.h5", "a")


def test_an_array_beyond_the_limit_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=np.zeros(3 << 20, np.uint8), compression="gzip")
    assert (tmp_path / "a.h5").stat().st_size < 1 << 16
    monkeypatch.setenv("ACTLINE_LIMITS", "array_mib=2")
    with pytest.raises(FeatureError, match="ACTLINE_LIMITS=array_mib="):
        load(tmp_path / "a.h5", "a")


@pytest.mark.parametrize("video", ["a", None])
def test_groups_that_hold_themselves_are_refused(tmp_path: Path, video: str | None) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        outer = file.create_group("a")
        outer["a"] = outer
    with pytest.raises(FeatureError, match="a group contains itself"):
        read_public(tmp_path / "a.h5", interval=1.0, duration=10.0, video=video)


def test_links_to_other_places_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = np.ones((10, 4))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["there"] = np.ones((10, 4))
        file["soft"] = h5py.SoftLink("/there")
        file["external"] = h5py.ExternalLink("other.h5", "a")
        layout = h5py.VirtualLayout((10, 4), "f8")
        layout[:] = h5py.VirtualSource("other.h5", "a", (10, 4))
        file.create_virtual_dataset("virtual", layout)
        (tmp_path / "raw").write_bytes(b"\1" * 320)
        file.create_dataset("raw", (10, 4), "f8", external=[(tmp_path / "raw", 0, 320)])
    for name in ("soft", "external"):
        with pytest.raises(FeatureError, match="is a link, not data"):
            load(tmp_path / "a.h5", name)
    for name in ("virtual", "raw"):
        with pytest.raises(FeatureError, match="is stored in other files"):
            load(tmp_path / "a.h5", name)


def test_damaged_files_are_one_line_or_read(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=np.ones((10, 4)), chunks=(5, 4), compression="gzip")
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(200):
        changed = bytearray(whole)
        changed[random.integers(len(changed))] ^= 1 << random.integers(8)
        path.write_bytes(changed[: random.integers(len(changed) // 2, len(changed) + 1)])
        try:
            read_public(path, interval=1.0, duration=10.0, width=4)
        except FeatureError as error:
            assert "\n" not in str(error)
