"""CTC beam search through the generator: against the search alone, greedy decoding, and enumeration."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nat_plugin.decoding.ctc_beam import CtcBeamDecoder, CtcBeamOptions, CtcHypothesis, TopTokens, top_tokens
from nat_plugin.decoding.ctc_decoding import alignment_scores
from nat_plugin.decoding.ngram_lm import corpus_of_sentences, estimate, write_arpa
from nat_plugin.models import slot_model
from tests import helpers
from tests.decoding.ctc_enumeration import BLANK, canvas

pytest.importorskip("flashlight.lib.text")

CTC = {"masking": "full", "upsample_scale": 2.5}
SEARCHES = ("flashlight", "torch")


def sample(task: Any, count: int = 7, indices: list[int] | None = None) -> dict[str, Any]:
    return helpers.batch(helpers.dataset(task, helpers.pairs(count, seed=5), task.cfg.left_pad_source), indices)


def language_model(folder: Path) -> str:
    path = folder / "lm.arpa"
    text = ["w1 w2 w3 w4", "w2 w3 w1", "w5 w6 w7 w8 w9", "w10 w11 w0", "w3 w4 w5", "w8 w9 w10"]
    write_arpa(estimate(corpus_of_sentences(line.split() for line in text), 3), path)
    return str(path)


def searched(model: Any, batch: dict[str, Any], task: Any, **options: Any) -> list[list[CtcHypothesis]]:
    """The search alone, on log-probabilities of the model's whole canvas."""
    shared = task.target_dictionary
    encoder_out = model.encode(batch["net_input"]["src_tokens"], batch["net_input"]["src_lengths"])
    lengths = model.upsampled_lengths(encoder_out)
    slots = torch.full((len(lengths), int(lengths.max())), task.mask_idx)
    with torch.no_grad():
        lprobs = model.decode_canvas(slots, lengths, encoder_out).float().log_softmax(-1)
    lprobs[..., [shared.bos(), shared.pad(), shared.eos(), task.mask_idx]] = float("-inf")
    symbols = [shared[index] for index in range(len(shared))]
    decoder = CtcBeamDecoder(symbols, task.blank_idx, CtcBeamOptions(**options))
    return decoder.submit(top_tokens(lprobs, decoder.choices), lengths).result()


def generated(task: Any, model: Any, batch: dict[str, Any], **options: Any) -> list[list[dict[str, Any]]]:
    generator = task.build_generator([model], helpers.namespace(**options))
    try:
        return generator.generate([model], batch)  # type: ignore[no-any-return]
    finally:
        if generator._decoder:
            generator._decoder.close()


@pytest.mark.parametrize(
    ("search", "workers", "logits_at_once", "dtype"),
    [
        ("flashlight", 1, 2**21, torch.float32),
        ("flashlight", 2, 1, torch.float32),
        ("torch", 1, 1, torch.float32),
        ("torch", 1, 2**21, torch.bfloat16),
    ],
)
@pytest.mark.parametrize("left_pad_source", [False, True])
def test_n_best_lists_are_those_of_the_search(
    left_pad_source: bool,
    search: str,
    workers: int,
    logits_at_once: int,
    dtype: torch.dtype,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slot_model, "logits_at_once", lambda device: logits_at_once)
    task = helpers.task(left_pad_source=left_pad_source)
    model, batch = helpers.varied_model(task, **CTC).to(dtype), sample(task)
    path = language_model(tmp_path)
    given = {"ngram_lm_path": path, "ngram_lm_weight": 0.5, "token_bonus": 1.5, "length_bonus_form": "linear"}
    lists = generated(
        task, model, batch, ctc_beam=8, ctc_beam_tokens=6, ctc_search=search, ctc_workers=workers, nbest=8, **given
    )
    alone = {"lm_path": path, "lm_weight": 0.5, "token_bonus": 1.5, "bonus_form": "linear"}
    expected = searched(model, batch, task, beam=8, tokens=6, search=search, **alone)
    assert [[tuple(entry["tokens"].tolist()) for entry in found] for found in lists] == [
        [entry.tokens for entry in found] for found in expected
    ]
    for found, ones in zip(lists, expected, strict=True):
        assert [entry["score"] for entry in found] == pytest.approx([entry.score for entry in ones], abs=1e-4)
        assert all(entry["steps"] == 1 for entry in found)
        assert all(entry["positional_scores"].shape == entry["tokens"].shape for entry in found)
        assert all(bool((entry["positional_scores"] < 0).all()) for entry in found)
    assert max(map(len, lists)) > 1


@pytest.mark.parametrize("search", SEARCHES)
def test_one_token_a_slot_is_greedy_decoding_with_its_scores(search: str) -> None:
    task = helpers.task()
    model, batch = helpers.varied_model(task, **CTC), sample(task)
    greedy = generated(task, model, batch)
    beam = generated(task, model, batch, ctc_beam=3, ctc_beam_tokens=1, ctc_search=search)
    for (one,), (other,) in zip(greedy, beam, strict=True):
        assert one["tokens"].tolist() == other["tokens"].tolist()
        torch.testing.assert_close(one["positional_scores"], other["positional_scores"])


@pytest.mark.parametrize("search", SEARCHES)
def test_a_sentence_is_decoded_alike_in_any_batch(search: str, tmp_path: Path) -> None:
    task = helpers.task()
    model = helpers.varied_model(task, **CTC)
    options = {"ctc_beam": 5, "ctc_search": search, "ngram_lm_path": language_model(tmp_path), "ngram_lm_weight": 0.5}
    batch = sample(task)
    together = generated(task, model, batch, **options)
    for row, index in enumerate(batch["id"].tolist()):
        [[alone]] = generated(task, model, sample(task, indices=[index]), **options)
        assert together[row][0]["tokens"].tolist() == alone["tokens"].tolist()
        assert together[row][0]["score"] == pytest.approx(alone["score"], abs=1e-4)


