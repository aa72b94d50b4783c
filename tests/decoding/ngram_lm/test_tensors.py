"""Models as tensors: the scores of plain dictionaries, for whole batches, whatever the context."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nat_plugin.decoding.ngram_lm import corpus_of_sentences, estimate, read_arpa, write_arpa
from nat_plugin.decoding.ngram_lm.tensors import TensorLm
from nat_plugin.errors import UserError
from tests.decoding.ngram_lm.test_kneser_ney import random_text

SYMBOLS = ["<pad>", *(f"w{index}" for index in range(6)), "never seen"]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("prune", [(), (0, 1)])
def test_scores_are_those_of_dictionaries(order: int, prune: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa"
    write_arpa(estimate(corpus_of_sentences(random_text(5, sentences=150)), order, prune[:order]), path)
    expected, lm = read_arpa(path), TensorLm(path, SYMBOLS)
    tokens = torch.randint(1, len(SYMBOLS), (50, 9), generator=torch.Generator().manual_seed(order))
    state, total = lm.start(50), torch.zeros(50)
    for place in range(9):
        lprobs, state = lm.score(state, lm.word_of[tokens[:, place]])
        total += lprobs
    total += lm.score(state, torch.full((50,), lm.end))[0]
    for row, sentence in enumerate(tokens.tolist()):
        assert total[row].item() == pytest.approx(expected.log_prob([SYMBOLS[token] for token in sentence]), abs=1e-3)


def test_refuses_a_model_without_what_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa"
    write_arpa(estimate(corpus_of_sentences([["a", "b", "a"]]), 3), path)
    whole = path.read_text()
    path.write_text(whole.replace("<unk>", "<other>"))
    with pytest.raises(UserError, match="has no <unk>"):
        TensorLm(path, ["a"])
    path.write_text(whole.replace("\tb a\t", "\tb b\t"))
    with pytest.raises(UserError, match="3-gram without its first 2 words"):
        TensorLm(path, ["a"])
    path.write_text(whole.replace("\tb a\t", "\tb c\t"))
    with pytest.raises(UserError, match="word 'c' that is not among"):
        TensorLm(path, ["a"])
