"""The table that a person writes by hand, and writing every form."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.annotations.formats import activitynet, charades, table
from actline.annotations.read import read_annotations
from actline.errors import AnnotationError
from actline.names import VIDEO_ENDINGS
from actline.timeline import Activity

HEADER = "video,label,start,end\n"


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_table_gives_videos_in_order_and_classes_by_name(tmp_path):
    rows = "kitchen.mp4,walk,1.5,3\ngarden,,,\nkitchen.mp4,open door,0,62.25\n"
    read = read_annotations(write(tmp_path / "a.csv", HEADER + rows))
    assert read.classes == ("open door", "walk")
    assert [video.id for video in read.videos] == ["kitchen", "garden"]
    assert read["kitchen"].activities == (
        Activity("open door", 0.0, 62.25),
        Activity("walk", 1.5, 3.0),
    )
    assert read["garden"].activities == ()
    assert (read["kitchen"].subset, read["kitchen"].duration) == ("training", None)
    assert read.problems == ()


def test_table_takes_what_spreadsheets_write(tmp_path):
    text = (
        "\ufeffVideo; Label ;Start;End;Subset;Duration;Remark\r\n"
        'C:\\films\\a.MOV;"walk; slowly";1,5;1:02,5;test;2:00;fine\r\n'
        ";;;;;;\r\n"
        "\r\n"
        "b;run;0:59.5;1:00:00;;;\r\n"
        "a;run;3;4;Testing;120;\r\n"
    )
    read = read_annotations(write(tmp_path / "a.csv", text))
    assert read["a"] == AnnotatedVideo(
        "a",
        "testing",
        120.0,
        (Activity("walk; slowly", 1.5, 62.5), Activity("run", 3.0, 4.0)),
    )
    assert read["b"].activities == (Activity("run", 59.5, 3600.0),)


def test_table_separated_by_tabs_is_read(tmp_path):
    text = "video\tlabel\tstart\tend\na\twalk, slowly\t1\t2\n"
    read = read_annotations(write(tmp_path / "a.tsv", text))
    assert read["a"].activities == (Activity("walk, slowly", 1.0, 2.0),)


def test_activity_beyond_the_given_duration_is_cut_and_told(tmp_path):
    text = "video,label,start,end,duration\na,walk,1,12,10\na,walk,10,11,\n"
    read = read_annotations(write(tmp_path / "a.csv", text))
    assert read["a"].activities == (Activity("walk", 1.0, 10.0),)
    assert len(read.problems) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEADER, "names no videos"),
        ("name,label,start,end\na,b,1,2\n", 'columns video,label,start,end; "video" is not among'),
        ("a,walk,1,2\n", "the first line must name the columns"),
        ("video,label,start,end,end\na,b,1,2,3\n", 'two columns are named "end"'),
        (HEADER + "a,walk,5,4\n", r"line 2: the end \(4\) is not after the start \(5\); swap"),
        (HEADER + "a,walk,5,5\n", "line 2: .* must have a length"),
        (HEADER + "a,walk,nan,4\n", 'line 2: start "nan" is not a time'),
        (HEADER + "a,walk,1,inf\n", 'line 2: end "inf" is not a time'),
        (HEADER + "\na,walk,-1,4\n", 'line 3: start "-1" is negative; times count'),
        (HEADER + "a,walk,one,4\n", '"one" is not a time; give seconds'),
        (HEADER + "a,walk,,4\n", "line 2: the start is empty"),
        (HEADER + "a,walk,1\n", "line 2: the end is empty"),
        (HEADER + "a,walk,1:75,4:00\n", 'start "1:75" is not a time'),
        (HEADER + "a,walk,1:-5,4:00\n", 'start "1:-5" is not a time'),
        (HEADER + "a,walk,-1:05,4:00\n", 'start "-1:05" is not a time'),
        (HEADER + "a,walk,1:60:00,4:00\n", "is not a time"),
        (HEADER + "a,walk,1:2:3:4,4:00\n", "is not a time"),
        (HEADER + ",walk,1,2\n", "line 2: the video is missing"),
        (HEADER + "a,,1,2\n", "line 2: times without a label"),
        (HEADER + "a,walk, slowly,1,2\n", "line 2: 5 cells for 4 columns; put quotation marks"),
        (HEADER + 'a,"walk,1,2\nb,run,1,2\n', "line 2: .*is a quotation mark left open"),
        (HEADER + "a,wa\x07lk,1,2\n", "is not a label"),
        ("video,label,start,end,subset\na,b,1,2,test\na,b,3,4,train\n", "line 3: a is in subset"),
        ("video,label,start,end,duration\na,b,1,2,9\na,b,3,4,8\n", "line 3: a lasts 8 s here"),
        ("video,label,start,end,duration\na,b,1,2,0\n", "line 2: the duration is 0"),
    ],
)
def test_mistake_in_a_table_is_told_with_its_line(tmp_path, text, told):
    path = write(tmp_path / "mine.csv", text)
    with pytest.raises(AnnotationError, match=told) as caught:
        read_annotations(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_line_is_counted_where_a_row_of_several_lines_begins(tmp_path):
    path = write(tmp_path / "a.csv", 'video,label,start,end,remark\na,b,1,2,"x\ny"\na,b,3,2,\n')
    with pytest.raises(AnnotationError, match="line 4"):
        read_annotations(path)


def test_class_that_is_not_listed_is_told_with_its_line(tmp_path):
    classes = write(tmp_path / "classes.txt", "walk\nrun\n")
    path = write(tmp_path / "a.csv", HEADER + "a,walk,1,2\na,wlak,1,2\n")
    with pytest.raises(AnnotationError, match=r'line 3: class "wlak" .*did you mean "walk"'):
        read_annotations(path, classes=classes)


NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1
).filter(lambda text: text == text.strip() and not text.lower().endswith(VIDEO_ENDINGS))
IDS = st.from_regex(r"[A-Za-z0-9_=+@'-][A-Za-z0-9_=-]*", fullmatch=True)


@st.composite
def any_annotations(draw) -> Annotations:
    classes = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    videos = []
    for video_id in draw(st.lists(IDS, min_size=1, max_size=4, unique=True)):
        duration = draw(st.none() | st.floats(1.0, 5000.0))
        length = duration or 5000.0
        activities = set()
        for start, end in draw(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=4)):
            if start * length < end * length:
                label = draw(st.sampled_from(classes))
                activities.add(Activity(label, start * length, end * length))
        ordered = sorted(activities, key=lambda a: (a.start, a.end, a.label))
        subset = draw(st.sampled_from(("training", "validation", "testing", "extra")))
        videos.append(AnnotatedVideo(video_id, subset, duration, tuple(ordered)))
    return Annotations(tuple(classes), tuple(videos))


@settings(max_examples=60, deadline=None)
@given(annotations=any_annotations())
def test_every_form_reads_back_what_was_written(annotations, tmp_path_factory):
    folder = tmp_path_factory.mktemp("forms")
    charades.write_charades(annotations, folder / "charades.json")
    activitynet.write_activitynet(annotations, folder / "activitynet.json")
    table.write_table(annotations, folder / "table.csv")
    for name in ("activitynet.json", "table.csv"):
        assert read_annotations(folder / name).videos == annotations.videos
    numbered = Annotations(
        tuple(f"c{index:03d}" for index in range(len(annotations.classes))), annotations.videos
    )
    read = read_annotations(folder / "charades.json")
    assert read.problems == ()
    index = {name: f"c{number:03d}" for number, name in enumerate(annotations.classes)}
    for ours, theirs in zip(read.videos, numbered.videos, strict=True):
        renamed = {Activity(index[a.label], a.start, a.end) for a in theirs.activities}
        assert set(ours.activities) == renamed
        assert (ours.id, ours.subset, ours.duration) == (theirs.id, theirs.subset, theirs.duration)


def test_table_is_written_so_that_no_spreadsheet_runs_a_label(tmp_path):
    video = AnnotatedVideo("-a1", "testing", None, (Activity('=HYPERLINK("x")', 1.0, 2.0),))
    path = tmp_path / "a.csv"
    table.write_table(Annotations(('=HYPERLINK("x")',), (video,)), path)
    cells = path.read_text().splitlines()[1].split(",")
    assert cells[0] == "'-a1"
    assert cells[1].startswith("\"'=")
    assert read_annotations(path).videos == (video,)


def test_written_activitynet_form_is_the_official_one(tmp_path):
    video = AnnotatedVideo("a", "testing", 9.0, (Activity("walk", 1.0, 2.0),))
    activitynet.write_activitynet(Annotations(("walk",), (video,)), tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["database"] == {
        "a": {
            "subset": "testing",
            "duration": 9.0,
            "annotations": [{"label": "walk", "segment": [1.0, 2.0]}],
        }
    }
