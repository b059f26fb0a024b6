"""MultiTHUMOS' class files and JSON, on small files in their published forms."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from actline.annotations.annotations import Fault
from actline.annotations.formats import charades
from actline.annotations.formats.multithumos import CLASSES
from actline.annotations.formats.thumos import CLASSES as THUMOS_CLASSES
from actline.annotations.read import read_annotations
from actline.errors import AnnotationError
from actline.timeline import Activity

REAL = Path(os.environ.get("ACTLINE_REAL", "/nonexistent"))
needs_real = pytest.mark.skipif("ACTLINE_REAL" not in os.environ, reason="ACTLINE_REAL names none")

VALIDATION, TEST = "video_validation_0000990", "video_test_0000004"


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def published(folder: Path) -> Path:
    numbered = "\n".join(f"{number} {name}" for number, name in enumerate(CLASSES, 1))
    write(folder / "class_list.txt", numbered + "\n")
    write(folder / "README", "MultiTHUMOS extends the THUMOS '14 dataset\n")
    lines = {
        "Jump": f"{VALIDATION} 108.07 111.57\n{TEST} 0.23 0.93\n",
        "Throw": f"{TEST} 0.33 1.13\r\n{TEST} 20.0 45.0\r\n",
        "VolleyballSpiking": f"{VALIDATION} 103.6 110.4\n",
    }
    for label, text in lines.items():
        write(folder / "annotations" / f"{label}.txt", text)
    return folder


def as_json(*actions: list[object]) -> dict[str, object]:
    return {TEST: {"subset": "testing", "duration": 33.7, "actions": list(actions)}}


def test_class_files_as_published(tmp_path):
    found = read_annotations(published(tmp_path))
    assert found.classes == CLASSES
    assert [(v.id, v.subset, v.duration) for v in found.videos] == [
        (TEST, "testing", None),
        (VALIDATION, "validation", None),
    ]
    assert found[VALIDATION].activities == (
        Activity("VolleyballSpiking", 103.6, 110.4),
        Activity("Jump", 108.07, 111.57),
    )
    assert not found.problems


def test_durations_of_thumos14_beside_cut_what_ends_late(tmp_path):
    write(published(tmp_path) / "test_durations.txt", f"{TEST}.mp4\n33.7\n")
    found = read_annotations(tmp_path)
    assert found[TEST].duration == 33.7
    assert found[TEST].activities[-1] == Activity("Throw", 20.0, 33.7)
    assert [problem.faults for problem in found.problems] == [(Fault.ENDS_LATE,)]


def test_the_folder_of_class_files_alone_has_the_published_order(tmp_path):
    found = read_annotations(published(tmp_path) / "annotations")
    (tmp_path / "class_list.txt").unlink()
    assert read_annotations(tmp_path / "annotations").classes == found.classes == CLASSES


def test_thumos14_comes_first_and_the_classes_are_65():
    assert set(CLASSES[:20]) == THUMOS_CLASSES
    assert len(set(CLASSES)) == 65


def test_json_counts_its_classes_from_1(tmp_path):
    path = write(tmp_path / "multithumos.json", as_json([26, 0.23, 0.93], [36, 0.33, 1.13]))
    found = read_annotations(path)
    assert found.classes == CLASSES
    assert found[TEST].activities == (Activity("Jump", 0.23, 0.93), Activity("Throw", 0.33, 1.13))
    assert found[TEST].subset == "testing"


@pytest.mark.parametrize("numbered", [True, False])
def test_json_takes_a_list_of_classes_with_numbers_or_without(tmp_path, numbered):
    names = [f"{n} {name}" if numbered else name for n, name in enumerate(CLASSES, 1)]
    classes = write(tmp_path / "class_list.txt", "\n".join(names))
    path = write(tmp_path / "multithumos.json", as_json([1, 2, 3], [65, 0, 1]))
    found = read_annotations(path, classes=classes)
    assert [a.label for a in found[TEST].activities] == ["NoHuman", "BaseballPitch"]


def test_json_written_by_us_counts_from_0_and_is_read_so(tmp_path):
    path = write(tmp_path / "multithumos.json", as_json([1, 2, 3], [65, 0, 1]))
    found = read_annotations(path)
    charades.write_charades(found, tmp_path / "ours.json")
    classes = write(tmp_path / "classes.txt", "\n".join(CLASSES))
    assert read_annotations(tmp_path / "ours.json", classes=classes).videos == found.videos


def test_json_of_thumos14s_20_classes_is_not_taken_for_it(tmp_path):
    path = write(tmp_path / "thumos.json", as_json([1, 2, 3], [20, 0, 1]))
    assert read_annotations(path).classes[20] == "c020"


def test_json_with_a_66th_class_is_refused(tmp_path):
    path = write(tmp_path / "multithumos.json", as_json([1, 2, 3], [66, 0, 1]))
    with pytest.raises(AnnotationError, match=r'action 2 of video_test_0000004: class "c066" is'):
        read_annotations(path)


def test_reversed_and_repeated_lines_are_left_out_and_told(tmp_path):
    text = f"{TEST} 3.0 2.0\n{TEST} 4.0 5.0\n{TEST} 4.0 5.0\n"
    write(published(tmp_path) / "annotations" / "Throw.txt", text)
    found = read_annotations(tmp_path)
    assert [a.start for a in found[TEST].activities if a.label == "Throw"] == [4.0]
    assert [p.faults for p in found.problems] == [(Fault.BACKWARDS,), (Fault.TWICE,)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"{TEST} 1.0", r"Throw\.txt, line 2: .* is not a video such as video_test_0000004, a"),
        ("video_background_1 1.0 2.0", r"line 2: .* is not a video such as"),
        (f"{TEST} 1.0 x", r"Throw\.txt, line 2: 'x' is not a number; give seconds"),
        (f"{TEST} 1.0 nan", r"line 2: 'nan' is not a finite number"),
        (f"{TEST} 1.0 2.0 3.0", r"line 2: .* is not a video such as"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, said):
    path = published(tmp_path) / "annotations" / "Throw.txt"
    write(path, f"{TEST} 0.33 1.13\n{line}\n")
    with pytest.raises(AnnotationError, match=said):
        read_annotations(tmp_path)
    found = read_annotations(tmp_path, strict=False)
    assert Counter(f for p in found.problems for f in p.faults) == {Fault.MALFORMED: 1}


def test_a_class_file_that_is_no_class_empty_or_not_text_is_refused(tmp_path):
    path = published(tmp_path) / "annotations" / "Jumping.txt"
    write(path, f"{TEST} 1 2\n")
    with pytest.raises(AnnotationError, match=r'Jumping\.txt: class "Jumping" .* mean "Jump"\?'):
        read_annotations(tmp_path)
    path.unlink()
    path = write(tmp_path / "annotations" / "Throw.txt", "")
    with pytest.raises(AnnotationError, match=r"Throw\.txt is empty"):
        read_annotations(tmp_path)
    path.write_bytes(f"{TEST} 1 2 \xe9\n".encode("latin-1"))
    with pytest.raises(AnnotationError, match=r"Throw\.txt is not UTF-8"):
        read_annotations(tmp_path)


@needs_real
def test_real_multithumos_has_38623_activities_within_its_videos():
    found = read_annotations(REAL / "multithumos.json")
    assert found.classes == CLASSES
    assert Counter(v.subset for v in found.videos) == {"training": 200, "testing": 213}
    assert sum(len(v.activities) for v in found.videos) == 38623
    faults = Counter(f for p in found.problems for f in p.faults)
    assert faults == {Fault.ENDS_LATE: 65, Fault.STARTS_LATE: 60, Fault.BACKWARDS: 7}


@needs_real
def test_real_class_numbers_are_thumos14s_in_the_order_of_the_list():
    found, thumos = read_annotations(REAL / "multithumos.json"), read_annotations(REAL / "thumos14")
    for video in thumos.videos:
        own = {(a.label, round(a.start, 1)) for a in found[video.id].activities}
        same = sum((a.label, round(a.start, 1)) in own for a in video.activities)
        assert same >= len(video.activities) / 2
