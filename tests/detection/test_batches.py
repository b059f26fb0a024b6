"""Many videos: all commands agree on which there are, none ends the run, and what is done is done.

"Done" means the same input with the same model and settings, not a file of the same name.
"""

import json
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny import write_data, write_recipe, write_video

from actline.annotations.annotations import Annotations
from actline.annotations.footage import Footage
from actline.annotations.read import read_annotations
from actline.cli.main import main
from actline.cli.outcomes import print_outcomes
from actline.cli.standard import say
from actline.detection.batch import for_each_video
from actline.evaluation.predictions import coverage, read_predictions
from actline.features.fine import found_features
from actline.models.cards import ModelCard
from actline.models.checkpoint import save_checkpoint
from actline.models.x3d import X3DConfig
from actline.names import matching_id
from actline.video.find import Video
from actline.video.sampling import AtRate

NFC, NFD = (unicodedata.normalize(form, "Café") for form in ("NFC", "NFD"))
X3D = X3DConfig(widths=(8, 8, 8, 16), depths=(1, 1, 1, 1), head_width=16)
SHOWN = {"size": 32, "mean": (0.45, 0.45, 0.45), "std": (0.225, 0.225, 0.225), "rate": 5.0}


@pytest.fixture(scope="module")
def kit(tmp_path_factory) -> Path:
    """Two untrained checkpoints, two videos and frames."""
    folder = tmp_path_factory.mktemp("kit")
    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        card = ModelCard(network=X3D, classes=("brighten", "move"), window=16, overlap=4, **SHOWN)
        save_checkpoint(folder / f"{name}.safetensors", X3D.build(2).eval(), card)
    write_video(folder / "a.mp4", "move", (0.2, 0.8), seconds=1.0, rate=10)
    write_video(folder / "b.mp4", "brighten", (0.5, 1.5), seconds=2.0, rate=10)
    return folder


def detect(kit: Path, *arguments: object, model: str = "one", formats: str = "json,npz") -> int:
    options = ["--checkpoint", kit / f"{model}.safetensors", "--device", "cpu"]
    return main(["detect", *map(str, [*arguments, *options, "--formats", formats])])


def extract(kit: Path, *arguments: object) -> int:
    options = ["--checkpoint", kit / "one.safetensors", "--device", "cpu"]
    return main(["extract", *map(str, [*arguments, *options])])


def put(kit: Path, target: Path, source: str = "a.mp4") -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(kit / source, target)


def frames(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (48, 40), (99, 20, 20)).save(folder / name)


def numbered(ending: str, first: int = 1, last: int = 9) -> list[str]:
    return [f"clip-{number:06d}.{ending}" for number in range(first, last + 1)]


def mixed(folder: Path) -> None:
    frames(folder, *numbered("PNG", 1, 4), *(f"{n}.jpg" for n in range(5, 8)), "x_08.JPEG")


