"""scripts/lib/preparation/again.py: further text is split as the text that trained the models was."""

from __future__ import annotations

from pathlib import Path

import pytest

from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from scripts.lib.preparation.again import target_subwords
from scripts.lib.preparation.request import resolve
from scripts.lib.prepared_data import PreparedData
from scripts.prepare import parser
from tests.scripts.prepare.toy import arguments, lines, until_binarising, write_corpus

KINDS = {
    "joint bpe": [],
    "separate bpe": ["--separate-subwords", "--bpe-merges", "20"],
    "sentencepiece": ["--subword", "sentencepiece", "--vocab-size", "60"],
    "words": ["--subword", "none"],
    "no punctuation": ["--no-normalise-punctuation"],
    "characters": ["--subword", "none", "--tokenizer", "de=char"],
}


def prepared(folder: Path, *more: str) -> PreparedData:
    """A data folder with everything but binarised text."""
    given = arguments(write_corpus(folder / "in"), folder / "data", *more)
    options = resolve(parser().parse_args(given))[0].options
    record = {
        "tokenizer": dict(options.tokenizer),
        "subword": options.subword,
        "normalise_punctuation": options.normalise_punctuation,
        "joint_subwords": options.joint_subwords,
    }
    write_json(until_binarising(given) / "prepare.json", {"source_lang": "en", "target_lang": "de", "options": record})
    return PreparedData.load(folder / "data")


@pytest.mark.parametrize("kind", KINDS)
def test_the_subwords_are_those_of_prepare(kind: str, tmp_path: Path) -> None:
    data = prepared(tmp_path, *KINDS[kind])
    found = target_subwords(data, data.references("test")[0])
    assert found == lines(data.folder / "bpe" / "test.de")
    assert target_subwords(data, ["", " \t "]) == ["", ""]


def test_punctuation_and_reserved_symbols(tmp_path: Path) -> None:
    data = prepared(tmp_path)
    assert target_subwords(data, ["„Haus“"]) == target_subwords(data, ['"Haus"'])
    assert "<mask>" not in target_subwords(data, ["<mask>"])[0].split()


def test_a_lost_model_is_named(tmp_path: Path) -> None:
    data = prepared(tmp_path)
    (data.folder / "codes.bpe").unlink()
    with pytest.raises(UserError, match=r"there is no .*codes\.bpe.*prepare the data again"):
        target_subwords(data, ["Haus"])
