"""scripts/analyse_latent.py: figures against a plain computation, what is written, and what is refused."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from nat_plugin.errors import UserError
from scripts.analyse_latent import main
from tests.scripts import tiny_training
from tests.scripts.untrained_runs import copy_run, load_run, make_run, read_row

DIMENSIONS = 4
SENTENCES = tiny_training.SIZES["test"]
EQUAL, MISSING = 2, 5  # places of sentences whose second reference is the first again, or empty


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a second reference: the first one backwards, after a word that the dictionary lacks in one place."""
    folder = tiny_training.make_data(tmp_path_factory.mktemp("latent") / "data")
    first = (folder / "raw" / "test.bb").read_text(encoding="utf-8").splitlines()
    second = [" ".join([*reversed(line.split()), "t1", "t2"]) for line in first]
    second[EQUAL], second[MISSING] = first[EQUAL], ""
    second[0] = f"new {second[0]}"
    (folder / "raw" / "test.bb.1").write_text("".join(f"{line}\n" for line in second), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def vae(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random posterior that looks at y more than at x: some positions move."""
    options = {"latent_dim": DIMENSIONS, "latent_layers": 1, "init": "xavier"}
    run = make_run(data, tmp_path_factory.mktemp("runs") / "vae", "ctc", **options)
    path = run / "checkpoints" / "checkpoint_last.pt"
    state = torch.load(path)
    for name, parameter in state["model"].items():
        if name.startswith("latent.source_decoder") and "encoder_attn" in name and name.endswith("weight"):
            parameter.mul_(5)
    torch.save(state, path)
    return run


@torch.no_grad()
def posterior(model: Any, source: torch.Tensor, target: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Means and KL [S, D] of one pair, as torch's own distributions say."""
    encoder_out = model.encoder(source[None].long(), src_lengths=torch.tensor([len(source)]))
    gaussians = model.latent.posterior(source[None].long(), target[None].long()), model.latent.prior(encoder_out)
    divergence = torch.distributions.kl_divergence(*(torch.distributions.Normal(*each) for each in gaussians))
    return gaussians[0].mean[0].numpy(), divergence[0].numpy()


def test_the_figures_are_those_of_single_sentences(
    vae: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_run(vae, tmp_path / "run")
    main([str(run), "--threads", "1", "--examples", "2"])
    shown = capsys.readouterr().out
    results = run / "results"
    row = read_row(results / "latent_test.json")
    model, task = load_run(run, data, "test")
    dataset = task.dataset("test")

    pairs = [posterior(model, dataset.src[index], dataset.tgt[index]) for index in range(SENTENCES)]
    means, divergences = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    assert (row["sentences"], row["positions"], row["dimensions"]) == (SENTENCES, len(means), DIMENSIONS)
    np.testing.assert_allclose(row["kl"]["nats"], divergences.mean(0), rtol=1e-4)
    assert row["kl"]["kl_bits"] == pytest.approx(divergences.sum(1).mean() / math.log(2), rel=1e-4)
    assert row["kl"]["active_dimensions"] == (divergences.mean(0) > 0.01).sum() > 0
    variances = np.linalg.eigvalsh(np.cov(means.astype(np.float64), rowvar=False))[::-1]
    np.testing.assert_allclose(row["pca"]["explained_variance"], variances, rtol=1e-3)
    np.testing.assert_allclose(row["pca"]["cumulative_ratio"], variances.cumsum() / variances.sum(), rtol=1e-3)
    enough = [number for number in range(1, DIMENSIONS + 1) if variances[:number].sum() >= 0.95 * variances.sum()]
    assert row["pca"]["effective_dimension"] == enough[0]
    assert f"effective dimension (95 % of the variance): {enough[0]} of {DIMENSIONS}" in shown

    moved = check_alignment(row["alignment"], results, model, task, data)
    assert moved  # a random posterior depends on y, or this test would see nothing
    examples = json.loads((results / "latent_test.examples.json").read_text(encoding="utf-8"))
    assert [example["sentence"] - 1 for example in examples] == moved[:2]
    for example in examples:
        assert f"  {example['alignment']}\n" in shown
        assert all(text in shown for text in example["translations"])
        assert np.shape(example["distances"]) == (len(example["source"]),) * 2
        np.testing.assert_allclose(np.diagonal(example["distances"]), example["distance_to_itself"])
    assert "z:posterior mean|" in row["signature"]
    assert row["signature"] in shown
    assert row["command"].startswith(f"scripts/analyse_latent.py {run}")


def check_alignment(found: dict[str, Any], results: Path, model: Any, task: Any, data: Path) -> list[int]:
    """Compare with a computation sentence by sentence; returns the sentences in which a position moved."""
    texts = [(data / "raw" / name).read_text(encoding="utf-8").splitlines() for name in ("test.bb", "test.bb.1")]
    with open(results / "latent_test.positions.tsv", encoding="utf-8", newline="") as handle:
        lines = list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
    compared = [index for index in range(SENTENCES) if index not in (EQUAL, MISSING)]
    assert sorted({int(line["sentence"]) - 1 for line in lines}) == compared
    moved, stays, itself, matched = [], 0, [], []
    for index in compared:
        source = task.dataset("test").src[index]
        encode = task.target_dictionary.encode_line
        z = [
            posterior(model, source, encode(text[index], add_if_not_exist=False, line_tokenizer=str.split))[0][:-1]
            for text in texts
        ]
        distances = np.linalg.norm(z[0][:, None] - z[1][None], axis=2)
        _, matches = linear_sum_assignment(distances)
        here = [line for line in lines if int(line["sentence"]) == index + 1]
        words = task.source_dictionary.string(source).split()
        assert [line["word"] for line in here] == words
        assert [int(line["matched_position"]) for line in here] == matches.tolist()
        assert [line["matched_word"] for line in here] == [words[match] for match in matches]
        reached = distances[np.arange(len(words)), matches]
        np.testing.assert_allclose([float(line["distance_to_itself"]) for line in here], np.diag(distances), rtol=1e-3)
        np.testing.assert_allclose([float(line["distance_to_match"]) for line in here], reached, rtol=1e-3)
        here_stay = matches == np.arange(len(words))
        stays += int(here_stay.sum())
        itself += np.diag(distances).tolist()
        matched += reached.tolist()
        if not here_stay.all():
            moved.append(index)
    assert (found["sentences"], found["positions"]) == (len(compared), len(lines))
    assert found["matched_to_itself"] == pytest.approx(stays / len(lines))
    assert found["distance_to_itself"] == pytest.approx(np.mean(itself), rel=1e-4)
    assert found["distance_to_match"] == pytest.approx(np.mean(matched), rel=1e-4)
    assert (found["equal_references"], found["missing_references"], found["unknown_tokens"]) == (1, 1, 1)
    return moved


def test_batches_change_nothing_and_plots_have_their_numbers(vae: Path, tmp_path: Path) -> None:
    runs = [copy_run(vae, tmp_path / name) for name in ("large", "small")]
    output = tmp_path / "out" / "both.json"
    shared = ["--threads", "1", "--output", str(output)]
    main([str(runs[0]), *shared, "--name", "large"])
    main([str(runs[1]), *shared, "--name", "small", "--max-tokens", "12"])
    both = json.loads(output.read_text(encoding="utf-8"))
    assert [row["system"] for row in both] == ["large", "small"]
    large, small = both
    np.testing.assert_allclose(large["kl"]["nats"], small["kl"]["nats"], rtol=1e-4)
    np.testing.assert_allclose(large["pca"]["explained_variance"], small["pca"]["explained_variance"], rtol=1e-3)
    positions = [(run / "results" / "latent_test.positions.tsv").read_text(encoding="utf-8") for run in runs]
    assert [line.split("\t")[:5] for line in positions[0].splitlines()] == [
        line.split("\t")[:5] for line in positions[1].splitlines()
    ]
    with open(output.with_suffix(".tsv"), encoding="utf-8", newline="") as handle:
        lines = list(csv.DictReader(handle, delimiter="\t"))
    for row in both:
        for measure, values in {
            "explained_variance_ratio": row["pca"]["explained_variance_ratio"],
            "cumulative_ratio": row["pca"]["cumulative_ratio"],
            "kl_nats": row["kl"]["nats"],
        }.items():
            here = [line for line in lines if (line["system"], line["measure"]) == (row["system"], measure)]
            assert [int(line["index"]) for line in here] == list(range(1, DIMENSIONS + 1))
            np.testing.assert_allclose([float(line["value"]) for line in here], values, rtol=1e-6)
    drawing = output.with_suffix(".svg").read_text(encoding="utf-8")
    assert all(row["system"] in drawing for row in both)
    assert "sentence 1" in (runs[0] / "results" / "latent_test.examples.svg").read_text(encoding="utf-8")


def test_a_collapsed_posterior_has_no_dimension_and_moves_nothing(
    vae: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_run(vae, tmp_path / "collapsed")
    path = run / "checkpoints" / "checkpoint_last.pt"
    state = torch.load(path)
    for side in ("posterior", "prior"):
        state["model"][f"latent.{side}_projection.weight"].zero_()
        state["model"][f"latent.{side}_projection.bias"].fill_(0.5)
    torch.save(state, path)
    main([str(run), "--threads", "1", "--no-plot", "--examples", "1"])
    row = read_row(run / "results" / "latent_test.json")
    assert row["pca"]["effective_dimension"] == row["kl"]["active_dimensions"] == 0
    assert row["alignment"]["matched_to_itself"] == row["alignment"]["sentences_unmoved"] == 1.0
    assert not list((run / "results").glob("*.svg"))
    assert "moved: none" in capsys.readouterr().out


def test_one_reference_is_analysed_without_alignment(
    vae: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_run(vae, tmp_path / "run")
    main([str(run), "--threads", "1", "--split", "valid", "--no-plot"])
    row = read_row(run / "results" / "latent_valid.json")
    assert (row["sentences"], row["alignment"]) == (tiny_training.SIZES["valid"], None)
    assert "name two with --references" in capsys.readouterr().out
    assert not (run / "results" / "latent_valid.positions.tsv").exists()


def test_refuses_in_one_sentence(vae: Path, data: Path, tmp_path: Path) -> None:
    for method in ("ctc", "teacher"):
        run = make_run(data, tmp_path / method, method)
        with pytest.raises(UserError, match=r"has no latent variable that could be analysed: name a run"):
            main([str(run), "--no-plot"])
        assert not (run / "results" / "latent_test.json").exists()
    first = str(data / "raw" / "test.bb")
    short = tmp_path / "short"
    short.write_text("t1\nt2\n", encoding="utf-8")
    long = tmp_path / "long"
    long.write_text("\n".join([" ".join(["t1"] * 2000)] * SENTENCES), encoding="utf-8")
    other = tmp_path / "other.json"
    other.write_text('[{"system": "a", "bleu": 1}]', encoding="utf-8")
    refusals = {
        "short has 2 lines, but split 'test' has 8 sentences": ["--references", str(short), first],
        "no sentence has two different translations": ["--references", first, first],
        "8 sentences of split 'test'.* are longer than the model takes": ["--references", first, str(long)],
        "there is no file .*nowhere": ["--references", first, str(tmp_path / "nowhere")],
        "holds results of another script": ["--output", str(other)],
        r"--output all\.txt must end in \.json": ["--output", "all.txt"],
        "two runs have one name": [str(vae), "--output", str(tmp_path / "all.json")],
        "--name names one system": [str(vae), "--name", "a"],
        "--examples must be at least 0, not -1": ["--examples", "-1"],
    }
    for sentence, words in refusals.items():
        with pytest.raises(UserError, match=sentence):
            main([str(vae), *words, "--no-plot"])
    assert not (vae / "results").exists()
