"""The report in a real browser: it plays and seeks, and asks no network for anything."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from report_samples import CLASSES, encode_video, sample_timeline, sample_truth

from actline.reporting.html import MetricsTable, ReportedVideo, write_report
from actline.timeline import Activity, Timeline

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on the PATH"),
]


class Visit:
    """One page open in the browser, with all that it complained of and asked for."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on(
            "console",
            lambda message: (
                message.type in ("error", "warning") and self.complaints.append(message.text)
            ),
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def value(self, expression: str) -> Any:
        return self.page.evaluate(expression)

    def until(self, expression: str, *, seconds: float = 20) -> None:
        """Wait until `expression` is true; the page's own policy forbids Playwright's way."""
        end = time.monotonic() + seconds
        while not self.value(expression):
            assert time.monotonic() < end, f"never true: {expression}"
            self.page.wait_for_timeout(50)

    def click(self, selector: str, *, share: float = 0.5) -> None:
        """Click on an element at a share of its width."""
        element = self.page.locator(selector)
        element.scroll_into_view_if_needed()
        box = element.bounding_box()
        self.page.mouse.click(box["x"] + box["width"] * share, box["y"] + box["height"] / 2)

    def time(self) -> float:
        return self.value("document.getElementById('video').currentTime")

    def playhead(self) -> float:
        """Where the playhead is on the track, 0 to 1."""
        track = self.page.locator("#ruler").bounding_box()
        head = self.page.locator("#lanes > .playhead").bounding_box()
        return (head["x"] + head["width"] / 2 - track["x"]) / track["width"]

    def untroubled(self) -> bool:
        foreign = [url for url in self.requests if not url.startswith(("file:", "data:", "blob:"))]
        return self.complaints == [] and foreign == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Visit]]:
    contexts = []

    def open_page(
        path: Path, *, width: int = 1280, height: int = 900, scheme: str = "light"
    ) -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
        )
        context.route("http*://**", lambda route: route.abort())
        contexts.append(context)
        visit = Visit(context.new_page())
        visit.page.goto(path.as_uri())
        return visit

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    first, second = sample_timeline(), sample_timeline("hall", duration=5.0, seed=1)
    many = tuple(
        Activity(f"class {number % 30}", number * 3.0, number * 3.0 + 5) for number in range(1000)
    )
    table = MetricsTable(
        "Held-out videos",
        "per-frame mAP",
        ("model", "mAP"),
        (("Coarse-Fine", 58.7), ("chance", 9.8)),
        per_class=tuple((label, 80.0 - 9 * at) for at, label in enumerate(CLASSES)),
    )
    return write_report(
        folder / "report.html",
        timelines=[
            ReportedVideo(first, encode_video(folder / "kitchen.mp4"), sample_truth(first)),
            ReportedVideo(second, encode_video(folder / "hall.mp4", seconds=5.0)),
            ReportedVideo(Timeline("a long one", 3005.0, many), None, many),
            ReportedVideo(Timeline("nothing in it", 10.0, ())),
        ],
        metrics=[table],
    )


def playing(visit: Visit, duration: float) -> None:
    visit.until("document.getElementById('video').readyState >= 2")
    found = visit.value("document.getElementById('video').duration")
    assert found == pytest.approx(duration, abs=0.11)


def test_a_click_in_the_middle_of_the_timeline_seeks_there(
    report: Path, visit: Callable[..., Visit], tmp_path: Path
):
    open_page = visit(report)
    playing(open_page, 8.0)
    open_page.click("#ruler")
    open_page.until("!document.getElementById('video').seeking")
    assert open_page.time() == pytest.approx(4.0, abs=0.1)
    assert open_page.playhead() == pytest.approx(0.5, abs=0.01)
    picture = tmp_path / "report.png"
    open_page.page.screenshot(path=picture, full_page=True)
    assert picture.stat().st_size > 50_000
    assert open_page.untroubled(), (open_page.complaints, open_page.requests)


def test_a_click_on_an_activity_goes_to_its_start(report: Path, visit: Callable[..., Visit]):
    open_page = visit(report)
    playing(open_page, 8.0)
    bar = open_page.page.locator(".span.predicted").nth(1)
    start = float(bar.get_attribute("data-start"))
    bar.click()
    open_page.until("!document.getElementById('video').seeking")
    assert open_page.time() == pytest.approx(start, abs=0.05)
    label = bar.get_attribute("data-label")
    assert label in open_page.page.locator("#active").inner_text()
    assert open_page.page.locator("#class-choice").input_value() == label


