"""scripts/evaluate.py: a real run through the real commands, text files, and bad input."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sacrebleu
import yaml

from nat_plugin.errors import UserError
from scripts import evaluate
from scripts.lib.evaluation import Evaluation
from scripts.lib.generation import USER_DIR, Generation, executable, parse_generate_output
from scripts.lib.trained_model import TrainedModel
from tests.scripts.lib.test_training_log import inner, valid

SCRIPT = Path(evaluate.__file__)
TEST_SENTENCES = 21  # no multiple of 8: fairseq's batcher would drop the last five
NOUNS = {"dog": "Hund", "cat": "Katze", "man": "Mann", "woman": "Frau", "child": "Kind", "bird": "Vogel"}
VERBS = {"sees": "sieht", "greets": "grüßt", "seeks": "sucht", "hears": "hört"}


def write_corpus(folder: Path) -> None:
    """Short sentences with punctuation that Moses splits off, and a second reference for the test set."""
    rng = random.Random(1)
    for split, size in {"train": 600, "valid": 40, "test": TEST_SENTENCES}.items():
        source, target, second = [], [], []
        for _ in range(size):
            (subject, s), (other, o), (verb, v) = (rng.choice(list(d.items())) for d in (NOUNS, NOUNS, VERBS))
            source.append(f'The {subject}, "the old one", {verb} the {other}.')
            target.append(f'{s}, "der alte", {v} {o}.')
            second.append(f"{o} {v} {s} (alt).")
        for name, lines in {f"{split}.en": source, f"{split}.de": target, f"{split}.de.1": second}.items():
            (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory made by scripts/prepare.py, with two references of the test set."""
    text, folder = tmp_path_factory.mktemp("text"), tmp_path_factory.mktemp("data") / "toy_en_de"
    write_corpus(text)
    files = {split: [str(text / f"{split}.en"), str(text / f"{split}.de")] for split in ("train", "valid", "test")}
    command = [sys.executable, str(SCRIPT.with_name("prepare.py")), "--name", "toy_en_de", "--output", str(folder)]
    command += ["--source-lang", "en", "--target-lang", "de", "--bpe-merges", "40", "--workers", "1"]
    command += [part for split, pair in files.items() for part in (f"--{split}", *pair)]
    command += ["--test-references", str(text / "test.de.1")]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def trained_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with a small autoregressive Transformer that plain fairseq-train made."""
    run = tmp_path_factory.mktemp("runs") / "toy_en_de" / "teacher_tiny"
    run.mkdir(parents=True)
    command = [*executable("fairseq-train"), str(data), "--user-dir", str(USER_DIR), "--task", "translation"]
    command += ["--source-lang", "en", "--target-lang", "de", "--arch", "transformer_tiny", "--share-all-embeddings"]
    command += ["--optimizer", "adam", "--lr", "0.005", "--max-tokens", "2000", "--max-update", "80", "--cpu"]
    command += [
        "--dropout",
        "0",
        "--save-dir",
        str(run / "checkpoints"),
        "--no-epoch-checkpoints",
        "--disable-validation",
    ]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    config = {
        "name": "toy_en_de/teacher_tiny",
        "data": {"name": "toy_en_de", "path": str(data), "source_lang": "en", "target_lang": "de"},
        "method": {"name": "teacher", "kind": "autoregressive"},
        "fairseq": {"task": "translation", "arch": "transformer_tiny"},
        "generate": {"beam": 5, "cpu": True, "max-len-b": 60},
    }
    (run / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (run / "tuned.json").write_text(json.dumps({"beam": 2}), encoding="utf-8")
    (run / "train.log").write_text("\n".join([inner(40, 2.5), inner(80, 1.5), valid(80, 1.75)]), encoding="utf-8")
    return run


def evaluate_process(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


@pytest.mark.end_to_end
def test_run_is_translated_and_scored_like_sacrebleu_does(trained_run: Path, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "all.json"
    old = [{"system": "another", "bleu": 1.0}, {"system": "toy_en_de/teacher_tiny", "bleu": 2.0, "split": "test"}]
    output.write_text(json.dumps(old), encoding="utf-8")
    done = evaluate_process(trained_run, "--output", output)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((trained_run / "results" / "test.json").read_text(encoding="utf-8"))
    hypotheses = lines_of(trained_run / "results" / "test.hyp.txt")
    references = [lines_of(data / "raw" / name) for name in ("test.de", "test.de.1")]
    assert len(hypotheses) == TEST_SENTENCES
    assert row["bleu"] == sacrebleu.corpus_bleu(hypotheses, references).score
    assert row["bleu"] > 20, "the toy model has learnt too little for this test to mean anything"
    assert row["chrf"] == sacrebleu.corpus_chrf(hypotheses, references).score
    # The words that the model wrote: its D- and H- lines are subwords here, and the references are prepared text.
    found = parse_generate_output(lines_of(trained_run / "results" / "test.log"))
    words = [found[index][0].tokens.replace("@@ ", "") for index in range(TEST_SENTENCES)]
    prepared = [lines_of(data / "tok" / name) for name in ("test.de", "test.de.1")]
    assert row["tokenized_bleu"] == sacrebleu.corpus_bleu(words, prepared, tokenize="none", force=True).score
    assert "&quot;" in words[0]
    assert '"der alte"' in hypotheses[0]
    assert (row["sentences"], row["references"]) == (TEST_SENTENCES, 2)
    assert row["signature"].startswith("nrefs:2|case:mixed|eff:no|tok:13a|")
    assert row["ms_per_sentence"] > 0
    assert row["ms_per_sentence"] == pytest.approx(1000 * row["generation_seconds"] / TEST_SENTENCES)
    assert (row["threads"], row["device"], row["dtype"], row["max_tokens"]) == (1, "cpu", "fp32", 12000)
    assert (row["updates"], row["best_validation_loss"]) == (80, 1.75)
    assert row["decoding"]["beam"] == 2, "tuned.json wins over config.yaml"
    assert row["command"] in done.stdout
    assert "--beam 2 --cpu --max-len-b 60" in row["command"]
    assert row["signature"] in done.stdout
    assert json.loads(output.read_text(encoding="utf-8")) == [old[0], row], "the row of the same system is replaced"


@pytest.mark.end_to_end
def test_a_checkpoint_on_the_way_has_no_facts_of_the_whole_training(trained_run: Path) -> None:
    chosen = TrainedModel.load(trained_run).checkpoint()
    shutil.copy(chosen, chosen.with_name("earlier.pt"))
    assert Evaluation.plan(trained_run).training()["updates"] == 80
    assert Evaluation.plan(trained_run, checkpoint="earlier.pt").training() == {}
    assert Evaluation.plan(chosen.with_name("earlier.pt")).training() == {}
    chosen.with_name("earlier.pt").unlink()


@pytest.mark.end_to_end
def test_nbest_scores_the_best_and_keeps_the_order(trained_run: Path) -> None:
    evaluate.main([str(trained_run), "--set", "nbest=2", "--name", "two", "--threads", "1"])
    (row,) = json.loads((trained_run / "results" / "test_nbest=2.json").read_text(encoding="utf-8"))
    assert row["system"] == "two"
    found = parse_generate_output(lines_of(trained_run / "results" / "test_nbest=2.log"))
    assert sorted(found) == list(range(TEST_SENTENCES))
    for first, second in found.values():
        assert first.score >= second.score
        assert len(first.positional_scores) == len(first.tokens.split()) + 1  # the end of sentence has one too
        assert first.score == pytest.approx(sum(first.positional_scores) / len(first.positional_scores), abs=1e-3)
    assert len(lines_of(trained_run / "results" / "test_nbest=2.hyp.txt")) == TEST_SENTENCES


@pytest.mark.end_to_end
def test_dropped_sentences_are_counted_and_refused(trained_run: Path) -> None:
    """fairseq's batcher drops what is no multiple of 8, when it is left to do so."""
    with pytest.raises(UserError, match=r"translate 21 sentences .* 5 missing \(first: \d+\)"):
        evaluate.main([str(trained_run), "--set", "required-batch-size-multiple=8", "--suffix", "dropped"])
    assert not (trained_run / "results" / "test_dropped.json").exists()


