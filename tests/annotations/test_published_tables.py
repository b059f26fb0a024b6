"""Tables that others publish, numbers for labels, ids with endings; and the truth as listed."""

import json
from collections import Counter
from pathlib import Path

import pytest

from actline.annotations.annotations import Fault, summary
from actline.annotations.formats.thumos import AMBIGUOUS
from actline.annotations.read import read_annotations
from actline.cli.main import main
from actline.errors import AnnotationError
from actline.timeline import Activity


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


TEST, VALIDATION = "video_test_0000004", "video_validation_0000053"
TABLES = {
    "G-TAD and AFSD": (
        "video,type,type_idx,start,end,startFrame,endFrame\n"
        f"{TEST},Diving,26,11.4,12.2,342,366\n{TEST},Diving,26,0.2,1.1,6,33\n"
        f"{TEST},Ambiguous,0,5.0,6.0,150,180\n{VALIDATION},Billiards,12,1.0,2.0,30,60\n"
    ),
    "TSP": (
        "video-name,t-start,t-end,action-label,video-duration,filename,fps,video-frames,"
        "temporal-region-label\n"
        f"{TEST},11.4,12.2,Diving,33.7,{TEST}.mp4,30.0,1012,Action\n"
        f"{TEST},0.2,1.1,Diving,33.7,{TEST}.mp4,30.0,1012,Action\n"
        f"{TEST},5.0,6.0,Ambiguous,33.7,{TEST}.mp4,30.0,1012,Action\n"
        f"{TEST},1.1,11.4,,33.7,{TEST}.mp4,30.0,1012,No action\n"
        f"{VALIDATION},1.0,2.0,Billiards,20.0,{VALIDATION}.mp4,30.0,600,Action\n"
    ),
    "DAPs, SST and TURN": (
        "video-name t-init t-end f-init f-end video-duration frame-rate video-frames label-idx\n"
        f"{TEST} 11.4 12.2 342 366 33.7 30.0 1012 7\n{TEST} 0.2 1.1 6 33 33.7 30.0 1012 7\n"
        f"{TEST} 5.0 6.0 150 180 33.7 30.0 1012 -1\n{VALIDATION} 1.0 2.0 30 60 20 30.0 600 2\n"
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_published_tables_are_read(tmp_path: Path, name: str):
    found = read_annotations(write(tmp_path / "table.csv", TABLES[name]))
    assert {v.id: v.subset for v in found.videos} == {TEST: "testing", VALIDATION: "validation"}
    assert found[TEST].truth == (Activity("Diving", 11.4, 12.2), Activity("Diving", 0.2, 1.1))
    assert found[TEST].activities == found[TEST].truth[::-1]
    assert found[TEST].ambiguous == (Activity(AMBIGUOUS, 5.0, 6.0),)
    assert found[VALIDATION].activities == (Activity("Billiards", 1.0, 2.0),)
    assert {"Diving", "Billiards"} <= set(found.classes)
    assert found[TEST].duration == (None if name.startswith("G-TAD") else 33.7)


def test_a_published_table_keeps_what_one_by_hand_is_refused(tmp_path: Path):
    rows = "v,run,4,3\nv,run,5,6\nv,run,5,6\n"
    found = read_annotations(write(tmp_path / "a.csv", f"video,type,start,end\n{rows}"))
    assert [(a.start, a.end) for a in found["v"].truth] == [(4, 3), (5, 6), (5, 6)]
    assert found["v"].activities == (Activity("run", 5.0, 6.0),)
    with pytest.raises(AnnotationError, match="line 2: the end"):
        read_annotations(write(tmp_path / "b.csv", f"video,label,start,end\n{rows}"))


def test_labels_may_be_numbers_of_the_list(tmp_path: Path):
    entry = {"subset": "testing", "annotations": [{"label": 26, "segment": [0, 1]}]}
    path = write(tmp_path / "a.json", {"database": {"v": entry}})
    table = write(tmp_path / "a.csv", "video,label,start,end\nv,26,0,1\n")
    numbered = write(tmp_path / "detclasslist.txt", "7 BaseballPitch\n26 Diving\n36 HammerThrow\n")
    for given in (path, table):
        found = read_annotations(given, classes=numbered)
        assert found["v"].activities == (Activity("Diving", 0.0, 1.0),)
    bare = write(tmp_path / "classes.txt", "run\nwalk\n")
    with pytest.raises(AnnotationError, match='class "26" is not among the classes'):
        read_annotations(path, classes=bare)


@pytest.mark.parametrize(
    "content",
    [
        {"database": {"kitchen.mp4": {"subset": "test", "annotations": []}}},
        {"videos/kitchen.MOV": {"subset": "testing", "duration": 9, "actions": []}},
        "video,label,start,end,subset\nkitchen.mkv,,,,test\n",
        "id,actions,length\nkitchen.mp4,,9\n",
    ],
)
def test_an_id_with_an_ending_is_the_id_without_in_every_form(tmp_path: Path, content: object):
    write(tmp_path / "Charades_v1_classes.txt", "c000 run\n")
    found = read_annotations(write(tmp_path / "a.txt", content), classes=None)
    assert [video.id for video in found.videos] == ["kitchen"]


def test_one_video_under_two_names_is_an_error(tmp_path: Path):
    entry = {"subset": "test", "annotations": []}
    path = write(tmp_path / "a.json", {"database": {"a": entry, "videos/a.mp4": entry}})
    with pytest.raises(AnnotationError, match="video a appears twice"):
        read_annotations(path)
    problems = read_annotations(path, strict=False).problems
    assert Counter(f for p in problems for f in p.faults) == {Fault.MALFORMED: 1}


LISTED = [[5, 5], [8, 12], [1, 2], [1, 2], [3, 1], [-1, 1], [20, 30]]


def test_the_truth_stands_as_listed_beside_what_is_mended(tmp_path: Path):
    annotations = [{"label": "run", "segment": segment} for segment in LISTED]
    entry = {"subset": "validation", "duration": 10, "annotations": annotations}
    path = write(tmp_path / "a.json", {"database": {"v": entry}})
    found = read_annotations(path)
    assert [[a.start, a.end] for a in found["v"].truth] == LISTED
    assert [(a.start, a.end) for a in found["v"].activities] == [(0, 1), (1, 2), (8, 10)]
    assert len(summary(found.problems)) == 5
    # Converted to JSON it stands as listed too, and is ActivityNet's to the last field.
    out = tmp_path / "out.json"
    assert main(["data", "convert", str(path), str(out)]) == 0
    written = json.loads(out.read_text())
    assert {"version", "taxonomy", "database"} <= written.keys()
    assert [a["segment"] for a in written["database"]["v"]["annotations"]] == LISTED
    assert "run" in [node["nodeName"] for node in written["taxonomy"]]
    assert read_annotations(out)["v"].truth == found["v"].truth


@pytest.mark.parametrize("ending", ["json", "csv"])
def test_ambiguous_segments_survive_conversion_and_are_no_class(tmp_path: Path, ending: str):
    table = write(tmp_path / "table.csv", TABLES["G-TAD and AFSD"])
    out = tmp_path / f"out.{ending}"
    assert main(["data", "convert", str(table), str(out)]) == 0
    found, before = read_annotations(out), read_annotations(table)
    assert found[TEST].ambiguous == before[TEST].ambiguous
    assert found.classes == before.classes
    if ending == "json":
        entry = json.loads(out.read_text())["database"][TEST]
        assert AMBIGUOUS not in {a["label"] for a in entry["annotations"]}


def test_labels_that_differ_by_case_blanks_or_form_are_noted(tmp_path: Path, capsys):
    labels = ["Pick up", "pick up", "Pick  up", "pick\u00a0up", "caf\u00e9", "cafe\u0301", "walk"]
    rows = [f"a,{label},{n},{n + 1},training" for n, label in enumerate(labels)]
    path = write(
        tmp_path / "annotations.csv", "video,label,start,end,subset\n" + "\n".join(rows) + "\n"
    )
    assert main(["data", "check", str(path)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "note 2 labels that differ only by case, blanks or Unicode form" in printed
    assert "U+00A0" in printed
    assert '"walk"' not in printed
