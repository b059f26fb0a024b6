"""Every code block of the README and the docs does what it says, in the order of its page.

Commands run as they stand, made short by the options below. A block that cannot run here has a
comment before it, `<!-- not run: why -->`; its commands must still be ones that the program takes.
"""

import re
import shutil
import tomllib
from pathlib import Path

import pytest
from fuzz.kit import Kit, make_kit

from actline.cli.main import main
from docs.blocks import LANGUAGES, PAGES, ROOT, Block, blocks
from docs.worlds import write_world

# What makes commands short; everything else is as it stands.
SHORTENED = {
    ("train",): ["--device", "cpu", "epochs=1"],
    ("extract",): ["--device", "cpu"],
    ("detect",): ["--device", "cpu"],
    ("data", "generate"): ["--videos", "8"],
}
# What a page's commands have to say, and how often.
SAID = {
    "train.md": {"held out for it": 2, "runs/mine-fine/best.safetensors gives": 1},
}
BLOCKS = [block for page in PAGES for block in blocks(page)]


@pytest.fixture(scope="module")
def kit(tmp_path_factory) -> Kit:
    return make_kit(tmp_path_factory.mktemp("docs") / "kit")


def test_every_block_says_what_language_it_is_in():
    wrong = [f"{one.where} ({one.language!r})" for one in BLOCKS if one.language not in LANGUAGES]
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_a_page_is_closed(page):
    fences = re.findall(r"^ *```", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(blocks(page))


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        page
        for page in PAGES
        if any(one.language in ("sh", "python") and not one.note for one in blocks(page))
    ],
    ids=lambda page: page.stem,
)
def test_a_pages_blocks_run_in_their_order(page, kit, tmp_path, monkeypatch, capsys):
    write_world(tmp_path, page.name, kit)
    monkeypatch.chdir(tmp_path)
    variables: dict[str, object] = {"__name__": "page"}
    said = ""
    for block in blocks(page):
        if block.note is not None:
            continue
        if block.language == "python":
            exec(compile(block.code, block.where, "exec"), variables)  # noqa: S102, the docs are ours
        if block.language == "sh":
            for words in block.commands():
                said += run(words, block, monkeypatch, capsys)
    for text, times in SAID.get(page.name, {}).items():
        assert said.count(text) == times, text


def run(words: list[str], block: Block, monkeypatch, capsys) -> str:
    """Run a command as it stands; of other programs, check that what it names is there."""
    words = _with_environment(words, monkeypatch)
    if words[0] != "actline":
        check_other(words, block)
        return ""
    added = next(
        (more for first, more in SHORTENED.items() if tuple(words[1 : 1 + len(first)]) == first), []
    )
    capsys.readouterr()
    status = main([*words[1:], *added])
    told = capsys.readouterr()
    assert status == 0, f"{block.where}: {' '.join(words)}: {told.err}"
    return told.out


@pytest.mark.parametrize(
    "block",
    [one for one in BLOCKS if one.language == "sh" and one.note],
    ids=lambda block: block.where,
)
def test_a_command_that_is_not_run_is_one_that_the_program_takes(
    block, monkeypatch, tmp_path, capsys
):
    for words in block.commands():
        given = _with_environment(words, monkeypatch)
        if given[0] == "actline":
            check_words(given[1:], block, capsys)
        else:
            check_other(given, block)


def check_words(words: list[str], block: Block, capsys) -> None:
    """The command line takes these words: `--help` at their end answers only then."""
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    told = capsys.readouterr()
    assert ended.value.code == 0, f"{block.where}: {' '.join(words)}: {told.err}"
    for option in (one.partition("=")[0] for one in words if one.startswith("--")):
        assert option in told.out, f"{block.where}: no option {option} of {' '.join(words[:2])}"
    for recipe in (one for one in words if one.startswith("recipes/")):
        assert (ROOT / recipe).is_file(), f"{block.where}: no recipe {recipe}"


def check_other(words: list[str], block: Block) -> None:
    """Commands of other programs: what they name of ours exists."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets), f"{block.where}: {' '.join(words)}"
    elif words[:2] == ["pip", "install"]:
        for extra in re.findall(r"\[(.*?)\]", " ".join(words)):
            assert set(extra.split(",")) <= set(project["optional-dependencies"]), block.where
    elif "-m" in words and words[words.index("-m") + 1] in ("benchmarks", "actline.cli.main"):
        for recipe in (one for one in words if one.startswith("recipes/")):
            assert (ROOT / recipe).is_file(), f"{block.where}: no recipe {recipe}"
    else:
        assert shutil.which(words[0]) or block.note, f"{block.where}: {words[0]} is not known here"


def _with_environment(words: list[str], monkeypatch) -> list[str]:
    """The words behind `NAME=value …`, which is set."""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        name, _, value = words[0].partition("=")
        monkeypatch.setenv(name, value)
        words = words[1:]
    return words


def test_links_lead_to_pages_and_headings_that_exist():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?://|mailto:)([^)\s]+)\)", text):
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            assert file.exists(), f"{page.name}: {target}"
            if anchor and file.suffix == ".md":
                assert anchor in _anchors(file), f"{page.name}: {target}"


def test_files_of_ours_that_pages_name_exist():
    rooms = "|".join(path.name for path in (ROOT / "actline").iterdir() if path.is_dir())
    ours = re.compile(rf"`((?:actline/)?(?:{rooms}|tests|recipes|benchmarks)/[\w/]+\.(?:py|yaml))`")
    for page in PAGES:
        for name in ours.findall(page.read_text(encoding="utf-8")):
            found = any((folder / name).is_file() for folder in (ROOT, ROOT / "actline"))
            assert found, f"{page.name}: {name}"


SOUGHT = (
    "Grid Pool",
    "Multi-stage Fusion",
    "Volume Freeze",
    "boundary-matching layer",
    "temporal IoU",
    "Soft-NMS",
    "| the training loop |",
    "where an output format is added",
    "where a network is added",
    "how the time of a frame is defined",
    "segment mAP, AR@AN",
    "what a snippet",
)


@pytest.mark.parametrize("sought", SOUGHT)
def test_what_a_newcomer_looks_for_is_two_clicks_from_the_readme(sought):
    assert "(docs/where.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    rows = (ROOT / "docs" / "where.md").read_text(encoding="utf-8").splitlines()
    [row] = [row for row in rows if row.startswith("|") and sought in row]
    assert re.search(r"`[\w/]+\.py`|\]\(\w+\.md", row.split("|")[2]), row


def test_everything_in_the_package_has_its_place_in_where_is_what():
    page = (ROOT / "docs" / "where.md").read_text(encoding="utf-8")
    for path in (ROOT / "actline").iterdir():
        name = f"{path.name}/" if path.is_dir() else path.name
        if not name.startswith("__") and (path.is_dir() or path.suffix == ".py"):
            assert f"`{name}`" in page, name


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ +(.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in headings}
