"""`actline evaluate` of segments and proposals, run on files as a person has them."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.cli import evaluate
from actline.cli.main import main
from actline.evaluation import detection_errors as errors
from actline.evaluation import proposals, segments
from actline.evaluation.protocols import PROTOCOLS, PrecisionProtocol
from actline.timeline import Activity, FrameScores, Timeline
from actline.timeline.read import read_segments
from actline.timeline.write import save_formats

FORMULA = '=HYPERLINK("x")'
CLASSES = (FORMULA, "[bold]jump", "throw")
SUBSETS = ("validation", "validation", "validation", "validation", "training", "testing")


class Kit:
    """Annotations of six videos, four of them for validation, and results for all of them."""

    def __init__(self, folder: Path) -> None:
        random = np.random.default_rng(5)
        self.folder = folder
        self.database: dict[str, Any] = {}
        self.results: dict[str, list[dict[str, Any]]] = {}
        for number, subset in enumerate(SUBSETS):
            truth, found = [], []
            for label in CLASSES[: 2 + number % 2]:
                start = float(random.uniform(0, 60))
                end = start + float(random.uniform(8, 40))
                truth.append({"label": label, "segment": [start, end]})
                for spread in (0.5, 3, 10):
                    near = [start + random.normal(0, spread), end + random.normal(0, spread)]
                    found.append({"label": label, "score": random.random(), "segment": near})
            found.append({"label": "throw", "score": random.random(), "segment": [100.0, 110.0]})
            name = f"video{number}"
            self.database[name] = {"subset": subset, "duration": 120.0, "annotations": truth}
            self.results[name] = found

    @property
    def annotations(self) -> Annotations:
        videos = tuple(
            AnnotatedVideo(
                name,
                video["subset"],
                video["duration"],
                tuple(Activity(a["label"], *a["segment"]) for a in video["annotations"]),
            )
            for name, video in self.database.items()
            if video["subset"] == "validation"
        )
        return Annotations(tuple(sorted(CLASSES)), videos)

    def found(self, *names: str) -> dict[str, list[Activity]]:
        return {
            name: [Activity(r["label"], *r["segment"], r["score"]) for r in self.results[name]]
            for name in names or [video.id for video in self.annotations.videos]
        }

    def run(self, *options: str, results: Any = None, protocol: str = "activitynet") -> int:
        database = {"version": "x", "database": self.database}
        (self.folder / "annotations.json").write_text(json.dumps(database))
        document = {"version": "x", "results": self.results, "external_data": {"used": False}}
        given = self.folder / "results.json"
        given.write_text(results if isinstance(results, str) else json.dumps(results or document))
        return main(
            [
                "evaluate",
                str(given),
                str(self.folder / "annotations.json"),
                "--protocol",
                protocol,
                "--subset",
                "validation",
                *options,
            ]
        )


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed; every line that a person reads in one piece."""
    return capsys.readouterr().out


def test_the_command_offers_every_protocol():
    assert tuple(one.name for one in PROTOCOLS) == evaluate.PROTOCOLS


OF_SEGMENTS = [one for one in PROTOCOLS if isinstance(one, PrecisionProtocol)]


@pytest.mark.parametrize("protocol", OF_SEGMENTS, ids=lambda one: one.name)
def test_every_segment_protocol_gives_the_librarys_numbers(kit, capsys, protocol):
    name = protocol.name
    out = kit.folder / "out.json"
    assert kit.run("--out", str(out), protocol=name) == 0
    score = segments.detection_average_precision(kit.annotations, kit.found(), protocol.matching)
    written, printed = json.loads(out.read_text()), said(capsys)
    assert written["mean"] == written["mean_available"] == score.average
    assert written["mean_at"] == score.mean.tolist()
    assert written["thresholds"] == list(score.thresholds)
    by_label = {row["label"]: row for row in written["classes"]}
    for column, label in enumerate(score.classes):
        assert by_label[label]["at"] == pytest.approx(score.per_class[:, column].tolist())
        assert by_label[label]["activities"] == score.activities[column]
    steps = score.protocol.split("tIoU ")[1]
    assert written["protocol"] == f"per-segment mAP ({name}, tIoU {steps})"
    assert f"protocol: {written['protocol']}" in printed
    assert f"average mAP {100 * score.average:.2f}" in printed
    shown = (0.5, 0.75, 0.95) if name in ("activitynet", "hacs") else score.thresholds
    for threshold, mean in zip(score.thresholds, score.mean, strict=True):
        if round(threshold, 2) in [round(one, 2) for one in shown]:
            assert f"{threshold:.2f}" in printed
            assert f"{100 * mean:.2f}" in printed
    assert "[bold]jump" in printed  # no markup


