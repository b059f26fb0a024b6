"""Files of every container format are read within limits, and every failure is one clear line."""

import json
import os
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from actline.errors import ActlineError, FeatureError, OutputError, PredictionError, RecipeError
from actline.stored import json_text
from actline.stored.hdf5 import open_hdf5
from actline.stored.json_text import parse_json, read_json, stream_json
from actline.stored.limits import LimitError, limits
from actline.stored.npy import open_npy
from actline.stored.npz import read_npz
from actline.stored.safetensors_files import open_tensors, save_tensors
from actline.stored.text import first_text, read_bytes, read_text, text_lines
from actline.stored.torch_files import load_torch, save_torch
from actline.stored.yaml_text import parse_yaml


def test_limits_are_lifted_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTLINE_LIMITS", "depth=7, text_mib=3")
    assert (limits().depth, limits().text_mib) == (7, 3)
    assert limits().members == 100_000


@pytest.mark.parametrize("wrong", ["depht=7", "depth=0", "depth=-1", "depth=a", "depth=", "x"])
def test_a_wrong_limit_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("ACTLINE_LIMITS", wrong)
    with pytest.raises(LimitError, match="ACTLINE_LIMITS"):
        limits()


def test_text_beyond_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"x" * ((1 << 20) + 1))
    monkeypatch.setenv("ACTLINE_LIMITS", "text_mib=1")
    with pytest.raises(FeatureError, match="ACTLINE_LIMITS=text_mib=…"):
        read_text(path, error=FeatureError, what="features")
    monkeypatch.setenv("ACTLINE_LIMITS", "text_mib=2")
    assert len(read_text(path, error=FeatureError, what="features")) == (1 << 20) + 1


def test_a_small_file_takes_little_memory_whatever_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n")
    monkeypatch.setenv("ACTLINE_LIMITS", "text_mib=4096")
    tracemalloc.start()
    try:
        read_text(path, error=FeatureError, what="features")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


READERS: dict[str, Callable[[Path], object]] = {
    "bytes": lambda path: read_bytes(path, error=FeatureError, what="features"),
    "text": lambda path: read_text(path, error=FeatureError, what="features"),
    "opening": lambda path: first_text(path, error=FeatureError, what="features"),
    "lines": lambda path: list(text_lines(path, error=FeatureError, what="features")),
    "JSON": lambda path: list(stream_json(path, "a", error=FeatureError, what="features")),
    "npy": lambda path: open_npy(path, error=FeatureError, what="features"),
    "npz": lambda path: read_npz(path, error=FeatureError, what="features"),
    "HDF5": lambda path: _entered(open_hdf5(path, error=FeatureError)),
    "PyTorch": lambda path: load_torch(path, error=FeatureError, unsafe="", damaged=""),
    "safetensors": lambda path: _entered(open_tensors(path, error=FeatureError, otherwise="")),
}


def _entered(block: AbstractContextManager[object]) -> None:
    with block:
        pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("reader", READERS)
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, reader: str) -> None:
    os.mkfifo(tmp_path / "a")
    with pytest.raises(FeatureError, match="a is not a regular file"):
        READERS[reader](tmp_path / "a")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero on this system")
@pytest.mark.parametrize("reader", READERS)
def test_a_device_without_end_is_refused(reader: str) -> None:
    with pytest.raises(FeatureError, match="zero is not a regular file"):
        READERS[reader](Path("/dev/zero"))


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
@pytest.mark.parametrize("depth", [200, 5_000, 200_000])
def test_json_nested_too_deeply_is_refused(opening: str, depth: int) -> None:
    with pytest.raises(PredictionError, match=r"levels deep|nested too deeply|not valid"):
        parse_json(opening * depth, "a.json", error=PredictionError)
    closing = "".join("]" if one == "[" else "}" for one in reversed(opening) if one in "[{")
    with pytest.raises(PredictionError):
        parse_json(opening * depth + "1" + closing * depth, "a.json", error=PredictionError)


def test_json_at_the_limit_of_depth_is_read() -> None:
    most = limits().depth
    value = parse_json("[" * most + "]" * most, "a.json", error=PredictionError)
    assert value is not None
    with pytest.raises(PredictionError, match=f"more than {most} levels"):
        parse_json("[" * (most + 1) + "]" * (most + 1), "a.json", error=PredictionError)


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a": 2}', "9" * 5000, '"\\ud800"', '{"\\udfffx": 1}', '{"a": [', "", "nul", "[1,]"],
)
def test_json_that_says_nothing_certain_is_refused(text: str) -> None:
    with pytest.raises(PredictionError, match=r"^a\.json"):
        parse_json(text, "a.json", error=PredictionError)


def test_json_with_whole_characters_written_as_escapes_is_read() -> None:
    text = json.dumps({"name": "打开门 👩‍🍳"})
    assert "\\ud83d" in text
    assert parse_json(text, "a.json", error=PredictionError) == {"name": "打开门 👩‍🍳"}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=4), inside),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=6), VALUES, max_size=6)


