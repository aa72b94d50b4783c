"""The table of the losses: it runs, saves what it promises, and refuses nonsense in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import alignments, backends, malloc, on_cuda
from benchmarks.losses import LOSSES, baseline_step, fairseq_cross_entropy, step
from benchmarks.problems import Shape, make_problem
from benchmarks.report import render
from nat_plugin.errors import UserError


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    output = tmp_path_factory.mktemp("benchmark") / "results.json"
    alignments.main(["--quick", "--backends", "torch", "--output", str(output)])
    found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return found


def test_saves_where_and_how_it_was_measured(results: dict[str, Any]) -> None:
    assert results["machine"]["cpu"]
    assert results["machine"]["cores"] >= 1
    assert {"python", "torch", "nat_plugin"} <= set(results["machine"]["versions"])
    assert (results["threads"], results["device"], results["dtype"]) == (1, "cpu", "float32")
    assert results["clock"] == "wall"
    assert results["command"].startswith("benchmarks/alignments.py --quick")
    (times,) = results["times"]
    assert times["malloc"] == "current"
    assert isinstance(times["environment"], dict)


def test_every_loss_has_its_figures_and_its_bar(results: dict[str, Any]) -> None:
    ratios = {figure["loss"]: figure for figure in results["times"][0]["ratios"]}
    memory = {figure["loss"]: figure for figure in results["memory"]}
    assert set(ratios) == set(memory) == set(LOSSES)
    for name, figure in ratios.items():
        assert figure["ratio"] > 0
        assert figure["ratio_quartiles"][0] <= figure["ratio"] <= figure["ratio_quartiles"][1]
        assert figure["pairs"] == 2
        assert (figure["batch"], figure["targets"], figure["vocabulary"]) == (2, 6, 50)
        assert figure["slots"] == (18 if LOSSES[name].on_ctc_canvas else 6)
        assert figure["backend"] == ("torch" if LOSSES[name].ours else None)
    assert ratios["axe"]["bar"] == ratios["causal_axe"]["bar"] == 1.1
    assert ratios["ctc"]["bar"] == 1.15
    assert ratios["oaxe"]["bar"] == 1.25
    assert ratios["torch_ctc"]["bar"] is ratios["cross_entropy"]["bar"] is None
    assert memory["axe"]["bar"] == 1.1
    (viterbi,) = results["times"][0]["viterbi"]
    assert (viterbi["batch"], viterbi["targets"], viterbi["slots"], viterbi["bar"]) == (32, 30, 90, 8.0)


def test_the_page_shows_each_figure_beside_its_bar(results: dict[str, Any]) -> None:
    page = render(results)
    line = next(line for line in page.splitlines() if line.startswith("| AXE"))
    assert "≤ 1.1" in line
    assert line.rstrip(" |").rsplit("|", 1)[1].strip() in ("meets", "misses")
    assert "CUDA part was skipped" in page


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--shapes", "32,30"], "--shapes '32,30' is not B,n,m"),
        (["--shapes", "0,3,3"], "--shapes '0,3,3' is not B,n,m"),
        (["--vocabularies", "4"], "--vocabularies 4 is too small"),
        (["--clock", "cpu", "--threads", "2"], "--clock cpu measures one thread"),
        (["--threads", "0"], "--threads and --repetitions must be at least 1"),
        (["--shapes", "99999,999,999", "--malloc", "current"], "name smaller --shapes"),
    ],
)
def test_refuses_in_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(malloc, "run_under", _must_not_run)
    with pytest.raises(UserError) as refused:
        alignments.main([*arguments, "--output", str(tmp_path / "none.json")])
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def _must_not_run(*_: object, **__: object) -> None:
    raise AssertionError("what is refused is not measured first")


def test_refuses_a_backend_that_does_not_work_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: torch.Tensor, name: str) -> None:
        raise ValueError(f"the {name} backend cannot be used: no compiler")

    monkeypatch.setattr(backends, "choose_backend", fails)
    with pytest.raises(UserError, match="--backends cpp: the cpp backend cannot be used: no compiler"):
        alignments.main(["--quick", "--backends", "cpp"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_refuses_a_gpu_that_is_not_there() -> None:
    with pytest.raises(UserError, match="none is visible"):
        alignments.main(["--quick", "--device", "cuda"])


def test_torch_ctc_is_the_same_loss_as_ours() -> None:
    problem = make_problem(Shape(3, 4, 4, 30).for_ctc())
    ours, theirs = (LOSSES[name].of(problem, "torch") for name in ("ctc", "torch_ctc"))
    torch.testing.assert_close(ours, theirs)


def test_the_baseline_is_the_same_loss_as_our_cross_entropy_but_for_fairseqs_way_of_smoothing() -> None:
    problem = make_problem(Shape(3, 4, 4, 30))
    lprobs = problem.logits.detach().log_softmax(2)
    nll = -lprobs.gather(2, problem.slot_targets.unsqueeze(2)).sum()
    uniform = -lprobs.sum() / 29  # fairseq spreads ε over V - 1 words
    torch.testing.assert_close(fairseq_cross_entropy(problem), (0.9 - 0.1 / 29) * nll + 0.1 * uniform)


def test_a_step_leaves_no_gradient_behind() -> None:
    problem = make_problem(Shape(2, 4, 4, 30))
    step(LOSSES["axe"], problem, "torch")()
    baseline_step(problem)()
    assert problem.logits.grad is None


def test_losses_that_need_as_many_slots_as_targets_leave_out_other_shapes() -> None:
    assert LOSSES["oaxe"].shape(Shape(2, 4, 5, 30)) is None
    assert LOSSES["axe"].shape(Shape(2, 4, 5, 30)) == Shape(2, 4, 5, 30)
    assert LOSSES["ctc"].shape(Shape(2, 4, 5, 30)) == Shape(2, 4, 12, 30)


def test_what_cuda_adds_is_measured_and_printed() -> None:
    lines: list[str] = []
    shapes = [Shape(2, 4, 4, 30)]
    fused = on_cuda.time_fused(
        shapes, ["torch"], torch.float32, repetitions=1, seconds=0.0, device="cpu", tell=lines.append
    )
    programs = on_cuda.time_programs(shapes, ["torch"], repetitions=1, device="cpu", tell=lines.append)
    assert [figure["loss"] for figure in fused] == list(on_cuda.LOSSES_MEASURED)
    assert all(figure["to_cross_entropy"] > 0 and figure["to_three_passes"] > 0 for figure in fused)
    assert [figure["steps"] for figure in programs] == [8, 12, 12]
    page = on_cuda.tables(fused, programs)
    assert "≤ 1.15" in page
    assert "µs a step" in page
    assert len(lines) == len(fused) + len(programs)
