"""Whatever others' files call videos, classes and protocols, it is shown as it is written."""

import ast
import base64
import io
import json
import re
import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from actline.cli.main import main
from actline.cli.standard import say
from actline.errors import OutputError
from actline.plain import fit_to_show, plain
from actline.progress import progress
from actline.reporting.html import ReportedVideo, write_report
from actline.reporting.metrics import read_metrics
from actline.reporting.plots import plot_timeline
from actline.timeline import Activity, FrameScores, Timeline
from actline.timeline.formats.audacity import to_audacity
from actline.timeline.formats.elan import to_elan
from actline.timeline.formats.webvtt import to_webvtt
from actline.timeline.write import save_formats

CLI = Path(__file__).parents[2] / "actline" / "cli"

# As of a class, a subset, a protocol or a video.
HOSTILE = (
    "[red]x[/red]",
    "k[/b]",
    "[link=https://a.example]x[/link]",
    "$x^{$",
    "$\\frac{1}{$",
    "_begins so",
    "<script>x</script>",
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>",
    '"><b onmouseover="x',
    "{{7*7}}{% raw %}",
    "=HYPERLINK(1)",
    "a --> b",
    "打开门 👩‍🍳 \U0001f9ff",
    "%s%n{0}",
    "\u200f\u05e9\u05dc\u05d5\u05dd",
)
# No names, but what a file of scores or a Python program may hold.
UNFIT = ("a\x1b]0;x\x07", "\u202egpj.exe", "a\nb", "a\u2028b", "\ufffe", "\x00x", "a\r\nNOTE b")


def timeline(label: str, video: str = "v") -> Timeline:
    scores = FrameScores(
        (label, "run"), np.array([0.0, 1.0]), np.array([[0.5, 0.2], [0.1, 0.9]], np.float32)
    )
    return Timeline(video, 2.0, (Activity(label, 0.0, 1.0, 0.5),), scores, np.array([0.5]))


