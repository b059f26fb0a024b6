"""The documentation site builds, with every link, reference and page of its navigation in place."""

import shutil
import subprocess
import sys
import tomllib

import pytest

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
