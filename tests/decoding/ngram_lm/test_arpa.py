"""ARPA files: read back as KenLM's own code reads them, and refused where damaged."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import pytest

from nat_plugin.decoding.ngram_lm import corpus_of_sentences, estimate, read_arpa, read_vocabulary, write_arpa
from nat_plugin.errors import UserError
from tests.decoding.ngram_lm.test_kneser_ney import random_text


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("prune", [(), (0, 1)])
def test_kenlm_gives_the_same_scores(order: int, prune: tuple[int, ...], tmp_path: Path) -> None:
    decoder = pytest.importorskip("flashlight.lib.text.decoder.kenlm")
    dictionary = pytest.importorskip("flashlight.lib.text.dictionary")
    text = random_text(2, sentences=200)
    path = tmp_path / "lm.arpa"
    write_arpa(estimate(corpus_of_sentences(text), order, prune), path)
    ours = read_arpa(path)
    words = [f"w{index}" for index in range(6)] + ["never seen"]
    kenlm = decoder.KenLM(str(path), dictionary.Dictionary(words))
    for sentence in [*random_text(9, longest=9), ["never seen", "w1", "never seen"], []]:
        state, total = kenlm.start(False), 0.0
        for word in sentence:
            state, score = kenlm.score(state, words.index(word))
            total += score
        total += kenlm.finish(state)[1]
        assert ours.log_prob(sentence) == pytest.approx(total * math.log(10), abs=1e-4)


def test_vocabulary_is_read_from_plain_and_packed_files(tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa"
    write_arpa(estimate(corpus_of_sentences([["ä", "b\u3000c"]]), 2), path)
    assert read_vocabulary(path) == {"<unk>", "<s>", "</s>", "ä", "b\u3000c"}
    with gzip.open(tmp_path / "lm.arpa.gz", "wb") as handle:
        handle.write(path.read_bytes())
    assert read_vocabulary(tmp_path / "lm.arpa.gz") == read_vocabulary(path)


def test_writing_is_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa"
    path.write_text("before")

    def stop(lines: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_arpa(estimate(corpus_of_sentences([["a"]]), 2), path, stop)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_refuses_what_is_no_arpa_file_or_damaged(tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa"
    with pytest.raises(UserError, match="cannot be read"):
        read_arpa(path)
    write_arpa(estimate(corpus_of_sentences([["a", "b", "a"]]), 3), path)
    whole = path.read_text()
    for text, message in {
        "": r"arpa:0 does not begin with \\data\\",
        "hello\n": r"arpa:1 does not begin",
        "\\data\\\n\n": "names no orders",
        "\\data\\\nngram 2=3\n\n": "no line 'ngram 1=",
        whole[:120]: "cut off or damaged|no section|with its probability",
        whole.replace("-0.", "-zero.", 1): "no 1-gram with its probability",
        whole.replace("\\3-grams:", "\\4-grams:"): r"no section \\3-grams:",
    }.items():
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            read_arpa(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read"):
        read_arpa(path)
