"""A report is one file that holds everything and lets nothing in the data act as code."""

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_samples import CLASSES, encode_video, sample_timeline, sample_truth

from actline.errors import OutputError, PredictionError
from actline.reporting import html, media
from actline.reporting.html import MetricsTable, ReportedVideo, write_report
from actline.timeline import Activity, FrameScores, Timeline


class Page(HTMLParser):
    """What a browser finds in a page: data, texts, tags and addresses."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.scripts: dict[str, str] = {}
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append(tag)
        self._inside = (attributes.get("id") or "code") if tag == "script" else ""
        self.addresses += [attributes[name] or "" for name in ("src", "href") if name in attributes]

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts[self._inside] = self.scripts.get(self._inside, "") + data
        else:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    @property
    def videos(self) -> list[dict[str, Any]]:
        return json.loads(self.scripts["data"])


def report(tmp_path: Path, *shown: ReportedVideo, **options: Any) -> Page:
    return Page(write_report(tmp_path / "out" / "report.html", timelines=shown, **options))


def test_page_holds_the_video_byte_for_byte_and_no_address_of_a_network(tmp_path: Path):
    video = encode_video(tmp_path / "kitchen.mp4")
    page = report(tmp_path, ReportedVideo(sample_timeline(), video, ()))
    head, body = page.scripts["media-0"].split(",")
    assert head == "data:video/mp4;base64"
    assert base64.b64decode(body) == video.read_bytes()
    assert page.addresses == ["data:,"]
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    addresses = set(re.findall(r"(?:https?:)?//[\w.]+\.\w+", text.replace(body, "")))
    assert addresses <= {"http://www.w3.org"}  # the name of SVG's vocabulary
    assert page.videos[0]["note"] == ""


def test_frames_are_taken_where_grid_pool_looked(tmp_path: Path):
    video = encode_video(tmp_path / "kitchen.mp4")
    timeline = replace(sample_timeline(), sampled=np.array([1.0, 1.5, 2.0, 7.0]))
    (data,) = report(tmp_path, ReportedVideo(timeline, video)).videos
    assert [time for time, _ in data["frames"]] == [1.0, 1.5, 2.0, 7.0]
    assert data["sampled"] == [1.0, 1.5, 2.0, 7.0]
    for _, image in data["frames"]:
        encoded = base64.b64decode(image.removeprefix("data:image/jpeg;base64,"))
        assert encoded.startswith(b"\xff\xd8")


def test_of_many_samples_the_frames_shown_keep_their_density():
    sampled = np.concatenate([np.linspace(0, 10, 90), np.linspace(10, 100, 10)])
    times = media.frame_times_shown(Timeline("v", 100.0, (), sampled=sampled))
    assert len(times) == media.FRAMES_SHOWN
    assert (np.diff(times) >= 0).all()
    assert (times <= 10).sum() >= 12


def test_without_grid_pool_frames_are_spread_evenly():
    times = media.frame_times_shown(Timeline("v", 32.0, ()))
    np.testing.assert_allclose(np.diff(times), 2.0)


def test_curves_are_the_probabilities_by_class(tmp_path: Path):
    timeline = sample_timeline()
    (data,) = report(tmp_path, ReportedVideo(timeline)).videos
    values = np.frombuffer(base64.b64decode(data["curves"]["values"]), np.uint8)
    assert timeline.scores is not None
    np.testing.assert_allclose(
        values.reshape(len(CLASSES), -1).T / 255, timeline.scores.probabilities, atol=0.5 / 255
    )


def test_long_curves_are_pooled_by_their_largest_values(tmp_path: Path):
    times = np.arange(100_000) / 10
    probabilities = np.zeros((100_000, 2), np.float32)
    probabilities[54_321, 1] = 1  # one frame of 100 000 must stay visible
    timeline = Timeline("long", 10_000.0, (), FrameScores(("a", "b"), times, probabilities))
    (data,) = report(tmp_path, ReportedVideo(timeline)).videos
    values = np.frombuffer(base64.b64decode(data["curves"]["values"]), np.uint8).reshape(2, -1)
    assert values.shape[1] == len(data["curves"]["times"]) <= 4000
    assert values.max(axis=1).tolist() == [0, 255]
    at = data["curves"]["times"][int(values[1].argmax())]
    assert abs(at - 5432.1) < 3


def test_labels_cannot_leave_the_data(tmp_path: Path):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    timeline = Timeline(evil, 3.0, (Activity(evil, 0, 1),))
    table = MetricsTable(evil, evil, (evil,), ((evil,),), per_class=((evil, 50.0),), note=evil)
    page = report(tmp_path, ReportedVideo(timeline), metrics=[table], title=evil)
    assert "img" in page.tags  # the page's own still picture
    assert page.tags.count("img") == 1
    assert page.tags.count("script") == 2
    assert page.videos[0]["id"] == evil
    assert page.videos[0]["rows"][0]["label"] == evil


def test_every_score_names_its_protocol(tmp_path: Path):
    tables = [
        MetricsTable(
            "Held-out",
            "per-frame mAP",
            ("model", "mAP"),
            (("fine", 51.26), ("chance", None)),
            per_class=(("open", 80.0), ("close", None)),
            note="2 videos were left out",
        ),
        MetricsTable("Charades", "Charades_v1_localize", ("model", "mAP"), (("fine", 25.0),)),
    ]
    page = report(tmp_path, ReportedVideo(sample_timeline()), metrics=tables)
    assert page.text.count("per-frame mAP") == 2  # over the table, and over the classes' bars
    assert "Charades_v1_localize" in page.text
    assert "51.3" in page.text
    assert "\N{EN DASH}" in page.text
    assert "2 videos were left out" in page.text


def test_large_video_is_linked_with_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(media, "MOST_EMBEDDED", 100)
    folder = tmp_path / "my videos"
    folder.mkdir()
    video = encode_video(folder / "kitchen.mp4")
    page = report(tmp_path, ReportedVideo(sample_timeline(), video))
    assert page.videos[0]["link"] == "../my%20videos/kitchen.mp4"
    assert "linked" in page.videos[0]["note"]
    assert "media-0" not in page.scripts


def test_all_embedded_videos_together_stay_under_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    video = encode_video(tmp_path / "kitchen.mp4")
    monkeypatch.setattr(html, "MOST_EMBEDDED_TOGETHER", round(video.stat().st_size * 1.5))
    page = report(tmp_path, *[ReportedVideo(sample_timeline(), video)] * 2)
    assert "media-0" in page.scripts
    assert "media-1" not in page.scripts
    assert page.videos[1]["link"] == "../kitchen.mp4"


def test_codec_that_browsers_do_not_play_is_linked_with_a_note(tmp_path: Path):
    video = encode_video(tmp_path / "kitchen.avi", codec="mpeg4")
    (data,) = report(tmp_path, ReportedVideo(sample_timeline(), video)).videos
    assert data["link"] == "../kitchen.avi"
    assert "mpeg4" in data["note"]
    assert len(data["frames"]) == media.FRAMES_SHOWN


def test_linking_can_be_asked_for(tmp_path: Path):
    video = encode_video(tmp_path / "kitchen.mp4")
    (data,) = report(tmp_path, ReportedVideo(sample_timeline(), video), embed_video=False).videos
    assert data["link"] == "../kitchen.mp4"


def test_missing_damaged_and_absent_videos_leave_the_timeline(tmp_path: Path):
    damaged = tmp_path / "damaged.mp4"
    damaged.write_text("no video")
    folder = tmp_path / "frames"
    folder.mkdir()
    timeline = sample_timeline()
    page = report(
        tmp_path,
        ReportedVideo(timeline, tmp_path / "missing.mp4"),
        ReportedVideo(timeline, damaged),
        ReportedVideo(timeline, folder),
        ReportedVideo(timeline),
    )
    for data in page.videos:
        assert data["note"]
        assert data["frames"] == []
        assert len(data["rows"]) == 3


def test_truth_that_is_unknown_differs_from_no_activity(tmp_path: Path):
    timeline = sample_timeline()
    page = report(
        tmp_path,
        ReportedVideo(timeline),
        ReportedVideo(timeline, truth=()),
        ReportedVideo(timeline, truth=sample_truth(timeline)),
    )
    assert [data["hasTruth"] for data in page.videos] == [False, True, True]
    assert all(row["truth"] for row in page.videos[2]["rows"])


def test_no_timeline_and_no_place_to_write_are_clear_errors(tmp_path: Path):
    with pytest.raises(PredictionError, match="no predictions"):
        write_report(tmp_path / "report.html", timelines=[])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_report(
            tmp_path / "file" / "report.html", timelines=[ReportedVideo(sample_timeline())]
        )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
