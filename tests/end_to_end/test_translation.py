"""Train, translate in one pass and in several, validate: through fairseq's own commands."""

from __future__ import annotations

import re

import pytest

from tests.end_to_end.commands import run
from tests.end_to_end.conftest import Corpus, Model
from tests.end_to_end.corpus import SOURCE, TARGET, TEST_COUNTS, VALID
from tests.end_to_end.settings import ON_CPU, TASK, generate, hypotheses, interactive

pytestmark = pytest.mark.end_to_end

GOOD_BLEU = 60.0


def bleu(output: str) -> float:
    """The score in the last line that fairseq-generate printed."""
    found = re.search(r"^Generate \S+ with beam=\d+: BLEU4? = ([\d.]+)", output, re.MULTILINE)
    assert found, output[-2000:]
    return float(found[1])


def last_validation(output: str) -> dict[str, float]:
    """The numbers of the last validation line of fairseq-train or fairseq-validate."""
    line = [line for line in output.splitlines() if "valid on 'valid' subset" in line][-1]
    return {match[1]: float(match[2]) for match in re.finditer(r"\| (\w+) ([\d.]+)", line)}


def repetitions(lines: list[str]) -> int:
    """How many tokens stand beside an equal one."""
    return sum(left == right for line in lines for left, right in zip(line.split(), line.split()[1:], strict=False))


def best(output: str) -> dict[int, str]:
    """Sentence number → its best translation."""
    return {number: texts[0] for number, texts in hypotheses(output).items()}


def test_training_logs_the_loss_and_the_shares_of_the_operators(model: Model) -> None:
    epochs = [line for line in model.training.output.splitlines() if "| train | epoch" in line]
    shares = [
        {name: float(value) for name, value in re.findall(r"\| (align|skip_target|skip_prediction) ([\d.]+)", line)}
        for line in epochs
    ]
    assert all(share["align"] + share["skip_target"] == pytest.approx(1, abs=2e-3) for share in shares)
    losses = [float(loss) for line in epochs for loss in re.findall(r"\| word_loss ([\d.]+)", line)]
    assert losses[-1] < losses[0] / 4
    assert re.search(r"epoch 001: .*, align=", model.training.output)


def test_one_pass_gives_text_without_our_symbols(made: Corpus, model: Model) -> None:
    result = generate(made.data, model.checkpoint, "--remove-bpe").checked()
    assert bleu(result.output) > GOOD_BLEU
    texts = best(result.output)
    assert sorted(texts) == list(range(TEST_COUNTS[0]))
    references = {number: lines[0] for number, lines in hypotheses(result.output, "T").items()}
    assert sum(texts[number] == references[number] for number in texts) > TEST_COUNTS[0] / 3
    joined = " ".join(texts.values())
    assert "@@" not in joined
    assert "<" not in joined


@pytest.mark.parametrize("iterations", [4, 10])
def test_mask_predict_keeps_its_history(made: Corpus, model: Model, iterations: int) -> None:
    result = generate(
        made.data, model.checkpoint, "--iterations", iterations, "--retain-iter-history", "--print-step"
    ).checked()
    assert bleu(result.output) > GOOD_BLEU
    steps = re.findall(r"^I-\d+\t(\d+)$", result.output, re.MULTILINE)
    assert steps == [str(iterations)] * TEST_COUNTS[0]
    history: dict[str, list[str]] = {}
    for number, text in re.findall(r"^E-(\d+)_\d+\t(.*)$", result.output, re.MULTILINE):
        history.setdefault(number, []).append(text)
    assert {len(texts) for texts in history.values()} == {iterations}
    assert all(texts[-1] == best(result.output)[int(number)] for number, texts in history.items())
    assert "<" not in "".join(text for texts in history.values() for text in texts)
    assert any(texts[0] != texts[-1] for texts in history.values())