@pytest.mark.parametrize(
    ("name", "protocol"),
    [("proposals", proposals.ACTIVITYNET), ("proposals-thumos", proposals.THUMOS)],
)
def test_proposals_need_no_labels_and_give_the_librarys_numbers(kit, capsys, name, protocol):
    score = proposals.average_recall(kit.annotations, kit.found(), protocol)
    for rows in kit.results.values():
        for row in rows:
            del row["label"]
    out, table = kit.folder / "out.json", kit.folder / "out.csv"
    assert kit.run("--out", str(out), "--csv", str(table), protocol=name) == 0
    written, printed = json.loads(out.read_text()), said(capsys)
    assert written["average_recall"] == {str(n): at for n, at in score.at.items()}
    assert written["area"] == score.area / 100
    assert written["protocol"].startswith(f"AR@AN ({name}, tIoU 0.5:0.05:")
    for number in score.at:
        assert f"AR@{number}" in printed
    assert f"AUC {score.area:.2f}" in printed
    with table.open(newline="") as file:
        rows = list(csv.reader(file))
    assert [float(row[0]) for row in rows[1:]] == score.average_numbers.tolist()
    assert [float(row[1]) for row in rows[1:]] == score.average_recall.tolist()


def test_a_folder_of_detections_is_the_file_of_their_results(kit):
    one, other, folder = (kit.folder / name for name in ("one.json", "other.json", "found"))
    for name, rows in kit.found().items():
        save_formats(Timeline(name, 120.0, tuple(rows)), folder, formats=("json",))
    (folder / "scores.json").write_text('{"protocol": "no predictions"}')
    assert kit.run("--out", str(one)) == 0
    annotations = str(kit.folder / "annotations.json")
    command = ["evaluate", str(folder), annotations, "--protocol", "activitynet"]
    assert main([*command, "--out", str(other)]) == 0  # the validation subset by default
    assert json.loads(other.read_text())["mean"] == pytest.approx(
        json.loads(one.read_text())["mean"], abs=1e-9
    )


def test_ids_may_have_v_before_them(kit):
    plain, prefixed = kit.folder / "a.json", kit.folder / "b.json"
    assert kit.run("--out", str(plain)) == 0
    renamed = {"results": {f"v_{name}": rows for name, rows in kit.results.items()}}
    assert kit.run("--out", str(prefixed), results=renamed) == 0
    one, other = (json.loads(path.read_text()) for path in (plain, prefixed))
    assert one["mean"] == other["mean"]
    assert other["coverage"]["elsewhere"] == ["v_video4", "v_video5"]
    twice = {"results": {"v_video0": kit.results["video0"], **kit.results}}
    assert kit.run(results=twice) == 1


def test_what_does_not_fit_is_told_with_its_number(kit, capsys):
    del kit.results["video1"]
    kit.results["video0"].append({"label": "dance", "score": 0.5, "segment": [0, 5]})
    kit.results["video2"].append({"label": "throw", "score": 0.99, "segment": [9, 5]})
    kit.results["nowhere"] = [{"label": "throw", "score": 1, "segment": [0, 5]}]
    out = kit.folder / "out.json"
    assert kit.run("--out", str(out)) == 0
    printed, written = said(capsys), json.loads(out.read_text())
    elsewhere = len(kit.results["video4"]) + len(kit.results["video5"])
    assert f"{elsewhere} predictions of 2 videos of other subsets, or left out" in printed
    assert "1 prediction of 1 video that ANNOTATIONS does not have (nowhere): wrong" in printed
    assert "1 prediction of classes that are not annotated (dance): not used" in printed
    assert "1 prediction with an end before the start: wrong" in printed
    assert "1 video with true segments but without predictions (video1)" in printed
    assert f"over those available: average mAP {100 * written['mean_available']:.2f}" in printed
    assert written["coverage"] == {
        "annotated": 4,
        "missing": ["video1"],
        "elsewhere": ["video4", "video5"],
        "elsewhere_predictions": elsewhere,
        "unknown": ["nowhere"],
        "unknown_predictions": 1,
        "unknown_classes": {"dance": 1},
        "backward_predictions": 1,
    }
    names = ("video0", "video2", "video3", "nowhere")
    whole = segments.detection_average_precision(kit.annotations, kit.found(*names))
    assert written["mean"] == whole.average < written["mean_available"]


