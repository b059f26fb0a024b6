"""Features as others lay them out: in which files, under which names, with which axes."""

import pickle
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from actline.annotations.annotations import AnnotatedVideo
from actline.errors import FeatureError
from actline.features.folder import FeatureFolder
from actline.features.public_files import PublicForm
from actline.features.snippets import SnippetFeatures, SnippetOrigin, save_snippets

WIDTH, LENGTH = 4, 10
Array = NDArray[Any]


def values_of(name: str, width: int = WIDTH, length: int = LENGTH) -> NDArray[np.float32]:
    """Features (C, T) of whole numbers, others for every video."""
    seed = sum(map(ord, name))
    return np.random.default_rng(seed).integers(0, 200, (width, length)).astype(np.float32)


def video(name: str, subset: str = "training", duration: float = LENGTH) -> AnnotatedVideo:
    return AnnotatedVideo(name, subset, float(duration), ())


def folder(path: str | Path, width: int | None = WIDTH, **options: Any) -> FeatureFolder:
    return FeatureFolder(path, interval=options.pop("interval", 1.0), width=width, **options)


def loaded(path: str | Path, of: AnnotatedVideo, **options: Any) -> NDArray[np.float32]:
    return folder(path, **options).load(of).features.numpy()


def refusal(path: str | Path, of: AnnotatedVideo, **options: Any) -> str:
    """What loading says: one line, which names a file or folder."""
    with pytest.raises(FeatureError) as caught:
        loaded(path, of, **options)
    said = str(caught.value)
    assert "\n" not in said
    assert any(part in said for part in str(path).split(","))
    return said


def as_h5(path: Path, arrays: dict[str, Any]) -> None:
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[name] = value


ONE_VIDEO: dict[str, tuple[str, Callable[[Path, Array], Any]]] = {
    "npy T x C": (".npy", lambda path, v: np.save(path, v.T)),
    "npy C x T": (".npy", np.save),
    "npy 1 x C x T": (".npy", lambda path, v: np.save(path, v[None])),
    "npy T x C x 1 x 1": (".npy", lambda path, v: np.save(path, v.T[..., None, None])),
    "npy T x 1 x C": (".npy", lambda path, v: np.save(path, v.T[:, None])),
    "npy of half precision": (".npy", lambda path, v: np.save(path, v.astype(np.float16))),
    "npy of big-endian doubles": (".npy", lambda path, v: np.save(path, v.T.astype(">f8"))),
    "npy in Fortran's order": (".npy", lambda path, v: np.save(path, np.asfortranarray(v))),
    "npz of one array": (".npz", lambda path, v: np.savez(path, v.T)),
    "npz compressed, with a rate": (
        ".npz",
        lambda path, v: np.savez_compressed(path, feats=v.T[None], fps=25.0, names=np.arange(10)),
    ),
    "npz of TCANet's parts": (
        ".npz",
        lambda path, v: np.savez(path, fast_feature=v[None, 3:], slow_feature=v[None, :3]),
    ),
    "pt of a tensor": (".pt", lambda path, v: torch.save(torch.from_numpy(v.T), path)),
    "pt of bfloat16 with a gradient": (
        ".pt",
        lambda path, v: torch.save(torch.from_numpy(v).bfloat16().requires_grad_(), path),
    ),
    "pth of a dictionary": (
        ".pth",
        lambda path, v: torch.save({"x": torch.from_numpy(v.T).half(), "fps": 25}, path),
    ),
    "pt of a list of rows": (
        ".pt",
        lambda path, v: torch.save([torch.from_numpy(row.copy()) for row in v.T], path),
    ),
    "pkl of an array": (".pkl", lambda path, v: path.write_bytes(pickle.dumps(v.T))),
    "pkl of lists": (".pkl", lambda path, v: path.write_bytes(pickle.dumps(v.T.tolist()))),
    "pickle of a dictionary": (
        ".pickle",
        lambda path, v: path.write_bytes(pickle.dumps({"rgb": v.T, "duration": 10.0})),
    ),
    "h5 under any name": (".h5", lambda path, v: as_h5(path, {"data": v.T, "fps": 25.0})),
    "hdf5 in groups": (".hdf5", lambda path, v: as_h5(path, {"a/b/c3d_features": v.T})),
    "csv of pandas": (".csv", lambda path, v: table(path, v, index=True)),
}


