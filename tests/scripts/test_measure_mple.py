"""scripts/measure_mple.py on untrained runs: figures sentence by sentence, what is kept and written, and refused."""

from __future__ import annotations

import csv
import json
import math
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from nat_plugin.errors import UserError
from scripts import measure_mple
from scripts.lib.mple import measuring
from scripts.lib.mple.correlation import correlate
from scripts.lib.mple.texts import References, SentenceBleu
from scripts.lib.prepared_data import PreparedData
from scripts.measure_mple import main, parse_arguments
from tests.scripts import tiny_training
from tests.scripts.untrained_runs import copy_run, load_run, make_run, read_row

pytestmark = pytest.mark.end_to_end

SENTENCES, SEED = 12, 3


@pytest.fixture(scope="module")
def data(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny corpus with two more references: the target backwards, and its first words."""
    folder = tmp_path_factory.mktemp("mple") / "data"
    shutil.copytree(tiny_data, folder)
    target = (folder / "raw" / "valid.bb").read_text(encoding="utf-8").splitlines()
    for number, change in ((1, lambda words: words[::-1]), (2, lambda words: words[: len(words) // 2 + 1])):
        lines = [" ".join(change(line.split())) for line in target]
        for kind in ("raw", "tok"):
            (folder / kind / f"valid.bb.{number}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("mple_runs")
    names = ("vanilla", "mple_cmlm", "mple_glat_p_ref", "vanilla_axe_delta5", "teacher")
    return {name: make_run(data, folder / name, name, seed=place) for place, name in enumerate(names, start=1)}


@pytest.fixture
def copies(runs: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    return {name: copy_run(run, tmp_path / name) for name, run in runs.items()}


def row_of(run: Path, data: Path | None = None) -> dict[str, Any]:
    """What was measured, on the run's own data or on others."""
    return read_row(run / "results" / f"mple_valid{f'_data={data.name}' if data else ''}.json")


def lprobs_of(model: Any, slots: torch.Tensor, encoder_out: Any) -> torch.Tensor:
    logits: torch.Tensor = model.decode_canvas(slots, torch.tensor([slots.size(1)]), encoder_out)
    return logits[0].log_softmax(1)


@torch.no_grad()
def by_hand(run: Path, data: Path, vanilla: Path) -> dict[str, float]:
    """Sums over the split for one draw of CMLM's or p_ref's masks, one sentence at a time, in nats."""
    from nat_plugin.canvas.glancing import FirstPass

    (model, task), (plain, _) = load_run(run, data, "valid"), load_run(vanilla, data, "valid")
    dataset, sums = (
        task.dataset("valid"),
        {"l_nat": 0.0, "masks": 0.0, "tokens_shown": 0.0, "log_q": 0.0, "tokens": 0.0},
    )
    for place in range(len(dataset)):
        source, target = dataset[place]["source"].unsqueeze(0), dataset[place]["target"][:-1]
        n = len(target)
        lengths, hidden = torch.tensor([n]), torch.full((1, n), task.mask_idx)
        encoded = model.encode(source, torch.tensor([source.size(1)]))
        first_lprobs = lprobs_of(model, hidden, encoded)
        reference = first_lprobs[range(n), target].exp()
        first = FirstPass(target.unsqueeze(0), first_lprobs.argmax(1).unsqueeze(0), reference.unsqueeze(0))
        rule = model.canvas_maker.revealing
        [masked] = rule.masked(lengths, n, first, seed=SEED, update=0, sentence_ids=torch.tensor([place]))
        shown = [slot for slot in range(n) if not masked[slot]]
        lprobs = lprobs_of(model, target.masked_fill(masked, task.mask_idx).unsqueeze(0), encoded)
        said = lprobs_of(plain, hidden, plain.encode(source, torch.tensor([source.size(1)])))
        hides = model.input_logits(lengths, n, encoded)[0].sigmoid().tolist()
        sums["tokens"] += n
        for slot in range(n):
            if masked[slot]:
                sums["l_nat"] -= float(lprobs[slot, target[slot]])
                sums["masks"] -= math.log(hides[slot])
            else:
                sums["masks"] -= math.log(1 - hides[slot])
                sums["tokens_shown"] -= float(said[slot, target[slot]])
        if rule.masking == "uniform":
            sums["log_q"] -= math.log(n) + math.log(math.comb(n, len(shown)))
        else:
            errors = int(first.predictions.ne(first.proxy).sum())
            assert len(shown) == min(math.floor(0.5 * errors), n - 1)
            sums["log_q"] += math.log(set_probability(shown, reference.tolist()))
    return sums


def set_probability(chosen: list[int], weights: list[float], left: float | None = None) -> float:
    """That draws by weight take these first, over all orders."""
    left = sum(weights) if left is None else left
    if not chosen:
        return 1.0
    return sum(
        weights[place] / left * set_probability([c for c in chosen if c != place], weights, left - weights[place])
        for place in chosen
    )


@pytest.mark.parametrize("method", ["mple_cmlm", "mple_glat_p_ref"])
def test_the_costs_are_those_of_single_sentences(method: str, copies: dict[str, Path], data: Path) -> None:
    run, vanilla = copies[method], copies["vanilla"]
    main(
        [str(run), "--vanilla", str(vanilla), "--seed", str(SEED), "--max-tokens", "60", "--no-plot", "--threads", "1"]
    )
    row, expected = row_of(run), by_hand(run, data, vanilla)
    bits = expected["tokens"] * math.log(2)
    found = {"l_nat": "l_nat", "masks": "input_masks", "tokens_shown": "input_tokens", "log_q": "input_log_q"}
    for name, key in found.items():
        assert row[key] == pytest.approx(expected[name] / bits, rel=1e-4), name
    assert row["l_input"] == pytest.approx(row["input_masks"] + row["input_tokens"] + row["input_log_q"])
    assert row["l_mple"] == pytest.approx(row["l_nat"] + row["l_input"] - 0.2 * row["sentence_bleu"])
    targets = (data / "raw" / "valid.bb").read_text(encoding="utf-8").splitlines()
    metric, prepared = SentenceBleu("13a"), PreparedData.load(data)
    assert row["sentence_bleu"] == pytest.approx(metric.mean(targets, prepared.references("valid")[1:]))
    assert row["distances"]["raw_to_references"] == pytest.approx(row["sentence_bleu"])
    assert not row["only_reference"]
    assert len(row["references"]) == 2


def test_axe_is_measured_on_its_own_proxy_target(copies: dict[str, Path], data: Path) -> None:
    from nat_plugin.alignments import axe_alignment

    run = copies["vanilla_axe_delta5"]
    main([str(run), "--no-plot", "--threads", "1"])
    model, task = load_run(run, data, "valid")
    dataset, total, tokens = task.dataset("valid"), 0.0, 0
    with torch.no_grad():
        for place in range(len(dataset)):
            source, target = dataset[place]["source"].unsqueeze(0), dataset[place]["target"][:-1].unsqueeze(0)
            lengths = torch.tensor([target.size(1)])
            encoded = model.encode(source, torch.tensor([source.size(1)]))
            logits = model.decode_canvas(torch.full_like(target, task.mask_idx), lengths, encoded)
            proxy = axe_alignment(
                logits, target, lengths, lengths, blank_idx=task.blank_idx, skip_target_penalty=5.0
            ).tokens
            total -= float(logits.log_softmax(2).gather(2, proxy.unsqueeze(2)).sum())
            tokens += target.size(1)
    row = row_of(run)
    assert row["l_nat"] == pytest.approx(total / tokens / math.log(2), rel=1e-4)
    assert (row["l_input"], row["bleu_sampled"], row["confidence_sampled"]) == (0, None, None)
    points = json.loads((run / "results" / "mple_valid.points.json").read_text(encoding="utf-8"))["points"]
    assert not any("<blank>" in line for line in points["costs seed 1"]["proxy_targets"])


def test_several_systems_one_table_their_correlation_and_what_is_kept(
    copies: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "mple.json"
    names = ["vanilla", "mple_cmlm", "mple_glat_p_ref"]
    inner = '| INFO | train_inner | {"num_updates": 9, "loss": "3", "wall": "90"}'
    log = ["training on 1 devices", "num. shared model params: 1,234", inner]
    (copies["vanilla"] / "train.log").write_text("\n".join(log), encoding="utf-8")
    words = [*(str(copies[name]) for name in names), "--vanilla", str(copies["vanilla"]), "--threads", "1"]
    words += ["--total-correlation", "1.5", "--output", str(output)]
    main(words)
    shown = capsys.readouterr().out
    assert "Pearson's r with BLEU over 3 systems (β = 0.2)" in shown
    rows = json.loads(output.read_text(encoding="utf-8"))
    assert [row["total_correlation"] for row in rows] == [1.5] * 3
    assert [row["l_input"] == 0 for row in rows] == [True, False, False]
    assert all(row["bleu_default"] is not None for row in rows)
    assert [row["bleu_sampled"] is None for row in rows] == [True, False, False]
    assert [(row.get("parameters"), row.get("training_minutes")) for row in rows] == [(1234, 1.5), *[(None, None)] * 2]
    for row in rows:
        ways = [way for way in ("default", "sampled") if f"scores_{way}" in row]
        assert ways == ["default", "sampled"][: 1 + (row["bleu_sampled"] is not None)]
        for scores in (row[f"scores_{way}"] for way in ways):
            assert scores["signature"].startswith("nrefs:3|")
            assert 0 <= scores["repeated_tokens"] <= 1
            assert scores["length_ratio"] > 0
        assert [row[f"scores_{way}"]["bleu"] for way in ways] == [row[f"bleu_{way}"] for way in ways]
    assert all(row["confidence_default"] < 0 for row in rows)
    assert all("scripts/measure_mple.py" in row["command"] for row in rows)
    with open(tmp_path / "mple.tsv", encoding="utf-8", newline="") as handle:
        lines = list(csv.DictReader(handle, delimiter="\t"))
    assert [float(line["l_nat"]) for line in lines] == pytest.approx([row["l_nat"] for row in rows], rel=1e-6)
    correlation = json.loads((tmp_path / "mple.correlation.json").read_text(encoding="utf-8"))
    assert correlation["systems"] == [row["system"] for row in rows]
    assert len(correlation["default"]["by_beta"]) == len(correlation["betas"]) == 5
    assert (tmp_path / "mple.correlation.tsv").read_text(encoding="utf-8").count("\n") == 11
    assert "<svg" in (tmp_path / "mple.svg").read_text(encoding="utf-8")
    # systems with the same proxy targets share one file of the vanilla NAT's log-probabilities
    assert len(list((copies["vanilla"] / "results").glob("vanilla_*.npz"))) == 1

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("measured again")

    for method in ("_costs", "_scores"):
        monkeypatch.setattr(measuring.MpleSystem, method, refuse)
    monkeypatch.setattr(measuring, "mean_sentence_bleu", refuse)
    monkeypatch.setattr(measuring.ProxyReader, "confidence", refuse)
    main([*words, "--beta", "0.4"])
    again = json.loads(output.read_text(encoding="utf-8"))
    for before, after in zip(rows, again, strict=True):
        assert after["l_nat"] == before["l_nat"]
        assert after["l_target"] == pytest.approx(2 * before["l_target"])


def test_the_vanilla_log_probs_are_read_back_and_never_of_something_else(
    copies: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripts.lib.mple.vanilla import VanillaLogProbs

    run, vanilla = copies["mple_cmlm"], copies["vanilla"]
    words = [str(run), "--vanilla", str(vanilla), "--no-plot", "--threads", "1", "--input-sampling", "default"]
    main(words)
    expected = row_of(run)["l_input"]
    computed: list[int] = []
    compute = VanillaLogProbs._compute
    monkeypatch.setattr(VanillaLogProbs, "_compute", lambda self, batches: computed.append(1) or compute(self, batches))
    points = run / "results" / "mple_valid.points.json"
    points.unlink()
    main(words)
    assert (row_of(run)["l_input"], computed) == (pytest.approx(expected, rel=1e-12), [])
    [kept] = (vanilla / "results").glob("vanilla_*.npz")
    kept.write_bytes(kept.read_bytes()[:100])  # as nothing of ours leaves it
    points.unlink()
    main(words)
    assert (row_of(run)["l_input"], computed) == (pytest.approx(expected, rel=1e-12), [1])
    checkpoint = vanilla / "checkpoints" / "checkpoint_last.pt"
    state = torch.load(checkpoint, weights_only=False)
    state["model"]["decoder.layers.0.fc1.weight"] *= 3
    torch.save(state, checkpoint)
    main(words)
    assert row_of(run)["l_input"] != expected
    assert computed == [1, 1]


def test_runs_on_distilled_data_are_measured_on_the_teachers_translations(
    copies: dict[str, Path], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    distilled_data = tmp_path / "data_kd"
    shutil.copytree(data, distilled_data)
    (distilled_data / "distill.json").write_text("{}", encoding="utf-8")
    words = [str(copies["vanilla"]), "--data", str(distilled_data), "--no-plot", "--threads", "1"]
    main(words)
    assert "trained on distilled data, measured on people's translations" in capsys.readouterr().out
    raw = row_of(copies["vanilla"], distilled_data)
    lines = (data / "raw" / "valid.bb.2").read_text(encoding="utf-8")
    (tmp_path / "teacher.txt").write_text(lines, encoding="utf-8")
    main([*words, "--distilled", str(tmp_path / "teacher.txt")])
    row = row_of(copies["vanilla"], distilled_data)
    assert row["targets"] == str(tmp_path / "teacher.txt")
    assert row["tokens"] == len(lines.split()) < raw["tokens"]
    assert row["l_nat"] != raw["l_nat"]
    prepared, metric = PreparedData.load(data), SentenceBleu("13a")
    references = prepared.references("valid")
    assert row["sentence_bleu"] == pytest.approx(metric.mean(lines.splitlines(), references[1:]))
    expected = {
        "raw_to_references": metric.mean(references[0], references[1:]),
        "distilled_to_references": row["sentence_bleu"],
        "distilled_to_raw": metric.mean(lines.splitlines(), references[:1]),
        "among_references": (
            metric.mean(references[1], references[2:]) + metric.mean(references[2], references[1:2])
        ) / 2,
    }  # fmt: skip
    assert row["distances"] == pytest.approx(expected)
    (tmp_path / "short.txt").write_text("t1\n", encoding="utf-8")
    with pytest.raises(UserError, match="has 1 lines, but split 'valid' has 12 sentences"):
        main([*words, "--distilled", str(tmp_path / "short.txt")])
    with pytest.raises(UserError, match="has 1 lines, but split 'valid' has 12 sentences"):
        main([*words, "--references", str(tmp_path / "short.txt")])


def test_targets_made_of_the_only_reference_are_in_no_correlation(
    tiny_data: Path, copies: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    references = References.load(PreparedData.load(tiny_data), "valid", None)
    assert (len(references.texts), references.only) == (1, True)
    names = ["vanilla", "vanilla_axe_delta5"]
    words = [*(str(copies[name]) for name in names), "--data", str(tiny_data), "--no-plot", "--threads", "1"]
    main(words)
    assert "L̂_target means nothing" in capsys.readouterr().out
    rows = [row_of(copies[name], tiny_data) for name in names]
    assert rows[0]["sentence_bleu"] == pytest.approx(100)
    assert correlate([*rows, rows[0]], 0.2, [0.2]) is None
    for row in rows:
        row["only_reference"] = False
    found = correlate([*rows, rows[0]], 0.2, [0.2])
    assert found is not None
    assert len(found["systems"]) == 3


def test_the_refinement_steps_are_compared_with_a_teacher(
    copies: dict[str, Path], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copies["mple_cmlm"]
    words = ["--teacher", str(copies["teacher"]), "--iterations", "3", "--input-sampling", "default"]
    main([str(run), *words, "--no-plot", "--threads", "1"])
    assert "difference (C_i)" in capsys.readouterr().out
    steps = row_of(run)["steps"]
    assert [step["step"] for step in steps] == [1, 2, 3]
    assert steps[0]["masked"] == 1
    assert steps[1]["masked"] < 1
    teacher, task = load_run(copies["teacher"], data, "valid")
    model, _ = load_run(run, data, "valid")
    dataset, at, nat, tokens = task.dataset("valid"), 0.0, 0.0, 0
    with torch.no_grad():
        for place in range(len(dataset)):
            source, target = dataset[place]["source"].unsqueeze(0), dataset[place]["target"]
            inputs = torch.cat([target[-1:], target[:-1]]).unsqueeze(0)
            logits, _ = teacher(source, torch.tensor([source.size(1)]), inputs)
            at -= float(logits[0].log_softmax(1)[range(len(target) - 1), target[:-1]].sum())
            encoded = model.encode(source, torch.tensor([source.size(1)]))
            hidden = torch.full((1, len(target) - 1), model.symbols.mask)
            nat -= float(lprobs_of(model, hidden, encoded)[range(len(target) - 1), target[:-1]].sum())
            tokens += len(target) - 1
    assert steps[0]["at_bits"] == pytest.approx(at / tokens / math.log(2), rel=1e-4)
    assert steps[0]["nat_bits"] == pytest.approx(nat / tokens / math.log(2), rel=1e-4)
    assert steps[2]["difference"] == pytest.approx(steps[2]["nat_bits"] - steps[2]["at_bits"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--beta", "-1"], "--beta -1 is no weight"),
        (["--teacher", "x"], "--teacher and --iterations belong together"),
        (["--input-sampling", "sampled"], "--input-sampling sampled needs --vanilla RUN"),
        (["--draws", "0"], "--draws must be at least 1"),
        (["--total-correlation", "much"], "--total-correlation much is no number, and no file"),
    ],
)
def test_refuses_options_that_do_not_fit(words: list[str], message: str, runs: dict[str, Path]) -> None:
    with pytest.raises(UserError, match=message):
        main([str(runs["vanilla"]), *words])


def test_every_documented_command_is_parsed() -> None:
    pages = [(tiny_training.ROOT / "docs" / "mple.md").read_text(encoding="utf-8"), measure_mple.__doc__ or ""]
    lines = "\n".join(pages).replace("\\\n", " ").splitlines()
    commands = [
        shlex.split(line, comments=True)[1:] for line in lines if line.strip().startswith("scripts/measure_mple.py")
    ]
    assert len(commands) >= 5
    for command in commands:
        options = parse_arguments(command)
        assert options.runs
        assert options.teacher is None or options.iterations == 10


@pytest.mark.parametrize(
    ("method", "message"),
    [("ctc", "sums over all paths"), ("vae_nat", "has a latent variable"), ("teacher", "is not of")],
)
def test_refuses_models_that_mple_does_not_cover(method: str, message: str, data: Path, tmp_path: Path) -> None:
    run = make_run(data, tmp_path / method, method)
    with pytest.raises(UserError, match=message):
        main([str(run), "--no-plot", "--threads", "1"])


def test_the_total_correlation_of_a_file_of_results(tmp_path: Path) -> None:
    from scripts.lib.mple.total_correlation import read_total_correlation

    path = tmp_path / "c.json"
    path.write_text('[{"system": "a", "total_correlation": 1.25}, {"system": "b"}]', encoding="utf-8")
    assert read_total_correlation(str(path)) == 1.25
    path.write_text('[{"system": "a", "total_correlation": 1}, {"system": "b", "total_correlation": 2}]')
    with pytest.raises(UserError, match="has 2 different values"):
        read_total_correlation(str(path))
