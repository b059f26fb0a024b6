"""Proposals of other methods are read with care, and made to fit their video."""

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actline.errors import PredictionError
from actline.timeline.proposals import Proposals, proposals_of, read_proposals

HEADER = "xmin,xmax,score\n"


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def results(**videos: list[tuple[float, float, float]]) -> dict[str, object]:
    """Proposals as ActivityNet's evaluator takes them: without labels."""
    entries = {
        video: [{"score": score, "segment": [start, end]} for start, end, score in rows]
        for video, rows in videos.items()
    }
    return {"version": "VERSION 1.3", "results": entries, "external_data": {}}


def rows(proposals: Proposals) -> list[tuple[float, float, float]]:
    parts = (proposals.start, proposals.end, proposals.score)
    return list(zip(*(part.tolist() for part in parts), strict=True))


def refusal(path: Path) -> str:
    """What reading says, in one line that names the file."""
    with pytest.raises(PredictionError) as caught:
        read_proposals(path)
    said = str(caught.value)
    assert path.name in said
    assert "\n" not in said
    assert len(said) < 300 + len(str(path))
    return said


GIVEN = [(5.0, 9.0, 0.2), (1.0, 4.0, 0.9), (2.0, 8.0, 0.5)]
ORDERED = [(1.0, 4.0, 0.9), (2.0, 8.0, 0.5), (5.0, 9.0, 0.2)]


def test_a_results_file_with_labels_or_without_is_read_by_falling_score(tmp_path):
    content = results(one=GIVEN, v_two=GIVEN[:1], three=[])
    found = read_proposals(write(tmp_path / "p.json", content))
    assert rows(found["one"]) == ORDERED
    assert len(found["three"]) == 0
    for entries in content["results"].values():  # type: ignore[attr-defined]
        for entry in entries:
            entry["label"] = "Proposal"
    assert rows(read_proposals(write(tmp_path / "l.json", content))["one"]) == ORDERED


def test_a_folder_of_tables_is_read_as_tcanets_authors_have_it(tmp_path):
    lines = "".join(f"{start},{end},{score},0.1\n" for start, end, score in GIVEN)
    write(tmp_path / "training" / "one.csv", "xmin,xmax,score,iou\n" + lines)
    write(tmp_path / "validation" / "two.csv", "\ufeffscore,xmax,xmin\r\n0.5,2,1\r\n")
    write(tmp_path / "validation" / "none.csv", HEADER)
    found = read_proposals(tmp_path)
    assert sorted(found) == ["none", "one", "two"]
    assert rows(found["one"]) == ORDERED
    assert rows(found["two"]) == [(1.0, 2.0, 0.5)]
    assert len(found["none"]) == 0


def test_a_folder_of_our_own_detections_is_read_whatever_else_was_written(tmp_path):
    """`actline detect` writes ID.json and, with other columns, ID.csv."""
    for name in ("one", "two"):
        write(tmp_path / f"{name}.json", results(**{name: GIVEN}))
        write(tmp_path / f"{name}.csv", "video,label,start,end\n")
    write(tmp_path / "detections.meta", "{}")
    found = read_proposals(tmp_path)
    assert {video: rows(one) for video, one in found.items()} == {"one": ORDERED, "two": ORDERED}


