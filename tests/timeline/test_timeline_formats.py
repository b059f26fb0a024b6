"""Every output file keeps what its format can, and reading it back is strict."""

import csv
import html
import io
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from actline.errors import OutputError, PredictionError
from actline.parsing import shown_name
from actline.plain import plain
from actline.stored.csv_text import from_spreadsheet_safe, spreadsheet_safe
from actline.timeline import Activity, FrameScores, Timeline
from actline.timeline.formats import (
    FORMATS,
    load_folder,
    load_scores,
    load_timeline,
    load_timelines,
    parse_formats,
    save,
    to_audacity,
    to_csv,
    to_elan,
    to_json,
    to_webvtt,
)

MILLISECOND = 0.0005001  # half of one, and room for rounding

# NUL is left out: NumPy's text arrays cannot end in one.
awkward = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    st.sampled_from(
        [
            "open, close",
            'say "hi"',
            "two\nlines",
            "two\r\nlines",
            "blank\n\nline",
            "a --> b",
            "<b>&amp;</b>",
            "=HYPERLINK(1)",
            "'=1",
            "@x",
            "-1",
            "日本語 — ümlaut 🎬",
            "tab\there",
            "",
            "$x_1$ 100%",
            "label (2)",
        ]
    ),
)


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    activities = []
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, 2 * 10**9)) / 1e5  # finer than the millisecond
        length = draw(st.integers(200, 5 * 10**7)) / 1e5
        confidence = draw(st.floats(0, 1, width=32))
        activities.append(Activity(draw(awkward), start, start + length, confidence))
    activities.sort(key=lambda activity: (activity.start, activity.end))
    return Timeline("video 1", 21_000.0, tuple(activities))


@pytest.fixture
def timeline() -> Timeline:
    return Timeline(
        "clip",
        12.5,
        (
            Activity("opening", 1.0, 4.25, 0.875),
            Activity("wave", 2.0, 3.0, 0.5),
            Activity("opening", 3.5, 6.0, 0.25),
        ),
        FrameScores(
            ("opening", "wave"),
            np.array([0.0, 0.5, 1.0]),
            np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], np.float32),
        ),
        np.array([0.0, 1.5, 3.0]),
    )


def kept(timeline: Timeline) -> list[tuple[str, int, int, float]]:
    return [
        (a.label, round(a.start * 1000), round(a.end * 1000), float(np.float32(a.confidence)))
        for a in timeline.activities
    ]


def one_line(label: str) -> str:
    """What the formats that end an entry at a line's end keep of a label."""
    return plain(" ".join(label.split()))


def assert_close(ours: Timeline, original: Timeline) -> None:
    assert [a.label for a in ours.activities] == [shown_name(a.label) for a in original.activities]
    for a, b in zip(ours.activities, original.activities, strict=True):
        assert abs(a.start - b.start) < MILLISECOND
        assert abs(a.end - b.end) < MILLISECOND
        assert np.float32(a.confidence) == np.float32(b.confidence)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(timelines())
def test_json_csv_and_npz_give_back_every_label_and_time(tmp_path: Path, timeline: Timeline):
    for path in save(timeline, tmp_path, formats=("json", "npz")):
        back = load_timeline(path)
        assert (back.video, back.duration) == (timeline.video, timeline.duration)
        assert_close(back, timeline)
    (path,) = save(timeline, tmp_path, formats=("csv",))
    assert_close(load_timeline(path), timeline)


