"""scripts/reproduce.py with the scripts that it runs replaced: which steps, in which order, and what the table says."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nat_plugin.errors import UserError
from scripts import reproduce
from scripts.lib.runs import Run
from tests.scripts.recipes.pretended_run import Pretended, make_data, make_older

WORDS = ["--data", "data-bin/toy", "fairseq.max_update=100", "machine=cpu"]
TABLE = Path("results/recipes/toy_tiny/axe_table2.json")


def bleu(name: str) -> float:
    return {"toy_kd/cmlm_ce_tiny": 10.0, "toy_kd/cmlm_axe_tiny_delta1": 60.0}.get(name, 30.0)


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pretended:
    steps = Pretended(bleu)
    monkeypatch.chdir(tmp_path)
    make_data(Path("data-bin/toy"))
    make_older(Path("data-bin"))
    monkeypatch.setattr("scripts.lib.steps.start", steps)
    monkeypatch.setattr("scripts.lib.reproduce.scheduler._PAUSE_SECONDS", 0)
    monkeypatch.setattr("scripts.lib.reproduce.agreement.SAMPLES", 50)
    return steps


def read(path: Path = TABLE) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return table


def test_a_table_from_nothing(steps: Pretended, capsys: pytest.CaptureFixture[str]) -> None:
    reproduce.main(["axe_table2", *WORDS])
    assert steps.scripts == [
        "train.py", "distill.py", "train.py", "evaluate.py", "train.py", "tune.py", "evaluate.py"
    ]  # fmt: skip
    assert steps.commands[0][1:3] == ["data=data-bin/toy", "method=teacher"]
    assert steps.commands[1] == ["distill.py", "runs/toy/teacher_tiny"]
    assert steps.commands[2][1:3] == ["data=data-bin/toy_kd", "method=cmlm_ce"]
    assert all("fairseq.max_update=100" in command for command in steps.commands if command[0] == "train.py")
    assert "name=toy_kd/cmlm_axe_tiny_delta1" in steps.commands[4]
    tuned = "runs/toy_kd/cmlm_axe_tiny_delta1/results/tune_length_multiplier.json"
    assert steps.commands[6][steps.commands[6].index("--tuned") + 1] == tuned

    table = read()
    assert (table["paper_data"], table["data"], table["size"]) == ("wmt14_en_de", "toy", "tiny")
    ce, axe = table["rows"]
    assert (ce["row"], ce["tokenized_bleu"], ce["paper"]) == (
        "ce", 10.5, {"data": "wmt14_en_de", "tokenized_bleu": 18.05}
    )  # fmt: skip
    assert (axe["updates"], axe["parameters"], axe["seed"]) == (100, 2186240, 1)
    assert axe["commands"]["training"].startswith("scripts/train.py data=data-bin/toy_kd method=cmlm_axe")
    [gap] = table["gaps"]
    assert (gap["ours"], gap["paper"]) == (50.0, pytest.approx(5.48))
    assert gap["p_values"]["1"] < 0.05
    assert gap["verdict"] == "agrees"
    shown = capsys.readouterr().out
    assert "AXE CMLM − Cross Entropy CMLM" in shown
    [line] = [line.split() for line in TABLE.with_suffix(".tsv").read_text().splitlines() if line.startswith("axe\t")]
    assert line[:6] == ["axe", "AXE", "CMLM", "1", "100", "60.5"]
    markdown = TABLE.with_suffix(".md").read_text(encoding="utf-8")
    assert "| AXE CMLM" in markdown
    assert "23.53" in markdown


def test_what_is_done_is_not_done_again_and_what_is_old_is(steps: Pretended) -> None:
    reproduce.main(["axe_table2", *WORDS])
    steps.commands.clear()
    reproduce.main(["axe_table2", "axe_table9", *WORDS])
    assert steps.commands == []
    make_older(Path("runs/toy_kd/cmlm_ce_tiny/results"), 1000)
    reproduce.main(["axe_table2", *WORDS])
    assert [command[:2] for command in steps.commands] == [["evaluate.py", "runs/toy_kd/cmlm_ce_tiny"]]


def test_what_the_user_tuned_for_a_run_does_not_count(steps: Pretended) -> None:
    reproduce.main(["axe_table2", "axe_table3", "--rows", "ce,axe,teacher", *WORDS])
    of_rows = [command for command in steps.commands if command[0] == "evaluate.py"]
    tuned = [command[command.index("--tuned") + 1].rpartition("/")[2] for command in of_rows]
    assert sorted(tuned) == ["none", "none", "tune_length_multiplier.json"]
    steps.commands.clear()
    translation = next(Path("runs/toy_kd/cmlm_ce_tiny/results").glob("test*.json"))
    later = time.time() + 1
    os.utime(translation, (later, later))  # as the user's own scripts/evaluate.py, with what he tuned
    reproduce.main(["axe_table2", *WORDS])
    assert [command[:2] for command in steps.commands] == [["evaluate.py", "runs/toy_kd/cmlm_ce_tiny"]]


def test_a_row_stays_though_a_later_step_writes_its_file_again(
    steps: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune = steps.tune

    def tune_and_write(words: Sequence[str]) -> None:
        tune(words)
        for path in Path("runs/toy_kd/cmlm_ce_tiny/results").glob("test*.json"):
            os.utime(path, (time.time() + 1,) * 2)

    monkeypatch.setattr(steps, "tune", tune_and_write)
    reproduce.main(["axe_table2", *WORDS])
    assert [row["row"] for row in read()["rows"]] == ["ce", "axe"]


def test_two_grids_of_a_flag_are_two_studies(steps: Pretended, capsys: pytest.CaptureFixture[str]) -> None:
    reproduce.main(["axe_table2", "encoder_from_teacher", "--dry-run", *WORDS])
    tunings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("scripts/tune.py")]
    own = [line.partition("--study ")[2] for line in tunings if "length_multiplier=1.00:1.40:0.05" in line]
    assert own == [
        f"runs/toy_kd/{run}_encoder/results/tune_length_multiplier_1.00-1.40-0.05.journal"
        for run in ("cmlm_ce_tiny", "cmlm_axe_tiny_delta1")
    ]
    assert [line for line in tunings if "--study" not in line and "length_multiplier" in line]


def test_what_another_command_wrote_in_the_place_of_a_result_is_made_anew(steps: Pretended) -> None:
    """As the user's own scripts/tune.py with another grid: its file has the same name."""
    reproduce.main(["axe_table2", *WORDS])
    steps.commands.clear()
    tuned = Path("runs/toy_kd/cmlm_axe_tiny_delta1/results/tune_length_multiplier.json")
    later = time.time() + 1
    os.utime(tuned, (later, later))
    reproduce.main(["axe_table2", *WORDS])
    assert [command[:2] for command in steps.commands] == [
        [script, "runs/toy_kd/cmlm_axe_tiny_delta1"] for script in ("tune.py", "evaluate.py")
    ]


