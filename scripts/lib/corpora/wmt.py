"""The news translation tasks of WMT: training text from many places, development and test sets from WMT's own.

Checksums and sizes of the training archives are those that TensorFlow Datasets publishes
(tensorflow_datasets/url_checksums/wmt14_translate.txt, wmt16_…, wmt17_…), for CWMT those of the copies on Hugging Face
(datasets/wmt17/dataset_infos.json); checksums of development and test sets are those in sacreBLEU's list of data sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from scripts.lib.corpora.model import BOTH, Collection, Text
from scripts.lib.downloads import Download

_STATMT = "https://data.statmt.org"
_OTT = "https://raw.githubusercontent.com/facebookresearch/analyzing-uncertainty-nmt/master"


def _trained(url: str, sha256: str, size: int, *mirrors: str) -> Download:
    return Download((url,), f"sha256:{sha256}", size, mirrors)


def _tested(url: str, md5: str) -> Download:
    return Download((url,), f"md5:{md5}")


def _lines(file: str, stem: str, *languages: str) -> Text:
    """One file a language, ``stem`` and the language's code."""
    return Text(file, members={language: f"{stem}.{language}" for language in languages})


def _news(file: str, stem: str, *languages: str) -> Text:
    """A development or test set: ``<stem>-src.en.sgm`` and ``<stem>-ref.de.sgm``."""
    return Text(file, "segments", {language: f"{stem}-{{role}}.{language}.sgm" for language in languages})


def wmt14() -> Collection:
    """English-German: Europarl v7, Common Crawl, News Commentary v9; newstest2013 and the full newstest2014.

    The files are those of fairseq's prepare-wmt14en2de.sh with ``--icml17``, which are WMT'14's own.
    """
    files = {
        "training-parallel-europarl-v7.tgz": _trained(
            "https://www.statmt.org/wmt13/training-parallel-europarl-v7.tgz",
            "0224c7c710c8a063dfd893b0cc0830202d61f4c75c17eb8e31836103d27d96e7",
            657_632_379,
        ),
        "training-parallel-commoncrawl.tgz": _trained(
            "https://www.statmt.org/wmt13/training-parallel-commoncrawl.tgz",
            "c7a74e2ea01ac6c920123108627e35278d4ccb5701e15428ffa34de86fa3a9e5",
            918_311_367,
        ),
        "training-parallel-nc-v9.tgz": _trained(
            "https://www.statmt.org/wmt14/training-parallel-nc-v9.tgz",
            "cb8953f292298e6877ae433c98912b927cb0766b303f4540512ddd286c748485",
            80_418_416,
        ),
        "wmt13-test.tgz": _tested("https://statmt.org/wmt13/test.tgz", "48eca5d02f637af44e85186847141f67"),
        "test-full.tgz": _tested("https://statmt.org/wmt14/test-full.tgz", "a8cd784e006feb32ac6f3d9ec7eb389a"),
    }
    # newstest2013 was translated into every language: each file is a source.
    newstest2013 = {language: f"test/newstest2013-src.{language}.sgm" for language in ("en", "de")}
    texts = {
        "train": (
            _lines("training-parallel-europarl-v7.tgz", "training/europarl-v7.de-en", "en", "de"),
            _lines("training-parallel-commoncrawl.tgz", "commoncrawl.de-en", "en", "de"),
            _lines("training-parallel-nc-v9.tgz", "training/news-commentary-v9.de-en", "en", "de"),
        ),
        "valid": (Text("wmt13-test.tgz", "segments", newstest2013),),
        "test": (_news("test-full.tgz", "test-full/newstest2014-deen", "en", "de"),),
    }
    return Collection("wmt14", files, texts)


def wmt14_multiref() -> Collection:
    """:func:`wmt14`, whose test set is the 500 sentences of newstest2014 that Ott et al. 2018 had translated ten times
    more (https://github.com/facebookresearch/analyzing-uncertainty-nmt)."""
    plain = wmt14()
    name = "wmt14-en-de.extra_refs.gz"
    texts = {**plain.texts, "test": (Text(name, "numbered", {}, references=10),)}
    return replace(plain, files={**plain.files, name: Download((f"{_OTT}/{name}",))}, texts=texts)