# Layout: how the folder is made, the annotated ids, and those that are detected.
LAYOUTS: dict[str, tuple[Callable[[Path, Path], object], list[str], list[str]]] = {
    "flat": (lambda kit, to: put(kit, to / "x.1.mp4"), ["x.1"], ["x.1"]),
    "camcorder": (
        lambda kit, to: [put(kit, to / n) for n in ("00001.MTS", "b.m2ts", "c.VOB", "d.Mov")],
        ["00001", "b", "c", "d"],
        ["00001", "b", "c", "d"],
    ),
    "ActivityNet": (lambda kit, to: put(kit, to / "v_abc.mp4"), ["abc"], ["v_abc"]),
    "without v_": (lambda kit, to: put(kit, to / "abc.mkv"), ["v_abc"], ["abc"]),
    "ids with ending": (lambda kit, to: put(kit, to / "garden.mp4"), ["garden.mp4"], ["garden"]),
    "letters apart": (lambda kit, to: put(kit, to / f"{NFD}.mp4"), [NFC], [NFD]),
    "letters composed": (lambda kit, to: put(kit, to / f"{NFC}.mp4"), [NFD], [NFC]),
    "PNG": (lambda kit, to: frames(to / "clip", *numbered("png")), ["clip"], ["clip"]),
    "JPEG": (lambda kit, to: frames(to / "c.1", *numbered("JPEG")), ["c.1"], ["c.1"]),
    "JPG": (lambda kit, to: frames(to / "clip", *numbered("JPG", 0)), ["clip"], ["clip"]),
    "mixed": (lambda kit, to: mixed(to / "clip"), ["clip"], ["clip"]),
    "classes": (
        lambda kit, to: [put(kit, to / "run/v1.mp4"), frames(to / "hop/v2", *numbered("png"))],
        ["v1", "v2"],
        ["hop/v2", "run/v1"],
    ),
    "cameras": (
        lambda kit, to: [put(kit, to / "camA/G1.mp4"), put(kit, to / "camB/G1.mp4", "b.mp4")],
        ["camA/G1", "camB/G1"],
        ["camA/G1", "camB/G1"],
    ),
    "mac": (
        lambda kit, to: [put(kit, to / "a.mp4"), (to / "._a.mp4").write_bytes(b"\0\5\x16\7")],
        ["a"],
        ["a"],
    ),
}


CAMERAS = {
    "annotations.csv": "video,label,start,end\ncamA/G1.mp4,move,0,1\ncamB/G1.MP4,move,0,1\n",
    "annotations.json": json.dumps(
        {
            "database": {
                name: {"subset": "training", "annotations": [{"label": "move", "segment": [0, 1]}]}
                for name in ("camA/G1.mp4", "camB\\G1.mp4")
            }
        }
    ),
    "charades.json": json.dumps(
        {
            name: {"subset": "training", "duration": 2, "actions": [[0, 0.0, 1.0]]}
            for name in ("camA/G1.mp4", "camB/G1.mp4")
        }
    ),
}


@pytest.mark.parametrize("name", CAMERAS)
def test_videos_of_one_name_in_two_folders_are_two_in_annotations(kit, tmp_path, name):
    LAYOUTS["cameras"][0](kit, tmp_path / "videos")
    (tmp_path / name).write_text(CAMERAS[name])
    (tmp_path / "classes.txt").write_text("move\n")
    annotations = read_annotations(tmp_path / name, classes=tmp_path / "classes.txt")
    assert [video.id for video in annotations.videos] == ["camA/G1", "camB/G1"]
    assert main(["data", "check", str(tmp_path / name)]) == 0


def annotate(folder: Path, ids: list[str]) -> Annotations:
    content = {
        video: {
            "subset": "training",
            "duration": None,
            "annotations": [{"label": "move", "segment": [0.1, 0.3]}],
        }
        for video in ids
    }
    (folder / "annotations.json").write_text(json.dumps({"database": content}))
    (folder / "classes.txt").write_text("brighten\nmove\n")
    return read_annotations(folder)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_commands_agree_on_a_folder(kit, tmp_path, layout, capsys):
    make, annotated, detected = LAYOUTS[layout]
    videos = tmp_path / "videos"
    make(kit, videos)
    annotations = annotate(tmp_path, annotated)
    assert main(["data", "check", str(tmp_path), "--frame-rate", "10"]) == 0
    shown = capsys.readouterr().out
    assert "without annotations" not in shown
    assert "not taken" not in shown

    # As training reads them, with the rate of frame folders from the annotated duration or not.
    for rate in (0.0, 10.0):
        footage = Footage(videos, AtRate(5), frame_rate=rate)
        assert all(len(footage.times(video)) for video in annotations.videos)

    out, features = tmp_path / "out", tmp_path / "features"
    assert detect(kit, videos, "--out", out) == 0
    assert extract(kit, videos, "--out", features) == 0
    for folder, ending in ((out, "json"), (out, "npz"), (features, "safetensors")):
        made = [
            path.relative_to(folder).as_posix().removesuffix(f".{ending}")
            for path in folder.rglob(f"*.{ending}")
            if ".done" not in path.parts
        ]
        assert sorted(made) == detected
    for video in detected:
        assert list(json.loads((out / f"{video}.json").read_text())["results"]) == [video]
    annotated = [video.id for video in annotations.videos]
    assert [matching_id(video, annotations) for video in detected] == annotated[:: _order(layout)]
    for video in annotations.videos:
        assert found_features(features, video.id).is_file()

    predictions = read_predictions(out, annotations)
    assert sorted(predictions) == sorted(annotated)
    missed = coverage(out, annotations, predictions, min_seconds=0)
    assert (missed.missing, missed.unknown) == ((), ())
    capsys.readouterr()
    page = ["--videos", str(videos), "--annotations", str(tmp_path), "--out"]
    assert main(["report", str(out), *page, str(tmp_path / "r.html")]) == 0
    first = str(out / f"{detected[0]}.npz")
    truth = ["--annotations", str(tmp_path), "--out", str(tmp_path / "t.png")]
    assert main(["plot", first, *truth]) == 0
    assert capsys.readouterr().err == ""