@settings(deadline=None)
@given(timelines())
def test_webvtt_cues_are_sorted_and_valid(timeline: Timeline):
    text = to_webvtt(timeline)
    header, *blocks = text.rstrip("\n").split("\n\n")
    assert header == "WEBVTT"
    cues = []
    for block in blocks:
        number, timing, payload = block.split("\n")  # three lines: no label breaks a cue
        assert number.isdigit()
        assert "-->" not in payload
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", payload)
        match = re.fullmatch(
            r"(\d\d+):([0-5]\d):([0-5]\d)\.(\d{3}) --> (\d\d+):([0-5]\d):([0-5]\d)\.(\d{3})", timing
        )
        assert match
        h, m, s, t, *end = map(int, match.groups())
        start = ((h * 60 + m) * 60 + s) * 1000 + t
        stop = ((end[0] * 60 + end[1]) * 60 + end[2]) * 1000 + end[3]
        assert start < stop
        cues.append((start, stop, html.unescape(payload).rsplit(" (", 1)[0]))
    assert [cue[:2] for cue in cues] == sorted(cue[:2] for cue in cues)
    assert sorted(cues) == sorted(
        (start, end, one_line(label)) for label, start, end, _ in kept(timeline)
    )


@settings(deadline=None)
@given(timelines())
def test_audacity_labels_are_one_line_each(timeline: Timeline):
    lines = to_audacity(timeline).split("\n")[:-1]
    read = [line.split("\t") for line in lines]
    assert [label for _, _, label in read] == [one_line(a.label) for a in timeline.activities]
    for (start, end, _), activity in zip(read, timeline.activities, strict=True):
        assert abs(float(start) - activity.start) < 1e-6
        assert abs(float(end) - activity.end) < 1e-6


@settings(deadline=None)
@given(timelines())
def test_elan_tiers_never_overlap_and_keep_everything(timeline: Timeline):
    root = ElementTree.fromstring(to_elan(timeline))
    slots = {
        slot.attrib["TIME_SLOT_ID"]: int(slot.attrib["TIME_VALUE"])
        for slot in root.iter("TIME_SLOT")
    }
    assert list(slots.values()) == sorted(slots.values())
    tiers = root.findall("TIER")
    names = [tier.attrib["TIER_ID"] for tier in tiers]
    assert len(names) == len(set(names))
    found = []
    for tier in tiers:
        last = 0
        for annotation in tier.iter("ALIGNABLE_ANNOTATION"):
            start = slots[annotation.attrib["TIME_SLOT_REF1"]]
            end = slots[annotation.attrib["TIME_SLOT_REF2"]]
            assert last <= start < end
            last = end
            found.append((annotation.findtext("ANNOTATION_VALUE") or "", start, end))
    expected = [
        (
            re.sub("[^\t\n]", lambda one: plain(one[0]), "\n".join(label.splitlines())),
            s,
            e,
        )
        for label, s, e, _ in kept(timeline)
    ]
    assert sorted(found) == sorted(expected)


def test_elan_document_has_the_parts_in_the_order_the_schema_asks(timeline: Timeline):
    root = ElementTree.fromstring(to_elan(timeline, media="/videos/my clip.mp4"))
    assert root.tag == "ANNOTATION_DOCUMENT"
    assert root.attrib["FORMAT"] == "3.0"
    assert [child.tag for child in root] == [
        "HEADER",
        "TIME_ORDER",
        "TIER",
        "TIER",
        "TIER",
        "LINGUISTIC_TYPE",
    ]
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None
    assert media.attrib["MEDIA_URL"] == "file:///videos/my%20clip.mp4"
    assert media.attrib["MIME_TYPE"] == "video/mp4"
    # The second "opening" overlaps the first.
    assert [tier.attrib["TIER_ID"] for tier in root.findall("TIER")] == [
        "opening",
        "opening (2)",
        "wave",
    ]


@given(awkward)
def test_spreadsheets_see_no_formula_and_readers_see_the_text(text: str):
    safe = spreadsheet_safe(text)
    assert not safe.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert from_spreadsheet_safe(safe) == text


def test_csv_of_a_formula_is_harmless_in_a_spreadsheet():
    text = to_csv(Timeline("v", 1.0, (Activity('=cmd|"/c calc"', 0.0, 1.0),)))
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["video", "label", "start", "end", "confidence"]
    assert rows[1] == ["v", '\'=cmd|"/c calc"', "0.0", "1.0", "1.0"]


