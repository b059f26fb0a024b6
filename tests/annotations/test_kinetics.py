"""Kinetics' CSVs and JSON, on small files in their published forms."""

import json
from pathlib import Path

import pytest

from actline.annotations.annotations import Fault
from actline.annotations.read import read_annotations, without_videos
from actline.errors import AnnotationError
from actline.timeline import Activity

HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"
TRAIN = (
    HEADER
    + '"testifying",---QUuC4vJs,84,94,train,0\n'
    + '"massaging person\'s head",--3ouPhoy2A,20,30,train,1\n'
    + "abseiling,-3B32lodo2M,59,69,train,0\n"
)


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def clip(label: str | None, segment: list[float] | None, subset: str) -> dict[str, object]:
    annotation = {"label": label, "segment": segment}
    return {
        "annotations": {name: value for name, value in annotation.items() if value is not None},
        "duration": 10.0,
        "subset": subset,
        "url": "https://www.youtube.com/watch?v=x",
    }


def test_every_clip_of_the_official_csv_is_a_video_of_one_activity(tmp_path):
    found = read_annotations(write(tmp_path / "kinetics-400_train.csv", TRAIN))
    assert found.classes == ("abseiling", "massaging person's head", "testifying")
    assert [(v.id, v.subset, v.duration) for v in found.videos] == [
        ("---QUuC4vJs_000084_000094", "training", 10.0),
        ("--3ouPhoy2A_000020_000030", "training", 10.0),
        ("-3B32lodo2M_000059_000069", "training", 10.0),
    ]
    assert found.videos[0].activities == (Activity("testifying", 0.0, 10.0),)
    assert not found.problems


@pytest.mark.parametrize(
    ("split", "subset"),
    [("train", "training"), ("val", "validation"), ("validate", "validation"), ("test", "testing")],
)
def test_splits_of_all_releases_are_our_subsets(tmp_path, split, subset):
    path = write(tmp_path / "x.csv", HEADER[:-7] + f"\nfaceplanting,abcdefghijk,0,10,{split}\n")
    assert read_annotations(path).videos[0].subset == subset


def test_a_test_file_without_labels_has_clips_without_activities(tmp_path):
    path = write(
        tmp_path / "test.csv", "youtube_id,time_start,time_end,split\n--0l35AkU34,68,78,test\n"
    )
    found = read_annotations(path)
    assert (found.classes, found.videos[0].activities) == ((), ())
    assert found.videos[0].duration == 10.0


def test_a_folder_holds_the_csvs_of_all_splits_and_its_list_of_classes(tmp_path):
    write(tmp_path / "annotations" / "train.csv", TRAIN)
    write(tmp_path / "annotations" / "val.csv", HEADER + "abseiling,0wR5jVB-WPk,417,427,val,0\n")
    write(tmp_path / "train" / "---QUuC4vJs_000084_000094.mp4", "")
    found = read_annotations(tmp_path)
    assert [video.subset for video in found.videos] == [*["training"] * 3, "validation"]
    write(tmp_path / "labels.txt", "testifying\nmassaging person's head\nabseiling\nzumba\n")
    assert read_annotations(tmp_path).classes[0] == "testifying"
    assert read_annotations(tmp_path).classes[3] == "zumba"


def test_a_folder_a_split_with_csv_and_json_is_read_once(tmp_path):
    write(tmp_path / "kinetics_train" / "kinetics_train.csv", TRAIN)
    entry = clip("abseiling", [59.0, 69.0], "train")
    write(tmp_path / "kinetics_train" / "kinetics_train.json", {"-3B32lodo2M": entry})
    assert len(read_annotations(tmp_path).videos) == 3
    (tmp_path / "kinetics_train" / "kinetics_train.csv").unlink()
    write(tmp_path / "validate.json", {"abc": clip("abseiling", [0, 10], "validate")})
    assert {v.id for v in read_annotations(tmp_path).videos} == {
        "-3B32lodo2M_000059_000069",
        "abc_000000_000010",
    }


