"""The wheel and the sdist work on their own: without the checkout, and without any extra."""

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from actline.models.checkpoint import ModelCard, save_checkpoint
from actline.models.x3d import X3DConfig

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="links to packages need rights there"),
]


def run(*command: str | Path, cwd: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a program that knows nothing of this checkout."""
    unwanted = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    environment = {key: value for key, value in os.environ.items() if key not in unwanted}
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def needed_by(*names: str) -> set[str]:
    """Distributions that the named ones need, without extras that nobody asked for."""
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(name) for name in names]
    while waiting:
        requirement = waiting.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in found:
            continue
        found.add(key)
        for text in metadata.requires(requirement.name) or ():
            one = Requirement(text)
            extras = {"", *requirement.extras}
            if one.marker is None or any(one.marker.evaluate({"extra": each}) for each in extras):
                waiting.append(one)
    return {name for name, _ in found}


def link_packages(folder: Path, *names: str) -> None:
    """Fill a folder with what those distributions installed, as links."""
    folder.mkdir()
    for name in needed_by(*names):
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            source = Path(str(distribution.locate_file(top)))
            if not (folder / top).exists():
                (folder / top).symlink_to(source)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> dict[str, Path]:
    """The sdist of a copy of this checkout, and the wheel that was built out of that sdist."""
    folder = tmp_path_factory.mktemp("built")
    ignored = shutil.ignore_patterns(".*", "__pycache__", "demo", "dist", "runs", "site")
    shutil.copytree(ROOT, folder / "checkout", ignore=ignored)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist"]
    run(*build, folder / "checkout", cwd=folder)
    [sdist] = folder.glob("dist/*.tar.gz")
    [wheel] = folder.glob("dist/*.whl")
    return {"sdist": sdist, "wheel": wheel}


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def installed(request, built, tmp_path_factory) -> Path:
    """The programs of a fresh environment with the package and its bare dependencies."""
    folder = tmp_path_factory.mktemp(request.param)
    venv.create(folder / "fresh", with_pip=True)
    programs = folder / "fresh" / "bin"
    # What the package names is linked in place of being fetched again: nothing else is there.
    bare = [str(Requirement(text)) for text in bare_requirements(built["wheel"])]
    link_packages(folder / "packages", *bare, "hatchling")
    found = run(
        programs / "python",
        "-c",
        "import sysconfig; print(sysconfig.get_path('purelib'))",
        cwd=folder,
    )
    (Path(found.stdout.strip()) / "linked.pth").write_text(f"{folder / 'packages'}\n")
    install = [programs / "pip", "install", "--no-index", "--no-deps", "--no-build-isolation"]
    run(*install, built[request.param], cwd=folder)
    return programs


def bare_requirements(wheel: Path) -> list[str]:
    """What a wheel says that it needs, without extras."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        lines = archive.read(name).decode().splitlines()
    texts = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-")]
    named = [Requirement(text) for text in texts if not text.startswith("Requires-Python")]
    return [one.name for one in named if one.marker is None or one.marker.evaluate({"extra": ""})]


def test_the_wheel_holds_the_package_its_recipes_and_its_licence_and_no_tests(built):
    with zipfile.ZipFile(built["wheel"]) as archive:
        names = set(archive.namelist())
    assert {"actline/py.typed", "actline/recipes/generated/fine.yaml"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert all(name.startswith(("actline/", "actline-")) for name in names)


def test_the_sdist_holds_what_testing_and_documenting_take(built):
    with tarfile.open(built["sdist"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"tests/conftest.py", "tests/goldens/salt.json", "recipes/generated/fine.yaml"}
    assert wanted | {"docs/train.md", "Makefile", "constraints.txt", "CHANGELOG.md"} <= names


def test_every_module_is_there_and_needs_only_what_the_package_names(installed, tmp_path):
    code = (
        "import importlib, pkgutil, actline\n"
        "for one in pkgutil.walk_packages(actline.__path__, 'actline.'):\n"
        "    importlib.import_module(one.name)\n"
        "print(actline.__file__)"
    )
    printed = run(installed / "python", "-c", code, cwd=tmp_path).stdout
    assert Path(printed.strip()).is_relative_to(installed.parent)


def test_the_command_explains_itself_and_finds_its_recipes(installed, tmp_path):
    assert "generate" in run(installed / "actline", "data", "--help", cwd=tmp_path).stdout
    assert "usage: actline" in run(installed / "actline", "--help", cwd=tmp_path).stdout
    code = (
        "from actline.training.tasks import read_recipe\nread_recipe('recipes/generated/fine.yaml')"
    )
    run(installed / "python", "-c", code, cwd=tmp_path)


def test_it_generates_a_data_set_and_checks_it(installed, tmp_path):
    generate = ["data", "generate", "charades", "--out", "set", "--videos", "2", "--size", "48x48"]
    run(installed / "actline", *generate, "--workers", "1", cwd=tmp_path)
    assert len(list((tmp_path / "set" / "videos").glob("*.mp4"))) == 2
    run(installed / "actline", "data", "check", "set", cwd=tmp_path)


def test_exporting_without_the_runtime_says_in_one_line_what_to_install(installed, tmp_path):
    config = X3DConfig(widths=(8, 8, 8, 16), depths=(1, 1, 1, 1), head_width=16)
    shown = {"size": 32, "mean": (0.45, 0.45, 0.45), "std": (0.225, 0.225, 0.225), "rate": 5.0}
    torch.manual_seed(0)
    card = ModelCard(network=config, classes=("a",), window=16, overlap=4, **shown)
    save_checkpoint(tmp_path / "model.safetensors", config.build(1).eval(), card)
    export = ["export", "model.safetensors", "model.onnx"]
    told = run(installed / "actline", *export, cwd=tmp_path, status=1).stderr
    assert told.count("\n") == 1
    assert 'pip install "actline[runtime]"' in told
    assert not (tmp_path / "model.onnx").exists()


def test_detecting_by_an_absent_runtime_says_in_one_line_what_to_install(installed, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"never read: the packages are looked for first")
    (tmp_path / "video.mp4").write_bytes(b"nor this")
    detect = ["detect", "video.mp4", "--checkpoint", "model.onnx", "--out", "found"]
    told = run(installed / "actline", *detect, cwd=tmp_path, status=1).stderr
    assert told.count("\n") == 1
    assert 'pip install "actline[runtime]"' in told


def test_a_table_without_pandas_says_in_one_line_what_to_install(installed, tmp_path):
    code = (
        "import actline\n"
        "timeline = actline.Timeline(video='v', duration=1.0, activities=())\n"
        "try:\n    timeline.to_pandas()\n"
        "except actline.ActlineError as error:\n    print(error)"
    )
    told = run(installed / "python", "-c", code, cwd=tmp_path).stdout
    assert told.count("\n") == 1
    assert 'pip install "actline[pandas]"' in told