def test_the_language_model_and_the_bonus_change_translations(tmp_path: Path) -> None:
    task = helpers.task()
    model, batch = helpers.varied_model(task, **CTC), sample(task)
    options = {"ctc_beam": 10, "ctc_beam_tokens": 14}
    lm = {"ngram_lm_path": language_model(tmp_path), "ngram_lm_weight": 2.0}
    found = [
        [found[0]["tokens"].tolist() for found in generated(task, model, batch, **options, **more)]
        for more in ({}, lm, {"token_bonus": 4.0})
    ]
    assert found[0] != found[1]
    assert sum(map(len, found[2])) > sum(map(len, found[0]))


def test_deduplication_and_history() -> None:
    task = helpers.task()
    model, batch = helpers.varied_model(task, **CTC), sample(task)
    with torch.no_grad():  # a slot says one word or blank, so that a word stands beside itself
        direction = 3 * torch.randn(16, generator=torch.Generator().manual_seed(0))
        model.decoder.output_projection.weight.zero_()
        model.decoder.output_projection.weight[[6, task.blank_idx]] = torch.stack([direction, -direction])
    options = {"ctc_beam": 4, "nbest": 4, "token_bonus": 3.0, "retain_history": True}
    plain = generated(task, model, batch, **options)
    merged = generated(task, model, batch, deduplicate=True, **options)

    def repeats(lists: list[list[dict[str, Any]]]) -> int:
        texts = [entry["tokens"].tolist() for found in lists for entry in found]
        return sum(left == right for text in texts for left, right in itertools.pairwise(text))

    assert repeats(plain) > 0
    assert repeats(merged) == 0
    for found in (*plain, *merged):
        texts = [tuple(entry["tokens"].tolist()) for entry in found]
        assert len(set(texts)) == len(texts)
        for entry in found:
            [only] = entry["history"]
            assert only["tokens"].tolist() == entry["tokens"].tolist()
            assert only["positional_scores"] is not entry["positional_scores"]


def best_alignment(lprobs: Tensor, tokens: tuple[int, ...]) -> list[float]:
    """By enumeration: the best score in each token's run of slots, along the most probable alignment."""
    best: tuple[float, list[float]] = (float("-inf"), [])
    for path in itertools.product(range(lprobs.size(1)), repeat=lprobs.size(0)):
        runs = [list(run) for _, run in itertools.groupby(enumerate(path), key=lambda entry: entry[1])]
        runs = [run for run in runs if run[0][1] != BLANK]
        if tuple(run[0][1] for run in runs) != tokens:
            continue
        total = sum(float(lprobs[slot, token]) for slot, token in enumerate(path))
        if total > best[0]:
            best = (total, [max(float(lprobs[slot, token]) for slot, token in run) for run in runs])
    return best[1]


def test_token_scores_are_those_of_the_best_alignment() -> None:
    sentences: list[tuple[int, ...]] = [(0, 1), (0, 0), (2,), (), (1, 0, 1), (2, 2, 1)]
    slots = [5, 4, 3, 2, 5, 5]
    canvases = [canvas(5, seed) for seed in range(len(sentences))]
    lprobs = torch.stack(canvases).float()
    width = max(map(len, sentences))
    tokens = torch.tensor([[*sentence, *[9] * (width - len(sentence))] for sentence in sentences])
    lengths = torch.tensor([len(sentence) for sentence in sentences])
    found = alignment_scores(TopTokens(*top_tokens(lprobs, 4)), torch.tensor(slots), tokens, lengths, BLANK)
    assert found.shape == tokens.shape
    for row, sentence in enumerate(sentences):
        expected = best_alignment(canvases[row][: slots[row]], sentence)
        assert found[row].tolist() == pytest.approx([*expected, *[0.0] * (width - len(sentence))], abs=1e-5)


def test_a_sentence_without_an_alignment_has_no_token_scores() -> None:
    """The best of each slot says "0 0 0", which is one 0: two of them need a blank between, which is not among them."""
    top = TopTokens(torch.full((1, 3, 1), -0.1), torch.zeros(1, 3, 1, dtype=torch.int64))
    for said, expected in (([0], [-0.1]), ([0, 0], [math.nan, math.nan])):
        tokens = torch.tensor([said])
        found = alignment_scores(top, torch.tensor([3]), tokens, torch.tensor([len(said)]), BLANK)
        assert found[0].tolist() == pytest.approx(expected, nan_ok=True)


def test_a_sentence_is_searched_before_the_next_ones_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_model, "logits_at_once", lambda device: 1)
    task = helpers.task()
    model, batch = helpers.varied_model(task, **CTC), sample(task, 3)
    events: list[str] = []
    top_slots, submit = model.top_slots, CtcBeamDecoder.submit

    def computed(*arguments: Any) -> Any:
        for chunk in top_slots(*arguments):
            events.append("computed")
            yield chunk

    def submitted(self: CtcBeamDecoder, *arguments: Any) -> Any:
        events.append("submitted")
        return submit(self, *arguments)

    monkeypatch.setattr(model, "top_slots", computed)
    monkeypatch.setattr(CtcBeamDecoder, "submit", submitted)
    generated(task, model, batch, ctc_beam=2)
    assert events == ["computed", "submitted"] * 3
    events.clear()
    generated(task, model, batch, ctc_beam=2, ctc_search="torch")
    assert events == ["computed"] * 3 + ["submitted"]
