"""scripts/report.py: what is on the page, that it needs nothing else, and what is refused."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import pytest

from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from scripts.lib.report.samples import choose_sentences
from scripts.lib.results import read_rows
from scripts.lib.scoring import score
from scripts.report import main
from tests.scripts.lib.test_training_log import inner, valid
from tests.scripts.tiny_training import TARGET, make_data

VOID = {"meta", "br", "img"}


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects text, addresses and tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.words = ""
        self.rows: list[list[str]] = []
        self.headings: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "h2":
            self.headings.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        if self.open and self.open[-1] == "h2":
            self.headings[-1] += data


def references(data: Path) -> list[str]:
    return (data / "raw" / f"test.{TARGET}").read_text(encoding="utf-8").splitlines()


def make_system(data: Path, run: Path, lines: list[str], name: str = "test", **settings: object) -> Path:
    """What scripts/evaluate.py leaves of a run."""
    results = run / "results"
    results.mkdir(parents=True, exist_ok=True)
    (results / f"{name}.hyp.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    row = {
        "system": f"{run.name}{name.removeprefix('test')}", **asdict(score(lines, [references(data)])),
        "ms_per_sentence": 1.5, "split": "test", "data": str(data), "device": "cpu", "dtype": "fp32",
        "versions": {"torch": "2"}, "command": f"fairseq-generate {data} --gen-subset test",
    }  # fmt: skip
    write_json(results / f"{name}.json", [row])
    (run / "train.log").write_text("\n".join([inner(50, 2.5), inner(100, 1.5), valid(100, 1.75)]))
    (run / "config.yaml").write_text(json.dumps({"method": {"name": run.name}, "fairseq": {"lr": 1.0, **settings}}))
    return results / f"{name}.json"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp("report") / "data")


@pytest.fixture
def systems(data: Path, tmp_path: Path) -> list[Path]:
    """One that is right, and one that says something strange in its third sentence."""
    right = references(data)
    strange = [*right[:2], "<mask> & <script>alert(1)</script>", *right[3:]]
    return [
        make_system(data, tmp_path / "good", right),
        make_system(data, tmp_path / "strange", strange, dropout=0.3),
    ]


def report(words: list[str], output: Path) -> Page:
    main([*words, "--output", str(output), "--samples", "50"])
    return Page(output.read_text(encoding="utf-8"))


def test_everything_is_on_one_page(systems: list[Path], tmp_path: Path) -> None:
    folders = [str(path.parent.parent) for path in systems]
    page = report([*folders, "--buckets", "4", "7", "--title", "Two & two"], tmp_path / "page.html")
    assert page.headings == [
        "Scores", "Is it a difference?", "By length of the reference", "Plots", "Sentences",
        "In what the runs differ", "How it was made",
    ]  # fmt: skip
    assert "Two & two" in page.words
    rows = {tuple(row[:2]) for row in page.rows}
    assert ("good", "100.00") in rows
    [settings] = [row for row in page.rows if row[0] == "fairseq.dropout"]
    assert settings == ["fairseq.dropout", "–", "0.3"]
    assert not any(row[0] == "fairseq.lr" for row in page.rows)
    assert page.words.count("fairseq-generate") == 2
    assert "nrefs:1" in page.words
    assert "--samples 50" in page.words


def test_the_page_carries_its_pictures_in_itself(systems: list[Path], tmp_path: Path) -> None:
    (systems[0].parent / "noise_valid.svg").write_text("<svg>own plot</svg>", encoding="utf-8")
    (systems[0].parent / "other.svg").write_text("<svg>no plot of ours</svg>", encoding="utf-8")
    page = report([*map(str, systems), "--buckets", "4", "7"], tmp_path / "page.html")
    assert len(page.addresses) == 3
    assert all(address.startswith("data:image/svg+xml;base64,") for address in page.addresses)
    drawn = [base64.b64decode(address.partition(",")[2]).decode("utf-8") for address in page.addresses]
    assert "validation" in drawn[0]
    assert drawn[1] == "<svg>own plot</svg>"
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"(?!data:)|@import|url\(", text)


def test_translations_are_text_and_nothing_else(systems: list[Path], tmp_path: Path) -> None:
    page = report([*map(str, systems), "--sentences", "3,1"], tmp_path / "page.html")
    assert "<mask> & <script>alert(1)</script>" in page.words
    assert "<script>" not in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.words.index("Sentence 3") < page.words.index("Sentence 1")


def test_one_system_is_compared_with_nothing(systems: list[Path], tmp_path: Path) -> None:
    page = report([str(systems[0])], tmp_path / "page.html")
    assert page.headings == ["Scores", "Plots", "Sentences", "How it was made"]


def test_a_run_stands_for_all_its_translations(data: Path, systems: list[Path], tmp_path: Path) -> None:
    run = systems[0].parent.parent
    make_system(data, run, references(data), name="test_iterations=4")
    write_json(run / "results" / "tune_length_multiplier.json", [{"system": "no translation"}])
    page = report([str(run)], tmp_path / "page.html")
    assert [row[0] for row in page.rows if row[1:2] == ["100.00"]][:2] == ["good", "good_iterations=4"]


def test_data_are_found_above_the_run_from_wherever_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_data(tmp_path / "data")
    file = make_system(data, tmp_path / "runs" / "good", references(data))
    [row] = read_rows(file)
    write_json(file, [row | {"data": "data"}])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    page = report(["../runs/good"], tmp_path / "page.html")
    assert ["good", "100.00"] in [cells[:2] for cells in page.rows]


def test_sentences_on_which_systems_differ() -> None:
    references = [["a b c d", "e f g h", "a b c d e f", "g h i j k l", "m n o p q r s", "t u v w x y z"]]
    first = list(references[0])
    second = [*first]
    second[1], second[2], second[5] = "x", "x y z", "t u v w x y"
    assert choose_sentences([first, second], references, 3) == [1, 2, 5]
    assert choose_sentences([first], references, 2) == [0, 3]  # nothing differs: the first of each group
    assert len(choose_sentences([first, second], references, 100)) == 6


def test_refuses_in_one_sentence(data: Path, systems: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no translation of 'valid': run scripts/evaluate\.py"):
        main([str(systems[0]), "--split", "valid"])
    with pytest.raises(UserError, match="two systems are called 'good'"):
        main([str(systems[0]), str(systems[0])])
    with pytest.raises(UserError, match="there are sentences 1 to 8"):
        main([str(systems[0]), "--sentences", "9"])
    with pytest.raises(UserError, match="is no list of numbers"):
        main([str(systems[0]), "--sentences", "first"])
    with pytest.raises(UserError, match="--samples must be 0 or more"):
        main([str(systems[0]), "--samples", "-1"])
    other = make_data(tmp_path / "other", seed=2)
    foreign = make_system(other, tmp_path / "foreign", references(other))
    with pytest.raises(UserError, match="is another text than that of"):
        main([str(systems[0]), str(foreign)])
    (systems[1].parent / "test.hyp.txt").write_text("only one\n", encoding="utf-8")
    with pytest.raises(UserError, match="has 1 lines, and its row 8 sentences"):
        main([str(systems[1])])