def test_a_tables_order_and_matches_are_kept_where_that_is_asked_for(tmp_path):
    header = "xmin,xmax,score,gt_xmin,gt_xmax\n"
    write(tmp_path / "a.csv", header + "5,9,0.2,4,8\n1,4,0.9,0,3\n5,9,0.2,1,2\n")
    write(tmp_path / "b.csv", HEADER + "1,2,0.5\n")
    found = read_proposals(tmp_path, matched=True, in_file_order=True)
    assert rows(found["a"]) == [(5.0, 9.0, 0.2), (1.0, 4.0, 0.9), (5.0, 9.0, 0.2)]
    assert found["a"].matched is not None
    assert found["a"].matched.tolist() == [[4, 8], [0, 3], [1, 2]]
    assert found["b"].matched is None
    by_score = proposals_of("a", read_proposals(tmp_path, matched=True), duration=3.5).best(1)
    assert rows(by_score) == [(1.0, 3.5, 0.9)]
    assert by_score.matched is not None
    assert by_score.matched.tolist() == [[0, 3]]
    assert read_proposals(tmp_path)["a"].matched is None
    write(tmp_path / "a.csv", header + "5,2,0.2,4,8\n")
    with pytest.raises(PredictionError, match=r"a\.csv, proposal 1: the end \(2 s\) is not after"):
        read_proposals(tmp_path, matched=True)
    write(tmp_path / "a.csv", header + "1,2,0.2,nan,8\n")
    with pytest.raises(PredictionError, match=r"line 2, gt_xmin: 'nan' is not a finite number"):
        read_proposals(tmp_path, matched=True)


@pytest.mark.parametrize("stored", ["abc", "v_abc"])
@pytest.mark.parametrize("asked", ["abc", "v_abc"])
def test_v_before_an_id_makes_no_difference(stored, asked):
    found = {stored: Proposals(np.array([1.0]), np.array([2.0]), np.array([0.5]))}
    assert rows(proposals_of(asked, found, duration=10.0)) == [(1.0, 2.0, 0.5)]


def test_a_video_without_proposals_has_none():
    assert len(proposals_of("x", {}, duration=10.0)) == 0


def test_equal_segments_are_kept_once_with_the_best_score(tmp_path):
    path = write(tmp_path / "p.json", results(a=[(1, 2, 0.1), (3, 4, 0.5), (1, 2, 0.7)]))
    assert rows(read_proposals(path)["a"]) == [(1.0, 2.0, 0.7), (3.0, 4.0, 0.5)]


def test_proposals_are_cut_at_the_videos_ends_and_those_outside_are_left_out(tmp_path):
    given_rows = [(-2, 3, 0.9), (-1, 3, 0.8), (8, 99, 0.7), (10, 12, 0.6), (-3, 0, 0.5), (4, 5, 0)]
    found = read_proposals(write(tmp_path / "p.json", results(a=given_rows)))
    inside = [(0.0, 3.0, 0.9), (8.0, 10.0, 0.7), (4.0, 5.0, 0.0)]
    assert rows(proposals_of("a", found, duration=10.0)) == inside, "cut ones are equal: kept once"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (results(a=[(1, 2, 0.5), (5, 2, 0.5)]), r"a, proposal 2: the end \(2 s\) is not after"),
        (results(a=[(2, 2, 0.5)]), "is not after the start"),
        (results(a=[], b=[]), "holds no proposals"),
        (results(), "holds no results of any video"),
        (results(a=[(1, math.nan, 0.5)]), "nan is not a finite number"),
        (results(a=[(1, 2, math.inf)]), "score inf is not a finite number"),
        ({"results": {"a": [{"segment": [1, 2]}]}}, "lacks one of score, segment"),
        ({"results": {"a": [{"score": 1, "segment": [1]}]}}, r"is not \[start, end\]"),
        ({"results": {"a": {"score": 1}}}, "is not a list"),
        ({"database": {}}, 'has no "results"'),
        ('{"results": {"a": [{"score": 0.5', "the file is cut off"),
        ('{"results": {"a": [], "a": [{}]}}', "video a appears twice"),
        ("", "is empty"),
    ],
)
def test_a_malformed_results_file_is_refused_in_one_line(tmp_path, content, said):
    with pytest.raises(PredictionError, match=said):
        read_proposals(write(tmp_path / "p.json", content))
    refusal(tmp_path / "p.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("xmin,score\n1,0.5\n", "lacks one of the columns xmin, xmax, score"),
        ("1,2,0.5\n", "lacks one of the columns"),
        (HEADER + "1,2,0.5\n5,2,0.5\n", "proposal 2: the end (2 s) is not after the start (5 s)"),
        (HEADER + "1,2,0.5\n1,nan,0.5\n", "line 3, xmax: 'nan' is not a finite number"),
        (HEADER + "1,2,1e999\n", "line 2, score: '1e999' is not a finite number"),
        (HEADER + "1,two,0.5\n", "line 2, xmax: 'two' is not a number"),
        (HEADER + "1,2\n", "line 2, score: None is not a number"),
        (HEADER + "1,,0.5\n", "line 2, xmax: '' is not a number"),
        (HEADER + "1,2," + "x" * 999 + "\n", "line 2, score: 'xxx"),
        (HEADER + "1,2,0." + "5" * 200_000 + "\n", "not a table"),
        ("", "is empty"),
    ],
)
def test_a_malformed_table_is_refused_in_one_line(tmp_path, content, said):
    path = write(tmp_path / "a.csv", content)
    with pytest.raises(PredictionError) as caught:
        read_proposals(tmp_path)
    message = str(caught.value)
    assert str(path) in message
    assert said in message
    assert len(message.splitlines()) == 1
    assert len(message) < 300 + len(str(path))


