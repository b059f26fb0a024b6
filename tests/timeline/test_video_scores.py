"""Class scores of whole videos are read as TCANet's code reads them, or refused."""

import json
import math
import os
from pathlib import Path

import pytest

from actline.errors import PredictionError
from actline.timeline.video_scores import read_video_scores

REAL = Path(os.environ.get("ACTLINE_REAL", "/nonexistent"))


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def labelled(*pairs: tuple[object, object]) -> dict[str, object]:
    return {"version": "1", "results": {"v": [{"label": la, "score": s} for la, s in pairs]}}


def test_labelled_probabilities_stay_as_they_are(tmp_path):
    given = labelled(("Ballet", 0.01), ("Archery", 0.9), ("Rafting", 0.05), ("Zumba", 0.04))
    path = write(tmp_path / "s.json", given)
    assert read_video_scores(path) == {
        "v": (("Archery", 0.9), ("Rafting", 0.05), ("Zumba", 0.04)),
    }
    assert read_video_scores(path, top=1) == {"v": (("Archery", 0.9),)}


@pytest.mark.parametrize("nested", [True, False])
def test_scores_of_all_classes_go_through_a_sharpened_softmax(tmp_path, nested):
    row = [1.0, -2.0, 3.0, 0.5]
    content = {"class": ["a", "b", "c", "d"], "results": {"v": [row] if nested else row}}
    found = read_video_scores(write(tmp_path / "s.json", content))["v"]
    assert [label for label, _ in found] == ["c", "a", "d"]
    total = sum(math.exp(2 * score) for score in row)
    assert found[0][1] == pytest.approx(math.exp(6) / total)
    plain = read_video_scores(tmp_path / "s.json", temperature=1.0, top=4)["v"]
    assert sum(score for _, score in plain) == pytest.approx(1)


def test_large_scores_do_not_overflow(tmp_path):
    content = {"class": ["a", "b"], "results": {"v": [[1e4, -1e4]]}}
    path = write(tmp_path / "s.json", content)
    assert read_video_scores(path) == {"v": (("a", 1.0), ("b", 0.0))}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (labelled(("a", 0.9), ("b", 0.8)), "not probabilities of one class each"),
        (labelled(("a", 7.5), ("b", -3.0)), r"not probabilities .*-3 to 7.5"),
        (labelled(("a", "NaN")), "score 'NaN' is not a finite number"),
        (labelled(("a", None)), "score None is not a finite number"),
        (labelled(("a", 0.5), ("a", 0.1)), "a label appears twice"),
        (labelled((["a"], 0.5)), "is not a label"),
        ({"results": {"v": [{"label": "a"}]}}, "has no label or no score"),
        ({"results": {"v": []}}, "is not a list of scores"),
        ({"results": {"v": [[0.1, 0.2]]}}, "the file names no classes"),
        ({"class": ["a"], "results": {"v": [[0.1, 0.2]]}}, "2 scores for 1 classes"),
        ({"class": ["a", "a"], "results": {"v": [[0.1, 0.2]]}}, 'class "a" appears twice'),
        ({"class": "ab", "results": {"v": [[0.1, 0.2]]}}, "is not a list of names"),
        ({"results": {}}, "no results by video"),
        ({"database": {}}, "no results by video"),
        ("[]", "no results by video"),
        ('{"results": {"v": [', "the file is cut off"),
        ("", "is empty"),
    ],
)
def test_a_malformed_file_is_refused_in_one_line(tmp_path, content, said):
    path = write(tmp_path / "s.json", content)
    with pytest.raises(PredictionError, match=said) as caught:
        read_video_scores(path)
    assert "s.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_too_large_for_the_memory_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "s.json"
    with path.open("wb") as file:
        file.truncate(513 << 20)  # takes no room on the disk
    with pytest.raises(PredictionError, match=r"513 MiB.* more than the 512 .*text_mib"):
        read_video_scores(path)
    with pytest.raises(PredictionError, match="no class scores at"):
        read_video_scores(tmp_path / "none.json")


@pytest.mark.skipif("ACTLINE_REAL" not in os.environ, reason="ACTLINE_REAL names no folder")
def test_real_hacs_scores_are_three_probabilities_a_video():
    found = read_video_scores(REAL / "hacs_video_classes.json")
    assert len(found) == 5970
    assert {len(pairs) for pairs in found.values()} == {3}