def _order(layout: str) -> int:
    """Detected videos are in the order of their folders."""
    return -1 if layout == "classes" else 1


def test_files_that_are_not_taken_are_named(kit, tmp_path, capsys):
    put(kit, tmp_path / "in" / "a.mp4")
    for name in ("b.mp4.part", "c.jpg", "d.doc", "._e.mp4"):
        (tmp_path / "in" / name).touch()
    assert detect(kit, tmp_path / "in", "--out", tmp_path / "in" / "out") == 0
    expected = (
        f"actline: {tmp_path / 'in'}: 3 files are not taken as video: b.mp4.part, c.jpg, d.doc"
    )
    assert capsys.readouterr().err.splitlines() == [expected]
    # The results are no videos either, and are not looked at.
    assert detect(kit, tmp_path / "in", "--out", tmp_path / "in" / "out") == 0
    assert capsys.readouterr().err.splitlines() == [expected]


def test_training_takes_the_rate_of_png_folders_from_the_duration(tmp_path):
    data = write_data(tmp_path / "data", videos=4, seconds=2.0)
    for index in range(4):
        (data / "videos" / f"tiny{index}.mp4").unlink()
        frames(data / "videos" / f"tiny{index}", *numbered("PNG", 1, 20))
    recipe = write_recipe(tmp_path / "r.yaml", data, epochs=1)
    assert main(["train", str(recipe), "data.frame_rate=0", "--device", "cpu"]) == 0


def test_one_annotation_file_is_not_checked_against_unrelated_videos(kit, tmp_path, capsys):
    put(kit, tmp_path / "videos" / "other.mp4")
    annotate(tmp_path, ["mine"])
    assert main(["data", "check", str(tmp_path / "annotations.json")]) == 0
    shown = capsys.readouterr().out
    assert "holds none of the annotated videos" in shown
    assert "no videos were looked at" in shown
    put(kit, tmp_path / "videos" / "mine.mp4")
    assert main(["data", "check", str(tmp_path / "annotations.json")]) == 0
    assert "other.mp4" in capsys.readouterr().out
    assert main(["data", "check", str(tmp_path), "--videos", str(kit / "nowhere")]) == 1


def test_two_annotated_ids_of_one_file_are_an_error(kit, tmp_path, capsys):
    put(kit, tmp_path / "videos" / "v_a.mp4")
    annotate(tmp_path, ["a", "v_a"])
    assert main(["data", "check", str(tmp_path)]) == 1
    assert "v_a.mp4 is a and v_a" in capsys.readouterr().out


BAD_NAMES = {
    "backslash": b"a_dir\\clip.mp4",
    "line break": b"a\nb.mp4",
    "escape": b"a\x1b[2Jb.mp4",
    "Latin-1": b"caf\xe9.mp4",
    "too long": b"a" * 251 + b".mp4",
}