def test_length_candidates_give_an_n_best_list(made: Corpus, model: Model) -> None:
    output = generate(made.data, model.checkpoint, "--length-candidates", 5, "--nbest", 3).checked().output
    scores: dict[int, list[float]] = {}
    for number, score in re.findall(r"^H-(\d+)\t(\S+)\t", output, re.MULTILINE):
        scores.setdefault(int(number), []).append(float(score))
    assert sorted(scores) == list(range(TEST_COUNTS[0]))
    assert {len(values) for values in scores.values()} == {3}
    assert all(values == sorted(values, reverse=True) for values in scores.values())
    lengths = [{len(text.split()) for text in texts} for texts in hypotheses(output).values()]
    assert all(len(several) == 3 for several in lengths)


def test_deduplication_merges_what_too_many_slots_repeat(made: Corpus, model: Model) -> None:
    doubled = [made.data, model.checkpoint, "--length-multiplier", 2]
    repeated = repetitions(list(best(generate(*doubled).checked().output).values()))  # type: ignore[arg-type]
    merged = repetitions(list(best(generate(*doubled, "--deduplicate").checked().output).values()))  # type: ignore[arg-type]
    assert repeated > TEST_COUNTS[0]
    assert merged == 0


@pytest.mark.parametrize("flags", [(), ("--iterations", 4, "--length-candidates", 3, "--remove-bpe")])
def test_interactive_translates_as_generate_does(made: Corpus, model: Model, flags: tuple[object, ...]) -> None:
    text = (made.text / f"test.{SOURCE}").read_bytes()
    generated = generate(made.data, model.checkpoint, *flags).checked().output
    spoken = interactive(made.data, model.checkpoint, text, "--buffer-size", 40, "--batch-size", 16, *flags).checked()
    assert best(spoken.output) == best(generated)
    assert list(best(spoken.output)) == list(range(TEST_COUNTS[0]))


def test_validation_gives_the_numbers_of_the_training(made: Corpus, model: Model) -> None:
    validate = ["--path", model.checkpoint, "--valid-subset", "valid", "--max-tokens", 400, *ON_CPU]
    result = run("fairseq-validate", made.data, "--task", "nat_translation", *validate).checked()
    trained, validated = last_validation(model.training.output), last_validation(result.output)
    for name in ("loss", "word_loss", "length_loss", "bleu"):
        assert validated[name] == pytest.approx(trained[name], abs=2e-3), name


def test_bleu_of_validation_is_that_of_generate(made: Corpus, model: Model) -> None:
    import torch

    flags = ["--gen-subset", "valid", "--remove-bpe", "--scoring", "sacrebleu"]
    output = generate(made.data, model.checkpoint, *flags).checked().output
    assert len(best(output)) == VALID
    logged = last_validation(model.training.output)["bleu"]
    assert logged == pytest.approx(bleu(output), abs=0.011)
    assert logged > GOOD_BLEU
    state = torch.load(model.checkpoint, weights_only=False)
    assert state["extra_state"]["best"] == pytest.approx(logged, abs=0.011)


@pytest.mark.parametrize("split", range(len(TEST_COUNTS)))
def test_as_many_sentences_come_out_as_went_in(made: Corpus, model: Model, split: int) -> None:
    name, count = f"test{split or ''}", TEST_COUNTS[split]
    flags = ["--gen-subset", name, "--required-batch-size-multiple", 8, "--max-tokens", 60]
    generated = best(generate(made.data, model.checkpoint, *flags).checked().output)
    assert sorted(generated) == list(range(count))


def test_interactive_keeps_sentences_that_fill_no_batch(made: Corpus, model: Model) -> None:
    text = (made.text / f"test.{SOURCE}").read_bytes().splitlines(True)[:7]
    spoken = interactive(made.data, model.checkpoint, b"".join(text), "--buffer-size", 5, "--batch-size", 3).checked()
    assert list(best(spoken.output)) == list(range(7))


def test_languages_are_found_where_the_data_name_them(made: Corpus, model: Model) -> None:
    flags = ["--task", "nat_translation", "--path", model.checkpoint, "--gen-subset", "test2", *ON_CPU]
    named = run("fairseq-generate", made.data, *TASK, *flags).checked()
    found = run("fairseq-generate", made.data, *flags).checked()
    assert f"[{TARGET}] dictionary" in found.output
    assert best(found.output) == best(named.output)
