"""A CTC model through fairseq's own commands: greedy, by beam search with a language model, chosen by a teacher."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts import train_lm
from tests.end_to_end.commands import run
from tests.end_to_end.conftest import Corpus, Model
from tests.end_to_end.corpus import SOURCE, TARGET, TEST_COUNTS
from tests.end_to_end.settings import generate, hypotheses, interactive, training
from tests.end_to_end.test_translation import best, bleu, last_validation

pytest.importorskip("flashlight.lib.text")
pytestmark = pytest.mark.end_to_end

UPDATES = 100


@pytest.fixture(scope="module")
def language_model(made: Corpus) -> Path:
    path = made.data / "lm.arpa"
    train_lm.main([str(made.data), "--lang", TARGET, "--order", "3", "--output", str(path)])
    return path


@pytest.fixture(scope="module")
def beam(language_model: Path) -> list[object]:
    """Flags of a search whose β keeps the sentences long."""
    return ["--ctc-beam", 10, "--ngram-lm-path", language_model, "--ngram-lm-weight", 0.4, "--token-bonus", 1.5]


@pytest.fixture(scope="module")
def ctc_model(made: Corpus, language_model: Path, folder: Path) -> Model:
    """A model trained for a moment, with validation BLEU by beam search."""
    decoding = f'{{"ctc_beam": 10, "ngram_lm_path": "{language_model}", "ngram_lm_weight": 0.4, "token_bonus": 1.5}}'
    validation = ["--validate-interval", 1000, "--eval-bleu", "--eval-bleu-remove-bpe", "--eval-bleu-args", decoding]
    flags = ["--arch", "ctc_tiny", "--upsample-scale", 2, "--criterion", "nat_ctc", "--max-update", UPDATES]
    result = run("fairseq-train", *training(made.data, folder / "ctc", *validation, *flags)).checked()
    return Model(folder / "ctc" / "checkpoint_last.pt", result)


@pytest.fixture(scope="module")
def searched(made: Corpus, ctc_model: Model, beam: list[object]) -> str:
    """What fairseq-generate prints of n-best lists of 3."""
    return generate(made.data, ctc_model.checkpoint, *beam, "--nbest", 3).checked().output


def scores(output: str) -> dict[int, list[float]]:
    """Sentence number → the scores of its hypotheses."""
    found: dict[int, list[float]] = {}
    for number, score in re.findall(r"^H-(\d+)\t(\S+)\t", output, re.MULTILINE):
        found.setdefault(int(number), []).append(float(score))
    return found


def test_validation_translates_by_beam_search_as_generate_does(
    made: Corpus, ctc_model: Model, beam: list[object]
) -> None:
    flags = ["--gen-subset", "valid", "--remove-bpe", "--scoring", "sacrebleu"]
    found = bleu(generate(made.data, ctc_model.checkpoint, *flags, *beam).checked().output)
    assert last_validation(ctc_model.training.output)["bleu"] == pytest.approx(found, abs=0.011)
    assert found > 5


def test_n_best_lists_in_order_and_alike_from_several_processes(
    made: Corpus, ctc_model: Model, beam: list[object], searched: str
) -> None:
    several = generate(made.data, ctc_model.checkpoint, *beam, "--nbest", 3, "--ctc-workers", 2).checked().output
    assert hypotheses(several) == hypotheses(searched)
    assert sorted(scores(searched)) == list(range(TEST_COUNTS[0]))
    assert max(map(len, scores(searched).values())) == 3
    assert all(values == sorted(values, reverse=True) for values in scores(searched).values())
    texts = [line.split("\t")[2].split() for line in searched.splitlines() if line.startswith("H-")]
    positional = [line.split("\t")[1].split() for line in searched.splitlines() if line.startswith("P-")]
    assert [len(values) for values in positional] == [len(text) for text in texts]
    assert "<" not in " ".join(" ".join(text) for text in texts)


def test_a_bonus_inside_the_search_loses_nothing(
    made: Corpus, ctc_model: Model, beam: list[object], searched: str
) -> None:
    inside = scores(generate(made.data, ctc_model.checkpoint, *beam, "--ctc-search", "torch").checked().output)
    best_of = {number: values[0] for number, values in scores(searched).items()}
    assert inside.keys() == best_of.keys()
    assert sum(values[0] for values in inside.values()) >= sum(best_of.values()) - 0.01 * len(inside)


def test_interactive_lets_the_teacher_choose_as_generate_does(
    made: Corpus, ctc_model: Model, transformer: Path, beam: list[object], searched: str
) -> None:
    flags = [*beam, "--reranker", transformer]
    text = (made.text / f"test.{SOURCE}").read_bytes()
    generated = best(generate(made.data, ctc_model.checkpoint, *flags).checked().output)
    spoken = interactive(made.data, ctc_model.checkpoint, text, "--buffer-size", 40, "--batch-size", 16, *flags)
    assert best(spoken.checked().output) == generated
    assert generated != best(searched)


def test_one_pass_says_more_where_the_blank_counts_less(made: Corpus, ctc_model: Model) -> None:
    favoured, plain = (
        best(generate(made.data, ctc_model.checkpoint, *flags).checked().output)
        for flags in (["--blank-penalty", -12], [])
    )
    assert favoured.keys() == plain.keys()
    words = [sum(len(text.split()) for text in found.values()) for found in (favoured, plain)]
    assert words[0] < words[1]


def test_the_teachers_length_penalty_changes_its_choice(
    made: Corpus, ctc_model: Model, transformer: Path, beam: list[object]
) -> None:
    flags = [*beam, "--reranker", transformer]
    long, short = (
        best(generate(made.data, ctc_model.checkpoint, *flags, "--lenpen", value).checked().output) for value in (3, 0)
    )
    assert sum(len(text.split()) for text in long.values()) > sum(len(text.split()) for text in short.values())
    refused = generate(made.data, ctc_model.checkpoint, "--lenpen", 2)
    assert "--lenpen is the length penalty of the teacher that chooses: add --reranker" in refused.refusal()


def test_refuses_a_language_model_that_is_not_there_and_models_without_slots(
    made: Corpus, ctc_model: Model, model: Model
) -> None:
    flags = ["--ctc-beam", 5, "--ngram-lm-path", "no/such.arpa"]
    assert "no/such.arpa: there is no such file" in generate(made.data, ctc_model.checkpoint, *flags).refusal()
    assert "--ctc-beam 5 searches the slots" in generate(made.data, model.checkpoint, "--ctc-beam", 5).refusal()
