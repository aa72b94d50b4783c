"""Every recipe: file, shell script, commands and numbers; and every table and figure of the papers has one."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from nat_plugin.errors import UserError
from scripts import reproduce
from scripts.lib.reproduce.catalogue import FOLDER, SCALES, load_recipe, load_systems, recipe_names
from scripts.lib.reproduce.job import Job
from scripts.recipes import dynamic_kd, mple, oaxe
from tests.documented import ROOT
from tests.scripts.recipes.pretended_run import make_data

PAPERS: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "configs" / "papers.yaml").read_text(encoding="utf-8"))
# Tables and figures of each, counted in the papers.
NUMBERS = {"axe": (9, 3), "gu_kong": (6, 6), "jm_nat": (5, 3), "haviv": (1, 3), "mple": (10, 9)}
SHELL = ROOT / "scripts" / "recipes"


def test_every_table_and_figure_is_listed() -> None:
    for paper, (tables, figures) in NUMBERS.items():
        wanted = {f"Table {n + 1}" for n in range(tables)} | {f"Figure {n + 1}" for n in range(figures)}
        assert set(PAPERS[paper]) - {"title"} == wanted, paper
    assert set(PAPERS) == set(NUMBERS)


def test_what_is_listed_is_there_and_what_is_there_is_listed() -> None:
    entries = [entry for paper in PAPERS.values() for key, entry in paper.items() if key != "title"]
    listed = {entry for entry in entries if isinstance(entry, str)}
    reasons = [entry["none"] for entry in entries if not isinstance(entry, str)]
    assert all(reasons)
    assert listed | {"results", "peers", "encoder_from_teacher", "combinations_tuned"} == set(recipe_names())


def test_every_recipe_has_a_shell_script_and_none_has_another() -> None:
    assert {path.stem for path in SHELL.glob("*.sh")} == set(recipe_names())
    for name in recipe_names():
        path = SHELL / f"{name}.sh"
        assert os.access(path, os.X_OK), path
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[1].startswith(f"# {load_recipe(name).source}: configs/recipes/{name}.yaml")
        assert lines[2:] == [f'exec "$(dirname "${{BASH_SOURCE[0]}}")/../reproduce.py" {name} "$@"']


def test_rows_of_another_recipe_with_something_tuned() -> None:
    as_they_are, tuned = load_recipe("gu_kong_table4").rows, load_recipe("combinations_tuned").rows
    assert list(tuned) == list(as_they_are)
    for key, row in tuned.items():
        [grid] = row.tune
        assert grid.partition("=")[0] == ("blank_penalty" if "ctc" in key else "length_multiplier")
        assert replace(row, tune=()) == as_they_are[key]


def test_the_number_of_lengths_is_that_of_the_data() -> None:
    """Guo et al. 2020, §5.1.5: three on WMT, four on IWSLT14."""
    recipe = load_recipe("jm_nat_table2", "paper")
    for data, lengths in (("wmt14_en_de", 3), ("iwslt14_de_en", 4)):
        rows = recipe.on(data).rows
        assert rows["jm_nat_10"].decode == {
            "iterations": 10, "length_candidates": lengths, "stop_when_unchanged": False
        }  # fmt: skip
        assert rows["teacher"].decode == {}


@pytest.mark.parametrize("name", recipe_names())
def test_every_command_is_understood(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    reproduce.main([name, "--dry-run", "--seeds", "1", "machine=cpu"])
    shown = capsys.readouterr().out.splitlines()
    assert any(line.startswith("scripts/") for line in shown)
    assert f"tables of {'gu_kong_table2' if name == 'results' else name}" in shown[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["multi30k_en_de", "--encoder-from", "teacher"],
        ["wmt14_en_de"],
        ["wmt14_de_en", "--encoder-from", "teacher"],
        ["iwslt14_de_en"],
    ],
)
def test_all_tables_go_together(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever sizes, budgets and grids the tables have by themselves, no two commands make one file."""
    monkeypatch.chdir(tmp_path)
    updates = ["fairseq.max_update=1500", "teacher:fairseq.max_update=4000"]
    reproduce.main(["results", "--dry-run", "--data", *words, *updates, "machine=cpu"])
    shown = capsys.readouterr().out
    assert f"tables of {', '.join(load_recipe('results').includes)}\n" in shown
    with_teachers_words = [line.split()[0] for line in shown.splitlines() if "max_update=4000" in line]
    assert sorted(with_teachers_words) == ["scripts/recipes/dynamic_kd.py", "scripts/train.py"]


