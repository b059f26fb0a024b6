"""Every output file keeps what its format can, and reading it back is strict."""

import csv
import html
import io
import json
import pickle
import re
import sys
from collections.abc import Callable
from dataclasses import replace
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
from actline.timeline.formats import FORMATS
from actline.timeline.formats.audacity import to_audacity
from actline.timeline.formats.elan import to_elan
from actline.timeline.formats.frame_scores import load_scores
from actline.timeline.formats.results_csv import to_csv
from actline.timeline.formats.results_json import to_json
from actline.timeline.formats.webvtt import to_webvtt
from actline.timeline.read import read, read_segments
from actline.timeline.write import ENDINGS, parse_formats, save_formats

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
    for path in save_formats(timeline, tmp_path, formats=("json", "npz")):
        back = read(path).one()
        assert (back.video, back.duration) == (timeline.video, timeline.duration)
        assert_close(back, timeline)
    (path,) = save_formats(timeline, tmp_path, formats=("csv",))
    assert_close(read(path).one(), timeline)


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
    root = ElementTree.fromstring(to_elan(replace(timeline, media=Path("/videos/my clip.mp4"))))
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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(timelines())
def test_what_players_and_annotation_tools_show_is_read_back(tmp_path: Path, timeline: Timeline):
    """WebVTT rounds times to the millisecond and confidences to the percent; the others have none.

    An activity without a label is named by its tier in ELAN.
    """

    def flat(label: str) -> str:
        return shown_name(one_line(label))

    def tiered(label: str) -> str:
        kept = "".join(c if c in "\t\n" else plain(c) for c in "\n".join(label.splitlines()))
        return shown_name(kept)

    for ending, name in (("vtt", flat), ("txt", flat), ("eaf", tiered)):
        (path,) = save_formats(timeline, tmp_path, formats=(ending,))
        if not path.read_text().strip():
            continue  # labels of no activity are an empty file
        back = read(path).one("video 1")
        found = [(a.label, round(a.start * 1000), round(a.end * 1000)) for a in back.activities]
        wanted = [(name(label), start, end) for label, start, end, _ in kept(timeline)]
        if ending == "eaf":
            tiers = sum(not label for label, *_ in wanted)
            assert sum(label.startswith("(no name)") for label, *_ in found) >= tiers
            found = [("" if one[0].startswith("(no name)") else one[0], *one[1:]) for one in found]
        assert sorted(found) == sorted(wanted)
        if ending == "vtt":
            percents = sorted(round(100 * a.confidence) for a in timeline.activities)
            assert sorted(round(100 * a.confidence) for a in back.activities) == percents


def test_subtitles_that_others_wrote_are_read(tmp_path: Path):
    path = tmp_path / "kitchen.vtt"
    path.write_bytes(
        "\ufeffWEBVTT - a title\r\n\r\nSTYLE\r\n::cue { color: red }\r\n\r\n"
        "NOTE nothing\r\n\r\nname of the cue\r\n00:01.500 --> 01:00:04.000 align:start\r\n"
        "<v Anna>open &amp; close\r\nthe door</v>\r\n\r\n00:02.000 --> 00:03.000\r\nrun (5%)"
        "".encode()
    )
    assert read(path)["kitchen"].activities == (
        Activity("open & close the door", 1.5, 3604.0, 1.0),
        Activity("run", 2.0, 3.0, 0.05),
    )


def test_labels_that_audacity_wrote_are_read(tmp_path: Path):
    path = tmp_path / "kitchen.txt"
    path.write_text("1.000000\t2.500000\twave\n\\\t100.0\t200.0\n3.0\t3.0\t\n")
    assert read(path).one().activities == (
        Activity("wave", 1.0, 2.5),
        Activity("", 3.0, 3.0),
    )


def test_annotations_that_elan_wrote_are_read(tmp_path: Path):
    path = tmp_path / "kitchen.eaf"
    path.write_text(
        """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0">
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1500"/>
    <TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="900"/>
    <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="4000"/><TIME_SLOT TIME_SLOT_ID="ts4"/>
  </TIME_ORDER>
  <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="wave">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts3">
      <ANNOTATION_VALUE></ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts1">
      <ANNOTATION_VALUE>walk</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="words" TIER_ID="words" PARENT_REF="wave">
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a3" ANNOTATION_REF="a1">
      <ANNOTATION_VALUE>hello</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
  </TIER>
</ANNOTATION_DOCUMENT>"""
    )
    assert read(path).one().activities == (Activity("walk", 0.9, 1.5), Activity("wave", 1.5, 4.0))
    path.write_text(path.read_text().replace('TIME_SLOT_REF2="ts3"', 'TIME_SLOT_REF2="ts4"'))
    with pytest.raises(PredictionError, match=r"kitchen\.eaf, annotation a1 has no time"):
        read(path)


@pytest.mark.parametrize("ending", ["vtt", "txt", "eaf", "npz"])
def test_what_keeps_no_scores_of_segments_is_not_scored(tmp_path: Path, timeline, ending: str):
    (path,) = save_formats(timeline, tmp_path, formats=(ending,))
    assert read(path).one().activities
    with pytest.raises(PredictionError, match=rf"clip\.{ending} .* keeps no scores"):
        read_segments(path)


def test_a_file_is_told_by_its_content_and_then_by_its_ending(tmp_path: Path, timeline: Timeline):
    for index, form in enumerate(FORMATS):
        if form.write is not None:
            path = timeline.save(tmp_path / f"clip{form.endings[0]}").rename(tmp_path / f"x{index}")
            assert read(path).one().activities, form.name


