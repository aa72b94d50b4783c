"""scripts/lib/generation.py: commands, output lines, and processes that fail."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from nat_plugin.errors import UserError
from scripts.lib import generation
from scripts.lib.generation import (
    Hypothesis,
    check_complete,
    default_threads,
    executable,
    failure_sentence,
    generate_command,
    parse_generate_output,
    run_generate,
)

OUTPUT = """\
2024-01-01 10:00:00 | INFO | fairseq_cli.generate | {'_name': None, 'beam': 5}
S-1\tein Satz
T-1\ta sentence
H-1\t-0.25\ta sent@@ ence
D-1\t-0.25\ta sent@@ ence
P-1\t-0.1000 -0.2000 -0.4500 -0.2500
H-1\t-1.5\tone sentence
D-1\t-1.5\tone sentence
P-1\t-1.0000 -2.0000 -1.5000
S-0\t
H-0\t-inf\t
D-0\t-inf\t
P-0\t
E-0_0\tH-9 is no hypothesis
INFO | fairseq_cli.generate | Translated 2 sentences (9 tokens) in 0.1s (16.00 sentences/s, 72.00 tokens/s)
Generate test with beam=5: BLEU4 = 0.00
"""


def test_lines_are_read_with_the_nbest_in_order() -> None:
    assert parse_generate_output(OUTPUT.splitlines(keepends=True)) == {
        1: [
            Hypothesis("a sent@@ ence", -0.25, (-0.1, -0.2, -0.45, -0.25)),
            Hypothesis("one sentence", -1.5, (-1.0, -2.0, -1.5)),
        ],
        0: [Hypothesis("", float("-inf"), ())],
    }


def test_only_newlines_end_a_line() -> None:
    (hypothesis,) = parse_generate_output(["H-0\t-1.0\ta\x85b \u2028 c\n"])[0]
    assert hypothesis.tokens == "a\x85b \u2028 c"


@pytest.mark.parametrize("line", ["H-0\tnone\ta", "P-0\t-1.0", "H-0\t\n"])
def test_damaged_lines_are_refused(line: str) -> None:
    with pytest.raises(UserError, match="cannot be read: the output is damaged"):
        parse_generate_output([line])


def test_command_is_plain_fairseq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = generate_command(
        "data-bin/toy",
        tmp_path / "runs" / "a.pt",
        task="nat_translation",
        flags={"length-multiplier": 1.05, "deduplicate": True, "cpu": False, "seed": None, "--iterations": 4},
        split="valid",
        user_dir=tmp_path / "nat_plugin",
    )
    assert " ".join(command) == (
        "fairseq-generate data-bin/toy --user-dir nat_plugin --task nat_translation --path runs/a.pt "
        "--gen-subset valid --required-batch-size-multiple 1 --no-progress-bar --length-multiplier 1.05 --deduplicate "
        "--iterations 4"
    )


def test_paths_outside_the_working_directory_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    command = generate_command("../data", "m.pt", task="translation", flags={})
    assert command[1] == str(tmp_path / "data")


@pytest.mark.parametrize("flag", ["path", "gen-subset", "quiet", "results_path", "--task", "user_dir"])
def test_flags_that_would_hide_the_output_are_refused(flag: str) -> None:
    with pytest.raises(UserError, match=f"--{flag.lstrip('-').replace('_', '-')} cannot be a decoding flag: use "):
        generate_command("d", "m.pt", task="translation", flags={flag: "x"})


def found(counts: dict[int, int]) -> dict[int, list[Hypothesis]]:
    return {sentence: [Hypothesis("a", 0.0)] * number for sentence, number in counts.items()}


def test_complete_output_passes() -> None:
    check_complete(found({2: 1, 0: 1, 1: 1}), 3)
    check_complete(found({0: 2, 1: 1}), 2, nbest=2)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({0: 1, 3: 1}, r"translate 4 sentences .* 2 missing \(first: 1\)"),
        ({0: 1, 1: 2, 2: 1, 3: 1}, r"1 there more than once \(first: 1\)"),
        ({0: 1, 1: 1, 2: 1, 3: 1, 9: 1, 7: 1}, r"2 unknown \(first: 7\)"),
        ({0: 1, 1: 1, 2: 1, 4: 2}, "1 missing .* 1 unknown .* 1 there more than once"),
    ],
)
def test_incomplete_output_is_refused_with_counts(counts: dict[int, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_complete(found(counts), 4)


TRACEBACK = """\
INFO:fairseq.tasks.text_to_speech:Please install tensorboardX
Traceback (most recent call last):
  File "a.py", line 1, in f
    load()
    ^^^^^^
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "b.py", line 2, in g
    raise error
