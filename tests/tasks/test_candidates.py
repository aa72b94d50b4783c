"""Candidate targets: read from folders like that of the data, compared with it, and collated beside its own target."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu
import torch

from nat_plugin.errors import UserError
from nat_plugin.tasks.candidate_options import CandidateOptions
from nat_plugin.tasks.nat_translation import NatTranslationTask
from scripts.lib.binarise import read_tokens
from tests import helpers
from tests.scripts.tiny_training import SOURCE, TARGET, make_data

SENTENCES = 24


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data, and beside it ``other``, whose targets are those of the next sentence, and of their length."""
    folder = tmp_path_factory.mktemp("candidates")
    make_data(folder / "data", {"train": SENTENCES, "valid": 4})
    shutil.copytree(folder / "data", folder / "other")
    first, *rest = split(folder / "other", TARGET)
    rewrite(folder / "other", TARGET, [*rest, first])
    return folder / "data"


def prefix(folder: Path, language: str) -> Path:
    return folder / f"train.{SOURCE}-{TARGET}.{language}"


def rewrite(folder: Path, language: str, sentences: list[np.ndarray]) -> None:
    """Binarise these sentences in the place of those that are there."""
    from fairseq.data.indexed_dataset import MMapIndexedDatasetBuilder

    builder = MMapIndexedDatasetBuilder(f"{prefix(folder, language)}.bin", dtype=np.uint16)
    for sentence in sentences:
        builder.add_item(torch.from_numpy(sentence.astype(np.int64)))
    builder.finalize(f"{prefix(folder, language)}.idx")


def split(folder: Path, language: str) -> list[np.ndarray]:
    sizes, tokens = read_tokens(prefix(folder, language))
    return np.split(tokens, np.cumsum(sizes)[:-1])


def task(data: Path, **options: Any) -> NatTranslationTask:
    """The task of these data."""
    from fairseq.tasks import setup_task
    from omegaconf import OmegaConf

    from nat_plugin.tasks.config import NatTranslationConfig

    settings = {"data": str(data), "source_lang": SOURCE, "target_lang": TARGET, "required_seq_len_multiple": 1}
    fixed = {"_name": "nat_translation", "train_subset": "train", "dataset_impl": None}
    config = OmegaConf.merge(OmegaConf.structured(NatTranslationConfig), {**settings, **fixed, **options})
    made: NatTranslationTask = setup_task(config)
    return made


def loaded(data: Path, **options: Any) -> Any:
    """The training split with the candidate ``other``."""
    made = task(data, **{"target_candidates": str(data.parent / "other"), **options})
    made.load_dataset("train")
    return made.datasets["train"]


