"""The package's front: two calls, quick to import, and a command line that explains itself."""

import subprocess
import sys

import pytest

from actline.cli.main import COMMANDS, main


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