def streamed(path: Path) -> tuple[dict[str, object], dict[str, object]]:
    """The entries of "results", pieces of lists put together, and the others."""
    inside: dict[str, object] = {}
    others: dict[str, object] = {}
    for entry in stream_json(path, "results", error=PredictionError, what="predictions"):
        if entry.goes_on:
            inside[entry.name] += entry.value  # type: ignore[operator]
            continue
        found = others if entry.inside is None else inside
        assert entry.name not in found
        found[entry.name] = entry.value
    return inside, others


@pytest.mark.parametrize("sizes", [(1 << 22, 1 << 24), (1, 1), (3, 50), (70, 1)])
@given(entries=OBJECTS, before=OBJECTS)
@settings(max_examples=50)
def test_entries_streamed_are_those_read_at_once(
    tmp_path_factory: pytest.TempPathFactory,
    entries: dict[str, object],
    before: dict[str, object],
    sizes: tuple[int, int],
) -> None:
    path = tmp_path_factory.mktemp("stream") / "a.json"
    content = {**before, "results": entries, "after": [before]}
    path.write_text(json.dumps(content, indent=sizes[0] % 2 or None), encoding="utf-8")
    whole = read_json(path, error=PredictionError, what="x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_text, "_CHUNK", sizes[0])
        patch.setattr(json_text, "_LONG", sizes[1])
        inside, others = streamed(path)
    assert inside == whole.pop("results")
    assert others == {**whole, "results": {}}


def test_a_list_longer_than_a_chunk_comes_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_text, "_CHUNK", 1000)
    monkeypatch.setattr(json_text, "_LONG", 4000)
    numbers = list(range(20_000))
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"results": {"a": numbers, "b": []}}))
    entries = list(stream_json(path, "results", error=PredictionError, what="predictions"))
    pieces = [entry for entry in entries if entry.name == "a"]
    assert max(len(piece.value) for piece in pieces) < 2000
    assert [one for piece in pieces for one in piece.value] == numbers
    assert [piece.goes_on for piece in pieces] == [False, *[True] * (len(pieces) - 1)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"results": {"a": [1', "line 1: not valid JSON .the file is cut off"),
        ('{"results": {"a": [1, "x', "line 1: not valid JSON .the file is cut off"),
        ('{"results": {"a" 1}}', "line 1: not valid JSON .: is missing"),
        ('{"results":\n {"a": [1,\n, 2]}}', "line 3: not valid JSON"),
        ('{"results": {}} x', "data after the end"),
        ('{"results": {}', "cut off"),
        ('{"results": {"a": 1,}}', "a name in quotation marks is missing"),
        ('{"results": {"a": [{"b": 1, "b": 2}]}}', '"b" appears twice'),
        ('{"results": {}, "results": {}}', '"results" appears twice'),
        ('{"results": {"a": "\\ud800"}}', "unpaired surrogates"),
        ('{"results": {"\\uDfff": 1}}', "unpaired surrogates"),
        ('{"results": {"a": %s}}' % ("[" * 100_000), "nested too deeply"),
        ('{"results": {"a": %s}}' % ("9" * 5000), "thousands of digits"),
        ("[1]", "not valid JSON"),
        ("\x00", "not valid JSON"),
        ("{", "cut off"),
    ],
)
def test_a_stream_that_breaks_is_one_clear_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(PredictionError, match=told) as caught:
        streamed(path)
    assert "a.json" in str(caught.value)


def test_yaml_that_multiplies_by_reference_is_refused() -> None:
    lines = ["a0: &a0 {x: y, z: w}"]
    lines += [
        f"a{n}: &a{n} {{" + ", ".join(f"k{k}: *a{n - 1}" for k in range(10)) + "}"
        for n in range(1, 10)
    ]
    with pytest.raises(RecipeError, match="by references"):
        parse_yaml("\n".join(lines), where="r.yaml")


def test_yaml_that_refers_to_itself_is_refused() -> None:
    with pytest.raises(RecipeError, match="refers to itself"):
        parse_yaml("a: &a [*a]", where="r.yaml")


def test_yaml_with_a_plain_reference_is_read() -> None:
    assert parse_yaml("a: &a {b: 1}\nc: *a", where="r.yaml") == {"a": {"b": 1}, "c": {"b": 1}}
    assert parse_yaml("", where="r.yaml") is None


@pytest.mark.parametrize(
    "text",
    ["[" * 5000, "? [1]\n: 2", "a: 2001-99-99", "{{a: 1}: 2}", "!!python/object:os.system {}", "&"],
)
def test_yaml_that_fails_in_odd_ways_is_one_clear_line(text: str) -> None:
    with pytest.raises(RecipeError, match=r"^r\.yaml"):
        parse_yaml(text, where="r.yaml")


@given(VALUES)
@settings(max_examples=50, deadline=None)
def test_yaml_is_read_as_the_library_reads_it(value: object) -> None:
    text = yaml.safe_dump(value)
    assert parse_yaml(text, where="r.yaml") == yaml.safe_load(text)


@pytest.mark.parametrize("order", "<>")
def test_text_in_arrays_is_of_characters_that_exist(tmp_path: Path, order: str) -> None:
    for number, whole in ((0x10FFFF, True), (0x110000, False), (2**32 - 1, False)):
        numbers = np.array([97, number, 98, 0], f"{order}u4")
        np.savez(tmp_path / "a.npz", video=numbers.view(f"{order}U2"))
        if whole:
            found = read_npz(tmp_path / "a.npz", error=PredictionError, what="predictions")
            assert found["video"].tolist() == ["a\U0010ffff", "b"]
            continue
        with pytest.raises(PredictionError, match=r"video\.npy contains invalid Unicode"):
            read_npz(tmp_path / "a.npz", error=PredictionError, what="predictions")


def test_records_of_several_values_are_no_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.zeros(2, [("x", "<U2"), ("y", "<f4")]))
    with pytest.raises(PredictionError, match=r"a\.npy holds structured records"):
        read_npz(tmp_path / "a.npz", error=PredictionError, what="predictions")


