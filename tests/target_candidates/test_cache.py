"""The file of sentence BLEU: made once, never stale, whole or absent."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nat_plugin.errors import UserError
from nat_plugin.target_candidates import cache
from nat_plugin.target_candidates.cache import candidate_bleu
from nat_plugin.target_candidates.sentence_bleu import sentence_bleu
from nat_plugin.target_candidates.words import SubwordMarks, Tokens

SYMBOLS = ["</s>", *(f"w{number}" for number in range(6)), "b@@"]


def made_up(seed: int, sentences: int = 30) -> list[Tokens]:
    """Three texts of ``sentences`` sentences."""
    draw = np.random.default_rng(seed)
    lines = [[draw.integers(1, len(SYMBOLS), draw.integers(1, 9)) for _ in range(sentences)] for _ in range(3)]
    return [
        Tokens(np.concatenate([np.append(line, 0) for line in text]), np.array([len(line) + 1 for line in text]))
        for text in lines
    ]


def count_work(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets an entry whenever the file is written."""
    calls: list[int] = []
    write = cache._write

    def counted(*arguments: Any) -> None:
        calls.append(1)
        write(*arguments)

    monkeypatch.setattr(cache, "_write", counted)
    return calls


def test_is_computed_once_for_a_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count_work(monkeypatch)
    texts = made_up(1)
    found = candidate_bleu(texts, SYMBOLS, tmp_path)
    words = [SubwordMarks(SYMBOLS).lines(text) for text in texts]
    np.testing.assert_allclose(found, sentence_bleu(words, words), rtol=1e-6)
    assert isinstance(found, np.memmap)
    again = candidate_bleu([Tokens(text.tokens.copy(), text.sizes) for text in texts], SYMBOLS, tmp_path)
    assert np.array_equal(found, again)
    assert len(calls) == 1
    changed = [texts[0], texts[1], Tokens(texts[2].tokens.copy(), texts[2].sizes)]
    changed[2].tokens[0] = 1 + changed[2].tokens[0] % 6
    assert not np.array_equal(candidate_bleu(changed, SYMBOLS, tmp_path), found)
    candidate_bleu(texts, [*SYMBOLS[:-1], "b"], tmp_path)  # other marks, other words
    candidate_bleu(texts[::-1], SYMBOLS, tmp_path)
    assert len(calls) == 4
    assert not list(tmp_path.glob("*.tmp"))


def test_several_processes_compute_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = np.array(candidate_bleu(made_up(1), SYMBOLS, tmp_path / "alone"))
    monkeypatch.setattr(cache, "_SENTENCES_AT_ONCE", 7)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    assert np.array_equal(candidate_bleu(made_up(1), SYMBOLS, tmp_path / "together"), alone)


def test_a_damaged_file_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = np.array(candidate_bleu(made_up(1), SYMBOLS, tmp_path))
    [path] = tmp_path.glob("*.npy")
    for content in (path.read_bytes()[:-50], b"", b"not numpy's"):
        path.write_bytes(content)
        assert np.array_equal(candidate_bleu(made_up(1), SYMBOLS, tmp_path), found)


def _slow(folder: Path, log: Path) -> None:
    write = cache._write

    def slow(*arguments: Any) -> None:
        with open(log, "a", encoding="utf-8") as handle:
            handle.write("made\n")
        time.sleep(0.3)
        write(*arguments)

    cache._write = slow  # type: ignore[assignment]
    candidate_bleu(made_up(2), SYMBOLS, folder)


def test_of_several_processes_one_makes_it(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    started = [fork.Process(target=_slow, args=(tmp_path / "cache", tmp_path / "log")) for _ in range(3)]
    for process in started:
        process.start()
    for process in started:
        process.join()
        assert process.exitcode == 0
    assert (tmp_path / "log").read_text() == "made\n"


def test_a_folder_without_locks_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lustre without ``-o flock``: an array that two processes make at once is as good, and is renamed whole."""

    def refuse(handle: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert candidate_bleu(made_up(1), SYMBOLS, tmp_path).shape == (30, 3, 3)
    assert f"note: {tmp_path} cannot be locked" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file cannot take the sentence BLEU .* --candidate-cache"):
        candidate_bleu(made_up(1), SYMBOLS, tmp_path / "file")
