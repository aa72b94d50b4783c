"""The random models: they have the lengths that they are held to, and a quick run says whether bars are met."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import latency
from benchmarks.inference import _ON_CPU, Task, Width, autoregressive, one_pass
from nat_plugin.errors import UserError
from tests import helpers

TASK = Task(vocabulary=60, length=7, sentences=5)
WIDTH = Width(16, 32, 2, 1)


@pytest.mark.parametrize("beam", [1, 5])
def test_the_autoregressive_model_says_exactly_so_many_tokens(beam: int) -> None:
    system = autoregressive(TASK, WIDTH, beam, layers=(2, 1))
    assert system.title == f"autoregressive 2-1, beam {beam}"
    for sample in system.batches(3):
        assert [len(said) for said in system.translate(sample)] == [7 + 1] * len(sample["id"])  # and the end


@pytest.mark.parametrize(("scale", "slots"), [(0.0, 7), (1.5, 11), (3.0, 21)])
def test_the_canvas_has_exactly_so_many_slots(scale: float, slots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    system = one_pass(TASK, WIDTH, scale)
    seen: list[torch.Size] = []
    fill = system.model.fill_slots

    def watched(canvas: torch.Tensor, *others: Any) -> Any:
        seen.append(canvas.shape)
        return fill(canvas, *others)

    monkeypatch.setattr(system.model, "fill_slots", watched)
    [whole] = system.batches(5)
    assert len(system.translate(whole)) == 5
    assert seen == [(5, slots)]


def test_counts_the_arithmetic_of_a_sentence() -> None:
    wide, layers, vocabulary, slots, source = 16, 1, 60, 21, 8
    per_encoder_token = 2 * (4 * wide * wide + 2 * wide * 32)
    # self-attention's projections, two of the encoder attention's four, and the feed-forward layer
    per_slot = 2 * (4 * wide * wide + 2 * wide * wide + 2 * wide * 32)
    linear = source * per_encoder_token + (slots + 1) * per_slot + source * 2 * 2 * wide * wide
    output = 2 * slots * wide * vocabulary
    attention = 2 * 2 * wide * (source * source + (slots + 1) * (slots + 1) + (slots + 1) * source)
    soft_copy = 2 * slots * source * wide
    expected = layers * (linear + attention) + soft_copy + output
    assert one_pass(TASK, WIDTH, 3.0).gflop() == pytest.approx(expected / 1e9)


def test_counts_positional_attention_and_its_shared_projections_once() -> None:
    options = {"upsample_scale": 3.0, "masking": "full"}
    task = helpers.task()
    source, sentences, words, slots, wide = torch.full((5, 4), task.source_dictionary.eos()), 5, 3, 9, 16
    found = []
    for positional in (0, 1):
        model = helpers.model(task, **options, positional_attention=positional).eval()
        model.prepare_for_inference_(None)
        with FlopCounterMode(display=False, custom_mapping=_ON_CPU) as counter, torch.no_grad():
            lengths = model.upsampled_lengths(encoder_out := model.encode(source, torch.full((5,), words + 1)))
            model.decode_canvas(torch.full((sentences, slots), task.mask_idx), lengths, encoder_out)
        found.append(counter.get_total_flops())
    places = slots + 1
    projections = 2 * places * wide * wide * (2 + 2 * sentences)  # queries and keys once, values and output for each
    attention = 2 * 2 * wide * places * places * sentences
    assert found[1] - found[0] == projections + attention


def test_sentences_differ_and_hold_words_only() -> None:
    [sample] = autoregressive(TASK, WIDTH, 1).batches(5)
    source = sample["net_input"]["src_tokens"]
    assert len(set(map(tuple, source.tolist()))) == 5
    assert source.shape == (5, 8)
    words = source[:, :-1]
    assert int(words.min()) >= TASK.dictionary.nspecial
    assert int(words.max()) < len(TASK.dictionary) - 2


def test_quick_run_says_which_bars_are_met(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "latency.json"
    latency.main(["--quick", "--threads", "1", "--clock", "cpu", "--output", str(output)])
    results = json.loads(output.read_text(encoding="utf-8"))
    rows = {row["system"]: row for row in results["systems"]}
    assert [title for title in rows if title.startswith("CTC")] == [f"CTC, s = {s}" for s in ("1.5", "2", "2.5", "3")]
    assert rows["one pass, m = n"]["bars"] == {"l1": 9.0, "lmax": 1.0}
    assert rows["autoregressive, beam 5"]["l1"]["speedup"] == 1.0
    assert rows["autoregressive 2-1, beam 1"]["lmax"]["speedup"] == 1.0
    assert "lmax" not in rows["autoregressive, beam 5"]
    shown = capsys.readouterr().out
    for part in ("l1", "lmax"):
        found = rows["one pass, m = n"][part]
        verdict = "meets" if found["speedup"] >= rows["one pass, m = n"]["bars"][part] else "misses"
        [line] = [line for line in _section(shown, part) if line.startswith("| one pass")]
        assert line.rstrip(" |").endswith(verdict)


def _section(shown: str, part: str) -> list[str]:
    first, _, second = shown.partition("**Lmax")
    return (first if part == "l1" else second).splitlines()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--repeats", "0"], "must be at least 1"),
        (["--fp16"], "--fp16 is for a GPU"),
        (["--clock", "cpu", "--threads", "2"], "--clock cpu measures one thread"),
    ],
)
def test_refuses_in_one_sentence(words: list[str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        latency.main([*words, "--output", str(tmp_path / "none.json")])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu_in_half_precision(tmp_path: Path) -> None:
    output = tmp_path / "latency.json"
    latency.main(["--quick", "--device", "cuda", "--fp16", "--output", str(output)])
    results = json.loads(output.read_text(encoding="utf-8"))
    assert results["machine"]["gpu"] == torch.cuda.get_device_name()
    assert all(row["l1"]["peak_bytes"] > 0 for row in results["systems"])
