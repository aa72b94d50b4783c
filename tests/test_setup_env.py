"""scripts/setup_env.sh with a Python that only pretends to install: every way to stop it, and each of its refusals."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Answers as Python does, but `-m venv` and `-m pip` only note their call and leave a file named after what they make.
# FAKE_HANG=STEP: in the middle of that step, wait while calls.hanging exists.
# FAKE_FAIL=MESSAGE: pip prints it and fails, writing nothing.
FAKE_PYTHON = """#!/usr/bin/env bash
set -eu
act() {{ # STEP FOLDER
    echo "$1" >>"{calls}"
    touch "$2/$1.half"
    if [[ ${{FAKE_HANG:-}} == "$1" ]]; then
        trap 'exit 130' INT # or bash overlooks an interrupt that comes while a sleep ends
        touch "{calls}.hanging"
        while [[ -e "{calls}.hanging" ]]; do sleep 0.05; done
    fi
    mv "$2/$1.half" "$2/$1"
}}
here=$(dirname "$0")
case "$*" in
*_base_executable*) echo "$0" ;;
*fairseq_cli*) echo "ready: pretended" ;;
*"-m venv"*)
    mkdir -p "${{@: -1}}/bin" "${{@: -1}}/lib"
    cp "$0" "${{@: -1}}/bin/python"
    act venv "${{@: -1}}/lib" ;;
*"-m pip"*) [[ -z ${{FAKE_FAIL:-}} ]] || {{ echo "$FAKE_FAIL"; exit 1; }} ;;&
*"pip wheel"*)
    while [[ $1 != -w ]]; do shift; done
    act compile "$2"
    touch "$2/fairseq_fixed-0-py3-none-any.whl" ;;
