"""scripts/train_lm.py: from text and from binarised data, with and without lmplz, and what it refuses."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest

from nat_plugin.decoding.ngram_lm import read_arpa
from nat_plugin.errors import UserError
from scripts.train_lm import main

TEXT = ["w0 w1 w2", "w1 w2", "w0 <unk> w2 w2", "w2 w0 w1"]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "train.bpe.de"
    path.write_text("".join(f"{line}\n" for line in TEXT), encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The same sentences as fairseq-preprocess binarises them."""
    folder = tmp_path / "data"
    folder.mkdir()
    symbols = ["<s>", "<pad>", "</s>", "<unk>", "w0", "w1", "w2", "<mask>", "<blank>"]
    (folder / "dict.de.txt").write_text("".join(f"{symbol} 1\n" for symbol in symbols[4:]))
    sentences = [[symbols.index(word) for word in line.split()] + [2] for line in TEXT]
    sizes = np.array([len(sentence) for sentence in sentences], dtype=np.int32)
    for split in ("train", "valid"):
        np.concatenate(sentences).astype(np.uint16).tofile(folder / f"{split}.en-de.de.bin")
        header = b"MMIDIDX\x00\x00" + struct.pack("<QBQ", 1, 8, len(sizes))
        pointers = (np.cumsum(sizes) - sizes).astype(np.int64) * 2
        (folder / f"{split}.en-de.de.idx").write_bytes(header + sizes.tobytes() + pointers.tobytes())
        (folder / f"{split}.en-de.en.idx").write_bytes(b"not read")
    return folder


def test_text_and_binarised_data_give_one_model(
    text: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(text), "--order", "3"])
    main([str(data), "--order", "3", "--perplexity", "valid"])
    made = data / "ngram_lm" / "train.de.3gram.arpa"
    assert made.read_bytes() == (tmp_path / "train.bpe.de.3gram.arpa").read_bytes()
    assert ("w0", "<unk>", "w2") in read_arpa(made).orders[2]
    output = capsys.readouterr().out
    assert "lmplz's fallbacks" in output
    perplexity = re.search(r"perplexity on valid: ([\d.]+) \(16 tokens, 0 of them unknown\)", output)
    assert perplexity
    assert 1 < float(perplexity[1]) < 5
    main([str(data), "--split", "valid", "--lang", "de", "--order", "2", "--output", str(tmp_path / "own.arpa")])
    assert len(read_arpa(tmp_path / "own.arpa").orders) == 2


def test_dry_run_writes_nothing(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(data), "--dry-run"])
    assert "would estimate 4-grams of 4 sentences with 12 tokens" in capsys.readouterr().out
    assert not (data / "ngram_lm").exists()


def test_empty_lines_are_counted(text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text.write_text(text.read_text() + "\n  \n")
    main([str(text), "--order", "2"])
    assert "2 of 6 lines are empty" in capsys.readouterr().out


def test_lmplz_is_run_on_the_same_text(text: Path, tmp_path: Path) -> None:
    program = tmp_path / "lmplz"
    program.write_text(
        '#!/bin/sh\necho "$@" > "$(dirname "$0")/flags"\n'
        'while [ $# -gt 0 ]; do case $1 in --text) t=$2;; --arpa) a=$2;; esac; shift; done; cp "$t" "$a"\n'
    )
    with pytest.raises(UserError, match="no program that can be run"):
        main([str(text), "--lmplz", str(program)])
    program.chmod(0o755)
    main(
        [str(text), "--lmplz", str(program), "--order", "3", "--prune", "0", "1", "--output", str(tmp_path / "x.arpa")]
    )
    assert (tmp_path / "x.arpa").read_text() == text.read_text()
    assert "-o 3 --discount_fallback" in (tmp_path / "flags").read_text()
    assert (tmp_path / "flags").read_text().endswith("--prune 0 1\n")
    program.write_text("#!/bin/sh\necho counting >&2\necho no memory >&2\nexit 3\n")
    with pytest.raises(UserError, match="failed with status 3: no memory"):
        main([str(text), "--lmplz", str(program), "--output", str(tmp_path / "y.arpa")])
    assert not (tmp_path / "y.arpa").exists()
    assert not list(tmp_path.glob(".lmplz.*"))


def test_refuses_bad_input(text: Path, data: Path, tmp_path: Path) -> None:
    for arguments, message in {
        (str(tmp_path / "none"),): "there is no file",
        (str(data), "--split", "test"): "no such binarised side for split 'test'",
        (str(data), "--lang", "fr"): "no such binarised side .* --lang fr",
        (str(text), "--lang", "de"): "drop it",
        (str(text), "--order", "0"): "--order must be at least 1",
        (str(text), "--order", "9"): "lower --order to 6",
        (str(text), "--output", str(tmp_path)): "is a folder",
        (str(text), "--perplexity", "nowhere", "--order", "2"): "--perplexity nowhere is no file",
    }.items():
        with pytest.raises(UserError, match=message):
            main(list(arguments))
    text.write_text("a b\nc </s>\n")
    with pytest.raises(UserError, match="sentence 2 holds"):
        main([str(text)])
    (data / "dict.de.txt").write_text("w0 1\n")
    with pytest.raises(UserError, match="only 5 entries"):
        main([str(data)])
