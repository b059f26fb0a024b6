"""The project's own files agree: versions, pins, what a citation and a workflow hold."""

import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import actline

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(project: dict) -> list[Requirement]:
    """What the package and its extras name, but for the package itself."""
    listed = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        listed += extra
    found = [Requirement(text) for text in listed]
    return [one for one in found if one.name != "actline"]


def test_the_version_stands_the_same_everywhere(project):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == actline.__version__ == citation["version"]
    assert f"{project['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_dependency_is_pinned_within_what_the_package_allows(project):
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    pinned = {canonicalize_name(one.name): one.specifier for one in pins}
    for requirement in requirements(project):
        [pin] = pinned[canonicalize_name(requirement.name)]
        assert pin.operator == "=="
        assert requirement.specifier.contains(Version(pin.version)), requirement


def test_every_dependency_has_a_lower_bound(project):
    for requirement in requirements(project):
        assert any(one.operator == ">=" for one in requirement.specifier), requirement


def test_the_citation_names_the_software_and_its_three_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["license"] == "Apache-2.0"
    papers = citation["references"]
    assert [(one["authors"][0]["family-names"], one["year"]) for one in papers] == [
        ("Kahatapitiya", 2021),
        ("Kahatapitiya", 2023),
        ("Qing", 2021),
    ]
    assert all(one["authors"][-1]["given-names"] and one["title"] for one in papers)


@pytest.mark.parametrize("path", sorted(ROOT.glob(".github/**/*.yml")), ids=lambda path: path.name)
def test_workflows_and_templates_are_yaml(path):
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


def test_the_workflow_runs_every_python_that_the_package_allows(project):
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    tried = workflow["jobs"]["tests"]["strategy"]["matrix"]["python"]
    prefix = "Programming Language :: Python :: 3."
    assert [f"Programming Language :: Python :: {version}" for version in tried] == [
        text for text in project["classifiers"] if text.startswith(prefix)
    ]
