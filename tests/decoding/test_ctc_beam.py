"""Beam search against enumeration, torch's own CTC, greedy decoding, and what it refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest
import torch

from nat_plugin.decoding.ctc_beam import SEARCHES, CtcBeamDecoder, CtcBeamOptions, CtcHypothesis, rank, top_tokens
from nat_plugin.decoding.ctc_search import LN10, Found, length_bonus, load_kenlm
from nat_plugin.decoding.ngram_lm import corpus_of_sentences, estimate, write_arpa
from nat_plugin.errors import UserError
from tests.decoding.ctc_enumeration import BLANK, SYMBOLS, canvas, language_model, outputs, scores

pytest.importorskip("flashlight.lib.text")

EVERYTHING = CtcBeamOptions(beam=2000, tokens=len(SYMBOLS))


def decode(options: CtcBeamOptions, *canvases: torch.Tensor) -> list[list[CtcHypothesis]]:
    """Decode canvases [m, V] as one batch; what stands beyond a canvas is rubbish."""
    lengths = torch.tensor([len(entry) for entry in canvases])
    batch = torch.randn(len(canvases), int(lengths.max()), canvases[0].size(1))
    for row, entry in enumerate(canvases):
        batch[row, : len(entry)] = entry
    decoder = CtcBeamDecoder(SYMBOLS, BLANK, options)
    try:
        return decoder.decode(batch, lengths)
    finally:
        decoder.close()


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize(
    ("order", "alpha", "beta", "form"),
    [
        (0, 0.0, 0.0, "log"),
        (0, 0.0, 2.2, "linear"),
        (0, 0.0, -1.0, "log"),
        (3, 0.4, 0.0, "log"),
        (3, 1.3, 2.2, "log"),
        (3, 0.4, -1.0, "linear"),
        (4, 0.4, 2.2, "log"),
        (4, 1.3, -1.0, "linear"),
    ],
)
def test_a_wide_beam_finds_every_output_and_its_exact_score(
    search: str, order: int, alpha: float, beta: float, form: str, tmp_path: Path
) -> None:
    path, model = language_model(order, tmp_path) if order else ("", None)
    options = replace(EVERYTHING, lm_path=str(path), lm_weight=alpha, token_bonus=beta, bonus_form=form, search=search)
    canvases = [canvas(slots, seed=slots + order, sharpness=sharpness) for slots, sharpness in ((1, 1), (4, 3), (5, 1))]
    for lprobs, found in zip(canvases, decode(options, *canvases), strict=True):
        expected = scores(lprobs, model, alpha, beta, form)
        assert len(found) == len(expected)
        assert {entry.tokens for entry in found} == set(expected)
        for entry in found:
            assert entry[1:] == pytest.approx(expected[entry.tokens], abs=2e-4)
        totals = [entry.score for entry in found]
        assert totals == sorted(totals, reverse=True)
        assert found[0].tokens == max(expected, key=lambda tokens: expected[tokens][0])


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("seed", range(10))
def test_a_narrow_beam_finds_the_best_output(search: str, seed: int, tmp_path: Path) -> None:
    path, model = language_model(3, tmp_path)
    lprobs = canvas(6, seed, sharpness=1.5)
    options = CtcBeamOptions(beam=20, tokens=4, lm_path=str(path), lm_weight=0.4, search=search)
    (found,) = decode(options, lprobs)
    expected = scores(lprobs, model, 0.4)
    best = max(expected, key=lambda tokens: expected[tokens][0])
    assert found[0].tokens == best
    assert 10 < len(found) <= 20  # two entries of the beam, with and without a last blank, make one output
    # What fell out of the beam is missing from the sum over alignments, and can only be missing.
    assert all(entry.am_score <= expected[entry.tokens][1] + 1e-5 for entry in found)


def test_a_bonus_inside_the_search_finds_higher_scores() -> None:
    best: dict[str, list[float]] = {}
    for search in SEARCHES:
        options = CtcBeamOptions(beam=6, tokens=4, token_bonus=3.0, bonus_form="linear", search=search)
        best[search] = [decode(options, canvas(7, seed, sharpness=1.0))[0][0].score for seed in range(20)]
    exact = [
        max(total for total, *_ in scores(canvas(7, seed, 1.0), beta=3.0, form="linear").values()) for seed in range(20)
    ]
    missed = {search: sum(exact) - sum(found) for search, found in best.items()}
    assert 0 <= missed["torch"] < missed["flashlight"] / 2


@pytest.mark.parametrize("search", SEARCHES)
def test_scores_are_those_of_torch_ctc(search: str) -> None:
    lprobs = canvas(6, seed=3)
    (found,) = decode(replace(EVERYTHING, search=search), lprobs)
    for entry in found[:50]:
        loss = torch.nn.functional.ctc_loss(
            lprobs[:, None],
            torch.tensor([entry.tokens], dtype=torch.int64),
            torch.tensor([6]),
            torch.tensor([len(entry.tokens)]),
            blank=BLANK,
            reduction="none",
        )
        assert entry.am_score == pytest.approx(-loss.item(), abs=1e-5)


@pytest.mark.parametrize("search", SEARCHES)
def test_one_token_a_slot_is_greedy_decoding(search: str) -> None:
    canvases = [canvas(slots, seed=slots) for slots in (1, 7, 20, 3)]
    for lprobs, found in zip(canvases, decode(CtcBeamOptions(tokens=1, search=search), *canvases), strict=True):
        best = lprobs.argmax(-1).tolist()
        assert [entry.tokens for entry in found] == [tuple(t for t, _ in groupby(best) if t != BLANK)]
        assert found[0].score == pytest.approx(lprobs.max(-1).values.sum().item(), abs=1e-4)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("first", range(3))
def test_a_token_in_the_first_slot_is_kept_whichever_it_is(search: str, first: int) -> None:
    options = replace(EVERYTHING, search=search)
    lprobs = torch.full((2, 4), -20.0)
    lprobs[0, first] = lprobs[1, first] = 0.0
    assert decode(options, lprobs)[0][0].tokens == (first,)
    lprobs = torch.full((3, 4), -20.0)
    lprobs[[0, 1, 2], [first, BLANK, first]] = 0.0
    assert decode(options, lprobs)[0][0].tokens == (first, first)


@pytest.mark.parametrize("search", SEARCHES)
def test_impossible_tokens_are_in_no_output(search: str) -> None:
    lprobs = canvas(4, seed=5)
    lprobs[:, 1] = -math.inf
    (found,) = decode(replace(EVERYTHING, search=search), lprobs)
    assert {entry.tokens for entry in found} == {tokens for tokens in outputs(lprobs) if 1 not in tokens}
    assert all(math.isfinite(entry.score) for entry in found)


def test_a_sentence_is_decoded_alike_in_any_batch(tmp_path: Path) -> None:
    path, _ = language_model(3, tmp_path)
    options = CtcBeamOptions(beam=8, tokens=3, lm_path=str(path), lm_weight=0.5, token_bonus=1.0, search="torch")
    canvases = [canvas(slots, seed=slots) for slots in (9, 1, 4, 12, 4)]
    together = decode(options, *canvases)
    for lprobs, found in zip(canvases, together, strict=True):
        (alone,) = decode(options, lprobs)
        assert [entry.tokens for entry in alone] == [entry.tokens for entry in found]
        assert [entry.score for entry in alone] == pytest.approx([entry.score for entry in found], abs=1e-5)


def test_half_precision_and_top_tokens_lose_little() -> None:
    lprobs = canvas(5, seed=1).float()[None]
    decoder = CtcBeamDecoder(SYMBOLS, BLANK, EVERYTHING)
    whole = decoder.decode(lprobs, torch.tensor([5]))[0]
    halves = decoder.submit(top_tokens(lprobs.half(), 4), torch.tensor([5])).result()[0]
    assert halves[0].tokens == whole[0].tokens
    assert halves[0].score == pytest.approx(whole[0].score, abs=1e-2)


@pytest.mark.parametrize("order", [3, 4])
def test_language_model_scores_of_sentences(order: int, tmp_path: Path) -> None:
    path, model = language_model(order, tmp_path)
    kenlm = load_kenlm(str(path), SYMBOLS)
    for tokens in ([], [0], [0, 1, 0, 2, 2, 1]):
        state, total = kenlm.start(False), 0.0
        for token in tokens:
            state, score = kenlm.score(state, token)
            total += score
        total += kenlm.finish(state)[1]
        expected = model.log_prob([SYMBOLS[token] for token in tokens])
        assert LN10 * total == pytest.approx(expected, abs=1e-4)


def test_ranking_by_length() -> None:
    found = [Found((), -1.0, 0.0), Found((0,), -1.0, 0.0), Found((0, 1), -2.0, 0.0), Found((1, 0), -2.0, 0.0)]
    by_log = rank(found, CtcBeamOptions(token_bonus=1.5))
    assert [entry.tokens for entry in by_log] == [(0, 1), (1, 0), (), (0,)]
    assert by_log[0].score == pytest.approx(-2 + 1.5 * math.log(2))
    by_count = rank(found, CtcBeamOptions(token_bonus=1.5, bonus_form="linear"))
    assert [entry.tokens for entry in by_count] == [(0, 1), (1, 0), (0,), ()]
    assert [length_bonus(n, "log") for n in (0, 1)] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"beam": 0}, "--ctc-beam must be at least 1"),
        ({"tokens": 0}, "--ctc-beam-tokens must be at least 1"),
        ({"workers": 0}, "--ctc-workers must be at least 1"),
        ({"lm_weight": 0.4}, "give --ngram-lm-path"),
        ({"lm_weight": -0.4, "lm_path": "x"}, "must not be negative"),
        ({"token_bonus": math.nan}, "--token-bonus must be finite"),
        ({"bonus_form": "square"}, "--length-bonus-form must be log or linear"),
        ({"lm_path": "no/such.arpa"}, "no such file"),
        ({"lm_path": "no/such.arpa", "search": "torch"}, "no such file"),
        ({"search": "kenlm"}, "--ctc-search must be flashlight or torch"),
        ({"search": "torch", "workers": 2}, "drop --ctc-workers"),
    ],
)
def test_refuses_bad_options(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        CtcBeamDecoder(SYMBOLS, BLANK, CtcBeamOptions(**values))  # type: ignore[arg-type]


def test_refuses_a_language_model_of_other_subwords_and_damaged_files(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lm.arpa"
    write_arpa(estimate(corpus_of_sentences([["x", "y", "z"]]), 2), path)
    with pytest.raises(UserError, match="knows 0 of the model's 3 subwords"):
        CtcBeamDecoder(SYMBOLS, BLANK, CtcBeamOptions(lm_path=str(path)))
    write_arpa(estimate(corpus_of_sentences([["a", "b", "c"]]), 2), path)
    CtcBeamDecoder(SYMBOLS, BLANK, CtcBeamOptions(lm_path=str(path)))
    for text in (path.read_text()[:-30], path.read_text().replace("2-grams", "3-grams")):
        path.write_text(text)
        with pytest.raises(UserError, match=r"lm\.arpa"):
            CtcBeamDecoder(SYMBOLS, BLANK, CtcBeamOptions(lm_path=str(path)))
    assert capfd.readouterr().err == ""
