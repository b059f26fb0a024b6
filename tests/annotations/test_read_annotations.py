"""Readers of every form, on small files in the published formats."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from actline.annotations.annotations import Annotations, Fault
from actline.annotations.read import read_annotations, read_classes
from actline.errors import AnnotationError
from actline.timeline import Activity

CHARADES_HEADER = (
    "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"
)
CHARADES_CLASSES = (
    "c000 Holding some clothes\nc001 Putting clothes somewhere\nc002 Opening a door\n"
)
REAL = Path(os.environ.get("ACTLINE_REAL", "/nonexistent"))


def charades_row(video_id: str, actions: str, length: str) -> str:
    return (
        f'{video_id},HR43,Kitchen,6,7,Yes,"A person, ""busy"", walks.",door;coat,'
        f'"They stand.\nThey walk, then stop.",{actions},{length}\n'
    )


def write_charades(folder: Path) -> Path:
    (folder / "Charades_v1_classes.txt").write_text(CHARADES_CLASSES)
    (folder / "Charades_v1_train.csv").write_text(
        CHARADES_HEADER
        + charades_row("46GP8", "c002 11.90 21.20;c000 0.00 12.60", "24.83")
        + charades_row("EMPTY", "", "30.00")
    )
    (folder / "Charades_v1_test.csv").write_text(
        CHARADES_HEADER + charades_row("YSKX3", "c001 2.00 40.00", "31.00")
    )
    return folder


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def faults(annotations: Annotations) -> Counter[Fault]:
    return Counter(fault for problem in annotations.problems for fault in problem.faults)


def test_charades_folder_gives_both_subsets_and_class_names(tmp_path):
    annotations = read_annotations(write_charades(tmp_path))
    assert annotations.classes == (
        "Holding some clothes",
        "Putting clothes somewhere",
        "Opening a door",
    )
    assert [(v.id, v.subset, v.duration) for v in annotations.videos] == [
        ("46GP8", "training", 24.83),
        ("EMPTY", "training", 30.0),
        ("YSKX3", "testing", 31.0),
    ]
    assert annotations["46GP8"].activities == (
        Activity("Holding some clothes", 0.0, 12.6),
        Activity("Opening a door", 11.9, 21.2),
    )
    assert annotations["EMPTY"].activities == ()
    assert annotations["YSKX3"].activities == (Activity("Putting clothes somewhere", 2.0, 31.0),)
    assert faults(annotations) == {Fault.ENDS_LATE: 1}


def test_one_charades_csv_finds_its_classes_beside_or_as_given(tmp_path):
    folder = write_charades(tmp_path)
    test = read_annotations(folder / "Charades_v1_test.csv")
    assert [(v.id, v.subset) for v in test.videos] == [("YSKX3", "testing")]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = (folder / "Charades_v1_test.csv").rename(elsewhere / "Charades_v1_test.csv")
    with pytest.raises(AnnotationError, match=r"Charades_v1_classes\.txt.*put it there"):
        read_annotations(moved)
    given = read_annotations(moved, classes=folder / "Charades_v1_classes.txt")
    assert given.videos == test.videos


def test_charades_json_has_numbered_classes_or_the_names_given(tmp_path):
    content = {
        "A": {"subset": "training", "duration": 20.0, "actions": [[2, 1.0, 5.5], ["0", "3", "4"]]},
        "B": {"subset": "testing", "actions": []},
    }
    path = write(tmp_path / "charades.json", content)
    annotations = read_annotations(path)
    assert annotations.classes == ("c000", "c001", "c002")  # with the one never used
    assert annotations["A"].activities == (Activity("c002", 1.0, 5.5), Activity("c000", 3.0, 4.0))
    assert annotations["B"].duration is None
    names = write(tmp_path / "Charades_v1_classes.txt", CHARADES_CLASSES)
    named = read_annotations(path, classes=names)
    assert [a.label for a in named["A"].activities] == ["Opening a door", "Holding some clothes"]


def test_class_numbers_from_one_mean_what_a_numbered_list_says(tmp_path):
    content = {"A": {"subset": "testing", "duration": 9, "actions": [[1, 1, 2], [2, 3, 4]]}}
    path = write(tmp_path / "multithumos.json", content)
    numbered = write(tmp_path / "numbered.txt", "1 BaseballPitch\n2 BasketballBlock\n")
    labels = [a.label for a in read_annotations(path, classes=numbered)["A"].activities]
    assert labels == ["BaseballPitch", "BasketballBlock"]
    plain = write(tmp_path / "plain.txt", "BaseballPitch\nBasketballBlock\n")
    with pytest.raises(
        AnnotationError, match=r'action 2 of A: class "c002" is not among the classes of'
    ):
        read_annotations(path, classes=plain)


def test_activitynet_is_read_in_official_and_flat_form(tmp_path):
    annotations = [{"label": "Ballet", "segment": ["6.25", 77.5]}]
    official = {
        "version": "VERSION 1.3",
        "taxonomy": [],
        "database": {
            "a": {"subset": "validation", "duration": 82.75, "annotations": annotations},
            "b": {"subset": "testing", "duration": 10, "annotations": []},
            "c": {"subset": "testing", "duration": 10},
        },
    }
    flat = {"v_a": {"duration_second": 82.75, "duration_frame": 1, "annotations": annotations}}
    read = read_annotations(write(tmp_path / "official.json", official))
    assert read.classes == ("Ballet",)
    assert read["a"].activities == (Activity("Ballet", 6.25, 77.5),)
    assert (read["a"].subset, read["a"].duration) == ("validation", 82.75)
    assert read["c"].activities == ()
    assert read.problems == ()
    flat_read = read_annotations(write(tmp_path / "flat.json", flat))
    assert flat_read["v_a"].activities == read["a"].activities
    assert flat_read["v_a"].duration == 82.75
    assert faults(flat_read) == {Fault.NO_SUBSET: 1}


def test_subsets_of_other_files_get_our_names(tmp_path):
    entries = {name: {"subset": name, "actions": []} for name in ("train", "val", "Test", "extra")}
    read = read_annotations(write(tmp_path / "a.json", entries))
    subsets = [v.subset for v in read.videos]
    assert subsets == ["training", "validation", "testing", "extra"]


def test_form_is_told_by_content_not_by_ending(tmp_path):
    content = {"A": {"subset": "testing", "actions": [[0, 1, 2]]}}
    assert read_annotations(write(tmp_path / "a.txt", content)).classes == ("c000",)
    table = "video,label,start,end\nA,walk,1,2\n"
    assert read_annotations(write(tmp_path / "b.json", table)).classes == ("walk",)


def test_folder_is_read_by_its_annotations_file_with_its_classes(tmp_path):
    write(tmp_path / "annotations.csv", "video,label,start,end\nA,walk,1,2\n")
    write(tmp_path / "classes.txt", "run\nwalk\n")
    assert read_annotations(tmp_path).classes == ("run", "walk")
    empty = tmp_path / "videos"
    empty.mkdir()
    with pytest.raises(AnnotationError, match=r"neither annotations\.json, annotations\.csv nor"):
        read_annotations(empty)


def test_what_published_files_contain_is_put_right_and_told(tmp_path):
    actions = [
        [0, 1.0, 12.5],  # ends after the video
        [1, 11.0, 12.0],  # starts after it
        [2, 5.0, 4.0],  # reversed
        [3, 2.0, 2.0],  # lasts nothing
        [4, -1.0, 3.0],  # starts before the video
        [5, -3.0, -1.0],  # lies before it
        [6, 1.0, 2.0],
        [6, 1.0, 2.0],  # twice
        [7, 12.0, 11.0],  # reversed, and after the video
        [8, -1.0, 11.0],  # longer than the video on both sides
    ]
    content = {"A": {"subset": "testing", "duration": 10.0, "actions": actions}}
    read = read_annotations(write(tmp_path / "a.json", content))
    assert set(read["A"].activities) == {
        Activity("c000", 1.0, 10.0),
        Activity("c004", 0.0, 3.0),
        Activity("c006", 1.0, 2.0),
        Activity("c008", 0.0, 10.0),
    }
    assert faults(read) == {
        Fault.ENDS_LATE: 4,
        Fault.STARTS_LATE: 2,
        Fault.BACKWARDS: 3,
        Fault.STARTS_EARLY: 3,
        Fault.TWICE: 1,
    }
    assert [problem.what for problem in read.problems] == [
        '"c000" 1 to 12.5 s ends after the video (10 s): cut to it',
        '"c001" 11 to 12 s lies outside the video (10 s): left out',
        '"c002" 5 to 4 s does not end after its start: left out',
        '"c003" 2 to 2 s does not end after its start: left out',
        '"c004" -1 to 3 s starts before the video (10 s): cut to it',
        '"c005" -3 to -1 s lies outside the video (10 s): left out',
        '"c006" 1 to 2 s appears twice: kept once',
        '"c007" 12 to 11 s does not end after its start: left out',
        '"c008" -1 to 11 s starts before the video and ends after it (10 s): cut to it',
    ]
    assert all(problem.video == "A" for problem in read.problems)


def test_duration_that_cannot_be_is_taken_as_unknown(tmp_path):
    content = {"A": {"subset": "testing", "duration": 0, "actions": [[0, 1, 2]]}}
    read = read_annotations(write(tmp_path / "a.json", content))
    assert read["A"].duration is None
    assert read["A"].activities == (Activity("c000", 1.0, 2.0),)
    assert faults(read) == {Fault.DURATION: 1}


def action(value: object) -> dict:
    return {"A": {"subset": "testing", "duration": 9, "actions": [value]}}


def segment(**changes: object) -> dict:
    annotation = {"label": "walk", "segment": [1, 2], **changes}
    return {"database": {"A": {"subset": "testing", "duration": 9, "annotations": [annotation]}}}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("{", "line 1: not valid JSON .*cut off"),
        ('{"A": {"actions": [[1, 2.0,', "cut off"),
        ('{"A" {}}', "line 1: not valid JSON"),
        ("[" * 100_000, "no annotations|not valid JSON|nested too deeply"),
        (
            '{"A": {"actions": [[1, ' + "1" * 5000 + ", 2]]}}",
            "no annotations|not a|thousands of digits",
        ),
        ({}, "names no videos"),
        ({"database": {}}, "names no videos"),
        ([], "no annotations of a known form"),
        ({"A": {"labels": []}}, "no annotations of a known form"),
        ({"results": {"A": []}}, "holds predictions, not annotations"),
        ('{"A": {"actions": []}, "A": {"actions": [[1, 2, 3]]}}', '"A" appears twice'),
        ({"A": {"actions": []}, "B": {}}, "video B has no list of actions"),
        ({"A": {"actions": []}, "B": []}, "video B has no list of actions"),
        ({"A": {"actions": None}}, "video A has no list of actions"),
        ({"A": {"actions": [], "duration": "long"}}, "duration: 'long' is not a number"),
        ({"A": {"actions": [], "subset": ["testing"]}}, "is not a subset"),
        (action([1, 2]), r"action 1 of A: \[1, 2\] is not \[class, start, end\]"),
        (action([1, float("nan"), 3]), "action 1 of A: nan is not a finite number"),
        (action([1, 2, float("inf")]), "inf is not a finite number"),
        (action([1, "1_0", 3]), "'1_0' is not a number"),
        (action([1, True, 3]), "True is not a number"),
        (action([1, None, 3]), "None is not a number"),
        (action([1.5, 2, 3]), "1.5 is not the number of a class"),
        (action([-1, 2, 3]), "-1 is not the number of a class"),
        (action([10**9, 2, 3]), "is not the number of a class"),
        (action([float("nan"), 2, 3]), "nan is not the number of a class"),
        (segment(segment=[1]), "annotation 1 of A: .* has no label or no segment"),
        (segment(segment=[1, float("nan")]), "annotation 1 of A: nan is not a finite number"),
        (segment(label=None), "None is not a label"),
        (segment(label=" "), "' ' is not a label"),
        (segment(label="two\nlines"), "is not a label"),
        (segment(label="half \ud800"), "unpaired surrogates"),
        ({"database": {"A": {"annotations": "none"}}}, "video A has no list of annotations"),
        ({"database": {"A": 3}}, "video A has no list of annotations"),
        (
            {"database": {"A": {"annotations": ["walk"]}}},
            "annotation 1 of A: 'walk' has no label or no segment",
        ),
    ],
)
def test_malformed_json_is_one_line_that_names_file_and_place(tmp_path, content, told):
    path = write(tmp_path / "bad.json", content)
    with pytest.raises(AnnotationError, match=told) as caught:
        read_annotations(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            charades_row("A", "c099 1.0 2.0", "9"),
            r'line 2 \(A\): class "c099" is not among the classes of',
        ),
        (charades_row("A", "c001 1.0", "9"), "'c001 1.0' is not an action"),
        (charades_row("A", "c001 1.0 x", "9"), "'x' is not a number"),
        (charades_row("A", "c001 nan 2", "9"), "'nan' is not a finite number"),
        (charades_row("A", "1 1.0 2.0", "9"), "is not an action"),
        (charades_row("A", "", ""), "line 2: '' is not a number"),
        (charades_row("A", "", "9") + charades_row("A", "", "9"), "line 4: video A is also at"),
        (charades_row("A", "", "9") + "B,HR43,Kitch", "line 4: the row is cut off"),
        ('A,HR43,"Kitch', "line 2: .*quotation mark left open"),
        ("", "names no videos"),
    ],
)
def test_malformed_charades_csv_is_told_with_its_line(tmp_path, rows, told):
    write(tmp_path / "Charades_v1_classes.txt", CHARADES_CLASSES)
    path = write(tmp_path / "Charades_v1_train.csv", CHARADES_HEADER + rows)
    with pytest.raises(AnnotationError, match=told) as caught:
        read_annotations(path)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_told(tmp_path):
    with pytest.raises(AnnotationError, match=r"no annotations at .*check the path"):
        read_annotations(tmp_path / "missing.json")
    latin = tmp_path / "latin.csv"
    latin.write_bytes("video,label,start,end\nA,öffnen,1,2\n".encode("latin-1"))
    with pytest.raises(AnnotationError, match="not UTF-8 text; save it as UTF-8"):
        read_annotations(latin)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_without_permission_is_told(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o000)
    with pytest.raises(AnnotationError, match="cannot read"):
        read_annotations(locked)


def test_unknown_class_suggests_the_nearest(tmp_path):
    names = write(tmp_path / "classes.txt", "Open door\nClose door\n")
    path = write(tmp_path / "a.json", segment(label="open door"))
    with pytest.raises(AnnotationError, match=r'of classes\.txt; did you mean "Open door"\?'):
        read_annotations(path, classes=names)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("walk\n\n run \n", ("walk", "run")),
        ("\ufeffwalk\r\nrun\r\n", ("walk", "run")),
        ("c001 Two\nc000 One\n", ("One", "Two")),
        ("0 One\n1 Two\n", ("One", "Two")),
        ("2 people talking\n1 person walking\n3 on a bench\n", ("person walking",)),
        ("2 people talking\nwalk\n", ("2 people talking", "walk")),
        ("7 people talking\n9 people dancing\n", ("7 people talking", "9 people dancing")),
    ],
)
def test_class_lists_are_plain_or_numbered(tmp_path, text, names):
    assert read_classes(write(tmp_path / "c.txt", text)).names[: len(names)] == names


def test_class_listed_twice_is_told(tmp_path):
    with pytest.raises(AnnotationError, match="class walk appears twice"):
        read_classes(write(tmp_path / "classes.txt", "walk\nrun\nwalk\n"))


def test_lenient_reading_collects_every_mistake_and_keeps_the_rest(tmp_path):
    names = write(tmp_path / "classes.txt", "walk\nrun\n")
    table = "video,label,start,end\nA,walk,1,2\nA,run,5,4\nA,jump,1,2\nB,run,nan,2\nB,run,1,2\n"
    path = write(tmp_path / "a.csv", table)
    read = read_annotations(path, classes=names, strict=False)
    assert read.classes == ("walk", "run", "jump")
    assert read["A"].activities == (Activity("jump", 1.0, 2.0), Activity("walk", 1.0, 2.0))
    assert read["B"].activities == (Activity("run", 1.0, 2.0),)
    assert faults(read) == {Fault.MALFORMED: 2, Fault.UNKNOWN_CLASS: 1}
    assert "line 3" in read.problems[0].what
    content = {**action([9, 1, 2]), "B": {"actions": [[0, "x", 2], [0, 1, 2]]}, "C": {}}
    read = read_annotations(write(tmp_path / "b.json", content), classes=names, strict=False)
    assert read.classes == ("walk", "run", "c009")
    assert faults(read) == {Fault.MALFORMED: 2, Fault.UNKNOWN_CLASS: 1, Fault.NO_SUBSET: 1}


@pytest.mark.skipif(not REAL.exists(), reason="ACTLINE_REAL names no folder of real files")
class TestRealFiles:
    def test_charades_is_read_with_the_known_counts(self):
        read = read_annotations(REAL / "charades.json")
        assert (len(read.videos), len(read.classes)) == (9848, 157)
        assert faults(read) == {
            Fault.ENDS_LATE: 19_623,
            Fault.STARTS_LATE: 5,
            Fault.BACKWARDS: 7,
        }
        assert sum(not video.activities for video in read.videos) == 223
        assert sum(len(video.activities) for video in read.videos) == 66_500 - 7

    def test_multithumos_does_not_stop_the_reader(self):
        read = read_annotations(REAL / "multithumos.json")
        assert len(read.videos) == 413
        assert read.classes[-1] == "NoHuman"
        assert faults(read)[Fault.ENDS_LATE] == 65

    def test_activitynet_is_read_in_its_flat_form(self):
        read = read_annotations(REAL / "activitynet_annotations.json")
        assert (len(read.videos), len(read.classes)) == (19_228, 200)
        assert faults(read)[Fault.BACKWARDS] == 12
        assert faults(read)[Fault.ENDS_LATE] == 215

    def test_thumos_json_is_read(self):
        read = read_annotations(REAL / "thumos14" / "thumos14_v2.json")
        assert {video.subset for video in read.videos} == {"training", "testing"}

    def test_predictions_are_refused(self):
        with pytest.raises(AnnotationError, match="holds predictions"):
            read_annotations(REAL / "hacs_video_classes.json")


def test_a_file_too_large_to_be_read_at_once_is_refused(tmp_path):
    path = tmp_path / "annotations.json"
    with path.open("wb") as file:
        file.truncate(1 << 30)  # sparse: it takes no space
    with pytest.raises(AnnotationError, match=r"annotations\.json is 1024 MiB"):
        read_annotations(path)