RuntimeError: Error(s) in loading state_dict for TransformerModel:
\tsize mismatch for encoder.embed_tokens.weight: copying a param
[W ProcessGroup] leaving
"""


@pytest.mark.parametrize(
    ("stderr", "status", "sentence"),
    [
        (TRACEBACK, 1, "RuntimeError: Error(s) in loading state_dict for TransformerModel:"),
        ("usage: x [-h]\nfairseq-generate: error: unrecognized arguments: --x\n", 2, "unrecognized arguments: --x"),
        ("a warning\nerror: data/a.pt is truncated: copy it again.\n", 1, "data/a.pt is truncated: copy it again."),
        ("Traceback (most recent call last):\n  f()\nnat_plugin.errors.UserError: λ is 0.\n", 1, "λ is 0."),
        ("Killed by something\n\n", 1, "Killed by something"),
        ("", 3, "exit status 3"),
        ("", -9, "it was ended by signal 9, as happens when memory runs out: lower --max-tokens or --batch-size."),
    ],
)
def test_the_reason_of_a_failure_is_found(stderr: str, status: int, sentence: str) -> None:
    assert failure_sentence(stderr.splitlines(), status) == sentence


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns a function that makes ``source`` the program that stands in for fairseq-generate."""

    def install(source: str) -> None:
        path = tmp_path / "stand_in.py"
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        monkeypatch.setattr(generation, "executable", lambda name: [sys.executable, str(path)])

    return install


def test_output_is_read_and_logged(program: Any, tmp_path: Path) -> None:
    program(
        f"""
        import os, sys
        print("warning: from the other stream", file=sys.stderr)
        print({OUTPUT!r}, end="")
        print("threads", os.environ["OMP_NUM_THREADS"])
        """
    )
    log = tmp_path / "results" / "test.log"
    result = run_generate(["fairseq-generate", "data dir", "x"], log, sentences=2, threads=3)
    assert result.hypotheses == parse_generate_output(OUTPUT.splitlines())
    assert (result.sentences, result.threads) == (2, 3)
    assert result.seconds == 2 / 16  # finer than the printed 0.1 s
    assert result.ms_per_sentence == 62.5
    text = log.read_text(encoding="utf-8")
    assert text.startswith("$ fairseq-generate 'data dir' x\n" + OUTPUT)
    assert text.endswith("threads 3\nwarning: from the other stream\n")


@pytest.mark.parametrize(
    ("line", "sentences", "seconds"),
    [
        ("Translated 3,003 sentences (90,090 tokens) in 12.3s (244.00 sentences/s, 7.0 tokens/s)", 3003, 3003 / 244),
        ("Translated 4 sentences (9 tokens) in 1600.2s (0.00 sentences/s, 0.01 tokens/s)", 4, 1600.2),
    ],
)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_time_is_found_in_either_stream(
    program: Any, tmp_path: Path, line: str, sentences: int, seconds: float, stream: str
) -> None:
    program(f"import sys; print('INFO:fairseq_cli.generate:{line}', file=sys.{stream})")
    result = run_generate(["fairseq-generate"], tmp_path / "log")
    assert (result.sentences, result.seconds) == (sentences, seconds)


def test_failure_carries_the_reason_and_the_log(program: Any, tmp_path: Path) -> None:
    program("import sys; print('S-0\\ta'); sys.exit('error: λ must be above 0.')")
    with pytest.raises(UserError, match=r"fairseq-generate failed: λ must be above 0\. \(its log: .*test\.log\)"):
        run_generate(["fairseq-generate"], tmp_path / "test.log")
    assert (tmp_path / "test.log").read_text(encoding="utf-8").endswith("S-0\ta\nerror: λ must be above 0.\n")


def test_the_log_of_before_stays_until_the_new_one_is_whole(program: Any, tmp_path: Path) -> None:
    log = tmp_path / "test.log"
    log.write_text("of before")
    program(f"print('S-0\\ta', open({str(log)!r}).read()); print({OUTPUT!r}, end='')")
    run_generate(["fairseq-generate"], log)
    assert "S-0\ta of before\n" in log.read_text(encoding="utf-8")


def test_a_killed_process_is_reported(program: Any, tmp_path: Path) -> None:
    program("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(UserError, match="ended by signal 9, as happens when memory runs out"):
        run_generate(["fairseq-generate"], tmp_path / "log")


def test_no_translation_at_all_is_reported(program: Any, tmp_path: Path) -> None:
    program("print('done')")
    with pytest.raises(UserError, match="translated nothing"):
        run_generate(["fairseq-generate"], tmp_path / "log")


def test_the_process_is_stopped_when_reading_fails(program: Any, tmp_path: Path) -> None:
    program(
        """
        import os, time
        open("pid", "w").write(str(os.getpid()))
        print("H-0\\tdamaged\\ta", flush=True)
        time.sleep(60)
        """.replace('"pid"', repr(str(tmp_path / "pid")))
    )
    started = time.monotonic()
    with pytest.raises(UserError, match="damaged"):
        run_generate(["fairseq-generate"], tmp_path / "log")
    assert time.monotonic() - started < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_the_command_of_this_environment_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    assert executable("fairseq-generate") == [str(python), "-m", "fairseq_cli.generate"]
    assert executable("fairseq-hydra-train") == [str(python), "-m", "fairseq_cli.hydra_train"]
    beside = tmp_path / "fairseq-generate"
    beside.touch(mode=0o755)
    assert executable("fairseq-generate") == [str(beside)]


def test_default_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert default_threads() == 5
    for unusable in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", unusable)
        assert default_threads() >= 1
