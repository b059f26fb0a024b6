"""Annotations of every form are read, mended where published files need it, and written back."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actline.annotations.annotations import AnnotatedVideo, Annotations, frame_labels
from actline.annotations.formats import activitynet, charades, table
from actline.annotations.read import read_annotations
from actline.cli.main import main
from actline.errors import AnnotationError
from actline.timeline import Activity

HEADER = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"


def charades_folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "Charades_v1_classes.txt").write_text(
        "c000 Holding some clothes\nc001 Sitting down\n"
    )
    row = 'AAAAA,S1,Kitchen,6,7,Yes,"A script, with a comma",bag;cup,"He sits; ""ok""",'
    (folder / "Charades_v1_train.csv").write_text(
        HEADER + row + "c001 11.90 21.20;c000 0.00 12.60,24.83\n"
    )
    (folder / "Charades_v1_test.csv").write_text(HEADER + row.replace("AAAAA", "BBBBB") + ",30.1\n")
    return folder


def test_charades_official_csvs(tmp_path):
    found = read_annotations(charades_folder(tmp_path))
    assert found.classes == ("Holding some clothes", "Sitting down")
    assert [(v.id, v.subset, v.duration) for v in found.videos] == [
        ("AAAAA", "training", 24.83),
        ("BBBBB", "testing", 30.1),
    ]
    assert found["AAAAA"].activities == (
        Activity("Holding some clothes", 0.0, 12.6),
        Activity("Sitting down", 11.9, 21.2),
    )


def test_charades_json_with_what_is_wrong_in_it(tmp_path):
    actions = [[1, 2, 5], [0, 28.0, 33.5], [0, 31, 35], [2, 9, 9], [1, 2, 5], [1, -1, 1]]
    content = {"X": {"subset": "training", "duration": 30.0, "actions": actions}}
    path = tmp_path / "charades.json"
    path.write_text(json.dumps(content))
    found = read_annotations(path)
    assert found.classes == ("c000", "c001", "c002")
    assert found["X"].activities == (
        Activity("c001", 0.0, 1.0),
        Activity("c001", 2.0, 5.0),
        Activity("c000", 28.0, 30.0),
    )
    assert len(found.problems) == 5


def test_activitynet_forms(tmp_path):
    entry = {"subset": "training", "annotations": [{"label": "Run", "segment": ["1.5", 4]}]}
    official = tmp_path / "official.json"
    official.write_text(json.dumps({"version": "1", "database": {"v": {**entry, "duration": 9}}}))
    flat = tmp_path / "flat.json"
    flat.write_text(json.dumps({"v": {**entry, "duration_second": 9}}))
    for path in (official, flat):
        assert read_annotations(path)["v"].activities == (Activity("Run", 1.5, 4.0),)
        assert read_annotations(path)["v"].duration == 9


def test_a_table_by_hand_with_minutes_semicolons_and_empty_videos(tmp_path):
    path = tmp_path / "annotations.csv"
    path.write_text("\ufeffvideo; label; start; end\na.mp4; jump; 1:02.5; 63\nb;;;\n", "utf-8")
    found = read_annotations(path)
    assert found["a"].activities == (Activity("jump", 62.5, 63.0),)
    assert found["b"].activities == ()


labels = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1)
segments = st.tuples(st.floats(0, 50), st.floats(0.01, 40)).map(lambda s: (s[0], s[0] + s[1]))


@given(st.lists(st.tuples(labels, segments), max_size=6))
def test_every_form_is_written_and_read_back(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("forms")
    activities = tuple(
        sorted({Activity(la, *s) for la, s in rows}, key=lambda a: (a.start, a.end, a.label))
    )
    classes = tuple(sorted({a.label for a in activities}))
    video = AnnotatedVideo("v", "testing", 100.0, activities)
    given_annotations = Annotations(classes, (video,))
    activitynet.write_activitynet(given_annotations, folder / "a.json")
    charades.write_charades(given_annotations, folder / "c.json")
    table.write_table(given_annotations, folder / "t.csv")
    for path in ("a.json", "t.csv"):
        assert read_annotations(folder / path).videos == (video,)
    names = folder / "classes.txt"
    if classes and not any(name[:1] == "c" and name[1:4].isdigit() for name in classes):
        names.write_text("\n".join(classes), "utf-8")
        assert read_annotations(folder / "c.json", classes=names).videos == (video,)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.csv", "video,label,start,end\na,x,5,2\n", "line 2.*not after the start"),
        ("t.csv", "video,label,start,end\na,x,nan,2\n", "line 2.*not a time"),
        ("t.csv", "video,label,start,end\na,x,-1,2\n", "line 2.*is negative; times count"),
        ("t.csv", "video,label,start,end\na,x,one,2\n", 'line 2.*"one" is not a time'),
        ("t.csv", "video,label,begin,end\na,x,1,2\n", '"start" is not among'),
        ("t.csv", "video,label,start,end\n", "names no videos"),
        ("t.csv", "", "is empty"),
        ("t.json", '{"database": {"a": {"annot', "line 1: not valid JSON"),
        ("t.json", "[]", "no annotations of a known form"),
        ("t.json", '{"a": {"actions": [[0, NaN, 2]]}}', "a: nan is not a finite number"),
        ("t.json", '{"a": {"actions": [[0, 1]]}}', r"a: \[0, 1\] is not \[class, start, end\]"),
        ("t.json", '{"a": {"annotations": [{"label": "x"}]}}', "no label or no"),
    ],
)
def test_malformed_files_are_refused_in_one_line(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(AnnotationError, match=said) as caught:
        read_annotations(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_class_that_is_not_listed_is_refused(tmp_path):
    (tmp_path / "classes.txt").write_text("run\n")
    (tmp_path / "annotations.csv").write_text("video,label,start,end\na,jump,1,2\n")
    with pytest.raises(AnnotationError, match='class "jump" is not among the classes'):
        read_annotations(tmp_path)


def test_labels_are_active_strictly_inside():
    labels = frame_labels([Activity("a", 1.0, 2.0)], ("a",), np.array([0.9, 1.0, 1.5, 2.0]))
    assert labels[:, 0].tolist() == [0, 0, 1, 0]


def test_check_tells_what_is_wrong_with_a_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "bad.mp4").write_text("this is text")
    (tmp_path / "videos" / "stray.mp4").write_bytes(b"")
    (tmp_path / "annotations.csv").write_text("video,label,start,end\nbad,run,1,2\ngone,run,1,2\n")
    (tmp_path / "classes.txt").write_text("run\njump\n")
    plot = tmp_path / "statistics.png"
    assert main(["data", "check", str(tmp_path), "--plot", str(plot)]) == 1
    told = " ".join(capsys.readouterr().out.split())
    for what in ("cannot be read", "missing", "without any", "without annotations"):
        assert what in told
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif("ACTLINE_REAL" not in os.environ, reason="ACTLINE_REAL names no folder")
def test_real_charades_is_read_as_its_readme_counts():
    found = read_annotations(Path(os.environ["ACTLINE_REAL"]) / "charades.json")
    assert len(found.videos) == 9848
    assert len(found.classes) == 157
    assert sum(not video.activities for video in found.videos) == 223
