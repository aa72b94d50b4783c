"""scripts/make_synthetic.py: what becomes of the sentences, and a folder that can be trained on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from nat_plugin.errors import UserError
from scripts import make_synthetic
from scripts.lib.binarise import read_binarised
from scripts.lib.config import compose_run
from scripts.lib.prepared_data import PreparedData
from scripts.lib.synthetic import Disturber
from tests.scripts.tiny_training import SIZES, TARGET

VOCABULARY = [f"v{number}" for number in range(20)]
LINES = [" ".join(VOCABULARY[(place + step) % 20] for step in range(1 + place % 13)) for place in range(2300)]


def rounded(share: float, count: int) -> int:
    return int(share * count + 0.5 + 1e-9)


def is_part(part: list[str], whole: list[str]) -> bool:
    """Whether ``part`` is ``whole`` without some of its words."""
    left = iter(whole)
    return all(word in left for word in part)


def test_half_of_the_tokens_become_others() -> None:
    made = Disturber(VOCABULARY, "A", seed=1)(LINES, split=0)
    changed = 0
    for line, original in zip(made.lines, LINES, strict=True):
        said, meant = line.split(), original.split()
        assert len(said) == len(meant)
        differ = sum(one != other for one, other in zip(said, meant, strict=True))
        assert differ == rounded(0.5, len(meant))
        changed += differ
    assert made.counts == Counter(sentences=2300, tokens=sum(len(line.split()) for line in LINES), replaced=changed)


def test_every_other_word_is_as_likely() -> None:
    made = Disturber(["a", "b", "c", "d"], "A", seed=1)(["a"] * 3000, split=0)
    drawn = Counter(made.lines)
    assert drawn.keys() == {"b", "c", "d"}
    assert all(abs(number - 1000) < 4 * 26 for number in drawn.values())


def test_b_is_a_without_a_tenth() -> None:
    a, b = (Disturber(VOCABULARY, rule, seed=1)(LINES, split=0) for rule in ("A", "B"))  # type: ignore[arg-type]
    dropped = untouched = 0
    for shorter, longer, original in zip(b.lines, a.lines, LINES, strict=True):
        part, whole = shorter.split(), longer.split()
        assert part
        assert is_part(part, whole)
        assert len(whole) - len(part) == min(rounded(0.1, len(whole)), len(whole) - 1)
        dropped += len(whole) - len(part)
        kept = sum(word in original.split() for word in part)
        untouched += kept
    assert (b.counts["dropped"], b.counts["replaced"]) == (dropped, a.counts["replaced"])
    # what is left out has nothing to do with what was replaced: about half of what stays is still the original
    assert untouched / sum(len(line.split()) for line in b.lines) > 0.45


def test_a_sentence_depends_on_seed_split_and_place_alone() -> None:
    made = Disturber(VOCABULARY, "B", seed=1)(LINES, split=0).lines
    first = Disturber(VOCABULARY, "B", seed=1)(LINES[:1700], split=0).lines
    assert first == made[:1700]
    for other in (Disturber(VOCABULARY, "B", seed=2)(LINES, 0), Disturber(VOCABULARY, "B", seed=1)(LINES, 1)):
        assert sum(one != two for one, two in zip(other.lines, made, strict=True)) > 1500
    twice = Disturber(VOCABULARY, "A", seed=1)([LINES[12]] * 2, 0).lines
    assert twice[0] != twice[1]


def test_unknown_and_single_words() -> None:
    made = Disturber(VOCABULARY, "B", seed=1)(["new", "new words here new", "v1"], 2)
    assert all(made.lines)
    assert all(word in {*VOCABULARY, "new", "words", "here"} for line in made.lines for word in line.split())
    with pytest.raises(UserError, match="fewer than two different tokens"):
        Disturber(["a", "a"], "A", seed=1)


def in_process(command: list[str], log: Path) -> None:
    """Stands in for a process of its own."""
    import nat_plugin

    nat_plugin.register()
    from fairseq import options
    from fairseq_cli import preprocess

    words = command[1:]
    place = words.index("--user-dir")
    del words[place : place + 2]
    preprocess.main(options.get_preprocessing_parser("nat_translation").parse_args(words))


@pytest.fixture(scope="module")
def synthetic(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "data_b"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(make_synthetic, "preprocess", in_process)
        make_synthetic.main([str(tiny_data), "--rule", "B", "--output", str(folder)])
    return folder


def test_the_folder_is_one_of_prepare(tiny_data: Path, synthetic: Path) -> None:
    data = PreparedData.load(synthetic)
    assert (data.source_lang, data.target_lang, data.tokenizer) == ("noisy", TARGET, "none")
    originals = PreparedData.load(tiny_data)
    for split, size in SIZES.items():
        for language in ("noisy", TARGET):
            found = read_binarised(synthetic / f"{split}.noisy-{TARGET}.{language}")
            assert (found.sentences, found.unknown) == (size, 0) or split != "train"
        assert data.references(split) == originals.references(split)
        assert all(data.sources(split))
    config = compose_run([f"data={synthetic}", "method=teacher", "machine=cpu"])
    assert config["data"]["share_embeddings"] == "all"
    record = json.loads((synthetic / "prepare.json").read_text(encoding="utf-8"))
    assert record["synthetic"]["rule"] == "B"
    assert record["command"].startswith("scripts/make_synthetic.py")
    assert {split: count["sentences"] for split, count in record["counts"].items()} == SIZES
    sources = (synthetic / "bpe" / "train.noisy").read_text(encoding="utf-8").split()
    words = (synthetic / "bpe" / f"train.{TARGET}").read_text(encoding="utf-8").split()
    assert len(words) - len(sources) == record["counts"]["train"]["dropped"]


def test_what_is_there_is_not_made_again(
    tiny_data: Path, synthetic: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(
        make_synthetic, "preprocess", lambda command, log: (calls.append(command), in_process(command, log))
    )
    before = (synthetic / "prepare.json").read_bytes()
    make_synthetic.main([str(tiny_data), "--rule", "B", "--output", str(synthetic)])
    assert "done already" in capsys.readouterr().out
    assert not calls
    (synthetic / "bpe" / "train.noisy").unlink()
    make_synthetic.main([str(tiny_data), "--rule", "B", "--output", str(synthetic)])
    assert len(calls) == 1
    again = json.loads((synthetic / "prepare.json").read_text(encoding="utf-8"))
    assert again["counts"] == json.loads(before)["counts"]


def test_monolingual_text_is_prepared_first(
    tiny_data: Path, synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[list[str]] = []
    monkeypatch.setattr(make_synthetic.prepare, "main", said.append)
    options = make_synthetic.parse_arguments(
        ["--rule", "A", "--name", "mono", "--language", "en", "--train", "a", "--valid", "b", "--bpe-merges", "50"]
    )
    assert make_synthetic.prepare_text(options).name == "mono"
    from scripts.prepare import parser

    [words] = said
    parsed = parser().parse_args(words)
    assert parsed.train == [Path("a"), Path("a")]
    assert (parsed.source_lang, parsed.target_lang, parsed.bpe_merges) == ("noisy", "en", 50)
    assert parsed.separate_subwords


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data", "--rule", "A", "--name", "x"], "--name is about text of your own"),
        (["--rule", "A", "--name", "x", "--train", "a"], "--language is missing"),
        (["data", "--rule", "A", "--workers", "0"], "--workers must be at least 1"),
    ],
)
def test_refuses_in_one_sentence(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_synthetic.main(words)


def test_refuses_folders_that_are_not_its_own(tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is the folder of the original data"):
        make_synthetic.main([str(tiny_data), "--rule", "A", "--output", str(tiny_data)])
    (tmp_path / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(UserError, match="holds other files"):
        make_synthetic.main([str(tiny_data), "--rule", "A", "--output", str(tmp_path)])