def wmt16() -> Collection:
    """English-Romanian: Europarl v8 and SETIMES2; newsdev2016 and newstest2016."""
    files = {
        "training-parallel-ep-v8.tgz": _trained(
            f"{_STATMT}/wmt16/translation-task/training-parallel-ep-v8.tgz",
            "8917bd3bef3bc894c8519ca1f8a4c7c330aad08a1263655a9d99ee13d532e3c7",
            225_018_324,
        ),
        "en-ro.tmx.gz": _trained(
            "https://opus.nlpl.eu/download.php?f=SETIMES/v2/tmx/en-ro.tmx.gz",
            "56bfaa2a8c8bdfccb7b50cc926067e2291347d807004e81faab8762ddbf26302",
            23_458_958,
            "https://object.pouta.csc.fi/OPUS-SETIMES/v2/tmx/en-ro.tmx.gz",
        ),
        "dev.tgz": _tested(f"{_STATMT}/wmt16/translation-task/dev.tgz", "4a3dc2760bb077f4308cce96b06e6af6"),
        "test.tgz": _tested(f"{_STATMT}/wmt16/translation-task/test.tgz", "3d809cd0c2c86adb2c67034d15c4e446"),
    }
    texts = {
        "train": (
            _lines("training-parallel-ep-v8.tgz", "training-parallel-ep-v8/europarl-v8.ro-en", "en", "ro"),
            Text("en-ro.tmx.gz", "tmx"),
        ),
        "valid": (_news("dev.tgz", "dev/newsdev2016-{source}{target}", "en", "ro"),),
        "test": (_news("test.tgz", "test/newstest2016-{source}{target}", "en", "ro"),),
    }
    return Collection("wmt16", files, texts)


# Pattern of the Chinese and of the English files: in two of the six archives they are several.
_CWMT: Mapping[str, tuple[str, str, str, int]] = {
    "casia2015": (
        "*_ch.txt",
        "*_en.txt",
        "c939f1528f96c419e9bbffb9caad869616a969e7704ffac896e245a02aff59a9",
        98_159_063,
    ),
    "casict2011": (
        "*_ch.txt",
        "*_en.txt",
        "606adc0ccc5d8fc7c47f8589991286616342a1a379a571ce3038918731ae0182",
        166_957_775,
    ),
    "casict2015": (
        "*_ch.txt",
        "*_en.txt",
        "eef8e25b297c1aff12ab24719247d3588e756d7a4e2c30d4d34fcb4d05ab1050",
        106_836_569,
    ),
    "datum2015": (
        "*_ch.txt",
        "*_en.txt",
        "654afce6731485c40ce856514ab80cd2bfd836126bcaf48cdb911ebc32b021a4",
        100_118_018,
    ),
    "datum2017": (
        "*_cn.txt",
        "*_en.txt",
        "737455c139596f4abf3b1da73bc38932b3ef9534549328eff47d867e29950ed2",
        99_278_067,
    ),
    "neu2017": (
        "*_cn.txt",
        "*_en.txt",
        "5c5ea9ac5cbc43c974bd53796a3a29829800865b6398b52cda0a3854cb0d2e03",
        150_311_715,
    ),
}


def wmt17() -> Collection:
    """English-Chinese: News Commentary v12, UN v1.0, CWMT (six parts); newsdev2017 and newstest2017."""
    files = {
        "training-parallel-nc-v12.tgz": _trained(
            f"{_STATMT}/wmt17/translation-task/training-parallel-nc-v12.tgz",
            "2b45f30ef1d550d302fd17dd3a5cbe19134ccc4c2cf50c2dae534aee600101a2",
            168_591_139,
        ),
        # The one-file copy of the archive that the UN publishes in parts.
        "UNv1.0.en-zh.tar.gz": _trained(
            "https://storage.googleapis.com/tfds-data/downloads/uncorpus/UNv1.0.en-zh.tar.gz",
            "6f9c6401d5f0a49b20661324570d99fb86822d82f974748a361e19b9b886dd49",
            1_386_685_703,
        ),
        "dev.tgz": _tested(f"{_STATMT}/wmt17/translation-task/dev.tgz", "9b1aa63c1cf49dccdd20b962fe313989"),
        "test.tgz": _tested(f"{_STATMT}/wmt17/translation-task/test.tgz", "86a1724c276004aa25455ae2a04cef26"),
    }
    cwmt = []
    for name, (chinese, english, sha256, size) in _CWMT.items():
        url = f"https://huggingface.co/datasets/wmt/wmt18/resolve/main/cwmt-wmt/{name}.zip"
        files[f"{name}.zip"] = _trained(url, sha256, size)
        cwmt.append(Text(f"{name}.zip", members={"zh": f"{name}/{chinese}", "en": f"{name}/{english}"}))
    texts = {
        "train": (
            _lines("training-parallel-nc-v12.tgz", "training/news-commentary-v12.zh-en", "en", "zh"),
            _lines("UNv1.0.en-zh.tar.gz", "en-zh/UNv1.0.en-zh", "en", "zh"),
            *cwmt,
        ),
        "valid": (_news("dev.tgz", "dev/newsdev2017-{source}{target}", "en", "zh"),),
        "test": (_news("test.tgz", "test/newstest2017-{source}{target}", "en", "zh"),),
    }
    return Collection("wmt17", files, texts)


