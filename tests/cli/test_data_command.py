"""`actline data`: what it finds in a folder of real videos, and what it writes."""

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from tiny import write_data, write_video

from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.annotations.check import check_annotations, check_videos
from actline.annotations.read import read_annotations
from actline.annotations.statistics import statistics
from actline.cli.main import main
from actline.timeline import Activity


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("whole"), videos=4)


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    """A data set of four videos of 4 s with nothing wrong, to damage."""
    return shutil.copytree(whole, tmp_path / "data")


def change(data: Path, **videos: dict | None) -> None:
    """Replace or, with None, take away entries of the annotations."""
    path = data / "annotations.json"
    content = json.loads(path.read_text())
    for name, changes in videos.items():
        if changes is None:
            del content["database"][name]
        else:
            content["database"].setdefault(name, {"subset": "training", "annotations": []})
            content["database"][name].update(changes)
    path.write_text(json.dumps(content))


def walk(*segments: tuple[float, float], label: str = "move") -> list[dict]:
    return [{"label": label, "segment": list(segment)} for segment in segments]


def kinds(data: Path, *, whole: bool = True) -> dict[str, tuple[str, ...]]:
    annotations = read_annotations(data, strict=False)
    videos, _ = check_videos(annotations, data / "videos", whole=whole)
    return {f.what: f.examples for f in (*videos, *check_annotations(annotations))}


def test_whole_data_set_has_nothing_wrong(data, capsys):
    assert main(["data", "check", str(data)]) == 0
    shown = capsys.readouterr().out
    assert "4 videos (2 training, 2 testing), 16.0 s" in shown
    assert "nothing wrong was found" in shown
    assert "brighten" in shown


def test_missing_and_unreadable_videos_are_found(data):
    videos = data / "videos"
    (videos / "tiny0.mp4").unlink()
    (videos / "tiny1.mp4").write_text("no video at all")
    (videos / "tiny2.mp4").write_bytes(b"")
    (videos / "tiny3.mp4").rename(videos / "tiny3.MP4")  # which is no fault
    found = kinds(data)
    assert found["videos that are missing"] == ("tiny0",)
    unreadable = found["videos that cannot be read"]
    assert len(unreadable) == 2
    assert main(["data", "check", str(data)]) == 1


def test_video_that_is_cut_off_is_found_unless_quick(data):
    path = data / "videos" / "tiny0.mp4"
    path.unlink()
    whole = path.with_name("whole.mp4")
    write_video(whole, "move", (0, 30), seconds=30, rate=10)
    change(data, tiny0={"duration": 30.0})
    # The index first, as on the web: header and first frames of a part are those of the whole.
    with (
        av.open(str(whole)) as source,
        av.open(str(path), "w", options={"movflags": "faststart"}) as copy,
    ):
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    whole.unlink()
    assert kinds(data) == {}
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 8 // 10])
    assert kinds(data, whole=False) == {}
    assert set(kinds(data)) == {"videos that cannot be read"}


def test_files_and_annotations_are_compared(data):
    videos = data / "videos"
    shutil.copy(videos / "tiny0.mp4", videos / "copy.mp4")
    shutil.copy(videos / "tiny1.mp4", videos / "tiny1.mkv")
    change(
        data,
        tiny2={"duration": 60.0, "annotations": walk((1, 2), (3, 5), (30, 40))},
        tiny3={"annotations": []},
    )
    found = kinds(data)
    assert found["video files without annotations"] == ("copy.mp4",)
    assert found["videos with several files"] == ("tiny1.mkv, tiny1.mp4",)
    assert found["video files with the same content"][0] == "copy.mp4, tiny0.mp4"
    assert "30 to 40 s" in found["activities that start after the video file's end"][0]
    assert "3 to 5 s" in found["activities that end after the video file's end"][0]
    assert found["videos whose file has another duration"] == (
        "tiny2: annotated 60 s, the file lasts 4.0 s",
    )
    assert found["videos without activities"] == ("tiny3",)