def table(path: Path, values: Array, *, index: bool = False) -> None:
    rows = [[*([number] if index else []), *row] for number, row in enumerate(values.T)]
    header = [*([""] if index else []), *(f"rgb_{number}" for number in range(len(values)))]
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in [header, *rows]))


ONE_VIDEO["csv"] = ".csv", table


@pytest.mark.parametrize("form", ONE_VIDEO)
@pytest.mark.parametrize("before", ["", "v_"])
def test_a_file_a_video_is_read_in_any_of_the_usual_forms(tmp_path, form, before):
    ending, write = ONE_VIDEO[form]
    for name in ("a", "b"):
        write(tmp_path / f"{before}{name}{ending}", values_of(name))
    (tmp_path / f"._a{ending}").write_bytes(b"what a Mac leaves behind")
    for name in ("a", "v_b", "a.mp4"):
        plain = name.removeprefix("v_").removesuffix(".mp4")
        np.testing.assert_array_equal(loaded(tmp_path, video(name)), values_of(plain))


ALL_VIDEOS: dict[str, tuple[str, Callable[[Path, dict[str, Array]], Any]]] = {
    "h5 of datasets": (".h5", lambda path, all_: as_h5(path, {k: v.T for k, v in all_.items()})),
    "h5 of C3D, as ActivityNet's": (
        ".hdf5",
        lambda path, all_: as_h5(path, {f"v_{k}/c3d_features": v.T for k, v in all_.items()}),
    ),
    "h5 with more of each video": (
        ".h5",
        lambda path, all_: as_h5(
            path,
            {f"{k}/features": v for k, v in all_.items()} | {f"{k}/fps": 25.0 for k in all_},
        ),
    ),
    "h5 in a group of their own": (
        ".h5",
        lambda path, all_: as_h5(
            path, {f"features/{k}": v.T for k, v in all_.items()} | {"about": np.zeros(3)}
        ),
    ),
    "h5 by file names": (
        ".h5",
        lambda path, all_: as_h5(path, {f"{k}.mp4": v.T for k, v in all_.items()}),
    ),
    "npz": (".npz", lambda path, all_: np.savez(path, **all_)),  # type: ignore[arg-type]
    "pt": (
        ".pt",
        lambda path, all_: torch.save({k: torch.from_numpy(v) for k, v in all_.items()}, path),
    ),
    "pkl of TCANet's parts": (
        ".pkl",
        lambda path, all_: path.write_bytes(
            pickle.dumps(
                {
                    k: {"slow_feature": v[None, :3], "fast_feature": v[None, 3:]}
                    for k, v in all_.items()
                }
            )
        ),
    ),
}


@pytest.mark.parametrize("form", ALL_VIDEOS)
def test_one_file_for_all_videos_is_read_by_their_names(tmp_path, form):
    ending, write = ALL_VIDEOS[form]
    path = tmp_path / f"sub_activitynet_v1-3{ending}"
    names = [f"vid{number}" for number in range(12)]
    write(path, {name: values_of(name) for name in names})
    for given in (path, tmp_path):
        features = folder(given)
        features.agree_on([video("vid3")])
        for name in ("vid3", "v_vid11"):
            features.require(video(name))
            found = features.load(video(name)).features.numpy()
            np.testing.assert_array_equal(found, values_of(name.removeprefix("v_")))
        assert 'no dataset "other" among its' in refusal(given, video("other"))


