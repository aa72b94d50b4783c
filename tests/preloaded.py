"""Our scripts and fairseq's commands as processes of their own that need not import fairseq, which takes seconds.

A process that has fairseq imported, and nothing of ours, forks one for each command. What is started, and what a script
finds beside ``sys.executable``, are small programs that hand their arguments, environment and open files over and wait;
the fork joins their process group, so that a kill of the group reaches it, and ends when they do. Those of the
environment's programs that are neither stand there too, as they are.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from tests.end_to_end.commands import MODULES, ROOT, SERVER, end_workers, log_to_standard_output

PYTHON = "python"  # runs one of scripts/ in a fork; whatever else it is given, in a Python of its own
_PROGRAM = """#!{python} -IS
import json, os, socket, sys
name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
if name == {PYTHON!r} and not (words and os.path.dirname(os.path.realpath(words[0])) == {scripts!r}):
    os.execv({python!r}, [{python!r}, *words])
end = socket.socket(socket.AF_UNIX)
end.connect({address!r})
request = dict(words=[name, *words], folder=os.getcwd(), group=os.getpgrp(), environment=dict(os.environ))
socket.send_fds(end, [json.dumps(request).encode() + b"\\n"], [0, 1, 2])
answer = end.recv(16)
sys.exit(int(answer) if answer else 137)
"""


@contextmanager
def programs() -> Iterator[Path]:
    """A folder of programs: fairseq's commands, :data:`PYTHON`, and links to the others of this environment."""
    with tempfile.TemporaryDirectory(prefix="preloaded.") as name:
        folder, address = Path(name), f"{name}/socket"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        listener.listen(64)
        text = _PROGRAM.format(python=sys.executable, address=address, scripts=str(ROOT / "scripts"), PYTHON=PYTHON)
        for program in (PYTHON, *MODULES):
            (folder / program).write_text(text)
            (folder / program).chmod(0o755)
        for program in Path(sys.executable).parent.iterdir():
            if program.name not in MODULES and not program.name.startswith(PYTHON):
                (folder / program.name).symlink_to(program)
        server = SERVER.Process(target=_serve, args=(listener, name))
        server.start()
        listener.close()
        try:
            yield folder
        finally:
            server.kill()
            server.join()


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Scripts of this process, and what they start, find the programs of ``folder``."""
    with mock.patch.object(sys, "executable", str(folder / PYTHON)):
        yield


def _serve(listener: socket.socket, folder: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    while True:
        connection, _ = listener.accept()
        text, files, _, _ = socket.recv_fds(connection, 1 << 16, 3)
        while not text.endswith(b"\n"):
            text += connection.recv(1 << 16)
        if os.fork() == 0:
            listener.close()
            _become(connection, json.loads(text), files, folder)
        connection.close()
        for file in files:
            os.close(file)


def _become(connection: socket.socket, request: dict[str, Any], files: list[int], folder: str) -> None:
    """In the fork: run the command, say how it ended, and leave."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        multiprocessing.set_start_method("fork", force=True)  # as a new Python has it; this one was made otherwise
        try:
            os.setpgid(0, request["group"])
        except OSError:  # killed already
            os._exit(1)
        threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, "w" if number else "r") for number in range(3))
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        status = _run(request["words"], folder)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    end_workers()
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(str(status).encode())
    os._exit(status)


def _end_with(connection: socket.socket) -> None:
    """The program that was started sends nothing more: it has ended when there is something to read."""
    connection.recv(1)
    os._exit(1)


def _run(words: list[str], folder: str) -> int:
    try:
        if words[0] == PYTHON:
            sys.executable = f"{folder}/{PYTHON}"
            sys.argv = words[1:]
            script = importlib.import_module(f"scripts.{Path(words[1]).stem}")
            importlib.import_module("scripts.lib.cli").run_main(script.main)
        else:
            log_to_standard_output()
            sys.path = [entry for entry in sys.path if Path(entry).resolve() != ROOT]  # only --user-dir names it
            sys.argv = words
            importlib.import_module(MODULES[words[0]]).cli_main()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    return 0