def test_listed_videos_are_left_out_with_their_predictions(kit, capsys):
    (kit.folder / "blocked.json").write_text('["v_video1", "video2"]')
    out = kit.folder / "out.json"
    assert kit.run("--without", str(kit.folder / "blocked.json"), "--out", str(out)) == 0
    assert "2 videos are left out" in said(capsys)
    written = json.loads(out.read_text())
    assert written["videos"] == 2
    assert written["coverage"]["elsewhere"] == ["video1", "video2", "video4", "video5"]
    assert written["coverage"]["unknown"] == written["coverage"]["missing"] == []


@pytest.mark.parametrize("protocol", ["activitynet", "hacs", "thumos"])
def test_the_error_analysis_is_printed_and_written(kit, capsys, protocol):
    out = kit.folder / "out.json"
    assert kit.run("--errors", "--out", str(out), protocol=protocol) == 0
    printed, analysis = said(capsys), json.loads(out.read_text())["errors"]
    constants = errors.THUMOS if protocol == "thumos" else errors.ACTIVITYNET
    diagnosis = errors.diagnose(kit.annotations, kit.found(), constants)
    assert ("HACS" in analysis["protocol"]) == (protocol == "hacs")
    assert analysis["normalized"] == diagnosis.normalized
    assert [(i["kind"], i["part"], i["gain"]) for i in analysis["impacts"]] == (
        diagnosis.impact_table()[1]
    )
    assert analysis["profile"]["parts"] == diagnosis.profile.tolist()
    assert [row["activities"] for row in analysis["sensitivity"]] == [
        row.activities for row in diagnosis.sensitivity
    ]
    for expected in (analysis["protocol"], *errors.KINDS, "coverage", "length", "instances", "10G"):
        assert expected in printed


def test_an_interval_is_printed_and_written(kit, capsys):
    out = kit.folder / "out.json"
    assert kit.run("--bootstrap", "50", "--out", str(out)) == 0
    interval = json.loads(out.read_text())["interval"]
    low, high = 100 * interval["low"], 100 * interval["high"]
    expected = f"95 % interval over videos (50 bootstrap draws): {low:.2f} to {high:.2f}"
    assert expected in said(capsys)


def test_a_table_of_classes_runs_nothing_in_a_spreadsheet(kit):
    table = kit.folder / "classes.csv"
    assert kit.run("--csv", str(table)) == 0
    with table.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header[1] == "AP, per-segment mAP (activitynet, tIoU 0.5:0.05:0.95)"
    assert [row[0] for row in rows] == sorted((f"'{FORMULA}", *CLASSES[1:]), key=lambda n: n[-1])


def test_a_table_of_frames_runs_nothing_in_a_spreadsheet(kit):
    times = np.arange(0, 120, 5.0)
    for video in kit.annotations.videos:
        scores = FrameScores(
            tuple(sorted(CLASSES)), times, np.full((len(times), 3), 0.5, np.float32)
        )
        save_formats(Timeline(video.id, 120.0, (), scores), kit.folder / "found", formats=("npz",))
    kit.run()
    table = kit.folder / "classes.csv"
    command = ["evaluate", str(kit.folder / "found"), str(kit.folder / "annotations.json")]
    assert main([*command, "--subset", "validation", "--csv", str(table)]) == 0
    with table.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["class", "average precision (per-frame mAP (dense))", "chance", "frames"]
    assert [row[0] for row in rows] == [f"'{FORMULA}", "[bold]jump", "throw"]


def with_row(**changed: Any) -> str:
    """Results of one segment, of which something is changed."""
    row = {"label": "throw", "score": 0.5, "segment": [0, 5], **changed}
    return json.dumps({"results": {row.pop("video", "video0"): [row]}})


