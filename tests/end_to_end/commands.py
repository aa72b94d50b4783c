"""fairseq's commands, run to their end.

Importing fairseq costs 7 s, so most calls are forked from a server process (multiprocessing's) that has fairseq, and
nothing of ours, imported already; each loads ``--user-dir`` itself, as the binaries do. :func:`run_binary` runs one.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
USER_DIR = ROOT / "nat_plugin"
MODULES = {
    f"fairseq-{name}": f"fairseq_cli.{name.replace('-', '_')}"
    for name in ("preprocess", "train", "generate", "interactive", "validate", "hydra-train")
}
TIME_LIMIT = 300

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["pytest", "sacrebleu", "sacremoses", "sentencepiece", "subword_nmt.apply_bpe", "torch._dynamo", *MODULES.values()]
)


@dataclass(frozen=True)
class Result:
    """How a command ended.

    Attributes:
        status: the exit status; negative for a signal.
        output: its standard output.
        errors: its standard error.
    """

    status: int
    output: str
    errors: str

    def checked(self) -> Result:
        """Self, when the command succeeded."""
        assert self.status == 0, f"status {self.status}\n{self.output[-3000:]}\n{self.errors[-6000:]}"
        return self

    def refusal(self) -> str:
        """The one sentence with which the command refused bad input; fails when there was another ending."""
        assert self.status not in (0, None), f"it succeeded\n{self.output[-3000:]}"
        assert self.status > 0, f"ended by signal {-self.status}"
        everything = self.output + self.errors
        assert "Traceback" not in everything, everything[-6000:]
        sentences = [line for line in self.errors.splitlines() if line.startswith("error: ")]
        assert len(sentences) == 1, everything[-6000:]
        return sentences[0].removeprefix("error: ")


@dataclass
class Running:
    """A command that was started; :meth:`wait` for it."""

    process: BaseProcess
    folder: tempfile.TemporaryDirectory[str] = field(repr=False)

    def wait(self) -> Result:
        """Wait for the end; a command that takes too long is killed and fails the test."""
        self.process.join(TIME_LIMIT)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        status = self.process.exitcode
        assert status is not None
        texts = [(Path(self.folder.name) / name).read_text(encoding="utf-8") for name in ("stdout", "stderr")]
        self.folder.cleanup()
        return Result(status, *texts)


def start(command: str, *arguments: object, stdin: bytes = b"", file_limit: int | None = None) -> Running:
    """Start one of fairseq's commands with ``--user-dir`` (hydra-train has a setting of its own for it).

    Args:
        arguments: as on a command line.
        stdin: what it reads.
        file_limit: bytes beyond which no file may grow.
    """
    folder = tempfile.TemporaryDirectory(prefix="command.")
    (Path(folder.name) / "stdin").write_bytes(stdin)
    user_dir = [] if command == "fairseq-hydra-train" else ["--user-dir", str(USER_DIR)]
    words = [*map(str, arguments), *user_dir]
    process = SERVER.Process(target=_run, args=(command, words, folder.name, file_limit))
    process.start()
    return Running(process, folder)


def run(command: str, *arguments: object, **settings: Any) -> Result:
    """:func:`start` a command and wait for its end."""
    return start(command, *arguments, **settings).wait()


def run_binary(command: str, *arguments: object, folder: Path, stdin: bytes = b"") -> Result:
    """Run the installed command in a process of its own.

    Args:
        folder: the working directory; ``--user-dir`` is to be among the arguments.
    """
    binary = Path(sys.executable).with_name(command)
    process = subprocess.run(
        [str(binary), *map(str, arguments)],
        cwd=folder,
        env=plain_environment(),
        input=stdin,
        capture_output=True,
        timeout=TIME_LIMIT,
    )
    return Result(process.returncode, process.stdout.decode(), process.stderr.decode())


def plain_environment() -> Mapping[str, str]:
    """This process's environment without what helps Python to find the repository, or hides what it loaded."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")}


def _run(command: str, words: list[str], folder: str, file_limit: int | None) -> None:
    """In the forked process: become the command, in a working directory of its own."""
    os.chdir(folder)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND
        os.dup2(os.open(name, flags, 0o600), number)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, "w" if number else "r") for number in range(3))
    log_to_standard_output()
    sys.path = [entry for entry in sys.path if Path(entry).resolve() != ROOT]  # only --user-dir names it
    sys.argv = [command, *words]
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    status = 0
    try:
        importlib.import_module(MODULES[command]).cli_main()
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        if isinstance(leaving.code, str):
            print(leaving.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        status = 1
    end_workers()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def end_workers() -> None:
    """What Python does at its end and ``os._exit`` does not: data loaders' workers would hold pipes open for 5 s."""
    for child in multiprocessing.active_children():
        child.terminate()
        child.join()


def log_to_standard_output() -> None:
    """fairseq set its logging up when it was imported, in the server; bring it to this process's standard output."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    logging.basicConfig(format="%(levelname)s | %(name)s | %(message)s", level="INFO", stream=sys.stdout)