def test_official_json_gives_the_same_clips_as_the_csv(tmp_path):
    content = {
        "---QUuC4vJs": clip("testifying", [84.0, 94.0], "train"),
        "--3ouPhoy2A": clip("massaging person's head", [20.0, 30.0], "train"),
        "-3B32lodo2M": clip("abseiling", [59.0, 69.0], "train"),
    }
    found = read_annotations(write(tmp_path / "train.json", content))
    table = read_annotations(write(tmp_path / "train.csv", TRAIN))
    assert (found.videos, found.classes) == (table.videos, table.classes)


def test_official_test_json_needs_neither_labels_nor_segments(tmp_path):
    entry = {"duration": 9.5, "subset": "test", "url": "https://www.youtube.com/watch?v=x"}
    path = write(
        tmp_path / "test.json", {"--0l35AkU34": entry, "b": clip(None, [3.0, 13.0], "test")}
    )
    found = read_annotations(path)
    assert [(v.id, v.duration, v.activities) for v in found.videos] == [
        ("--0l35AkU34", 9.5, ()),
        ("b_000003_000013", 10.0, ()),
    ]
    found = read_annotations(write(path, {"--0l35AkU34": entry}))
    assert found.videos[0].subset == "testing"


def test_a_database_by_clip_takes_its_seconds_from_the_ids(tmp_path):
    def entry(subset: str, **annotation: object) -> dict[str, object]:
        return {"subset": subset, "annotations": annotation}

    database = {
        "-3B32lodo2M_000059_000069": entry("training", label="abseiling", segment=[1, 301]),
        "0wR5jVB-WPk_000417_000427": entry("validation", label="zumba"),
        "--0l35AkU34_000068_000078": entry("testing"),
    }
    content = {"labels": ["abseiling", "zumba"], "database": database}
    found = read_annotations(write(tmp_path / "kinetics.json", content))
    assert [(v.id, v.subset, v.duration) for v in found.videos] == [
        ("-3B32lodo2M_000059_000069", "training", 10.0),
        ("0wR5jVB-WPk_000417_000427", "validation", 10.0),
        ("--0l35AkU34_000068_000078", "testing", 10.0),
    ]


def test_activitynet_with_one_malformed_video_is_still_activitynet(tmp_path):
    good = {"duration": 9, "subset": "training", "annotations": []}
    path = write(tmp_path / "a.json", {"database": {"a": good, "b": {**good, "annotations": {}}}})
    with pytest.raises(AnnotationError, match="video b has no list of annotations"):
        read_annotations(path)


def test_listed_classes_keep_their_order_and_others_are_refused(tmp_path):
    path = write(tmp_path / "train.csv", TRAIN)
    classes = write(tmp_path / "c.txt", "testifying\nabseiling\nmassaging person's head\n")
    assert read_annotations(path, classes=classes).classes[0] == "testifying"
    write(classes, "testify\nabseiling\n")
    with pytest.raises(AnnotationError, match=r'line 2: class "testifying" .* mean "testify"\?'):
        read_annotations(path, classes=classes)


def test_missing_clips_are_left_out_by_a_list(tmp_path):
    found = read_annotations(write(tmp_path / "train.csv", TRAIN))
    missing = write(tmp_path / "missing.txt", "-3B32lodo2M_000059_000069\n")
    kept = without_videos(found, missing)
    assert (len(kept.videos), len(kept.problems)) == (2, 1)