def test_features_in_a_folder_for_each_subset_serve_both(tmp_path):
    """`{training,validation}/ID.pkl`, as TCANet's authors have them."""
    for subset, name in (("training", "a"), ("validation", "b"), ("validation", "twice")):
        path = tmp_path / subset / f"{name}.pkl"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pickle.dumps(values_of(name)[None]))
    (tmp_path / "training" / "twice.pkl").write_bytes(pickle.dumps(values_of("other")[None]))
    for name, subset in (("a", "training"), ("b", "validation"), ("v_b", "val")):
        found = loaded(tmp_path, video(name, subset))
        np.testing.assert_array_equal(found, values_of(name.removeprefix("v_")))
    # Of a video in both it is its own subset's; of one in neither it is asked.
    for subset, content in (("training", "other"), ("train", "other"), ("validation", "twice")):
        found = loaded(tmp_path, video("twice", subset))
        np.testing.assert_array_equal(found, values_of(content))
    said = refusal(tmp_path, video("twice", "testing"))
    assert "the features of twice are in both training and validation; give data.features=" in said


def both(path: Path) -> tuple[Path, Path]:
    """RGB and flow of one video each, in two folders of one."""
    for part, kind in (("rgb", slice(0, 3)), ("flow", slice(3, 4))):
        (path / part).mkdir(parents=True)
        for name in ("a", "b"):
            np.save(path / part / f"{name}.npy", values_of(name)[kind].T)
    return path / "rgb", path / "flow"


def test_several_folders_are_joined_along_channels(tmp_path):
    rgb, flow = both(tmp_path)
    for name in ("a", "b"):
        joined = loaded(f"{rgb},{flow}", video(name))
        np.testing.assert_array_equal(joined, values_of(name))
        swapped = loaded(f" {flow} , {rgb}", video(name))
        np.testing.assert_array_equal(swapped, values_of(name)[[3, 0, 1, 2]])
    # One folder of both is not guessed at; the error's advice works.
    said = refusal(tmp_path, video("a"))
    assert "are in both flow and rgb" in said
    advised = said.split("data.features=")[1].split(" to join")[0].split(" or ")[1]
    assert loaded(advised, video("a")).shape == (WIDTH, LENGTH)
    named = tmp_path / "rgb,flow"
    rgb.rename(named)
    assert loaded(named, video("a"), width=3).shape == (3, LENGTH), "a comma may be of its name"


def test_folders_of_tcanets_are_joined_slow_ones_first_as_in_its_code(tmp_path):
    for number, part in enumerate(("one", "two")):
        (tmp_path / part / "training").mkdir(parents=True)
        fill = [np.full((1, width, LENGTH), 10 * number + width, np.float32) for width in (2, 1)]
        content = {"slow_feature": fill[0], "fast_feature": fill[1], "feature_frames": 80}
        (tmp_path / part / "training" / "a.pkl").write_bytes(pickle.dumps(content))
    given = f"{tmp_path / 'one'},{tmp_path / 'two'}"
    assert loaded(given, video("a"), width=6)[:, 0].tolist() == [2, 2, 12, 12, 1, 11]
    # `hacs_segments_features` of arrays count as slow ones there.
    (tmp_path / "plain").mkdir()
    np.save(tmp_path / "plain" / "a.npy", np.full((LENGTH, 2), 7.0))
    given = f"{tmp_path / 'one'},{tmp_path / 'plain'}"
    assert loaded(given, video("a"), width=5)[:, 0].tolist() == [2, 2, 7, 7, 1]


def test_folders_that_do_not_fit_together_are_refused(tmp_path):
    rgb, flow = both(tmp_path)
    np.save(flow / "a.npy", values_of("a")[3:, :-1].T)
    said = refusal(f"{rgb},{flow}", video("a"))
    assert said == (
        f"{rgb / 'a.npy'}: it and {flow / 'a.npy'} have 9 and 10 snippets; only features of the "
        "same snippets can be joined"
    )
    (flow / "b.npy").unlink()
    assert f"no features at {flow / 'b.npy'}" in refusal(f"{rgb},{flow}", video("b"))
    gone = tmp_path / "gone"
    assert f"no features at {gone / 'b.safetensors'}" in refusal(f"{rgb},{gone}", video("b"))
    ours = SnippetFeatures(torch.from_numpy(values_of("a")), 1.0, 10.0)
    save_snippets(tmp_path / "ours" / "a.safetensors", ours, SnippetOrigin("X", "ab", 1, 1, "mean"))
    said = refusal(f"{tmp_path / 'ours'},{rgb}", video("a"))
    assert "whose features are not joined with others" in said