@pytest.mark.parametrize("bad", BAD_NAMES)
@pytest.mark.parametrize("command", [detect, extract])
def test_a_bad_name_is_one_failure(kit, tmp_path, bad, command, capfd):
    put(kit, tmp_path / "in" / "z.mp4")
    try:
        shutil.copy(kit / "a.mp4", tmp_path / "in" / os.fsdecode(BAD_NAMES[bad]))
    except OSError:
        pytest.skip("a file system that does not have such names")
    assert command(kit, tmp_path / "in", "--out", tmp_path / "out") == 1
    told = capfd.readouterr().err.splitlines()
    assert len(told) == 2
    assert told[0].startswith("actline: ")
    assert "cannot write" in told[0] or "too long" in told[0]
    assert told[1] == "actline: 1 of 2 videos failed"
    assert all(line.isprintable() for line in told)
    assert [p.stem for p in (tmp_path / "out").glob("*.*") if p.suffix != ".meta"].count("z") > 0


def test_the_longest_name_that_fits_is_written(kit, tmp_path):
    put(kit, tmp_path / f"{'é' * 125}.mp4")
    assert detect(kit, tmp_path / f"{'é' * 125}.mp4", "--out", tmp_path / "out") == 0
    assert (tmp_path / "out" / f"{'é' * 125}.json").is_file()