def test_json_is_the_form_of_activitynet(timeline: Timeline):
    document = json.loads(to_json(timeline))
    assert list(document) == ["version", "results", "external_data"]
    assert document["results"]["clip"][0] == {
        "label": "opening",
        "score": 0.875,
        "segment": [1.0, 4.25],
    }
    assert document["external_data"]["durations"] == {"clip": 12.5}


def test_save_writes_all_formats_and_the_folder_reads_back_whole(
    tmp_path: Path, timeline: Timeline
):
    written = save(timeline, tmp_path / "out")
    assert [path.name for path in written] == [f"clip.{ending}" for ending in FORMATS]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        path.name for path in written
    )
    (back,) = load_folder(tmp_path / "out")
    assert_close(back, timeline)
    assert back.duration == 12.5
    assert back.scores is not None
    assert timeline.scores is not None
    assert back.scores.classes == ("opening", "wave")
    np.testing.assert_array_equal(back.scores.times, timeline.scores.times)
    np.testing.assert_array_equal(back.scores.probabilities, timeline.scores.probabilities)
    np.testing.assert_array_equal(back.sampled, [0.0, 1.5, 3.0])


def test_npz_holds_the_documented_arrays_without_pickles(tmp_path: Path, timeline: Timeline):
    (path,) = save(timeline, tmp_path, formats=("npz",))
    with np.load(path, allow_pickle=False) as stored:
        assert stored["times"].dtype == np.float64
        assert stored["probabilities"].dtype == np.float32
        assert stored["probabilities"].shape == (3, 2)
        assert stored["classes"].tolist() == ["opening", "wave"]
        assert stored["duration"].shape == ()
        assert stored["sampled"].tolist() == [0.0, 1.5, 3.0]


def test_formats_are_parsed_and_a_wrong_one_is_named():
    assert parse_formats("json, NPZ,.vtt,json") == ("json", "npz", "vtt")
    with pytest.raises(OutputError, match='"srt"; choose from json,csv'):
        parse_formats("json,srt")
    with pytest.raises(OutputError):
        parse_formats("")


def test_same_timeline_gives_the_same_bytes(tmp_path: Path, timeline: Timeline):
    for first, second in zip(
        save(timeline, tmp_path / "a"), save(timeline, tmp_path / "b"), strict=True
    ):
        assert first.read_bytes() == second.read_bytes()


def test_npz_of_the_documented_arrays_alone_is_enough(tmp_path: Path):
    path = tmp_path / "clip.npz"
    np.savez(
        path,
        times=np.array([0.0, 1.0]),
        probabilities=np.ones((2, 1), np.float32),
        classes=np.array(["a"]),
        duration=2.0,
        sampled=np.zeros(0),
    )
    timeline = load_scores(path)
    assert (timeline.video, timeline.duration, timeline.activities) == ("clip", 2.0, ())
    assert timeline.sampled is None


def test_timeline_without_scores_or_activities_survives(tmp_path: Path):
    for path in save(Timeline("empty", 3.0, ()), tmp_path, formats=("json", "csv", "npz")):
        back = load_timeline(path)
        assert back.video == "empty"
        assert back.activities == ()
        assert back.scores is None


@pytest.mark.parametrize(
    "name", ["../up", "/a", "a/", "a/../b", "", "..", "a\\b", "C:x", "a\nb", "bad\udc80name"]
)
def test_a_video_id_that_is_no_file_name_is_refused(tmp_path: Path, name: str):
    with pytest.raises(OutputError):
        save(Timeline(name, 1.0, ()), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_video_of_a_file_with_several_is_chosen_by_name(tmp_path: Path):
    path = tmp_path / "all.csv"
    path.write_text("video,label,start,end\na,x,0,1\nb,y,1,2\n")
    assert [timeline.video for timeline in load_timelines(path)] == ["a", "b"]
    assert load_timeline(path, video="b").activities == (Activity("y", 1.0, 2.0, 1.0),)
    with pytest.raises(PredictionError, match="2 videos"):
        load_timeline(path)
    with pytest.raises(PredictionError, match='no video "c"'):
        load_timeline(path, video="c")


def _json(**entry: object) -> str:
    return json.dumps({"results": {"v": [{"label": "x", "score": 1, "segment": [0, 1], **entry}]}})


def _npz(*, without: str = "", **changed: NDArray[Any]) -> Callable[[Path], None]:
    arrays = {
        "times": np.arange(2.0),
        "probabilities": np.ones((2, 1)),
        "classes": np.array(["a"]),
        **changed,
    }
    arrays.pop(without, None)
    return lambda path: np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]


