"""The teacher's scores against fairseq's own forward pass, sentence by sentence."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fairseq.data import Dictionary
from fairseq.dataclass.configs import GenerationConfig
from fairseq.models.transformer import TransformerModelBase
from fairseq.models.transformer.transformer_config import TransformerConfig
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from omegaconf import OmegaConf

from nat_plugin.decoding import reranking
from nat_plugin.decoding.reranking import TeacherReranker
from nat_plugin.errors import UserError
from tests import helpers

TINY = {
    f"{side}_{key}": value
    for side in ("encoder", "decoder")
    for key, value in {"embed_dim": 16, "ffn_embed_dim": 32, "layers": 1, "attention_heads": 2}.items()
} | {"decoder_input_dim": 16, "decoder_output_dim": 16}


def plain_dictionary() -> Dictionary:
    """As a teacher outside this project has it: without our special symbols."""
    made = Dictionary()
    for index in range(helpers.WORDS):
        made.add_symbol(f"w{index}")
    return made


def task_of(dictionary: Dictionary) -> Any:
    """All that :meth:`TeacherReranker.load` reads of a task from a to b."""
    cfg = SimpleNamespace(source_lang="a", target_lang="b")
    return SimpleNamespace(cfg=cfg, source_dictionary=dictionary, target_dictionary=dictionary)


def teacher_task(dictionary: Dictionary, **options: Any) -> TranslationTask:
    config = OmegaConf.merge(
        OmegaConf.structured(TranslationConfig),
        {
            "_name": "translation",
            "data": "none",
            "source_lang": "a",
            "target_lang": "b",
            "train_subset": "train",
            "dataset_impl": None,
            "required_seq_len_multiple": 1,
            **options,
        },
    )
    return TranslationTask(config, dictionary, dictionary)


def teacher_model(dictionary: Dictionary) -> Any:
    config = TransformerConfig.from_namespace(
        Namespace(**TINY, dropout=0.0, max_source_positions=64, max_target_positions=64, share_all_embeddings=True)
    )
    return TransformerModelBase.build_model(config, teacher_task(dictionary)).eval()


def candidates(count: int, dictionary: Dictionary) -> tuple[torch.Tensor, torch.Tensor]:
    first = dictionary.index("w0")
    lengths = torch.randint(1, 7, (count,))
    tokens = torch.randint(first, first + helpers.WORDS, (count, 7))
    return tokens, lengths


def by_hand(model: Any, dictionary: Dictionary, source: torch.Tensor, candidate: list[int]) -> float:
    target = torch.tensor([[*candidate, dictionary.eos()]])
    inputs = torch.tensor([[dictionary.eos(), *candidate]])
    with torch.no_grad():
        logits, _ = model(source.unsqueeze(0), torch.tensor([source.numel()]), inputs)
    lprobs = logits.log_softmax(-1).gather(2, target.unsqueeze(2))
    return float(lprobs.mean())


@pytest.mark.parametrize(("logits_at_once", "lenpen"), [(1, 1.0), (2**24, 1.0), (2**24, 0.0), (2**24, 1.7)])
def test_scores_are_fairseqs_own_whatever_the_padding_and_the_chunks(
    logits_at_once: int, lenpen: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reranking, "logits_at_once", lambda device: logits_at_once)
    dictionary = plain_dictionary()
    model = teacher_model(dictionary)
    sources = [torch.randint(4, 10, (size,)) for size in (3, 6, 1)]
    sources = [torch.cat([source, torch.tensor([dictionary.eos()])]) for source in sources]
    src_lengths = torch.tensor([source.numel() for source in sources])
    src_tokens = torch.nn.utils.rnn.pad_sequence(sources, batch_first=True, padding_value=dictionary.pad())
    tokens, lengths = candidates(12, dictionary)
    scores = TeacherReranker(model, dictionary).score(src_tokens, src_lengths, tokens, lengths, lenpen)
    for row in range(12):
        expected = by_hand(model, dictionary, sources[row // 4], tokens[row, : lengths[row]].tolist())
        scale = (int(lengths[row]) + 1) ** (1 - lenpen)
        assert scores[row].item() == pytest.approx(scale * expected, abs=scale * 1e-5)


def test_an_empty_candidate_never_wins_and_our_symbols_are_unknown_to_a_foreign_teacher() -> None:
    dictionary, ours = plain_dictionary(), helpers.dictionary()
    model = teacher_model(dictionary)
    reranker = TeacherReranker(model, dictionary)
    source = torch.tensor([[5, 6, dictionary.eos()]])
    blank = ours.index("<blank>")
    assert blank >= len(dictionary)
    tokens = torch.tensor([[5, 6, 7], [5, blank, 7], [5, 5, 5]])
    scores = reranker.score(source, torch.tensor([3]), tokens, torch.tensor([3, 3, 0]))
    assert scores[2].item() == float("-inf")
    assert scores[1].item() == pytest.approx(by_hand(model, dictionary, source[0], [5, dictionary.unk(), 7]), abs=1e-5)


def save(path: Path, model: Any, task: TranslationTask, data: str = "none") -> str:
    config = {
        "task": {**OmegaConf.to_container(task.cfg), "data": data},
        "model": {
            "_name": "transformer",
            "arch": "transformer",
            **TINY,
            "dropout": 0.0,
            "share_all_embeddings": True,
            "max_source_positions": 64,
            "max_target_positions": 64,
        },
    }
    torch.save(
        {
            "cfg": config,
            "args": None,
            "model": model.state_dict(),
            "optimizer_history": [{"num_updates": 1, "lr_scheduler_state": {"best": None}}],
            "extra_state": {"epoch": 1, "train_iterator": {"epoch": 1}},
            "last_optimizer_state": None,
        },
        path,
    )
    return str(path)


def test_loads_a_teacher_whose_dictionary_is_the_beginning_of_ours(tmp_path: Path) -> None:
    dictionary, ours = plain_dictionary(), helpers.dictionary()
    model = teacher_model(dictionary)
    path = save(tmp_path / "teacher.pt", model, teacher_task(dictionary))
    loaded = TeacherReranker.load(path, task_of(ours))
    source = torch.tensor([[5, 6, dictionary.eos()]])
    tokens, lengths = candidates(3, dictionary)
    found = loaded.score(source, torch.tensor([3]), tokens, lengths)
    expected = TeacherReranker(model, dictionary).score(source, torch.tensor([3]), tokens, lengths)
    torch.testing.assert_close(found, expected)


def test_refuses_other_dictionaries_and_models(tmp_path: Path) -> None:
    dictionary, ours = plain_dictionary(), helpers.dictionary()
    model = teacher_model(dictionary)
    with pytest.raises(UserError, match=r"there is no checkpoint at --reranker .*missing\.pt"):
        TeacherReranker.load(str(tmp_path / "missing.pt"), task_of(ours))
    smaller = Dictionary()
    smaller.add_symbol("w0")
    path = save(tmp_path / "teacher.pt", model, teacher_task(dictionary))
    with pytest.raises(UserError, match="has 16 words and this data 5: use a teacher trained with these"):
        TeacherReranker.load(path, task_of(smaller))
    (tmp_path / "dict.a.txt").write_text("other 1\n")
    path = save(tmp_path / "teacher.pt", model, teacher_task(dictionary), data=str(tmp_path))
    with pytest.raises(UserError, match=r"another dictionary .* has 'other' where this data has 'w0'"):
        TeacherReranker.load(path, task_of(ours))
    task = helpers.task()
    nat = helpers.model(task)
    path = save(tmp_path / "nat.pt", nat, teacher_task(dictionary))
    with pytest.raises(UserError):
        TeacherReranker.load(path, task_of(ours))


def test_refuses_a_teacher_of_the_other_direction(tmp_path: Path) -> None:
    """Whose joint dictionary is the same."""
    dictionary = plain_dictionary()
    backwards = teacher_task(dictionary, source_lang="b", target_lang="a")
    path = save(tmp_path / "teacher.pt", teacher_model(dictionary), backwards)
    with pytest.raises(UserError, match="translates b to a, not a to b: use a teacher of these languages"):
        TeacherReranker.load(path, task_of(dictionary))


def test_learned_positions_must_be_as_many_as_the_model_takes(tmp_path: Path) -> None:
    dictionary = plain_dictionary()
    TeacherReranker(teacher_model(dictionary), dictionary).check_room(5000, 5000)
    config = TransformerConfig.from_namespace(
        Namespace(**TINY, max_source_positions=64, max_target_positions=40, decoder_learned_pos=True)
    )
    learned = TeacherReranker(TransformerModelBase.build_model(config, teacher_task(dictionary)), dictionary)
    learned.check_room(5000, 40)
    with pytest.raises(UserError, match="the --reranker has learned 40 positions and the model takes 41"):
        learned.check_room(30, 41)


def test_the_teacher_decides_which_candidate_is_the_translation(tmp_path: Path) -> None:
    dictionary = plain_dictionary()
    teacher = teacher_model(dictionary)
    path = save(tmp_path / "teacher.pt", teacher, teacher_task(dictionary))
    alone, reranked = (
        helpers.task(length_candidates=4, **options) for options in ({}, {"reranker": path, "length_multiplier": 1.0})
    )
    model = helpers.model(alone)
    sample = helpers.batch(helpers.dataset(alone, helpers.pairs(9, seed=3)))
    config = GenerationConfig(nbest=4)
    candidates_of = [task.build_generator([model], config).generate([model], sample) for task in (alone, reranked)]
    scorer = TeacherReranker(teacher, dictionary)
    changed = 0
    for row, (own_order, new_order) in enumerate(zip(*candidates_of, strict=True)):
        source = {key: sample["net_input"][key][row : row + 1] for key in ("src_tokens", "src_lengths")}
        rescored = [
            float(
                scorer.score(**source, tokens=each["tokens"].unsqueeze(0), lengths=torch.tensor([len(each["tokens"])]))
            )
            for each in own_order
        ]
        assert [each["score"] for each in new_order] == pytest.approx(sorted(rescored, reverse=True), abs=1e-5)
        assert new_order[0]["tokens"].tolist() == own_order[rescored.index(max(rescored))]["tokens"].tolist()
        changed += rescored.index(max(rescored)) != 0
    assert changed > 0


@pytest.mark.parametrize("search", ["flashlight", "torch"])
def test_the_teacher_chooses_from_the_whole_beam(search: str, tmp_path: Path) -> None:
    pytest.importorskip("flashlight.lib.text")
    dictionary = plain_dictionary()
    teacher = teacher_model(dictionary)
    path = save(tmp_path / "teacher.pt", teacher, teacher_task(dictionary))
    task = helpers.task(ctc_beam=6, ctc_search=search)
    torch.manual_seed(4)
    model = helpers.model(task, masking="full", upsample_scale=2.0)
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(5, seed=3)))
    own, reranked = (
        task.build_generator([model], helpers.namespace(**options)).generate([model], sample)
        for options in ({"nbest": 6}, {"nbest": 2, "reranker": path})
    )
    scorer = TeacherReranker(teacher, dictionary)
    for row, (beam, found) in enumerate(zip(own, reranked, strict=True)):
        source = {key: sample["net_input"][key][row : row + 1] for key in ("src_tokens", "src_lengths")}
        scores = {
            tuple(each["tokens"].tolist()): float(
                scorer.score(**source, tokens=each["tokens"].unsqueeze(0), lengths=torch.tensor([len(each["tokens"])]))
            )
            for each in beam
        }
        best = sorted(scores.items(), key=lambda entry: -entry[1])[:2]
        assert [tuple(each["tokens"].tolist()) for each in found] == [text for text, _ in best]
        assert [each["score"] for each in found] == pytest.approx([score for _, score in best], abs=1e-5)


def test_equal_candidates_are_scored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    dictionary = plain_dictionary()
    reranker = TeacherReranker(teacher_model(dictionary), dictionary)
    scored: list[int] = []
    original = TeacherReranker._score_chunk

    def counted(self: TeacherReranker, encoder_out: Any, targets: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        scored.append(len(targets))
        return original(self, encoder_out, targets, lengths)

    monkeypatch.setattr(TeacherReranker, "_score_chunk", counted)
    sources, src_lengths = torch.tensor([[5, 6, 2], [7, 8, 2]]), torch.tensor([3, 3])
    tokens = torch.tensor([[5, 6, 0], [5, 6, 9], [6, 5, 0], [5, 6, 0], [5, 6, 9], [5, 6, 4]])
    scores = reranker.score(sources, src_lengths, tokens, torch.tensor([2, 2, 2, 2, 3, 2]))
    assert scored == [4]
    assert scores[0] == scores[1]
    assert scores[3] == scores[5]
    assert len(set(scores.tolist())) == 4
