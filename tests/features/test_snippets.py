"""Snippet features are kept with what made them, and published ones are read with care."""

import io
import json
import os
import pickle
import struct
import subprocess
from collections import OrderedDict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from actline.errors import FeatureError
from actline.features.public import read_public
from actline.features.snippets import (
    SnippetFeatures,
    SnippetOrigin,
    load_snippets,
    rescaled,
    save_snippets,
    snippet_path,
)
from actline.stored.pickles import read_pickle

ORIGIN = SnippetOrigin("slowfast_r101", "ab12", 8 / 15, 64 / 15, "mean")
# Ten seconds at one snippet a second.
SECOND = {"interval": 1.0, "duration": 10.0}


def ramp(width: int = 4, length: int = 10) -> np.ndarray:
    """Features (T, C), all different."""
    return np.arange(width * length, dtype=np.float32).reshape(length, width)


def snippets(length: int = 20) -> SnippetFeatures:
    features = torch.from_numpy(ramp(length=length).T.copy())
    return SnippetFeatures(features, 8 / 15, length * 8 / 15)


def refusal(path: Path, **options: Any) -> str:
    """What reading says, in one line that names the file."""
    with pytest.raises(FeatureError) as caught:
        read_public(path, **{**SECOND, **options})
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(path))
    return str(caught.value)


def test_our_own_file_gives_back_what_was_saved(tmp_path):
    given = snippets()
    path = snippet_path(tmp_path, "v_abc")
    save_snippets(path, given, ORIGIN)
    for origin in (None, ORIGIN):
        found = load_snippets(path, origin)
        assert torch.equal(found.features, given.features)
        assert (found.interval, found.duration, found.offset) == (8 / 15, given.duration, 0.0)
    assert [file.name for file in tmp_path.iterdir()] == ["v_abc.safetensors"]
    assert found.times[:2].tolist() == pytest.approx([4 / 15, 12 / 15])


def test_rescaled_features_cover_their_video_whatever_its_length(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, ramp())
    for duration in (3.0, 1000.0):
        found = read_public(path, interval=0, duration=duration, layout="TC")
        assert found.interval == duration / 10
        assert torch.equal(found.features, torch.from_numpy(ramp().T))


@pytest.mark.parametrize(
    ("name", "value"),
    [("backbone", "x3d_m"), ("checkpoint", "cd"), ("window", 1.0), ("pooling", "max")],
)
def test_features_of_another_origin_are_refused(tmp_path, name, value):
    path = tmp_path / "a.safetensors"
    save_snippets(path, snippets(), ORIGIN)
    wanted = SnippetOrigin(**{**ORIGIN.__dict__, name: value})
    with pytest.raises(FeatureError, match=f"a.safetensors was made with another {name}"):
        load_snippets(path, wanted)


def test_damaged_and_foreign_files_of_our_form_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(FeatureError, match="no features at"):
        load_snippets(path)
    save_snippets(path, snippets(), ORIGIN)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(FeatureError, match="not a whole features file"):
        load_snippets(path)
    from safetensors.torch import save_file

    save_file({"features": torch.zeros(2, 2)}, path)
    with pytest.raises(FeatureError, match="holds no snippet features"):
        load_snippets(path)
    save_file({"features": torch.zeros(2, 2)}, path, {"snippets": "{}", "placement": "{}"})
    with pytest.raises(FeatureError, match="another version"):
        load_snippets(path)


def test_nothing_wrong_is_ever_saved(tmp_path):
    path = tmp_path / "a.safetensors"
    bad = snippets()
    bad.features[1, 6] = torch.nan
    with pytest.raises(FeatureError, match=r"1 of 20 snippets .* not finite, first number 7"):
        save_snippets(path, bad, ORIGIN)
    with pytest.raises(FeatureError, match=r"every 0.106667 s cannot be stored as every 0.533333"):
        save_snippets(path, rescaled(snippets(), 100), ORIGIN)
    assert not path.exists()


