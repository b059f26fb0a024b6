"""Results are read by one reader, whatever their form and whoever reads them."""

import json
import os
import re
from pathlib import Path

import pytest

from actline.annotations.read import read_annotations, read_classes
from actline.errors import ActlineError, PredictionError
from actline.parsing import annotated_id
from actline.plain import fit_to_show
from actline.stored import json_text
from actline.timeline import Activity
from actline.timeline.read import read, read_results, read_segments
from actline.timeline.video_scores import read_video_scores

ROWS = [
    ("kitchen", "open door", 1.5, 4.0, 0.75),
    ("garden", "run", 0.0, 2.0, 0.5),
    ("kitchen", "run", 9.0, 5.0, 0.5),  # ends before it starts
    ("kitchen", "run", -1.0, 3.0, 0.25),  # starts before the video
]
EXPECTED = {
    "kitchen": [Activity(label, s, e, c) for v, label, s, e, c in ROWS if v == "kitchen"],
    "garden": [Activity("run", 0.0, 2.0, 0.5)],
}


def as_json(name=lambda video: video) -> str:
    results = {}
    for video, label, start, end, score in ROWS:
        entry = {"label": label, "score": score, "segment": [start, end]}
        results.setdefault(name(video), []).append(entry)
    return json.dumps({"version": "x", "results": results, "external_data": {}})


def as_table(header: str, separator: str = ",", name=lambda video: video) -> str:
    rows = [separator.join(map(str, (name(v), *rest))) for v, *rest in ROWS]
    return "\n".join([header, *rows]) + "\n"


FORMS = {
    "results.json": as_json(),
    "endings.json": as_json(lambda video: f"videos/{video}.mp4"),
    "bom.json": "\ufeff" + as_json(),
    "results.csv": as_table("video,label,start,end,confidence"),
    "endings.csv": as_table("Video,Label,Start,End,Confidence", name=lambda v: f"{v}.MKV"),
    "published.csv": as_table("video-name,type,t-start,t-end,score"),
    "daps.csv": as_table("video_name;label;t_init;t_end;score", ";"),
}


@pytest.mark.parametrize("name", FORMS)
def test_scoring_and_showing_read_the_same_from_every_form(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_text(FORMS[name], encoding="utf-8")
    assert read_segments(path) == EXPECTED
    timelines = {timeline.video: timeline for timeline in read(path).values()}
    assert timelines.keys() == EXPECTED.keys()
    for video, timeline in timelines.items():
        assert sorted(timeline.activities, key=str) == sorted(EXPECTED[video], key=str)
    assert {t.video for t in read(tmp_path).values()} == EXPECTED.keys()


def test_a_submission_to_the_thumos_toolkit_is_read(tmp_path: Path):
    path = tmp_path / "submission.txt"
    path.write_text(
        "video_test_0000004.mp4 1.2 3.4 7 0.9\n\nvideo_test_0000006\t5  6 97\t0.25\n"
        "video_test_0000004 0.0 1.0 7 0.9\n"
    )
    assert read_segments(path) == {
        "video_test_0000004": [Activity("7", 1.2, 3.4, 0.9), Activity("7", 0.0, 1.0, 0.9)],
        "video_test_0000006": [Activity("97", 5.0, 6.0, 0.25)],
    }
    assert len(tuple(read(path).values())) == 2


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.txt", "0.000000\t1.500000\trun\n", "Audacity labels.* keeps no scores"),
        ("a.txt", "0.000000 1.500000 run\n", "line 1: .* is not a video, start, end"),
        ("a.txt", "v 0 1 7 0.5\nv 0 x 7 0.5\n", "line 2: 'x' is not a number"),
        ("a.txt", "v 0 1 7 nan\n", "line 1: score 'nan' is not a finite"),
        ("a.csv", "video,label,start,end\nv,x,0,1\n", "no column confidence"),
        ("a.csv", "video,start,end,score\nv,0,1,1\n", "no column label"),
        ("a.csv", "video,label,start,end,score\nv,x,0,1\n", "line 2: 4 fields, not 5"),
        ("a.csv", "class,AP\nx,1\n", "neither JSON .* nor a table"),
        ("a.json", '{"results": {"v": [], "v.mp4": []}}', "video v appears twice"),
    ],
)
def test_what_is_malformed_is_told_with_its_place(tmp_path: Path, name, text, expected):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(PredictionError) as caught:
        read_segments(path)
    assert re.search(f"{name}.*{expected}", str(caught.value))
    assert "\n" not in str(caught.value)


