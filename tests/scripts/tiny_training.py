"""Data and settings with which a real training takes seconds."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from nat_plugin.files import write_json
from scripts.lib.averaging import load_checkpoint

ROOT = Path(__file__).resolve().parents[2]
SOURCE, TARGET = "aa", "bb"
SIZES = {"train": 60, "valid": 12, "test": 8}
WORDS = 20
TEACHER_UPDATES = 60


def make_data(folder: Path, sizes: Mapping[str, int] = SIZES, seed: int = 1) -> Path:
    """Write a data folder as scripts/prepare.py does: the target says the source backwards, in other words."""
    import nat_plugin

    nat_plugin.register()
    from fairseq import options
    from fairseq_cli import preprocess

    generator = random.Random(seed)
    for split, size in sizes.items():
        lengths = [1 + generator.randrange(9) for _ in range(size)]
        numbers = [[generator.randrange(WORDS) for _ in range(length)] for length in lengths]
        sides = {
            SOURCE: [" ".join(f"s{number}" for number in line) for line in numbers],
            TARGET: [" ".join(f"t{number}" for number in reversed(line)) for line in numbers],
        }
        for language, lines in sides.items():
            for kind in ("raw", "tok", "bpe"):
                path = folder / kind / f"{split}.{language}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    flags = ["--task", "nat_translation", "--source-lang", SOURCE, "--target-lang", TARGET, "--joined-dictionary"]
    prefixes = [part for split in sizes for part in (f"--{split}pref", str(folder / "bpe" / split))]
    flags += [*prefixes, "--destdir", str(folder), "--workers", "1"]
    preprocess.main(options.get_preprocessing_parser("nat_translation").parse_args(flags))
    record = {
        "source_lang": SOURCE,
        "target_lang": TARGET,
        "options": {"tokenizer": {SOURCE: "none", TARGET: "none"}, "subword": "none"},
    }
    write_json(folder / "prepare.json", record)
    return folder


def settings(data: Path, run: Path, method: str = "teacher", **fairseq: object) -> list[str]:
    """Words for scripts/train.py: a model of a few thousand parameters, a few updates."""
    return [f"data={data}", f"run={run}", f"method={method}", *shared_settings(**fairseq)]


def shared_settings(**fairseq: object) -> list[str]:
    """Those of all data and methods."""
    flags: dict[str, object] = {
        "encoder_embed_dim": 16,
        "decoder_embed_dim": 16,
        "encoder_ffn_embed_dim": 16,
        "decoder_ffn_embed_dim": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "max_update": 6,
        "warmup_updates": 2,
        "lr": 0.01,
        "log_interval": 1,
        "num_workers": 0,
        **fairseq,
    }
    given = (f"fairseq.{name}={json.dumps(value)}" for name, value in flags.items())
    return ["machine=cpu", "batch_tokens=200", *given]


def train(words: list[str]) -> None:
    """scripts/train.py in this process (fairseq-train is one of its own)."""
    from scripts.train import main

    main(words)


def start_script(name: str, words: list[str]) -> subprocess.Popen[str]:
    """A script as a user starts it, from the root of the repository; with what it starts it is a process group."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / name), *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=os.setpgrp,
    )


def kill(process: subprocess.Popen[str]) -> None:
    """kill -9, and wait until what the script has started has ended by itself."""
    process.kill()
    process.wait()
    assert wait_until_gone(process.pid, seconds=30), "what was killed left processes behind"


def wait_until_gone(group: int, seconds: float) -> bool:
    """Wait until no process of the group is left; False if some are after ``seconds``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.002)
    return False


def run_script(name: str, words: list[str]) -> tuple[int, str]:
    """Run a script to its end: exit status, and both its outputs."""
    process = start_script(name, words)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 200) -> None:
    """Wait until ``condition`` holds, but fail when the process ends before."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"ended too early: {process.stdout.read() if process.stdout else ''}"
        assert time.monotonic() < end, "took too long"
        time.sleep(0.005)


def parameters(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The model's parameters by name."""
    model: dict[str, torch.Tensor] = load_checkpoint(checkpoint)["model"]
    return model


def assert_same_parameters(first: Path, second: Path) -> None:
    """The two checkpoints hold the same parameters, bit for bit."""
    left, right = parameters(first), parameters(second)
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert torch.equal(value, right[name]), name


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], object]]:
    """Mount a file system of ``size`` at ``folder``; yields a function that changes its size. Needs root, or skips."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o"]
    made = subprocess.run([*mount, f"size={size}", "none", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield lambda new: subprocess.check_call([*mount, f"remount,size={new}", "none", str(folder)])
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
