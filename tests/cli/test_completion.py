"""`actline completion`: shells complete commands, options, choices and files."""

import shutil
import subprocess
from pathlib import Path

import pytest

from actline.cli.completion import SHELLS
from actline.cli.main import COMMANDS, main


@pytest.fixture
def script(request, capsys, tmp_path) -> Path:
    assert main(["completion", request.param]) == 0
    path = tmp_path / f"actline.{request.param}"
    path.write_text(capsys.readouterr().out)
    return path


def completed_by_bash(script: Path, *words: str) -> list[str]:
    """What bash offers for the last word."""
    if (bash := shutil.which("bash")) is None:
        pytest.skip("there is no bash on this machine")
    # As a shell calls it: the words so far, and the place of the one that is being written.
    call = """
        source "$1"; shift
        COMP_WORDS=(actline "$@"); COMP_CWORD=$#
        function=$(complete -p actline | grep -o -- '-F [^ ]*' | cut -c4-)
        "$function" actline "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    command = [bash, "--norc", "-c", call, "bash", script.name, *words]
    finished = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=script.parent
    )
    assert finished.stderr == ""
    return finished.stdout.split()


@pytest.mark.parametrize("script", ["bash"], indirect=True)
def test_bash_completes_commands_options_choices_and_files(script):
    assert completed_by_bash(script, "de") == ["detect", "demo"]
    assert set(completed_by_bash(script, "")) >= set(COMMANDS)
    assert completed_by_bash(script, "data", "gen") == ["generate"]
    assert completed_by_bash(script, "detect", "--check") == ["--checkpoint"]
    assert completed_by_bash(script, "completion", "") == list(SHELLS)
    (script.parent / "model.safetensors").touch()
    assert completed_by_bash(script, "export", "mod") == ["model.safetensors"]
    assert completed_by_bash(script, "detect", "--checkpoint", "mod") == ["model.safetensors"]


@pytest.mark.parametrize("script", SHELLS, indirect=True)
def test_every_shell_reads_its_script_which_names_every_command(script):
    text = script.read_text()
    for command in COMMANDS:
        assert command in text
    shell = shutil.which(script.suffix[1:])
    if shell is None:
        pytest.skip(f"there is no {script.suffix[1:]} on this machine")
    read = [shell, "-n", str(script)]
    assert subprocess.run(read, capture_output=True, text=True, check=True).stderr == ""


def test_a_shell_that_has_none_is_refused_with_those_that_do(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["completion", "ksh"])
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert all(shell in told for shell in SHELLS)