def test_a_timeline_is_saved_in_the_format_of_its_ending(tmp_path: Path, timeline: Timeline):
    for ending in ENDINGS:
        assert timeline.save(str(tmp_path / f"new.{ending}")) == tmp_path / f"new.{ending}"
        (other,) = save_formats(timeline, tmp_path / "all", formats=(ending,))
        assert (tmp_path / f"new.{ending}").read_bytes() == other.read_bytes()
    with pytest.raises(OutputError, match=r"new\.srt: name a file ending in one of \.json, \.csv"):
        timeline.save(tmp_path / "new.srt")


def test_a_timeline_is_filtered_by_label_and_confidence(timeline: Timeline):
    assert [a.start for a in timeline.filter(labels=["opening"]).activities] == [1.0, 3.5]
    assert [a.start for a in timeline.filter(labels="wave").activities] == [2.0]
    assert [a.start for a in timeline.filter(min_confidence=0.5).activities] == [1.0, 2.0]
    assert timeline.filter(min_confidence=0.5).scores is timeline.scores


def test_a_timeline_becomes_a_table_of_pandas(timeline: Timeline):
    pandas = pytest.importorskip("pandas")
    table = timeline.to_pandas()
    assert list(table.columns) == ["video", "label", "start", "end", "confidence"]
    assert table["label"].tolist() == ["opening", "wave", "opening"]
    assert isinstance(table, pandas.DataFrame)
    assert Timeline("empty", 1.0, ()).to_pandas().shape == (0, 5)


def test_without_pandas_one_line_says_what_to_install(timeline: Timeline, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)  # as where it is not installed
    with pytest.raises(OutputError, match=r'tables need pandas: pip install "actline\[pandas\]"'):
        timeline.to_pandas()


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
    written = save_formats(timeline, tmp_path / "out")
    assert [path.name for path in written] == [f"clip.{ending}" for ending in ENDINGS]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        path.name for path in written
    )
    (back,) = tuple(read(tmp_path / "out").values())
    assert_close(back, timeline)
    assert back.duration == 12.5
    assert back.scores is not None
    assert timeline.scores is not None
    assert back.scores.classes == ("opening", "wave")
    np.testing.assert_array_equal(back.scores.times, timeline.scores.times)
    np.testing.assert_array_equal(back.scores.probabilities, timeline.scores.probabilities)
    np.testing.assert_array_equal(back.sampled, [0.0, 1.5, 3.0])


def test_npz_holds_the_documented_arrays_without_pickles(tmp_path: Path, timeline: Timeline):
    (path,) = save_formats(timeline, tmp_path, formats=("npz",))
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
        save_formats(timeline, tmp_path / "a"), save_formats(timeline, tmp_path / "b"), strict=True
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
    for path in save_formats(Timeline("empty", 3.0, ()), tmp_path, formats=("json", "csv", "npz")):
        back = read(path).one()
        assert back.video == "empty"
        assert back.activities == ()
        assert back.scores is None


@pytest.mark.parametrize(
    "name", ["../up", "/a", "a/", "a/../b", "", "..", "a\\b", "C:x", "a\nb", "bad\udc80name"]
)
def test_a_video_id_that_is_no_file_name_is_refused(tmp_path: Path, name: str):
    with pytest.raises(OutputError):
        save_formats(Timeline(name, 1.0, ()), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_video_of_a_file_with_several_is_chosen_by_name(tmp_path: Path):
    path = tmp_path / "all.csv"
    path.write_text("video,label,start,end\na,x,0,1\nb,y,1,2\n")
    assert [timeline.video for timeline in tuple(read(path).values())] == ["a", "b"]
    assert read(path).one("b").activities == (Activity("y", 1.0, 2.0, 1.0),)
    with pytest.raises(PredictionError, match="2 videos"):
        read(path).one()
    with pytest.raises(PredictionError, match='no video "c"'):
        read(path).one("c")


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
    "times.vtt": "WEBVTT\n\n0:1 --> 0:2\nx\n",
    "empty.vtt": "",
    "words.txt": "one\ttwo\tx\n",
    "later.txt": "0.0\t1.0\tx\none\ttwo\tx\n",
    "text.eaf": "hello",
    "cut.eaf": "<ANNOTATION_DOCUMENT><TIER>",
    "entities.eaf": '<!DOCTYPE a [<!ENTITY b "c">]><ANNOTATION_DOCUMENT>&b;</ANNOTATION_DOCUMENT>',
    "other.eaf": "<a><ANNOTATION_DOCUMENT/></a>",
    "deep.eaf": "<ANNOTATION_DOCUMENT>" * 100_000,
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
        read(path).one()
    message = str(caught.value)
    assert name in message
    assert "\n" not in message
    assert len(message) < 400
    assert capsys.readouterr().out == ""


def test_truncated_npz_is_reported_at_every_length(tmp_path: Path, timeline: Timeline):
    (path,) = save_formats(timeline, tmp_path, formats=("npz",))
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(PredictionError):
            load_scores(path)


def test_folder_without_predictions_says_so(tmp_path: Path):
    with pytest.raises(PredictionError, match="no predictions"):
        tuple(read(tmp_path).values())
    with pytest.raises(PredictionError, match="no folder"):
        tuple(read(tmp_path / "nowhere").values())
