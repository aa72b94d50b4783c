"""Masks: how many, where, and that they depend on the sentence alone."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from nat_plugin.canvas.lengths import build_canvas, scaled_lengths
from nat_plugin.canvas.masking import uniform_mask
from nat_plugin.canvas.random import sentence_uniform
from nat_plugin.padding import length_mask


def test_uniform_numbers_look_uniform() -> None:
    draws = sentence_uniform(3, 17, torch.arange(2000), 20)
    assert abs(draws.mean().item() - 0.5) < 0.01
    assert abs(draws.std().item() - 12**-0.5) < 0.005
    histogram = torch.histc(draws.float(), bins=10, min=0, max=1)
    assert ((histogram - 4000).abs() < 5 * 4000**0.5).all()
    for other in (sentence_uniform(3, 18, torch.arange(2000), 20), sentence_uniform(4, 17, torch.arange(2000), 20)):
        assert abs(torch.corrcoef(torch.stack([draws.flatten(), other.flatten()]))[0, 1].item()) < 0.02


@given(
    ids=st.lists(st.integers(0, 2**40), min_size=1, max_size=6, unique=True),
    padding=st.integers(0, 5),
    seed=st.integers(0, 2**31),
    update=st.integers(0, 10**7),
)
def test_a_sentence_has_its_mask_in_any_batch(ids: list[int], padding: int, seed: int, update: int) -> None:
    lengths = torch.tensor([1 + sentence % 9 for sentence in ids])
    width = int(lengths.max())
    together = uniform_mask(lengths, width + padding, seed=seed, update=update, sentence_ids=torch.tensor(ids))
    for index, sentence in enumerate(ids):
        n = int(lengths[index])
        alone = uniform_mask(
            lengths[index : index + 1], n, seed=seed, update=update, sentence_ids=torch.tensor([sentence])
        )
        assert together[index, :n].tolist() == alone[0].tolist()
        assert not together[index, n:].any()
        assert 1 <= int(alone.sum()) <= n


def test_the_number_of_masks_is_uniform_and_so_is_their_place() -> None:
    lengths = torch.full((30_000,), 5)
    masks = uniform_mask(lengths, 7, seed=1, update=4, sentence_ids=torch.arange(30_000))
    counts = torch.bincount(masks.sum(1), minlength=6)
    assert counts[0] == 0
    assert ((counts[1:] - 6000).abs() < 5 * 6000**0.5).all()
    share = masks[:, :5].float().mean(0)
    assert (share - 0.6).abs().max() < 0.02


def test_masks_change_from_update_to_update() -> None:
    lengths, ids = torch.full((50,), 8), torch.arange(50)
    first, second = (uniform_mask(lengths, 8, seed=1, update=update, sentence_ids=ids) for update in (1, 2))
    assert (first != second).any(1).float().mean() > 0.8


def test_what_is_real_of_a_padded_batch() -> None:
    assert length_mask(torch.tensor([2, 0, 3]), 3).tolist() == [[True, True, False], [False] * 3, [True] * 3]


def test_lengths_are_multiplied_and_kept_in_bounds() -> None:
    lengths = torch.tensor([[1, 10, 25, 300]])
    assert scaled_lengths(lengths, 1.0, 100).tolist() == [[1, 10, 25, 100]]
    assert scaled_lengths(lengths, 1.05, 1000).tolist() == [[1, 11, 26, 315]]  # 10.5 is rounded up
    assert scaled_lengths(lengths, 0.01, 1000).tolist() == [[1, 1, 1, 3]]


def test_canvas_ends_in_its_marker() -> None:
    slots = torch.tensor([[7, 7, 7], [7, 7, 7]])
    canvas = build_canvas(slots, torch.tensor([3, 1]), pad_idx=1, eos_idx=2)
    assert canvas.tolist() == [[7, 7, 7, 2], [7, 2, 1, 1]]