def test_files_that_are_missing_or_of_one_video_twice_are_refused(tmp_path):
    assert "no predictions at" in refusal(tmp_path / "gone.json")
    (tmp_path / "empty").mkdir()
    assert "holds no predictions" in refusal(tmp_path / "empty")
    write(tmp_path / "tables" / "a.csv", HEADER)
    assert "holds no proposals" in refusal(tmp_path / "tables")
    write(tmp_path / "tables" / "more" / "a.csv", HEADER + "1,2,0.5\n")
    with pytest.raises(PredictionError, match="video a is also in another file"):
        read_proposals(tmp_path / "tables")
    (tmp_path / "tables" / "a.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(PredictionError, match=r"a\.csv is not UTF-8"):
        read_proposals(tmp_path / "tables")


def test_files_too_large_for_the_memory_are_refused_before_they_are_read(tmp_path):
    for name in ("p.json", "tables/a.csv"):
        path = write(tmp_path / name, "x")
        with path.open("r+b") as file:
            file.truncate(5 << 30)  # takes no room on the disk
    assert "more than 4096" in refusal(tmp_path / "p.json")
    with pytest.raises(PredictionError, match=r"a\.csv is 5120 MiB"):
        read_proposals(tmp_path / "tables")


near = st.integers(-4, 14).map(float)
good_rows = st.builds(
    lambda start, width, score: (start, start + width, score),
    near,
    st.sampled_from([0.5, 1.0, 20.0, 1e9]),
    st.floats(0, 1),
)
numbers = st.one_of(
    near,
    st.floats(-1e6, 1e6, allow_nan=False),
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-300, 1e300]),
)


@settings(max_examples=150, deadline=None)
@given(
    given_rows=st.lists(good_rows, max_size=12)
    | st.lists(good_rows | st.tuples(numbers, numbers, numbers), max_size=12),
    duration=st.sampled_from([0.1, 10.0, 1e5]),
    table=st.booleans(),
)
def test_whatever_the_rows_the_result_is_ordered_unique_and_inside(given_rows, duration, table):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if table:
            lines = "".join(f"{a},{b},{c}\n" for a, b, c in given_rows)
            write(folder / "a.csv", HEADER + lines)
        else:
            write(folder / "p.json", results(a=given_rows))
        try:
            found = read_proposals(folder if table else folder / "p.json")
        except PredictionError:
            wrong = [r for r in given_rows if not all(map(math.isfinite, r)) or r[1] <= r[0]]
            assert wrong or not given_rows, "good rows are taken"
            return
    own = proposals_of("a", found, duration=duration)
    kept = rows(own)
    assert (np.diff(own.score) <= 0).all()
    assert len({(start, end) for start, end, _ in kept}) == len(kept)
    assert all(0 <= start < end <= duration for start, end, _ in kept)
    best: dict[tuple[float, float], float] = {}
    for start, end, score in given_rows:
        cut = (min(max(start, 0.0), duration), min(max(end, 0.0), duration))
        if cut[0] < cut[1]:
            best[cut] = max(score, best.get(cut, -math.inf))
    assert {(start, end): score for start, end, score in kept} == best