def test_unknown_and_unused_classes_duplicates_and_mistakes_are_all_told(data, capsys):
    (data / "classes.txt").write_text("brighten\nmove\nsleep\n")
    change(
        data,
        tiny0={"annotations": walk((1, 2), label="mvoe")},
        tiny1={"annotations": [*walk((1, 2), (1, 2), (3, 2)), {"label": "move"}]},
    )
    found = kinds(data)
    assert 'class "mvoe" is not among' in found["activities of a class that is not listed"][0]
    assert found["classes without any activity"] == ("sleep",)
    assert len(found["activities that appear twice"]) == 1
    assert len(found["activities that do not end after their start"]) == 1
    assert "annotation 4 of tiny1" in found["entries that cannot be understood"][0]
    assert main(["data", "check", str(data)]) == 1
    shown = capsys.readouterr().out
    assert 'did you mean "move"?' in " ".join(shown.split())
    assert "2 kinds of errors" in shown


def test_notes_alone_do_not_fail(data, capsys):
    (data / "videos" / "tiny0.mp4").rename(data / "videos" / "other.mp4")
    change(data, tiny0=None, tiny3={"annotations": walk((1, 9))})
    assert main(["data", "check", str(data)]) == 0
    assert "0 kinds of errors" in capsys.readouterr().out


def test_classes_and_subsets_that_cannot_be_learnt_are_told(data):
    change(data, tiny0=None, tiny2={"annotations": walk((1, 2), label="brighten")})
    annotations = read_annotations(data)
    found = {f.what: f.examples for f in check_annotations(annotations.subset("training"))}
    assert "subsets missing: no videos are held out" in found
    change(data, tiny1={"annotations": walk((1, 2), label="move")})
    found = {f.what: f.examples for f in check_annotations(read_annotations(data))}
    assert found["classes without any activity in training"] == ("brighten",)


def test_videos_of_one_subset_are_told_and_what_train_does_about_them(data):
    annotations = read_annotations(data)
    for subset, more in (
        ("training", ", or leave it to `actline train`, which then holds some out itself"),
        ("testing", ""),
    ):
        found = {f.what: f.examples for f in check_annotations(annotations.subset(subset))}
        assert found["subsets missing: no videos are held out"] == (
            f"all are in {subset}; assign some to another, to evaluate on{more}",
        )


@pytest.mark.parametrize("video", ["../out", "/etc/passwd", "a/../../b", "a\\u001b[2J"])
def test_where_no_video_is_left_the_reason_is_told(tmp_path, capsys, video):
    path = tmp_path / "a.json"
    path.write_text(f'{{"database": {{"{video}": {{"annotations": []}}}}}}')
    assert main(["data", "check", str(path)]) == 1
    told = capsys.readouterr().err
    assert "names no videos that can be used" in told
    assert "leads out of the folder" in told or "is not a video's id" in told
    assert told.count("\n") == 1


def test_many_cases_are_counted_and_listed_only_on_request(data, capsys):
    change(data, **{f"gone{number}": {"duration": 4.0} for number in range(9)})
    assert main(["data", "check", str(data)]) == 1
    shown = capsys.readouterr().out
    assert "gone0, gone1, gone2 … 6 more" in shown
    main(["data", "check", str(data), "--all", "--quick"])
    assert "gone8" in capsys.readouterr().out


def test_folder_of_videos_that_is_missing_is_one_finding(data):
    shutil.rmtree(data / "videos")
    assert set(kinds(data)) == {"the folder of videos is missing"}
    assert main(["data", "check", str(data)]) == 1


def test_annotations_file_alone_is_checked_without_videos(data, capsys):
    alone = data.parent / "alone.json"
    shutil.copy(data / "annotations.json", alone)
    assert main(["data", "check", str(alone)]) == 0
    assert "no videos were looked at" in capsys.readouterr().out
    assert main(["data", "check", str(alone), "--videos", str(data / "videos")]) == 0


