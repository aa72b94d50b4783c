"""Gu & Kong 2021, Table 4: each of its fifteen rows is a configuration, and each trains and decodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import nat_plugin
from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from scripts import combinations
from scripts.lib import launch
from scripts.lib.combinations import TABLE_4, Combination, find
from scripts.lib.config import compose_run
from scripts.lib.results import read_rows
from scripts.lib.runs import Run
from scripts.train import build_commands
from tests.scripts import tiny_training

ROOT = Path(__file__).resolve().parents[2]
METHODS = sorted({row.method for row in TABLE_4} | {"glat", "jm_nat", "vae_nat"})
UPDATES = 4


@pytest.mark.parametrize("row", TABLE_4, ids=lambda row: row.techniques)
def test_a_row_is_a_configuration(row: Combination) -> None:
    words = row.techniques.split(" + ")
    config = compose_run(
        [f"data={row.data('generated')}", f"method={row.method}", "size=base", "budget=paper", "machine=cpu"]
    )
    flags = config["fairseq"]
    assert config["data"]["path"].endswith("_kd") == ("KD" in words)
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
    compared += ["encoder_mask_prob", "decoder_mask_span", "decoder_mask_fill"]
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
    expected = {
        "glat": {"revealed"},
        "rnd": {"revealed"},
        "vae": {"kl", "active_dimensions"},
        "jm": {"ngram_loss", "encoder_loss"},
    }
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
    assert [(row[0], row[-1]) for row in rows] == [
        (row.techniques, f"`data={row.data('multi30k_en_de')} method={row.method}`") for row in TABLE_4
    ]


class Scripts:
    """Stands in for our scripts: leaves what train.py and evaluate.py leave, and notes what it was asked for."""

    def __init__(self, bleu: dict[str, float]) -> None:
        self.bleu = bleu
        self.commands: list[list[str]] = []

    def __call__(self, commands: list[list[str]], processors: int) -> None:
        assert len(commands) <= processors
        self.commands += commands
        for script, *words in commands:
            if script == "train.py":
                self.train(words)
            else:
                folder = Path(words[0])
                score = next(score for name, score in self.bleu.items() if name in folder.name)
                row = {"system": "?", "bleu": score, "repeated_tokens": 0.1, "empty_outputs": 0.0}
                write_json(folder / "results" / "test.json", [row])

    def train(self, words: list[str]) -> None:
        run = Run(Path("runs") / next(word for word in words if word.startswith("name=")).removeprefix("name="))
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        if run.last_checkpoint.exists():
            return
        run.last_checkpoint.touch()
        losses = [f'x | INFO | valid | {{"valid_loss": "{9 - n}", "valid_num_updates": "{n}"}}' for n in range(3)]
        run.log_file.write_text("\n".join(losses), encoding="utf-8")


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scripts:
    stand_in = Scripts({"untrained": 0.5, "ctc": 12.0, "axe": 0.75})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(combinations, "run_together", stand_in)
    return stand_in


def test_measures_rows_beside_their_untrained_models(scripts: Scripts, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["KD + CTC", "CTC", "--updates", "7", "--at-once", "2", "--output", "rows.json"]
    combinations.main(arguments)
    trained = [command for command in scripts.commands if command[0] == "train.py"]
    assert [command[-1] for command in trained] == [
        "name=multi30k_en_de/ctc_tiny_untrained",
        "name=multi30k_en_de/ctc_tiny_7",
        "name=multi30k_en_de_kd/ctc_tiny_7",
    ], "raw and distilled data have one untrained model"
    assert "fairseq.max_update=1" in trained[0]
    rows = read_rows(Path("rows.json"))
    assert [(row["system"], row["bleu"], row["untrained_bleu"]) for row in rows] == [
        ("CTC", 12.0, 0.5),
        ("KD + CTC", 12.0, 0.5),
    ]
    assert (rows[0]["first_validation_loss"], rows[0]["last_validation_loss"]) == (9.0, 7.0)
    assert "KD + CTC 26.51 12.00 0.50 9.000 → 7.000" in " ".join(capsys.readouterr().out.split())

    scripts.commands.clear()
    combinations.main(arguments)
    assert {command[0] for command in scripts.commands} == {"train.py"}, "what is scored is not scored again"


def test_a_row_that_does_not_learn_is_an_error(scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    [row] = find(["AXE"])
    with pytest.raises(UserError, match="there is no row 'OAXE'"):
        combinations.main(["OAXE"])
    monkeypatch.setattr(combinations, "find", lambda names: [row._replace(margin=1.0)])
    with pytest.raises(UserError, match=r"AXE is 0\.25 BLEU above the untrained model, not more than 1\.0"):
        combinations.main(["AXE"])
    assert read_rows(Path("results/combinations.json"))[0]["bleu"] == 0.75
    combinations.main(["AXE", "--no-check"])