def test_rescaling_is_the_published_linear_interpolation():
    given = snippets(length=7)
    for length in (1, 3, 7, 100):
        found = rescaled(given, length)
        at = np.linspace(0, 6, length)
        wanted = [np.interp(at, np.arange(7), row) for row in given.features.numpy()]
        np.testing.assert_allclose(found.features.numpy(), wanted, rtol=1e-5)
        assert found.interval * length == pytest.approx(given.duration)
    one = SnippetFeatures(torch.tensor([[3.0], [5.0]]), 2.0, 2.0)
    assert rescaled(one, 4).features.tolist() == [[3.0] * 4, [5.0] * 4]


def test_npy_is_turned_by_the_width_or_the_duration(tmp_path):
    path = tmp_path / "v.npy"
    for values in (ramp(), ramp().T, ramp()[None]):
        np.save(path, values)
        for options in ({"width": 4}, {"interval": 1.0}):
            found = read_public(path, **{**SECOND, **options})
            assert found.features.dtype == torch.float32
            np.testing.assert_array_equal(found.features.numpy(), ramp().T)
    assert "no axis of which is 5" in refusal(path, width=5)


def test_npy_that_may_be_either_way_wants_a_layout(tmp_path):
    path = tmp_path / "v.npy"
    np.save(path, ramp(10))
    assert "either axis of which may be time" in refusal(path, width=10)
    assert "either axis of which may be time" in refusal(path)
    found = read_public(path, **SECOND, layout="CT")
    np.testing.assert_array_equal(found.features.numpy(), ramp(10))


def test_npy_with_a_mistake_is_refused(tmp_path):
    path = tmp_path / "v.npy"
    values = ramp()
    values[3, 1] = np.inf
    np.save(path, values)
    assert "first number 4" in refusal(path)
    np.save(path, ramp())
    assert "make 20.0 s, but the video lasts 10.0 s" in refusal(path, interval=2.0, width=4)
    assert "no axis of which covers the video" in refusal(path, interval=20.0, duration=1000.0)
    assert "the interval is -1 s" in refusal(path, interval=-1.0, layout="TC")
    assert "give the layout or the width" in refusal(path, interval=0.0)
    assert "has 4 values per snippet, not 8" in refusal(path, layout="TC", width=8)
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    assert "not a whole .npy file" in refusal(path)
    path.write_bytes(whole.replace(b"(10, 4)", b"(10**9,"))
    assert "not a whole .npy file" in refusal(path)
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "holds Python objects, which may run code" in refusal(path)
    np.save(path, np.zeros((2, 3, 4), np.float32))
    assert "pool them over space" in refusal(path)
    assert "no features at" in refusal(tmp_path / "none.npy")
    assert "an unknown format" in refusal(tmp_path / "v.mat")


def test_csv_has_a_header_and_a_row_a_snippet(tmp_path):
    path = tmp_path / "v.csv"
    rows = "\n".join(",".join(str(value) for value in row) for row in ramp())
    path.write_text(f"0,1,2,3\n{rows}\n")
    found = read_public(path, **SECOND, width=4)
    np.testing.assert_array_equal(found.features.numpy(), ramp().T)
    path.write_text(rows)
    assert "has no header row" in refusal(path)
    path.write_text(f"rgb0,rgb1,rgb2,rgb3\n{rows[:-3]}")
    assert "is cut off in its last line" in refusal(path)
    path.write_text(f"rgb0,rgb1,rgb2,rgb3\n{rows},1\n")
    assert "not a whole table of numbers" in refusal(path)
    path.write_text(f"a,b,c\n{rows}\n")
    assert "3 columns have names and 4 have values" in refusal(path)
    path.write_text(f"a,b,c,d\n{rows.replace('15.0', 'nan')}\n")
    assert "not finite" in refusal(path)
    path.write_text("a,b\n")
    assert "holds no snippets" in refusal(path)
    path.write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8 text" in refusal(path)


def test_h5_by_the_videos_name_or_the_only_one(tmp_path):
    path = tmp_path / "all.h5"
    with h5py.File(path, "w") as file:
        file["v_one"] = ramp()
        file["two/features"] = ramp().T
    for video in ("one", "v_one", "two"):
        found = read_public(path, **SECOND, width=4, video=video)
        np.testing.assert_array_equal(found.features.numpy(), ramp().T)
    assert 'no dataset "three" among its 2' in refusal(path, video="three")
    assert 'no dataset "all"' in refusal(path)
    alone = tmp_path / "alone.hdf5"
    with h5py.File(alone, "w") as file:
        file["anything"] = ramp()
    assert read_public(alone, **SECOND, width=4).features.shape == (4, 10)
    alone.write_bytes(alone.read_bytes()[:1000])
    assert "not a whole HDF5 file" in refusal(alone)