def test_of_a_folder_every_prediction_is_taken_once_and_nothing_else(tmp_path: Path):
    entry = [{"label": "run", "score": 0.5, "segment": [0, 1]}]
    for video in ("a", "b"):
        (tmp_path / f"{video}.json").write_text(json.dumps({"results": {video: entry}}))
    (tmp_path / "b.csv").write_text("video,label,start,end,confidence\nb,walk,5,6,1\n")
    (tmp_path / "c.csv").write_text("video,label,start,end,confidence\nc,walk,5,6,1\n")
    (tmp_path / "classes.csv").write_text("class,AP\nrun,0.5\n")
    (tmp_path / "scores.json").write_text('{"protocol": "x", "mean": 0.5}')
    (tmp_path / "._a.json").write_bytes(b"\x00\x05\x16\x07")
    expected = {"a": "run", "b": "run", "c": "walk"}
    found = read_segments(tmp_path)
    assert {video: rows[0].label for video, rows in found.items()} == expected
    timelines = tuple(read(tmp_path).values())
    assert {t.video: t.activities[0].label for t in timelines} == expected


def test_only_what_lies_in_the_video_is_shown(tmp_path: Path):
    path = tmp_path / "results.json"
    content = json.loads(as_json())
    content["external_data"] = {"durations": {"kitchen": 3.0}}
    path.write_text(json.dumps(content))
    results = read_results(path)
    assert results.durations == {"kitchen": 3.0}
    timeline = next(t for t in read(path).values() if t.video == "kitchen")
    assert [(a.start, a.end) for a in timeline.cut_to_video().activities] == [
        (0.0, 3.0),
        (1.5, 3.0),
    ]


def test_segments_without_a_score_are_shown_but_not_scored(tmp_path: Path):
    path = tmp_path / "truth.json"
    path.write_text('{"results": {"v": [{"label": "run", "segment": [0, 1]}]}}')
    timeline = read(path).one()
    assert timeline.activities == (Activity("run", 0.0, 1.0, 1.0),)
    with pytest.raises(PredictionError, match="lacks one of label, score"):
        read_segments(path)


def test_an_id_is_the_same_with_v_and_with_the_ending_of_a_video():
    for given in ("abc", "v_abc", "abc.mp4", "v_abc.mkv", "videos/v_abc.mp4"):
        assert annotated_id(given, {"abc"}) == "abc"
        assert annotated_id(given, {"v_abc"}) == "v_abc"
    assert annotated_id("abc.d", {"abc"}) is None


@pytest.mark.parametrize("name", ["one.json", "one.csv", "one.txt"])
def test_segments_take_columns_and_not_objects(tmp_path: Path, name: str):
    count = 20_000
    rows = [("a", f"label {n % 7}", n / 7, n / 7 + 1.5, n / count) for n in range(count)]
    path = tmp_path / name
    if name.endswith("json"):
        entries = [{"label": label, "score": c, "segment": [s, e]} for _, label, s, e, c in rows]
        path.write_text(json.dumps({"results": {"a": entries}}))
    elif name.endswith("csv"):
        lines = [",".join(map(str, row)) for row in rows]
        path.write_text("\n".join(["video,label,start,end,confidence", *lines]))
    else:
        rows = [(v, label.replace(" ", "-"), s, e, c) for v, label, s, e, c in rows]
        path.write_text("\n".join(f"{v} {s} {e} {label} {c}" for v, label, s, e, c in rows))
    found = read_segments(path)["a"]
    assert list(found) == [Activity(label, s, e, c) for _, label, s, e, c in rows]
    assert found[-1] == Activity(rows[-1][1], *rows[-1][2:])
    assert found[5:8] == [Activity(label, s, e, c) for _, label, s, e, c in rows[5:8]]
    columns = (found.label, found.start, found.end, found.confidence)
    assert sum(column.nbytes for column in columns) == 28 * count
    assert len(found.names) == 7


def test_a_list_of_one_video_that_comes_in_pieces_is_whole(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(json_text, "_CHUNK", 1000)
    monkeypatch.setattr(json_text, "_LONG", 2000)
    rows = [{"label": "run", "score": 0.5, "segment": [n, n + 1]} for n in range(1000)]
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"results": {"a": rows, "b": [], "c": rows[:3]}}))
    found = read_segments(path)
    assert {video: len(one) for video, one in found.items()} == {"a": 1000, "b": 0, "c": 3}
    assert found["a"].start.tolist() == list(range(1000))
    rows[900]["score"] = "high"
    path.write_text(json.dumps({"results": {"a": rows}}))
    with pytest.raises(PredictionError, match="video a, segment 901: score 'high'"):
        read_segments(path)


