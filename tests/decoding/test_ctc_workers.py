"""Searching in other processes: the same results in the same order, and no waiting for the dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nat_plugin.decoding.ctc_beam import CtcBeamDecoder, CtcBeamOptions, top_tokens
from nat_plugin.decoding.ctc_workers import SearchWorkers
from nat_plugin.errors import UserError
from tests.decoding.ctc_enumeration import BLANK, SYMBOLS, canvas, language_model

pytest.importorskip("flashlight.lib.text")


def test_workers_give_what_one_process_gives(tmp_path: Path) -> None:
    path, _ = language_model(3, tmp_path)
    options = CtcBeamOptions(beam=20, lm_path=str(path), lm_weight=0.5, token_bonus=1.0)
    lprobs = torch.stack([canvas(9, seed) for seed in range(40)]).float()
    lengths = torch.arange(40) % 9 + 1
    here, there = (CtcBeamDecoder(SYMBOLS, BLANK, replace(options, workers=count)) for count in (1, 3))
    try:
        # several batches are under way at a time, and come back in the order in which they are asked for
        pending = [there.submit(top_tokens(lprobs[rows], 4), lengths[rows]) for rows in torch.arange(40).split(7)]
        expected = here.decode(lprobs, lengths)
        assert [entry for batch in pending for entry in batch.result()] == expected
    finally:
        there.close()


def test_a_killed_worker_ends_the_search_with_one_sentence() -> None:
    decoder = CtcBeamDecoder(SYMBOLS, BLANK, CtcBeamOptions(workers=2))
    workers = decoder._search
    assert isinstance(workers, SearchWorkers)
    lprobs, lengths = torch.stack([canvas(9, 0)] * 4).float(), torch.tensor([9] * 4)
    assert len(decoder.decode(lprobs, lengths)) == 4
    for process in workers._processes:
        os.kill(process.pid, signal.SIGKILL)
    started = time.monotonic()
    with pytest.raises(UserError, match="use fewer --ctc-workers"):
        decoder.decode(lprobs, lengths)
    assert time.monotonic() - started < 20
    decoder.close()


def test_workers_refuse_as_one_process_does(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        CtcBeamDecoder(SYMBOLS, BLANK, CtcBeamOptions(workers=2, lm_path=str(tmp_path / "none.arpa")))


def test_workers_end_with_the_process_that_started_them() -> None:
    program = (
        "import os, signal\n"
        "from nat_plugin.decoding.ctc_search import SearchOptions\n"
        "from nat_plugin.decoding.ctc_workers import SearchWorkers\n"
        f"workers = SearchWorkers({SYMBOLS!r}, {BLANK}, SearchOptions(), 2)\n"
        "print(*(process.pid for process in workers._processes), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=60)
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    deadline = time.monotonic() + 20
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline, "the workers outlived their parent"
        time.sleep(0.05)


def test_a_worker_imports_neither_torch_nor_fairseq() -> None:
    program = "import sys, nat_plugin.decoding.ctc_workers; print(*({'torch', 'fairseq'} & set(sys.modules)))"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == []


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