def test_every_row_of_all_tables_that_translates_has_its_time() -> None:
    recipes = [load_recipe(name, scale) for name in load_recipe("results").includes for scale in SCALES]
    without = {
        recipe.name: [row.key for row in recipe.rows.values() if not (row.system or row.trained)] for recipe in recipes
    }
    assert {name: keys for name, keys in without.items() if keys} == {
        "axe_table7": list(load_recipe("axe_table7").rows),  # a row is a λ of one model, on the validation set
        "axe_table8": list(load_recipe("axe_table8").rows),  # a row is a bucket of lengths
        "mple_table1": list(load_recipe("mple_table1").rows),  # a row is a data set
    }
    # Small data have two teachers, the paper's four.
    assert {key for key, row in load_recipe("mple_figure8").rows.items() if not row.trained} == {
        f"{model}_{teacher}" for model in ("vanilla", "glat") for teacher in ("base", "big")
    }


@pytest.mark.parametrize("scale", ["multi30k", "wmt14_en_de"])
@pytest.mark.parametrize(
    "more", [["--seeds", "1"], ["--seeds", "2"], ["--encoder-from", "teacher"]], ids=["1", "2", "encoder"]
)
def test_what_scripts_train_is_where_times_are_measured(
    scale: str, more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "mple_table2,mple_table3,mple_table9,mple_figure8"
    words = ["results", "--rows", rows, "--data", scale, *more, "--dry-run", "machine=cpu"]
    planned = Job(reproduce.parse_arguments(words), "reproduce.py")
    commands = [step.command for step in planned.graph.steps.values()]
    trained: set[Path] = set()
    for script, *arguments in commands:
        if script == "recipes/dynamic_kd.py":
            asked = dynamic_kd.parse_arguments(arguments)
            asked.data_folder = Path("data-bin", asked.data)
            for size in asked.teachers:
                make_data(dynamic_kd.distilled(size, asked))
            trained |= {mple.folder(dynamic_kd.training(each, asked)) for each in dynamic_kd.systems(asked)}
            trained |= {mple.folder(dynamic_kd.teacher_words(size, asked)) for size in asked.teachers}
        elif script == "recipes/mple.py":
            asked = mple.parse_arguments(arguments)
            trained |= {mple.folder(mple.target_words(name, asked)) for name in oaxe.SYSTEMS}
            trained |= {mple.folder(mple.input_words(method, asked)) for method in mple.PROXY_INPUTS}
    timed = {row.run for recipe in planned.planned.values() for row in recipe.rows if row.run}
    assert timed
    assert timed <= trained


@pytest.mark.parametrize("name", recipe_names())
def test_the_papers_numbers_are_numbers_of_its_data_sets(name: str) -> None:
    for scale in SCALES:
        recipe = load_recipe(name, scale)
        systems = load_systems(scale)
        for row in recipe.rows.values():
            assert row.system is None or row.system in systems
            for measure, figures in row.paper.items():
                assert len(figures) == len(recipe.data)
                assert all(figure is None or -10 < figure < 1000 for figure in figures), (row.key, measure)
        for name_included in recipe.includes:
            assert name_included in recipe_names()


def test_numbers_of_one_table_that_another_repeats() -> None:
    """Mistakes in copying: what two tables of a paper both have must be the same."""
    table2, table3 = load_recipe("axe_table2").rows, load_recipe("axe_table3").rows
    for key in ("ce", "axe"):
        assert table2[key].paper["tokenized_bleu"][:4] == table3[key].paper["tokenized_bleu"]
    best = max(row.paper["tokenized_bleu"][0] for row in load_recipe("axe_table7").rows.values())
    assert best == load_recipe("axe_table5").rows["predict_masks"].paper["tokenized_bleu"][0] == 23.13
    combinations, main = load_recipe("gu_kong_table4").rows, load_recipe("gu_kong_table2").rows
    for key in ("kd", "kd_ctc", "kd_ctc_vae", "kd_ctc_glat"):
        assert combinations[key].paper["tokenized_bleu"][0] == main[key].paper["tokenized_bleu"][0]
    targets = load_recipe("mple_table2").rows
    for row in targets.values():
        sums = zip(row.paper["l_nat"], row.paper["l_target"], row.paper["l_mple"], strict=True)
        assert all(abs(nat + target - mple) < 0.011 for nat, target, mple in sums), row.key


def test_combinations_are_those_of_the_script() -> None:
    from scripts.lib.combinations import TABLE_4

    rows = load_recipe("gu_kong_table4").rows.values()
    assert [(row.title, row.paper["tokenized_bleu"][0]) for row in rows] == [
        (each.techniques, each.paper_bleu) for each in TABLE_4
    ]
    systems = load_systems()
    assert [systems[row.system or ""].method for row in rows] == [each.method for each in TABLE_4]
    assert [systems[row.system or ""].data == "kd" for row in rows] == [each.is_distilled for each in TABLE_4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"compare": [["a", "c"]]}, "'c'"),
        ({"colour": 1}, "colour means nothing"),
        ({"rows": {"a": {"title": "A", "paper": {"bleu": [1, 2]}}}}, "2 figures of bleu for 1 data sets"),
        ({"rows": {"a": {"title": "A", "paper": {"chrf": [1]}}}}, "chrf, which is no measure"),
        ({"rows": {"a": {"title": "A", "paper": {"bleu": ["high"]}}}}, "could not convert"),
        ({"rows": {"a": {"title": "A", "values": {"bleu": {"of": "s", "at": "x"}}}}}, "no script of the recipe"),
        ({"rows": {"a": {"title": "A", "values": {"bleu": {"of": "{output}", "at": "x["}}}}}, "row a"),
        ({"rows": {"a": {"title": "A", "color": 1}}}, "color"),
        ({"tune": {"blank_penalty": ["b"]}}, "KeyError: 'b'"),
        ({"picture": {"up": "chrf"}}, "the picture shows chrf"),
        ({"picture": {"up": []}}, "one measure across another, or some over the rows"),
        ({"picture": {"across": "bleu"}}, "up"),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_sentence(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    recipe = {"source": "S", "shows": "s", "data": ["d"], "measures": ["bleu"], "rows": {"a": {"title": "A"}}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(recipe | change))
    with pytest.raises(UserError, match=rf"mine\.yaml cannot be used .*{message}"):
        load_recipe("mine", folder=tmp_path)


def test_all_recipes_go_together() -> None:
    """On one data set no two of them make the same file in different ways."""
    options = reproduce.parse_arguments([*recipe_names(), "--data", "multi30k", "--dry-run", "machine=cpu"])
    assert len(Job(options, "reproduce.py").planned) == len(recipe_names()) - 1  # one is several of the others


def test_no_two_systems_train_differently_in_one_folder() -> None:
    for scale in SCALES:
        systems = load_systems(scale)
        folders: dict[tuple[object, ...], tuple[object, ...]] = {}
        for system in systems.values():
            place = (system.data, system.method, system.size, system.suffix)
            made = (system.words, system.width, system.start_from, system.encoder_from)
            assert folders.setdefault(place, made) == made, system.name


def test_the_shell_script_as_a_user_types_it(tmp_path: Path) -> None:
    command = [SHELL / "haviv_figure3.sh", "--data", "multi30k", "--dry-run", "machine=cpu"]
    activated = {**os.environ, "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"}
    ended = subprocess.run(command, cwd=tmp_path, env=activated, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    words = "data=multi30k_de_en method=at_axe size=tiny budget=cpu fairseq.expect_degeneration=true machine=cpu"
    assert f"scripts/train.py {words}" in ended.stdout


def test_all_files_are_recipes() -> None:
    assert [path.suffix for path in FOLDER.iterdir() if path.suffix != ".yaml"] == []
