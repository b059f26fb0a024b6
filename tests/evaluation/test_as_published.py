"""`actline evaluate` on other people's files: what is scored, and what is said of it."""

import json
import re
from pathlib import Path

import pytest

from actline.cli.main import main

WRONG = "video_test_0000270"
OTHER = "video_test_0000004"


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def thumos14(folder: Path, *, durations: bool = False) -> Path:
    """Two test videos; one has an activity past its end, one twice, and one is 270."""
    tests = folder / "annotation"
    write(tests / "Diving_test.txt", f"{OTHER} 1 5\n{OTHER} 30 40\n{OTHER} 1 5\n{WRONG} 1 3\n")
    write(tests / "HammerThrow_test.txt", f"{OTHER} 10 20\n")
    write(tests / "Ambiguous_test.txt", f"{OTHER} 50 60\n")
    write(folder / "detclasslist.txt", "26 Diving\n36 HammerThrow\n")
    if durations:
        write(folder / "test_durations.txt", f"{OTHER}.mp4\n33.0\n{WRONG}.mp4\n100.0\n")
    return folder


SUBMISSION = (
    f"{OTHER}.mp4 1 5 26 0.9\n{OTHER} 30 40 26 0.8\n{OTHER} 10 20 36 0.7\n{OTHER} 51 52 26 0.95\n"
)


def score(tmp_path: Path, *command: object) -> float:
    out = tmp_path / "out.json"
    assert main(["evaluate", *map(str, command), "--out", str(out)]) == 0
    return json.loads(out.read_text())["mean"]


def test_a_submission_of_the_toolkit_is_scored_with_its_numbers(tmp_path, capsys):
    data = thumos14(tmp_path / "thumos14")
    given = write(tmp_path / "submission.txt", SUBMISSION)
    # Of Diving two of four, one of which is there twice and one of which is video 270's.
    expected = (2 / 4 + 1) / 2
    for protocol in ("thumos-toolkit", "thumos-toolkit-wide"):
        assert score(tmp_path, given, data, "--protocol", protocol) == pytest.approx(expected)
    printed = capsys.readouterr().out
    assert "1 activities that appear twice" in printed
    assert re.search(r"0\.10 ┃ +0\.20 ┃ +0\.30 ┃", printed)
    # The same from annotations that hold no list, as the challenge numbers its classes.
    (data / "detclasslist.txt").unlink()
    assert score(tmp_path, given, data, "--protocol", "thumos-toolkit") == pytest.approx(expected)


def test_durations_beside_the_annotations_change_no_score(tmp_path):
    given = write(tmp_path / "submission.txt", SUBMISSION)
    without = thumos14(tmp_path / "without")
    beside = thumos14(tmp_path / "beside", durations=True)
    for protocol in ("thumos", "thumos-wide", "thumos-toolkit"):
        scores = [
            score(tmp_path, given, data, "--protocol", protocol) for data in (without, beside)
        ]
        assert scores[0] == scores[1]


@pytest.mark.parametrize(
    ("protocol", "said", "expected"),
    [("thumos-toolkit", ("counted", "leave-out"), 4), ("thumos", ("left out", "count"), 3)],
)
def test_video_270_is_as_published_and_both_scores_are_said(
    tmp_path, capsys, protocol, said, expected
):
    done, other = said
    data = thumos14(tmp_path / "thumos14")
    given = write(tmp_path / "submission.txt", SUBMISSION)
    as_published = score(tmp_path, given, data, "--protocol", protocol)
    assert as_published == pytest.approx((2 / expected + 1) / 2)
    printed = capsys.readouterr().out
    told = re.search(rf"{WRONG}, .*: {done}; with --wrong-videos {other}: .* ([\d.]+)", printed)
    assert told is not None
    switched = score(tmp_path, given, data, "--protocol", protocol, "--wrong-videos", other)
    assert float(told[1]) == round(100 * switched, 2)
    assert switched == pytest.approx((2 / (7 - expected) + 1) / 2)


def activitynet(**videos: object) -> dict[str, object]:
    return {
        name: {"duration_second": 20.0, "annotations": rows, "duration_frame": 500}
        for name, rows in videos.items()
    }


TRUTH = [
    {"label": "run", "segment": [1, 6]},
    {"label": "run", "segment": [1, 6]},
    {"label": "run", "segment": [7, 7]},
    {"label": "run", "segment": [9, 30]},
]
FOUND = [
    {"label": "run", "score": 0.9, "segment": [1, 6]},
    {"label": "run", "score": 0.8, "segment": [9, 30]},
]


def test_annotations_without_subsets_are_scored_whole_or_by_a_table(tmp_path, capsys):
    flat = write(tmp_path / "flat.json", activitynet(v_aaaaaaaaaaa=TRUTH, v_bbbbbbbbbbb=TRUTH))
    given = write(tmp_path / "found.json", {"results": {"aaaaaaaaaaa.mp4": FOUND}})
    assert score(tmp_path, given, flat, "--protocol", "activitynet") == pytest.approx(1 / 4)
    printed = capsys.readouterr().out
    assert "all 2 videos are scored" in printed
    assert "scored as they stand, nothing left out or cut" in printed
    for told in ("2 activities that appear twice", "2 activities that do not end after"):
        assert told in printed
    subsets = write(
        tmp_path / "info.csv", "video,subset\nv_aaaaaaaaaaa,validation\nv_bbbbbbbbbbb,training\n"
    )
    command = (given, flat, "--protocol", "activitynet", "--subsets", subsets)
    assert score(tmp_path, *command) == pytest.approx(1 / 2)
    assert "all 1 video, 4 true segments" in capsys.readouterr().out


def test_numbers_without_a_list_and_of_another_list_are_refused(tmp_path, capsys):
    entry = {"subset": "validation", "annotations": TRUTH}
    data = write(tmp_path / "a.json", {"database": {"v": entry}})
    found = [{**one, "label": 3} for one in FOUND]
    given = write(tmp_path / "found.json", {"results": {"v": found}})
    command = ["evaluate", str(given), str(data), "--protocol", "activitynet"]
    assert main(command) == 1
    assert "are numbers, such as 3; give the list of class names" in (capsys.readouterr().err)
    listed = write(tmp_path / "classes.txt", "1 walk\n2 sit\n3 run\n")
    command += ["--classes", str(listed)]
    assert main(command) == 0
    assert "average mAP 50.00" in capsys.readouterr().out
    write(given, {"results": {"v": [{**one, "label": 7} for one in FOUND]}})
    assert main(command) == 1
    assert "most, such as 7, are not in the list" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("factor", "hinted"), [(1, ""), (1.3, ""), (25, "frames or snippets"), (0.02, "fractions")]
)
@pytest.mark.parametrize("protocol", ["activitynet", "proposals"])
def test_times_that_are_not_seconds_get_a_hint(tmp_path, capsys, factor, hinted, protocol):
    truth = [{"label": "run", "segment": [1, 6]}, {"label": "run", "segment": [30, 49]}]
    database = {
        name: {"subset": "validation", "duration": 50.0, "annotations": truth} for name in "abc"
    }
    data = write(tmp_path / "a.json", {"database": database})
    rows = [
        {"label": "run", "score": 0.5, "segment": [t * factor for t in one["segment"]]}
        for one in truth
    ]
    given = write(tmp_path / "found.json", {"results": dict.fromkeys("abc", rows)})
    assert main(["evaluate", str(given), str(data), "--protocol", protocol]) == 0
    printed = capsys.readouterr().out
    assert ("hint: " in printed) == bool(hinted)
    assert hinted in printed
