"""`actline plot` and `actline report` from files, as a person runs them."""

import argparse
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_samples import encode_video, sample_timeline, sample_truth

from actline.cli import plot, report
from actline.cli.main import main
from actline.errors import ActlineError, AnnotationError, PredictionError, VideoError
from actline.timeline.write import save_formats


def run(command, *arguments: str | Path) -> None:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    name = command.__name__.rsplit(".", 1)[-1]
    parsed = parser.parse_args([name, *map(str, arguments)])
    parsed.run(parsed)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with `videos/`, `found/` and `annotations.csv` of two videos."""
    lines = ["video,label,start,end"]
    (tmp_path / "videos").mkdir()
    for seed, name in enumerate(["kitchen", "hall"]):
        timeline = sample_timeline(name, seed=seed)
        save_formats(timeline, tmp_path / "found")
        encode_video(tmp_path / "videos" / f"{name}.mp4")
        lines += [f'{name},"{a.label}",{a.start},{a.end}' for a in sample_truth(timeline)]
    (tmp_path / "annotations.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def page_data(page: Path) -> list[dict]:
    text = page.read_text(encoding="utf-8")
    start = text.index('id="data">') + len('id="data">')
    return json.loads(text[start : text.index("</script>", start)])


@pytest.mark.parametrize("prediction", ["kitchen.json", "kitchen.npz", "kitchen.csv"])
def test_plot_draws_a_png_from_every_form(folder: Path, prediction: str):
    out = folder / "timeline.png"
    run(plot, folder / "found" / prediction, "--out", out)
    with Image.open(out) as picture:
        picture.load()


def test_plot_takes_scores_from_beside_the_json_and_truth_from_annotations(folder: Path):
    out = folder / "timeline.svg"
    annotations = folder / "annotations.csv"
    run(plot, folder / "found/kitchen.json", "--annotations", annotations, "--out", out)
    text = out.read_text(encoding="utf-8")
    for expected in ("probability", "Grid Pool samples", ">true<", "open door"):
        assert expected in text


def test_plot_draws_the_classes_asked_for(folder: Path):
    out = folder / "timeline.svg"
    run(plot, folder / "found/kitchen.npz", "--out", out, "--classes", "never, open door")
    text = out.read_text(encoding="utf-8")
    assert "never" in text
    assert "close door" not in text


def test_plot_says_what_is_wrong(folder: Path):
    out = folder / "timeline.png"
    with pytest.raises(PredictionError, match="no_such"):
        run(plot, folder / "found/no_such.json", "--out", out)
    with pytest.raises(PredictionError, match='"dance"'):
        run(plot, folder / "found/kitchen.npz", "--out", out, "--classes", "dance")
    (folder / "others.csv").write_text("video,label,start,end\nother,x,0,1\n")
    with pytest.raises(AnnotationError, match='no video "kitchen"'):
        run(
            plot,
            folder / "found/kitchen.npz",
            "--out",
            out,
            "--annotations",
            folder / "others.csv",
        )
    assert not out.exists()


def test_report_shows_every_video_of_the_folder(folder: Path, capsys: pytest.CaptureFixture[str]):
    out = folder / "report.html"
    arguments = ["--videos", folder / "videos", "--annotations", folder / "annotations.csv"]
    run(report, folder / "found", *arguments, "--out", out)
    assert capsys.readouterr().out.strip().endswith("report.html")
    videos = page_data(out)
    assert [video["id"] for video in videos] == ["hall", "kitchen"]
    for video in videos:
        assert video["hasTruth"]
        assert video["note"] == ""
        assert len(video["sampled"]) == 24
        assert video["curves"] is not None


def test_report_shows_the_videos_asked_for_in_their_order(folder: Path):
    out = folder / "report.html"
    arguments = ["--videos", folder / "videos", "--out", out, "--video", "kitchen", "hall"]
    run(report, folder / "found", *arguments)
    assert [video["id"] for video in page_data(out)] == ["kitchen", "hall"]


def test_report_goes_on_without_a_video_that_is_missing(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    (folder / "videos" / "hall.mp4").unlink()
    out = folder / "report.html"
    run(report, folder / "found", "--videos", folder / "videos", "--out", out)
    assert "hall" in capsys.readouterr().err
    assert [bool(video["note"]) for video in page_data(out)] == [True, False]


def test_report_says_what_is_wrong(folder: Path):
    out = folder / "report.html"
    with pytest.raises(VideoError, match="nowhere"):
        run(report, folder / "found", "--videos", folder / "nowhere", "--out", out)
    with pytest.raises(PredictionError, match="no folder"):
        run(report, folder / "nowhere", "--videos", folder / "videos", "--out", out)
    arguments = ["--videos", folder / "videos", "--out", out]
    with pytest.raises(PredictionError, match='"dance"'):
        run(report, folder / "found", *arguments, "--video", "dance")
    with pytest.raises(ActlineError, match="missing"):
        run(report, folder / "found", *arguments, "--metrics", folder / "missing.json")
    assert not out.exists()


def test_report_goes_on_without_a_video_whose_scores_are_damaged(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    out = folder / "report.html"
    command = ["report", folder / "found", "--videos", folder / "videos", "--out", out]
    (folder / "found" / "kitchen.npz").write_bytes(b"PK cut")
    with pytest.raises(PredictionError, match=r"kitchen\.npz"):  # whose video is not known
        run(report, *command[1:])
    assert not out.exists()
    damage_array(folder / "found" / "hall.npz", folder / "found" / "kitchen.npz", "kitchen")
    assert main([str(part) for part in command]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "kitchen.npz" in told
    assert [video["id"] for video in page_data(out)] == ["hall"]
    out.unlink()
    assert main([*(str(part) for part in command), "--video", "kitchen"]) == 1
    assert not out.exists()


def damage_array(source: Path, target: Path, video: str) -> None:
    """Copy scores as those of another video, with an array of times that is none."""
    with zipfile.ZipFile(source) as given, zipfile.ZipFile(target, "w") as copied:
        for name in given.namelist():
            if name != "video.npy":
                copied.writestr(name, b"cut" if name == "times.npy" else given.read(name))
        written = io.BytesIO()
        np.save(written, np.array(video))
        copied.writestr("video.npy", written.getvalue())


def test_what_evaluate_scores_is_drawn_and_shown_where_it_lies_in_the_video(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    rows = [
        {"label": "walk", "score": 0.9, "segment": [3, 1]},
        {"label": "walk", "score": 0.8, "segment": [-1, 2]},
        {"label": 7, "score": 0.7, "segment": [0, 1]},
    ]
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"results": {"kitchen.mp4": rows}}))
    lines = tmp_path / "submission.txt"
    lines.write_text("kitchen.mp4 0 1 7 0.5\nkitchen 1 2 9 0.25\n")
    for given in (results, lines):
        run(plot, given, "--out", tmp_path / "p.png")
        page = tmp_path / "r.html"
        run(report, given, "--videos", tmp_path, "--out", page)
        (shown,) = page_data(page)
        assert (shown["id"], len(shown["rows"])) == ("kitchen", 2)  # of two classes
    assert "1 of 3 activities of video kitchen lie outside" in capsys.readouterr().err
