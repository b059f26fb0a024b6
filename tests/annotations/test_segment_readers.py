"""ActivityNet, HACS Segments and THUMOS-14, on small files in their published forms."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from actline.annotations.annotations import Fault
from actline.annotations.formats import activitynet
from actline.annotations.formats.thumos import AMBIGUOUS
from actline.annotations.read import read_annotations, read_classes, without_videos
from actline.errors import AnnotationError
from actline.timeline import Activity

REAL = Path(os.environ.get("ACTLINE_REAL", "/nonexistent"))
needs_real = pytest.mark.skipif("ACTLINE_REAL" not in os.environ, reason="ACTLINE_REAL names none")


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def official(path: Path, **videos: object) -> Path:
    taxonomy = [{"parentName": "Root", "nodeName": "Sports", "nodeId": 1, "parentId": 0}]
    return write(path, {"version": "VERSION 1.3", "taxonomy": taxonomy, "database": videos})


def thumos14(folder: Path) -> Path:
    write(
        folder / "temporal_annotations_validation" / "Diving_val.txt",
        "video_validation_0000053  1.5 4.0\nvideo_validation_0000053  7.0 99.0\n",
    )
    tests = folder / "temporal_annotations_test"
    write(tests / "HammerThrow_test.txt", "video_test_0000270  0.4 1.5\nvideo_test_0000004  2 3\n")
    write(tests / "Diving_test.txt", "video_test_0000004  5.1 6.2\r\n")
    write(tests / "Ambiguous_test.txt", "video_test_0000004  8 9\nvideo_test_0001292  0.0 1.4\n")
    write(folder / "detclasslist.txt", "7 BaseballPitch\n26 Diving\n36 HammerThrow")
    write(
        folder / "th14_val_durations.txt", "/home/x/DATA/video_validation_0000053.mp4\n10.000000\n"
    )
    write(folder / "test_durations.txt", "video_test_0000004.mp4\n33.700000\n")
    return folder


def test_activitynet_official_form_with_unannotated_test_videos(tmp_path):
    path = official(
        tmp_path / "activity_net.v1-3.min.json",
        sJFgo9H6zNo={
            "duration": 125.07,
            "subset": "training",
            "resolution": "1920x1080",
            "url": "https://www.youtube.com/watch?v=sJFgo9H6zNo",
            "annotations": [{"segment": [12.5, 130.0], "label": "Fun sliding down"}],
        },
        V1zhqaGFY2A={"duration": 146.08, "subset": "testing", "annotations": []},
    )
    found = read_annotations(path)
    assert [(v.id, v.subset, v.duration) for v in found.videos] == [
        ("sJFgo9H6zNo", "training", 125.07),
        ("V1zhqaGFY2A", "testing", 146.08),
    ]
    assert found["sJFgo9H6zNo"].activities == (Activity("Fun sliding down", 12.5, 125.07),)
    assert found["V1zhqaGFY2A"].activities == ()
    assert [problem.faults for problem in found.problems] == [(Fault.ENDS_LATE,)]


def test_flat_activitynet_takes_its_subsets_from_video_info(tmp_path):
    entry = {"duration_second": 9.0, "annotations": [{"segment": [1, 2], "label": "Ballet"}]}
    path = write(tmp_path / "flat.json", {"v_QOlSCBRmfWY": entry})
    info = write(tmp_path / "info.csv", "video,fps,subset\nv_QOlSCBRmfWY,25,validation\n")
    found = activitynet.with_subsets(read_annotations(path), info)
    assert found["v_QOlSCBRmfWY"].subset == "validation"
    assert not found.problems
    write(info, "video,fps,subset\nv_another,25,validation\n")
    with pytest.raises(AnnotationError, match="no subset for 1 videos, such as v_QOl"):
        activitynet.with_subsets(read_annotations(path), info)


def test_hacs_segments_with_ids_as_they_are(tmp_path):
    segment = {"label": "Dodgeball", "segment": [5.4, 11.6]}
    path = official(
        tmp_path / "HACS_segments_v1.1.1.json",
        **{
            "--0edUL8zmA": {"annotations": [segment], "duration": 92.1, "subset": "training"},
            "-02oC4ZVDBY": {"annotations": [], "duration": 50.0, "subset": "testing"},
        },
    )
    found = read_annotations(path)
    assert found["--0edUL8zmA"].activities == (Activity("Dodgeball", 5.4, 11.6),)
    assert [video.subset for video in found.videos] == ["training", "testing"]


def test_listed_videos_are_left_out_with_v_or_without(tmp_path):
    videos = {
        video_id: {"duration": 9, "subset": "validation", "annotations": []}
        for video_id in ("sJFgo9H6zNo", "V1zhqaGFY2A", "PJ72Yl0B1rY")
    }
    found = read_annotations(official(tmp_path / "a.json", **videos))
    blocked = write(tmp_path / "blocked.txt", "v_sJFgo9H6zNo\n\nunknown\n")
    kept = without_videos(found, blocked)
    assert [video.id for video in kept.videos] == ["V1zhqaGFY2A", "PJ72Yl0B1rY"]
    assert [problem.video for problem in kept.problems] == ["sJFgo9H6zNo"]
    blocked = write(tmp_path / "blocked.json", ["sJFgo9H6zNo", "PJ72Yl0B1rY"])
    assert [video.id for video in without_videos(found, blocked).videos] == ["V1zhqaGFY2A"]
    with pytest.raises(AnnotationError, match="lists nothing that the annotations have"):
        without_videos(found, write(tmp_path / "other.txt", "x\n"))
    with pytest.raises(AnnotationError, match="lists all videos"):
        without_videos(found, write(tmp_path / "all.json", list(videos)))


def test_thumos14_as_published(tmp_path):
    found = read_annotations(thumos14(tmp_path))
    assert found.classes == ("BaseballPitch", "Diving", "HammerThrow")
    assert [(v.id, v.subset, v.duration) for v in found.videos] == [
        ("video_test_0000004", "testing", 33.7),
        ("video_test_0001292", "testing", None),
        ("video_validation_0000053", "validation", 10.0),
    ]
    assert found["video_test_0000004"].activities == (
        Activity("HammerThrow", 2.0, 3.0),
        Activity("Diving", 5.1, 6.2),
    )
    assert found["video_test_0000004"].ambiguous == (Activity(AMBIGUOUS, 8.0, 9.0),)
    assert found["video_test_0001292"].activities == ()
    assert found["video_validation_0000053"].activities[1] == Activity("Diving", 7.0, 10.0)
    assert [(p.video, p.what) for p in found.problems if Fault.WRONG_VIDEO in p.faults] == [
        ("video_test_0000270", "is known to be wrongly annotated: left out")
    ]
    assert "video_test_0000270" in read_annotations(tmp_path, keep_wrong=True)


def test_thumos14_of_one_subset_from_its_own_folder(tmp_path):
    found = read_annotations(thumos14(tmp_path) / "temporal_annotations_test")
    assert {video.subset for video in found.videos} == {"testing"}
    assert found.classes == ("BaseballPitch", "Diving", "HammerThrow")
    assert found["video_test_0000004"].duration == 33.7


def test_an_avoid_list_with_classes_leaves_out_those_classes_only(tmp_path):
    avoided = write(tmp_path / "test_avoid_videos.txt", "video_test_0000004 Diving\n")
    kept = without_videos(read_annotations(thumos14(tmp_path)), avoided)
    assert [a.label for a in kept["video_test_0000004"].activities] == ["HammerThrow"]
    assert len(kept.videos) == 3


def test_thumos14_json_with_segments_as_text(tmp_path):
    def annotation(label: str, start: str, end: str) -> dict[str, object]:
        return {"label": label, "segment": [start, end], "labelIndex": 11}

    path = write(
        tmp_path / "thumos14.json",
        {
            "database": {
                "video_test_0000004": {
                    "subset": "Test",
                    "duration": 33.7,
                    "annotations": [
                        annotation("Diving", "5.1", "6.2"),
                        annotation(AMBIGUOUS, "8", "9"),
                    ],
                },
                "video_test_0000270": {"subset": "Test", "duration": 176.1, "annotations": []},
            }
        },
    )
    classes = write(tmp_path / "detclasslist.txt", "7 BaseballPitch\n26 Diving")
    for listed in (None, classes):
        found = read_annotations(path, classes=listed)
        assert AMBIGUOUS not in found.classes
        (video,) = found.videos
        assert (video.subset, video.activities) == ("testing", (Activity("Diving", 5.1, 6.2),))
        assert video.ambiguous == (Activity(AMBIGUOUS, 8.0, 9.0),)
    activitynet.write_activitynet(found, tmp_path / "again.json")
    assert read_annotations(tmp_path / "again.json").videos == found.videos


def test_ambiguous_is_a_class_like_any_other_elsewhere(tmp_path):
    entry = {"subset": "training", "annotations": [{"label": AMBIGUOUS, "segment": [1, 2]}]}
    found = read_annotations(official(tmp_path / "a.json", mine=entry))
    assert found.classes == (AMBIGUOUS,)
    assert found["mine"].ambiguous == ()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("video_test_0000004  1.0", r"Diving_test.txt, line 2: .* is not a video, a start and"),
        ("video_test_0000004  1.0 x", r"Diving_test.txt, line 2: 'x' is not a number"),
        ("video_test_0000004  1.0 nan", r"line 2: 'nan' is not a finite number"),
    ],
)
def test_a_malformed_thumos14_line_is_named(tmp_path, line, said):
    folder = thumos14(tmp_path)
    path = folder / "temporal_annotations_test" / "Diving_test.txt"
    write(path, f"video_test_0000004  5.1 6.2\n{line}\n")
    with pytest.raises(AnnotationError, match=said):
        read_annotations(folder)
    found = read_annotations(folder, strict=False)
    assert Counter(f for p in found.problems for f in p.faults)[Fault.MALFORMED] == 1


def test_a_thumos14_class_that_is_not_listed_is_refused(tmp_path):
    folder = thumos14(tmp_path)
    write(folder / "detclasslist.txt", "7 BaseballPitch\n26 Diving\n")
    with pytest.raises(AnnotationError, match=r'HammerThrow_test.txt: class "HammerThrow" is not'):
        read_annotations(folder)


def test_lists_of_classes_with_numbers_that_are_names_stay_whole(tmp_path):
    names = write(tmp_path / "classes.txt", "2 people\n4 people\n")
    assert read_classes(names).names == ("2 people", "4 people")
    names = write(tmp_path / "detclasslist.txt", "7 BaseballPitch\n9 BasketballDunk")
    assert read_classes(names).names == ("BaseballPitch", "BasketballDunk")
    assert read_classes(names).numbers == {7: 0, 9: 1}


def test_a_folder_of_other_text_files_is_no_thumos14(tmp_path):
    write(tmp_path / "notes_test.txt", "buy milk\n")
    with pytest.raises(AnnotationError, match="THUMOS-14's class files"):
        read_annotations(tmp_path)


@needs_real
def test_real_thumos14_as_published_and_as_json_hold_the_same():
    published = read_annotations(REAL / "thumos14")
    assert Counter(v.subset for v in published.videos) == {"validation": 200, "testing": 212}
    assert len(published.classes) == 20
    assert sum(len(video.ambiguous) for video in published.videos) > 100
    common = read_annotations(REAL / "thumos14" / "thumos14_v2.json")
    assert Counter(v.subset for v in common.videos) == {"training": 200, "testing": 211}
    for video in common.videos:
        assert len(video.activities) == len(published[video.id].activities)


@needs_real
def test_real_activitynet_has_215_segments_that_end_late():
    found = read_annotations(REAL / "activitynet_annotations.json")
    counts = Counter(fault for problem in found.problems for fault in problem.faults)
    assert (counts[Fault.ENDS_LATE], counts[Fault.BACKWARDS], counts[Fault.TWICE]) == (215, 12, 45)
    found = activitynet.with_subsets(found, REAL / "activitynet_video_info.csv")
    assert Counter(v.subset for v in found.videos) == {
        "training": 9649,
        "validation": 4728,
        "testing": 4851,
    }
