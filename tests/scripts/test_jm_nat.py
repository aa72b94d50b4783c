"""JM-NAT through our scripts and fairseq's commands, and the rows of the paper's Table 4."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from scripts.lib.config import compose_run
from scripts.lib.runs import Run
from tests.end_to_end import commands
from tests.end_to_end.settings import ON_CPU, hypotheses
from tests.scripts import tiny_training
from tests.scripts.test_configs import parse

ROOT = Path(__file__).resolve().parents[2]
WORDS = ["data=generated", "method=jm_nat", "size=iwslt_small", "budget=paper", "machine=cpu"]
# what a row leaves out, and the one word that does so
TABLE_4 = {
    "L_enc": "fairseq.encoder_loss_factor=0",
    "encoder mask & L_enc": "fairseq.encoder_mask_prob=0",
    "L_gram": "fairseq.ngram_loss_factor=0",
    "consecutive mask": "fairseq.decoder_mask_span=1",
}


def test_the_method_is_what_the_paper_says() -> None:
    parsed = parse(compose_run(WORDS))
    assert (parsed.criterion._name, parsed.model._name) == ("nat_ngram", "jm_nat_base")
    assert (parsed.criterion.encoder_loss_factor, parsed.criterion.ngram_loss_factor) == (0.01, 0.01)
    assert (parsed.criterion.ngram_size, parsed.criterion.length_loss_weight) == (2, 0.1)
    assert (parsed.model.encoder_mask_prob, parsed.model.decoder_mask_span) == (0.1, 2)
    assert (parsed.model.masking, parsed.model.decoder_mask_fill) == ("uniform", "bert")
    assert parsed.model.positional_attention == 1
    assert (parsed.model.encoder_layers, parsed.model.decoder_ffn_embed_dim) == (5, 256)
    assert (parsed.optimizer.adam_betas, parsed.optimizer.adam_eps) == ("(0.9, 0.98)", 1e-9)


@cache
def flags(*words: str) -> dict[str, Any]:
    """Every option of the run, by group and name."""
    config = parse(compose_run([*WORDS, *words]))
    groups = {name: getattr(config, name) for name in ("model", "criterion", "optimizer", "optimization")}
    return {f"{name}.{key}": value for name, group in groups.items() for key, value in group.items()}


@pytest.mark.parametrize("left_out", TABLE_4)
def test_a_row_of_table_4_is_one_word(left_out: str) -> None:
    whole, row = flags(), flags(TABLE_4[left_out])
    [changed] = [key for key, value in whole.items() if row[key] != value]
    key, value = TABLE_4[left_out].removeprefix("fairseq.").split("=")
    assert changed.endswith(f".{key}")
    assert row[changed] == float(value)


def test_the_page_gives_every_row() -> None:
    page = (ROOT / "docs" / "jm_nat.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| w/o")]
    assert {row[0].removeprefix("w/o "): row[-1].strip("`") for row in rows} == TABLE_4


@pytest.mark.end_to_end
def test_trains_by_our_script_and_translates_by_fairseqs(tiny_data: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    tiny_training.train(tiny_training.settings(tiny_data, run.folder, "jm_nat", max_update=8, num_workers=1))
    log: list[dict[str, Any]] = [
        json.loads(line[line.index("{") :]) for line in run.log_file.read_text().splitlines() if 'loss"' in line
    ]
    trained = [entry for entry in log if "encoder_loss" in entry]
    assert trained, run.log_file.read_text()[-3000:]
    assert all(0 < float(entry["ngram_loss"]) <= 1 and float(entry["encoder_loss"]) > 0 for entry in trained)
    validated = [entry for entry in log if "valid_loss" in entry]
    assert validated
    assert all("valid_ngram_loss" in entry and "valid_encoder_loss" not in entry for entry in validated)
    task = ["--task", "nat_translation", "--source-lang", tiny_training.SOURCE, "--target-lang", tiny_training.TARGET]
    decoding = ["--iterations", 4, "--length-candidates", 3, "--stop-when-unchanged"]
    result = commands.run(
        "fairseq-generate", tiny_data, *task, "--path", run.averaged_checkpoint, *ON_CPU, *decoding
    ).checked()
    assert sorted(hypotheses(result.output)) == list(range(tiny_training.SIZES["test"]))
