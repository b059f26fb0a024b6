"""Pickles and PyTorch's files are read as their libraries do, and cost no more than is said."""

import pickle
import pickletools
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from actline.errors import FeatureError
from actline.stored.pickles import read_pickle
from actline.stored.torch_files import load_torch, save_torch

WORDS: dict[str, Any] = {"error": FeatureError, "unsafe": "is unsafe", "damaged": "is damaged"}


def content() -> dict[str, Any]:
    """What training keeps, and tensors of every kind that is read."""
    network = nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    network(torch.randn(2, 2, 9)).sum().backward()
    optimizer.step()
    row = torch.arange(12.0)
    return {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": {"milestones": Counter([1, 2, 2])},
        "parameter": nn.Parameter(torch.ones(2)),
        "views": [row, row[2:8:2], row.view(3, 4).T],
        "kinds": tuple(
            torch.ones(3, dtype=kind)
            for kind in (torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.bool)
        ),
        "none": torch.empty(0, 3),
        "scalar": torch.tensor(3),
        "dtype": torch.float16,
        "plain": [1, -(2**70), 2.5, "näme", b"raw", None, True, (1, (2,))],
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.parametrize("archive", [True, False])
def test_a_torch_file_is_read_as_torch_reads_it(tmp_path: Path, archive: bool) -> None:
    path = tmp_path / "a.pt"
    torch.save(content(), path, _use_new_zipfile_serialization=archive)
    assert same(torch.load(path, weights_only=True), load_torch(path, **WORDS))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "a.pt"
    save_torch(path, content())
    return path


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_archive_is_refused_or_says_the_same(archive: Path, data: st.DataObject) -> None:
    whole = archive.read_bytes()
    path = archive.with_name("changed.pt")
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(changed[: data.draw(st.integers(len(changed) // 2, len(changed)))])
    try:
        found = load_torch(path, **WORDS)
    except FeatureError as error:
        assert "\n" not in str(error)
    else:
        assert same(load_torch(archive, **WORDS), found)


def laughing(levels: int, make: Callable[[Any], Any]) -> Any:
    value: Any = make("ha")
    for _ in range(levels):
        value = make(value)
    return value


@pytest.mark.parametrize(
    "make",
    [lambda one: [one] * 10, lambda one: (one,) * 10, lambda one: dict.fromkeys("abcdefghij", one)],
    ids=["lists", "tuples", "dictionaries"],
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_references_that_multiply_are_counted(tmp_path: Path, make: Any, protocol: int) -> None:
    value = laughing(40, make)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"slow_feature": value}, protocol))
    with pytest.raises(FeatureError, match="values, by references; set ACTLINE_LIMITS=values="):
        read_pickle(tmp_path / "a.pkl", error=FeatureError, what="features")
    torch.save({"network": value}, tmp_path / "a.pt")
    with pytest.raises(FeatureError, match="values, by references; set ACTLINE_LIMITS=values="):
        load_torch(tmp_path / "a.pt", **WORDS)


def test_a_tuple_that_multiplies_is_no_key(tmp_path: Path) -> None:
    """Its hash would be work without end."""
    raw = b"\x80\x02}" + b"K\x01\x85" + b"q\x00h\x00\x86" * 60 + b"K\x01s."
    assert pickletools.genops(raw) is not None
    (tmp_path / "a.pkl").write_bytes(raw)
    with pytest.raises(FeatureError, match="a key that is a tuple"):
        read_pickle(tmp_path / "a.pkl", error=FeatureError, what="features")


def test_a_text_is_not_made_into_bytes_again_and_again(tmp_path: Path) -> None:
    text = b"X" + (100_000).to_bytes(4, "little") + b"x" * 100_000 + b"q\x00"
    call = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02](" + text + call * 10_000 + b"e.")
    with pytest.raises(FeatureError, match="not a whole pickle"):
        read_pickle(tmp_path / "a.pkl", error=FeatureError, what="features")


def test_what_holds_itself_is_refused(tmp_path: Path) -> None:
    value: list[Any] = []
    value.append(value)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(FeatureError, match="not a whole pickle"):
        read_pickle(tmp_path / "a.pkl", error=FeatureError, what="features")


def test_a_storage_that_says_it_is_larger_is_refused(tmp_path: Path) -> None:
    """PyTorch's own reader takes what lies behind it in memory."""
    torch.save({"x": torch.arange(4.0)}, tmp_path / "a.pt")
    changed = tmp_path / "changed.pt"
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as given,
        zipfile.ZipFile(changed, "w") as written,
    ):
        for member in given.infolist():
            raw = given.read(member)
            if member.filename.endswith("data.pkl"):
                assert raw.count(b"K\x04") == 2  # of the storage and of the tensor
                raw = raw.replace(b"K\x04", b"K\xf0")
            written.writestr(member.filename, raw)
    with pytest.raises(FeatureError, match="is damaged"):
        load_torch(changed, **WORDS)


def test_an_archive_that_unpacks_to_much_is_refused_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("a/data.pkl", b"\0" * (3 << 20))
    assert (tmp_path / "a.pt").stat().st_size < 1 << 14
    monkeypatch.setenv("ACTLINE_LIMITS", "array_mib=2")
    with pytest.raises(FeatureError, match="ACTLINE_LIMITS=array_mib="):
        load_torch(tmp_path / "a.pt", **WORDS)


def test_views_of_one_array_count_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = torch.zeros(1 << 18)
    torch.save([row.view(2, -1) for _ in range(4)], tmp_path / "a.pt")
    assert len(load_torch(tmp_path / "a.pt", **WORDS)) == 4
    monkeypatch.setenv("ACTLINE_LIMITS", "array_mib=2")
    with pytest.raises(FeatureError, match="ACTLINE_LIMITS=array_mib="):
        load_torch(tmp_path / "a.pt", **WORDS)


@pytest.mark.parametrize("kind", ["sparse", "complex", "meta"])
def test_tensors_of_other_kinds_are_named(tmp_path: Path, kind: str) -> None:
    made = {
        "sparse": torch.eye(3).to_sparse(),
        "complex": torch.ones(3, dtype=torch.complex64),
        "meta": torch.ones(3, device="meta"),
    }
    torch.save({"x": made[kind]}, tmp_path / "a.pt")
    with pytest.raises(FeatureError, match=r"a\.pt holds a tensor that is not of plain numbers"):
        load_torch(tmp_path / "a.pt", **WORDS)


def test_numpy_numbers_in_torch_files_are_read(tmp_path: Path) -> None:
    torch.save({"best": np.float64(0.5)}, tmp_path / "a.pt")
    assert load_torch(tmp_path / "a.pt", **WORDS) == {"best": 0.5}


@pytest.mark.parametrize("order", "<>=|")
def test_numbers_are_in_the_order_of_bytes_that_is_said_or_refused(
    tmp_path: Path, order: str
) -> None:
    path = tmp_path / "a.pkl"
    numbers = np.arange(6.0).astype("u1" if order == "|" else f"{order}f4")
    raw = pickle.dumps(numbers, protocol=2)
    path.write_bytes(raw)
    found = read_pickle(path, error=FeatureError, what="features")
    assert np.array_equal(found, numbers)
    said = b"X\x01\x00\x00\x00" + (b"|" if order == "|" else numbers.dtype.str[0].encode())
    assert raw.count(said) == 1
    for other in (b"X\x01\x00\x00\x00?", b"K\x01", b"N", b")"):
        path.write_bytes(raw.replace(said, other))
        with pytest.raises(FeatureError, match="is not a whole pickle"):
            read_pickle(path, error=FeatureError, what="features")


class _Array:
    """An array whose pickled state has more in it than NumPy writes."""

    def __init__(self, *more: object) -> None:
        self.more = more

    def __reduce__(self) -> tuple[Any, ...]:
        made, given, state = np.arange(6.0).reshape(2, 3).__reduce__()
        return made, given, (*self.more, *state)


@pytest.mark.parametrize("more", [(), (1,), (1, 1)])
def test_an_array_whose_state_numpy_refuses_is_refused(tmp_path: Path, more: tuple[int]) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(_Array(*more), protocol=2))
    if not more:
        assert np.array_equal(
            read_pickle(path, error=FeatureError, what="features"), np.arange(6.0).reshape(2, 3)
        )
        return
    with pytest.raises(TypeError):
        pickle.loads(path.read_bytes())  # noqa: S301, it is ours
    with pytest.raises(FeatureError, match="is not a whole pickle"):
        read_pickle(path, error=FeatureError, what="features")
