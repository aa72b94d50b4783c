"""scripts/submit.py: what SLURM is asked for, and real jobs on this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import submitit

from nat_plugin.errors import UserError
from scripts import submit
from tests.scripts.tiny_training import ROOT

TRAIN = ["train.py", "data=generated", "method=ctc"]


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has SLURM's commands."""
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")


@pytest.mark.usefixtures("slurm")
def test_what_slurm_is_asked_for(tmp_path: Path) -> None:
    words = ["--nodes", "2", "--gpus-per-node", "8", "--hours", "1.5", "--partition", "gpu", "--memory", "100"]
    options = submit.parse_arguments(
        ["--logs", str(tmp_path), *words, "--slurm", "account=nlp", "--requeues", "3", *TRAIN]
    )
    executor = submit.make_executor(options)._executor
    text = executor._make_submission_file_text("python job", "1")
    for line in (
        "--nodes=2", "--gpus-per-node=8", "--ntasks-per-node=1", "--cpus-per-task=64", "--time=90", "--partition=gpu",
        "--mem=100GB", "--account=nlp", "--job-name=train",
    ):  # fmt: skip
        assert f"#SBATCH {line}" in text, line
    assert executor.max_num_timeout == 3
    assert options.command == TRAIN


@pytest.fixture
def job_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In the place of scripts/: one that notes each of its starts, and ends as it is told."""
    (tmp_path / "job.py").write_text(
        "import json, pathlib, sys\n"
        "starts = pathlib.Path('starts.json')\n"
        "told = json.loads(starts.read_text()) if starts.exists() else []\n"
        "starts.write_text(json.dumps([*told, sys.argv[1:]]))\n"
        "sys.exit('bad' in sys.argv)\n"
    )
    monkeypatch.setattr(submit, "SCRIPTS", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "starts.json"


def run_here(options: list[str]) -> submitit.Job[int]:
    """The job as a process of this machine; its class as it is here, where SCRIPTS is another folder."""
    parsed = submit.parse_arguments(["--cluster", "local", "--logs", "logs", *options])
    job = submit.make_executor(parsed).submit(Here(tuple(parsed.command), str(Path.cwd()), str(submit.SCRIPTS)))
    return job


class Here:
    """A :class:`submit.Command` that takes the folder of scripts along into the job's process."""

    def __init__(self, words: tuple[str, ...], folder: str, scripts: str) -> None:
        self.words, self.folder, self.scripts = words, folder, scripts

    def __call__(self) -> int:
        submit.SCRIPTS = Path(self.scripts)
        return submit.Command(self.words, self.folder)()


@pytest.mark.end_to_end
def test_a_job_runs_and_its_failure_is_told(job_script: Path) -> None:
    job = run_here(["job.py", "a", "--b", "c d"])
    assert job.result() == 0
    assert json.loads(job_script.read_text()) == [["a", "--b", "c d"]]
    assert "$ scripts/job.py a --b 'c d'" in (job.stdout() or "")
    failed = run_here(["job.py", "bad"])
    assert "job.py ended with status 1" in str(failed.exception())


def test_what_is_queued_again_is_the_same_command() -> None:
    """What submitit calls when the time is over or the job is preempted; SLURM itself is not here."""
    command = submit.Command(tuple(TRAIN), "/folder")
    delayed = command.checkpoint()
    assert (delayed.function, delayed.args, delayed.kwargs) == (command, (), {})


def test_says_which_job_it_is(
    job_script: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "Command", lambda words, folder: print_words)
    assert submit.main(["--cluster", "local", "--wait", "job.py", "x"]) == 0
    out = capsys.readouterr().out
    assert ": scripts/job.py x\nits output: " in out


def print_words() -> None:
    """A job of no content."""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "there is nothing to run"),
        (["tarin.py"], "there is no scripts/tarin.py"),
        (["--nodes", "0", *TRAIN], "--nodes must be at least 1"),
        (["--hours", "0", *TRAIN], "--hours must be above 0"),
        (["--cluster", "local", "--nodes", "2", *TRAIN], "this machine alone"),
        (["--slurm", "account", *TRAIN], "has no value"),
    ],
)
def test_refuses_in_one_sentence(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        submit.main(words)


def test_without_slurm_or_submitit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(UserError, match="there is no SLURM here"):
        submit.main(["--logs", str(tmp_path), *TRAIN])
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match="needs submitit"):
        submit.main(["--logs", str(tmp_path), *TRAIN])