def test_a_batch_has_all_targets_of_its_sentences(data: Path, tmp_path: Path) -> None:
    made = task(
        data,
        target_candidates=f"{data.parent / 'other'}:{data}",
        candidate_weights=".5,1,2",
        candidate_bleu_factor=0.3,
        candidate_cache=str(tmp_path / "cache"),
    )
    made.load_dataset("train")
    dataset = made.datasets["train"]
    batch = pickle.loads(pickle.dumps(dataset)).collater([dataset[index] for index in (3, 0, 11)])
    texts = [split(folder, TARGET) for folder in (data.parent / "other", data, data)]
    words = [[" ".join(made.tgt_dict[token] for token in line[:-1]) for line in text] for text in texts]
    assert sorted(batch["id"].tolist()) == [0, 3, 11]
    found = batch["candidates"]
    for row, number in enumerate(batch["id"].tolist()):
        for place, text in enumerate(texts):
            length = int(found["lengths"][row, place])
            assert found["tokens"][row, place, :length].tolist() == text[number][:-1].tolist()
            assert bool((found["tokens"][row, place, length:] == made.tgt_dict.pad()).all())
            scores = [
                weight * sacrebleu.sentence_bleu(words[place][number], [other[number]], tokenize="none").score
                for weight, other in zip((0.5, 1, 2), words, strict=True)
            ]
            assert float(found["regulariser"][row, place]) == pytest.approx(0.3 * sum(scores), rel=1e-5)
    assert found["regulariser"].dtype == torch.float64
    assert found["per_token"] is False
    assert [path.suffix for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"] == [".npy"]


def test_without_the_regulariser_nothing_is_computed(data: Path, tmp_path: Path) -> None:
    options = {"candidate_cache": str(tmp_path), "candidate_cost": "token"}
    dataset = loaded(data, candidate_bleu_factor=0.0, **options)
    found = dataset.collater([dataset[0]])["candidates"]
    assert found["regulariser"] is None
    assert found["per_token"] is True
    assert list(tmp_path.iterdir()) == []
    assert dataset.collater([]) == {}


def test_a_pair_is_as_long_as_its_longest_candidate(data: Path) -> None:
    made = task(data, target_candidates=str(data.parent / "other"), candidate_bleu_factor=0.0)
    made.load_dataset("train")
    dataset = made.datasets["train"]
    sides = [split(data, SOURCE), split(data, TARGET), split(data.parent / "other", TARGET)]
    longest = [max(map(len, sentences)) for sentences in zip(*sides, strict=True)]
    everything = np.arange(SENTENCES)
    assert [dataset.num_tokens(index) for index in everything] == longest
    assert dataset.num_tokens_vec(everything).tolist() == longest
    kept = made.filter_indices_by_size(everything, dataset, (64, 5), ignore_invalid_inputs=True)
    targets = [max(len(side[index]) for side in sides[1:]) for index in everything]
    assert list(kept) == [index for index in everything if targets[index] <= 5]
    assert 0 < len(kept) < sum(len(sentence) <= 5 for sentence in sides[1])
    batches = made.get_batch_iterator(dataset, max_tokens=12, max_positions=(64, 64)).next_epoch_itr(shuffle=False)
    seen = []
    for batch in batches:
        seen += batch["id"].tolist()
        assert batch["candidates"]["tokens"].size(0) * (batch["candidates"]["tokens"].size(2) + 1) <= 12
    assert sorted(seen) == list(everything)


def test_only_the_training_split_has_candidates(data: Path) -> None:
    made = task(data, target_candidates="no/such/folder", candidate_bleu_factor=0.0)
    made.load_dataset("valid")
    dataset = made.datasets["valid"]
    assert "candidates" not in dataset.collater([dataset[0]])


def spoil_dictionary(folder: Path) -> None:
    for language in (SOURCE, TARGET):
        path = folder / f"dict.{language}.txt"
        path.write_text("zzz 1\n" + path.read_text())


def spoil_sources(folder: Path) -> None:
    sentences = split(folder, SOURCE)
    sentences[1] = np.array([11 - sentences[1][0] % 2, *sentences[1][1:]])
    rewrite(folder, SOURCE, sentences)


def shorten_a_source(folder: Path) -> None:
    sentences = split(folder, SOURCE)
    longest = max(range(SENTENCES), key=lambda index: len(sentences[index]))
    rewrite(folder, SOURCE, [*sentences[:longest], sentences[longest][1:], *sentences[longest + 1 :]])


def drop_a_pair(folder: Path) -> None:
    for language in (SOURCE, TARGET):
        rewrite(folder, language, split(folder, language)[:-1])


def empty_a_target(folder: Path) -> None:
    rewrite(folder, TARGET, [np.array([2]), *split(folder, TARGET)[1:]])


def truncate(folder: Path, language: str = TARGET) -> None:
    path = Path(f"{prefix(folder, language)}.bin")
    path.write_bytes(path.read_bytes()[:-10])


def remove_split(folder: Path) -> None:
    for path in folder.glob("train.*"):
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_dictionary, r"another dictionary of aa than the training data \(from word 4 on\)"),
        (spoil_sources, r"has other source sentences than the training data \(first number 2\)"),
        (truncate, "is truncated"),
        (lambda folder: truncate(folder, SOURCE), "is truncated"),
        (remove_split, "has no binarised split 'train' for aa-bb"),
        (shutil.rmtree, "there is no such folder"),
        (drop_a_pair, "has 23 sentences, but the training data have 24"),
        (shorten_a_source, "has other source sentences"),
        (empty_a_target, "target sentence of split 'train' of .*, number 1, has no tokens"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(data: Path, tmp_path: Path, spoil: Any, message: str) -> None:
    folder = tmp_path / "spoilt"
    shutil.copytree(data.parent / "other", folder)
    spoil(folder)
    with pytest.raises(UserError, match=message) as caught:
        loaded(data, target_candidates=str(folder), candidate_bleu_factor=0.0)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidate_weights": "1,2,3"}, "are 3, but there are 2 candidates"),
        ({"candidate_weights": "1,two"}, "are no numbers"),
        ({"candidate_weights": "1,-1"}, "must be 0 or more"),
        ({"candidate_bleu_factor": -0.1}, "--candidate-bleu-factor must be 0 or more"),
        ({"candidate_weights": "1", "target_candidates": ""}, "has no meaning without --target-candidates"),
        ({"data": "one:two"}, "needs the training data in one folder"),
    ],
)
def test_refuses_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        helpers.task(**{"target_candidates": "a", **options})


def test_weights_are_ones_by_default_and_ctc_is_refused() -> None:
    made = helpers.task(target_candidates="a:b", candidate_cost="token")
    assert made.candidate_options == CandidateOptions(("a", "b"), (1, 1, 1), 0.2, True, "none")
    from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
    from fairseq.dataclass.utils import merge_with_parent
    from omegaconf import OmegaConf

    config = merge_with_parent(CRITERION_DATACLASS_REGISTRY["nat_ctc"](), OmegaConf.create({"_name": "nat_ctc"}))
    with pytest.raises(UserError, match="needs one slot a target token, which --criterion nat_ctc has not"):
        made.build_criterion(config)
    assert helpers.criterion("nat_axe", made).candidates == 3