UNFIT = {
    "control": "a\x1b]0;x\x07",
    "new line": "a\nb",
    "line separator": "a\u2028b",
    "override": "\u202egpj.exe",
    "isolate": "a\u2067b",
    "too long": "x" * 100_000,
}
LEADING_OUT = {
    "up": "../../up",
    "up behind": "a/../../up",
    "absolute": "/etc/passwd",
    "drive": "C:\\x",
    "backslashes": "..\\..\\up",
}
READERS = {
    "results.json": (
        lambda v, label: json.dumps(
            {"results": {v: [{"label": label, "score": 1, "segment": [0, 1]}]}}
        ),
        read_segments,
    ),
    "results.csv": (
        lambda v, label: f'video,label,start,end,confidence\n"{v}","{label}",0,1,1\n',
        read_segments,
    ),
    "activitynet.json": (
        lambda v, label: json.dumps(
            {"database": {v: {"annotations": [{"label": label, "segment": [0, 1]}]}}}
        ),
        read_annotations,
    ),
    "table.csv": (
        lambda v, label: f'video,label,start,end\n"{v}","{label}",0,1\n',
        read_annotations,
    ),
    "kinetics.csv": (
        lambda v, label: f'label,youtube_id,time_start,time_end,split\n"{label}","{v}",0,1,train\n',
        read_annotations,
    ),
    "classes.json": (
        lambda v, label: json.dumps({"results": {v: [{"label": label, "score": 1}]}}),
        read_video_scores,
    ),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("what", ["id", "label"])
def test_names_that_a_terminal_cannot_show_are_refused_by_every_reader(
    tmp_path: Path, name: str, what: str
):
    text, read = READERS[name]
    path = tmp_path / name
    path.write_text(text("a", "run"), encoding="utf-8")
    read(path)
    for kind, odd in UNFIT.items():
        path.write_text(text(*((odd, "run") if what == "id" else ("a", odd))), encoding="utf-8")
        with pytest.raises(ActlineError) as caught:
            read(path)
        assert fit_to_show(str(caught.value)), kind


@pytest.mark.parametrize("kind", LEADING_OUT)
@pytest.mark.parametrize("name", READERS)
def test_an_id_that_leads_out_of_the_folder_is_refused_by_every_reader(
    tmp_path: Path, name: str, kind: str
):
    text, read = READERS[name]
    path = tmp_path / name
    path.write_text(text(LEADING_OUT[kind], "run"))
    with pytest.raises(ActlineError, match="leads out of the folder"):
        read(path)


def test_a_list_of_classes_holds_names(tmp_path: Path):
    path = tmp_path / "classes.txt"
    for odd in UNFIT.values():
        path.write_text(f"run\n{odd.replace(chr(10), chr(6))}\n", encoding="utf-8")
        with pytest.raises(ActlineError, match=r"classes\.txt"):
            read_classes(path)


def test_thousands_of_classes_and_of_unlisted_labels_take_no_time(tmp_path: Path):
    names = [f"class {n}" for n in range(5_000)]
    (tmp_path / "classes.txt").write_text("\n".join(names))
    rows = "".join(f"v,label {n},{n},{n + 1}\n" for n in range(5_000))
    (tmp_path / "table.csv").write_text(f"video,label,start,end\n{rows}")
    found = read_annotations(tmp_path / "table.csv", classes=tmp_path / "classes.txt", strict=False)
    assert len(found.problems) == 5_000


def test_a_byte_order_mark_or_space_around_a_name_is_none_of_its_letters(tmp_path: Path):
    entry = {"label": "\ufeffrun ", "score": 1, "segment": [0, 1]}
    (tmp_path / "r.json").write_text(json.dumps({"results": {"\ufeffa ": [entry]}}))
    assert read_segments(tmp_path / "r.json") == {"a": [Activity("run", 0.0, 1.0)]}
    for content in (
        {"database": {"\ufeffa ": {"annotations": [entry]}}},
        {"\ufeffa ": {"actions": [[0, 0, 1]]}},
    ):
        (tmp_path / "a.json").write_text(json.dumps(content))
        (video,) = read_annotations(tmp_path / "a.json").videos
        assert (video.id, video.activities[0].label) in (("a", "run"), ("a", "c000"))
    (tmp_path / "c.txt").write_text("walk\n\ufeff \ufeffrun\n", encoding="utf-8")
    assert read_classes(tmp_path / "c.txt").names == ("walk", "run")
    (tmp_path / "c.txt").write_text("c000 walk\n\ufeffc001 \ufeff run\n", encoding="utf-8")
    assert read_classes(tmp_path / "c.txt").names == ("walk", "run")
    scores = [{"label": "\ufeffrun ", "score": 1}]
    (tmp_path / "s.json").write_text(json.dumps({"results": {"\ufeffa ": scores}}))
    assert read_video_scores(tmp_path / "s.json") == {"a": (("run", 1.0),)}
    (tmp_path / "s.json").write_text(json.dumps({"results": {"\ufeffa ": scores, "a": scores}}))
    with pytest.raises(PredictionError, match="video a appears twice"):
        read_video_scores(tmp_path / "s.json")


def test_results_through_a_pipe_are_refused_and_not_waited_for(tmp_path: Path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes with names")
    (tmp_path / "found").mkdir()
    path = tmp_path / "found" / "a.json"
    os.mkfifo(path)
    for given in (path, tmp_path / "found"):
        with pytest.raises(PredictionError, match=r"a\.json is not a regular file"):
            read_segments(given)
