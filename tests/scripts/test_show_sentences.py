"""scripts/show_sentences.py: what is shown against decoder and criterion, the page, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from nat_plugin.alignments import axe_alignment
from nat_plugin.errors import UserError
from scripts.lib.evaluation import Evaluation
from scripts.lib.in_process import SplitTranslator
from scripts.lib.report.page import render_page
from scripts.lib.sentences.choosing import Choice
from scripts.lib.sentences.text import sentence_text
from scripts.lib.sentences.training import TrainingReader, TrainingView
from scripts.lib.sentences.views import SentenceView, SystemView, view_sentences
from scripts.show_sentences import TEMPLATES, main
from tests.scripts import tiny_training
from tests.scripts.test_report import Page
from tests.scripts.untrained_runs import load_run, make_run

CPU = torch.device("cpu")
FLAGS: dict[str, dict[str, Any]] = {
    "cmlm_axe": {"skip_target_penalty": 0.5},
    "cmlm_ce": {},
    "mple_cmlm": {},
    "ctc_vae_glat": {},
    "vanilla": {"criterion": "nat_oaxe", "masking": "fixed_ratio", "glancing_ratio": "0.5"},
    "teacher": {},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its third source is no text for a page."""
    folder = tiny_training.make_data(tmp_path_factory.mktemp("shown") / "data")
    path = folder / "raw" / "test.aa"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[2] = "<script>alert(1)</script> & more"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    made = {}
    for method, flags in FLAGS.items():
        run = make_run(data, folder / method, method, **({} if method == "teacher" else {"init": "xavier"}), **flags)
        made[method] = run
    return made


def longest(data: Path) -> int:
    lines = (data / "raw" / "test.bb").read_text(encoding="utf-8").splitlines()
    return max(range(len(lines)), key=lambda place: len(lines[place].split()))


def view(run: Path, place: int, **flags: Any) -> tuple[SystemView, SplitTranslator]:
    translator = SplitTranslator(Evaluation.plan(run, overrides=flags))
    [sentence] = view_sentences([translator], [place])
    [system] = sentence.systems
    return system, translator