def squares(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        np.save(path / f"{name}.npy", values_of(name, 8, 8).T)
    return path


def test_square_arrays_are_laid_out_as_the_other_videos_or_as_is_said(tmp_path):
    path = squares(tmp_path / "f", "s", "t")
    np.save(path / "long.npy", values_of("long", 8, 12).T)
    videos = [video("s", duration=8), video("t", duration=8), video("long", duration=12)]
    features = folder(path, width=8)
    features.agree_on(videos)
    assert features.whole_form == PublicForm("TC")
    for one, length in zip(videos, (8, 8, 12), strict=True):
        found = features.load(one).features.numpy()
        np.testing.assert_array_equal(found, values_of(one.id, 8, length))
    # With nothing to learn it from, the error names the key, and what it says works.
    alone = folder(path, width=8)
    alone.agree_on(videos[:2])
    with pytest.raises(FeatureError) as caught:
        alone.load(videos[0])
    assert "s.npy: 8 x 8 values, either axis of which may be time; give data.layout=TC" in str(
        caught.value
    )
    said = refusal(path, videos[0], width=8, interval=0.0)
    assert "give data.layout=TC (one row per snippet) or data.layout=CT (one column" in said
    for layout, turned in (("TC", values_of("s", 8, 8)), ("CT", values_of("s", 8, 8).T)):
        found = loaded(path, videos[0], width=8, form=PublicForm(layout))  # type: ignore[arg-type]
        np.testing.assert_array_equal(found, turned)
    # What the width says needs no key, and a key does not gainsay it.
    found = loaded(path, videos[2], width=8, form=PublicForm("CT"))
    np.testing.assert_array_equal(found, values_of("long", 8, 12))


def test_of_several_arrays_those_are_joined_that_are_named(tmp_path):
    for name in ("a", "b"):
        values = values_of(name)
        np.savez(tmp_path / f"{name}.npz", flow=values[3:].T, rgb=values[:3].T, audio=values.T)
    said = refusal(tmp_path, video("a"))
    assert "audio, flow, rgb; list those to join in data.parts" in said
    form = PublicForm(parts=("rgb", "flow"))
    np.testing.assert_array_equal(loaded(tmp_path, video("a"), form=form), values_of("a"))
    said = refusal(tmp_path, video("a"), form=PublicForm(parts=("rgb", "depth")))
    assert "has no depth; it has audio, flow, rgb; change data.parts" in said


@pytest.mark.parametrize("turned", [False, True])
def test_names_may_be_composed_or_not_and_lie_in_folders(tmp_path, turned):
    forms = [unicodedata.normalize("NFC", "café.1"), unicodedata.normalize("NFD", "café.1")]
    name, other = reversed(forms) if turned else forms
    (tmp_path / "camA").mkdir()
    np.save(tmp_path / "camA" / f"{name}.npy", values_of("x"))
    for asked in (name, other, f"camA/{name}"):
        np.testing.assert_array_equal(loaded(tmp_path, video(asked)), values_of("x"))


@dataclass
class Bad:
    """Makes a file, and what is said of it."""

    ending: str
    write: Callable[[Path], Any]
    said: str


class Object:
    """Anything that a file may not hold."""


def ones(*shape: int) -> Array:
    return np.ones(shape, np.float32)


BAD: dict[str, Bad] = {
    "one vector": Bad(".npy", lambda p: np.save(p, ones(4)), "holds 4 values, not snippets by"),
    "places": Bad(".npy", lambda p: np.save(p, ones(10, 4, 7, 7)), "10 x 4 x 7 x 7 values, not sn"),
    "crops": Bad(".npy", lambda p: np.save(p, ones(5, 10, 4)), "pool them over space first"),
    "words": Bad(".npy", lambda p: np.save(p, np.array([["a"]])), "holds <U1, not numbers"),
    "truth": Bad(".npy", lambda p: np.save(p, ones(10, 4) > 0), "holds bool, not numbers"),
    "objects": Bad(
        ".npy",
        lambda p: np.save(p, np.array({"a": 1}, object), allow_pickle=True),
        "holds Python objects, which may run code, and is not loaded; save the array alone",
    ),
    "objects in npz": Bad(
        ".npz", lambda p: np.savez(p, np.array({"a": 1}, object)), "holds Python objects"
    ),
    "no npz": Bad(".npz", lambda p: p.write_bytes(b"PK\x03\x04none"), "not a whole .npz file"),
    "empty npz": Bad(".npz", np.savez, "but nothing; list those to join"),
    "objects in pt": Bad(".pt", lambda p: torch.save(Object(), p), "more than tensors, which may"),
    "no pt": Bad(".pt", lambda p: p.write_bytes(b"\x80\x02none"), "not a whole PyTorch file"),
    "empty pt": Bad(".pt", lambda p: p.write_bytes(b""), "not a whole PyTorch file"),
    "complex pt": Bad(
        ".pt", lambda p: torch.save(torch.ones(10, 4) * 1j, p), "not of plain numbers"
    ),
    "sparse pt": Bad(".pt", lambda p: torch.save(torch.ones(10, 4).to_sparse(), p), "plain number"),
    "repeated pt": Bad(
        ".pt", lambda p: torch.save(torch.ones(1).expand(10**6, 10**6), p), "larger than its numb"
    ),
    "text in pt": Bad(".pt", lambda p: torch.save("features", p), "holds str, not numbers"),
    "rows of two lengths": Bad(
        ".pkl", lambda p: p.write_bytes(pickle.dumps([[1.0], [1.0, 2.0]])), "several lengths"
    ),
    "a group in a group": Bad(
        ".h5", lambda p: as_h5(p, {"x": ones(10, 4), "y": ones(10, 4)}), "but x, y; list those"
    ),
    "another form": Bad(".mat", lambda p: p.write_bytes(b"MATLAB"), "has an unknown format"),
    "nothing": Bad(".npy", lambda p: None, "a.safetensors; make them with `actline extract`"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_features_is_refused_in_one_line_with_its_file(tmp_path, name):
    bad = BAD[name]
    bad.write(tmp_path / f"a{bad.ending}")
    assert bad.said in refusal(tmp_path, video("a"))
    with pytest.raises(FeatureError):
        folder(tmp_path).agree_on([video("a")])
        folder(tmp_path).load(video("a"))


def test_a_file_of_one_video_is_no_file_of_all(tmp_path):
    np.save(tmp_path / "a.npy", values_of("a"))
    assert "holds one video; give its folder" in refusal(tmp_path / "a.npy", video("a"))
    torch.save(torch.from_numpy(values_of("a")), tmp_path / "a.pt")
    said = refusal(tmp_path / "a.pt", video("a"))
    assert "holds one array, not one for each video; give a folder" in said


def test_files_of_all_videos_are_told_apart_by_their_subsets(tmp_path):
    for subset, name in (("training", "a"), ("validation", "b")):
        as_h5(tmp_path / f"{subset}.h5", {name: values_of(name)})
    for subset, name in (("train", "a"), ("validation", "b")):
        np.testing.assert_array_equal(loaded(tmp_path, video(name, subset)), values_of(name))


def test_a_missing_one_is_named_in_the_form_of_the_others(tmp_path):
    np.save(tmp_path / "a.npy", values_of("a"))
    said = refusal(tmp_path, video("b"))
    assert said == f"no features at {tmp_path / 'b.npy'}; copy them there, or leave the video out"


def names_in(said: str, keys: Sequence[str]) -> bool:
    return all(key in said for key in keys)


def test_what_files_do_not_say_is_asked_for_by_its_key(tmp_path):
    np.save(tmp_path / "a.npy", values_of("a"))
    said = refusal(tmp_path, video("a"), interval=None)
    assert names_in(said, ["a.npy", "data.interval", "or 0 for features rescaled"])
    said = refusal(tmp_path, video("a", duration=999))
    assert names_in(said, ["a.npy", "make 10.0 s, but the video lasts 999.0 s"])
    with pytest.raises(FeatureError, match=r"a\.npy: the annotations lack .* duration"):
        folder(tmp_path).load(AnnotatedVideo("a", "", None, ()))