@pytest.mark.end_to_end
def test_broken_checkpoint_is_one_sentence_and_keeps_the_rows_before(trained_run: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(trained_run, broken, ignore=shutil.ignore_patterns("results"))
    checkpoint = broken / "checkpoints" / "checkpoint_last.pt"
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    output = tmp_path / "all.json"
    done = evaluate_process(trained_run, broken, "--output", output)
    assert done.returncode == 2
    error = done.stderr.strip().splitlines()[-1]
    assert error.startswith("error: fairseq-generate failed: ")
    assert "checkpoint_last.pt is truncated" in error
    assert "Traceback" not in done.stderr
    assert [row["system"] for row in json.loads(output.read_text(encoding="utf-8"))] == ["toy_en_de/teacher_tiny"]
    assert "toy_en_de/teacher_tiny" in done.stdout.split("tok. BLEU")[1], "the finished row is shown"


@pytest.mark.end_to_end
def test_unknown_decoding_flag_is_named(trained_run: Path) -> None:
    with pytest.raises(UserError, match=r"fairseq-generate failed: unrecognized arguments: --beams 3 "):
        evaluate.main([str(trained_run), "--set", "beams=3"])


@pytest.fixture
def texts(tmp_path: Path) -> tuple[Path, Path]:
    hypotheses, references = tmp_path / "hyp.de", tmp_path / "ref.de"
    hypotheses.write_text("Der Der Hund schläft.\n\nJa!\n", encoding="utf-8")
    references.write_text("Der Hund schläft.\nNein.\nJa!\n", encoding="utf-8")
    return hypotheses, references


def score_files(hypotheses: Path, *references: Path, more: tuple[str, ...] = ()) -> None:
    evaluate.main(["--hypotheses", str(hypotheses), "--references", *map(str, references), *more])


def test_text_files_are_scored(texts: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "rows.json"
    source = tmp_path / "src.en"
    source.write_text("The dog sleeps.\nNo.\nJa!\n", encoding="utf-8")
    score_files(*texts, more=("--source", str(source), "--output", str(output), "--target-lang", "de"))
    (row,) = json.loads(output.read_text(encoding="utf-8"))
    hypotheses, references = map(lines_of, texts)
    assert row["bleu"] == sacrebleu.corpus_bleu(hypotheses, [references]).score
    assert row["system"] == "hyp.de"
    assert row["repeated_tokens"] == 1 / 7  # Der Der Hund schläft . Ja !
    assert row["words"] == "13a"
    assert row["empty_outputs"] == row["copied_sources"] == 1 / 3
    assert row["tokenized_bleu"] is None
    assert row["ms_per_sentence"] is None
    assert "hyp.de" in capsys.readouterr().out


def test_default_tokenizer_follows_the_language(texts: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "rows.json"
    score_files(*texts, more=("--target-lang", "zh", "--output", str(output)))
    assert "|tok:zh|" in json.loads(output.read_text(encoding="utf-8"))[0]["signature"]


def test_unequal_lengths_are_refused(texts: tuple[Path, Path]) -> None:
    texts[1].write_text("eins\nzwei\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"hyp\.de has 3 lines but .*ref\.de has 2"):
        score_files(*texts)


def test_empty_file_is_refused(texts: tuple[Path, Path]) -> None:
    texts[0].write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"hyp\.de is empty"):
        score_files(*texts)


def test_invalid_utf8_is_refused_with_its_line(texts: tuple[Path, Path]) -> None:
    texts[1].write_bytes(b"eins\nzw\xffei\ndrei\n")
    with pytest.raises(UserError, match=r"ref\.de:2 is not UTF-8 \(byte 3 of the line\)"):
        score_files(*texts)


def test_missing_file_is_refused(texts: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no file .*nothing\.de"):
        score_files(texts[0], tmp_path / "nothing.de")


def test_unknown_tokenizer_is_refused_with_the_known_ones(texts: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match=r"no tokenizer '14a': --tokenize takes one of 13a, char, .*zh"):
        score_files(*texts, more=("--tokenize", "14a"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either run directories or --hypotheses"),
        (["run", "--hypotheses", "x"], "give either run directories or --hypotheses"),
        (["--hypotheses", "x"], "--hypotheses needs --references"),
        (["run", "--references", "x"], "--references goes with --hypotheses"),
        (["--hypotheses", "x", "--references", "y", "--split", "valid"], "--split is about translating with a run"),
        (["a", "b", "--name", "x"], "--name names one system"),
        (["a", "--set", "beam"], "--set beam is no KEY=VALUE"),
        (["a", "--set", "beam=[1"], r"--set beam=\[1 has a value that cannot be read"),
        (["a", "--threads", "0"], "--threads must be at least 1, not 0"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        evaluate.main(arguments)


def test_results_file_of_another_kind_is_refused_before_the_work(texts: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "rows.json"
    output.write_text('{"system": 1}', encoding="utf-8")
    with pytest.raises(UserError, match=r"rows\.json is not a list of results"):
        score_files(*texts, more=("--output", str(output)))
    assert output.read_text(encoding="utf-8") == '{"system": 1}'


@pytest.fixture
def untrained_run(tmp_path: Path) -> Path:
    """A run directory with a configuration but no checkpoint, and a data directory without files."""
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    config = {
        "data": {"path": str(tmp_path / "data"), "source_lang": "en", "target_lang": "de"},
        "method": {"name": "cmlm_axe", "kind": "non_autoregressive"},
    }
    (run / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return run


def write_prepared(folder: Path) -> Path:
    """A prepared test set of two sentences."""
    for name, lines in {"raw/test.en": "A.\nB.\n", "raw/test.de": "a.\nb.\n", "tok/test.de": "a .\nb .\n"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(lines, encoding="utf-8")
    options = {"tokenizer": {"en": "moses", "de": "moses"}, "subword": "bpe"}
    record = {"source_lang": "en", "target_lang": "de", "options": options}
    (folder / "prepare.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def test_results_on_other_data_or_by_another_tokenizer_leave_the_runs_own_alone(
    untrained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = (write_prepared(tmp_path / name) for name in ("data", "other"))
    (untrained_run / "checkpoints" / "averaged.pt").touch()
    (untrained_run / "checkpoints" / "earlier.pt").touch()
    monkeypatch.chdir(tmp_path)
    for same in ({}, {"data": own}, {"data": Path("other/../data")}, {"tokenizer": "13a"}):
        assert Evaluation.plan(untrained_run, **same).stem == "test"
    assert Evaluation.plan(untrained_run, data=Path("other")).stem == "test_data=other"
    assert Evaluation.plan(untrained_run, tokenizer="char").stem == "test_tokenize=char"
    planned = Evaluation.plan(
        untrained_run, data=other, tokenizer="char", checkpoint="earlier.pt", overrides={"iterations": 4}
    )
    assert planned.stem == "test_earlier.pt_data=other_tokenize=char_iterations=4"
    assert planned.system.endswith("(earlier.pt, data=other, tokenize=char, iterations=4)")
    assert Evaluation.plan(untrained_run, data=other, suffix="mine").stem == "test_mine"


def test_a_stored_row_counts_for_its_own_data_alone(
    untrained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_prepared(tmp_path / "data")
    write_prepared(tmp_path / "other")
    (untrained_run / "checkpoints" / "averaged.pt").touch()
    monkeypatch.chdir(tmp_path)
    on_other = Evaluation.plan(untrained_run, data=Path("other"), suffix="mine")
    row = on_other.store(["a .", "b ."], Generation({}, 2, 1.0, 1))
    assert row["data"] == "other"
    assert on_other.stored() == row
    assert Evaluation.plan(untrained_run, suffix="mine").stored() is None
    monkeypatch.chdir(untrained_run)  # the row's path is from where it was written
    assert Evaluation.plan(untrained_run, data=tmp_path / "other", suffix="mine").stored() == row


def test_missing_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere is no run directory"):
        evaluate.main([str(tmp_path / "nowhere")])


def test_config_without_data_is_refused(untrained_run: Path) -> None:
    (untrained_run / "config.yaml").write_text("method: {name: x}", encoding="utf-8")
    with pytest.raises(UserError, match=r"config\.yaml lacks something .*'data'"):
        evaluate.main([str(untrained_run)])


def test_missing_checkpoint_is_refused(untrained_run: Path) -> None:
    with pytest.raises(UserError, match="holds no checkpoint"):
        evaluate.main([str(untrained_run)])
    (untrained_run / "checkpoints" / "checkpoint7.pt").touch()
    with pytest.raises(UserError, match=r"no checkpoint 'averaged\.pt' .*\(there: checkpoint7\.pt\)"):
        evaluate.main([str(untrained_run), "--checkpoint", "averaged.pt"])


def test_data_without_prepare_json_is_refused(untrained_run: Path) -> None:
    (untrained_run / "checkpoints" / "averaged.pt").touch()
    with pytest.raises(UserError, match=r"has no prepare\.json"):
        evaluate.main([str(untrained_run)])
    with pytest.raises(UserError, match="there is no data folder"):
        evaluate.main([str(untrained_run), "--data", str(untrained_run / "elsewhere")])


def test_missing_split_is_refused(trained_run: Path) -> None:
    with pytest.raises(UserError, match=r"there is no file .*test2\.en"):
        evaluate.main([str(trained_run), "--split", "test2"])


def test_damaged_tuned_json_is_refused(untrained_run: Path) -> None:
    (untrained_run / "tuned.json").write_text("[1", encoding="utf-8")
    with pytest.raises(UserError, match=r"tuned\.json is not what scripts/tune\.py writes"):
        evaluate.main([str(untrained_run)])
