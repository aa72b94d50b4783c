"""scripts/total_correlation.py: its figures against sentences read one by one, and what is refused."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from nat_plugin.errors import UserError
from nat_plugin.symbols import word_ids
from scripts.total_correlation import main
from tests.scripts.untrained_runs import load_run, make_run, read_row


@pytest.fixture(scope="module")
def at_run(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tiny_data, tmp_path_factory.mktemp("at") / "run", "teacher")


@pytest.fixture(scope="module")
def nat_run(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tiny_data, tmp_path_factory.mktemp("nat") / "run", "vanilla", seed=2)


def bits(run: Path, data: Path, place: int) -> tuple[float, int]:
    """What one sentence costs, computed alone, and its number of tokens."""
    model, task = load_run(run, data, "valid")
    sample = task.dataset("valid").collater([task.dataset("valid")[place]])
    target, dictionary = sample["target"][0], task.target_dictionary
    with torch.no_grad():
        if hasattr(model, "decode_canvas"):
            source = sample["net_input"]
            hidden = torch.full((1, len(target) - 1), task.mask_idx)
            encoded = model.encode(source["src_tokens"], source["src_lengths"])
            logits = model.decode_canvas(hidden, torch.tensor([len(target) - 1]), encoded)[0]
        else:
            logits = model(**sample["net_input"])[0][0]
    cost = 0.0
    said = [*word_ids(dictionary), dictionary.unk()]
    for position, token in enumerate(target[:-1].tolist()):  # the last one is the end marker
        cost -= float(logits[position, token].double() - logits[position, said].double().logsumexp(0)) / math.log(2)
    return cost, len(target) - 1


def test_the_row_is_what_sentences_alone_give(
    tiny_data: Path, at_run: Path, nat_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "rows.json"
    words = [str(at_run), str(nat_run), "--sentences", "5", "--threads", "1", "--output", str(output)]
    main(words)
    row = read_row(output)
    assert row == read_row(nat_run / "results" / "total_correlation_valid_first5.json")
    at, nat = ([bits(run, tiny_data, place) for place in range(5)] for run in (at_run, nat_run))
    tokens = sum(length for _, length in at)
    assert (row["sentences"], row["tokens"]) == (5, tokens)
    assert row["at_nll"] == pytest.approx(sum(cost for cost, _ in at) / tokens, rel=1e-4)
    assert row["nat_nll"] == pytest.approx(sum(cost for cost, _ in nat) / tokens, rel=1e-4)
    differences = [first - second for (first, _), (second, _) in zip(nat, at, strict=True)]
    assert row["total_correlation"] == pytest.approx(sum(differences) / tokens, rel=1e-3, abs=1e-4)
    assert row["total_correlation_per_sentence"] == pytest.approx(sum(differences) / 5, rel=1e-3, abs=1e-3)
    assert row["total_correlation_se"] > 0
    assert row["caveats"] == []
    assert row["command"].startswith("scripts/total_correlation.py")
    assert "gold length" in row["signature"]
    assert f"{row['total_correlation']:.3f} ±" in capsys.readouterr().out


def test_batches_change_nothing_and_rows_are_kept_by_name(at_run: Path, nat_run: Path, tmp_path: Path) -> None:
    output = tmp_path / "rows.json"
    for name, size in (("large", "4096"), ("small", "12")):
        main([str(at_run), str(nat_run), "--max-tokens", size, "--name", name, "--output", str(output)])
    large, small = json.loads(output.read_text(encoding="utf-8"))
    assert (large["system"], small["system"]) == ("large", "small")
    for key in ("nat_nll", "at_nll", "total_correlation", "total_correlation_se"):
        assert small[key] == pytest.approx(large[key], rel=1e-4, abs=1e-5)


def test_says_what_is_not_vanilla(tiny_data: Path, at_run: Path, tmp_path: Path) -> None:
    cmlm = make_run(tiny_data, tmp_path / "cmlm", "cmlm_axe")
    main([str(at_run), str(cmlm), "--sentences", "2"])
    row = read_row(cmlm / "results" / "total_correlation_valid_first2.json")
    assert [caveat.split(",")[0] for caveat in row["caveats"]] == [
        "the NAT was trained with nat_axe", "the NAT was trained with --masking uniform"
    ]  # fmt: skip


def test_refuses_in_one_sentence(tiny_data: Path, at_run: Path, nat_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the first run must be autoregressive and the second not"):
        main([str(nat_run), str(at_run)])
    ctc = make_run(tiny_data, tmp_path / "ctc", "ctc")
    with pytest.raises(UserError, match="a CTC model has no slot for each target token"):
        main([str(at_run), str(ctc)])
    vae = make_run(tiny_data, tmp_path / "vae", "vae_nat")
    with pytest.raises(UserError, match="its tokens depend on a latent variable"):
        main([str(at_run), str(vae)])
    with pytest.raises(UserError, match="--sentences must be at least 2"):
        main([str(at_run), str(nat_run), "--sentences", "1"])
    with pytest.raises(UserError, match=r"--output x\.txt must end in \.json"):
        main([str(at_run), str(nat_run), "--output", "x.txt"])
    with pytest.raises(UserError, match="there is no binarised split 'nothing'"):
        main([str(at_run), str(nat_run), "--split", "nothing"])


def test_refuses_a_sentence_without_target(tiny_data: Path, at_run: Path, nat_run: Path, tmp_path: Path) -> None:
    from tests.scripts.tiny_training import SOURCE, TARGET

    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    text = data / "bpe" / f"valid.{TARGET}"
    lines = text.read_text(encoding="utf-8").splitlines()
    lines[3] = ""
    text.write_text("\n".join(lines) + "\n", encoding="utf-8")
    import nat_plugin

    nat_plugin.register()
    from fairseq import options
    from fairseq_cli import preprocess

    flags = ["--task", "nat_translation", "--source-lang", SOURCE, "--target-lang", TARGET, "--destdir", str(data)]
    flags += ["--srcdict", str(tiny_data / f"dict.{SOURCE}.txt"), "--tgtdict", str(tiny_data / f"dict.{TARGET}.txt")]
    flags += ["--validpref", str(data / "bpe" / "valid"), "--workers", "1"]
    for language in (SOURCE, TARGET):
        (data / f"dict.{language}.txt").unlink()
    preprocess.main(options.get_preprocessing_parser("nat_translation").parse_args(flags))
    with pytest.raises(UserError, match=r"sentence 4 of split 'valid' has no target"):
        main([str(at_run), str(nat_run), "--data", str(data)])