def test_passes_are_those_of_mask_predict(runs: dict[str, Path], data: Path) -> None:
    place = longest(data)
    system, translator = view(runs["cmlm_ce"], place, iterations=3, length_candidates=2)
    said = translator.translations()[place]
    width = len(system.passes[0])
    assert len(system.passes) == 3
    assert all(slot.masked for slot in system.passes[0])
    for number, (before, after) in enumerate(zip(system.passes, system.passes[1:], strict=False), start=1):
        masked = [slot for slot in range(width) if after[slot].masked]
        assert len(masked) == max(1, width * (3 - number) // 3)
        lowest = sorted(range(width), key=lambda slot: before[slot].probability or 0.0)[: len(masked)]
        assert masked == sorted(lowest)
        for old, new in zip(before, after, strict=True):
            assert new.before == (old.token if new.token != old.token else None)
            assert new.masked or (new.token, new.probability) == (old.token, old.probability)
    kept = [slot.token for slot in system.passes[-1] if slot.token != "<blank>"]
    assert " ".join(kept) == said == system.translation


def test_slots_of_ctc_have_one_pass_and_a_teacher_has_none(runs: dict[str, Path]) -> None:
    ctc, translator = view(runs["ctc_vae_glat"], 1)
    [slots] = ctc.passes
    assert len(slots) == round(translator.model.cfg.upsample_scale * len(translator.evaluation.sources[1].split()))
    teacher, _ = view(runs["teacher"], 1)
    assert (list(teacher.passes), teacher.training) == ([], None)
    assert teacher.translation


def training_view(run: Path, data: Path, place: int) -> TrainingView:
    reader = TrainingReader(run / "checkpoints" / "checkpoint_last.pt", data, "test", CPU)
    found = reader.view(place)
    assert found is not None
    return found


@torch.no_grad()
def test_axe_holds_slots_against_what_its_alignment_says(runs: dict[str, Path], data: Path) -> None:
    place = longest(data)
    found = training_view(runs["cmlm_axe"], data, place)
    model, task = load_run(runs["cmlm_axe"], data, "test")
    dataset, dictionary = task.dataset("test"), task.target_dictionary
    target = dataset.tgt[place][:-1][None].long()
    texts = [dictionary[token] for token in target[0]]
    observed = torch.tensor([[slot.shown is not None for slot in found.slots]])
    assert [slot.shown for slot in found.slots if slot.shown] == [texts[i] for i in observed[0].nonzero()[:, 0]]
    assert 0 < found.revealed < len(texts)
    source = dataset.src[place][None].long()
    encoder_out = model.encode(source, torch.tensor([source.size(1)]))
    length = torch.tensor([target.size(1)])
    logits = model.decode_canvas(target.masked_fill(~observed, task.mask_idx), length, encoder_out)
    hidden = model.decode_canvas(torch.full_like(target, task.mask_idx), length, encoder_out)
    alignment = axe_alignment(
        logits, target, length, length, blank_idx=task.blank_idx, skip_target_penalty=0.5, observed=observed
    )
    for number, slot in enumerate(alignment.positions[0].tolist()):
        held = [held for held in found.slots[slot].held if held.token == texts[number]]
        assert held[0].now == pytest.approx(float(logits[0, slot].softmax(0)[target[0, number]]), rel=1e-4)
        assert held[0].hidden == pytest.approx(float(hidden[0, slot].softmax(0)[target[0, number]]), rel=1e-4)
    operators = [held.operator for slot in found.slots for held in slot.held]
    assert operators.count("skip target") == operators.count("delimiter")
    assert "nat_axe, δ = 0.5; masking: uniform; update 0" in found.rule


def test_other_canvases(runs: dict[str, Path], data: Path) -> None:
    place = longest(data)
    target = (data / "raw" / "test.bb").read_text(encoding="utf-8").splitlines()[place].split()
    own = training_view(runs["mple_cmlm"], data, place)
    assert [slot.held[0].token for slot in own.slots] == target
    assert all(slot.mask_probability is not None and 0 < slot.mask_probability < 1 for slot in own.slots)
    moved = training_view(runs["vanilla"], data, place)
    assert sorted(slot.held[0].token for slot in moved.slots) == sorted(target)
    assert moved.revealed == len(target) // 2
    assert "fixed_ratio with ratio 0.5" in moved.rule
    upsampled = training_view(runs["ctc_vae_glat"], data, place)
    said = [held.token for slot in upsampled.slots for held in slot.held if held.operator == "align"]
    assert said == target
    assert upsampled.revealed > 0


def test_the_page_and_the_text(
    runs: dict[str, Path], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out" / "page.html"
    folders = [str(runs[name]) for name in ("cmlm_axe", "mple_cmlm")]
    flags = ["--sentences", "3,1", "--set", "iterations=2", "--title", "Two & two", "--output", str(output)]
    main([*folders, *flags])
    page, text = Page(output.read_text(encoding="utf-8")), output.read_text(encoding="utf-8")
    shown = capsys.readouterr().out
    for words in (page.words, shown):
        assert "<script>alert(1)</script> & more" in words
        assert words.index("entence 3") < words.index("entence 1")
        assert "slots revealed" in words
        assert "masking: uniform" in words
    assert "<script" not in text
    assert not re.search(r"(src|href)=|@import|url\(", text)
    assert "prefers-color-scheme: dark" in text
    assert "Two & two" in page.words
    assert page.words.count("fairseq-generate") == 2
    assert "pass 2 of 2" in page.words
    assert "P(masked)" in page.words
    assert re.search(r"pass 2: .*\[\S+\]", shown)
    main([*folders, "--output", str(output), "--differ", "2", "--set", "iterations=1"])
    assert output.read_text(encoding="utf-8").count('class="sample"') == 2


def test_many_references_are_folded() -> None:
    references = tuple(f"reference text {number}" for number in range(5))
    sentence = SentenceView(1, "source", references, (SystemView("a <b>", "", 0.0, [], None),))
    page = Page(
        render_page(
            "sentences.html.j2", TEMPLATES, title="t", facts={}, sentences=[sentence], few=3, commands={}, command="c"
        )
    )
    assert all(text in page.words for text in (*references, "2 more references", "a <b>", "(nothing)"))
    shown = sentence_text(sentence)
    assert "reference 3: reference text 2" in shown
    assert "reference text 3" not in shown
    assert "and 2 more references" in shown


def test_choosing() -> None:
    sources = ["a", "a b c", "a b"]
    references = [["a b c d", "e f g h", "i j k l"]]
    translations = [["a b c d", "x", "i j k l"], ["a b c d", "e f g h", "x"]]
    assert Choice(sentences="3,1").places(sources, references, []) == [2, 0]
    assert Choice(longest=2).places(sources, references, []) == [1, 2]
    assert Choice(worst=2).places(sources, references, translations) == [1, 2]
    assert Choice(differ=1).places(sources, references, translations) == [1]
    assert not Choice(longest=2).needs_translations
    assert Choice(differ=1).needs_translations


def test_refuses_in_one_sentence(runs: dict[str, Path], tmp_path: Path) -> None:
    run = str(runs["cmlm_ce"])
    with pytest.raises(UserError, match="there are sentences 1 to 8"):
        main([run, "--sentences", "9"])
    with pytest.raises(UserError, match="--worst must be at least 1, not 0"):
        main([run, "--worst", "0"])
    with pytest.raises(UserError, match=r"must end in \.html"):
        main([run, "--output", "page.pdf"])
    with pytest.raises(UserError, match="two systems are called"):
        main([run, run])
    other = make_run(tiny_training.make_data(tmp_path / "other", seed=2), tmp_path / "foreign", "cmlm_ce")
    with pytest.raises(UserError, match="is another text than that of"):
        main([run, str(other)])
