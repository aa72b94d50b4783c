"""The task: dictionaries, batches, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq.data import Dictionary

from nat_plugin.errors import UserError
from nat_plugin.symbols import BLANK, MASK
from nat_plugin.tasks.batches import split_to_multiple
from nat_plugin.tasks.dictionaries import load_dictionary
from tests import helpers


def test_symbols_are_appended_once_and_last(tmp_path: Path) -> None:
    plain = Dictionary()
    for word in ("a", "b", "madeupword0000"):
        plain.add_symbol(word)
    plain.save(str(tmp_path / "dict.x.txt"))
    loaded = load_dictionary(str(tmp_path / "dict.x.txt"))
    assert loaded.symbols[: len(plain)] == plain.symbols
    assert loaded.symbols[-2:] == [MASK, BLANK]
    loaded.save(str(tmp_path / "dict.y.txt"))
    assert load_dictionary(str(tmp_path / "dict.y.txt")).symbols == loaded.symbols


def test_refuses_missing_and_broken_dictionaries(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no dictionary"):
        load_dictionary(str(tmp_path / "dict.x.txt"))
    (tmp_path / "dict.x.txt").write_text("no count here\n")
    with pytest.raises(UserError, match="not a fairseq dictionary"):
        load_dictionary(str(tmp_path / "dict.x.txt"))


@pytest.mark.parametrize("count", [1, 7, 8, 96, 101])
@pytest.mark.parametrize("shards", [1, 3])
def test_every_sentence_is_in_a_batch(count: int, shards: int) -> None:
    task = helpers.task()
    data = helpers.dataset(task, helpers.pairs(count, seed=count))
    seen: list[int] = []
    numbers = []
    for shard in range(shards):
        iterator = task.get_batch_iterator(
            data,
            max_tokens=40,
            max_positions=(64, 64),
            required_batch_size_multiple=8,
            num_shards=shards,
            shard_id=shard,
            disable_iterator_cache=True,
        ).next_epoch_itr(shuffle=False)
        batches = [sample for sample in iterator if sample]
        numbers.append(len(batches))
        seen += [sentence for sample in batches for sentence in sample["id"].tolist()]
    assert sorted(seen) == list(range(count))
    if count >= 8:
        assert len(set(numbers)) == 1


def test_batches_are_split_until_they_divide() -> None:
    batches = [np.arange(10), np.arange(3), np.arange(4), np.arange(1)]
    split = split_to_multiple(batches, 3)
    assert len(split) == 6
    assert sorted(np.concatenate(split)) == sorted(np.concatenate(batches))
    assert len(split_to_multiple([np.arange(1)], 4)) == 1


def test_a_checkpoint_of_other_dictionaries_of_the_same_size_is_refused() -> None:
    task, other, older = helpers.task(), helpers.task(), {"more": 1}
    first, second = (other.target_dictionary.index(word) for word in ("w0", "w1"))
    symbols = other.target_dictionary.symbols
    symbols[first], symbols[second] = symbols[second], symbols[first]
    assert len(other.target_dictionary) == len(task.target_dictionary)
    task.load_state_dict(helpers.task().state_dict())
    task.load_state_dict(older)
    assert task.state.more == 1
    with pytest.raises(UserError, match="trained with another source and another target dictionary than that of none"):
        task.load_state_dict(other.state_dict())


def test_over_long_sentences_are_refused_or_counted(caplog: pytest.LogCaptureFixture) -> None:
    task = helpers.task()
    sentences = [*helpers.pairs(3), ([1] * 70, [1, 2])]
    data = helpers.dataset(task, sentences)
    indices = np.arange(len(data))
    with pytest.raises(UserError, match="1 of 4 sentences are too long"):
        task.filter_indices_by_size(indices, data, (64, 64))
    with pytest.raises(
        UserError, match=r"number 4 has 71 source and 3 target tokens .*, at most 50 and 50 fit.*raise --max-tokens"
    ):
        task.get_batch_iterator(data, max_tokens=50, max_positions=(128, 128))
    kept = task.filter_indices_by_size(indices, data, (64, 64), ignore_invalid_inputs=True)
    assert list(kept) == [0, 1, 2]
    assert "1 of 4 sentences" in caplog.text


def test_lines_that_are_too_long_may_be_all_that_there_is_of_a_buffer(caplog: pytest.LogCaptureFixture) -> None:
    """As where fairseq-interactive reads one line after the other; of a split something must be left."""
    task = helpers.task()
    buffer = task.build_dataset_for_inference([torch.full((71,), 5)], [71])
    batches = task.get_batch_iterator(buffer, max_tokens=50, max_positions=(64, 64), ignore_invalid_inputs=True)
    assert list(batches.next_epoch_itr(shuffle=False)) == []
    assert "1 of 1 sentences are too long and are left out: number 1 has 71 source tokens" in caplog.text
    task.datasets["valid"] = buffer
    with pytest.raises(UserError, match="1 of 1 sentences are too long"):
        task.filter_indices_by_size(np.arange(1), buffer, (64, 64), ignore_invalid_inputs=True)


def test_refuses_empty_input_and_wrong_options() -> None:
    task = helpers.task()
    with pytest.raises(UserError, match="input sentence, number 2, has no tokens"):
        task.build_dataset_for_inference([], [3, 1])  # type: ignore[list-item]
    with pytest.raises(UserError, match="--length-multiplier"):
        helpers.task(length_multiplier=0.0)
    with pytest.raises(UserError, match="--num-batch-buckets"):
        helpers.task(num_batch_buckets=4)
    with pytest.raises(UserError, match="--task translation"):
        task.build_generator([object()], helpers.namespace())
