"""Pictures of timelines are real PNG and SVG files, whatever the labels."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from report_samples import CLASSES, sample_timeline, sample_truth

from actline.errors import OutputError, PredictionError
from actline.reporting.plots import plot_timeline
from actline.reporting.rows import rows_of
from actline.timeline import Activity, Timeline


def svg_texts(path: Path) -> list[str]:
    root = ElementTree.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_png_is_a_picture_and_nothing_else_is_left(tmp_path: Path):
    timeline = sample_timeline()
    out = plot_timeline(timeline, tmp_path / "a.png", truth=sample_truth(timeline))
    with Image.open(out) as picture:
        picture.load()
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 10
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_svg_keeps_labels_as_text(tmp_path: Path):
    timeline = sample_timeline()
    texts = svg_texts(plot_timeline(timeline, tmp_path / "a.svg", truth=sample_truth(timeline)))
    for label in CLASSES[:3]:
        assert label in texts
    assert CLASSES[3] not in texts
    assert {"kitchen", "predicted", "true", "probability", "Grid Pool samples"} <= set(texts)


def test_equal_timelines_give_equal_pictures(tmp_path: Path):
    for ending in ("svg", "png"):
        first, second = (
            plot_timeline(sample_timeline(), tmp_path / f"{name}.{ending}") for name in "ab"
        )
        assert first.read_bytes() == second.read_bytes()


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    labels=st.lists(
        st.one_of(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
            st.sampled_from(["$x^2_$", "a\nb", "<b>&", "100 % $", "\\frac{1}", "日本語"]),
        ),
        max_size=5,
    ),
    start=st.floats(0, 1e5),
    length=st.floats(0, 1e4),
)
def test_any_label_and_time_gives_valid_files(
    tmp_path: Path, labels: list[str], start: float, length: float
):
    activities = tuple(Activity(label, start, start + length) for label in labels)
    timeline = Timeline("v", start + length, activities)
    svg_texts(plot_timeline(timeline, tmp_path / "a.svg", truth=activities))
    with Image.open(plot_timeline(timeline, tmp_path / "a.png")) as picture:
        picture.load()


def test_many_classes_and_activities_still_draw(tmp_path: Path):
    activities = tuple(
        Activity(f"class {number % 157} with a name that goes on and on and on", number, number + 3)
        for number in range(1000)
    )
    with Image.open(
        plot_timeline(Timeline("long", 1003.0, activities), tmp_path / "a.png")
    ) as picture:
        assert picture.height < 10_000


def test_nothing_at_all_is_still_a_picture(tmp_path: Path):
    texts = svg_texts(plot_timeline(Timeline("empty", 0.0, ()), tmp_path / "a.svg"))
    assert "empty" in texts


def test_rows_are_in_the_order_in_which_classes_first_happen():
    timeline = Timeline("v", 9.0, (Activity("b", 2, 3), Activity("a", 4, 5)))
    truth = (Activity("c", 1, 2), Activity("a", 8, 9))
    assert rows_of(timeline, truth) == ("c", "b", "a")
    assert rows_of(timeline, None, ("a", "b", "a")) == ("a", "b")


def test_without_activities_the_most_probable_classes_are_the_rows():
    quiet = replace(sample_timeline(), activities=())
    assert set(CLASSES[:3]) < set(rows_of(quiet, None))


def test_unknown_class_and_ending_are_named(tmp_path: Path):
    with pytest.raises(PredictionError, match='"dance"'):
        plot_timeline(sample_timeline(), tmp_path / "a.png", classes=("dance",))
    with pytest.raises(OutputError, match=r"a\.gif"):
        plot_timeline(sample_timeline(), tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []
