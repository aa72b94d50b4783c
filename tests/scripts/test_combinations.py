"""Gu & Kong 2021, Table 4: each of its fifteen rows is a configuration, and each trains and decodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import nat_plugin
from nat_plugin.errors import UserError
from scripts.lib import launch
from scripts.lib.config import compose_run
from scripts.lib.runs import Run
from scripts.train import build_commands
from tests.scripts import tiny_training

ROOT = Path(__file__).resolve().parents[2]
# KD, AXE, CTC, VAE, RND and GLAT of each row, in the paper's order, and the method that is it
TABLE_4 = [
    ("", "nat"),
    ("KD", "nat"),
    ("AXE", "axe"),
    ("KD AXE", "axe"),
    ("CTC", "ctc"),
    ("KD CTC", "ctc"),
    ("CTC VAE", "ctc_vae"),
    ("KD AXE VAE", "axe_vae"),
    ("KD CTC VAE", "ctc_vae"),
    ("KD AXE RND", "axe_rnd"),
    ("KD AXE GLAT", "axe_glat"),
    ("KD CTC RND", "ctc_rnd"),
    ("CTC GLAT", "ctc_glat"),
    ("KD CTC GLAT", "ctc_glat"),
    ("KD CTC VAE GLAT", "ctc_vae_glat"),
]
METHODS = sorted({method for _, method in TABLE_4} | {"glat", "vae_nat"})
UPDATES = 4


@pytest.mark.parametrize(("techniques", "method"), TABLE_4)
def test_a_row_is_a_configuration(techniques: str, method: str) -> None:
    words = techniques.split()
    data = "generated_kd" if "KD" in words else "generated"
    flags = compose_run([f"data={data}", f"method={method}", "size=base", "budget=paper", "machine=cpu"])["fairseq"]
    criterion = "nat_axe" if "AXE" in words else "nat_ctc" if "CTC" in words else "nat_cross_entropy"
    masking = "uniform" if "RND" in words else "glancing" if "GLAT" in words else "full"
    assert (flags["criterion"], flags["masking"], flags["copying"]) == (criterion, masking, "soft")
    assert flags.get("latent_dim", 0) == (8 if "VAE" in words else 0)
    assert flags.get("upsample_scale", 0) == (3.0 if "CTC" in words else 0)
    assert (flags["label_smoothing"], flags["dropout"], flags["weight_decay"]) == (0.01, 0.3, 0.01)
    if "VAE" in words:
        assert flags["free_bits"] == "1.0:0.0@150000"
    if "GLAT" in words:
        assert [flags[f"glancing_{key}"] for key in ("ratio", "distance", "count")] == [0.5, "levenshtein", "poisson"]


@pytest.mark.parametrize("method", METHODS)
def test_the_name_of_the_model_says_the_same_as_the_flags(method: str) -> None:
    """So that the flags, which the command shows, can be left out: `--arch ctc_vae_glat_base` has them."""
    nat_plugin.register()
    from fairseq.models import MODEL_DATACLASS_REGISTRY

    flags = compose_run(["data=generated", f"method={method}", "size=base", "budget=paper", "machine=cpu"])["fairseq"]
    preset = MODEL_DATACLASS_REGISTRY[flags["arch"]]()
    compared = ["masking", "copying", "upsample_scale", "latent_dim"]
    if method != "axe_glat":  # the name is that of Qian et al. 2021, Gu & Kong's glancing is another one
        compared += ["glancing_ratio", "glancing_distance", "glancing_count"]
    for key in set(compared) & set(flags):
        value = getattr(preset, key)
        assert str(getattr(value, "value", value)) == str(flags[key]).replace("@200000", "@200k"), key


def test_a_schedule_needs_a_number_of_updates() -> None:
    words = ["data=generated", "method=ctc_vae", "machine=cpu", "fairseq.max_update=null"]
    with pytest.raises(UserError, match=r"fairseq\.free_bits"):
        compose_run(words)
    assert compose_run([*words, "fairseq.free_bits=0.5"])["fairseq"]["free_bits"] == 0.5


def configuration(data: Path, run: Path, method: str) -> Any:
    """What fairseq-train would make of the command that scripts/train.py prints."""
    nat_plugin.register()
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    words = tiny_training.settings(data, run, method, max_update=UPDATES, dropout=0.1)
    [command] = build_commands(compose_run(words), Run(run), launch.Layout(1, [{"cpu": True}]))
    parsed = options.parse_args_and_arch(options.get_training_parser(), command[1:])
    return convert_namespace_to_omegaconf(parsed)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_and_decodes(tiny_data: Path, tmp_path: Path, method: str) -> None:
    cfg = configuration(tiny_data, tmp_path / "run", method)
    from fairseq import tasks
    from fairseq.trainer import Trainer

    torch.manual_seed(1)
    task = tasks.setup_task(cfg.task)
    model, criterion = task.build_model(cfg.model), task.build_criterion(cfg.criterion)
    trainer = Trainer(cfg, task, model, criterion)
    for split in ("train", "valid", "test"):
        task.load_dataset(split)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    batches = batches_of(task, "train")
    trainer.begin_epoch(1)
    logs = [trainer.train_step([batches[update % len(batches)]]) for update in range(UPDATES)]
    assert all(log is not None and log["loss"] > 0 for log in logs)
    assert trainer.get_num_updates() == UPDATES
    frozen = [name for name, value in model.named_parameters() if torch.equal(value, before[name])]
    assert [name for name in frozen if "k_proj.bias" not in name] == []  # softmax does not see a key's bias
    for batch in batches_of(task, "valid"):
        assert trainer.valid_step(batch)["loss"] > 0
    expected = {"glat": {"revealed"}, "rnd": {"revealed"}, "vae": {"kl", "active_dimensions"}}
    logged = set(logs[-1])
    assert all(names <= logged for part, names in expected.items() if part in method.split("_"))
    generator = task.build_generator([model], cfg.generation)
    special = generator.symbols_to_strip_from_output
    translated = []
    for batch in batches_of(task, "test"):
        hypotheses = task.inference_step(generator, [model], batch)
        assert not any(special & set(best[0]["tokens"].tolist()) for best in hypotheses)
        translated += batch["id"].tolist()
        assert len(hypotheses) == len(batch["id"])
    assert sorted(translated) == list(range(tiny_training.SIZES["test"]))


def batches_of(task: Any, split: str) -> list[Any]:
    """All batches of a split, in order."""
    iterator = task.get_batch_iterator(task.datasets[split], max_tokens=150, max_positions=(1024, 1024), num_workers=0)
    return list(iterator.next_epoch_itr(shuffle=False))


def test_the_page_gives_every_row() -> None:
    page = (ROOT / "docs" / "combinations.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if "| `data=" in line]
    expected = [
        (words or "none", f"`data=multi30k_en_de{'_kd' if 'KD' in words else ''} method={method}`")
        for words, method in TABLE_4
    ]
    assert [(row[0].replace(" + ", " "), row[2]) for row in rows] == expected