class Page(HTMLParser):
    """The elements of a page with their attributes, and the JSON in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def elements(page: Path) -> list[tuple[str, tuple[str, ...]]]:
    parsed = Page(page.read_text(encoding="utf-8"))
    return [(tag, tuple(sorted(attributes))) for tag, attributes in parsed.elements]


@pytest.mark.parametrize("name", [*HOSTILE, *UNFIT])
def test_a_page_has_the_same_elements_whatever_names_are_in_it(tmp_path: Path, name: str):
    metrics = {
        "protocol": name,
        "kind": "segments",
        "mean": 0.5,
        "thresholds": [0.5],
        "mean_at": [0.5],
        "classes": [{"label": name, "average_precision": 0.5, "activities": 1}],
        "errors": {
            "protocol": name,
            "impacts": [{"kind": name, "part": 0.5, "gain": 0.1}],
            "profile": {"kinds": [name], "parts": [[1.0]]},
            "sensitivity": [
                {"characteristic": c, "bucket": name, "activities": 1, "recall": 1.0}
                for c in ("all", name)
            ],
        },
    }

    def page(given: str) -> Path:
        text = json.dumps(metrics).replace(json.dumps(name)[1:-1], json.dumps(given)[1:-1])
        (tmp_path / "scores.json").write_text(text)
        found = timeline(given, given)
        return write_report(
            tmp_path / f"{len(given)}.html",
            timelines=[ReportedVideo(found, None, (Activity(given, 0.0, 1.0),))],
            metrics=read_metrics(tmp_path / "scores.json"),
            title=given,
        )

    hostile = page(name)
    assert elements(hostile) == elements(page("usual name of a class, or the like"))
    parsed = Page(hostile.read_text(encoding="utf-8"))
    assert plain(name) in parsed.texts  # in the choice of videos
    assert all(fit_to_show(line) for line in hostile.read_text(encoding="utf-8").split("\n"))
    stored = next(text for text in parsed.texts if text.startswith("[{"))
    (video,) = json.loads(stored)
    assert video["rows"][0]["label"] == video["curves"]["classes"][0] == plain(name)


@pytest.mark.parametrize("ending", ["png", "svg"])
@pytest.mark.parametrize("name", [*HOSTILE, *UNFIT])
def test_pictures_hold_any_name_as_text(tmp_path: Path, name: str, ending: str):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = plot_timeline(timeline(name, name), tmp_path / f"p.{ending}")
    if ending == "svg":
        shown = [one.text for one in ElementTree.parse(out).iter() if one.text]
        assert any(plain(" ".join(name.split()))[:30] in text for text in shown)


@pytest.mark.parametrize("name", HOSTILE)
def test_commands_print_names_as_they_are(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
):
    database = {
        video: {
            "subset": subset,
            "duration": 4.0,
            "annotations": [{"label": name, "segment": [1, 2]}],
        }
        for video, subset in ((name.replace("/", "|"), "testing"), ("w", name))
    }
    annotations = tmp_path / "annotations.json"
    annotations.write_text(json.dumps({"database": database}))
    results = tmp_path / "results.json"
    row = {"label": name, "score": 0.5, "segment": [1, 2]}
    results.write_text(json.dumps({"results": {name.replace("/", "|"): [row]}}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(["data", "check", str(annotations), "--plot", str(tmp_path / "s.png")]) == 0
        shown = capsys.readouterr().out
        assert plain(name) in shown
        scored = ["--errors", "--out", str(tmp_path / "m.json"), "--csv", str(tmp_path / "m.csv")]
        protocol = ["--protocol", "thumos", *scored]
        assert main(["evaluate", str(results), str(annotations), *protocol]) == 0
        assert plain(name) in capsys.readouterr().out
        page = ["--videos", str(tmp_path), "--metrics", str(tmp_path / "m.json")]
        page += ["--annotations", str(annotations), "--out", str(tmp_path / "r.html")]
        assert main(["report", str(results), *page]) == 0
        assert main(["plot", str(results), "--out", str(tmp_path / "p.svg")]) == 0
        printed = capsys.readouterr()
        assert all(fit_to_show(line) for line in printed.err.splitlines())


@pytest.mark.parametrize("name", [*HOSTILE, *UNFIT])
def test_a_progress_bar_shows_a_name_as_text(monkeypatch: pytest.MonkeyPatch, name: str):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("TERM", "xterm")
    with progress(f"reading {name}", 2, unit="videos") as advance:
        advance(1, name)
        advance(1, name)
    without_steering = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert f"reading {plain(name)}" in without_steering
    assert plain(name, longest=60) in without_steering.replace(f"reading {plain(name)}", "")
    assert all(fit_to_show(line) for line in re.split(r"[\r\n]+", without_steering))


@pytest.mark.parametrize("name", [*HOSTILE, *UNFIT])
def test_subtitles_labels_and_tiers_keep_their_form(name: str):
    found = timeline(name)
    lines = to_webvtt(found).splitlines()
    assert len(lines) == 5
    assert sum("-->" in line for line in lines) == 1
    assert len(to_audacity(found).splitlines()) == 1
    tree = ElementTree.fromstring(to_elan(found).encode())
    assert len(list(tree.iter("ALIGNABLE_ANNOTATION"))) == 1
    assert all(fit_to_show(line.replace("\t", "")) for line in [*lines, to_audacity(found)[:-1]])


@pytest.mark.parametrize("ending", ["json", "csv", "vtt", "txt", "eaf"])
def test_halves_of_characters_are_not_written_half(tmp_path: Path, ending: str):
    found = timeline("half \ud800")
    if ending in ("vtt", "txt", "eaf"):
        (path,) = save_formats(found, tmp_path, formats=[ending])
        assert "half \\ud800" in path.read_text(encoding="utf-8")
        return
    with pytest.raises(OutputError, match="unpaired surrogates"):
        save_formats(found, tmp_path, formats=[ending])
    assert not any(path.is_file() for path in tmp_path.iterdir())


def test_numbers_beyond_all_reason_are_refused_or_dashes(tmp_path: Path):
    path = tmp_path / "m.json"
    for mean in ("1e999", "NaN", "1" + "0" * 400, "-1", "7", "true"):
        path.write_text(f'{{"protocol": "x", "mean": {mean}}}')
        with pytest.raises(Exception, match=r"m\.json"):
            read_metrics(path)
    huge = 10**400
    odd = [huge, -huge, 1e300, float("inf"), float("nan"), True, "7", None, [], {}]
    for value in odd:
        path.write_text(
            json.dumps(
                {
                    "protocol": "x",
                    "kind": "segments",
                    "mean": 0.5,
                    "mean_available": value,
                    "thresholds": [0.5, value],
                    "mean_at": [value, 0.5],
                    "videos": value,
                    "activities": value,
                    "interval": {"low": value, "high": 0.5, "level": value},
                    "coverage": {"missing": ["a"], "unknown_classes": {"b": value}},
                    "classes": [{"label": value, "average_precision": value}],
                    "errors": {
                        "protocol": "x",
                        "impacts": [{"kind": "k", "part": value, "gain": value}],
                        "sensitivity": [
                            {"characteristic": value, "bucket": value, "activities": value},
                            {
                                "characteristic": "c",
                                "bucket": "b",
                                "activities": 1,
                                "recall": value,
                            },
                        ],
                        "profile": {"kinds": ["a"], "parts": [[value]]},
                    },
                }
            )
        )
        write_report(
            tmp_path / "r.html",
            timelines=[ReportedVideo(timeline("x"))],
            metrics=read_metrics(path),
        )


def test_of_thousands_of_classes_a_page_has_the_most_probable_curves(tmp_path: Path):
    names = tuple(f"class {number}" for number in range(5000))
    probabilities = np.zeros((4000, 5000), np.float32)
    probabilities[:, 7], probabilities[:, 4321] = 0.5, 0.9
    scores = FrameScores(names, np.arange(4000.0), probabilities)
    out = write_report(
        tmp_path / "r.html",
        timelines=[ReportedVideo(Timeline("v", 4000.0, (), scores))],
        metrics=(),
    )
    assert out.stat().st_size < 8_000_000
    texts = Page(out.read_text(encoding="utf-8")).texts
    (video,) = json.loads(next(text for text in texts if text.startswith("[{")))
    assert len(video["curves"]["classes"]) == 1000
    assert {"class 7", "class 4321"} < set(video["curves"]["classes"])
    assert len(base64.b64decode(video["curves"]["values"])) == 1000 * 4000


def test_a_line_that_is_said_stays_one_line(capsys: pytest.CaptureFixture[str]):
    say("a\x1b[2Jb\nc\u202e")
    assert capsys.readouterr().out == "a\\x1b[2Jb\\nc\\u202e\n"


def test_commands_print_through_one_function():
    for path in CLI.glob("*.py"):
        if path.name in ("standard.py", "main.py"):  # which has it, and what runs before and after
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            assert not (isinstance(called, ast.Name) and called.id == "print"), (
                f"{path.name}, line {node.lineno}: print with `say`"
            )