def wmt17_multiref() -> Collection:
    """:func:`wmt17` from Chinese, with the two further references of Hassan et al. 2018 (HT, made from scratch, and PE,
    post-edited; https://github.com/MicrosoftTranslator/Translator-HumanParityData), as in sacreBLEU's ``wmt17/ms``,
    which takes the source and the first reference from WMT's corrected set."""
    plain = wmt17()
    references, corrected = "Translator-HumanParityData.zip", "test-update-1.tgz"
    files = {
        **plain.files,
        references: _tested(
            "https://github.com/MicrosoftTranslator/Translator-HumanParityData/archive/master.zip",
            "18fdaa7a3c84cf6ef688da1f6a5fa96f",
        ),
        corrected: _tested(f"{_STATMT}/wmt17/translation-task/test-update-1.tgz", "91dbfd5af99bc6891a637a68e04dfd41"),
    }
    test = _news(corrected, "newstest2017-{source}{target}", "en", "zh")
    further = tuple(
        Text(references, members={"en": f"*/References/Translator-HumanParityData-Reference-{kind}.txt"})
        for kind in ("HT", "PE")
    )
    return replace(plain, files=files, texts={**plain.texts, "test": (test,)}, references=further)


def wmt20() -> Collection:
    """Japanese-English: the seven corpora of the task; newsdev2020 and newstest2020.

    Addresses, members and columns are those of fairseq's download_wmt20.sh. Nobody publishes checksums of the training
    files.
    """
    table = {
        "jparacrawl-2.0-en-ja.tar.gz": (
            "http://www.kecl.ntt.co.jp/icl/lirg/jparacrawl/release/2.0/bitext/en-ja.tar.gz",
            "en-ja/en-ja.bicleaner05.txt",
            {"en": 2, "ja": 3},
        ),
        "news-commentary-v15.en-ja.tsv.gz": (
            f"{_STATMT}/news-commentary/v15/training/news-commentary-v15.en-ja.tsv.gz",
            "",
            {"en": 0, "ja": 1},
        ),
        "wikititles-v2.ja-en.tsv.gz": (
            f"{_STATMT}/wikititles/v2/wikititles-v2.ja-en.tsv.gz",
            "",
            {"ja": 0, "en": 1},
        ),
        "WikiMatrix.v1.en-ja.langid.tsv.gz": (
            f"{_STATMT}/wmt20/translation-task/WikiMatrix/WikiMatrix.v1.en-ja.langid.tsv.gz",
            "",
            {"en": 1, "ja": 2},
        ),
        "jesc-split.tar.gz": (
            "https://nlp.stanford.edu/projects/jesc/data/split.tar.gz",
            "split/train",
            {"en": 0, "ja": 1},
        ),
    }
    files = {name: Download((url,)) for name, (url, _, _) in table.items()}
    files |= {
        "kftt-data-1.0.tar.gz": Download(("http://www.phontron.com/kftt/download/kftt-data-1.0.tar.gz",)),
        "ted-en-ja.tgz": Download(("https://wit3.fbk.eu/archive/2017-01-trnted/texts/en/ja/en-ja.tgz",)),
        "dev.tgz": _tested(f"{_STATMT}/wmt20/translation-task/dev.tgz", "037f2b37aab74febbb1b2307dc2afb54"),
        "test.tgz": _tested(f"{_STATMT}/wmt20/translation-task/test.tgz", "3b1f777cfd2fb15ccf66e9bfdb2b1699"),
    }
    tables = [
        Text(name, "tsv", {BOTH: member} if member else {}, columns) for name, (_, member, columns) in table.items()
    ]
    texts = {
        "train": (
            *tables,
            _lines("kftt-data-1.0.tar.gz", "kftt-data-1.0/data/orig/kyoto-train", "en", "ja"),
            Text(
                "ted-en-ja.tgz", "talks", {language: f"en-ja/train.tags.en-ja.{language}" for language in ("en", "ja")}
            ),
        ),
        "valid": (_news("dev.tgz", "dev/newsdev2020-{source}{target}", "en", "ja"),),
        "test": (_news("test.tgz", "sgm/newstest2020-{source}{target}", "en", "ja"),),
    }
    return Collection("wmt20", files, texts)