def test_npz_is_read_as_numpy_reads_it(tmp_path: Path) -> None:
    arrays = {
        "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "u": np.array(["a", "bücher"]),
        "none": np.zeros((0, 4), np.float32),
        "scalar": np.array(3, np.int64),
    }
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    found = read_npz(tmp_path / "a.npz", error=PredictionError, what="predictions")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_a_small_archive_of_much_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(3 << 20, np.uint8))
    assert (tmp_path / "a.npz").stat().st_size < 1 << 14
    monkeypatch.setenv("ACTLINE_LIMITS", "array_mib=2")
    with pytest.raises(PredictionError, match="ACTLINE_LIMITS=array_mib=…"):
        read_npz(tmp_path / "a.npz", error=PredictionError, what="predictions")


def test_an_array_whose_header_tells_of_more_than_there_is_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("a.npy", "w") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (10**15,)}
        )
        file.write(b"\0" * 80)
    with pytest.raises(PredictionError, match=r"a\.npy is incomplete"):
        read_npz(path, error=PredictionError, what="predictions")


def test_arrays_of_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(PredictionError, match="Python objects"):
        read_npz(tmp_path / "a.npz", error=PredictionError, what="predictions")


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_archives_are_one_clear_line_or_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("npz")
    np.savez(folder / "a.npz", a=np.arange(5), b=np.array(["x"]))
    raw = bytearray((folder / "a.npz").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (folder / "a.npz").write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        read_npz(folder / "a.npz", error=PredictionError, what="predictions")
    except PredictionError as error:
        assert str(folder / "a.npz") in str(error)


def test_tensors_and_what_is_said_of_them_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"x": torch.arange(4)}, {"about": {"classes": ["a"]}, "kind": "model"})
    with open_tensors(path, error=FeatureError, otherwise="no") as stored:
        assert stored.json("about") == {"classes": ["a"]}
        assert stored.json("none") is None
        assert stored.metadata["kind"] == "model"
        assert stored.shape("x") == (4,)
        torch.testing.assert_close(stored.tensor("x"), torch.arange(4))
        assert stored.part("x", slice(1, 3)).tolist() == [1, 2]
        assert stored.whole(known=("about", "kind")).keys() == {"x"}
    with (
        pytest.raises(FeatureError, match="no"),
        open_tensors(tmp_path, error=FeatureError, otherwise="no"),
    ):
        pass


def test_objects_in_torch_files_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"x": torch.ones(2), "y": Path("/etc")}, path)
    words = {"error": FeatureError, "unsafe": "holds objects", "damaged": "is damaged"}
    with pytest.raises(FeatureError, match="holds objects"):
        load_torch(path, **words)
    path.write_bytes(pickle.dumps({"a": 1})[:-1])
    with pytest.raises(FeatureError, match="is damaged"):
        load_torch(path, **words)
    save_torch(path, {"x": torch.ones(2), "step": 3})
    assert load_torch(path, **words)["step"] == 3


def test_torch_files_that_unpack_to_more_than_the_limit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pt"
    torch.save({"x": torch.zeros(3 << 20, dtype=torch.uint8)}, path)
    monkeypatch.setenv("ACTLINE_LIMITS", "array_mib=2")
    with pytest.raises(FeatureError, match="ACTLINE_LIMITS=array_mib=…"):
        load_torch(path, error=FeatureError, unsafe="unsafe", damaged="damaged")


def test_a_full_disk_is_one_clear_line(small_disk: Path) -> None:
    large = {"x": torch.zeros(4 << 20, dtype=torch.uint8)}
    path = small_disk / "a.safetensors"
    save_tensors(path, {"x": torch.ones(3)}, {})
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"cannot write .*No space left"):
        save_tensors(path, large, {})
    with pytest.raises(OutputError, match=r"cannot write .*No space left"):
        save_torch(path, large)
    assert path.read_bytes() == before
    assert list(small_disk.iterdir()) == [path]


def test_every_failure_is_an_error_of_the_kind_asked_for(tmp_path: Path) -> None:
    for read in (read_json, read_npz, read_text):
        with pytest.raises(FeatureError, match="missing"):
            read(tmp_path / "missing", error=FeatureError, what="features")
        with pytest.raises(FeatureError):
            read(tmp_path, error=FeatureError, what="features")
    assert issubclass(FeatureError, ActlineError)