def test_steps_that_tables_share_are_done_once(steps: Pretended) -> None:
    reproduce.main(["axe_table2", "axe_table9", "axe_table6", *WORDS])
    trainings = [" ".join(command) for command in steps.commands if command[0] == "train.py"]
    assert len(trainings) == len(set(trainings)) == 1 + 1 + 5
    assert len({" ".join(command) for command in steps.commands}) == len(steps.commands)
    skipped = [row["skipped"] for row in read(TABLE.with_name("axe_table6.json"))["rows"]]
    assert skipped == [0.1] * 5
    assert read(TABLE.with_name("axe_table6.json"))["orders"][0]["rows"] == 5


@pytest.mark.parametrize("number", [0, 2, 5, 6])
def test_goes_on_after_a_kill(steps: Pretended, number: int) -> None:
    steps.killed_at = number
    with pytest.raises(KeyboardInterrupt):
        reproduce.main(["axe_table2", *WORDS])
    steps.killed_at = None
    reproduce.main(["axe_table2", *WORDS])
    assert len(steps.commands) == len({" ".join(command) for command in steps.commands}) == 7
    assert len(read()["rows"]) == 2


def test_what_does_not_hang_on_a_failed_step_goes_on(steps: Pretended) -> None:
    steps.failing = "method=cmlm_ce"
    with pytest.raises(UserError, match=r"1 step\(s\) failed \(1 more steps wait for that\).*cmlm_ce_tiny"):
        reproduce.main(["axe_table2", *WORDS])
    assert [row["row"] for row in read()["rows"]] == ["axe"]
    steps.failing = ""
    reproduce.main(["axe_table2", *WORDS])
    assert [row["row"] for row in read()["rows"]] == ["ce", "axe"]


