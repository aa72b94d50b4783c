"""80/10/10, and which source tokens are to be predicted."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nat_plugin.canvas.random import sentence_uniform
from nat_plugin.canvas.substitution import choose_source_tokens, substitute
from nat_plugin.symbols import word_ids
from tests import helpers

MASK = 99


def test_eight_of_ten_are_hidden_one_is_another_word_and_one_stays() -> None:
    words = torch.tensor([4, 6, 7, 11])
    tokens = torch.full((2000, 20), 5)
    chosen = torch.rand(2000, 20) < 0.5
    filled = substitute(tokens, chosen, torch.rand(2000, 20, dtype=torch.float64), words=words, mask_idx=MASK)
    assert bool((filled[~chosen] == 5).all())
    number = int(chosen.sum())
    shares = torch.bincount(filled[chosen], minlength=100) / number
    spread = 5 * 0.5 / number**0.5
    assert shares[MASK].item() == pytest.approx(0.8, abs=spread)
    assert shares[5].item() == pytest.approx(0.1, abs=spread)
    assert shares[words].tolist() == pytest.approx([0.025] * 4, abs=spread)
    assert shares[words].sum() + shares[5] + shares[MASK] == pytest.approx(1)


def test_the_ends_of_the_draw_are_words_too() -> None:
    edges = torch.tensor([[0.0, 0.8, 0.9 - 2**-53, 0.9, 1 - 2**-53]], dtype=torch.float64)
    filled = substitute(
        torch.zeros(1, 5).long(), torch.ones(1, 5).bool(), edges, words=torch.tensor([7, 8]), mask_idx=MASK
    )
    assert filled.tolist() == [[MASK, 7, 8, 0, 0]]


def test_words_are_no_special_symbols_and_no_fillers() -> None:
    dictionary = helpers.dictionary(3)
    dictionary.pad_to_multiple_(8)
    assert "madeupword0000" in dictionary
    dictionary.add_symbol("late")
    dictionary.add_symbol("madeupword0009", n=2)  # somebody's text does have it
    words = [dictionary[index] for index in word_ids(dictionary)]
    assert words == ["w0", "w1", "w2", "late", "madeupword0009"]


def padded(rows: list[Tensor], left: bool, more: int) -> Tensor:
    """Rows of True, padded to one width."""
    width = max(map(len, rows)) + more
    zeros = [torch.zeros(width - len(row), dtype=torch.bool) for row in rows]
    return torch.stack([torch.cat([zero, row] if left else [row, zero]) for row, zero in zip(rows, zeros, strict=True)])


@given(
    ids=st.lists(st.integers(0, 2**40), min_size=1, max_size=6, unique=True),
    share=st.floats(0, 1),
    left=st.booleans(),
    more=st.integers(0, 4),
    update=st.integers(0, 10**7),
)
def test_source_tokens_are_a_share_and_alike_in_any_batch(
    ids: list[int], share: float, left: bool, more: int, update: int
) -> None:
    # the last token, an end marker, is never to be chosen
    rows = [torch.tensor([True] * (sentence % 12) + [False]) for sentence in ids]
    draw = {"seed": 5, "update": update}
    maskable = padded(rows, left, more)
    together = choose_source_tokens(maskable, share, sentence_ids=torch.tensor(ids), **draw)
    assert not bool((together & ~maskable).any())
    for index, (sentence, row) in enumerate(zip(ids, rows, strict=True)):
        [alone] = choose_source_tokens(row.unsqueeze(0), share, sentence_ids=torch.tensor([sentence]), **draw)
        start = together.size(1) - len(row) if left else 0
        assert together[index, start : start + len(row)].tolist() == alone.tolist()
        assert abs(int(alone.sum()) - share * (len(row) - 1)) < 1 + 1e-9


def test_the_share_holds_on_average_whatever_the_length_and_every_place_is_as_probable() -> None:
    for length in (3, 14):
        maskable = torch.ones(20_000, length, dtype=torch.bool)
        chosen = choose_source_tokens(maskable, 0.1, seed=1, update=2, sentence_ids=torch.arange(20_000)).float()
        assert chosen.mean(0).tolist() == pytest.approx([0.1] * length, abs=5 * 0.3 / 20_000**0.5)


def test_source_and_target_are_masked_independently() -> None:
    """Had they the same numbers, the first source tokens to be chosen were the first target tokens."""
    from nat_plugin.canvas.masking import uniform_mask

    ids, lengths = torch.arange(5000), torch.full((5000,), 6)
    source = choose_source_tokens(torch.ones(5000, 6, dtype=torch.bool), 0.5, seed=1, update=2, sentence_ids=ids)
    target = uniform_mask(lengths, 6, seed=1, update=2, sentence_ids=ids)
    both = torch.stack([source.flatten(), target.flatten()]).double()
    assert abs(torch.corrcoef(both)[0, 1].item()) < 0.03
    assert sentence_uniform(1, 2, ids, 1, 1).ne(sentence_uniform(1, 2, ids, 1, 5)).all()
