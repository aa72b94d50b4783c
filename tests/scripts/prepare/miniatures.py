"""Archives with a few sentences in exactly the layout in which the corpora of WMT and IWSLT are published."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.scripts.prepare.toy import WORDS, sentences

Pair = tuple[str, str]

_FURTHER_WORDS = {
    "ro": ["un", "om", "femeie", "câine", "casă", "şi", "ţară", "mic", "vede", "lângă"],
    "zh": ["我们", "今天", "看见", "一只", "小狗", "房子", "旁边", "经济", "发展", "很快"],
    "ja": ["私", "は", "今日", "犬", "を", "見", "ました", "家", "の", "隣"],
}


def lines(language: str, number: int, seed: str) -> list[str]:
    """Sentences as a person writes them; those of a language without spaces have none."""
    if language in WORDS:
        return sentences(language, number, hash_of(seed))
    generator = random.Random(f"{language} {seed}")
    space, end = (" ", ".") if language == "ro" else ("", "。")
    return [
        space.join(generator.choices(_FURTHER_WORDS[language], k=generator.randint(4, 9))) + end for _ in range(number)
    ]


def hash_of(seed: str) -> int:
    return int.from_bytes(seed.encode(), "big") % 10**6


def pairs(languages: Sequence[str], number: int, seed: str) -> dict[str, list[str]]:
    return {language: lines(language, number, seed) for language in languages}


def text(sentences_: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in sentences_).encode()


def segments(sentences_: Sequence[str]) -> bytes:
    """WMT's .sgm, IWSLT's .xml."""
    inside = "".join(f'<seg id="{number}"> {line} </seg>\n' for number, line in enumerate(sentences_, start=1))
    return f'<srcset setid="x" srclang="any">\n<doc docid="1">\n<hl>\n{inside}</hl>\n</doc>\n</srcset>\n'.encode()


def talks(sentences_: Sequence[str]) -> bytes:
    """IWSLT's train.tags: the first sentence is a title, the second a description."""
    title, description, *rest = sentences_
    head = "<url>http://www.ted.com/1</url>\n<keywords>talks, text</keywords>\n<talkid>1</talkid>\n"
    return f"{head}<title>{title}</title>\n<description>{description}</description>\n".encode() + text(rest)


def memory(columns: Mapping[str, Sequence[str]]) -> bytes:
    """OPUS's TMX, whose last unit lacks a language."""
    languages = list(columns)
    units = "".join(
        "<tu>"
        + "".join(f'<tuv xml:lang="{name}"><seg>{line}</seg></tuv>' for name, line in zip(languages, row, strict=True))
        + "</tu>\n"
        for row in zip(*columns.values(), strict=True)
    )
    alone = f'<tu><tuv xml:lang="{languages[0]}"><seg>alone</seg></tuv></tu>'
    return f'<?xml version="1.0" encoding="utf-8"?>\n<tmx version="1.4"><body>{units}{alone}</body></tmx>\n'.encode()


def table(*columns: Sequence[str]) -> bytes:
    return text(["\t".join(row) for row in zip(*columns, strict=True)])


def numbered(source: Sequence[str], target: Sequence[str], references: Sequence[Sequence[str]]) -> bytes:
    """Ott et al. 2018."""
    rows = []
    for number, (one, other) in enumerate(zip(source, target, strict=True)):
        rows += [f"S-{number * 3}\t{one}", f"T-{number * 3}\t{other}"]
        rows += [f"R{index}-{number * 3}\t{column[number]}" for index, column in enumerate(references, start=1)]
    return text(rows)


