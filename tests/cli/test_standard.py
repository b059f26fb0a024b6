"""Signals, standard output and our own mistakes end a command as its starter can rely on."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

# A command that prints, and then does what its argument says.
COMMAND = """
    import os, signal, sys, time
    from actline.cli import data, main
    def run(arguments):
        print("begun " + "\\u6253 \\u202e", flush=True)
        {body}
        return 0
    data.run_check = run
    add = data.add_parser
    def add_parser(subparsers):
        subparsers.add_parser("data").set_defaults(run=run)
    data.add_parser = add_parser
    sys.exit(main.main(["data"]))
"""


def start(body: str, **options) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(COMMAND).format(body=body)],
        stderr=subprocess.PIPE,
        text=True,
        **{"stdout": subprocess.PIPE, **options},
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_a_command_as_ctrl_c_does(number: int) -> None:
    child = start("time.sleep(60)")
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(number)
    _, said = child.communicate(timeout=60)
    assert said == "actline: stopped\n"
    assert child.returncode == 128 + number


def test_a_command_under_nohup_outlives_its_terminal() -> None:
    child = start(
        "time.sleep(0.5); print('done')",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGHUP)
    printed, _ = child.communicate(timeout=60)
    assert (printed, child.returncode) == ("done\n", 0)


def test_output_that_nobody_reads_any_more_is_no_success() -> None:
    child = start("\n        ".join(["for _ in range(5000):", "    print('line', flush=True)"]))
    assert child.stdout is not None
    child.stdout.readline()
    child.stdout.close()
    assert child.stderr is not None
    said = child.stderr.read()
    child.wait(60)
    assert child.returncode == 1
    assert said.count("\n") == 1
    assert "standard output cannot be written: Broken pipe" in said


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no /dev/full here")
def test_output_to_a_full_disk_is_no_success() -> None:
    with Path("/dev/full").open("w") as full:
        child = start("pass", stdout=full)
        _, said = child.communicate(timeout=60)
    assert child.returncode == 1
    assert said.count("\n") == 1
    assert "No space left on device" in said


def test_a_console_without_a_character_shows_its_code() -> None:
    child = start("pass", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    printed, said = child.communicate(timeout=60)
    assert (child.returncode, said) == (0, "")
    assert "begun \\u6253" in printed


def test_a_mistake_of_our_own_is_one_line_and_its_traceback_a_file(tmp_path: Path) -> None:
    child = start("raise KeyError('a\\x1bb')", env={**os.environ, "TMPDIR": str(tmp_path)})
    _, said = child.communicate(timeout=60)
    assert child.returncode == 70
    assert said.startswith("actline: unexpected KeyError: ")
    assert said.count("\n") == 1
    assert "\x1b" not in said
    (log,) = tmp_path.glob("actline-*.log")
    assert str(log) in said
    assert "Traceback (most recent call last)" in log.read_text()
