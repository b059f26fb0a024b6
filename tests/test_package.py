"""The package's front: two calls, quick to import, and a command line that explains itself."""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import actline
from actline.cli.main import COMMANDS, main

PACKAGE = Path(actline.__file__).parent

# Names that many modules of one folder share, as callers take any of them for another.
CONTRACTS = {
    "add_parser": "cli",
    "run": "cli",
    "config_of": "models/published",
    "from_published": "models/published",
}


def python(code: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return finished.stdout.strip()


def test_the_two_calls_are_functions_whatever_was_imported_before():
    code = "import actline.detection.frames, actline; print(callable(actline.detect))"
    assert python(code) == "True"
    assert python("import actline; print(actline.load_model.__name__)") == "load_model"


def test_reading_and_saving_load_neither_torch_nor_the_decoder():
    code = (
        "import actline, sys, tempfile\n"
        "timeline = actline.Timeline('a', 1.0, (actline.Activity('x', 0.0, 1.0),))\n"
        "path = timeline.save(tempfile.mkdtemp() + '/a.csv')\n"
        "assert len(actline.read(path)) == len(actline.read_annotations(path).videos) == 1\n"
        "print([m for m in ('torch', 'av', 'matplotlib', 'rich', 'pandas') if m in sys.modules])"
    )
    assert python(code) == "[]"


def test_importing_and_help_do_not_load_the_heavy_libraries():
    heavy = "[m for m in ('torch', 'av', 'matplotlib', 'rich', 'numpy') if m in sys.modules]"
    assert python(f"import sys, actline; print({heavy})") == "[]"
    code = (
        "import sys, contextlib, io\nfrom actline.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    main(['--help'])\nprint({heavy})"
    )
    assert python(code) == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert f"actline {command}" in capsys.readouterr().out


def modules() -> Iterator[tuple[Path, str]]:
    """The package's modules: their paths within it, and their text."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE), path.read_text(encoding="utf-8")


def public(body: list[ast.stmt]) -> Iterator[str]:
    """Names of a module's public functions and classes."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if not statement.name.startswith("_"):
                yield statement.name
        elif isinstance(statement, ast.If | ast.Try):
            yield from public(statement.body)


def test_public_names_stand_for_one_thing_each():
    found: dict[str, list[Path]] = defaultdict(list)
    for path, text in modules():
        for name in public(ast.parse(text).body):
            folder = CONTRACTS.get(name)
            if folder is None or path.parent != Path(folder):
                found[name].append(path)
    assert len(found) > 500
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}


def test_contracts_of_names_are_kept_by_several_modules():
    for name, folder in CONTRACTS.items():
        texts = [text for path, text in modules() if path.parent == Path(folder)]
        assert sum(name in public(ast.parse(text).body) for text in texts) > 1, name


def test_files_and_functions_are_short():
    """400 lines a file, and 60 a function without its docstring."""
    for path, text in modules():
        assert len(text.splitlines()) <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if ast.get_docstring(node) is not None:
                    described = node.body[0]
                    lines -= (described.end_lineno or described.lineno) - described.lineno + 1
                assert lines <= 60, f"{path}: {node.name} has {lines} lines"


def test_no_two_files_of_a_folder_differ_by_a_plural():
    for folder in [PACKAGE, *(path for path in PACKAGE.rglob("*") if path.is_dir())]:
        names = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
        assert [name for name in names if f"{name}s" in names or f"{name}es" in names] == []