def test_frames_in_folders_are_looked_at(data):
    from PIL import Image

    frames = data / "videos" / "tiny0"
    frames.mkdir()
    for number in range(1, 41):
        Image.new("RGB", (8, 8)).save(frames / f"tiny0-{number:06d}.jpg")
    (data / "videos" / "tiny0.mp4").unlink()
    annotations = read_annotations(data)
    findings, seconds = check_videos(annotations, data / "videos", frame_rate=10.0)
    assert findings == ()
    assert seconds[0] == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["check", "{data}", "--plot", "{data}/a.gif"], "ending in .png or .svg"),
        (["check", "{data}/videos"], "neither annotations.json"),
        (["check", "{data}/none"], "no annotations at"),
        (["check", "{data}", "--frame-rate", "0"], "must be above 0"),
        (["convert", "{data}", "{data}/a.txt"], "ending in .csv or .json"),
        (["convert", "{data}", "{data}/a.csv", "--charades"], "ending in .json"),
        (["convert", "{data}/annotations.json", "{data}/annotations.json"], "the input itself"),
        (["convert", "{data}", "{data}/annotations.json/a.csv"], "cannot write"),
        (["generate", "kino", "--out", "{data}/g"], 'no profile "kino"'),
        (["generate", "charades", "--out", "{data}/g", "--size", "big"], "is not WIDTHxHEIGHT"),
    ],
)
def test_mistaken_calls_end_in_one_line(data, arguments, told, capsys):
    before = sorted(data.rglob("*"))
    status = main(["data", *(argument.format(data=data) for argument in arguments)])
    shown = capsys.readouterr().err
    assert status == 1
    assert told in shown
    assert shown.count("\n") == 1
    assert sorted(data.rglob("*")) == before


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_statistics_are_drawn(data, ending):
    from PIL import Image

    path = data / f"statistics.{ending}"
    assert main(["data", "check", str(data), "--plot", str(path)]) == 0
    if ending == "png":
        with Image.open(path) as picture:
            assert picture.width > 800
            # More than an empty page: at least axes and bars.
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 20
    else:
        assert "<svg" in path.read_text()


def test_statistics_count_classes_that_overlap_themselves_once():
    videos = (
        AnnotatedVideo(
            "a",
            "training",
            10.0,
            (Activity("x", 0, 4), Activity("x", 2, 6), Activity("y", 5, 10)),
        ),
        AnnotatedVideo("b", "testing", None, (Activity("y", 5, 10),)),
    )
    found = statistics(Annotations(("x", "y", "z"), videos))
    # Nothing for 5 s, both for 1 s, one for the other 14 s.
    np.testing.assert_allclose(found.at_once, np.array([5, 14, 1]) / 20)
    assert found.labels_per_frame == pytest.approx(16 / 20)
    assert found.per_class == {"x": 2, "y": 2, "z": 0}
    assert found.class_seconds == {"x": 8.0, "y": 10.0, "z": 0.0}
    assert found.subsets == {"training": 1, "testing": 1}
    np.testing.assert_allclose(found.seconds, [10, 10])


def test_statistics_of_videos_without_activities():
    found = statistics(Annotations((), (AnnotatedVideo("a", "training", None, ()),)))
    assert found.labels_per_frame == 0
    assert len(found.lengths) == 0


def test_convert_writes_every_form_and_says_what_it_mended(data, capsys):
    change(data, tiny0={"annotations": walk((1, 2), (3, 9))})
    before = read_annotations(data)
    charades, table = data / "charades.json", data / "table.csv"
    assert main(["data", "convert", str(data), str(charades), "--charades"]) == 0
    shown = capsys.readouterr().out
    assert "written as they stand, nothing left out or cut" in shown
    assert "1 activities that end after their video, such as in tiny0" in shown
    names = data / "charades.classes.txt"
    assert read_annotations(charades, classes=names).videos == before.videos
    convert = ["data", "convert", str(charades), str(table), "--classes", str(names)]
    assert main(convert) == 0
    shown = capsys.readouterr().out
    assert '1 activities that end after their video, such as tiny0: "move" 3 to 9 s' in shown
    assert "cut to it" in shown
    assert read_annotations(table, classes=names).videos == before.videos
    again = data / "again.json"
    assert main(["data", "convert", str(table), str(again)]) == 0
    assert read_annotations(again).videos == before.videos


@pytest.mark.slow
def test_generated_data_set_passes_its_check(tmp_path, capsys):
    out = tmp_path / "generated"
    generate = ["data", "generate", "kinetics", "--out", str(out), "--videos", "4"]
    generate += ["--size", "64x48", "--rate", "6", "--workers", "1", "--difficulty", "easy"]
    assert main(generate) == 0
    assert "4 videos" in capsys.readouterr().out
    assert main(["data", "check", str(out)]) == 0