*"pip install"*.whl*) act fairseq "$here/../lib" ;;
*"pip install"*" -e "*) act ourselves "$here/../lib" ;;
*"pip install"*) act torch "$here/../lib" ;;
*) exec "{python}" "$@" ;;
esac
"""
PATIENCE = 300  # seconds, for machines with much else to do
STEPS = ["venv", "torch", "compile", "fairseq", "ourselves"]


class Checkout:
    """A copy of the files that set-up reads, with the pretended Python beside it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout"
        self.venv = self.root / ".venv"
        self.calls_file = folder / "calls"
        self.hanging = folder / "calls.hanging"
        self.started: list[subprocess.Popen[str]] = []
        (self.root / "scripts").mkdir(parents=True)
        for name in ("constraints.txt", "setup.py", "scripts/setup_env.sh"):
            shutil.copy(ROOT / name, self.root / name)
        sources = Path("nat_plugin/alignments/csrc")
        shutil.copytree(ROOT / sources, self.root / sources)
        self.python = folder / "python3.11"
        self.python.write_text(FAKE_PYTHON.format(calls=self.calls_file, python=sys.executable), encoding="utf-8")
        self.python.chmod(0o755)

    def start(self, **env: str) -> subprocess.Popen[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("TORCH", "PIP_"))}
        process = subprocess.Popen(
            [self.root / "scripts/setup_env.sh"],
            env={**clean, "PYTHON": str(self.python), "CXX": "true", **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, **env: str) -> tuple[int, str]:
        process = self.start(**env)
        output, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, output

    def start_hanging(self, step: str) -> subprocess.Popen[str]:
        process = self.start(FAKE_HANG=step)
        deadline = time.monotonic() + PATIENCE
        while not self.hanging.exists():
            assert process.poll() is None, f"ended before the step: {process.communicate()[0]}"
            assert time.monotonic() < deadline, "the step was never reached"
            time.sleep(0.02)
        return process

    def new_calls(self) -> list[str]:
        calls = self.calls_file.read_text(encoding="utf-8").split() if self.calls_file.exists() else []
        self.calls_file.unlink(missing_ok=True)
        return calls


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    made = Checkout(tmp_path)
    yield made
    for process in made.started:  # a test that failed may have left some; each leads a group of its own
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_makes_everything_once(checkout: Checkout) -> None:
    status, output = checkout.run()
    assert status == 0, output
    assert [line[:5] for line in output.splitlines()[:-1]] == [f"[{n}/5]" for n in range(1, 6)]
    assert checkout.new_calls() == STEPS
    assert checkout.run() == (0, ".venv is up to date.\n")
    assert checkout.new_calls() == []


def test_new_constraints_update_in_place_without_compiling_again(checkout: Checkout) -> None:
    checkout.run()
    checkout.new_calls()
    with open(checkout.root / "constraints.txt", "a", encoding="utf-8") as handle:
        handle.write("another-package==1.0\n")
    status, output = checkout.run()
    assert status == 0
    assert "brought up to date" in output
    assert checkout.new_calls() == ["torch", "ourselves"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill-9", "ctrl-c"])
@pytest.mark.parametrize(
    ("step", "again"),
    [
        ("venv", STEPS),
        ("torch", STEPS),
        ("compile", ["torch", "compile", "fairseq", "ourselves"]),  # outside .venv: pip is asked again, no more
        ("fairseq", ["venv", "torch", "fairseq", "ourselves"]),
        ("ourselves", ["venv", "torch", "fairseq", "ourselves"]),
    ],
)
def test_stopped_anywhere_then_repeated(checkout: Checkout, step: str, again: list[str], how: signal.Signals) -> None:
    process = checkout.start_hanging(step)
    os.killpg(process.pid, how)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert ("stopped: run the same command again" in output) == (how == signal.SIGINT)
    checkout.new_calls()
    checkout.hanging.unlink()

    status, output = checkout.run()
    assert status == 0, output
    assert list(checkout.root.rglob("*.half")) == []
    assert checkout.new_calls() == again
    assert checkout.run() == (0, ".venv is up to date.\n")
    assert list(checkout.root.glob(".venv.trash*")) == []


def test_a_second_run_waits_for_what_kill_9_left_running(checkout: Checkout) -> None:
    first = checkout.start_hanging("torch")
    first.kill()  # the shell alone: its pip goes on
    second = checkout.start()
    assert second.stdout is not None
    assert "waiting for it to finish" in second.stdout.readline()
    assert checkout.new_calls() == ["venv", "torch"]
    checkout.hanging.unlink()
    output, _ = second.communicate(timeout=PATIENCE)
    assert second.returncode == 0, output
    assert "made anew" in output


def test_a_moved_folder_is_made_anew(checkout: Checkout) -> None:
    checkout.run()
    checkout.new_calls()
    checkout.root = checkout.root.rename(checkout.root.with_name("elsewhere"))
    status, output = checkout.run()
    assert status == 0
    assert "made anew" in output
    assert checkout.new_calls() == [step for step in STEPS if step != "compile"]


def test_another_torch_is_remembered(checkout: Checkout) -> None:
    assert checkout.run(TORCH_INDEX="https://index.invalid/cuda")[0] == 0
    checkout.new_calls()
    assert checkout.run() == (0, ".venv is up to date.\n")
    status, output = checkout.run(TORCH_INDEX="https://index.invalid/cpu")
    assert status == 0
    assert "made anew" in output
    assert checkout.new_calls()[:2] == ["venv", "torch"]


def test_somebody_elses_environment_is_left_alone(checkout: Checkout) -> None:
    checkout.venv.mkdir()
    (checkout.venv / "precious").write_text("kept", encoding="utf-8")
    status, output = checkout.run()
    assert status == 1
    assert "was not made by this script: move it away or delete it" in output
    assert (checkout.venv / "precious").exists()


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({"PYTHON": "/nonexistent/python3.11"}, "no Python 3.11 was found (tried: /nonexistent/python3.11)"),
        ({"PYTHON": "/bin/false"}, "no Python 3.11 was found (tried: /bin/false)"),
        ({"CXX": "/nonexistent/g++"}, "no C++ compiler was found (tried: /nonexistent/g++)"),
        ({"CXX": "cat"}, "no Python.h in"),
        ({"FAKE_FAIL": "OSError: [Errno 28] No space left on device"}, "the disk is full: free about 3 GB in"),
        ({"FAKE_FAIL": "NewConnectionError: Connection refused"}, "the package index cannot be reached"),
        ({"FAKE_FAIL": "No matching distribution found for torch==2.13.0"}, "for torch TORCH_INDEX"),
        ({"FAKE_FAIL": "a surprise"}, "the whole story is in .venv/setup.log"),
    ],
)
def test_what_is_missing_is_named_with_its_remedy(checkout: Checkout, env: dict[str, str], sentence: str) -> None:
    status, output = checkout.run(**env)
    assert status == 1
    assert output.count("error: ") == 1
    assert sentence in output.splitlines()[-1]
    checkout.new_calls()
    assert checkout.run()[0] == 0
    assert ("venv" in checkout.new_calls()) == ("FAKE_FAIL" not in env), (
        "a failure before anything is written costs no step"
    )