def tgz(path: Path, members: Mapping[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in {"README": b"about this archive\n", **members}.items():
            information = tarfile.TarInfo(name)
            information.size = len(content)
            tar.addfile(information, io.BytesIO(content))


def zipped(path: Path, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def news(stem: str, columns: Mapping[str, Sequence[str]], *directions: Pair) -> dict[str, bytes]:
    """A development or test set of WMT in some directions; ``{}`` in the stem is the direction's place."""
    return {
        f"{stem.format(source + target)}-{role}.{language}.sgm": segments(columns[language])
        for source, target in directions
        for role, language in (("src", source), ("ref", target))
    }


def wmt14(folder: Path, number: int = 40) -> dict[str, dict[str, list[str]]]:
    """The archives of wmt14; what is in them, by split and language."""
    train = pairs(("en", "de"), number * 3, "train")
    parts = {
        "training-parallel-europarl-v7.tgz": "training/europarl-v7.de-en",
        "training-parallel-commoncrawl.tgz": "commoncrawl.de-en",
        "training-parallel-nc-v9.tgz": "training/news-commentary-v9.de-en",
    }
    for index, (archive, stem) in enumerate(parts.items()):
        piece = slice(index * number, (index + 1) * number)
        tgz(folder / archive, {f"{stem}.{language}": text(column[piece]) for language, column in train.items()})
    valid, test = pairs(("en", "de"), 7, "valid"), pairs(("en", "de"), 6, "test")
    tgz(folder / "wmt13-test.tgz", {f"test/newstest2013-src.{name}.sgm": segments(valid[name]) for name in valid})
    directions = (("en", "de"), ("de", "en"))
    tgz(folder / "test-full.tgz", news("test-full/newstest2014-deen", test, *directions))
    return {"train": train, "valid": valid, "test": test}


def wmt14_multiref(folder: Path) -> list[list[str]]:
    """The file of Ott et al. 2018 beside the archives of wmt14: source, target and ten references."""
    columns = [lines("en", 5, "ott"), *(lines("de", 5, f"ott {index}") for index in range(11))]
    content = numbered(columns[0], columns[1], columns[2:])
    (folder / "wmt14-en-de.extra_refs.gz").write_bytes(gzip.compress(content))
    return columns


def wmt16(folder: Path) -> dict[str, dict[str, list[str]]]:
    europarl, setimes = pairs(("en", "ro"), 30, "europarl"), pairs(("en", "ro"), 20, "setimes")
    stem = "training-parallel-ep-v8/europarl-v8.ro-en"
    tgz(folder / "training-parallel-ep-v8.tgz", {f"{stem}.{name}": text(column) for name, column in europarl.items()})
    (folder / "en-ro.tmx.gz").write_bytes(gzip.compress(memory(setimes)))
    found = {"train": {name: [*europarl[name], *setimes[name]] for name in europarl}}
    directions = (("en", "ro"), ("ro", "en"))
    for split, archive, stem in (("valid", "dev", "dev/newsdev2016-{}"), ("test", "test", "test/newstest2016-{}")):
        found[split] = pairs(("en", "ro"), 6, split)
        tgz(folder / f"{archive}.tgz", news(stem, found[split], *directions))
    return found


def wmt17(folder: Path) -> dict[str, dict[str, list[str]]]:
    names = ("en", "zh")
    commentary, nations = pairs(names, 12, "commentary"), pairs(names, 12, "nations")
    stem = "training/news-commentary-v12.zh-en"
    tgz(folder / "training-parallel-nc-v12.tgz", {f"{stem}.{name}": text(commentary[name]) for name in names})
    tgz(folder / "UNv1.0.en-zh.tar.gz", {f"en-zh/UNv1.0.en-zh.{name}": text(nations[name]) for name in names})
    train = {name: [*commentary[name], *nations[name]] for name in names}
    # CASICT 2011 is in two parts, Datum 2017 in twenty books.
    stems = {
        "casia2015": ["casia2015_{}"],
        "casict2011": ["casict-A_{}", "casict-B_{}"],
        "casict2015": ["casict2015_{}"],
        "datum2015": ["datum_{}"],
        "datum2017": ["Book1_{}", "Book10_{}", "Book2_{}"],
        "neu2017": ["NEU_{}"],
    }
    for archive, parts in stems.items():
        tag = "cn" if archive in ("datum2017", "neu2017") else "ch"
        members = {f"{archive}/": b""}
        content = {part: pairs(names, 5, f"{archive} {part}") for part in parts}
        for part in parts:
            members[f"{archive}/{part.format(tag)}.txt"] = text(content[part]["zh"])
            members[f"{archive}/{part.format('en')}.txt"] = text(content[part]["en"])
        for part in sorted(parts, key=lambda part: part.format("en")):
            for name in names:
                train[name] += content[part][name]
        zipped(folder / f"{archive}.zip", members)
    found = {"train": train}
    directions = (("en", "zh"), ("zh", "en"))
    for split, archive, stem in (("valid", "dev", "dev/newsdev2017-{}"), ("test", "test", "test/newstest2017-{}")):
        found[split] = pairs(names, 6, split)
        tgz(folder / f"{archive}.tgz", news(stem, found[split], *directions))
    return found


def wmt17_multiref(folder: Path, test: Mapping[str, list[str]]) -> list[list[str]]:
    """The files of Hassan et al. 2018 and WMT's corrected test set beside the archives of wmt17: the two references."""
    further = [lines("en", len(test["en"]), kind) for kind in ("HT", "PE")]
    stem = "Translator-HumanParityData-master/Translator-HumanParityData"
    members = {
        f"{stem}/References/Translator-HumanParityData-Reference-{kind}.txt": text(column)
        for kind, column in zip(("HT", "PE"), further, strict=True)
    }
    other = {f"{stem}/Translations/Translator-HumanParityData-Combo-6.txt": text(test["en"])}
    zipped(folder / "Translator-HumanParityData.zip", {**other, **members})
    tgz(folder / "test-update-1.tgz", news("newstest2017-{}", test, ("zh", "en"), ("en", "zh")))
    return further


def wmt20(folder: Path) -> dict[str, dict[str, list[str]]]:
    names = ("en", "ja")
    made = {part: pairs(names, 15, part) for part in ("crawl", "news", "titles", "matrix", "jesc", "kftt", "ted")}
    other = ["0.7"] * 15

    def columns(part: str) -> list[list[str]]:
        return [made[part]["en"], made[part]["ja"]]

    crawl = table(["example.com"] * 15, other, *columns("crawl"))
    tgz(folder / "jparacrawl-2.0-en-ja.tar.gz", {"en-ja/en-ja.bicleaner05.txt": crawl})
    gzipped = {
        "news-commentary-v15.en-ja.tsv.gz": table(*columns("news")) + b"a line without a tab\n",
        "wikititles-v2.ja-en.tsv.gz": table(*columns("titles")[::-1]),
        "WikiMatrix.v1.en-ja.langid.tsv.gz": table(other, *columns("matrix"), ["en"] * 15, ["ja"] * 15),
    }
    for name, content in gzipped.items():
        (folder / name).write_bytes(gzip.compress(content))
    tgz(folder / "jesc-split.tar.gz", {"split/train": table(*columns("jesc")), "split/dev": b"x\ty\n"})
    stem = "kftt-data-1.0/data/orig/kyoto-train"
    tgz(folder / "kftt-data-1.0.tar.gz", {f"{stem}.{name}": text(made["kftt"][name]) for name in names})
    tags = {f"en-ja/train.tags.en-ja.{name}": talks(made["ted"][name]) for name in names}
    tgz(folder / "ted-en-ja.tgz", tags)
    found = {"train": {name: [line for part in made.values() for line in part[name]] for name in names}}
    for split, archive, stem in (("valid", "dev", "dev/newsdev2020-{}"), ("test", "test", "sgm/newstest2020-{}")):
        found[split] = pairs(names, 6, split)
        tgz(folder / f"{archive}.tgz", news(stem, found[split], ("ja", "en")))
    return found


def iwslt14(folder: Path) -> dict[str, dict[str, list[str]]]:
    names = ("de", "en")
    train = pairs(names, 70, "talks")
    members = {f"de-en/train.tags.de-en.{name}": talks(train[name]) for name in names}
    test: dict[str, list[str]] = {name: [] for name in names}
    for part in ("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012"):
        content = pairs(names, 3, part)
        for name in names:
            test[name] += content[name]
            members[f"de-en/IWSLT14.{part}.de-en.{name}.xml"] = segments(content[name])
    tgz(folder / "de-en.tgz", members)
    return {"train": train, "test": test}


MAKERS: Mapping[str, Callable[[Path], dict[str, dict[str, list[str]]]]] = {
    "wmt14": wmt14,
    "wmt16": wmt16,
    "wmt17": wmt17,
    "wmt20": wmt20,
    "iwslt14": iwslt14,
}
"""Name of a collection → what makes its archives in a folder."""