def test_the_same_row_twice_is_kept_once_and_told(tmp_path):
    row = "abseiling,-3B32lodo2M,59,69,train,0\n"
    found = read_annotations(write(tmp_path / "train.csv", HEADER + row + row))
    assert len(found.videos) == 1
    (problem,) = found.problems
    assert problem.faults == (Fault.TWICE,)
    assert "train.csv, line 2 and again at" in problem.what


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("abseiling,b,x,69,train,0", r"train\.csv, line 3, start: 'x' is not a number"),
        ("abseiling,b,59,,train,0", r"line 3, end: '' is not a number"),
        ("abseiling,b,59,inf,train,0", r"line 3, end: 'inf' is not a finite number"),
        ("abseiling,b,-1,9,train,0", r"line 3, start: -1 is not a time in a video"),
        ("abseiling,b,0,1e300,train,0", r"line 3, end: 1e\+300 is not a time in a video"),
        ("abseiling,b,69,59,train,0", r"line 3: the end \(59\) is not after .*; swap them"),
        ("abseiling,b,9,9,train,0", r"line 3: the end \(9\) is not after the start \(9\)"),
        ("abseiling,b,0,9,dev,0", r"line 3: 'dev' is not a split; name train"),
        ("abseiling,b,0,9,,0", r"line 3: '' is not a split; give"),
        (",b,0,9,train,0", r"line 3: the clip has no label"),
        ("abseiling,,0,9,train,0", r"line 3: '' is not a YouTube id"),
        ("tying, knots,b,0,9,train,0", r"line 3: 7 cells for 6 columns; put quotation marks"),
        ("zumba,a,59,69,train,0", r"line 3: clip a_000059_000069 is also at .*line 2, with"),
        ("abseiling,a,59,69,val,0", r"line 3: clip a_000059_000069 is also at .*line 2, with"),
        ('"abseiling,b,0,9,train,0', r"line 3: .* is a quotation mark left open\?"),
    ],
)
def test_a_malformed_row_is_named_with_its_line(tmp_path, row, said):
    path = write(tmp_path / "train.csv", HEADER + f"abseiling,a,59,69,train,0\n{row}\n")
    with pytest.raises(AnnotationError, match=said) as raised:
        read_annotations(path)
    assert "\n" not in str(raised.value)


def test_without_strictness_malformed_rows_are_told_and_the_rest_is_read(tmp_path):
    rows = "abseiling,a,59,69,train,0\nabseiling,b,9,1,train,0\nabseiling,c,0,9,dev,0\n"
    found = read_annotations(write(tmp_path / "train.csv", HEADER + rows), strict=False)
    assert [video.id for video in found.videos] == ["a_000059_000069"]
    assert [problem.faults for problem in found.problems] == [(Fault.MALFORMED,)] * 2


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("label,youtube_id,time_start,time_end", '"split" is not among'),
        ("label,youtube_id,time_end,split", '"time_start" is not among'),
        ("label,video_id,time_start,time_end,split", '"youtube_id" is not among'),
        ("label,youtube_id,time_start,time_end,split,split", 'two columns are named "split"'),
    ],
)
def test_missing_columns_are_named(tmp_path, header, said):
    path = write(tmp_path / "train.csv", header + "\nabseiling,a,59,69,train\n")
    with pytest.raises(AnnotationError, match=said):
        read_annotations(path)


def test_a_file_without_clips_or_text_is_refused(tmp_path):
    path = write(tmp_path / "train.csv", HEADER)
    with pytest.raises(AnnotationError, match="names no videos"):
        read_annotations(path)
    path.write_bytes((HEADER + "caf\u00e9,a,1,2,train,0\n").encode("latin-1"))
    with pytest.raises(AnnotationError, match=r"train\.csv is not UTF-8 text; save it"):
        read_annotations(tmp_path)
    write(path, "")
    with pytest.raises(AnnotationError, match=r"train\.csv is empty"):
        read_annotations(path)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, r"train\.json, clip bad: None is not a split"),
        ("x", r"clip bad: 'x' has no \"annotations\" of a label and a segment"),
        (clip(None, [0, 9], "train"), "clip bad: the clip has no label"),
        (clip("zumba", [9, 0], "train"), r"clip bad: the end \(0\) is not after the start \(9\)"),
        (clip("zumba", [9], "train"), r"clip bad: \[9\] is not a segment"),
        (clip("zumba", [0, 9], "dev"), "clip bad: 'dev' is not a split"),
        (clip("", [0, 9], "train"), "clip bad: '' is not a label"),
        ({"subset": "train", "annotations": {"label": "zumba"}}, "clip bad: None is not a segment"),
    ],
)
def test_a_malformed_json_clip_is_named(tmp_path, entry, said):
    good = {name: clip("zumba", [0, 9], "train") for name in ("a", "b")}
    path = write(tmp_path / "train.json", {**good, "bad": entry})
    with pytest.raises(AnnotationError, match=said):
        read_annotations(path)
    assert len(read_annotations(path, strict=False).videos) == 2


def test_a_folder_with_other_json_is_not_taken_for_kinetics(tmp_path):
    write(tmp_path / "train.json", {"a": {"subset": "training", "actions": []}})
    with pytest.raises(AnnotationError, match=r"train\.json contains no Kinetics clips"):
        read_annotations(tmp_path)
