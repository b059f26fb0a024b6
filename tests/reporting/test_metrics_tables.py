"""Scores of `actline evaluate` become tables that name their protocol."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from actline.errors import PredictionError
from actline.evaluation.bootstrap import Interval
from actline.evaluation.frames import ClassScore, FrameScore
from actline.evaluation.predictions import Coverage
from actline.reporting.metrics import MetricsTable, read_metrics


def read(tmp_path: Path, document: object) -> tuple[MetricsTable, ...]:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(document))
    return read_metrics(path)


def result(**changed: object) -> dict[str, object]:
    """What `actline evaluate --out` writes."""
    classes = (
        ClassScore("rare", 0.1, 0.02, 9),
        ClassScore("common", 0.9, 0.3, 700),
        ClassScore("absent", 0.0, 0.0, 0),
    )
    score = FrameScore(
        protocol="per-frame mAP (dense)",
        mean=0.5,
        mean_published=0.4,
        mean_available=0.55,
        chance=0.1,
        interval=Interval(0.45, 0.55, 0.95, 1000),
        videos=20,
        frames=2400,
        classes=classes,
    )
    coverage = Coverage(annotated=22, missing=(), short=("a", "b"), unknown=())
    # Through JSON, as it is written: tuples become lists.
    return json.loads(json.dumps({**asdict(score), "coverage": asdict(coverage), **changed}))


def test_scores_intervals_and_classes_are_read(tmp_path: Path):
    (table,) = read(tmp_path, result())
    assert table.protocol == "per-frame mAP (dense)"
    assert table.title == "results"
    assert table.columns == ("", "mAP", "95% interval")
    assert table.rows == (
        ("All videos", 50.0, "45.0 \N{EN DASH} 55.0"),
        ("Classes that never occur as 0", 40.0, None),
        ("Chance", 10.0, None),
    )
    assert table.per_class == (("common", 90.0), ("rare", 10.0), ("absent", None))
    assert table.note == "Over 20 videos and 2,400 frames. Left out for being too short: 2."


def test_missing_predictions_bring_a_second_score_that_says_so(tmp_path: Path):
    coverage = {"annotated": 20, "missing": ["x"], "short": [], "unknown": ["y"]}
    (table,) = read(tmp_path, result(coverage=coverage, interval=None))
    assert table.columns == ("", "mAP")
    assert table.rows[:2] == (("All videos", 50.0), ("Videos with predictions", pytest.approx(55)))
    assert "1 of the videos have no predictions and count as score 0." in table.note


def test_protocol_and_mean_are_enough(tmp_path: Path):
    (table,) = read(tmp_path, {"protocol": "p", "mean": 0.25})
    assert table.rows == (("All videos", 25.0),)
    assert (table.per_class, table.note) == ((), "")


def test_a_list_gives_a_table_for_each(tmp_path: Path):
    tables = read(tmp_path, [{"protocol": "a", "mean": 0.5}, {"protocol": "b", "mean": 0.25}])
    assert [table.protocol for table in tables] == ["a", "b"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"mean": 0.5}', "3", '"a"', '{"protocol": "a", "mean": NaN}', "[1]"]
)
def test_a_file_without_protocol_or_json_is_refused(tmp_path: Path, text: str):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(PredictionError, match=r"results\.json"):
        read_metrics(path)
