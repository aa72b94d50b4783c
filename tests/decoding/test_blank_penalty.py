"""What ``--blank-penalty`` changes: which token a slot says, and nothing else."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from nat_plugin.decoding.ctc_beam import CtcBeamDecoder, CtcBeamOptions, top_tokens
from tests import helpers

CTC = {"masking": "full", "upsample_scale": 2.5}
MODELS: dict[str, dict[str, Any]] = {"ctc": CTC, "predicted length": {}}


def loud_blanks(task: Any, **options: Any) -> Any:
    """A random model whose blank is about as probable as the words that it says most."""
    model = helpers.varied_model(task, **options)
    batch = helpers.batch(helpers.dataset(task, helpers.pairs(9, seed=5)))
    favourite = int(torch.cat(slot_lprobs(task, model, batch)).argmax(1).mode().values)
    weight = model.decoder.output_projection.weight
    with torch.no_grad():
        noise = torch.randn(weight.size(1), generator=torch.Generator().manual_seed(4))
        weight[task.blank_idx] = weight[favourite] + 0.3 * noise
    return model


def translate(task: Any, model: Any, batch: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    generator = task.build_generator([model], helpers.namespace(**options))
    return [nbest[0] for nbest in generator.generate([model], batch)]


def slot_lprobs(task: Any, model: Any, batch: dict[str, Any]) -> list[Tensor]:
    """Of each sentence [m, V], normalised, without what no slot may say."""
    source = batch["net_input"]
    with torch.no_grad():
        encoder_out = model.encode(source["src_tokens"], source["src_lengths"])
        lengths = (
            model.upsampled_lengths(encoder_out) if model.upsamples else model.candidate_lengths(encoder_out, 1)[:, 0]
        )
        slots = torch.full((len(lengths), int(lengths.max())), task.mask_idx)
        lprobs = model.decode_canvas(slots, lengths, encoder_out).log_softmax(-1)
    shared = task.target_dictionary
    lprobs[..., [shared.bos(), shared.pad(), shared.eos(), task.mask_idx]] = float("-inf")
    return [found[:length] for found, length in zip(lprobs, lengths.tolist(), strict=True)]


def by_hand(lprobs: Tensor, blank: int, penalty: float, *, collapse: bool) -> tuple[list[int], list[float]]:
    """Tokens and scores of one sentence, slot by slot."""
    said = []
    for slot in lprobs.tolist():
        found = [score - penalty * (token == blank) for token, score in enumerate(slot)]
        best = max(range(len(found)), key=found.__getitem__)
        said.append((best, found[best]))
    runs = [list(run) for _, run in itertools.groupby(said, lambda slot: slot[0])] if collapse else [[s] for s in said]
    kept = [max(run, key=lambda slot: slot[1]) for run in runs if run[0][0] != blank]
    return [token for token, _ in kept], [score for _, score in kept]


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("penalty", [-1.0, 0.0, 0.5, 2.0, 20.0])
def test_a_slot_says_the_blank_only_where_it_leads_by_the_penalty(kind: str, penalty: float) -> None:
    task = helpers.task()
    model = loud_blanks(task, **MODELS[kind])
    batch = helpers.batch(helpers.dataset(task, helpers.pairs(9, seed=5)))
    found = translate(task, model, batch, blank_penalty=penalty)
    for entry, lprobs in zip(found, slot_lprobs(task, model, batch), strict=True):
        tokens, scores = by_hand(lprobs, task.blank_idx, penalty, collapse=model.upsamples)
        assert entry["tokens"].tolist() == tokens
        assert entry["positional_scores"].tolist() == pytest.approx(scores, abs=1e-4)


@pytest.mark.parametrize("kind", MODELS)
def test_translations_grow_with_it(kind: str) -> None:
    task = helpers.task()
    model = loud_blanks(task, **MODELS[kind])
    batch = helpers.batch(helpers.dataset(task, helpers.pairs(9, seed=5)))
    lengths = [
        sum(len(entry["tokens"]) for entry in translate(task, model, batch, blank_penalty=penalty))
        for penalty in (-2.0, 0.0, 2.0)
    ]
    assert lengths[0] < lengths[1] < lengths[2]


@pytest.mark.parametrize("search", ["flashlight", "torch"])
def test_beam_search_sees_blanks_that_are_less_probable(search: str) -> None:
    if search == "flashlight":
        pytest.importorskip("flashlight.lib.text")
    task = helpers.task()
    model, penalty = loud_blanks(task, **CTC), 1.5
    batch = helpers.batch(helpers.dataset(task, helpers.pairs(6, seed=5)))
    found = translate(task, model, batch, ctc_beam=6, ctc_search=search, blank_penalty=penalty)
    shared = task.target_dictionary
    symbols = [shared[index] for index in range(len(shared))]
    decoder = CtcBeamDecoder(symbols, task.blank_idx, CtcBeamOptions(beam=6, search=search))
    for entry, lprobs in zip(found, slot_lprobs(task, model, batch), strict=True):
        lprobs[:, task.blank_idx] -= penalty
        top = top_tokens(lprobs.unsqueeze(0), decoder.choices)
        [[best, *_]] = decoder.submit(top, torch.tensor([len(lprobs)])).result()
        assert tuple(entry["tokens"].tolist()) == best.tokens
        assert entry["score"] == pytest.approx(best.score, abs=1e-4)


def test_mask_predict_takes_it_in_every_iteration() -> None:
    task = helpers.task()
    model = loud_blanks(task)
    batch = helpers.batch(helpers.dataset(task, helpers.pairs(9, seed=5)))
    slots = [len(lprobs) for lprobs in slot_lprobs(task, model, batch)]
    options = {"iterations": 4, "retain_history": True}
    plain = translate(task, model, batch, **options)
    assert sum(len(entry["tokens"]) for entry in plain) < sum(slots)
    for entry, count in zip(translate(task, model, batch, blank_penalty=50.0, **options), slots, strict=True):
        assert [len(step["tokens"]) for step in entry["history"]] == [count] * len(entry["history"])
        assert len(entry["history"]) > 1