def test_the_playhead_moves_with_the_video_and_keys_work(report: Path, visit: Callable[..., Visit]):
    open_page = visit(report)
    playing(open_page, 8.0)
    keyboard = open_page.page.keyboard
    keyboard.press("ArrowRight")
    open_page.until("document.getElementById('video').currentTime === 1")
    keyboard.press("Shift+ArrowRight")
    open_page.until("document.getElementById('video').currentTime === 6")
    keyboard.press("ArrowLeft")
    open_page.until("document.getElementById('video').currentTime === 5")
    keyboard.press("Space")
    open_page.until("document.getElementById('video').currentTime > 5.3")
    assert open_page.playhead() > 0.64
    keyboard.press("Space")
    assert open_page.value("document.getElementById('video').paused")


def test_the_selector_shows_the_other_videos(report: Path, visit: Callable[..., Visit]):
    open_page = visit(report)
    playing(open_page, 8.0)
    open_page.page.select_option("#video-choice", label="hall")
    playing(open_page, 5.0)
    assert not open_page.page.locator("[data-truth]").is_visible()
    open_page.page.click("#next-video")
    open_page.until("document.getElementById('of').textContent.includes('50:05')")
    assert open_page.page.locator(".span").count() == 2000
    assert open_page.page.locator("#note").inner_text() == "The video's file is not at hand."
    open_page.click("#ruler", share=0.25)
    assert open_page.playhead() == pytest.approx(0.25, abs=0.01)
    open_page.page.click("#next-video")
    assert open_page.page.locator("#no-rows").is_visible()
    open_page.page.click("#next-video")
    playing(open_page, 8.0)
    assert open_page.untroubled(), (open_page.complaints, open_page.requests)


def test_zooming_keeps_a_click_and_its_time_together(report: Path, visit: Callable[..., Visit]):
    open_page = visit(report)
    playing(open_page, 8.0)
    open_page.click("#ruler")
    open_page.page.click("#zoom-in")
    open_page.click("#ruler", share=0.75)  # 2 s to 6 s are in view
    open_page.until("!document.getElementById('video').seeking")
    assert open_page.time() == pytest.approx(5.0, abs=0.1)
    open_page.page.click("#zoom-fit")
    assert open_page.playhead() == pytest.approx(5 / 8, abs=0.02)


def test_the_curve_tells_the_probability_under_the_pointer(
    report: Path, visit: Callable[..., Visit]
):
    open_page = visit(report)
    playing(open_page, 8.0)
    open_page.page.select_option("#class-choice", CLASSES[3])
    chart = open_page.page.locator("#chart")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    open_page.page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 50)
    assert open_page.page.locator("#readout").inner_text() == f"{CLASSES[3]} · 0:02.00 · 0.01"
    open_page.page.select_option("#class-choice", CLASSES[0])
    open_page.page.locator("#threshold").fill("0.95")
    assert "never above it" in open_page.page.locator("#above").inner_text()
    open_page.page.locator("#threshold").fill("0.5")
    assert "above it once" in open_page.page.locator("#above").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1600])
def test_the_page_fits_every_width_in_both_themes(
    report: Path, visit: Callable[..., Visit], tmp_path: Path, width: int, scheme: str
):
    open_page = visit(report, width=width, scheme=scheme)
    playing(open_page, 8.0)
    assert open_page.value("document.documentElement.scrollWidth") <= width
    ground = open_page.value("getComputedStyle(document.body).backgroundColor")
    red = int(ground.removeprefix("rgb(").split(",")[0])
    assert (red < 60) == (scheme == "dark")
    open_page.page.click("#theme")
    assert open_page.value("getComputedStyle(document.body).backgroundColor") != ground
    open_page.page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert open_page.untroubled(), (open_page.complaints, open_page.requests)


def test_a_linked_video_plays_from_beside_the_page(visit: Callable[..., Visit], tmp_path: Path):
    folder = tmp_path / "my videos"
    folder.mkdir()
    video = encode_video(folder / "kitchen #1.mp4")
    page = write_report(
        tmp_path / "report.html",
        timelines=[ReportedVideo(sample_timeline(), video)],
        embed_video=False,
    )
    open_page = visit(page)
    playing(open_page, 8.0)
    open_page.click("#ruler")
    open_page.until("Math.abs(document.getElementById('video').currentTime - 4) < 0.1")
    assert open_page.untroubled(), (open_page.complaints, open_page.requests)


def test_a_video_that_is_gone_leaves_its_frames_to_look_at(
    visit: Callable[..., Visit], tmp_path: Path
):
    video = encode_video(tmp_path / "kitchen.mp4")
    page = write_report(
        tmp_path / "report.html",
        timelines=[ReportedVideo(sample_timeline(), video)],
        embed_video=False,
    )
    video.unlink()
    open_page = visit(page)
    open_page.until("!document.getElementById('still').hidden")
    first = open_page.value("document.getElementById('still').src")
    open_page.click("#ruler", share=0.9)
    assert open_page.value("document.getElementById('still').src") != first
    assert open_page.playhead() == pytest.approx(0.9, abs=0.01)