def test_what_is_wrong_with_one_video_stops_no_other(kit, tmp_path, capsys):
    folder = tmp_path / "in"
    for name in ("b.mp4", "sub/c.mp4", "z.mp4"):
        put(kit, folder / name)
    (folder / "b.mkv").write_text("of the same id")
    (folder / "broken.mp4").symlink_to(folder / "nowhere.mp4")
    (folder / "empty.mp4").touch()
    (folder / "ring.mp4").symlink_to(folder / "ring.mp4")
    frames(folder / "gap", "1.png", "3.png")
    (folder / "sub" / "text.avi").write_text("text")
    assert detect(kit, folder, tmp_path / "gone.mp4", "--out", tmp_path / "out") == 1
    told = capsys.readouterr().err.splitlines()
    assert told[-1] == "actline: 7 of 10 videos failed"
    assert len(told) == 8
    made = [
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.npz")
    ]
    assert sorted(made) == ["b.npz", "sub/c.npz", "z.npz"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_stops_no_other(kit, tmp_path, capsys):
    put(kit, tmp_path / "in" / "closed" / "a.mp4")
    put(kit, tmp_path / "in" / "z.mp4")
    (tmp_path / "in" / "closed").chmod(0)
    assert detect(kit, tmp_path / "in", "--out", tmp_path / "out") == 1
    assert "Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ZeroDivisionError("by\nzero"), MemoryError(), KeyError("x")])
def test_an_error_that_nobody_foresaw_is_told_with_its_kind(tmp_path, capsys, monkeypatch, error):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # of the traceback that is kept
    done = []

    def work(video: Video, on_frames: Callable[[int], None]) -> None:
        if video.id == "a":
            raise error
        done.append(video.id)

    videos = [Video(name, tmp_path / f"{name}.mp4") for name in "abc"]
    outcomes = for_each_video(
        "working", videos, work, out=tmp_path, done=lambda v: v.id == "c", say=say
    )
    assert print_outcomes(outcomes, notes=False) == 1
    told = capsys.readouterr()
    assert told.err.startswith(f"actline: {tmp_path / 'a.mp4'}: {type(error).__name__}")
    assert told.err.splitlines()[1:] == ["actline: 1 of 3 videos failed"]
    assert done == ["b"]
    assert told.out == "1 of 3 videos are done already\n"


def test_another_video_of_the_same_name_is_refused_and_keeps_what_is_there(kit, tmp_path, capsys):
    one, other = tmp_path / "camA" / "G1.mp4", tmp_path / "camB" / "G1.mp4"
    put(kit, one)
    put(kit, other, "b.mp4")
    os.utime(other, ns=(one.stat().st_atime_ns, one.stat().st_mtime_ns))
    for command, name in ((detect, "G1.json"), (extract, "G1.safetensors")):
        out = tmp_path / command.__name__
        assert command(kit, one, "--out", out) == 0
        before = (out / name).read_bytes()
        assert command(kit, other, "--out", out) == 1
        assert "the existing results of G1 are of another video" in capsys.readouterr().err
        assert (out / name).read_bytes() == before
        assert command(kit, one, "--out", out) == 0
        assert "1 of 1 videos are done already" in capsys.readouterr().out
    assert detect(kit, other, "--out", tmp_path / "detect", "--overwrite") == 0
    assert "2.0" in (tmp_path / "detect" / "G1.json").read_text().split("durations")[1]
    # Both at once, from folders that do not tell them apart.
    assert detect(kit, one.parent, other.parent, "--out", tmp_path / "both") == 1
    assert "have the same name" in capsys.readouterr().err


def test_what_has_changed_is_done_again(kit, tmp_path, capsys):
    video, clip = tmp_path / "in" / "v.mp4", tmp_path / "in" / "clip"
    put(kit, video)
    frames(clip, *numbered("png"))

    def skipped(command: Callable[..., int], *options: str) -> int:
        """How many of the two videos are done already, before all is done."""
        capsys.readouterr()
        assert command(kit, tmp_path / "in", "--out", tmp_path / command.__name__, *options) == 0
        said = capsys.readouterr().out
        return int(said.split(" of 2 videos are done")[0]) if "done already" in said else 0

    for command in (detect, extract):
        assert skipped(command) == 0
        assert skipped(command) == 2
    put(kit, video, "b.mp4")
    os.utime(video, (1, 1))  # older than its results
    for command in (detect, extract):
        assert skipped(command) == 1
        assert skipped(command) == 2
    frames(clip, "clip-000010.png")
    for command in (detect, extract):
        assert skipped(command) == 1
        assert skipped(command, "--frame-rate", "12") == 1  # of the frames alone
        assert skipped(command, "--frame-rate", "12") == 2
    assert skipped(extract, "--cells", "2", "--frame-rate", "12") == 0
    # Results without a record of their input, as of earlier versions.
    shutil.rmtree(tmp_path / "detect" / ".done")
    assert skipped(detect, "--frame-rate", "12") == 0
    assert skipped(detect, "--frame-rate", "12") == 2
    (tmp_path / "detect" / "v.npz").unlink()
    assert skipped(detect, "--frame-rate", "12") == 1


def test_results_of_a_model_that_another_run_began_to_replace_are_not_taken_as_done(
    kit, tmp_path, capsys
):
    for name in ("v.mp4", "w.mp4"):
        put(kit, tmp_path / "in" / name)
    out = tmp_path / "out"
    assert detect(kit, tmp_path / "in", "--out", out) == 0
    assert detect(kit, tmp_path / "in", "--out", out, model="two") == 1
    # As if stopped after the first video.
    assert detect(kit, tmp_path / "in" / "v.mp4", "--out", out, "--overwrite", model="two") == 0
    capsys.readouterr()
    assert detect(kit, tmp_path / "in", "--out", out, model="two") == 0
    assert "1 of 2 videos are done already" in capsys.readouterr().out


def test_a_damaged_record_is_as_none(kit, tmp_path):
    put(kit, tmp_path / "v.mp4")
    assert detect(kit, tmp_path / "v.mp4", "--out", tmp_path / "out") == 0
    (record,) = (tmp_path / "out" / ".done").iterdir()
    whole = json.loads(record.read_text())
    for damaged in ("", "[]", '{"input": 3}', record.read_text()[:40], "[" * 100_000):
        record.write_text(damaged)
        assert detect(kit, tmp_path / "v.mp4", "--out", tmp_path / "out") == 0
        assert json.loads(record.read_text()) == whole