class _Malicious:
    def __reduce__(self):
        return (print, ("this must never run",))


BAD = {
    "missing.json": None,
    "missing.npz": None,
    "missing.csv": None,
    "wrong.ending": "x",
    "empty.json": "",
    "text.json": "hello",
    "cut.json": '{"results": {"v": [',
    "list.json": "[]",
    "no_results.json": "{}",
    "deep.json": "[" * 100_000,
    "latin.json": b"\xff\xfe\x00",
    "not_a_list.json": '{"results": {"v": 3}}',
    "not_an_object.json": '{"results": {"v": [3]}}',
    "no_label.json": _json(label=None),
    "no_segment.json": _json(segment=None),
    "three_times.json": _json(segment=[1, 2, 3]),
    "words.json": _json(segment=["a", "b"]),
    "nan.json": _json(segment=[float("nan"), 1]),
    "endless.json": _json(segment=[0, float("inf")]),
    "no_score.json": _json(score="high"),
    "true_score.json": _json(score=True),
    "huge.json": _json(score=10**400),
    "duration.json": '{"results": {"v": []}, "external_data": {"durations": {"v": "long"}}}',
    "empty.csv": "",
    "header.csv": "a,b,c\n",
    "short.csv": "video,label,start,end\nv,x,1\n",
    "nan.csv": "video,label,start,end\nv,x,nan,1\n",
    "words.csv": "video,label,start,end,confidence\nv,x,0,1,very\n",
    "quote.csv": 'video,label,start,end\nv,"x,0,1\n',
    "text.npz": "hello",
    "empty.npz": "",
    "cut.npz": b"PK\x03\x04 and no more",
    "pickle.npz": pickle.dumps(_Malicious()),
    "object.npz": _npz(classes=np.array([_Malicious()], dtype=object)),
    "lacks_times.npz": _npz(without="times"),
    "shape.npz": _npz(probabilities=np.ones((3, 1))),
    "one_axis.npz": _npz(probabilities=np.ones(2)),
    "nan.npz": _npz(probabilities=np.full((2, 1), np.nan)),
    "words.npz": _npz(times=np.array(["a", "b"])),
    "backwards.npz": _npz(times=np.array([1.0, 0.0])),
    "numbers.npz": _npz(classes=np.array([1])),
    "segments.npz": _npz(labels=np.array(["a"])),
    "duration.npz": _npz(duration=np.array(-1.0)),
}


@pytest.mark.parametrize("name", BAD)
def test_malformed_predictions_get_one_clear_line(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
):
    path, content = tmp_path / name, BAD[name]
    if callable(content):
        content(path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.write_text(content)
    with pytest.raises(PredictionError) as caught:
        load_timeline(path)
    message = str(caught.value)
    assert name in message
    assert "\n" not in message
    assert len(message) < 400
    assert capsys.readouterr().out == ""


def test_truncated_npz_is_reported_at_every_length(tmp_path: Path, timeline: Timeline):
    (path,) = save(timeline, tmp_path, formats=("npz",))
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(PredictionError):
            load_scores(path)


def test_folder_without_predictions_says_so(tmp_path: Path):
    with pytest.raises(PredictionError, match="no predictions"):
        load_folder(tmp_path)
    with pytest.raises(PredictionError, match="no folder"):
        load_folder(tmp_path / "nowhere")