def test_h5_that_leads_elsewhere_or_is_vast_is_refused(tmp_path):
    target = tmp_path / "target.h5"
    with h5py.File(target, "w") as file:
        file["a"] = ramp()
    path = tmp_path / "v.h5"
    with h5py.File(path, "w") as file:
        file["link"] = h5py.ExternalLink(str(target), "a")
        file.create_dataset("vast", (10**9, 2048), "f4", chunks=(1, 2048))
        layout = h5py.VirtualLayout((10, 4), "f4")
        layout[:] = h5py.VirtualSource(str(target), "a", (10, 4))
        file.create_virtual_dataset("virtual", layout)
        file["text"] = "words"
    assert "is a link, not data" in refusal(path, video="link")
    assert "GiB, more than 4" in refusal(path, video="vast")
    assert "is stored in other files" in refusal(path, video="virtual")
    assert "not numbers" in refusal(path, video="text")


def tcanet(make: Any, slow: int = 3, fast: int = 1) -> dict[str, object]:
    """The content of a file of TCANet's authors, with arrays or tensors of ones and twos."""
    return {
        "slow_feature": make(np.full((1, slow, 10), 1.0, np.float32)),
        "fast_feature": make(np.full((1, fast, 10), 2.0, np.float32)),
        "feature_frames": np.int64(150),
    }


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("make", [np.asarray, np.asfortranarray, torch.from_numpy])
def test_tcanet_pickles_with_slow_and_fast_parts(tmp_path, protocol, make):
    path = tmp_path / "v.pkl"
    path.write_bytes(pickle.dumps(tcanet(make), protocol))
    found = read_public(path, **SECOND, width=4)
    assert found.features[:, 0].tolist() == [1.0, 1.0, 1.0, 2.0]
    assert read_public(path, **SECOND, parts=("fast",)).features.shape == (1, 10)
    assert "has 4 values per snippet, not 2304" in refusal(path, width=2304)
    assert read_pickle(path, error=FeatureError, what="features")["feature_frames"] == 150


def test_tcanet_pickle_with_an_empty_part(tmp_path):
    path = tmp_path / "v.pkl"
    content = {**tcanet(torch.from_numpy), "fast_feature": torch.zeros(1, 0)}
    path.write_bytes(pickle.dumps(content))
    assert read_public(path, **SECOND, width=3).features.shape == (3, 10)
    content = {**tcanet(np.asarray), "fast_feature": np.zeros((1, 0, 10), np.float32)}
    path.write_bytes(pickle.dumps(content))
    assert read_public(path, **SECOND, width=3).features.shape == (3, 10)


def test_arrays_come_out_of_pickles_as_they_went_in(tmp_path):
    generator = np.random.default_rng(0)
    values = generator.normal(size=(3, 5))
    content = OrderedDict(
        views=[torch.from_numpy(values).T, values[:, ::2], values.astype(">f4")],
        half=torch.from_numpy(values).to(torch.bfloat16),
        whole=(np.arange(3), np.float16(0.5), "text", None, True, 2, b"raw"),
    )
    path = tmp_path / "v.pkl"
    for protocol in (2, 4, 5):
        path.write_bytes(pickle.dumps(content, protocol))
        found = read_pickle(path, error=FeatureError, what="features")
        np.testing.assert_array_equal(found["views"][0], values.T)
        np.testing.assert_array_equal(found["views"][1], values[:, ::2])
        np.testing.assert_array_equal(found["views"][2], values.astype(np.float32))
        np.testing.assert_allclose(found["half"], values, rtol=0.01)
        assert found["whole"][0].tolist() == [0, 1, 2]
        assert found["whole"][1:] == [0.5, "text", None, True, 2, b"raw"]