def test_a_training_on_other_data_is_refused_and_kept(steps: Pretended) -> None:
    reproduce.main(["axe_table2", *WORDS])
    make_older(Path("runs/toy_kd/cmlm_ce_tiny/checkpoints"), 1000)
    with pytest.raises(UserError, match=r"cmlm_ce_tiny was trained before .* move it away"):
        reproduce.main(["axe_table2", *WORDS])
    assert Run(Path("runs/toy_kd/cmlm_ce_tiny")).averaged_checkpoint.exists()


def test_several_at_once_and_time_alone(steps: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.lib.reproduce.job.visible_gpus", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("scripts.lib.reproduce.scheduler.Scheduler._collect", collect_when_full)
    reproduce.main(["gu_kong_table6", "--jobs", "3", *WORDS])
    assert steps.scripts[-1] == "benchmark_latency.py"
    assert steps.environments[-1] == {}
    students = [
        environment["CUDA_VISIBLE_DEVICES"]
        for command, environment in zip(steps.commands, steps.environments, strict=True)
        if "method=ctc" in command
    ]
    assert set(students) == {"0", "1"}
    times = {row["row"]: row["speedup"] for row in read(TABLE.with_name("gu_kong_table6.json"))["rows"]}
    assert times == {"1.5": 2.0, "2": 3.0, "2.5": 4.0, "3": 5.0}
    assert Path("runs/logs").is_dir()


def collect_when_full(self: Any, running: dict[str, Any]) -> None:
    """As if all that run side by side ended together; never more than there are jobs, and time alone."""
    assert len(running) <= self.jobs
    assert len(running) == 1 or not any(each.step.is_alone for each in running.values())
    for key, each in list(running.items()):
        del running[key]
        each.step.note()
        made_at = each.step.made_at()
        assert made_at is not None
        self.done[key] = made_at
        self.on_done(each.step)


def test_rows_that_a_script_trains_have_their_times_and_trainings_too(steps: Pretended) -> None:
    reproduce.main(["haviv_figure2", "--rows", "at_causal_axe", *WORDS])
    assert steps.scripts[-2:] == ["recipes/latent_alignment_at.py", "benchmark_latency.py"]
    assert steps.commands[-1][1:3] == [
        "runs/toy/at_ce_tiny:tuned=none,name=at_ce",
        "runs/toy/at_causal_axe_tiny:tuned=none,name=at_causal_axe",
    ]
    [row] = read(TABLE.with_name("haviv_figure2.json"))["rows"]
    assert (row["bleu"], row["speedup"], row["updates"], row["training_minutes"] >= 0) == (29.5, 2.0, 100, True)
    assert row["run"] == "runs/toy/at_causal_axe_tiny"


def test_seeds_share_the_teacher_and_give_a_mean(steps: Pretended) -> None:
    reproduce.main(["axe_table2", "--seeds", "1,2", *WORDS])
    trainings = [command for command in steps.commands if command[0] == "train.py"]
    assert len(trainings) == 1 + 2 * 2
    second = [command for command in trainings if "fairseq.seed=2" in command]
    assert [command[-1] for command in second] == [
        "run=runs/seed2/toy_kd/cmlm_ce_tiny", "run=runs/seed2/toy_kd/cmlm_axe_tiny_delta1"
    ]  # fmt: skip
    assert [(row["row"], row["seed"]) for row in read()["rows"]] == [("ce", 1), ("ce", 2), ("axe", 1), ("axe", 2)]
    assert "± " in TABLE.with_suffix(".md").read_text(encoding="utf-8")
    assert set(read()["gaps"][0]["p_values"]) == {"1", "2"}


def test_a_later_seed_alone_trains_nothing_of_the_first(steps: Pretended) -> None:
    reproduce.main(["gu_kong_table6", "--rows", "1.5", "--seeds", "2", *WORDS])
    assert steps.scripts == ["train.py", "distill.py", "train.py", "evaluate.py"]
    assert "fairseq.seed=2" in steps.commands[2]
    [row] = read(TABLE.with_name("gu_kong_table6.json"))["rows"]
    assert row["seed"] == 2


def test_scripts_are_told_to_do_without_plots(steps: Pretended) -> None:
    for option in ([], ["--no-plot"]):
        reproduce.main(["haviv_figure2", *option, *WORDS])
    of_script = [command for command in steps.commands if command[0] == "recipes/latent_alignment_at.py"]
    assert ["--no-plot" in command for command in of_script] == [False, True]


@pytest.mark.parametrize("folder", ["elsewhere/toy", "./toy", "elsewhere/link"])
def test_data_anywhere(steps: Pretended, folder: str) -> None:
    """In the working directory; behind a link of another name; to be prepared elsewhere than in data-bin."""
    if folder.endswith("link"):
        Path("elsewhere").mkdir()
        Path(folder).symlink_to(Path("data-bin/toy").resolve())
    else:
        make_data(Path(folder))
        make_older(Path(folder).parent)
    reproduce.main(["axe_table2", "--rows", "ce", "--data", folder, *WORDS[2:]])
    teacher, distillation, student, _ = steps.commands
    assert Path(teacher[1].removeprefix("data=")).resolve() == Path(folder).resolve()
    made = Path(student[1].removeprefix("data="))
    assert "/" in student[1]
    assert (made / "distill.json").is_file()
    assert distillation[:2] == ["distill.py", "runs/toy/teacher_tiny"]


def test_data_are_prepared_where_they_are_looked_for(
    steps: Pretended, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    reproduce.main(["axe_table2", "--data", "/big/wmt14_en_de", "--dry-run", "machine=cpu"])
    assert "scripts/prepare.py wmt14_en_de --output /big/wmt14_en_de\n" in capsys.readouterr().out


def test_distilled_data_that_were_deleted_are_made_again(steps: Pretended, capsys: pytest.CaptureFixture[str]) -> None:
    reproduce.main(["axe_table2", "--rows", "ce", *WORDS])
    shutil.rmtree("data-bin/toy_kd")
    capsys.readouterr()
    reproduce.main(["axe_table2", "--rows", "ce", "--dry-run", *WORDS])
    assert "3 of them to be done" in capsys.readouterr().out


def test_everything_goes_where_the_user_says(steps: Pretended) -> None:
    reproduce.main(["axe_table2", "--runs", "disk/runs", "--output", "tables", *WORDS])
    assert steps.commands[1][1:] == ["disk/runs/toy/teacher_tiny", "--output", "disk/runs/data-bin/toy_kd"]
    assert steps.commands[2][1] == "data=disk/runs/data-bin/toy_kd"
    assert not Path("runs").exists()
    assert Path("tables/toy_tiny/axe_table2.md").exists()


def test_a_better_row_stays(steps: Pretended) -> None:
    reproduce.main(["axe_table2", *WORDS])
    fewer = [word.replace("=100", "=60") for word in WORDS]
    reproduce.main(["axe_table2", "--runs", "others", "--rows", "axe", *fewer])
    assert [row["updates"] for row in read()["rows"]] == [100, 100]
    more = [word.replace("=100", "=300") for word in WORDS]
    reproduce.main(["axe_table2", "--runs", "third", "--rows", "axe", *more])
    assert [row["updates"] for row in read()["rows"]] == [100, 300]


def test_rows_of_a_recipe_of_recipes(steps: Pretended) -> None:
    reproduce.main(["results", "--rows", "axe_table7,axe_table6/delta3", *WORDS])
    rows = json.loads(Path("results/recipes/toy_tiny/results.json").read_text(encoding="utf-8"))
    assert [row["row"] for row in rows if row["recipe"] == "axe_table6"] == ["delta3"]
    assert len([row for row in rows if row["recipe"] == "axe_table7"]) == 11
    assert next(row for row in rows if row["recipe"] == "axe_table6")["speedup"] == 2.0
    assert "## Ghazvininejad et al. 2020, Table 7" in Path("results/recipes/toy_tiny/results.md").read_text()


def test_a_page_of_the_documentation(steps: Pretended) -> None:
    page = Path("page.md")
    page.write_text("<!-- begin: axe_table2 -->\nold\n<!-- end: axe_table2 -->\n<!-- begin: mple_table2 -->kept\n")
    reproduce.main(["axe_table2", "axe_table9", "--docs", "page.md", *WORDS])
    text = page.read_text()
    table = TABLE.with_suffix(".md").read_text()
    assert text == f"<!-- begin: axe_table2 -->\n#{table}<!-- end: axe_table2 -->\n<!-- begin: mple_table2 -->kept\n"
    other = "<!-- begin: axe_table2 -->of other data<!-- end: axe_table2 -->\n"
    page.write_text(f"{other}<!-- begin: toy_tiny/axe_table2 --><!-- end: toy_tiny/axe_table2 -->")
    reproduce.main(["axe_table2", "--docs", "page.md", *WORDS])
    table = TABLE.with_suffix(".md").read_text()
    assert page.read_text() == (
        f"{other}<!-- begin: toy_tiny/axe_table2 -->\n#{table}<!-- end: toy_tiny/axe_table2 -->"
    )


def test_a_picture_beside_the_table_and_on_the_page(steps: Pretended) -> None:
    page, picture = Path("docs/page.md"), Path("results/recipes/toy_tiny/axe_table6.svg")
    page.parent.mkdir()
    page.write_text("<!-- begin: axe_table6 --><!-- end: axe_table6 -->")
    words = ["axe_table6", "--docs", str(page), *WORDS]
    reproduce.main([*words, "--no-plot"])
    assert not picture.exists()
    assert ".svg" not in page.read_text()
    reproduce.main(words)
    assert "δ = 5" in picture.read_text()
    assert "\n![The penalty δ of skipped targets](../results/recipes/toy_tiny/axe_table6.svg)\n" in page.read_text()


def test_words_for_one_system(steps: Pretended) -> None:
    reproduce.main(["axe_table2", *WORDS, "teacher:fairseq.max_update=300", "teacher:fairseq.lr=3e-3"])
    teacher, *students = [command for command in steps.commands if command[0] == "train.py"]
    assert [word for word in teacher if word.startswith("fairseq.")] == ["fairseq.max_update=300", "fairseq.lr=3e-3"]
    assert len(students) == 2
    for student in students:
        assert "fairseq.max_update=100" in student
        assert "fairseq.lr=3e-3" not in student


def test_students_begin_with_the_encoder_of_a_trained_teacher(steps: Pretended) -> None:
    reproduce.main(["encoder_from_teacher", "--rows", "ctc,ctc_encoder,ctc_encoder_blank", *WORDS])
    first, second = (command for command in steps.commands if command[:1] == ["train.py"] and "method=ctc" in command)
    begun = "fairseq.load_encoder_from=runs/toy/teacher_tiny"
    assert (begun in first, begun in second) == (False, True)
    assert steps.scripts.index("train.py") == 0
    assert steps.commands[0][2] == "method=teacher"
    [tuning] = (command for command in steps.commands if command[0] == "tune.py")
    assert tuning[1:3] == ["runs/toy_kd/ctc_tiny_encoder", "blank_penalty"]
    [timing] = (command for command in steps.commands if command[0] == "benchmark_latency.py")
    tuned = "runs/toy_kd/ctc_tiny_encoder/results/tune_blank_penalty.json"
    assert f"runs/toy_kd/ctc_tiny_encoder:tuned={tuned},name=ctc_encoder_blank" in timing


def test_any_recipe_with_students_that_begin_with_an_encoder(steps: Pretended) -> None:
    rows = "axe_table3/at_kd,axe_table3/axe,axe_table3/nat,stock_nat,nat_base,big_nat_big"
    reproduce.main(["axe_table3", "peers", "gu_kong_table5", "--rows", rows, "--encoder-from", "teacher", *WORDS])
    trained = {
        next(word for word in command if word.startswith("method=")): command
        for command in steps.commands
        if command[0] == "train.py" and "fairseq.encoder_embed_dim=256" not in command
    }
    begun = "fairseq.load_encoder_from=runs/toy/teacher_tiny"
    with_encoder = {method for method, command in trained.items() if begun in command}
    assert with_encoder == {"method=cmlm_axe", "method=nat", "method=ctc_vae"}
    assert "name=toy_kd/cmlm_axe_tiny_delta1_encoder" in trained["method=cmlm_axe"]
    wide = [command for command in steps.commands if "fairseq.encoder_embed_dim=256" in command]
    assert {command[2] for command in wide} == {"method=teacher", "method=ctc_vae"}
    assert not any(word.startswith("fairseq.load_encoder_from") for command in wide for word in command)
    [row] = (
        row for row in read(Path("results/recipes/toy_tiny_encoder/axe_table3.json"))["rows"] if row["row"] == "axe"
    )
    assert begun in row["commands"]["training"]


def test_what_goes_on_from_a_student_that_began_with_an_encoder_is_told_apart(
    steps: Pretended, capsys: pytest.CaptureFixture[str]
) -> None:
    reproduce.main(["mple_figure1", "--encoder-from", "teacher", "--dry-run", *WORDS])
    shown = capsys.readouterr().out
    assert "name=toy/vanilla_tiny_encoder" in shown
    assert "start_from=runs/toy/vanilla_tiny_encoder" in shown
    assert "name=toy_kd/glat_tiny_on_encoder" in shown


def test_a_dry_run_touches_nothing(steps: Pretended, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(Path().rglob("*"))
    reproduce.main(["axe_table2", "--dry-run", *WORDS])
    assert sorted(Path().rglob("*")) == before
    assert steps.commands == []
    shown = capsys.readouterr().out
    assert "scripts/distill.py runs/toy/teacher_tiny\n" in shown
    assert "# 8 steps, 7 of them to be done" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name a recipe"),
        (["axe_table1"], "there is no recipe 'axe_table1': choose some of axe_figure2"),
        (["axe_table2", "--rows", "ce,glat"], "--rows names 'glat': choose some of ce, axe"),
        (["axe_table2", "--seeds", "0"], "--seeds 0: give whole numbers from 1"),
        (["axe_table2", "--jobs", "0"], "--jobs must be at least 1"),
        (["axe_table2", "method=glat"], "method=glat is the recipe's to say"),
        (["axe_table2", "teacher:fairseq.seed=2"], "fairseq.seed=2 is the recipe's to say: use --seeds"),
        (["axe_table2", "tutor:fairseq.lr=1"], "tutor:fairseq.lr=1 is for no system"),
        (
            ["axe_table2", "ctc:fairseq.lr=1"],
            "nothing that was asked for trains ctc. Trained are cmlm_axe, cmlm_ce",
        ),
        (["haviv_figure2", "at_axe:fairseq.lr=1"], "does not reach scripts/recipes/latent_alignment_at.py"),
        (["axe_table2", "--encoder-from", "tutor"], "--encoder-from tutor is no system"),
        (["axe_table2", "--encoder-from", "teacher_narrow"], "nothing that was asked for begins with that encoder"),
        (["axe_table2", "--size", "huge"], "huge"),
        (["axe_table2", "--docs", "nowhere.md"], "--docs nowhere.md does not exist"),
        (["axe_table2", "fairseq.max_tokens=7"], "machine.max_tokens"),
        (["axe_table2", "--data", "wmt14_en_de", "--direction", "de_en"], "--data wmt14_en_de is not de_en"),
        (["axe_table2", "--data", "wmt99_en_de"], "there is no prepared data folder data-bin/wmt99_en_de"),
    ],
)
def test_refuses_in_one_sentence(steps: Pretended, words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        reproduce.main(words)
    assert steps.commands == []


def test_a_file_that_is_no_table_is_not_written_over(steps: Pretended) -> None:
    TABLE.parent.mkdir(parents=True)
    TABLE.write_text('{"rows": [7]}')
    with pytest.raises(UserError, match="is no table of a recipe"):
        reproduce.main(["axe_table2", *WORDS])
    assert steps.commands == []