BAD = {
    "truncated": ('{"results": {"video0": [', "cut off"),
    "malformed": ('{"results": }', "not valid JSON"),
    "empty": ("", "empty"),
    "deep": ("[" * 100_000, 'no "results"'),
    "list": ("[]", 'no "results"'),
    "no results": ('{"version": "x"}', 'no "results"'),
    "results of no video": ('{"results": {}}', "no results of any video"),
    "no predictions at all": ('{"results": {"video0": [], "video1": []}}', "hold no segment"),
    "no list": ('{"results": {"video0": {}}}', "not a list"),
    "no entry": ('{"results": {"video0": [3]}}', "segment 1: 3 lacks one of"),
    "no score": ('{"results": {"video0": [{"label": "a", "segment": [0, 1]}]}}', "lacks one of"),
    "no label": ('{"results": {"video0": [{"score": 1, "segment": [0, 1]}]}}', "lacks one of"),
    "text for a time": (with_row(segment=[0, "x"]), "'x' is not a number"),
    "nothing for a time": (with_row(segment=[0, None]), "None is not a number"),
    "one time": (with_row(segment=[0]), r"not \[start, end\]"),
    "NaN time": (with_row(segment=[0, float("nan")]), "nan is not a finite"),
    "NaN score": (with_row(score=float("nan")), "score nan is not a finite"),
    "infinite score": (with_row(score=float("inf")), "score inf is not a finite"),
    "empty label": (with_row(label=" "), "is not a label"),
    "control character": (with_row(video="video\x1b0"), "is not a video's id"),
    "nothing annotated": (with_row(video="other"), "none of the 1 videos"),
    "other subset alone": (with_row(video="video4"), "none of the 1 videos"),
    "other classes alone": (with_row(label="dance"), 'predicted classes, such as "dance"'),
    "a video twice": ('{"results": {"video0": [], "video0": []}}', "twice"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_results_are_one_line_that_names_the_file(kit, capsys, case):
    text, expected = BAD[case]
    out = kit.folder / "out.json"
    assert kit.run("--out", str(out), results=text or " ") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.strip().splitlines()
    assert line.startswith("actline: ")
    assert re.search(expected, line), line
    assert not out.exists()


def test_reversed_proposals_alone_score_zero(kit, capsys):
    rows = [{"score": 0.5, "segment": [9, 5]}]
    assert kit.run(results={"results": {"video0": rows}}, protocol="proposals") == 0
    printed = said(capsys)
    assert "AUC 0.00" in printed
    assert "1 prediction with an end before the start" in printed


def test_missing_files_folders_and_too_much_are_told(kit, capsys, monkeypatch):
    kit.run()
    capsys.readouterr()
    annotations = str(kit.folder / "annotations.json")
    (kit.folder / "none").mkdir()
    for given, expected in (("gone.json", "no predictions at"), ("none", "holds no predictions")):
        command = ["evaluate", str(kit.folder / given), annotations, "--protocol", "activitynet"]
        assert main(command) == 1
        assert expected in capsys.readouterr().err
    monkeypatch.setenv("ACTLINE_LIMITS", "results_mib=1")
    with (kit.folder / "results.json").open("ab") as file:
        file.truncate(2 << 20)
    results = str(kit.folder / "results.json")
    assert main(["evaluate", results, annotations, "--protocol", "activitynet"]) == 1
    assert "2 MiB of results, more than 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("protocol", "options", "expected"),
    [
        ("proposals", ["--bootstrap", "9"], "--bootstrap is for --protocol dense"),
        ("proposals", ["--errors"], "--errors is for --protocol activitynet"),
        ("dense", ["--errors"], "--errors is for --protocol activitynet"),
        ("activitynet", ["--label-rate", "24"], "--label-rate is for --protocol dense"),
        ("activitynet", ["--submission", "x"], "--submission is for --protocol charades"),
        ("thumos", ["--min-seconds", "3"], "--min-seconds is for --protocol dense"),
        ("activitynet", ["--bootstrap", "-3"], "not a number of draws"),
        ("dense", ["--frames", "authors"], "--frames is for --protocol charades-localize"),
        ("thumos", ["--source-rate", "30"], "--source-rate is for --protocol charades-localize"),
        ("charades-localize", ["--source-rate", "-1"], "-1 is not a number above 0"),
        ("charades-localize", ["--source-rate", "nan"], "nan is not a number above 0"),
        ("charades-localize", ["--frames", "authors"], "frames are chosen already"),
    ],
)
def test_options_of_other_protocols_are_refused(kit, capsys, protocol, options, expected):
    assert kit.run(*options, protocol=protocol) == 1
    assert expected in capsys.readouterr().err


def test_labels_are_shared_so_that_many_segments_take_little_memory(kit):
    kit.run()
    found = read_segments(kit.folder / "results.json")
    labels = [row.label for rows in found.values() for row in rows if row.label == "throw"]
    assert len({id(label) for label in labels}) == 1