def test_what_an_older_numpy_and_python_2_wrote_is_read(tmp_path):
    path = tmp_path / "v.pkl"
    new = pickle.dumps(np.arange(4, dtype=np.float32), 2)
    path.write_bytes(new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert read_pickle(path, error=FeatureError, what="features").tolist() == [0, 1, 2, 3]
    # Python 2 wrote an array's numbers as its str.
    raw = np.arange(4, dtype="<f4").tobytes()
    path.write_bytes(
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x04\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U" + bytes([len(raw)]) + raw + b"tb."
    )
    assert read_pickle(path, error=FeatureError, what="features").tolist() == [0, 1, 2, 3]


class Calls:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def test_a_malicious_pickle_runs_nothing(tmp_path):
    path, touched = tmp_path / "v.pkl", tmp_path / "touched"
    attacks = {
        "system": Calls(os.system, f"touch {touched}"),
        "Popen": Calls(subprocess.Popen, ["touch", str(touched)]),
        "eval": Calls(eval, f"open({str(touched)!r}, 'w')"),
        "getattr": Calls(getattr, "text", "upper"),
        "fromfile": Calls(np.fromfile, str(path)),
        "io.open": Calls(open, str(touched), "w"),
        "PosixPath": Path("x"),
    }
    for name, attack in attacks.items():
        for content in (attack, {**tcanet(np.asarray), "slow_feature": attack}, [attack]):
            for protocol in range(6):
                path.write_bytes(pickle.dumps(content, protocol))
                said = refusal(path)
                assert "may run code, and is not loaded" in said
                assert name in said
                assert not touched.exists()


def test_a_malicious_pickle_inside_a_tensor_runs_nothing(tmp_path):
    path, touched = tmp_path / "v.pkl", tmp_path / "touched"
    load = torch.storage._load_from_bytes
    inner = pickle.dumps(Calls(os.system, f"touch {touched}"), 2)
    saved = io.BytesIO()
    torch.save(Calls(os.system, f"touch {touched}"), saved)
    for raw in (inner, saved.getvalue()):
        path.write_bytes(pickle.dumps(Calls(load, raw)))
        refusal(path)
        assert not touched.exists()


def test_pickles_that_would_fill_the_memory_are_refused(tmp_path):
    path = tmp_path / "v.pkl"
    # An object numbered two billion, of which a reader may make a table, and ours does not.
    path.write_bytes(b"\x80\x02Nr\xff\xff\xff\x7f.")
    assert "holds NoneType, not numbers" in refusal(path)
    # A text that says it is four exabytes long.
    path.write_bytes(b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b"x.")
    assert "not a whole pickle" in refusal(path)
    # A tensor of a billion billion numbers, all of them the same one.
    vast = torch.ones(1).expand(10**9, 10**9)
    path.write_bytes(pickle.dumps({"slow_feature": vast}))
    assert "holds a tensor larger than its numbers" in refusal(path)
    # Brackets in brackets.
    path.write_bytes(b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b".")
    assert "more than 100 levels deep; set ACTLINE_LIMITS=depth=" in refusal(path)


def test_damaged_pickles_are_refused_wherever_they_end(tmp_path):
    path = tmp_path / "v.pkl"
    for make in (np.asarray, torch.from_numpy):
        whole = pickle.dumps(tcanet(make))
        for end in range(0, len(whole), 7):
            path.write_bytes(whole[:end])
            assert "not a whole pickle" in refusal(path)
    path.write_bytes(b"not a pickle at all")
    refusal(path)


def test_pickles_of_other_content_are_refused(tmp_path):
    path = tmp_path / "v.pkl"
    path.write_bytes(pickle.dumps({"rgb": ramp(), "flow": ramp()}))
    assert "has no slow_feature and fast_feature" in refusal(path)
    path.write_bytes(pickle.dumps({"slow_feature": np.array([{}], dtype=object)}))
    assert "arrays of 'O8'" in refusal(path)
    content = {**tcanet(np.asarray), "fast_feature": np.zeros((1, 1, 9), np.float32)}
    path.write_bytes(pickle.dumps(content))
    assert "its parts have 9 and 10 snippets" in refusal(path)


def test_the_origin_is_readable_json_in_the_file(tmp_path):
    path = tmp_path / "a.safetensors"
    save_snippets(path, snippets(), ORIGIN)
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    metadata = json.loads(raw[8 : 8 + size])["__metadata__"]
    assert json.loads(metadata["snippets"]) == ORIGIN.__dict__
