"""The documentation site builds, with every link, reference and page of its navigation in place."""

import shutil
import subprocess
import sys
import tomllib

import pytest

import actline
from docs.blocks import ROOT


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("zensical", reason="it is in the extra docs")
    for name in ("docs", "actline"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copyfile(ROOT / "zensical.toml", tmp_path / "zensical.toml")
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "griffe:" not in told, told  # a docstring and its function do not agree
    page = (tmp_path / "site" / "api" / "index.html").read_text()
    assert 'id="actline.timeline.Timeline"' in page, "the API reference is filled in"


def test_all_that_the_package_offers_is_in_the_api_reference():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    entries = {line.rpartition(".")[2] for line in page.splitlines() if line.startswith(":::")}
    assert set(actline.__all__) <= entries


def test_install_names_every_extra():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert [extra for extra in extras if f"`actline[{extra}]`" not in page] == []


def test_every_page_is_in_the_navigation():
    site = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    assert _pages(site["nav"]) == {path.name for path in (ROOT / "docs").glob("*.md")}


def _pages(part: object) -> set[str]:
    """The files named in a part of the navigation."""
    if isinstance(part, str):
        return {part}
    parts = part.values() if isinstance(part, dict) else part
    assert not isinstance(parts, str)
    return set().union(*(_pages(one) for one in parts))  # type: ignore[union-attr]
