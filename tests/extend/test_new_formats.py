"""The worked examples of docs/extend.md, "A new annotation format" and "A new output format".

Each is one new file and one edited file, which gains the import and the place in its tuple. Its
code blocks make it in a copy of the package outside the repository, which then takes the format.
"""

import pytest
from worked import ROOT, blocks, make_example, run_python, section_of

SECTIONS = {"A new annotation format": "READERS", "A new output format": "FORMATS"}
# Whatever else the package offers for formats takes the new one as well.
MORE = {
    "A new annotation format": """
from actline.cli.main import main
assert main(["data", "convert", "events.csv", "converted.json"]) in (0, None)
assert actline.read_annotations("converted.json")["kitchen"].activities[0].label == "wave"
Path("events.csv").write_text(Path("events.csv").read_text().replace("2.5", "late"))
try:
    actline.read_annotations("events.csv")
except actline.ActlineError as error:
    assert "events.csv, line 2: 'late' is not a number" in str(error), error
else:
    raise AssertionError
""",
    "A new output format": """
from actline.timeline.read import read_segments
from actline.timeline.write import parse_formats
assert parse_formats("json,srt") == ("json", "srt")
path.rename("kitchen.unknown")
assert actline.read("kitchen.unknown").one().activities == (wave,)
open("kitchen.srt", "w").write("hello")
for read, name, told in (
    (actline.read, "kitchen.srt", "kitchen.srt, subtitle 1 is not"),
    (lambda path: read_segments(__import__("pathlib").Path(path)), "kitchen.unknown", "SubRip"),
):
    try:
        read(name)
    except actline.ActlineError as error:
        assert told in str(error), error
    else:
        raise AssertionError
""",
}


@pytest.mark.parametrize("title", SECTIONS)
def test_a_format_takes_one_new_file_and_its_place_in_one_tuple(title):
    section = section_of(title)
    new = [name for name in blocks(section, "python") if name.startswith("actline/")]
    diffs = blocks(section, "diff")
    assert len(new) == 1 and not (ROOT / new[0]).exists()
    assert len(diffs) == 1
    (diff,) = diffs.values()
    assert diff.count("\n+") == 2 and "\n-" not in diff  # the import, and the entry


@pytest.mark.parametrize("title", SECTIONS)
def test_a_format_of_the_page_works_in_a_package_of_its_own(title, tmp_path):
    section = section_of(title)
    make_example(section, tmp_path)
    outside = f"assert actline.__file__.startswith({str(tmp_path)!r})\n"
    use = blocks(section, "python")["use.py"]
    run_python(f"{use}\n{outside}{MORE[title]}", tmp_path)
